//! Plays the steps of a scenario.

use super::{EcgError, Recording, Run, Step, Story, Word};
use crate::cast::{Enrol, Organisation, card_of, expect};
use crate::chance::Chance;
use crate::hostile;
use crate::net::{CableId, HostId, Line};
use crate::storm::Outcome;
use crate::truth::{Key, end, key_of};
use crate::world::{SECOND, World};
use aidmesh_core::blob::Layer;
use aidmesh_core::clinical::{Act, Emergency};
use aidmesh_core::delivery::Step as Column;
use aidmesh_core::directory::Role;
use aidmesh_core::envelope::Class;
use aidmesh_core::id::ThreadId;
use aidmesh_core::machine::command::{Command, EntryRef, Outgoing};
use aidmesh_core::machine::open::Flaws;
use std::collections::BTreeMap;

const RULE: &str = "the scenario's expectation holds";

struct Play<'a> {
    story: &'a Story,
    world: World,
    org: Organisation,
    ecg: Recording,
    hosts: BTreeMap<String, HostId>,
    threads: BTreeMap<String, ThreadId>,
    entries: BTreeMap<String, Key>,
    chance: Chance,
}

/// Plays a scenario to its end or to its first violation.
pub(super) fn play(story: &Story, run: Run) -> Result<Outcome, EcgError> {
    let seed = run.seed.unwrap_or(story.seed);
    let ecg = match run.ecg {
        Some(ecg) => ecg,
        None => Recording::invented(seed)?,
    };
    let mut play = Play {
        story,
        world: World::new(seed, run.trace),
        org: Organisation::new(seed),
        ecg,
        hosts: BTreeMap::new(),
        threads: BTreeMap::new(),
        entries: BTreeMap::new(),
        chance: Chance::new(seed).fork("story"),
    };
    play.set_up(run.flaws);
    for step in &story.step {
        if play.world.violation.is_some() {
            break;
        }
        play.step(step);
    }
    let mut world = play.world;
    let counters = world.totals();
    Ok(Outcome {
        seed,
        violation: world.violation,
        counters,
        trace_hash: world.trace.hash(),
        events: world.trace.events(),
        virtual_us: world.now_us,
        xwing: matches!(story.suite, super::SuiteName::XWing),
        converged_us: None,
    })
}

