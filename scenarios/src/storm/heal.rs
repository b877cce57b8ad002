//! The end of a run: everything is healed, nothing new goes wrong, all must arrive.

use super::{CONVERGE_US, Storm, Weather};
use crate::net::HostId;
use crate::truth::{end, forgotten};
use crate::world::{MINUTE, SECOND};
use aidmesh_core::id::ThreadId;
use aidmesh_core::machine::command::Command;
use aidmesh_core::machine::event::Stopped;

/// In which each member's head gets to all others.
const HEADS_US: u64 = 3 * MINUTE;

impl Storm {
    pub(super) fn heal(&mut self) {
        if self.world.violation.is_some() {
            return;
        }
        self.world.disks.fail_permille = 0;
        self.world.disks.delay_us_max = 5_000;
        self.later.clear();
        // a card that a crash swallowed is waited for no longer
        self.joining.clear();
        self.parted.clear();
        for host in 0..self.world.hosts.len() {
            if let Some(until) = self.world.hosts[host].asleep_until {
                self.world.hosts[host].asleep_until = Some(until.min(self.world.now_us));
                self.world.rouse(host);
            }
            self.world.reopen(host, false);
            if self.world.hosts[host].rebuilt_us.is_some() {
                // a crash may have undone what its owner did after the store was lost
                self.org.introduce(&mut self.world, host);
            }
        }
        for cable in 0..self.world.cables.len() {
            self.world.set_line(cable, Weather::calm_line());
        }
        let healed = self.world.now_us;
        let mut missing = Some("nothing was looked at".to_owned());
        let mut calm = 0;
        while self.world.now_us < healed + CONVERGE_US && self.world.violation.is_none() {
            self.step(10 * SECOND);
            self.add_restored();
            missing = end::missing(&self.world.truth, &self.world);
            calm = if missing.is_none() { calm + 1 } else { 0 };
            if calm == 2 {
                break;
            }
        }
        if self.world.violation.is_some() {
            return;
        }
        if let Some(what) = missing {
            let what = format!("{} min after healing: {what}", CONVERGE_US / MINUTE);
            return self.world.accuse("everything arrives after healing", what);
        }
        self.converged_us = Some(self.world.now_us - healed);
        self.leak();
        for host in 0..self.world.hosts.len() {
            if let Some(key) = self.world.truth.first_lost(&self.world, host) {
                let what = format!("{} lost {}/{}", self.world.hosts[host].name, key.1, key.2);
                self.world.accuse("nothing acknowledged is lost", what);
            }
        }
        self.long_quiet();
    }

    /// Everybody signs where it stands; then no line is up for days, and old keys go.
    fn long_quiet(&mut self) {
        self.step(HEADS_US);
        for cable in 0..self.world.cables.len() {
            self.world.cut_cable(cable, false);
        }
        self.step(forgotten::QUIET_US);
        let overdue = forgotten::overdue(&self.world.truth, &self.world);
        if let Some(what) = overdue.filter(|_| self.world.violation.is_none()) {
            self.world.accuse("keys that nobody needs are deleted", what);
        }
    }

    /// A device whose store was restored says so and is added again by a person, after somebody who
    /// has the right to it removed the life that it forgot.
    fn add_restored(&mut self) {
        for thread in self.threads.clone() {
            for host in self.members.clone() {
                if self.must_be_added(thread, host) && !self.joining.iter().any(|j| j.0 == host) {
                    let dev = self.dev(host);
                    let mut others = self.members.clone();
                    others.retain(|other| *other != host);
                    let removed = others.iter().any(|other| {
                        let answer = self.world.command(*other, Command::Remove { thread, dev });
                        matches!(answer, Some(Ok(_)))
                    });
                    // who may not add it leaves it outside, which is lawful too
                    if removed && let Some(&by) = self.chance.pick(&others) {
                        self.join(host, thread, by);
                    }
                }
            }
        }
    }

    fn must_be_added(&self, thread: ThreadId, host: HostId) -> bool {
        let h = &self.world.hosts[host];
        let Some(machine) = &h.machine else {
            return false;
        };
        let waits = match (machine.view(thread), h.rebuilt_us) {
            (Some(view), Some(_)) => match view.stopped {
                Some(Stopped::Restored) => true,
                // added with a card whose secrets its restored store forgot: it never came
                Some(Stopped::Removed) => self.added_long_ago(thread, host),
                _ => false,
            },
            (None, Some(us)) => !self.added_since(thread, host, us) || self.welcome_is_lost(thread, host),
            (None, None) => self.welcome_is_lost(thread, host),
            (Some(_), None) => false,
        };
        let speaker = || end::speaker(&self.world.truth, &self.world, thread);
        let counted = || self.world.hosts[speaker()?].machine.as_ref()?.view(thread);
        let dev = self.dev(host);
        waits && counted().is_some_and(|view| view.members.iter().any(|m| m.dev == dev))
    }

    /// Some store was restored after the device was added last: its Welcome may have been lost with it.
    /// People see that somebody never came, and begin again.
    fn welcome_is_lost(&self, thread: ThreadId, host: HostId) -> bool {
        let rebuilt = self.world.hosts.iter().filter_map(|h| h.rebuilt_us).max();
        self.added_at(thread, host) < rebuilt && self.added_long_ago(thread, host)
    }

    /// When somebody added the device last.
    fn added_at(&self, thread: ThreadId, host: HostId) -> Option<u64> {
        let dev = self.dev(host);
        let changes = self.world.truth.threads[&thread].changes.iter();
        changes.filter(|c| c.dev == dev && c.added).map(|c| c.at_us).max()
    }

    fn added_long_ago(&self, thread: ThreadId, host: HostId) -> bool {
        let added = self.added_at(thread, host);
        added.is_some_and(|at| self.world.now_us > at + 10 * MINUTE)
    }

    /// It was added after its store was restored, and the Welcome is on its way.
    fn added_since(&self, thread: ThreadId, host: HostId, us: u64) -> bool {
        let dev = self.dev(host);
        let changes = &self.world.truth.threads[&thread].changes;
        changes.iter().any(|c| c.dev == dev && c.added && c.at_us > us)
    }
}
