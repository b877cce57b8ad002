//! Plays the steps of a scenario.

use super::background::Plans;
use super::figures::{Costs, ROUND_S};
use super::ground::Grinder;
use super::{Device, EcgError, LayerName, Recording, Run, Step, Story, Word};
use crate::cast::{Enrol, Organisation};
use crate::chance::Chance;
use crate::hostile;
use crate::net::{CableId, HostId, Line};
use crate::storm::Outcome;
use crate::truth::{Key, end, forgotten};
use crate::world::{SECOND, World};
use aidmesh_core::blob::Layer;
use aidmesh_core::delivery::{State, Step as Column};
use aidmesh_core::envelope::Class;
use aidmesh_core::id::ThreadId;
use aidmesh_core::machine::command::{Command, EntryRef, Outgoing};
use aidmesh_core::machine::open::Flaws;
use std::collections::BTreeMap;

const RULE: &str = "the scenario's expectation holds";

pub(super) struct Play<'a> {
    pub(super) story: &'a Story,
    pub(super) world: World,
    pub(super) org: Organisation,
    ecg: Recording,
    /// The file's devices, each with a name of its own.
    pub(super) devices: Vec<Device>,
    hosts: BTreeMap<String, HostId>,
    threads: BTreeMap<String, ThreadId>,
    pub(super) entries: BTreeMap<String, Key>,
    pub(super) chance: Chance,
    pub(super) plans: Plans,
    pub(super) costs: Costs,
    pub(super) ground: Option<Grinder>,
    pub(super) one_head_s: Option<f64>,
    pub(super) all_there_s: Option<f64>,
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
        devices: story.device.iter().flat_map(each).collect(),
        hosts: BTreeMap::new(),
        threads: BTreeMap::new(),
        entries: BTreeMap::new(),
        chance: Chance::new(seed).fork("story"),
        plans: Plans::default(),
        costs: Costs::begin(),
        ground: None,
        one_head_s: None,
        all_there_s: None,
    };
    play.set_up(run.flaws);
    for step in &story.step {
        if play.world.violation.is_some() {
            break;
        }
        play.step(step);
    }
    let figures = Some(play.count_up());
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
        figures,
    })
}

/// The devices that one of a file stands for.
fn each(device: &Device) -> Vec<Device> {
    let name = |n: u32| format!("{}{n}", device.name);
    let one = |name: String| Device {
        name,
        ..device.clone()
    };
    match device.count {
        0 => vec![device.clone()],
        count => (1..=count).map(|n| one(name(n))).collect(),
    }
}

