//! One care-team thread on this device: its logs, its group keys, what is open, what waits.
//!
//! Everything in memory is rebuilt from rows by [`Thread::load`]; every change goes into the batch
//! of the input that caused it. Control objects (ops, commits, heads) are absorbed in [`control`],
//! entries in [`content`], both written in [`author`]; [`commit`] follows and makes epoch nodes,
//! [`forget`] deletes them, [`rewrap`] hands entries to members that cannot open them, [`direct`] to one of
//! them alone, [`ask`] gets what is lacking, [`rejoin`] a leaf on a node whose keys are lacking, [`track`]
//! keeps the delivery states. Of several commits on one parent [`fork`] chooses one.
//!
//! Not here: links, frames, other people's items (`machine`, `mailbox`).

mod ask;
pub(crate) mod author;
mod blobs;
mod carry_over;
mod commit;
mod content;
mod control;
mod ctl_keys;
mod direct;
mod forget;
mod fork;
mod insider;
mod load;
mod parked;
mod proof;
mod rejoin;
pub(crate) mod rewrap;
mod track;
mod waiting;

pub(crate) use content::{Absorbed, read_entry_row};
pub use proof::shortest_rewrap;

use crate::blob::Manifest;
use crate::blobs::Blobs;
use crate::delivery::Tracker;
use crate::directory::DeviceCert;
use crate::entry::Kind;
use crate::envelope::Class;
use crate::group::control::{Commit, Genesis, Head};
use crate::group::keys::{ControlKey, KeyRing};
use crate::group::membership::{Membership, Ops};
use crate::group::mls::{NodeState, Suite};
use crate::id::{Dev, Handle, Incarnation, Key8, MsgId, NodeId, Object8, OpId, Seq, Slot, ThreadId};
use crate::machine::command::EntryRef;
use crate::machine::ctx::Ctx;
use crate::machine::event::Stopped;
use crate::ranges::Ranges;
use crate::time::{Hlc, Instant, Wall};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Column of the envelope table that holds the newest rewrap of a content entry.
pub(crate) const REWRAP: u8 = 3;

/// Place of a stored envelope: column (a [`Log`] or [`REWRAP`]), slot, number.
pub(crate) type ItemKey = (u8, Slot, Seq);

/// What is known of a stored envelope without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) id: MsgId,
    pub(crate) handle: Handle,
    pub(crate) class: Class,
}

/// The author behind a slot.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) dev: Dev,
    pub(crate) key: [u8; 32],
    pub(crate) cert: DeviceCert,
}

/// What is known of an entry without reading it.
#[derive(Clone, Debug)]
pub(crate) struct EntryMeta {
    pub(crate) kind: Kind,
    pub(crate) class: Class,
    /// Node that it was sealed on; the zero node while it waits for its seal.
    pub(crate) node: NodeId,
    pub(crate) hash: [u8; 32],
    pub(crate) prev8: [u8; 8],
    pub(crate) hlc: Hlc,
    pub(crate) rewrapped: bool,
    /// False while a rewrap waits for its author's signed head.
    pub(crate) verified: bool,
    /// What ties it to its author's chain, where earlier entries may be missing.
    pub(crate) proof: Option<proof::Proof>,
    /// When it was stored here, by this device's wall clock, ms.
    pub(crate) stored_ms: u64,
}

/// A blob that an entry named.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) entry: EntryRef,
    pub(crate) manifest: Manifest,
    pub(crate) class: Class,
}

/// Devices that can open what is sealed on a node, with the life of each.
pub(crate) type Roster = BTreeMap<Dev, Incarnation>;

/// A key package that a member published, its own or of a device that it added.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) bytes: Bytes,
    pub(crate) cert: DeviceCert,
    pub(crate) suite: Suite,
}

/// A commit as its signed header tells it.
#[derive(Clone, Debug)]
pub(crate) struct CommitInfo {
    /// Ids of the control objects that told it: its author may sign one commit several times.
    pub(crate) ops: BTreeSet<OpId>,
    pub(crate) header: Commit,
    pub(crate) bytes: Bytes,
}

/// A signed head as it was received.
#[derive(Clone, Debug)]
pub(crate) struct HeadInfo {
    pub(crate) head: Head,
    pub(crate) op: OpId,
    /// When it came.
    pub(crate) heard: Instant,
}

/// A head with the number of another one of its author.
#[derive(Clone, Debug)]
pub(crate) struct SecondHead {
    pub(crate) node: NodeId,
    pub(crate) row: Vec<u8>,
}

