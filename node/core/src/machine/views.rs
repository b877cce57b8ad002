//! What a host may read of a machine, as plain values.

use super::{EntryRef, Machine, Stopped};
use crate::blob::{FileName, Layer};
use crate::clinical::Body;
use crate::delivery::{Mark, State, Tracker};
use crate::directory::{DeviceCert, Role, Signed, ThreadKind};
use crate::entry::{Entry, Kind};
use crate::envelope::Class;
use crate::group::control::MadeBy;
use crate::group::mls::Suite;
use crate::id::{Dev, Handle, Incarnation, NodeId, OpId, Person, Slot, ThreadId};
use crate::mailbox::Usage;
use crate::ranges::Ranges;
use crate::store::{Read, ReadError, table};
use crate::thread::{EntryMeta, Thread};
use crate::time::{Hlc, Wall};
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
    /// What its certificate says; `None` while its author is not known here.
    pub cert: Option<DeviceCert>,
}

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadView {
    /// Title; empty while the genesis is not here.
    pub title: String,
    /// What it is for; `None` while the genesis is not here.
    pub kind: Option<ThreadKind>,
    /// Who created it; `None` while the genesis is not here.
    pub creator: Option<Dev>,
    /// Members as this device knows them.
    pub members: Vec<MemberView>,
    /// Newest epoch node.
    pub head: NodeId,
    /// Suite of its group; `None` while the genesis is not here.
    pub suite: Option<Suite>,
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

/// Where a device stands in a thread: what its fork choice rests on, and which keys it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Newest epoch node.
    pub head: NodeId,
    /// Members as this device knows them, with the life of each, ascending.
    pub members: Vec<(Dev, Incarnation)>,
    /// Counter and node of the newest signed head of each member, as far as one is here.
    pub heads: Vec<(Dev, u32, NodeId)>,
    /// Handles of the control keys that are held here, in the order in which they came.
    pub keys: Vec<Handle>,
}

/// An epoch node that a commit made, whether or not its keys are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// The node.
    pub node: NodeId,
    /// The node that its commit was made on.
    pub parent: NodeId,
    /// Who made it, and in which of its lives.
    pub author: Option<(Dev, Incarnation)>,
    /// Additions that the commit names.
    pub adds: Vec<OpId>,
    /// It begins a new group.
    pub refound: bool,
    /// Handle of the control key that the commit makes; `None` if it makes none, or it is not here.
    pub key: Option<Handle>,
    /// Devices that can open what is sealed on it; `None` while that is not known.
    pub roster: Option<Vec<(Dev, Incarnation)>>,
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
    /// The author's certificate.
    pub cert: DeviceCert,
    /// When the author took it back, by the clock of the author.
    pub recalled: Option<Wall>,
}

/// What is known of an entry without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHead {
    /// Its place.
    pub at: EntryRef,
    /// What its body is.
    pub kind: Kind,
    /// Urgency.
    pub class: Class,
    /// The author's clock.
    pub hlc: Hlc,
    /// `BLAKE3(entry)`: how other entries name it.
    pub hash: [u8; 32],
    /// When it was stored here, by this device's clock.
    pub stored: Wall,
    /// Written on this device.
    pub own: bool,
}

/// A layer of an entry's object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerView {
    /// Which.
    pub layer: Layer,
    /// File name of an original.
    pub name: Option<FileName>,
    /// Plaintext bytes.
    pub bytes: u32,
    /// Chunks held; all of them: it was equal to its hash when the last one came.
    pub held: u32,
    /// Chunks in all.
    pub total: u32,
}

impl Machine {
    /// Threads on this device.
    pub fn threads(&self) -> Vec<ThreadId> {
        self.threads.keys().copied().collect()
    }

    /// Title of a thread; `None` while its genesis is not here.
    pub fn title(&self, thread: ThreadId) -> Option<&str> {
        let genesis = self.threads.get(&thread)?.genesis.as_ref()?;
        Some(&genesis.title)
    }

