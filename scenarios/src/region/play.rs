//! One district, played: the real machines of its hospital, its relay and its units, through one day.
//!
//! Every device is a [`World`] host, so what runs is the product's machine on a disk and a clock of its
//! own, and the reference model looks at each step. The day that [`super::road`] made says when a unit's
//! line to the relay comes up and goes down, when an ECG is captured, when a tablet restarts. People are
//! few and simple: a crew sends an alarm and the ECG, a physician looks a minute after it is complete.
//!
//! The hospital keeps a standing hotline with each unit, founded before the day begins: no handshake is
//! needed when somebody's heart is at stake. A line comes up late by what the radio and QUIC need, and
//! anew whenever the kind of coverage changes, although QUIC would live through most of these changes.

use super::map::Cover;
use super::road::{Capture, Unit};
use crate::cast::{Enrol, Organisation, card_of, expect};
use crate::chance::Chance;
use crate::clock::Clock;
use crate::net::{CableId, HostId, Line};
use crate::story::Recording;
use crate::trace::Trace;
use crate::truth::{Key, end, key_of};
use crate::world::{MINUTE, SECOND, World};
use aidmesh_core::blob::Layer;
use aidmesh_core::clinical::{Act as Answer, Emergency};
use aidmesh_core::directory::{Role, ThreadKind};
use aidmesh_core::envelope::Class;
use aidmesh_core::group::control::History;
use aidmesh_core::group::mls::Suite;
use aidmesh_core::id::ThreadId;
use aidmesh_core::machine::command::{Command, EntryRef, Outgoing};
use aidmesh_core::machine::event::Event;
use aidmesh_core::machine::open::{Flaws, Part};
use std::collections::BTreeMap;

/// A radio needs that long to find its network, and the program to notice.
const ATTACH_US: u64 = SECOND;
/// Round trips of QUIC and of the uplink's own greeting.
const ROUND_TRIPS: u64 = 3;
/// Bytes of both in the slower direction: a hybrid key share, two certificates, padded first packets.
const HANDSHAKE_BYTES: u32 = 6_000;
/// From a complete ECG until a physician has looked at it.
const LOOK_US: u64 = MINUTE;
/// A restarted tablet or relay is away for that long.
const RESTART_US: u64 = MINUTE;
/// The longest step between two looks at what machines told.
const STEP_US: u64 = 10 * SECOND;
/// After the day all that was said must be there within this time.
const SETTLE_US: u64 = 30 * MINUTE;
/// Setting a hotline up may take that long.
const JOIN_US: u64 = 10 * MINUTE;

/// What somebody or something does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Up { unit: usize, cover: Cover },
    Down { unit: usize },
    Capture { unit: usize, number: usize },
    Notice { unit: usize },
    Restart { unit: usize },
    Look { ecg: usize },
    RelayRestart,
}

/// What became of one ECG.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Which unit.
    pub(super) unit: usize,
    /// When and where to.
    pub(super) capture: Capture,
    /// Bytes of its file.
    pub(super) bytes: u64,
    /// Milliseconds from capture until the hospital had the entry open, and with it the digest.
    pub(super) opened_ms: Option<u64>,
    /// Until it had every byte of the file.
    pub(super) readable_ms: Option<u64>,
    key: Key,
    at_us: u64,
}

/// A district on its way through the day.
pub(super) struct Play<'a> {
    /// Machines, disks, lines and the reference model.
    pub(super) world: World,
    /// ECGs in the order of capture.
    pub(super) sent: Vec<Sent>,
    /// How often a relay said that it does not keep something.
    pub(super) refused: u64,
    days: &'a [Unit],
    chance: Chance,
    hospital: HostId,
    relay: HostId,
    units: Vec<HostId>,
    cables: Vec<CableId>,
    hotlines: Vec<ThreadId>,
    acts: BTreeMap<(u64, u64), Act>,
    planned: u64,
    begin_us: u64,
}

