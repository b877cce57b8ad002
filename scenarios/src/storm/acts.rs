//! One act: something that a person, a fault or a hostile peer does.

use super::Storm;
use crate::hostile;
use crate::net::HostId;
use crate::story::Recording;
use crate::world::{MINUTE, SECOND};
use aidmesh_core::blob::Layer;
use aidmesh_core::clinical::{Act, Emergency};
use aidmesh_core::directory::Role;
use aidmesh_core::entry::Kind;
use aidmesh_core::envelope::Class;
use aidmesh_core::id::ThreadId;
use aidmesh_core::machine::command::{Command, EntryRef, LayerData, Outgoing};
use aidmesh_core::machine::event::Event;
use aidmesh_core::machine::input::Input;
use aidmesh_core::machine::insider::Lie;
use bytes::Bytes;

impl Storm {
    /// Does one thing.
    pub(super) fn act(&mut self) {
        let weather = self.weather.clone();
        if weather.restless && self.chance.percent(60) {
            return self.change_members();
        }
        match self.chance.below(100) {
            0..=34 => self.write(),
            35..=41 => self.send_ecg(),
            42..=47 if weather.late_joins => self.late_join(),
            48..=51 if weather.removals => self.remove(),
            52..=56 if weather.crashes => self.crash(),
            57..=60 if weather.partitions => self.part(),
            61..=66 => self.reunite(),
            67..=72 if weather.flaps => self.flap(),
            73..=75 if weather.deaf => self.deafen(),
            76 if weather.wrong_clocks => self.jump_clock(),
            77 if weather.wrong_clocks => self.jump_relay_clock(),
            78 if weather.sleeps => self.nap(),
            79..=80 | 96..=98 if weather.rebuilds => self.rebuild(),
            81 if weather.rebuilds => self.backup(),
            82..=90 if weather.hostile => self.attack(),
            91..=93 => self.leak(),
            94..=95 => self.recall(),
            _ => {}
        }
    }

    /// One of the acts that make two nodes of one.
    fn change_members(&mut self) {
        match self.chance.below(10) {
            0..=2 => self.late_join(),
            3..=4 => self.remove(),
            5..=6 => self.part(),
            7 => self.lose_keys(),
            _ => self.reunite(),
        }
    }

    /// Somebody has no use for the newest keys; never the guardian, so that somebody has.
    fn lose_keys(&mut self) {
        let Some((host, thread)) = self.writer() else {
            return;
        };
        if host != self.guardian() {
            self.world.lie(host, &Lie::Lose { thread });
        }
    }

    fn write(&mut self) {
        let Some((host, thread)) = self.writer() else {
            return;
        };
        let class = *self.chance.pick(&Class::ALL).unwrap_or(&Class::Text);
        let n = self.world.counters.messages;
        let length = self.chance.between(0, 300) as usize;
        let text = format!("note {n} {}", "x".repeat(length));
        let what = match class {
            Class::Alarm => Outgoing::Alert {
                what: Emergency::Stemi,
                role: Role::Cardiologist,
                text: format!("alert {n}"),
                about: None,
            },
            _ => Outgoing::Note(text),
        };
        self.send(host, thread, class, what);
    }

    fn send_ecg(&mut self) {
        let Some((host, thread)) = self.writer() else {
            return;
        };
        let seconds = if self.chance.percent(10) { 10 } else { 1 };
        let Some(bytes) = Recording::small(self.chance.draw(), seconds) else {
            return;
        };
        let layers = vec![LayerData {
            layer: Layer::ORIGINAL.to_u8(),
            name: "ecg.dcm".to_owned(),
            bytes,
        }];
        let what = Outgoing::Ecg {
            recorded_ms: None,
            digest: Bytes::from_static(&[7; 94]),
            format: "DICOM".to_owned(),
            layers,
        };
        self.world.counters.ecgs += 1;
        self.send(host, thread, Class::Clinical, what);
    }

    fn send(&mut self, host: HostId, thread: ThreadId, class: Class, what: Outgoing) {
        let command = Command::Send { thread, class, what };
        if let Some(Ok(_)) = self.world.command(host, command) {
            self.world.counters.messages += 1;
        }
    }

    /// A device that is awake and has the thread.
    fn writer(&mut self) -> Option<(HostId, ThreadId)> {
        let thread = *self.chance.pick(&self.threads)?;
        let has = |host: &HostId| {
            let machine = self.world.hosts[*host].machine.as_ref();
            self.world.hosts[*host].is_awake() && machine.is_some_and(|m| m.view(thread).is_some())
        };
        let able: Vec<HostId> = self.members.iter().copied().filter(has).collect();
        Some((*self.chance.pick(&able)?, thread))
    }

