//! The reference model: what is true, known from outside the machines.
//!
//! It sees commands, batches, wire bytes and disks, and compares what machines *say* with it:
//!
//! | invariant | when it is checked |
//! |---|---|
//! | stored means durable | `Stored`, `Arrived`, `LayerArrived` against the disk ([`evidence`]) |
//! | a word never exceeds its evidence | each `Delivery` against the named device or relay ([`evidence`]) |
//! | nothing acknowledged is lost | own stored entries against the disk after each crash and at the end |
//! | only the entitled read | each opened entry against what its sender knew when sealing ([`readers`]) |
//! | sealed late, one place once | each sealed entry and each `Transmit` ([`wire`]) |
//! | kept as long as signed | each row that a relay deletes ([`kept`]) |
//! | a settled node stays on the path | after each step of a device ([`paths`]) |
//! | no control key for a removed device, nobody removed leads | after each step of a device ([`removed`]) |
//! | the own clock | each own entry against the wall clocks that its device ever had ([`readers`]) |
//! | everything arrives after healing | at the end of a run ([`end`]) |
//!
//! [`tally`] counts for the report of a scenario.
//!
//! It reads no private field of a machine: rows by their documented keys, frames by their layout, and
//! the views that a program on the device would read too.

pub mod end;
mod evidence;
pub mod forgotten;
mod kept;
mod paths;
mod readers;
mod removed;
pub mod tally;
mod wire;

use crate::net::HostId;
use crate::world::{Host, World};
use aidmesh_core::clinical::Act;
use aidmesh_core::group::control::History;
use aidmesh_core::id::{Dev, Handle, MsgId, Object8, Person, Seq, Slot, ThreadId};
use aidmesh_core::limits;
use aidmesh_core::machine::command::{Command, EntryRef, Made, Outgoing};
use aidmesh_core::machine::event::Event;
use aidmesh_core::store::{Batch, Read, table};
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong, and when it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
    /// World time, microseconds.
    pub at_us: u64,
}

/// An entry's place.
pub type Key = (ThreadId, Slot, Seq);

/// What is known of an entry.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Its author's device.
    pub author: HostId,
    /// World time of the command.
    pub at_us: u64,
    /// Its author was told that it is stored.
    pub stored: bool,
    /// Written by a person's command; else by the machine itself (keys for a new node).
    pub by_person: bool,
    /// Files come with it.
    pub has_file: bool,
    /// It is not an act on another entry, so its author follows its way.
    pub followed: bool,
    /// Members as its author knew them when writing: those whom its author follows.
    pub asked: BTreeSet<Dev>,
    /// Layers of its blob: number of chunks.
    pub layers: BTreeMap<u8, u32>,
    /// The blob.
    pub object: Option<Object8>,
    /// Tells an entry again that moved to another place.
    pub salt: [u8; 16],
    /// Its place in its author's next life.
    pub moved: Option<Key>,
    /// How it was sealed.
    pub sealed: Option<Sealed>,
}

/// What a sender knew when it sealed an entry.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// World time.
    pub at_us: u64,
    /// Members as the sender knew them, before or in the step that sealed.
    pub readers: BTreeSet<Dev>,
    /// Members as the sender knew them before *and* after that step.
    pub surely: BTreeSet<Dev>,
    /// Devices that the sender knew to be removed before that step.
    pub removed: BTreeSet<Dev>,
    /// Where carriers keep it.
    pub carried: (Handle, MsgId),
}

/// A thread as people meant it.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The founder's device.
    pub founder: HostId,
    /// What joiners may read.
    pub history: History,
    /// In the order of commands.
    pub changes: Vec<Change>,
}

/// A person added or removed a device.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// World time of the command.
    pub at_us: u64,
    /// Whom.
    pub dev: Dev,
    /// Added, not removed.
    pub added: bool,
    /// Whose command it was.
    pub by: HostId,
    /// That device was told that it is stored; else a crash may have taken it back.
    pub stored: bool,
}

/// What a device was last seen to know of a thread's members.
#[derive(Clone, Debug, Default)]
struct Knows {
    now: BTreeSet<Dev>,
    ever: BTreeSet<Dev>,
}

/// A person's act on an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Press {
    Seen,
    Answer(Act),
}

/// What a command meant, until its author is told that it is stored.
#[derive(Clone, Copy, Debug)]
enum Meant {
    Entry(Key),
    /// Thread, and which of its changes.
    Change(ThreadId, usize),
}