/// A genuine head that stands on a node which no commit here leads to.
pub(crate) struct Ahead {
    pub(crate) head: Head,
    pub(crate) waiting: parked::Waiting,
}

/// What one relay signed for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RelayHeld {
    pub(crate) ranges: Ranges,
    pub(crate) blobs: Blobs,
    pub(crate) kept_until_min: u32,
}

/// One thread. See the module.
pub(crate) struct Thread {
    pub(crate) id: ThreadId,
    pub(crate) genesis: Option<Genesis>,
    pub(crate) genesis_op: OpId,
    /// `BLAKE3("thread" || genesis plaintext)`.
    pub(crate) genesis_hash: [u8; 32],
    pub(crate) ring: KeyRing,
    /// Handle of the control key that a commit (or the genesis) made.
    pub(crate) makers: BTreeMap<OpId, Handle>,
    /// `None` while the genesis is not here.
    pub(crate) ops: Option<Ops>,
    pub(crate) membership: Membership,
    /// How often membership became another one.
    pub(crate) memberships: u64,
    /// What the last walk went by.
    pub(crate) walked: Option<fork::Grounds>,
    pub(crate) packages: BTreeMap<[u8; 32], Package>,
    pub(crate) slots: BTreeMap<Slot, Author>,
    pub(crate) commits: BTreeMap<NodeId, CommitInfo>,
    pub(crate) children: BTreeMap<NodeId, BTreeSet<NodeId>>,
    /// Of them those whose roster is not known: an op or a commit before them is missing.
    pub(crate) unrooted: BTreeSet<NodeId>,
    /// Commits whose key packages are not all here.
    pub(crate) unbuilt: BTreeMap<OpId, Commit>,
    /// Rosters by the headers of the path.
    pub(crate) rosters: BTreeMap<NodeId, Roster>,
    /// Epoch nodes whose keys are held.
    pub(crate) nodes: BTreeMap<NodeId, NodeState>,
    /// Nodes that cannot be held: evicting, or their header lies.
    pub(crate) refused: BTreeSet<NodeId>,
    pub(crate) root: NodeId,
    /// What the thread is on: the end of the walk of [`fork`].
    pub(crate) head: NodeId,
    /// The same over the nodes that are held here: what this device signs for and writes its control objects
    /// under.
    pub(crate) vote: NodeId,
    pub(crate) have: Ranges,
    pub(crate) open: Ranges,
    pub(crate) items: BTreeMap<ItemKey, Item>,
    pub(crate) entries: BTreeMap<EntryRef, EntryMeta>,
    /// Rewraps that wait for their proof.
    pub(crate) unproven: BTreeSet<EntryRef>,
    /// Authenticated chain per slot: up to which number, and its value there.
    pub(crate) chains: BTreeMap<Slot, (Seq, [u8; 32])>,
    pub(crate) heads: BTreeMap<Slot, HeadInfo>,
    /// Second heads with the number of the newest.
    pub(crate) second_heads: BTreeMap<Slot, BTreeMap<OpId, SecondHead>>,
    /// Rows of control objects by what they are referred to: op id, or start of the hash of a key package.
    pub(crate) control_rows: BTreeMap<[u8; 16], Vec<u8>>,
    /// How many other control objects an author signed at places that were taken.
    pub(crate) seconds: BTreeMap<Slot, usize>,
    /// What is lacking and was asked for.
    pub(crate) asked: ask::Asked,
    /// Signed heads that the entries here reach, where the newest is out of reach: number, and the
    /// object as it was signed.
    pub(crate) reached: BTreeMap<Slot, (Seq, Bytes)>,
    pub(crate) blobs: Blobs,
    pub(crate) objects: BTreeMap<Object8, Object>,
    pub(crate) parked: parked::Parked,
    /// By slot. They count for nothing but the question whether this store forgot something.
    pub(crate) ahead: BTreeMap<Slot, Ahead>,
    pub(crate) unsealed: BTreeSet<(Class, Seq)>,
    /// Those of them that members were told directly.
    pub(crate) told_alarms: BTreeSet<Seq>,
    pub(crate) trackers: BTreeMap<EntryRef, Tracker>,
    /// Own entries that nobody took yet.
    pub(crate) waiting: waiting::Waiting,
    /// When an entry, named by its hash, was taken back by a device.
    pub(crate) recalls: BTreeMap<([u8; 32], Dev), Wall>,
    pub(crate) relays: BTreeMap<Key8, RelayHeld>,
    /// Entries that this device handed to a life of a member.
    pub(crate) handed: BTreeMap<(Slot, EntryRef), rewrap::HandedOn>,
    /// Members that lack control keys.
    pub(crate) keys_handed: BTreeMap<Slot, ctl_keys::KeysHanded>,
    pub(crate) head_due: Option<Instant>,
    pub(crate) rewrap_due: Option<Instant>,
    /// When the newest node became another one.
    pub(crate) moved: Option<Instant>,
    /// When this device commits what others have said.
    pub(crate) commit_due: Option<Instant>,
    /// When this device asks for a new leaf.
    pub(crate) rejoin_due: Option<Instant>,
    /// Since when it cannot use the newest node.
    pub(crate) stuck: Option<rejoin::Stuck>,
    pub(crate) leaves_asked: rejoin::LeavesAsked,
    pub(crate) forgetting: forget::Forgetting,
    /// When this device looks again which nodes it can do without.
    pub(crate) forget_due: Option<Instant>,
    /// Entries with control keys whose commit was not here yet.
    pub(crate) keys_waiting: BTreeSet<EntryRef>,
    /// How many commits were here when they were last looked at.
    pub(crate) keys_looked: usize,
    /// Both were due while the thread was not complete or nothing may be sealed.
    pub(crate) head_missed: bool,
    pub(crate) rewrap_missed: bool,
    pub(crate) stopped: Option<Stopped>,
    /// Slots whose author signed two things at one place.
    pub(crate) disputed: BTreeSet<Slot>,
    /// What was open when the last own head was signed.
    pub(crate) told_open: u64,
    /// Life of this device that a restored store must not write in.
    pub(crate) stale: Option<Incarnation>,
    /// Rewraps that this device made since it was opened.
    pub(crate) made_rewraps: BTreeSet<ItemKey>,
    /// Rows are being read: nothing that they hold is news.
    pub(crate) loading: bool,
    /// Slots of this device.
    pub(crate) own_slots: BTreeSet<Slot>,
}

