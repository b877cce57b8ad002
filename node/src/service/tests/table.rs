//! Machines on a table: links without delay or loss, stores in memory, a clock that jumps from deadline to
//! deadline. Only so much as mapping needs; the machine's own rules are tested in its crate.

use super::cast::Device;
use crate::service::look::{Around, Look};
use aidmesh_core::group::mls::Suite;
use aidmesh_core::id::{Key8, ThreadId};
use aidmesh_core::machine::command::{Command, LayerData, Made, Outgoing};
use aidmesh_core::machine::input::{Input, LinkId, LinkInfo};
use aidmesh_core::machine::open::{Config, Part};
use aidmesh_core::machine::{EntryRef, Event, Machine, Output};
use aidmesh_core::store::{Engine, Memory};
use aidmesh_core::time::{Instant, Now, Wall};
use std::collections::BTreeMap;

pub(crate) const WALL: u64 = 1_800_000_000_000;

pub(crate) struct Seat {
    pub(crate) device: Device,
    pub(crate) machine: Machine,
    pub(crate) store: Memory,
    pub(crate) events: Vec<Event>,
}

#[derive(Default)]
pub(crate) struct Table {
    pub(crate) seats: Vec<Seat>,
    wires: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    now_us: u64,
    links: u32,
}

impl Table {
    pub(crate) fn seat(&mut self, device: Device) -> usize {
        let part = match device.role {
            Some(_) => Part::Member,
            None => Part::Relay,
        };
        let cfg = Config {
            part,
            carry_bytes: 1 << 24,
            generation: 1,
        };
        let store = Memory::new();
        let identity = device.identity(WALL);
        let machine = Machine::open(cfg, identity, &store, [device.n; 32], self.now()).unwrap();
        self.seats.push(Seat {
            device,
            machine,
            store,
            events: vec![],
        });
        let at = self.seats.len() - 1;
        self.drain(at);
        for command in device.told_first(WALL) {
            self.command(at, command);
        }
        at
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            mono: Instant(self.now_us),
            wall: Wall(WALL + self.now_us / 1000),
        }
    }

    pub(crate) fn command(&mut self, at: usize, command: Command) -> Made {
        let (now, seat) = (self.now(), &mut self.seats[at]);
        let made = seat.machine.command(&seat.store, now, command).unwrap();
        self.drain(at);
        made
    }

    fn input(&mut self, at: usize, input: Input) {
        let (now, seat) = (self.now(), &mut self.seats[at]);
        seat.machine.handle(&seat.store, now, input);
        self.drain(at);
    }

    fn drain(&mut self, at: usize) {
        let mut sent = vec![];
        let now = self.now();
        let seat = &mut self.seats[at];
        while let Some(output) = seat.machine.poll() {
            match output {
                Output::Commit { ticket, batch } => {
                    seat.store.apply(&batch).unwrap();
                    seat.machine.handle(&seat.store, now, Input::Committed { ticket });
                }
                Output::Transmit { link, bytes, .. } => sent.push((link, bytes)),
                Output::Event(event) => seat.events.push(event),
                Output::Disconnect { link, why } => panic!("{at} closes {link:?}: {why}"),
            }
        }
        for (link, bytes) in sent {
            if let Some((to, theirs)) = self.wires.get(&(at, link)).copied() {
                self.input(to, Input::Frame { link: theirs, bytes });
            }
        }
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        self.links += 2;
        let (la, lb) = (LinkId(self.links), LinkId(self.links + 1));
        self.wires.insert((a, la), (b, lb));
        self.wires.insert((b, lb), (a, la));
        for (at, link, peer) in [(a, la, b), (b, lb, a)] {
            let peer = self.seats[peer].device.identity(WALL).routing.public();
            let info = LinkInfo {
                peer,
                exporter: [9; 32],
                mtu: 1200,
                thin: false,
                streams: true,
            };
            self.input(at, Input::LinkUp { link, info });
        }
        for (at, link) in [(a, la), (b, lb)] {
            let bytes = u32::MAX;
            self.input(at, Input::Budget { link, bytes });
        }
    }

    pub(crate) fn cut(&mut self, at: usize) {
        let ends = self.wires.iter().filter(|(a, b)| a.0 == at || b.0 == at);
        let ends: Vec<(usize, LinkId)> = ends.map(|(end, _)| *end).collect();
        for (at, link) in ends {
            self.wires.remove(&(at, link));
            self.input(at, Input::LinkDown { link });
        }
    }

    /// Lets time pass, deadline by deadline.
    pub(crate) fn pass(&mut self, seconds: u64) {
        let end = self.now_us + seconds * 1_000_000;
        for _ in 0..20_000 {
            let due = self.seats.iter().enumerate().filter_map(|(i, seat)| {
                let (at, _) = seat.machine.next_wakeup()?;
                Some((at.0, i))
            });
            match due.min() {
                Some((at, i)) if at <= end => {
                    self.now_us = self.now_us.max(at) + 1;
                    self.input(i, Input::Wake);
                }
                _ => break,
            }
        }
        self.now_us = self.now_us.max(end);
    }

    /// Hands a fresh card of one to the other.
    pub(crate) fn introduce(&mut self, whom: usize, to: usize) {
        let suite = Suite::XWing;
        self.command(whom, Command::MakeCard { suite });
        let made = self.seats[whom]
            .events
            .iter()
            .rev()
            .find_map(|event| match event {
                Event::CardMade { card } => Some(card.clone()),
                _ => None,
            });
        let card = made.unwrap();
        self.command(to, Command::LearnCard { card });
    }

    pub(crate) fn add(&mut self, by: usize, whom: usize, thread: ThreadId) {
        self.introduce(whom, by);
        let device = self.seats[whom].device;
        let (dev, role) = (device.dev(), device.role.unwrap());
        self.command(by, Command::Add { thread, dev, role });
    }

    pub(crate) fn send(
        &mut self,
        at: usize,
        thread: ThreadId,
        class: aidmesh_core::envelope::Class,
        what: Outgoing,
    ) -> EntryRef {
        self.command(at, Command::Send { thread, class, what })
            .entry
            .unwrap()
    }

    /// An ECG whose original has so many bytes.
    pub(crate) fn ecg(&mut self, at: usize, thread: ThreadId, bytes: usize) -> EntryRef {
        let what = Outgoing::Ecg {
            recorded_ms: None,
            digest: bytes::Bytes::from_static(b"of a newer version"),
            format: "DICOM".into(),
            layers: vec![LayerData {
                layer: 4,
                name: "ecg.dcm".into(),
                bytes: vec![7; bytes].into(),
            }],
        };
        self.send(at, thread, aidmesh_core::envelope::Class::Clinical, what)
    }

    pub(crate) fn look<R>(&self, at: usize, look: impl FnOnce(&Look<'_>) -> R) -> R {
        let relays = self.seats.iter().filter(|seat| seat.device.role.is_none());
        let relays = relays.map(|seat| {
            let key = seat.device.identity(WALL).routing.public();
            (Key8::of_key(&key), seat.device.name.to_owned())
        });
        let around = Around {
            now: self.now().wall,
            relays: relays.collect(),
        };
        look(&Look {
            machine: &self.seats[at].machine,
            store: &self.seats[at].store,
            around: &around,
        })
    }
}