impl<'a> Play<'a> {
    /// Enrols everybody; the day has not begun.
    pub(super) fn new(seed: u64, days: &'a [Unit], trace: Trace) -> Play<'a> {
        let mut world = World::new(seed, trace);
        let mut org = Organisation::new(seed);
        let mut chance = Chance::new(seed).fork("play");
        let mut enrol = |world: &mut World, title: &str, part, role| {
            let drift = chance.between(0, 100) as i64 - 50;
            let offset_ms = chance.between(0, 4_000) as i64 - 2_000;
            let what = Enrol {
                part,
                role,
                clock: Clock::new(drift, offset_ms),
                flaws: Flaws::default(),
            };
            org.enrol(world, title, what)
        };
        let hospital = enrol(&mut world, "hospital", Part::Member, Role::Cardiologist);
        let relay = enrol(&mut world, "relay", Part::Relay, Role::Relay);
        let mut units = Vec::new();
        for n in 0..days.len() {
            let title = format!("unit-{}", n + 1);
            units.push(enrol(&mut world, &title, Part::Member, Role::Paramedic));
        }
        let mut wired = line(Cover::Wifi);
        wired.profile = aidmesh_netem::Profile {
            mtu: 1400,
            ..aidmesh_netem::Profile::LAN
        };
        world.add_cable(wired, hospital, relay);
        let mut join = |host: &HostId| world.add_cable(line(Cover::Wifi), *host, relay);
        let cables = units.iter().map(&mut join).collect();
        Play {
            world,
            sent: Vec::new(),
            refused: 0,
            days,
            chance,
            hospital,
            relay,
            units,
            cables,
            hotlines: Vec::new(),
            acts: BTreeMap::new(),
            planned: 0,
            begin_us: 0,
        }
    }

    /// Founds the hotlines, plays the day and waits until all of it is there.
    pub(super) fn through(&mut self) {
        self.world.run_for(2 * SECOND);
        for unit in 0..self.units.len() {
            self.found(unit);
        }
        self.world.run_for(30 * SECOND);
        self.react();
        self.begin_us = self.world.now_us;
        self.plan_day();
        while self.world.violation.is_none() {
            let Some((&(at_us, order), &act)) = self.acts.first_key_value() else {
                break;
            };
            let next_us = at_us.min(self.world.now_us + STEP_US);
            self.world.run_until(next_us);
            if next_us == at_us {
                self.acts.remove(&(at_us, order));
                self.act(act);
            }
            self.react();
        }
        self.settle();
    }

    /// Founds the hotline of a unit, and waits until it has it.
    fn found(&mut self, unit: usize) {
        if self.world.violation.is_some() {
            return;
        }
        let (host, suite) = (self.units[unit], Suite::XWing);
        let command = Command::CreateThread {
            kind: ThreadKind::Hotline,
            history: History::All,
            suite,
            title: format!("hotline {}", unit + 1),
        };
        let made = self.world.command(self.hospital, command);
        let thread = made.and_then(Result::ok).and_then(|made| made.thread);
        let card = card_of(&mut self.world, host, suite);
        let dev = self.world.hosts[host].dev();
        let (Some(thread), Some(card), Some(dev)) = (thread, card, dev) else {
            return self
                .world
                .accuse("a lawful command is taken", "no hotline".to_owned());
        };
        let role = Role::Paramedic;
        expect(&mut self.world, self.hospital, Command::LearnCard { card });
        expect(&mut self.world, self.hospital, Command::Add { thread, dev, role });
        self.hotlines.push(thread);
        let latest_us = self.world.now_us + JOIN_US;
        let joined = |world: &World| {
            let machine = world.hosts[host].machine.as_ref();
            machine.is_some_and(|m| m.view(thread).is_some())
        };
        while !joined(&self.world) && self.world.violation.is_none() {
            if self.world.now_us >= latest_us {
                let what = format!("unit {} never joined its hotline", unit + 1);
                return self.world.accuse("everything arrives after healing", what);
            }
            self.world.run_for(SECOND / 2);
        }
        self.world.events.clear();
    }

    fn plan_day(&mut self) {
        let last = self.days.iter().filter_map(|day| day.spans.last());
        let end_us = last.map(|span| span.from_s * SECOND).max().unwrap_or(0);
        let restart_us = self.chance.below(end_us.max(1));
        self.plan(restart_us, Act::RelayRestart);
        for (unit, day) in self.days.iter().enumerate() {
            let ends = day.spans.iter().skip(1).map(|span| Some(span.from_s));
            for (span, end_s) in day.spans.iter().zip(ends.chain([None])) {
                let Some(profile) = span.cover.profile() else {
                    continue;
                };
                let greeting_us =
                    ROUND_TRIPS * 2 * profile.one_way_us + profile.serialise_us(HANDSHAKE_BYTES);
                let up_us = span.from_s * SECOND + ATTACH_US + greeting_us;
                let cover = span.cover;
                if end_s.is_none_or(|end_s| up_us < end_s * SECOND) {
                    self.plan(up_us, Act::Up { unit, cover });
                }
                if let Some(end_s) = end_s {
                    self.plan(end_s * SECOND, Act::Down { unit });
                }
            }
            for (number, capture) in day.captures.iter().enumerate() {
                self.plan(capture.at_s * SECOND, Act::Capture { unit, number });
                if let Some(at_s) = capture.restart_s {
                    self.plan(at_s * SECOND, Act::Restart { unit });
                }
            }
            for at_s in &day.notices {
                self.plan(at_s * SECOND, Act::Notice { unit });
            }
        }
    }

    /// Plans an act at a microsecond of the day.
    fn plan(&mut self, us: u64, act: Act) {
        self.planned += 1;
        self.acts.insert((self.begin_us + us, self.planned), act);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Up { unit, cover } => self.world.set_line(self.cables[unit], line(cover)),
            Act::Down { unit } => self.world.cut_cable(self.cables[unit], false),
            Act::Capture { unit, number } => self.capture(unit, number),
            Act::Notice { unit } => {
                let text = format!("unit {} brings a patient, 20 minutes", unit + 1);
                self.say(unit, Class::Clinical, Outgoing::Note(text));
            }
            Act::Restart { unit } => {
                let keep = self.chance.below(3) as usize;
                self.world.crash_for(self.units[unit], keep, RESTART_US, true);
            }
            Act::Look { ecg } => self.look(ecg),
            Act::RelayRestart => self.world.crash_for(self.relay, 0, RESTART_US, true),
        }
    }