impl Play<'_> {
    fn set_up(&mut self, flaws: Flaws) {
        for device in &self.story.device {
            let enrol = Enrol {
                part: device.role.part(),
                role: device.role.role(),
                clock: device.clock.clock(&mut self.chance),
                flaws,
            };
            let host = self.org.enrol(&mut self.world, &device.name, enrol);
            self.hosts.insert(device.name.clone(), host);
        }
        for cable in &self.story.cable {
            let (Some(a), Some(b)) = (self.host(&cable.between[0]), self.host(&cable.between[1])) else {
                return;
            };
            let Some(profile) = cable.profile() else {
                return self.fail(format!("no line is called {}", cable.line));
            };
            let stream = !cable.datagrams;
            self.world.add_cable(Line { profile, stream }, a, b);
        }
        for thread in &self.story.thread {
            self.found(thread);
        }
        for device in self.story.device.iter().filter(|d| d.late) {
            if let Some(host) = self.host(&device.name) {
                self.world.crash(host, 0);
            }
        }
        self.world.events.clear();
    }

    fn found(&mut self, spec: &super::ThreadSpec) {
        let Some(founder) = self.host(&spec.founder) else {
            return;
        };
        let command = Command::CreateThread {
            kind: spec.kind.kind(),
            history: spec.history.history(),
            suite: self.story.suite.suite(),
            title: spec.name.clone(),
        };
        let made = self.world.command(founder, command);
        let Some(thread) = made.and_then(Result::ok).and_then(|made| made.thread) else {
            return self.fail(format!("{} cannot found a thread", spec.founder));
        };
        self.threads.insert(spec.name.clone(), thread);
        for name in &spec.members {
            self.add(&spec.founder, &spec.name, name);
        }
        let joined = |play: &Play<'_>| {
            spec.members.iter().all(|name| {
                let machine = play
                    .hosts
                    .get(name)
                    .and_then(|host| play.world.hosts[*host].machine.as_ref());
                machine.is_some_and(|m| m.view(thread).is_some())
            }) && end::missing(&play.world.truth, &play.world).is_none()
        };
        if !self.wait(600, joined) && self.world.violation.is_none() {
            let why = end::missing(&self.world.truth, &self.world).unwrap_or_default();
            self.fail(format!("not all have joined {} after 10 min: {why}", spec.name));
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait { seconds } => self.world.run_for(seconds * SECOND),
            Step::Say { text } => self.tell("scenario", text),
            Step::Cut { between } => self.on_cable(between, |world, cable| world.cut_cable(cable, false)),
            Step::Raise { between } => self.on_cable(between, World::want_cable),
            Step::Start { device } => self.on_host(device, |world, host| world.reopen(host, true)),
            Step::Crash { device, seconds } => {
                self.tell(device, &format!("dies; starts again in {seconds} s"));
                let pause = seconds * SECOND;
                self.on_host(device, |world, host| world.crash_for(host, 0, pause, true));
            }
            Step::Backup { device } => self.on_host(device, World::backup),
            Step::Restore { device, empty } => self.restore(device, *empty),
            Step::Note {
                by,
                thread,
                entry,
                class,
                text,
            } => {
                self.send(by, thread, entry, class.class(), Outgoing::Note(text.clone()));
            }
            Step::Ecg { by, thread, entry } => {
                let summary = self.ecg.summary();
                self.tell(by, &summary);
                let what = self.ecg.outgoing();
                self.send(by, thread, entry, Class::Clinical, what);
            }
            Step::Alert {
                by,
                thread,
                entry,
                about,
                text,
            } => self.alert(by, thread, entry, about, text),
            Step::Seen { by, entry } => self.answer(by, entry, false),
            Step::Ack { by, entry } => self.answer(by, entry, true),
            Step::Recall { by, entry } => self.recall(by, entry),
            Step::Add { by, thread, device } => self.add(by, thread, device),
            Step::Remove { by, thread, device } => self.remove(by, thread, device),
            Step::Garbage { frames } => self.garbage(*frames),
            Step::OfferAll { device, thread } => self.offer_all(device, thread),
            Step::Purge { by, thread } => self.purge(by, thread),
            Step::Until { .. }
            | Step::Opens { .. }
            | Step::NotOpened { .. }
            | Step::Original { .. }
            | Step::NotYet { .. }
            | Step::Converge { .. } => self.expect(step),
        }
    }

    fn expect(&mut self, step: &Step) {
        let fine = match step {
            Step::Until {
                entry,
                at,
                word,
                within_s,
            } => {
                let Some((key, host)) = self.entry_at(entry, at) else {
                    return;
                };
                self.wait(*within_s, |play| play.has_word(key, host, *word))
            }
            Step::NotYet { entry, at, word } => {
                let Some((key, host)) = self.entry_at(entry, at) else {
                    return;
                };
                !self.has_word(key, host, *word)
            }
            Step::Opens {
                device,
                entry,
                within_s,
            } => {
                let Some((key, host)) = self.entry_at(entry, device) else {
                    return;
                };
                self.wait(*within_s, |play| play.opened(key, host))
            }
            Step::NotOpened { device, entry } => {
                let Some((key, host)) = self.entry_at(entry, device) else {
                    return;
                };
                !self.opened(key, host)
            }
            Step::Original {
                device,
                entry,
                within_s,
            } => {
                let Some((key, host)) = self.entry_at(entry, device) else {
                    return;
                };
                let equal = self.wait(*within_s, |play| play.originals_equal(key, host));
                if equal {
                    self.tell(device, "has every original file, byte for byte the same");
                }
                equal
            }
            Step::Converge { within_s } => self.wait(*within_s, |play| {
                end::missing(&play.world.truth, &play.world).is_none()
            }),
            _ => true,
        };
        if !fine && self.world.violation.is_none() {
            let missing = end::missing(&self.world.truth, &self.world);
            let missing = missing
                .map(|what| format!(" (missing: {what})"))
                .unwrap_or_default();
            self.fail(format!("{step:?}{missing}"));
        }
    }

    /// Runs until `done`, at most `seconds`.
    fn wait(&mut self, seconds: u64, done: impl Fn(&Play<'_>) -> bool) -> bool {
        let end = self.world.now_us + seconds * SECOND;
        while self.world.violation.is_none() {
            if done(self) {
                return true;
            }
            if self.world.now_us >= end {
                return false;
            }
            self.world.run_for(SECOND / 10);
        }
        false
    }

    fn send(&mut self, by: &str, thread: &str, entry: &str, class: Class, what: Outgoing) {
        let (Some(host), Some(thread)) = (self.host(by), self.thread(thread)) else {
            return;
        };
        let command = Command::Send { thread, class, what };
        match self.world.command(host, command) {
            Some(Ok(made)) => {
                if let Some(at) = made.entry {
                    let key = key_of(thread, at);
                    self.entries.insert(entry.to_owned(), key);
                    self.world.titles.insert(key, entry.to_owned());
                    self.tell(by, &format!("writes {entry}"));
                }
            }
            Some(Err(why)) => self.fail(format!("{by} cannot write {entry}: {why}")),
            None => self.fail(format!("{by} does not run")),
        }
    }

    fn alert(&mut self, by: &str, thread: &str, entry: &str, about: &str, text: &str) {
        let Some(key) = self.key(about) else { return };
        let what = Outgoing::Alert {
            what: Emergency::Stemi,
            role: Role::Cardiologist,
            text: text.to_owned(),
            about: Some(entry_ref(key)),
        };
        self.send(by, thread, entry, Class::Alarm, what);
    }

    fn answer(&mut self, by: &str, entry: &str, ack: bool) {
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

    fn recall(&mut self, by: &str, entry: &str) {
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

    fn add(&mut self, by: &str, thread: &str, device: &str) {
        let (Some(adder), Some(host), Some(id)) = (self.host(by), self.host(device), self.thread(thread))
        else {
            return;
        };
        let Some(card) = card_of(&mut self.world, host, self.story.suite.suite()) else {
            return self.fail(format!("{device} makes no card"));
        };
        self.tell(by, &format!("adds {device} to {thread}"));
        let spec = self.story.device.iter().find(|d| d.name == device);
        let role = spec.map_or(Role::Nurse, |d| d.role.role());
        let dev = self.world.hosts[host].dev().unwrap_or_default();
        expect(&mut self.world, adder, Command::LearnCard { card });
        expect(
            &mut self.world,
            adder,
            Command::Add {
                thread: id,
                dev,
                role,
            },
        );
    }

    fn remove(&mut self, by: &str, thread: &str, device: &str) {
        let (Some(remover), Some(host), Some(id)) = (self.host(by), self.host(device), self.thread(thread))
        else {
            return;
        };
        self.tell(by, &format!("removes {device} from {thread}"));
        let dev = self.world.hosts[host].dev().unwrap_or_default();
        expect(&mut self.world, remover, Command::Remove { thread: id, dev });
    }

    fn restore(&mut self, device: &str, empty: bool) {
        let Some(host) = self.host(device) else { return };
        let what = if empty {
            "starts on an empty store"
        } else {
            "starts on an old backup of its store"
        };
        self.tell(device, what);
        if self.world.rebuild(host, empty) {
            self.org.introduce(&mut self.world, host);
        }
    }

    fn garbage(&mut self, frames: u64) {
        self.tell("scenario", &format!("{frames} hostile frames"));
        for _ in 0..frames {
            hostile::attack(&mut self.world, &mut self.chance);
            self.world.run_for(SECOND / 20);
        }
    }

    fn offer_all(&mut self, device: &str, thread: &str) {
        let (Some(host), Some(thread)) = (self.host(device), self.thread(thread)) else {
            return;
        };
        self.tell(device, "is handed every envelope of the thread");
        hostile::offer_all(&mut self.world, host, thread);
    }

    fn purge(&mut self, by: &str, thread: &str) {
        let (Some(host), Some(thread)) = (self.host(by), self.thread(thread)) else {
            return;
        };
        self.tell(by, "asks the relays to throw everything of the thread away");
        if !hostile::purge(&mut self.world, host, thread) {
            self.fail(format!("{by} has no mailbox key or no line to a relay"));
        }
    }

    fn has_word(&self, key: Key, host: HostId, word: Word) -> bool {
        let Some(said) = self.world.truth.said.get(&key) else {
            return false;
        };
        let (Some(machine), Some(dev)) = (
            &self.world.hosts[said.author].machine,
            self.world.hosts[host].dev(),
        ) else {
            return false;
        };
        let column = match word {
            Word::Stored => Column::Stored,
            Word::AtRelay => Column::AtRelay,
            Word::Delivered => Column::Delivered,
            Word::Seen => Column::Seen,
            Word::Acknowledged => Column::Acknowledged,
        };
        let words = machine.delivery(key.0, entry_ref(key));
        words
            .iter()
            .any(|(at, state, _)| *at == dev && state.step() >= column)
    }

    fn opened(&self, key: Key, host: HostId) -> bool {
        let h = &self.world.hosts[host];
        let machine = h.machine.as_ref();
        machine.is_some_and(|m| matches!(m.entry(&h.disk, key.0, entry_ref(key)), Ok(Some(_))))
    }

    fn originals_equal(&self, key: Key, host: HostId) -> bool {
        let h = &self.world.hosts[host];
        let Some(machine) = &h.machine else { return false };
        let first = Layer::ORIGINAL.to_u8();
        (first..).zip(&self.ecg.files).all(|(layer, (_, bytes))| {
            let got = machine.layer(&h.disk, key.0, entry_ref(key), layer);
            matches!(got, Ok(Some(got)) if got == *bytes)
        })
    }

    fn tell(&mut self, place: &str, what: &str) {
        let us = self.world.now_us;
        self.world.trace.line(us, place, what);
    }

    fn fail(&mut self, what: String) {
        self.world.accuse(RULE, what);
    }

    fn host(&mut self, name: &str) -> Option<HostId> {
        let found = self.hosts.get(name).copied();
        if found.is_none() {
            self.fail(format!("no device is called {name}"));
        }
        found
    }

    fn thread(&mut self, name: &str) -> Option<ThreadId> {
        let found = self.threads.get(name).copied();
        if found.is_none() {
            self.fail(format!("no thread is called {name}"));
        }
        found
    }

    fn key(&mut self, entry: &str) -> Option<Key> {
        let found = self.entries.get(entry).copied();
        if found.is_none() {
            self.fail(format!("no entry is called {entry}"));
        }
        found
    }

    fn entry_at(&mut self, entry: &str, device: &str) -> Option<(Key, HostId)> {
        Some((self.key(entry)?, self.host(device)?))
    }

    fn on_host(&mut self, device: &str, act: impl FnOnce(&mut World, HostId)) {
        if let Some(host) = self.host(device) {
            act(&mut self.world, host);
        }
    }

    fn on_cable(&mut self, between: &[String; 2], act: impl FnOnce(&mut World, CableId)) {
        let (Some(a), Some(b)) = (self.host(&between[0]), self.host(&between[1])) else {
            return;
        };
        let joins = |ends: [HostId; 2]| ends == [a, b] || ends == [b, a];
        let found = self
            .world
            .cables
            .iter()
            .position(|c| joins([0, 1].map(|s| c.sides[s].host)));
        match found {
            Some(cable) => act(&mut self.world, cable),
            None => self.fail(format!("no cable between {} and {}", between[0], between[1])),
        }
    }
}

fn entry_ref(key: Key) -> EntryRef {
    EntryRef {
        slot: key.1,
        seq: key.2,
    }
}