    fn late_join(&mut self) {
        let Some((by, thread)) = self.writer() else { return };
        let outside = |host: &HostId| !self.is_meant(thread, *host);
        let candidates: Vec<HostId> = self.members.iter().copied().filter(outside).collect();
        // a removed device comes back only now and then
        let Some(&host) = self.chance.pick(&candidates) else {
            return;
        };
        let dev = self.dev(host);
        let was_in = self.world.truth.threads[&thread]
            .changes
            .iter()
            .any(|c| c.dev == dev);
        if was_in && !self.weather.restless && !self.chance.percent(25) {
            return;
        }
        self.world.counters.late_joins += 1;
        self.join(host, thread, by);
    }

    /// Asks a device for its card; the adder adds it when the card is there.
    pub(super) fn join(&mut self, host: HostId, thread: ThreadId, by: HostId) {
        if host == by {
            return;
        }
        if let Some(Ok(_)) = self
            .world
            .command(host, Command::MakeCard { suite: self.suite() })
        {
            self.joining.push((host, thread, by));
        }
    }

    /// A physician in every thread from the start, who is not removed and loses no store: there is always
    /// somebody who may remove and add a device whose store was restored.
    fn guardian(&self) -> HostId {
        self.members[2]
    }

    fn remove(&mut self) {
        let Some((by, thread)) = self.writer() else { return };
        let inside = |host: &HostId| self.is_meant(thread, *host) && *host != by && *host != self.guardian();
        let victims: Vec<HostId> = self.members.iter().copied().filter(inside).collect();
        if victims.len() < 2 {
            return;
        }
        let Some(&victim) = self.chance.pick(&victims) else {
            return;
        };
        match self.chance.below(4) {
            // away while it is removed
            0 => {
                let until = self.world.now_us + self.chance.between(MINUTE, 10 * MINUTE);
                self.world.sleep(victim, until);
            }
            // writes something that it cannot send any more
            1 => {
                for cable in self.world.cables_of(victim) {
                    self.world.cut_cable(cable, false);
                    self.parted.push(cable);
                }
                let note = Outgoing::Note("last ride".to_owned());
                self.send(victim, thread, Class::Text, note);
            }
            _ => {}
        }
        let dev = self.dev(victim);
        if let Some(Ok(_)) = self.world.command(by, Command::Remove { thread, dev }) {
            self.world.counters.removals += 1;
        }
    }

    fn crash(&mut self) {
        let n = self.world.hosts.len() as u64;
        let host = self.chance.below(n) as usize;
        if self.world.hosts[host].machine.is_none() {
            return;
        }
        self.world.counters.crashes += 1;
        let keep = match self.chance.percent(50) {
            true => self
                .chance
                .between(0, self.world.hosts[host].disk.waiting() as u64) as usize,
            false => 0,
        };
        let pause = self.chance.between(SECOND / 2, 90 * SECOND);
        let reboot = self.chance.percent(50);
        self.world.crash_for(host, keep, pause, reboot);
    }

    fn part(&mut self) {
        self.world.counters.partitions += 1;
        let side: Vec<bool> = self.world.hosts.iter().map(|_| self.chance.percent(50)).collect();
        for cable in 0..self.world.cables.len() {
            let [a, b] = [0, 1].map(|s| self.world.cables[cable].sides[s].host);
            if side[a] != side[b] && self.world.cables[cable].wanted {
                self.world.cut_cable(cable, false);
                self.parted.push(cable);
            }
        }
    }

    fn reunite(&mut self) {
        for cable in std::mem::take(&mut self.parted) {
            self.world.want_cable(cable);
        }
    }

    fn flap(&mut self) {
        let n = self.world.cables.len() as u64;
        let cable = self.chance.below(n) as usize;
        if self.world.cables[cable].is_up() {
            self.world.counters.flaps += 1;
            self.world.cut_cable(cable, true);
            self.world.want_cable(cable);
        }
    }

    fn deafen(&mut self) {
        let n = self.world.cables.len() as u64;
        let cable = self.chance.below(n) as usize;
        let side = self.chance.below(2) as usize;
        let deaf = &mut self.world.cables[cable].sides[side].deaf;
        *deaf = !*deaf;
    }

    fn jump_clock(&mut self) {
        let Some(&host) = self.chance.pick(&self.members[2..]) else {
            return;
        };
        let jump = self.chance.between(0, 4 * 365 * 24 * 3_600_000) as i64;
        let forth = self.chance.percent(50);
        self.world.hosts[host].clock.offset_ms += if forth { jump } else { -jump };
        self.world.counters.clock_jumps += 1;
    }

