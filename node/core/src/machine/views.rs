//! What a host may read of a machine, as plain values.

use super::{EntryRef, Machine, Stopped};
use crate::clinical::Body;
use crate::delivery::{Mark, State};
use crate::directory::Role;
use crate::entry::{Entry, Kind};
use crate::envelope::Class;
use crate::id::{Dev, Incarnation, NodeId, Slot, ThreadId};
use crate::mailbox::Usage;
use crate::ranges::Ranges;
use crate::store::{Read, ReadError, table};
use crate::time::Hlc;
use bytes::Bytes;

/// A member of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// The device.
    pub dev: Dev,
    /// Its role.
    pub role: Role,
    /// Its life in the thread.
    pub incarnation: Incarnation,
    /// Its logs.
    pub slot: Slot,
}

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadView {
    /// Title; empty while the genesis is not here.
    pub title: String,
    /// Members as this device knows them.
    pub members: Vec<MemberView>,
    /// Newest epoch node.
    pub head: NodeId,
    /// Devices that can open what is sealed on it; `None` if its keys or headers are not here.
    pub roster: Option<Vec<(Dev, Incarnation)>>,
    /// Epoch nodes whose keys are held.
    pub nodes: usize,
    /// Why nothing is sealed now.
    pub stopped: Option<Stopped>,
    /// Stored items.
    pub have: Ranges,
    /// Entries that are authentic and readable.
    pub open: Ranges,
    /// Own entries that wait for their seal.
    pub unsealed: usize,
    /// Items that wait for a key or an author.
    pub parked: usize,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryView {
    /// Who wrote it.
    pub author: Dev,
    /// What its body is.
    pub kind: Kind,
    /// The body; an entry of an unknown layout has it raw.
    pub body: Body,
    /// Urgency.
    pub class: Class,
    /// The author's clock.
    pub hlc: Hlc,
    /// Came by a rewrap.
    pub rewrapped: bool,
    /// Node that it was opened on; zero while an own entry waits for its seal.
    pub node: NodeId,
    /// `BLAKE3(entry)`: how other entries name it.
    pub hash: [u8; 32],
    /// The author signed two things at one place: what it says is disputed.
    pub disputed: bool,
}

impl Machine {
    /// Threads on this device.
    pub fn threads(&self) -> Vec<ThreadId> {
        self.threads.keys().copied().collect()
    }

    /// One thread.
    pub fn view(&self, thread: ThreadId) -> Option<ThreadView> {
        let t = self.threads.get(&thread)?;
        let members = t.membership.members.iter().map(|(dev, m)| MemberView {
            dev: *dev,
            role: m.role,
            incarnation: m.inc,
            slot: m.slot,
        });
        Some(ThreadView {
            title: t.genesis.as_ref().map_or_else(String::new, |g| g.title.clone()),
            members: members.collect(),
            head: t.head,
            roster: t.head_roster().map(|r| r.iter().map(|(d, i)| (*d, *i)).collect()),
            nodes: t.nodes.len(),
            stopped: t.stopped,
            have: t.have.clone(),
            open: t.open.clone(),
            unsealed: t.unsealed.len(),
            parked: t.parked.places().count(),
        })
    }

    /// Entries of a thread that are open here, in the order of slot and number.
    pub fn entries(&self, thread: ThreadId) -> Vec<EntryRef> {
        let t = self.threads.get(&thread);
        let open = t
            .into_iter()
            .flat_map(|t| t.entries.iter().filter(|(_, m)| m.verified));
        open.map(|(at, _)| *at).collect()
    }

    /// One open entry.
    pub fn entry(
        &self,
        store: &dyn Read,
        thread: ThreadId,
        at: EntryRef,
    ) -> Result<Option<EntryView>, ReadError> {
        let Some(t) = self.threads.get(&thread) else {
            return Ok(None);
        };
        let Some(meta) = t.entries.get(&at).filter(|m| m.verified) else {
            return Ok(None);
        };
        let Some(author) = t.slots.get(&at.slot).map(|a| a.dev) else {
            return Ok(None);
        };
        let row = self.tx.view(store).get(&table::entry(thread, at.slot, at.seq))?;
        let Some((_, encoded)) = row.and_then(|r| crate::thread::read_entry_row(&r).ok()) else {
            return Ok(None);
        };
        let body = match Entry::decode(&encoded) {
            Ok(entry) => Body::decode(entry.kind, &entry.body).unwrap_or(Body::Raw(entry.body)),
            Err(_) => Body::Raw(encoded),
        };
        Ok(Some(EntryView {
            author,
            kind: meta.kind,
            body,
            class: meta.class,
            hlc: meta.hlc,
            rewrapped: meta.rewrapped,
            node: meta.node,
            hash: meta.hash,
            disputed: t.disputed.contains(&at.slot),
        }))
    }

    /// A layer of an entry's blob, checked; `None` if it is not complete here.
    pub fn layer(
        &self,
        store: &dyn Read,
        thread: ThreadId,
        at: EntryRef,
        layer: u8,
    ) -> Result<Option<Bytes>, ReadError> {
        let Some(t) = self.threads.get(&thread) else {
            return Ok(None);
        };
        let object = t.objects.iter().find(|(_, o)| o.entry == at).map(|(id, _)| *id);
        let Some(object) = object else { return Ok(None) };
        t.read_layer(&self.tx.view(store), object, layer)
    }

    /// Chunks held and chunks in all of a layer of an entry's blob.
    pub fn layer_progress(&self, thread: ThreadId, at: EntryRef, layer: u8) -> Option<(u32, u32)> {
        let t = self.threads.get(&thread)?;
        let (object, _) = t.objects.iter().find(|(_, o)| o.entry == at)?;
        t.blobs.0.get(&(*object, layer)).map(|c| (c.held(), c.total))
    }

    /// What is shown for each recipient of an own entry.
    pub fn delivery(&self, thread: ThreadId, at: EntryRef) -> Vec<(Dev, State, Vec<Mark>)> {
        let Some(tracker) = self.threads.get(&thread).and_then(|t| t.trackers.get(&at)) else {
            return vec![];
        };
        let shown = tracker.views().filter_map(|(r, v)| {
            let marks = v.marks.iter().copied().collect();
            v.state.map(|state| (r.dev, state, marks))
        });
        shown.collect()
    }

    /// What is kept for others.
    pub fn usage(&self) -> Usage {
        self.mailbox.usage()
    }

    /// Organisations, people, devices.
    pub fn directory(&self) -> &crate::directory::Directory {
        &self.dir
    }
}
