//! Asking for what others have and this device cannot get by sync.
//!
//! *Control objects* that others refer to and that are not here.
//! Sync asks for places, and a place that is taken is asked for no more. An author who signs two objects
//! for one place, and gives each to another half, would keep the halves apart. But ops name ops by id,
//! commits name ops, parents and key packages, heads name nodes: who lacks what is named asks a member
//! for it by a direct seal, and is answered with the envelopes. Nobody refers to heads; so who sees a
//! member stay on another branch asks it for all heads that it goes by.
//!
//! *Entries* whose envelopes came and do not open, since their message keys are gone: what overtook them
//! moved the ratchet on too far, or the store lost them. Only this device knows that; who merely has not
//! got an entry yet gets it by sync. It is answered with the entries, by a direct seal.
//!
//! What is named may not exist: each question waits twice as long as the one before and goes to the next
//! member.

use super::Thread;
use super::rewrap::Owed;
use crate::envelope::{Class, Envelope, Place};
use crate::group::control::{Object, Verified, key_package_hash};
use crate::group::direct::{self, Content, Question};
use crate::id::{NodeId, OpId, Seq, Slot};
use crate::limits;
use crate::machine::command::EntryRef;
use crate::machine::ctx::Ctx;
use crate::ranges::Log;
use crate::store::table;
use crate::time::Instant;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Before something that is named and not here is asked for; doubles with each question.
const ASK_MS: u64 = 30_000;
const DOUBLINGS: u32 = 10;
/// Between two answers to one member.
const ANSWER_MS: u64 = 5_000;

/// What is lacking since when, and what was answered when.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    lacking: BTreeSet<[u8; 16]>,
    apart: BTreeSet<Slot>,
    lost: BTreeSet<EntryRef>,
    /// How many entries were lost, and not known to be, when that was looked at last.
    lost_before: usize,
    times: u32,
    due: Option<Instant>,
    answered: BTreeMap<Slot, Instant>,
}

impl Thread {
    /// Asks for what is lacking, if it is time. Returns when it is to be done again.
    pub(super) fn ask(&mut self, ctx: &mut Ctx<'_>) -> Option<Instant> {
        let may = self.me(ctx.dev()).is_some() && !self.is_stale(ctx.dev());
        let (lacking, apart) = (self.lacking(), self.apart(ctx));
        self.asked
            .lost
            .retain(|at| !self.open.contains(at.slot, Log::Content, at.seq));
        let lost = self.asked.lost.iter().filter(|at| self.is_signed(at)).count();
        let nothing = lacking.is_empty() && apart.is_empty() && lost == 0;
        if !may || nothing {
            (self.asked.due, self.asked.times, self.asked.lost_before) = (None, 0, 0);
            return None;
        }
        let moved = lost != self.asked.lost_before;
        self.asked.lost_before = lost;
        if moved || !lacking.is_subset(&self.asked.lacking) || !apart.is_subset(&self.asked.apart) {
            // something new, or an answer came: soon, but no later than what is due
            let soon = ctx.now.mono.plus_ms(ASK_MS);
            self.asked.due = self.asked.due.map(|due| due.min(soon));
            self.asked.times = self.asked.times.min(1);
        }
        (self.asked.lacking, self.asked.apart) = (lacking, apart);
        let wait = ASK_MS << self.asked.times.min(DOUBLINGS);
        let due = *self.asked.due.get_or_insert(ctx.now.mono.plus_ms(wait));
        if due > ctx.now.mono {
            return Some(due);
        }
        self.put_questions(ctx);
        self.asked.times += 1;
        let again = ctx.now.mono.plus_ms(ASK_MS << self.asked.times.min(DOUBLINGS));
        self.asked.due = Some(again);
        Some(again)
    }

    fn put_questions(&self, ctx: &mut Ctx<'_>) {
        let all: Vec<[u8; 16]> = self.asked.lacking.iter().copied().collect();
        // others each time: who names what does not exist must not hide what does
        let from = self.asked.times as usize * limits::IDS_PER_QUESTION % all.len().max(1);
        let turned = all[from..].iter().chain(&all[..from]);
        let mut ids: Vec<_> = turned.copied().take(limits::IDS_PER_QUESTION).collect();
        ids.sort_unstable();
        let others = self.others(ctx);
        let next = others.get(self.asked.times as usize % others.len().max(1));
        let next = next.copied().filter(|_| !ids.is_empty());
        let lost = self.lost_at(&others);
        let from = lost.as_ref().map(|(slot, _)| *slot);
        let asked: BTreeSet<Slot> = self.asked.apart.iter().copied().chain(next).chain(from).collect();
        for slot in asked {
            let heads = self.asked.apart.contains(&slot);
            let entries = lost.clone().filter(|(from, _)| *from == slot);
            let question = Question {
                heads,
                ids: ids.clone(),
                entries: entries.map_or(vec![], |(_, entries)| entries),
            };
            self.seal_for_one(ctx, slot, Class::Text, &Content::Question(question));
        }
    }

