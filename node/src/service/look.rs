//! A look at the machine between two of its inputs, and how things are called.
//!
//! All mapping from the machine to the plain data of the API is made from a [`Look`], so it can be tested
//! with a machine on a table. Ids are lower-case hex; names come from certificates; keys of relays from the
//! configuration. Whatever an author wrote is passed on as it is: who shows it decides what a terminal or a
//! page may get.

use super::faults::{self, Failure};
use super::when;
use aidmesh_core::delivery::words::Names;
use aidmesh_core::directory::DeviceCert;
use aidmesh_core::id::{Key8, Org, Person, ThreadId};
use aidmesh_core::machine::{EntryRef, EntryView, Machine, ThreadView};
use aidmesh_core::store::Read;
use aidmesh_core::time::Wall;
use data_encoding::HEXLOWER;
use std::collections::BTreeMap;

/// Title of the conversations that carry cards. They are hidden: nobody chose them.
pub const DIRECTORY: &str = "@directory";

/// What a look needs beside the machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    /// Now, by this device's clock.
    pub now: Wall,
    /// Relays by their keys.
    pub relays: BTreeMap<Key8, String>,
}

/// See the module.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// Its store.
    pub store: &'a dyn Read,
    /// The rest.
    pub around: &'a Around,
}

impl Look<'_> {
    /// A thread that people see.
    pub(super) fn thread(&self, id: ThreadId) -> Option<ThreadView> {
        // until its genesis is here nothing is known of it, not even whether it is one of people
        self.machine
            .view(id)
            .filter(|view| view.kind.is_some() && view.title != DIRECTORY)
    }

    /// Threads that people see.
    pub(super) fn threads(&self) -> Vec<(ThreadId, ThreadView)> {
        let all = self.machine.threads().into_iter();
        all.filter_map(|id| Some((id, self.thread(id)?))).collect()
    }

    /// An entry that is open here.
    pub(super) fn entry(&self, thread: ThreadId, at: EntryRef) -> Result<Option<EntryView>, Failure> {
        let read = self.machine.entry(self.store, thread, at);
        read.map_err(|why| faults::unreadable(&why))
    }

    /// This device.
    pub(super) fn own(&self) -> Result<DeviceCert, Failure> {
        let own = self.machine.certificate();
        own.ok_or_else(|| faults::inside("a member without a certificate"))
    }

    /// A person's name; a short id if no certificate of the person is here.
    pub(super) fn person(&self, person: Person) -> String {
        let own = self.machine.certificate();
        let known = self.machine.directory().devices();
        let mut all = own.iter().chain(known).filter(|cert| cert.person == person);
        match all.next() {
            Some(cert) => cert.name.as_str().to_owned(),
            None => self.member_of_a_thread(person),
        }
    }

    /// Whoever was added by others may be known by the thread alone.
    fn member_of_a_thread(&self, person: Person) -> String {
        let threads = self.machine.threads().into_iter();
        let members = threads
            .filter_map(|id| self.machine.view(id))
            .flat_map(|v| v.members);
        let mut certs = members.filter_map(|m| m.cert).filter(|c| c.person == person);
        match certs.next() {
            Some(cert) => cert.name.as_str().to_owned(),
            None => format!("person {}", hex8(&person.0)),
        }
    }

    /// An organisation's name; a short id if its card is not here.
    pub(super) fn organisation(&self, org: Org) -> String {
        let mut roots = self.machine.directory().roots();
        let root = roots.find(|(id, _)| **id == org);
        root.map_or_else(|| hex8(&org.0), |(_, card)| card.name.as_str().to_owned())
    }

    /// Gives `show` the names that words of delivery need.
    pub(super) fn with_names<R>(&self, show: impl FnOnce(&Names<'_>) -> R) -> R {
        show(&Names {
            time: &|at| when::clock(at, self.around.now),
            person: &|person| self.person(person),
            key: &|key| {
                let known = self.around.relays.get(&key);
                known.map_or_else(|| format!("relay {}", hex8(&key.0)), String::clone)
            },
        })
    }
}

/// The first 8 hex digits.
pub(super) fn hex8(id: &[u8]) -> String {
    HEXLOWER.encode(id.get(..4).unwrap_or(id))
}

/// All hex digits of a thread.
pub(super) fn thread_id(thread: ThreadId) -> String {
    HEXLOWER.encode(&thread.0)
}

/// `THREAD8-SLOT8-NUMBER`.
pub(super) fn entry_id(thread: ThreadId, at: EntryRef) -> String {
    format!("{}-{}-{}", hex8(&thread.0), hex8(&at.slot.0), at.seq)
}