    fn capture(&mut self, unit: usize, number: usize) {
        let capture = self.days[unit].captures[number];
        let Ok(recording) = Recording::invented(self.chance.draw()) else {
            return self
                .world
                .accuse("an ECG can be invented", format!("unit {}", unit + 1));
        };
        let bytes = recording.files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let at_us = self.world.now_us;
        let Some(key) = self.say(unit, Class::Clinical, recording.outgoing()) else {
            let what = format!("unit {} cannot send an ECG", unit + 1);
            return self.world.accuse("a lawful command is taken", what);
        };
        self.sent.push(Sent {
            unit,
            capture,
            bytes,
            opened_ms: None,
            readable_ms: None,
            key,
            at_us,
        });
        if capture.stemi {
            let what = Outgoing::Alert {
                what: Emergency::Stemi,
                role: Role::Cardiologist,
                text: "12-lead follows".to_owned(),
                about: Some(entry_ref(key)),
            };
            self.say(unit, Class::Alarm, what);
        }
    }

    /// Writes into the hotline of a unit; nothing while its tablet is away.
    fn say(&mut self, unit: usize, class: Class, what: Outgoing) -> Option<Key> {
        let thread = self.hotlines[unit];
        let command = Command::Send { thread, class, what };
        let made = self.world.command(self.units[unit], command)?.ok()?;
        Some(key_of(thread, made.entry?))
    }

    fn look(&mut self, ecg: usize) {
        let sent = self.sent[ecg];
        let (thread, entry) = (sent.key.0, entry_ref(sent.key));
        let layer = Some(Layer::ORIGINAL.to_u8());
        let act = if sent.capture.stemi {
            Answer::Activated
        } else {
            Answer::Acknowledged
        };
        let (class, what) = (Class::Clinical, Outgoing::Ack { entry, act, layer });
        expect(
            &mut self.world,
            self.hospital,
            Command::Send { thread, class, what },
        );
    }

    /// Notes what the hospital's machine told since the last look.
    fn react(&mut self) {
        for (us, host, event) in std::mem::take(&mut self.world.events) {
            match event {
                Event::Refused { .. } => self.refused += 1,
                Event::Arrived { thread, entry, .. } if host == self.hospital => {
                    if let Some(n) = self.find(key_of(thread, entry)) {
                        let sent = &mut self.sent[n];
                        sent.opened_ms.get_or_insert((us - sent.at_us) / 1000);
                    }
                }
                Event::LayerArrived { thread, entry, layer }
                    if host == self.hospital && layer == Layer::ORIGINAL.to_u8() =>
                {
                    if let Some(n) = self.find(key_of(thread, entry)) {
                        let sent = &mut self.sent[n];
                        sent.readable_ms.get_or_insert((us - sent.at_us) / 1000);
                        self.planned += 1;
                        self.acts
                            .insert((us + LOOK_US, self.planned), Act::Look { ecg: n });
                    }
                }
                _ => {}
            }
        }
    }

    fn find(&self, key: Key) -> Option<usize> {
        self.sent.iter().rposition(|sent| sent.key == key)
    }

    /// Everybody is at a base or at the hospital: within a stated time nothing may be missing.
    fn settle(&mut self) {
        let latest_us = self.world.now_us + SETTLE_US;
        while self.world.violation.is_none() {
            self.world.run_for(MINUTE);
            self.react();
            let Some(what) = end::missing(&self.world.truth, &self.world) else {
                break;
            };
            if self.world.now_us >= latest_us {
                let what = format!("{} min after the day: {what}", SETTLE_US / MINUTE);
                self.world.accuse("everything arrives after healing", what);
            }
        }
        for host in 0..self.world.hosts.len() {
            if let Some(key) = self.world.truth.first_lost(&self.world, host) {
                let what = format!("{} lost {}/{}", self.world.hosts[host].name, key.1, key.2);
                self.world.accuse("nothing acknowledged is lost", what);
            }
        }
    }
}

fn line(cover: Cover) -> Line {
    Line {
        profile: cover.profile().unwrap_or(aidmesh_netem::Profile::WIFI),
        stream: true,
    }
}

fn entry_ref(key: Key) -> EntryRef {
    EntryRef {
        slot: key.1,
        seq: key.2,
    }
}