impl Thread {
    /// A thread of which nothing is known but its id and its keys.
    pub(crate) fn new(id: ThreadId, ring: KeyRing) -> Thread {
        Thread {
            id,
            genesis: None,
            genesis_op: OpId::default(),
            genesis_hash: [0; 32],
            ring,
            makers: BTreeMap::new(),
            ops: None,
            membership: Membership::default(),
            memberships: 0,
            walked: None,
            packages: BTreeMap::new(),
            slots: BTreeMap::new(),
            commits: BTreeMap::new(),
            children: BTreeMap::new(),
            unrooted: BTreeSet::new(),
            unbuilt: BTreeMap::new(),
            rosters: BTreeMap::new(),
            nodes: BTreeMap::new(),
            refused: BTreeSet::new(),
            root: NodeId::default(),
            head: NodeId::default(),
            vote: NodeId::default(),
            have: Ranges::new(),
            open: Ranges::new(),
            items: BTreeMap::new(),
            entries: BTreeMap::new(),
            unproven: BTreeSet::new(),
            chains: BTreeMap::new(),
            heads: BTreeMap::new(),
            second_heads: BTreeMap::new(),
            control_rows: BTreeMap::new(),
            seconds: BTreeMap::new(),
            asked: ask::Asked::default(),
            reached: BTreeMap::new(),
            blobs: Blobs::new(),
            objects: BTreeMap::new(),
            parked: parked::Parked::default(),
            ahead: BTreeMap::new(),
            unsealed: BTreeSet::new(),
            told_alarms: BTreeSet::new(),
            trackers: BTreeMap::new(),
            waiting: waiting::Waiting::default(),
            recalls: BTreeMap::new(),
            relays: BTreeMap::new(),
            handed: BTreeMap::new(),
            keys_handed: BTreeMap::new(),
            head_due: None,
            rewrap_due: None,
            moved: None,
            commit_due: None,
            rejoin_due: None,
            stuck: None,
            leaves_asked: rejoin::LeavesAsked::default(),
            forgetting: forget::Forgetting::default(),
            forget_due: None,
            keys_waiting: BTreeSet::new(),
            keys_looked: 0,
            head_missed: false,
            rewrap_missed: false,
            stopped: None,
            disputed: BTreeSet::new(),
            told_open: 0,
            stale: None,
            made_rewraps: BTreeSet::new(),
            loading: false,
            own_slots: BTreeSet::new(),
        }
    }