/// See the module.
#[derive(Default)]
pub struct Truth {
    /// All entries.
    pub said: BTreeMap<Key, Said>,
    /// All threads.
    pub threads: BTreeMap<ThreadId, Intent>,
    pending: BTreeMap<(HostId, u32, u64), (u64, Option<Meant>)>,
    knows: BTreeMap<(HostId, ThreadId), Knows>,
    slots: BTreeMap<Slot, (ThreadId, HostId)>,
    /// Members that follow no rules.
    liars: BTreeSet<HostId>,
    presses: BTreeSet<(Key, Dev, Person, Press)>,
    /// The latest wall clock that a device ever had, ms.
    latest_ms: BTreeMap<HostId, u64>,
    wire: wire::Seen,
    paths: paths::Paths,
    /// When a device lost keys of a thread last.
    losses: BTreeMap<(HostId, ThreadId), u64>,
    dropped: forgotten::Dropped,
    /// Rows of carried items that a relay owes.
    owed: BTreeMap<(HostId, Vec<u8>), kept::Owed>,
    /// Entries whose number a restored store gave again after it was sealed: no word fits them, until
    /// they have a place in their author's next life.
    twice: BTreeMap<Key, Said>,
    /// Command whose batch is being watched for chunks.
    watched: Option<(HostId, Meant)>,
    /// An ECG whose batch has not left yet: with as many batches in flight as there may be, it waits.
    late: BTreeMap<HostId, Key>,
}

impl Truth {
    /// A command was taken; its batches follow.
    pub fn on_command(&mut self, world: &World, host: HostId, command: &Command, made: &Made) {
        match command {
            Command::CreateThread { history, .. } => {
                let Some(thread) = made.thread else { return };
                let intent = Intent {
                    founder: host,
                    history: *history,
                    changes: Vec::new(),
                };
                self.threads.insert(thread, intent);
                self.claim_slots(world, thread);
                self.learn(world, host, thread);
            }
            Command::Add { thread, dev, .. } => self.change(world, host, *thread, *dev, true),
            Command::Remove { thread, dev } => {
                self.change(world, host, *thread, *dev, false);
                self.on_removal(world, host, *thread, *dev);
            }
            Command::Send { thread, what, .. } => {
                if let Some(entry) = made.entry {
                    self.say(world, host, *thread, entry, what);
                }
            }
            Command::Trust { .. }
            | Command::Refound { .. }
            | Command::LearnAdmin { .. }
            | Command::LearnCard { .. }
            | Command::Revoke { .. }
            | Command::PinRelays { .. }
            | Command::MakeCard { .. }
            | Command::SignOn { .. }
            | Command::SignOff => {}
        }
    }

    /// A device has lost keys of a thread, through no fault of the rules.
    pub fn on_loss(&mut self, now_us: u64, host: HostId, thread: ThreadId) {
        self.losses.insert((host, thread), now_us);
        self.paths.unsettle(thread, host);
    }

    /// A device lies from here on: what it signs is no rule's business, what others do is.
    pub fn on_lie(&mut self, host: HostId) {
        self.liars.insert(host);
    }

    /// All outputs of a command are out: `Stored` may come once the last batch so far is durable.
    pub fn after_command(&mut self, world: &World, host: HostId, made: &Made) {
        let h = &world.hosts[host];
        let meant = self.watched.take().map(|(_, meant)| meant);
        if let Some(Meant::Entry(key)) = &meant
            && self
                .said
                .get(key)
                .is_some_and(|said| said.has_file && said.object.is_none())
        {
            self.late.insert(host, *key);
        }
        self.pending
            .insert((host, h.life, made.command), (h.submitted, meant));
    }

    /// A machine hands out a batch.
    pub fn on_batch(&mut self, world: &mut World, host: HostId, batch: &Batch) {
        // an entry may get its place and its seal in one batch: the place comes first
        for (key, value) in batch.rows() {
            if let (Some(b'p'), Some(row)) = (key.first(), value)
                && key.len() == 25
            {
                self.on_entry_row(world, host, key, row);
            }
        }
        self.on_node_rows(world, host, batch);
        let late = self.late.remove(&host).filter(|_| self.watched.is_none());
        if let Some(key) = late {
            self.watched = Some((host, Meant::Entry(key)));
        }
        for (key, value) in batch.rows() {
            match (key.first(), value) {
                (Some(b'e'), Some(value)) if key.len() == 26 => self.on_envelope_row(world, host, key, value),
                // a batch that waited may hold chunks that came from others beside those of the command
                (Some(b'c'), Some(_)) if key.len() == 30 && !came_from_others(world, host, key) => {
                    self.on_chunk_row(host, key);
                }
                (Some(b'm'), value) => self.on_carried_row(world, host, key, value),
                _ => {}
            }
        }
        if late.is_some() {
            self.watched = None;
        }
    }

