//! What people do, and do again: whoever's device is off waits until it runs, and an act that a crash took
//! back before it was stored is done once more.
//!
//! Nothing is done twice that was stored, and nobody waits longer than two minutes for a device. While no
//! step has planned anything ([`super::background`]) an act takes no time, as nothing can come between.

use super::play::{Play, entry_ref};
use crate::cast::{card_of, expect};
use crate::net::HostId;
use crate::story::SuiteName;
use crate::truth::{Change, Key, end, key_of};
use crate::world::SECOND;
use aidmesh_core::clinical::{Act, Emergency};
use aidmesh_core::directory::Role;
use aidmesh_core::envelope::Class;
use aidmesh_core::id::{Dev, ThreadId};
use aidmesh_core::machine::command::{Command, Outgoing};
use aidmesh_core::machine::insider::Lie;

/// How long people wait for a device that is off, seconds.
const PATIENCE_S: u64 = 120;
/// How often people begin again.
const TRIES: usize = 20;
/// Between two looks whether an act is stored, microseconds.
const LOOK_US: u64 = SECOND / 100;

impl Play<'_> {
    pub(super) fn send(&mut self, by: &str, thread: &str, entry: &str, class: Class, what: Outgoing) {
        let (Some(host), Some(thread)) = (self.host(by), self.thread(thread)) else {
            return;
        };
        for _ in 0..TRIES {
            if !self.runs(host) {
                return self.fail(format!("{by} does not run"));
            }
            let what = what.clone();
            match self.world.command(host, Command::Send { thread, class, what }) {
                Some(Ok(made)) => {
                    let Some(at) = made.entry else { return };
                    let key = key_of(thread, at);
                    self.entries.insert(entry.to_owned(), key);
                    self.world.titles.insert(key, entry.to_owned());
                    self.tell(by, &format!("writes {entry}"));
                    if self.keeps(host, |play| play.stored(key)) {
                        return;
                    }
                }
                Some(Err(why)) => return self.fail(format!("{by} cannot write {entry}: {why}")),
                None => {}
            }
        }
        self.fail(format!("{by} lost {entry} {TRIES} times"));
    }

    pub(super) fn alert(&mut self, by: &str, thread: &str, entry: &str, about: &str, text: &str) {
        let Some(key) = self.key(about) else { return };
        let what = Outgoing::Alert {
            what: Emergency::Stemi,
            role: Role::Cardiologist,
            text: text.to_owned(),
            about: Some(entry_ref(key)),
        };
        self.send(by, thread, entry, Class::Alarm, what);
    }

    pub(super) fn refound(&mut self, by: &str, thread: &str, suite: Option<SuiteName>) {
        let (Some(host), Some(thread)) = (self.host(by), self.thread(thread)) else {
            return;
        };
        let text = match suite {
            Some(suite) => format!("asks all to go on with {suite:?}"),
            None => "takes its request back".to_owned(),
        };
        self.tell(by, &text);
        let suite = suite.map(SuiteName::suite);
        expect(&mut self.world, host, Command::Refound { thread, suite });
    }

    pub(super) fn lose_keys(&mut self, device: &str, thread: &str) {
        let (Some(host), Some(thread)) = (self.host(device), self.thread(thread)) else {
            return;
        };
        self.tell(device, "has no use for the newest keys");
        if self.world.lie(host, &Lie::Lose { thread }).is_none() {
            self.fail(format!("{device} has no keys to lose"));
        }
    }

    /// Whether the newest node of all members has the suite.
    pub(super) fn has_suite(&mut self, thread: &str, suite: SuiteName) -> bool {
        let Some(thread) = self.thread(thread) else {
            return false;
        };
        let (truth, world) = (&self.world.truth, &self.world);
        let members = end::members(truth, world, thread);
        let mut views = members.iter().map(|host| end::view_of(world, *host, thread));
        views.all(|view| view.is_some_and(|view| view.suite == Some(suite.suite())))
    }

    pub(super) fn answer(&mut self, by: &str, entry: &str, ack: bool) {
        let Some((key, host)) = self.entry_at(entry, by) else {
            return;
        };
        let said = self.world.truth.said.get(&key);
        let layer = said.and_then(|said| said.layers.keys().max().copied());
        let at = entry_ref(key);
        let what = match ack {
            true => Outgoing::Ack {
                entry: at,
                act: Act::Acknowledged,
                layer,
            },
            false => Outgoing::Seen { entry: at, layer },
        };
        self.tell(
            by,
            &format!("{} {entry}", if ack { "acknowledges" } else { "looks at" }),
        );
        let (thread, class) = (key.0, Class::Text);
        expect(&mut self.world, host, Command::Send { thread, class, what });
    }

    pub(super) fn recall(&mut self, by: &str, entry: &str) {
        let Some((key, host)) = self.entry_at(entry, by) else {
            return;
        };
        let what = Outgoing::Recall {
            entry: entry_ref(key),
            why: "wrong patient".to_owned(),
        };
        self.tell(by, &format!("takes {entry} back"));
        let (thread, class) = (key.0, Class::Alarm);
        expect(&mut self.world, host, Command::Send { thread, class, what });
    }

    pub(super) fn add(&mut self, by: &str, thread: &str, device: &str) {
        let (Some(adder), Some(host), Some(id)) = (self.host(by), self.host(device), self.thread(thread))
        else {
            return;
        };
        let dev = self.world.hosts[host].dev().unwrap_or_default();
        for _ in 0..TRIES {
            if !(self.runs(host) && self.runs(adder)) {
                return self.fail(format!("{by} cannot add {device}: one of them is off"));
            }
            let Some(card) = card_of(&mut self.world, host, self.story.suite.suite()) else {
                continue;
            };
            self.tell(by, &format!("adds {device} to {thread}"));
            let role = self.role_of(device);
            expect(&mut self.world, adder, Command::LearnCard { card });
            let thread = id;
            expect(&mut self.world, adder, Command::Add { thread, dev, role });
            if self.change_holds(adder, id, dev, true) {
                return;
            }
        }
        self.fail(format!("{device} makes no card, or {by} cannot add it"));
    }

    pub(super) fn remove(&mut self, by: &str, thread: &str, device: &str) {
        let (Some(remover), Some(host), Some(id)) = (self.host(by), self.host(device), self.thread(thread))
        else {
            return;
        };
        let dev = self.world.hosts[host].dev().unwrap_or_default();
        for _ in 0..TRIES {
            if !self.runs(remover) {
                return self.fail(format!("{by} cannot remove {device}: it is off"));
            }
            self.tell(by, &format!("removes {device} from {thread}"));
            expect(&mut self.world, remover, Command::Remove { thread: id, dev });
            if self.change_holds(remover, id, dev, false) {
                return;
            }
        }
        self.fail(format!("{by} cannot remove {device}"));
    }

    pub(super) fn revoke(&mut self, device: &str, told: &str) {
        let (Some(host), Some(at)) = (self.host(device), self.host(told)) else {
            return;
        };
        self.tell(told, &format!("hears that the key of {device} is revoked"));
        if let Some(revocation) = self.org.revocation(&self.world, host) {
            expect(&mut self.world, at, Command::Revoke { revocation });
        }
    }

    fn runs(&mut self, host: HostId) -> bool {
        self.wait(PATIENCE_S, |play| play.world.hosts[host].is_awake())
    }

    /// Lets time go by until an act is stored or a crash took it back: `is_stored` says `None` then.
    fn keeps(&mut self, host: HostId, is_stored: impl Fn(&Play<'_>) -> Option<bool>) -> bool {
        let life = self.world.hosts[host].life;
        while !self.plans.is_empty() && self.world.violation.is_none() {
            match is_stored(self) {
                Some(true) => return true,
                None => return false,
                // a crash that left it on the disk took back only that this was told
                Some(false) if self.world.hosts[host].life != life => return true,
                Some(false) => self.pass(LOOK_US),
            }
        }
        true
    }

    fn stored(&self, key: Key) -> Option<bool> {
        self.world.truth.said.get(&key).map(|said| said.stored)
    }

    /// Whether the newest change of a device is stored; after a crash its author's view says so.
    fn change_holds(&mut self, host: HostId, thread: ThreadId, dev: Dev, added: bool) -> bool {
        let life = self.world.hosts[host].life;
        let newest = move |play: &Play<'_>| -> Option<Change> {
            let changes = &play.world.truth.threads.get(&thread)?.changes;
            changes.iter().rfind(|c| c.dev == dev && c.by == host).copied()
        };
        self.keeps(host, |play| newest(play).map(|change| change.stored));
        if self.world.hosts[host].life == life {
            return true;
        }
        if !self.runs(host) {
            return false;
        }
        let machine = self.world.hosts[host].machine.as_ref();
        let view = machine.and_then(|machine| machine.view(thread));
        view.is_some_and(|view| view.members.iter().any(|m| m.dev == dev) == added)
    }

    fn role_of(&self, device: &str) -> Role {
        let spec = self.devices.iter().find(|d| d.name == device);
        spec.map_or(Role::Nurse, |d| d.role.role())
    }
}
