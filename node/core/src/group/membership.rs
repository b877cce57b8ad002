//! Who is a member: a pure function of the set of ops (PROTOCOL section 3, M). Equal sets of ops and
//! key packages give equal results, in whatever order they came.
//!
//! * An op is **judged** once every op that it names is judged; an Add or Rejoin also needs its key
//!   package. Until then it is *parked*. Causal past is transitive.
//! * A judged op **counts** iff its author's op before it is in its past, its author was a member in
//!   its causal past, the role table allows it and its incarnation fits; else it is *void* for ever.
//!   That it counts never changes, whatever is said later: ops are named by id.
//! * Of counting Removes some are **valid**: of concurrent ones, in the order (tier, slot), one is not
//!   if an earlier valid one removes its author unseen. Remove wins over a concurrent Add of
//!   the same incarnation. Nobody left: the last self-removal in that order is not valid.
//! * Two ops at one counter of one slot are both judged, each for itself like ops of two authors, and in the
//!   past only of those that name it; [`Membership::equivocal`] names them. (Ops of an earlier version
//!   name numbers: they see all ops at a number that is judged before them.)
//! * A Rejoin names a key package of its author; it and a Refound are listed, and change no membership.
//!   Bad and Erase count or not like the others and have no effect here.
//!
//! Not here: trust in certificates (the caller's `keys`), custody after a handover, the end of a
//! break-glass membership, who is on which MLS node.

mod judge;

use super::control::{Act, Genesis, Object, Op, Past, Verified};
use crate::directory::{DeviceCert, Role};
use crate::id::{Dev, Incarnation, OpId, Slot, ThreadId};
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};

/// Gives the device certificate inside a key package by its hash; `None` if it is not here or not
/// believed. It must not take back an answer: use `Directory::chain`, which knows neither clock nor
/// revocation.
pub type Keys<'a> = &'a dyn Fn(&[u8; 32]) -> Option<DeviceCert>;

/// A device that is a member now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its life in this thread.
    pub inc: Incarnation,
    /// Role it was added in.
    pub role: Role,
    /// Its logs.
    pub slot: Slot,
    /// Key that signs in this slot.
    pub device_key: [u8; 32],
    /// 1 strongest.
    pub tier: u8,
    /// Key package that its Add names; `None` for the founder.
    pub kp_hash: Option<[u8; 32]>,
    /// The Add; of concurrent ones the lowest id.
    pub add: OpId,
}

/// What stays known of a life of a device after it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Its logs.
    pub slot: Slot,
    /// Key that signs in this slot.
    pub device_key: [u8; 32],
    /// Its Add.
    pub add: OpId,
}

/// What a life of a device asked for last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejoin {
    /// Number of the op.
    pub counter: u32,
    /// The op.
    pub op: OpId,
    /// The key package; `None` if it took the request back.
    pub kp: Option<[u8; 32]>,
}

/// The result of [`Ops::membership`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Members now.
    pub members: BTreeMap<Dev, Member>,
    /// Valid Removes with whom they removed.
    pub valid_removes: BTreeMap<OpId, (Dev, Incarnation)>,
    /// All that ever were members.
    pub ever: BTreeMap<(Dev, Incarnation), Life>,
    /// Each life's newest Rejoin.
    pub rejoins: BTreeMap<(Dev, Incarnation), Rejoin>,
    /// Each life's newest Refound, with its suite.
    pub refounds: BTreeMap<(Dev, Incarnation), (u32, OpId, u16)>,
    /// Ops that count.
    pub counts: BTreeSet<OpId>,
    /// Ops that do not count, for ever.
    pub void: BTreeSet<OpId>,
    /// Ops that wait.
    pub parked: BTreeSet<OpId>,
    /// Ops that parked ops wait for and that are not here.
    pub missing: BTreeSet<OpId>,
    /// Key packages that parked Adds wait for.
    pub missing_key_packages: BTreeSet<[u8; 32]>,
    /// Places with more than one op: evidence against the slot's device.
    pub equivocal: BTreeMap<(Slot, u32), BTreeSet<OpId>>,
    removed: BTreeMap<Dev, Incarnation>,
    /// Judged ops that are in no other's past.
    newest: BTreeSet<OpId>,
    /// Highest counter of each slot, with the lowest id there.
    last: BTreeMap<Slot, (u32, OpId)>,
}

/// A causal past.
#[derive(Clone, Debug, Default)]
struct Clock {
    /// For each slot the highest counter.
    upto: BTreeMap<Slot, u32>,
    /// Of places with more than one op, which are in it.
    of_many: BTreeSet<OpId>,
}

impl Membership {
    /// Incarnation that an Add of `dev` must have now; `None` while it is a member.
    pub fn next_incarnation(&self, dev: Dev) -> Option<Incarnation> {
        if self.members.contains_key(&dev) {
            return None;
        }
        Some(self.removed.get(&dev).copied().unwrap_or(0).saturating_add(1))
    }