    /// A machine told something.
    pub fn on_event(&mut self, world: &mut World, host: HostId, event: &Event) {
        match event {
            Event::Stored { command } => self.check_stored(world, host, *command),
            Event::MembersChanged { thread } | Event::ThreadReady { thread } => {
                self.learn(world, host, *thread);
            }
            Event::Arrived { thread, entry, .. } => self.check_arrived(world, host, key_of(*thread, *entry)),
            Event::LayerArrived { thread, entry, layer } => {
                self.check_layer(world, host, key_of(*thread, *entry), *layer);
            }
            Event::Delivery {
                thread,
                entry,
                dev,
                state,
                ..
            } => {
                world.counters.deliveries_checked += 1;
                self.check_word(world, host, key_of(*thread, *entry), *dev, state);
            }
            // whoever sees two commits of a liar on one node says so
            Event::Equivocation { slot, .. }
                if self.owner(*slot).is_some_and(|h| self.liars.contains(&h)) => {}
            Event::Equivocation { thread, slot, seq } => {
                let what = format!("{thread} {slot}/{seq} at {}", world.hosts[host].name);
                world.accuse("honest devices do not equivocate", what);
            }
            Event::CardMade { .. }
            | Event::Moved { .. }
            | Event::SendingStopped { .. }
            | Event::SendingResumed { .. }
            | Event::PeerMisbehaved { .. }
            | Event::Refused { .. }
            | Event::Revoked { .. }
            | Event::StoreFailed => {}
        }
    }

    /// The machine is gone; what was not durable was never said.
    pub fn on_crash(&mut self, world: &mut World, host: HostId) {
        self.pending.retain(|(at, ..), _| *at != host);
        if let Some(key) = self.first_lost(world, host) {
            let what = format!("{} lost {}/{} in a crash", world.hosts[host].name, key.1, key.2);
            world.accuse("nothing acknowledged is lost", what);
        }
        let h = &world.hosts[host];
        self.said.retain(|key, said| {
            said.author != host || h.rebuilt_us.is_some_and(|us| said.at_us < us) || is_durable(h, key)
        });
        self.twice
            .retain(|key, said| said.author != host || is_durable(h, key));
        self.paths_cut(world, host);
        self.dropped_cut(world, host);
    }

    /// An own entry that was told to be stored, and is not there. What a restored store lost does not
    /// count: that is why its device is added anew.
    pub fn first_lost(&self, world: &World, host: HostId) -> Option<Key> {
        let h = &world.hosts[host];
        let all = self.said.iter().chain(&self.twice);
        let own = all.filter(|(_, said)| said.author == host && said.stored);
        let mut own = own.filter(|(_, said)| h.rebuilt_us.is_none_or(|us| said.at_us >= us));
        // who is removed and added more than once carries an entry on each time
        let next = |key: &Key| self.said.get(key).and_then(|said| said.moved);
        let kept = |key: &Key, said: &Said| {
            let mut places = std::iter::successors(said.moved, next).take(limits::LIVES as usize);
            is_durable(h, key) || places.any(|to| is_durable(h, &to))
        };
        own.find(|(key, said)| !kept(key, said)).map(|(key, _)| *key)
    }

    /// The store was put back to an older state, or to nothing.
    pub fn on_rebuild(&mut self, world: &World, host: HostId) {
        self.knows.retain(|(at, _), _| *at != host);
        self.paths_forgotten(host);
        self.dropped.retain(|(at, ..)| *at != host);
        let disk = &world.hosts[host].disk;
        self.said.retain(|key, said| {
            said.author != host || said.sealed.is_some() || disk.ever(&table::entry(key.0, key.1, key.2))
        });
    }