    /// Somebody sets a relay's wall clock wrong, or right again. It is off by more than an item is kept,
    /// and by less than certificates are valid, so only what wrongly follows the wall goes wrong.
    fn jump_relay_clock(&mut self) {
        let Some(&relay) = self.chance.pick(&self.relays) else {
            return;
        };
        let days = *self.chance.pick(&[40, 40, -40, 0]).unwrap_or(&0);
        self.world.hosts[relay].clock.offset_ms = days * 24 * 3_600_000;
        self.world.counters.clock_jumps += 1;
        if self.world.hosts[relay].is_awake() {
            self.world.give(relay, Input::Wake);
        }
    }

    fn nap(&mut self) {
        let Some(&host) = self.chance.pick(&self.members) else {
            return;
        };
        let until = self.world.now_us + self.chance.between(30 * SECOND, 30 * MINUTE);
        self.world.sleep(host, until);
    }

    pub(super) fn backup(&mut self) {
        for host in 0..self.world.hosts.len() {
            if self.chance.percent(50) {
                self.world.backup(host);
            }
        }
    }

    fn rebuild(&mut self) {
        let hosts = 0..self.world.hosts.len();
        let hosts: Vec<HostId> = hosts.filter(|host| *host != self.guardian()).collect();
        let Some(&host) = self.chance.pick(&hosts) else {
            return;
        };
        if !self.world.hosts[host].is_awake() {
            return;
        }
        let empty = self.chance.percent(40);
        if self.world.rebuild(host, empty) {
            self.org.introduce(&mut self.world, host);
        }
        self.write_at_once(host);
    }

    /// Its people notice nothing and go on writing, before any neighbour can tell what was lost.
    fn write_at_once(&mut self, host: HostId) {
        for thread in self.threads.clone() {
            for n in 0..3 {
                let text = format!("after the restore {n} {}", self.world.now_us);
                self.send(host, thread, Class::Text, Outgoing::Note(text));
            }
        }
    }

    /// Hands everything to a removed device.
    pub(super) fn leak(&mut self) {
        for thread in self.threads.clone() {
            let changes = &self.world.truth.threads[&thread].changes;
            let removed = |host: &HostId| {
                let dev = self.world.hosts[*host].dev();
                changes.iter().any(|c| Some(c.dev) == dev && !c.added) && !self.is_meant(thread, *host)
            };
            let removed: Vec<HostId> = self.members.iter().copied().filter(removed).collect();
            if let Some(&victim) = self.chance.pick(&removed) {
                hostile::offer_all(&mut self.world, victim, thread);
            }
        }
    }

    fn recall(&mut self) {
        let own = self
            .world
            .truth
            .said
            .iter()
            .filter(|(_, said)| said.by_person && said.stored);
        let own: Vec<_> = own.map(|(key, said)| (*key, said.author)).collect();
        let Some(&((thread, slot, seq), host)) = self.chance.pick(&own) else {
            return;
        };
        let entry = EntryRef { slot, seq };
        let why = "wrong patient".to_owned();
        self.send(host, thread, Class::Alarm, Outgoing::Recall { entry, why });
    }

    /// What people and programs do about an event.
    pub(super) fn react(&mut self, host: HostId, event: Event) {
        match event {
            Event::CardMade { card } => {
                let Some(at) = self.joining.iter().position(|j| j.0 == host) else {
                    return;
                };
                let (_, thread, by) = self.joining.remove(at);
                let _ = self.world.command(by, Command::LearnCard { card });
                let (dev, role) = (self.dev(host), self.role(host));
                let _ = self.world.command(by, Command::Add { thread, dev, role });
            }
            Event::Arrived {
                thread, entry, kind, ..
            } if matches!(kind, Kind::Note | Kind::EcgSnapshot | Kind::Alert) => {
                let at = self.world.now_us + self.chance.between(SECOND, 40 * SECOND);
                let ecg = kind == Kind::EcgSnapshot;
                let layer = ecg.then(|| Layer::ORIGINAL.to_u8());
                let what = match self.chance.below(10) {
                    0..=2 => Outgoing::Seen { entry, layer },
                    3 => Outgoing::Ack {
                        entry,
                        act: Act::Acknowledged,
                        layer,
                    },
                    4 if kind == Kind::Alert => Outgoing::Ack {
                        entry,
                        act: Act::Declined,
                        layer,
                    },
                    _ => return,
                };
                let class = Class::Text;
                self.later.push((at, host, Command::Send { thread, class, what }));
            }
            _ => {}
        }
    }

    fn role(&self, host: HostId) -> Role {
        super::ROLES.get(host).map_or(Role::Nurse, |(_, role)| *role)
    }
}