    /// The envelope of an entry came, and its message key is gone. It is asked for once its author has
    /// signed for such an entry; before that few are believed.
    pub(super) fn lost_key(&mut self, ctx: &Ctx<'_>, at: EntryRef) {
        let is_here = self.entries.contains_key(&at) || self.is_own(at.slot);
        let unsigned = self
            .asked
            .lost
            .iter()
            .filter(|other| other.slot == at.slot && !self.is_signed(other));
        let is_full = self.asked.lost.len() >= limits::LOST_ENTRIES
            || !self.is_signed(&at) && unsigned.count() >= limits::LOST_UNSIGNED;
        if !is_here && !is_full && self.asked.lost.insert(at) {
            let now = ctx.now.mono;
            self.rewrap_due = Some(self.rewrap_due.map_or(now, |due| due.min(now)));
        }
    }

    /// The newest head of an entry's author covers its number.
    fn is_signed(&self, at: &EntryRef) -> bool {
        self.heads
            .get(&at.slot)
            .is_some_and(|info| info.head.seq >= at.seq)
    }

    /// Whom to ask for entries whose keys are gone, and for which: a member that says it can open them,
    /// another one each time.
    fn lost_at(&self, others: &[Slot]) -> Option<(Slot, Vec<(Slot, Seq)>)> {
        let turn = self.asked.times as usize;
        // what was handed on waits for the rest of its proof, or is false: it comes after what was not
        let signed = self.asked.lost.iter().filter(|at| self.is_signed(at));
        let lost = signed.map(|at| (self.entries.contains_key(at), *at));
        let lost: Vec<EntryRef> = lost
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|(_, at)| at)
            .collect();
        let from = turn * limits::ENTRIES_PER_DIRECT % lost.len().max(1);
        let first = *lost.get(from)?;
        let opens = |slot: &Slot, at: &EntryRef| {
            let head = self.heads.get(slot).map(|info| &info.head);
            *slot == at.slot || head.is_some_and(|h| h.open.contains(at.slot, Log::Content, at.seq))
        };
        let holders: Vec<Slot> = others
            .iter()
            .copied()
            .filter(|slot| opens(slot, &first))
            .collect();
        let holder = *holders.get(turn % holders.len().max(1))?;
        let turned = lost[from..]
            .iter()
            .chain(&lost[..from])
            .filter(|at| opens(&holder, at));
        let there = turned
            .take(limits::ENTRIES_PER_DIRECT)
            .map(|at| (at.slot, at.seq));
        let there: BTreeSet<(Slot, Seq)> = there.collect();
        Some((holder, there.into_iter().collect()))
    }

    /// Ids of ops, nodes and key packages that objects here name and that are not here.
    fn lacking(&self) -> BTreeSet<[u8; 16]> {
        let mut lacking: BTreeSet<[u8; 16]> = self.membership.missing.iter().map(|id| id.0).collect();
        let packages = self.membership.missing_key_packages.iter();
        lacking.extend(packages.filter_map(|hash| hash.first_chunk().copied()));
        // of a commit whose roster is known everything is here
        let unrooted = self.unrooted.iter().filter_map(|node| self.commits.get(node));
        let headers = unrooted.map(|commit| &commit.header);
        for header in headers.chain(self.unbuilt.values()) {
            let named = header.adds.iter().chain(&header.removes);
            let is_here = |id: &OpId| self.ops.as_ref().is_none_or(|ops| ops.get(*id).is_some());
            lacking.extend(named.filter(|id| !is_here(id)).map(|id| id.0));
            if !self.knows(header.parent) {
                lacking.insert(header.parent.0);
            }
        }
        let ahead = self.ahead.values().map(|ahead| ahead.head.node);
        lacking.extend(ahead.filter(|node| !self.knows(*node)).map(|node| node.0));
        lacking
    }

    /// Whether objects here name this one, and it is not here.
    pub(super) fn is_lacking(&self, verified: &Verified) -> bool {
        let lacking = self.lacking();
        let named = match verified.object() {
            Object::KeyPackage(package) => key_package_hash(package).first_chunk().copied(),
            Object::Commit(commit) => self.node_of(commit).map(|node| node.0),
            Object::Op(_) | Object::Head(_) | Object::Genesis(_) => None,
        };
        lacking.contains(&verified.id().0) || named.is_some_and(|id| lacking.contains(&id))
    }

    fn knows(&self, node: NodeId) -> bool {
        node == self.root || self.commits.contains_key(&node)
    }

    /// Members whose newest head stands on another branch, of which all is here.
    fn apart(&self, ctx: &Ctx<'_>) -> BTreeSet<Slot> {
        let path: BTreeSet<NodeId> = self.climb(self.head).collect();
        let is_apart = |slot: &Slot| {
            let node = self.heads.get(slot).map(|info| info.head.node);
            node.is_some_and(|node| {
                let leads_there = || self.climb(node).any(|at| at == self.head);
                !path.contains(&node) && self.rosters.contains_key(&node) && !leads_there()
            })
        };
        self.others(ctx).into_iter().filter(is_apart).collect()
    }

    /// Answers a member with what is here of what it asks for.
    pub(super) fn answer(&mut self, ctx: &mut Ctx<'_>, slot: Slot, question: &Question) {
        let last = self.asked.answered.get(&slot);
        let is_soon = last.is_some_and(|last| ctx.now.mono < last.plus_ms(ANSWER_MS));
        if is_soon || self.is_stale(ctx.dev()) {
            return;
        }
        for entries in self.owed_to_asker(slot, &question.entries) {
            self.asked.answered.insert(slot, ctx.now.mono);
            if let Err(error) = self.hand_to_one(ctx, slot, entries) {
                tracing::debug!(%error, "entries asked for");
            }
        }
        let of_node = |id: &[u8; 16]| {
            self.commits
                .get(&NodeId(*id))
                .and_then(|commit| Some(commit.ops.first()?.0))
        };
        let named = question.ids.iter().map(|id| of_node(id).unwrap_or(*id));
        let mut keys: Vec<Vec<u8>> = named
            .filter_map(|id| self.control_rows.get(&id).cloned())
            .collect();
        if question.heads {
            keys.extend(self.head_rows());
        }
        let (mut envelopes, mut room) = (Vec::new(), direct::HANDED_ON_BYTES);
        for key in keys.into_iter().take(limits::IDS_PER_QUESTION) {
            let Ok(Some(envelope)) = ctx.get(&key) else {
                continue;
            };
            let Some(rest) = room.checked_sub(direct::object_room(&envelope)) else {
                continue;
            };
            room = rest;
            envelopes.push(envelope);
        }
        if !envelopes.is_empty() {
            self.asked.answered.insert(slot, ctx.now.mono);
            self.seal_for_one(ctx, slot, Class::Text, &Content::Objects(envelopes));
        }
    }

    /// Of entries that a member asks for those that it was meant to read, in an item for each class.
    fn owed_to_asker(&self, slot: Slot, entries: &[(Slot, Seq)]) -> Vec<Vec<Owed>> {
        let Some(dev) = self.slots.get(&slot).map(|author| author.dev) else {
            return vec![];
        };
        let head = self.heads.get(&slot).map_or(0, |info| info.head.counter);
        let mut items: BTreeMap<Class, Vec<Owed>> = BTreeMap::new();
        for &(of, seq) in entries {
            let at = EntryRef { slot: of, seq };
            let meta = self.entries.get(&at).filter(|meta| meta.verified);
            if let Some(meta) = meta.filter(|meta| self.could_open(dev, meta.node)) {
                let class = meta.class.max(Class::Clinical);
                items.entry(class).or_default().push((meta.class, at, slot, head));
            }
        }
        items.into_values().collect()
    }

    /// Rows of second heads, then of the newest.
    fn head_rows(&self) -> Vec<Vec<u8>> {
        let seconds = self.second_heads.values().flat_map(|heads| heads.values());
        let newest = self.heads.iter().map(|(slot, info)| {
            let column = Log::Heads as u8;
            table::envelope(self.id, *slot, column, info.head.counter)
        });
        seconds.map(|second| second.row.clone()).chain(newest).collect()
    }

    /// Takes the objects of an answer like those that a link brings.
    pub(super) fn absorb_objects(&mut self, ctx: &mut Ctx<'_>, envelopes: &[Bytes]) {
        for bytes in envelopes {
            let Ok(envelope) = Envelope::decode(bytes) else {
                continue;
            };
            if matches!(envelope.place, Place::Log { log, .. } if log != Log::Content) {
                self.absorb(ctx, &envelope, bytes);
            }
        }
    }
}