    /// Everybody who ever wrote in this slot, in order: keys to verify objects with. More than one only
    /// if somebody searched for a clash of slots.
    pub fn keys_of(&self, slot: Slot) -> impl Iterator<Item = (Dev, Incarnation, &[u8; 32])> {
        self.ever
            .iter()
            .filter(move |(_, life)| life.slot == slot)
            .map(|((dev, inc), life)| (*dev, *inc, &life.device_key))
    }

    /// The member that writes in this slot now.
    pub fn member_of(&self, slot: Slot) -> Option<(Dev, &Member)> {
        let found = self.members.iter().find(|(_, m)| m.slot == slot);
        found.map(|(dev, member)| (*dev, member))
    }

    /// Counter and past of the next op by `slot`: all that is judged here.
    pub fn next_op(&self, slot: Slot) -> (u32, Past) {
        let last = self.last.get(&slot).copied();
        let own = last.map(|(_, id)| id);
        let others = self.newest.iter().copied().filter(|id| Some(*id) != own);
        let ids: BTreeSet<OpId> = own.into_iter().chain(others).take(limits::CURSORS).collect();
        let counter = last.map_or(0, |(counter, _)| counter) + 1;
        (counter, Past::Ops(ids.into_iter().collect()))
    }
}

/// What an op names: an op, or whatever stands at a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Awaited {
    Op(OpId),
    Place(Slot, u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    slot: Slot,
    author: [u8; 32],
    op: Op,
}

/// All authentic ops of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ops {
    /// Planted bugs: an Add that a Remove did not see wins; a Remove that another one beats stays valid.
    pub(crate) adds_win: bool,
    pub(crate) void_counts: bool,
    thread: ThreadId,
    genesis: Genesis,
    held: BTreeMap<OpId, Held>,
    places: BTreeMap<(Slot, u32), BTreeSet<OpId>>,
}

impl Ops {
    /// No ops yet, in the thread of `genesis`; `None` if it is another object.
    pub fn new(genesis: &Verified) -> Option<Ops> {
        let Object::Genesis(object) = genesis.object() else {
            return None;
        };
        Some(Ops {
            adds_win: false,
            void_counts: false,
            thread: genesis.thread(),
            genesis: (**object).clone(),
            held: BTreeMap::new(),
            places: BTreeMap::new(),
        })
    }

    /// The genesis that they rest on.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Adds an op; `false` if it was here, is no op, or belongs to another thread.
    pub fn insert(&mut self, op: &Verified) -> bool {
        let Object::Op(body) = op.object() else {
            return false;
        };
        if op.thread() != self.thread || self.held.contains_key(&op.id()) {
            return false;
        }
        let place = (op.slot(), body.counter);
        self.places.entry(place).or_default().insert(op.id());
        let held = Held {
            slot: op.slot(),
            author: *op.author(),
            op: body.clone(),
        };
        self.held.insert(op.id(), held);
        true
    }

    /// An op with its author's slot.
    pub fn get(&self, id: OpId) -> Option<(Slot, &Op)> {
        self.held.get(&id).map(|held| (held.slot, &held.op))
    }

    /// Ops held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// No ops.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Judges all ops from the beginning. Cost is quadratic in their number; keep the result until
    /// an op or key package comes.
    pub fn membership(&self, keys: Keys<'_>) -> Membership {
        judge::Court::new(self, keys).run()
    }

    /// Whether an op of the member `dev` would count, said now, with all that `now` judged in its past.
    pub fn would_count(&self, keys: Keys<'_>, now: &Membership, dev: Dev, act: &Act) -> bool {
        let Some(member) = now.members.get(&dev) else {
            return false;
        };
        let (counter, past) = now.next_op(member.slot);
        // no signed object has this id: it only marks the op among the others
        let id = OpId([0; 16]);
        let act = *act;
        let op = Op { counter, act, past };
        let said = Held {
            slot: member.slot,
            author: member.device_key,
            op,
        };
        let mut ops = self.clone();
        ops.places.entry((said.slot, counter)).or_default().insert(id);
        ops.held.insert(id, said);
        ops.membership(keys).counts.contains(&id)
    }

    /// What an op waits for.
    fn waits_for(held: &Held) -> BTreeSet<Awaited> {
        match &held.op.past {
            Past::Ops(ids) => ids.iter().copied().map(Awaited::Op).collect(),
            Past::Numbers(places) => {
                let before = (held.op.counter > 1).then(|| (held.slot, held.op.counter - 1));
                let places = places.iter().copied().chain(before);
                places
                    .map(|(slot, counter)| Awaited::Place(slot, counter))
                    .collect()
            }
        }
    }

    fn is_one_of_many(&self, slot: Slot, counter: u32) -> bool {
        self.places.get(&(slot, counter)).is_some_and(|ids| ids.len() > 1)
    }

    fn key_package(held: &Held) -> Option<&[u8; 32]> {
        match &held.op.act {
            Act::Add { kp, .. } | Act::Rejoin { kp } => kp.as_ref(),
            Act::Remove { .. } | Act::Erase { .. } | Act::Bad { .. } | Act::Refound { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