    /// One thread.
    pub fn view(&self, thread: ThreadId) -> Option<ThreadView> {
        let t = self.threads.get(&thread)?;
        let members = t.membership.members.iter().map(|(dev, m)| MemberView {
            dev: *dev,
            role: m.role,
            incarnation: m.inc,
            slot: m.slot,
            cert: t.slots.get(&m.slot).map(|author| author.cert.clone()),
        });
        Some(ThreadView {
            kind: t.genesis.as_ref().map(|g| g.kind),
            creator: t.founder(),
            title: t.genesis.as_ref().map_or_else(String::new, |g| g.title.clone()),
            members: members.collect(),
            head: t.head,
            suite: t.suite_of(t.head),
            roster: t.head_roster().map(|r| r.iter().map(|(d, i)| (*d, *i)).collect()),
            nodes: t.nodes.len(),
            stopped: t.stopped,
            have: t.have.clone(),
            open: t.open.clone(),
            unsealed: t.unsealed.len(),
            parked: t.parked.places().count(),
        })
    }

    /// Where this device stands in a thread.
    pub fn standing(&self, thread: ThreadId) -> Option<Standing> {
        let t = self.threads.get(&thread)?;
        let members = &t.membership.members;
        let heads = members.iter().filter_map(|(dev, member)| {
            let head = &t.heads.get(&member.slot)?.head;
            Some((*dev, head.counter, head.node))
        });
        Some(Standing {
            head: t.head,
            members: members.iter().map(|(dev, member)| (*dev, member.inc)).collect(),
            heads: heads.collect(),
            keys: t.ring.iter().map(|key| key.handle()).collect(),
        })
    }

    /// Nodes of a thread that commits made, as far as their commits are here.
    pub fn nodes(&self, thread: ThreadId) -> Vec<NodeView> {
        let Some(t) = self.threads.get(&thread) else {
            return vec![];
        };
        let nodes = t.commits.iter().map(|(node, commit)| {
            let author = commit.header.author;
            let dev = t.slots.get(&author).map(|author| author.dev);
            let roster = t.rosters.get(node);
            NodeView {
                node: *node,
                parent: commit.header.parent,
                author: dev.zip(t.incarnation_of(author)),
                adds: commit.header.adds.clone(),
                refound: commit.header.made_by == MadeBy::Refound,
                key: t.maker_of(commit),
                roster: roster.map(|r| r.iter().map(|(d, i)| (*d, *i)).collect()),
            }
        });
        nodes.collect()
    }

    /// Entries of a thread that are open here, in the order of slot and number.
    pub fn entries(&self, thread: ThreadId) -> Vec<EntryRef> {
        let t = self.threads.get(&thread);
        let open = t
            .into_iter()
            .flat_map(|t| t.entries.iter().filter(|(_, m)| m.verified));
        open.map(|(at, _)| *at).collect()
    }

    /// [`Machine::entries`] with what is known without reading them.
    pub fn entry_heads(&self, thread: ThreadId) -> Vec<EntryHead> {
        self.heads(thread).collect()
    }

    /// What is known of one open entry without reading it.
    pub fn entry_head(&self, thread: ThreadId, at: EntryRef) -> Option<EntryHead> {
        let t = self.threads.get(&thread)?;
        let meta = t.entries.get(&at).filter(|m| m.verified)?;
        Some(head(t, at, meta))
    }

    /// The open entry that others name by this hash.
    pub fn entry_by_hash(&self, thread: ThreadId, hash: &[u8; 32]) -> Option<EntryHead> {
        self.heads(thread).find(|head| head.hash == *hash)
    }