impl Play<'_> {
    fn set_up(&mut self, flaws: Flaws) {
        for device in self.devices.clone() {
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
            let Some(profile) = cable.profile() else {
                return self.fail(format!("no line is called {}", cable.line));
            };
            let stream = !cable.datagrams;
            let [ends, others] = [0, 1].map(|side| self.group(&cable.between[side..=side]));
            for a in ends {
                for b in others.iter().filter(|b| **b != a) {
                    self.world.add_cable(Line { profile, stream }, a, *b);
                }
            }
        }
        for thread in &self.story.thread {
            self.found(thread);
        }
        for device in self.devices.iter().filter(|d| d.late) {
            self.world.crash(self.hosts[&device.name], 0);
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
        let mut members = self.group(&spec.members);
        members.retain(|host| *host != founder);
        for host in &members {
            let name = self.world.hosts[*host].name.clone();
            self.add(&spec.founder, &spec.name, &name);
        }
        let joined = |play: &mut Play<'_>| {
            members.iter().all(|host| {
                let machine = play.world.hosts[*host].machine.as_ref();
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
            Step::Wait { seconds } => self.pass(seconds * SECOND),
            Step::Say { text } => self.tell("scenario", text),
            Step::Cut { between } => self.on_cables(between, |world, cable| world.cut_cable(cable, false)),
            Step::Raise { between } => {
                self.contact();
                self.on_cables(between, World::want_cable);
            }
            Step::Start { device } => self.on_host(device, |world, host| world.reopen(host, true)),
            Step::Crash { device, seconds } => {
                self.tell(device, &format!("dies; starts again in {seconds} s"));
                let pause = seconds * SECOND;
                self.on_host(device, |world, host| world.crash_for(host, 0, pause, true));
            }
            Step::Backup { device } => self.on_host(device, World::backup),
            Step::Restore { device, empty } => self.restore(device, *empty),
            Step::DiskFull { device, full } => {
                self.on_host(device, |world, host| world.hosts[host].disk_full = *full);
            }
            Step::SlowDisks { delay_ms } => self.world.disks.delay_us_max = delay_ms * 1000,
            Step::Garbage { frames } => self.garbage(*frames),
            Step::OfferAll { device, thread } => self.offer_all(device, thread),
            Step::Chatter { .. } | Step::Crashes { .. } | Step::Visits { .. } => self.plan(step),
            Step::Until { .. }
            | Step::FallsBack { .. }
            | Step::Says { .. }
            | Step::Opens { .. }
            | Step::NotOpened { .. }
            | Step::Original { .. }
            | Step::NotYet { .. }
            | Step::OneHead { .. }
            | Step::Keys { .. }
            | Step::NotFollowed { .. }
            | Step::SuiteIs { .. }
            | Step::Converge { .. } => self.expect(step),
            _ => self.person(step),
        }
    }

    /// What people do.
    fn person(&mut self, step: &Step) {
        match step {
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
            Step::Revoke { device, told } => self.revoke(device, told),
            Step::Purge { by, thread } => self.purge(by, thread),
            Step::Grind { .. } => self.grind(step),
            Step::Refound { by, thread, suite } => self.refound(by, thread, *suite),
            Step::LoseKeys { device, thread } => self.lose_keys(device, thread),
            _ => {}
        }
    }

    /// What later steps live through.
    fn plan(&mut self, step: &Step) {
        match step {
            Step::Chatter {
                thread,
                among,
                messages,
                seconds,
            } => {
                let among = self.group(among);
                if let Some(thread) = self.thread(thread) {
                    self.chatter(thread, among, *messages, *seconds);
                }
            }
            Step::Crashes {
                among,
                times,
                seconds,
                down_s,
            } => {
                let among = self.group(among);
                self.crashes(&among, *times, *seconds, *down_s);
            }
            Step::Visits {
                between,
                first_s,
                every_s,
                stays_s,
                times,
            } => {
                let cables = self.cables(between);
                let lengths = [first_s, every_s, stays_s].map(|s| s * SECOND);
                self.visits(&cables, lengths, *times);
            }
            _ => {}
        }
    }

    fn expect(&mut self, step: &Step) {
        let fine = match step {
            Step::Converge { within_s, everything } => {
                let (mut missing, mut unopened) = (None, None);
                let there = |play: &mut Play<'_>| {
                    let (truth, world) = (&play.world.truth, &play.world);
                    end::missing_from(truth, world, &mut missing).is_none()
                        && (!everything || end::unopened_from(truth, world, &mut unopened).is_none())
                };
                let there = self.wait(*within_s, there);
                self.all_there_s = self.since_contact_s().filter(|_| there);
                there
            }
            Step::OneHead { rounds } => {
                let agree = |play: &mut Play<'_>| end::disagreement(&play.world.truth, &play.world).is_none();
                let passed_s = self.since_contact_s().unwrap_or_default() as u64;
                let agreed = self.wait((rounds * ROUND_S).saturating_sub(passed_s), agree);
                self.one_head_s = self.since_contact_s().filter(|_| agreed);
                agreed
            }
            Step::NotFollowed { thread } => self.is_not_followed(thread),
            Step::SuiteIs { thread, suite } => self.has_suite(thread, *suite),
            Step::Keys {
                device,
                thread,
                nodes,
                within_s,
            } => self.has_keys(device, thread, *nodes, *within_s),
            _ => match self.expect_entry(step) {
                Some(fine) => fine,
                None => return,
            },
        };
        if !fine && self.world.violation.is_none() {
            let (truth, world) = (&self.world.truth, &self.world);
            let missing = end::missing(truth, world).or(end::unopened_from(truth, world, &mut None));
            let missing = missing
                .map(|what| format!(" (missing: {what})"))
                .unwrap_or_default();
            self.fail(format!("{step:?}{missing}"));
        }
    }

    /// An expectation about one entry at one device; `None` if the file names what is not there.
    fn expect_entry(&mut self, step: &Step) -> Option<bool> {
        let (Step::Until { entry, at, .. }
        | Step::FallsBack { entry, at, .. }
        | Step::Says { entry, at, .. }
        | Step::NotYet { entry, at, .. }
        | Step::Opens {
            device: at, entry, ..
        }
        | Step::NotOpened { device: at, entry }
        | Step::Original {
            device: at, entry, ..
        }) = step
        else {
            return None;
        };
        let (key, host) = self.entry_at(entry, at)?;
        Some(match step {
            Step::Until {
                word,
                layer,
                within_s,
                ..
            } => self.wait(*within_s, |play| play.has_word(key, host, *word, *layer)),
            Step::FallsBack { word, within_s, .. } => {
                self.wait(*within_s, |play| !play.has_word(key, host, *word, None))
            }
            Step::Says { word, layer, .. } => {
                let said = self.state(key, host);
                let layer = layer.map(LayerName::layer);
                said.is_some_and(|state| state.step() == column(*word) && state.q() == layer)
            }
            Step::NotYet { word, .. } => !self.has_word(key, host, *word, None),
            Step::Opens { within_s, .. } => self.wait(*within_s, |play| play.opened(key, host)),
            Step::NotOpened { .. } => !self.opened(key, host),
            Step::Original { within_s, .. } => {
                let equal = self.wait(*within_s, |play| play.originals_equal(key, host));
                if equal {
                    self.tell(at, "has every original file, byte for byte the same");
                }
                equal
            }
            _ => return None,
        })
    }

    /// Runs until `done`, at most `seconds`.
    pub(super) fn wait(&mut self, seconds: u64, mut done: impl FnMut(&mut Play<'_>) -> bool) -> bool {
        let end = self.world.now_us + seconds * SECOND;
        while self.world.violation.is_none() {
            if done(self) {
                return true;
            }
            if self.world.now_us >= end {
                return false;
            }
            self.pass(SECOND / 10);
        }
        false
    }

    /// Whether the disk of a device has keys of so many nodes, now or within a time. Looks once a minute.
    fn has_keys(&mut self, device: &str, thread: &str, nodes: usize, within_s: u64) -> bool {
        let (Some(host), Some(thread)) = (self.host(device), self.thread(thread)) else {
            return true;
        };
        let end = self.world.now_us + within_s * SECOND;
        loop {
            let held = forgotten::on_disk(&self.world, host, thread).len();
            if held == nodes {
                return true;
            }
            if self.world.now_us >= end || self.world.violation.is_some() {
                self.tell(device, &format!("has keys of {held} nodes"));
                return false;
            }
            self.pass(60 * SECOND);
        }
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
            self.pass(SECOND / 20);
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

    /// The word at the sender about one recipient.
    fn state(&self, key: Key, host: HostId) -> Option<State> {
        let said = self.world.truth.said.get(&key)?;
        let machine = self.world.hosts[said.author].machine.as_ref()?;
        let dev = self.world.hosts[host].dev()?;
        let words = machine.delivery(key.0, entry_ref(key));
        words
            .iter()
            .find(|(at, ..)| *at == dev)
            .map(|(_, state, _)| *state)
    }

    fn has_word(&self, key: Key, host: HostId, word: Word, layer: Option<LayerName>) -> bool {
        let layer = layer.map(LayerName::layer);
        let state = self.state(key, host);
        state.is_some_and(|state| state.step() >= column(word) && (layer.is_none() || state.q() >= layer))
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

    pub(super) fn tell(&mut self, place: &str, what: &str) {
        let us = self.world.now_us;
        self.world.trace.line(us, place, what);
    }

    pub(super) fn fail(&mut self, what: String) {
        self.world.accuse(RULE, what);
    }

    pub(super) fn host(&mut self, name: &str) -> Option<HostId> {
        let found = self.hosts.get(name).copied();
        if found.is_none() {
            self.fail(format!("no device is called {name}"));
        }
        found
    }

    pub(super) fn thread(&mut self, name: &str) -> Option<ThreadId> {
        let found = self.threads.get(name).copied();
        if found.is_none() {
            self.fail(format!("no thread is called {name}"));
        }
        found
    }

    pub(super) fn key(&mut self, entry: &str) -> Option<Key> {
        let found = self.entries.get(entry).copied();
        if found.is_none() {
            self.fail(format!("no entry is called {entry}"));
        }
        found
    }

    pub(super) fn entry_at(&mut self, entry: &str, device: &str) -> Option<(Key, HostId)> {
        Some((self.key(entry)?, self.host(device)?))
    }

    fn on_host(&mut self, device: &str, act: impl FnOnce(&mut World, HostId)) {
        if let Some(host) = self.host(device) {
            act(&mut self.world, host);
        }
    }

    fn on_cables(&mut self, between: &[String; 2], mut act: impl FnMut(&mut World, CableId)) {
        for cable in self.cables(between) {
            act(&mut self.world, cable);
        }
    }

    /// All cables between two names or patterns.
    fn cables(&mut self, between: &[String; 2]) -> Vec<CableId> {
        let [a, b] = [0, 1].map(|side| self.group(&between[side..=side]));
        let all = &self.world.cables;
        let joins = |cable: &CableId| {
            let [x, y] = [0, 1].map(|side| all[*cable].sides[side].host);
            a.contains(&x) && b.contains(&y) || a.contains(&y) && b.contains(&x)
        };
        let found: Vec<CableId> = (0..all.len()).filter(joins).collect();
        if found.is_empty() {
            self.fail(format!("no cable between {} and {}", between[0], between[1]));
        }
        found
    }

    /// Devices of these names; a `*` stands for any text.
    fn group(&mut self, names: &[String]) -> Vec<HostId> {
        let mut found = Vec::new();
        for name in names {
            let means = |known: &&String| match name.split_once('*') {
                Some((start, end)) => known.starts_with(start) && known.ends_with(end),
                None => *known == name,
            };
            let hosts: Vec<HostId> = self
                .hosts
                .iter()
                .filter(|(n, _)| means(n))
                .map(|(_, h)| *h)
                .collect();
            if hosts.is_empty() {
                self.fail(format!("no device is called {name}"));
            }
            found.extend(hosts);
        }
        found
    }
}

fn column(word: Word) -> Column {
    match word {
        Word::Stored => Column::Stored,
        Word::AtRelay => Column::AtRelay,
        Word::Delivered => Column::Delivered,
        Word::Seen => Column::Seen,
        Word::Acknowledged => Column::Acknowledged,
    }
}

pub(super) fn entry_ref(key: Key) -> EntryRef {
    EntryRef {
        slot: key.1,
        seq: key.2,
    }
}