    /// The founder's device; `None` while the genesis is not here.
    pub(crate) fn founder(&self) -> Option<Dev> {
        self.genesis.as_ref().map(|g| g.founder.dev())
    }

    /// This device's place among the members: slot and incarnation.
    pub(crate) fn me(&self, dev: Dev) -> Option<(Slot, Incarnation)> {
        self.membership.members.get(&dev).map(|m| (m.slot, m.inc))
    }

    /// Slots of the other members, but of those whose key is revoked: who may be sealed for.
    pub(crate) fn others(&self, ctx: &Ctx<'_>) -> Vec<Slot> {
        let members = self.membership.members.iter();
        let others = members.filter(|(dev, _)| **dev != ctx.dev() && !self.is_revoked(ctx, **dev));
        others.map(|(_, member)| member.slot).collect()
    }

    /// Roster of the newest node, if its keys are here.
    pub(crate) fn head_roster(&self) -> Option<&Roster> {
        self.nodes
            .get(&self.head)
            .and_then(|_| self.rosters.get(&self.head))
    }

    /// Members and roster of the newest node are the same, and each valid removal is named.
    pub(crate) fn in_step(&self) -> bool {
        let members = &self.membership.members;
        let same = self.head_roster().is_some_and(|r| {
            r.len() == members.len() && r.iter().all(|(d, i)| members.get(d).is_some_and(|m| m.inc == *i))
        });
        same && self.unnamed_removes(self.head).is_empty()
    }

    /// Removals that commits on the path to the node name.
    pub(crate) fn named_on(&self, mut node: NodeId) -> BTreeSet<OpId> {
        let mut named = BTreeSet::new();
        while let Some(commit) = self.commits.get(&node) {
            named.extend(commit.header.removes.iter().copied());
            node = commit.header.parent;
        }
        named
    }

    /// Valid removals that no commit on the path to the node names.
    pub(crate) fn unnamed_removes(&self, node: NodeId) -> Vec<OpId> {
        let named = self.named_on(node);
        self.membership
            .valid_removes
            .keys()
            .filter(|id| !named.contains(*id))
            .copied()
            .collect()
    }

    /// Handle of the control key of the path to `node`: made by its last rotating commit. `None` also where
    /// commits are missing on the path.
    pub(crate) fn path_key(&self, mut node: NodeId) -> Option<Handle> {
        while let Some(commit) = self.commits.get(&node) {
            if !commit.header.removes.is_empty() {
                return self.maker_of(commit);
            }
            node = commit.header.parent;
        }
        (node == self.root).then(|| self.makers.get(&self.genesis_op).copied())?
    }

    /// Control keys by which members know this thread, at most `most`: the one written under, the newest that
    /// each member says it holds, then the newest.
    pub(crate) fn keys_to_meet_by(&self, most: usize) -> Vec<&ControlKey> {
        let written = self.path_key(self.vote).and_then(|h| self.ring.by_handle(h));
        let newest_of = |info: &HeadInfo| {
            let mut by_age = self.ring.iter().rev();
            by_age.find(|key| info.head.kids.contains(&key.kid()))
        };
        let members = self.membership.members.values();
        let of_members = members.filter_map(|m| self.heads.get(&m.slot).and_then(newest_of));
        let mut keys: Vec<&ControlKey> = Vec::new();
        for key in written
            .into_iter()
            .chain(of_members)
            .chain(self.ring.iter().rev())
        {
            if keys.len() < most && keys.iter().all(|known| known.handle() != key.handle()) {
                keys.push(key);
            }
        }
        keys
    }

    /// This store does not remember all that this life of the device wrote.
    pub(crate) fn is_stale(&self, dev: Dev) -> bool {
        self.stale.is_some() && self.stale == self.me(dev).map(|(_, inc)| inc)
    }

    /// Whether this device wrote in the slot, in any life that is known.
    pub(crate) fn is_own(&self, slot: Slot) -> bool {
        self.own_slots.contains(&slot)
    }

    /// Whether an own entry named the blob.
    pub(crate) fn is_own_object(&self, object: Object8) -> bool {
        self.objects
            .get(&object)
            .is_some_and(|o| self.is_own(o.entry.slot))
    }

    /// Slots in the order that all members compute, for the implicit form of HAVE.
    pub(crate) fn slot_list(&self) -> Vec<Slot> {
        self.slots.keys().copied().collect()
    }
}