    fn heads(&self, thread: ThreadId) -> impl Iterator<Item = EntryHead> {
        let t = self.threads.get(&thread);
        t.into_iter().flat_map(|t| {
            let verified = t.entries.iter().filter(|(_, m)| m.verified);
            verified.map(move |(at, meta)| head(t, *at, meta))
        })
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
        let Some(author) = t.slots.get(&at.slot) else {
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
            author: author.dev,
            kind: meta.kind,
            body,
            class: meta.class,
            hlc: meta.hlc,
            rewrapped: meta.rewrapped,
            node: meta.node,
            hash: meta.hash,
            disputed: t.disputed.contains(&at.slot),
            cert: author.cert.clone(),
            recalled: t.recalls.get(&(meta.hash, author.dev)).copied(),
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

    /// Layers of an entry's object, ascending; empty for an entry without one.
    pub fn layers(&self, thread: ThreadId, at: EntryRef) -> Vec<LayerView> {
        let Some(t) = self.threads.get(&thread) else {
            return vec![];
        };
        let found = t.objects.iter().find(|(_, o)| o.entry == at);
        let layers = found.into_iter().flat_map(|(id, object)| {
            object.manifest.layers().iter().map(move |info| {
                let chunks = t.blobs.0.get(&(*id, info.layer.to_u8()));
                LayerView {
                    layer: info.layer,
                    name: info.name.clone(),
                    bytes: info.bytes,
                    held: chunks.map_or(0, |c| c.held()),
                    total: info.total(),
                }
            })
        });
        layers.collect()
    }

    /// The quality that a person here can judge of an entry with an object: every layer up to it is
    /// complete; the digest is in the entry itself. `None` for an entry without an object.
    pub fn quality(&self, thread: ThreadId, at: EntryRef) -> Option<Layer> {
        let t = self.threads.get(&thread)?;
        let object = t.objects.values().find(|o| o.entry == at)?;
        Some(object.manifest.complete_up_to(&t.blobs).unwrap_or(Layer::DIGEST))
    }

    /// Chunks held and chunks in all of a layer of an entry's blob.
    pub fn layer_progress(&self, thread: ThreadId, at: EntryRef, layer: u8) -> Option<(u32, u32)> {
        let t = self.threads.get(&thread)?;
        let (object, _) = t.objects.iter().find(|(_, o)| o.entry == at)?;
        t.blobs.0.get(&(*object, layer)).map(|c| (c.held(), c.total))
    }

    /// Whether this device could show to a member that lacks the entry that it is its author's.
    pub fn can_prove(&self, thread: ThreadId, at: EntryRef) -> bool {
        self.threads.get(&thread).is_some_and(|t| t.can_prove(at))
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

    /// The fold of evidence of an own entry; `None` for entries of others and for acts on entries.
    pub fn tracker(&self, thread: ThreadId, at: EntryRef) -> Option<&Tracker> {
        self.threads.get(&thread)?.trackers.get(&at)
    }

    /// Own entries that no relay, carrier or recipient took yet, by class; those that wait for their
    /// seal are among them. Costs a look at each thread.
    pub fn waiting(&self) -> [u32; 5] {
        let each = self.threads.values().map(Thread::waiting_counts);
        each.fold([0; 5], |sum, of| std::array::from_fn(|i| sum[i] + of[i]))
    }

    /// This device's certificate; `None` on a carrier.
    pub fn certificate(&self) -> Option<DeviceCert> {
        let member = self.id.member.as_ref()?;
        DeviceCert::decode(&member.cert).ok()
    }

    /// Who is signed on.
    pub fn person(&self) -> Option<Person> {
        self.person
    }

    /// Whether a key package of the device is here, so that it can be added to threads of this suite.
    pub fn can_add(&self, store: &dyn Read, dev: Dev, suite: Suite) -> Result<bool, ReadError> {
        let row = self.tx.view(store).get(&table::package_of(dev, suite.to_u16()))?;
        Ok(row.is_some())
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

fn head(thread: &Thread, at: EntryRef, meta: &EntryMeta) -> EntryHead {
    EntryHead {
        at,
        kind: meta.kind,
        class: meta.class,
        hlc: meta.hlc,
        hash: meta.hash,
        stored: Wall(meta.stored_ms),
        own: thread.is_own(at.slot),
    }
}