    fn say(&mut self, world: &World, host: HostId, thread: ThreadId, entry: EntryRef, what: &Outgoing) {
        let key = key_of(thread, entry);
        self.watched = Some((host, Meant::Entry(key)));
        let said = Said {
            author: host,
            at_us: world.now_us,
            asked: members(world, host, thread),
            by_person: true,
            has_file: matches!(what, Outgoing::Ecg { .. }),
            followed: !matches!(what, Outgoing::Seen { .. } | Outgoing::Ack { .. }),
            ..Said::default()
        };
        if self.said.get(&key).is_some_and(|said| said.sealed.is_some()) {
            // a restored store gave a number again; what was sealed stays what the others have
            self.twice.insert(key, said);
        } else {
            self.twice.remove(&key);
            self.said.insert(key, said);
        }
        let Some((person, dev)) = crate::cast::person_of(world, host).zip(world.hosts[host].dev()) else {
            return;
        };
        match what {
            Outgoing::Seen { entry, .. } => {
                self.presses
                    .insert((key_of(thread, *entry), dev, person, Press::Seen));
            }
            Outgoing::Ack { entry, act, .. } => {
                let press = Press::Answer(*act);
                self.presses.insert((key_of(thread, *entry), dev, person, press));
            }
            Outgoing::Note(_)
            | Outgoing::Ecg { .. }
            | Outgoing::Alert { .. }
            | Outgoing::Recall { .. }
            | Outgoing::Roster(_) => {}
        }
    }

    fn change(&mut self, world: &World, host: HostId, thread: ThreadId, dev: Dev, added: bool) {
        let Some(intent) = self.threads.get_mut(&thread) else {
            return;
        };
        self.watched = Some((host, Meant::Change(thread, intent.changes.len())));
        intent.changes.push(Change {
            at_us: world.now_us,
            dev,
            added,
            by: host,
            stored: false,
        });
    }

    /// Every slot that any device can have in this thread, by the formula of the protocol.
    fn claim_slots(&mut self, world: &World, thread: ThreadId) {
        for (id, host) in world.hosts.iter().enumerate() {
            let Some(member) = &host.identity.member else {
                continue;
            };
            for incarnation in 1..=12 {
                let slot = Slot::of(thread, &member.device.public(), incarnation);
                self.slots.insert(slot, (thread, id));
            }
        }
    }

    /// Whose log it is.
    pub fn owner(&self, slot: Slot) -> Option<HostId> {
        self.slots.get(&slot).map(|(_, host)| *host)
    }

    fn on_chunk_row(&mut self, host: HostId, key: &[u8]) {
        let Some((at, Meant::Entry(entry))) = self.watched else {
            return;
        };
        let again = self.twice.get_mut(&entry).filter(|said| said.moved.is_none());
        let Some(said) = again.or(self.said.get_mut(&entry)) else {
            return;
        };
        if at == host
            && let Some(object) = Object8::from_prefix(&key[17..])
        {
            said.object = Some(object);
            *said.layers.entry(key[25]).or_default() += 1;
        }
    }

    /// Looks up what a device knows of a thread's members.
    fn learn(&mut self, world: &World, host: HostId, thread: ThreadId) -> BTreeSet<Dev> {
        let now = members(world, host, thread);
        let knows = self.knows.entry((host, thread)).or_default();
        knows.ever.extend(now.iter().copied());
        knows.now = now.clone();
        now
    }
}

/// Members of a thread as a device knows them.
fn members(world: &World, host: HostId, thread: ThreadId) -> BTreeSet<Dev> {
    let machine = world.hosts[host].machine.as_ref();
    let view = machine.and_then(|m| m.view(thread));
    view.into_iter().flat_map(|v| v.members).map(|m| m.dev).collect()
}

/// Whether another device ever had this row.
fn came_from_others(world: &World, host: HostId, key: &[u8]) -> bool {
    let others = world.hosts.iter().enumerate().filter(|(at, _)| *at != host);
    others.into_iter().any(|(_, other)| other.disk.ever(key))
}

fn is_durable(host: &Host, key: &Key) -> bool {
    matches!(host.disk.get(&table::entry(key.0, key.1, key.2)), Ok(Some(_)))
}

/// The key of an entry in a thread.
pub fn key_of(thread: ThreadId, entry: EntryRef) -> Key {
    (thread, entry.slot, entry.seq)
}

/// Reads a key of the tables `p` and `e`; in `e` a column follows the slot.
fn read_key(key: &[u8], column: usize) -> Option<Key> {
    let thread = ThreadId::from_prefix(key.get(1..)?)?;
    let slot = Slot::from_prefix(key.get(17..)?)?;
    let seq: [u8; 4] = key.get(21 + column..25 + column)?.try_into().ok()?;
    Some((thread, slot, Seq::from_be_bytes(seq)))
}
