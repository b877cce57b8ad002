//! What can go wrong with devices and cables: crashes, restored stores, sleep, cuts, deaf directions.

use super::{MINUTE, Plan, World};
use crate::net::{CableId, HostId, Line};
use aidmesh_core::machine::input::{Input, LinkId};

impl World {
    /// The machine is gone at once, with `keep` unconfirmed batches on its disk.
    pub fn crash(&mut self, host: HostId, keep: usize) {
        if self.hosts[host].machine.take().is_none() {
            return;
        }
        self.hosts[host].life += 1;
        self.hosts[host].asleep_until = None;
        self.hosts[host].disk.cut(keep);
        self.cut_cables_of(host);
        self.with_truth(|truth, world| truth.on_crash(world, host));
    }

    /// Opens a crashed device again; `reboot` starts its monotonic clock anew.
    pub fn reopen(&mut self, host: HostId, reboot: bool) {
        if self.hosts[host].machine.is_some() {
            return;
        }
        if reboot {
            self.hosts[host].clock.reboot(self.now_us);
        }
        self.open(host);
        self.raise_cables_of(host);
    }

    /// Crashes the device and opens it again after `pause_us`.
    pub fn crash_for(&mut self, host: HostId, keep: usize, pause_us: u64, reboot: bool) {
        self.crash(host, keep);
        self.plan(self.now_us + pause_us, Plan::Reopen { host, reboot });
    }

    /// Crashes the device, puts an older snapshot (or nothing) on its disk, and opens it again. The
    /// host's counter of openings is kept, since it stands outside the store. Returns whether the device
    /// knows nothing any more and must be enrolled again.
    pub fn rebuild(&mut self, host: HostId, empty: bool) -> bool {
        self.crash(host, 0);
        self.hosts[host].disk.restore(empty);
        self.hosts[host].rebuilt_us = Some(self.now_us);
        self.counters.rebuilds += 1;
        self.with_truth(|truth, world| truth.on_rebuild(world, host));
        let nothing_left = self.hosts[host].disk.rows().is_empty();
        self.reopen(host, true);
        nothing_left
    }

    /// Stops the program, takes a backup of its store, and starts it again.
    pub fn backup(&mut self, host: HostId) {
        if self.hosts[host].machine.is_none() {
            return;
        }
        self.crash(host, usize::MAX);
        self.hosts[host].disk.backup();
        self.reopen(host, false);
    }

    /// The device sleeps; its links go down.
    pub fn sleep(&mut self, host: HostId, until_us: u64) {
        if !self.hosts[host].is_awake() {
            return;
        }
        self.cut_cables_of(host);
        self.counters.sleeps += 1;
        self.hosts[host].asleep_until = Some(until_us);
    }

    /// The device wakes if its time has come.
    pub fn rouse(&mut self, host: HostId) {
        if self.hosts[host]
            .asleep_until
            .is_some_and(|until| until <= self.now_us)
        {
            self.hosts[host].asleep_until = None;
            self.give(host, Input::Wake);
            self.raise_cables_of(host);
        }
    }

    /// Takes a cable down; it stays so until it is wanted again.
    pub fn cut_cable(&mut self, cable: CableId, wanted: bool) {
        self.cables[cable].wanted = wanted;
        let hosts = [0, 1].map(|side| self.cables[cable].sides[side].host);
        let links = self.cables[cable].cut();
        for (host, link) in hosts.into_iter().zip(links) {
            if let Some(link) = link {
                self.give(host, Input::LinkDown { link });
            }
        }
    }

    /// Lets a cable come up now.
    pub fn want_cable(&mut self, cable: CableId) {
        self.cables[cable].wanted = true;
        self.plan(self.now_us, Plan::Raise { cable });
    }

    /// The cable of a link goes down and comes up again after `pause_us`, unless it does so before.
    pub fn renew(&mut self, host: HostId, link: LinkId, pause_us: u64) {
        if let Some((cable, _)) = self.cable_of(host, link) {
            let life = self.cables[cable].life;
            self.plan(self.now_us + pause_us, Plan::Renew { cable, life });
        }
    }

    /// Exchanges the line of a cable; it goes down and comes up with the new one.
    pub fn set_line(&mut self, cable: CableId, line: Line) {
        self.cut_cable(cable, true);
        self.cables[cable].line = line;
        for side in &mut self.cables[cable].sides {
            side.deaf = false;
        }
        self.plan(self.now_us, Plan::Raise { cable });
    }

    pub(super) fn chance_seed(&mut self) -> [u8; 32] {
        self.chance.seed()
    }

    pub(super) fn raise(&mut self, cable: CableId) {
        let c = &self.cables[cable];
        let hosts = [c.sides[0].host, c.sides[1].host];
        let awake = hosts.iter().all(|host| self.hosts[*host].is_awake());
        if !c.wanted || c.is_up() || !awake {
            return;
        }
        let links = hosts.map(|host| self.hosts[host].next_link());
        let keys = hosts.map(|host| self.hosts[host].identity.routing.public());
        self.cables[cable].raise(links, &mut self.chance);
        for side in [0, 1] {
            let info = self.cables[cable].info(keys[1 - side], keys);
            let link = links[side];
            self.give(hosts[side], Input::LinkUp { link, info });
        }
        let life = self.cables[cable].life;
        for side in [0, 1] {
            self.plan(self.now_us, Plan::Drained { cable, life, side });
        }
    }

    fn cut_cables_of(&mut self, host: HostId) {
        for cable in self.cables_of(host) {
            let wanted = self.cables[cable].wanted;
            self.cut_cable(cable, wanted);
        }
    }

    fn raise_cables_of(&mut self, host: HostId) {
        for cable in self.cables_of(host) {
            self.plan(self.now_us, Plan::Raise { cable });
        }
    }

    /// Cables with an end at this device.
    pub fn cables_of(&self, host: HostId) -> Vec<CableId> {
        let touching = |c: &crate::net::Cable| c.sides.iter().any(|side| side.host == host);
        (0..self.cables.len())
            .filter(|id| touching(&self.cables[*id]))
            .collect()
    }

    /// World time in whole minutes.
    pub fn minutes(&self) -> u64 {
        self.now_us / MINUTE
    }
}
