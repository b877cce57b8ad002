//! The world: one virtual clock, one queue of what happens next, devices, cables.
//!
//! [`World`] drives the very [`Machine`] that runs in a vehicle. It hands inputs over, carries out
//! outputs (bytes go to a cable, batches to a disk, events to people) and wakes machines when they asked
//! for it. What happens next is decided by time, then by the order of planning, and by nothing else, so
//! a run is a function of its seed.
//!
//! Absent on purpose: what people do (`storm`, `story`), and what counts as wrong (`truth`). The world
//! calls [`Truth`] at each input and output; the first [`Violation`] stops it.

mod counters;
mod faults;
mod host;

pub use counters::Counters;
pub use host::{Host, Start};

use crate::chance::Chance;
use crate::net::{Cable, CableId, HostId, Line};
use crate::trace::{Tag, Trace};
use crate::truth::{Key, Truth, Violation};
use aidmesh_core::id::NodeId;
use aidmesh_core::limits;
use aidmesh_core::machine::command::{Command, CommandError, Made};
use aidmesh_core::machine::event::Event;
use aidmesh_core::machine::input::{Input, LinkId};
use aidmesh_core::machine::insider::Lie;
use aidmesh_core::machine::output::Output;
use aidmesh_core::store::Batch;
use bytes::Bytes;
use std::collections::BTreeMap;

/// One second in microseconds.
pub const SECOND: u64 = 1_000_000;
/// One minute in microseconds.
pub const MINUTE: u64 = 60 * SECOND;
/// A device may wake that often.
const WAKES_PER_SECOND: u32 = 2000;

/// What will happen.
#[derive(Debug)]
enum Plan {
    /// A machine's deadline has come.
    Wake { host: HostId, life: u32 },
    /// A disk confirms its oldest batch.
    Written { host: HostId, life: u32 },
    /// Bytes arrive at a side of a cable.
    Arrive {
        cable: CableId,
        life: u32,
        side: usize,
        bytes: Bytes,
    },
    /// A sender's queue may have drained.
    Drained { cable: CableId, life: u32, side: usize },
    /// A wanted cable tries to come up.
    Raise { cable: CableId },
    /// A link ends and comes up anew.
    Renew { cable: CableId, life: u32 },
    /// A crashed device starts again.
    Reopen { host: HostId, reboot: bool },
}

/// How disks behave in a run.
#[derive(Clone, Copy, Debug)]
pub struct DiskFaults {
    /// Longest time to make a batch durable, microseconds.
    pub delay_us_max: u64,
    /// Failed commits per thousand batches.
    pub fail_permille: u64,
}

/// Everything that is simulated.
pub struct World {
    /// Microseconds since the start.
    pub now_us: u64,
    /// Devices.
    pub hosts: Vec<Host>,
    /// Cables.
    pub cables: Vec<Cable>,
    /// What is known from outside.
    pub truth: Truth,
    /// Hash and lines.
    pub trace: Trace,
    /// Totals.
    pub counters: Counters,
    /// How disks behave.
    pub disks: DiskFaults,
    /// Events since somebody last took them.
    pub events: Vec<(u64, HostId, Event)>,
    /// The first violation.
    pub violation: Option<Violation>,
    /// Some of the bytes that were sent, for those who copy them.
    pub captured: Vec<Bytes>,
    /// All that is sent and when, while somebody counts.
    pub sent: Option<Vec<(u64, Bytes)>>,
    /// Bytes that devices handed to lines.
    pub wire_bytes: u64,
    /// What scenarios call their entries, for readable lines.
    pub titles: BTreeMap<Key, String>,
    /// Keys of the rows that a watched device writes.
    watched: Option<(HostId, Vec<Vec<u8>>)>,
    spy: Chance,
    plans: BTreeMap<(u64, u64), Plan>,
    planned: u64,
    chance: Chance,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64, trace: Trace) -> World {
        crate::alarm::listen();
        World {
            now_us: 0,
            hosts: Vec::new(),
            cables: Vec::new(),
            truth: Truth::default(),
            trace,
            counters: Counters::default(),
            disks: DiskFaults {
                delay_us_max: 2_000,
                fail_permille: 0,
            },
            events: Vec::new(),
            violation: None,
            captured: Vec::new(),
            sent: None,
            wire_bytes: 0,
            titles: BTreeMap::new(),
            watched: None,
            spy: Chance::new(seed).fork("spy"),
            plans: BTreeMap::new(),
            planned: 0,
            chance: Chance::new(seed).fork("world"),
        }
    }

    /// Adds a device and opens its machine.
    pub fn add_host(&mut self, start: Start) -> HostId {
        self.hosts.push(Host::new(start));
        let id = self.hosts.len() - 1;
        self.open(id);
        id
    }

    /// Adds a cable that comes up at once.
    pub fn add_cable(&mut self, line: Line, a: HostId, b: HostId) -> CableId {
        self.cables.push(Cable::new(line, a, b));
        let cable = self.cables.len() - 1;
        self.plan(self.now_us, Plan::Raise { cable });
        cable
    }

    /// Runs until world time `us`, or until something is wrong.
    pub fn run_until(&mut self, us: u64) {
        while self.violation.is_none() {
            let Some((&key, _)) = self.plans.first_key_value() else {
                break;
            };
            if key.0 > us {
                break;
            }
            let plan = self.plans.remove(&key).expect("the key was just read");
            self.now_us = self.now_us.max(key.0);
            self.happen(plan);
        }
        if self.violation.is_none() {
            self.now_us = self.now_us.max(us);
        }
    }

    /// Runs for `us` microseconds.
    pub fn run_for(&mut self, us: u64) {
        self.run_until(self.now_us + us);
    }

    /// Gives a command to a device. `None` if its machine is not running.
    pub fn command(&mut self, host: HostId, command: Command) -> Option<Result<Made, CommandError>> {
        let now = self.hosts[host].clock.now(self.now_us);
        if self.hosts[host].asleep_until.is_some() {
            return None;
        }
        let bytes = format!("{command:?}");
        let h = &mut self.hosts[host];
        let made = h.machine.as_mut()?.command(&h.disk, now, command.clone());
        self.trace.add(Tag::Command, self.now_us, host, bytes.as_bytes());
        if let Ok(made) = &made {
            self.with_truth(|truth, world| truth.on_command(world, host, &command, made));
        }
        self.drain(host);
        if let Ok(made) = &made {
            self.with_truth(|truth, world| truth.after_command(world, host, made));
        }
        Some(made)
    }

    /// A device tells lies as a member with lawful keys. `None` if it does not run or holds too little
    /// for it.
    pub fn lie(&mut self, host: HostId, lie: &Lie) -> Option<Vec<NodeId>> {
        let now = self.hosts[host].clock.now(self.now_us);
        let bytes = format!("{lie:?}");
        let h = &mut self.hosts[host];
        let nodes = h.machine.as_mut()?.lie(&h.disk, now, lie).ok()?;
        self.trace.add(Tag::Command, self.now_us, host, bytes.as_bytes());
        let (thread, whom) = match *lie {
            Lie::Grind { thread, whom, .. } => (thread, whom),
            Lie::Lose { thread } => {
                self.with_truth(|truth, world| truth.on_loss(world.now_us, host, thread));
                self.drain(host);
                return Some(nodes);
            }
        };
        let removal = Command::Remove { thread, dev: whom };
        let (command, entry) = (0, None);
        let made = Made {
            command,
            thread: None,
            entry,
        };
        self.with_truth(|truth, world| {
            truth.on_lie(host);
            truth.on_command(world, host, &removal, &made);
        });
        self.counters.hostile_acts += nodes.len() as u64;
        self.drain(host);
        Some(nodes)
    }

    /// Hands an input to a device's machine, and carries out what it asks for.
    pub fn give(&mut self, host: HostId, input: Input) {
        let now = self.hosts[host].clock.now(self.now_us);
        match &input {
            Input::Frame { link, bytes } => {
                let place = [&link.0.to_le_bytes()[..], bytes].concat();
                self.trace.add(Tag::Input, self.now_us, host, &place);
            }
            other => {
                let text = format!("{other:?}");
                self.trace.add(Tag::Input, self.now_us, host, text.as_bytes());
            }
        }
        let h = &mut self.hosts[host];
        let Some(machine) = h.machine.as_mut() else {
            return;
        };
        machine.handle(&h.disk, now, input);
        self.drain(host);
    }

    /// Something is wrong; the first call counts.
    pub fn accuse(&mut self, invariant: &'static str, what: String) {
        if self.violation.is_none() {
            self.trace
                .line(self.now_us, "check", &format!("VIOLATION {invariant}: {what}"));
            let at_us = self.now_us;
            self.violation = Some(Violation {
                invariant,
                what,
                at_us,
            });
        }
    }

    /// The other end of a link of a device: cable, and the side of `host`.
    pub fn cable_of(&self, host: HostId, link: LinkId) -> Option<(CableId, usize)> {
        self.cables.iter().enumerate().find_map(|(id, cable)| {
            let side = cable
                .sides
                .iter()
                .position(|s| s.host == host && s.link == Some(link))?;
            Some((id, side))
        })
    }

    fn plan(&mut self, us: u64, plan: Plan) {
        self.planned += 1;
        self.plans.insert((us.max(self.now_us), self.planned), plan);
    }

    fn happen(&mut self, plan: Plan) {
        match plan {
            Plan::Wake { host, life } => {
                if self.postponed(host, Plan::Wake { host, life }) || self.hosts[host].life != life {
                    return;
                }
                if self.hosts[host].wake_us == Some(self.now_us) {
                    self.hosts[host].wake_us = None;
                    self.check_wakes(host);
                    self.give(host, Input::Wake);
                }
            }
            Plan::Written { host, life } => {
                if !self.postponed(host, Plan::Written { host, life }) && self.hosts[host].life == life {
                    self.written(host);
                }
            }
            Plan::Arrive {
                cable,
                life,
                side,
                bytes,
            } => {
                let end = &self.cables[cable].sides[side];
                if self.cables[cable].life == life
                    && let Some(link) = end.link
                {
                    self.give(end.host, Input::Frame { link, bytes });
                }
            }
            Plan::Drained { cable, life, side } => {
                if self.cables[cable].life == life {
                    self.cables[cable].sides[side].draining = false;
                    self.offer(cable, side);
                }
            }
            Plan::Raise { cable } => self.raise(cable),
            Plan::Renew { cable, life } => {
                if self.cables[cable].life == life {
                    self.cut_cable(cable, true);
                    self.plan(self.now_us, Plan::Raise { cable });
                }
            }
            Plan::Reopen { host, reboot } => self.reopen(host, reboot),
        }
    }

    /// A sleeping device misses nothing that is its own; it comes when it wakes.
    fn postponed(&mut self, host: HostId, plan: Plan) -> bool {
        match self.hosts[host].asleep_until {
            Some(until) if until > self.now_us => {
                if matches!(plan, Plan::Wake { .. }) {
                    self.hosts[host].wake_us = Some(until);
                }
                self.plan(until, plan);
                true
            }
            _ => false,
        }
    }

    fn written(&mut self, host: HostId) {
        let fails = self.chance.below(1000) < self.disks.fail_permille || self.hosts[host].disk_full;
        if fails && let Some(ticket) = self.hosts[host].disk.fail() {
            self.counters.failed_commits += 1;
            self.hosts[host].life += 1;
            self.trace
                .line(self.now_us, &self.hosts[host].name, "disk refused a batch");
            self.give(host, Input::CommitFailed { ticket });
            self.crash(host, 0);
            let reboot = false;
            self.plan(self.now_us + SECOND, Plan::Reopen { host, reboot });
            return;
        }
        if let Some((ticket, _)) = self.hosts[host].disk.confirm() {
            let h = &mut self.hosts[host];
            // the first batch of a life says in which life the store is; only then does the count go on
            h.generation += u64::from(h.confirmed == 0);
            h.confirmed = ticket;
            self.give(host, Input::Committed { ticket });
        }
    }

    fn drain(&mut self, host: HostId) {
        let mut outputs = 0;
        while let Some(output) = self.hosts[host].machine.as_mut().and_then(|m| m.poll()) {
            outputs += 1;
            if outputs > limits::OUTPUTS {
                self.accuse("bounds", format!("more than {} outputs at once", limits::OUTPUTS));
                break;
            }
            match output {
                Output::Transmit { link, bytes, .. } => self.transmit(host, link, bytes),
                Output::Commit { ticket, batch } => self.submit(host, ticket, batch),
                Output::Disconnect { link, why } => {
                    if let Some((cable, _)) = self.cable_of(host, link) {
                        let text = format!("closes a link: {why}");
                        self.trace.line(self.now_us, &self.hosts[host].name, &text);
                        self.cut_cable(cable, true);
                        self.plan(self.now_us + 5 * SECOND, Plan::Raise { cable });
                    }
                }
                Output::Event(event) => self.event(host, event),
            }
        }
        if let Some(text) = crate::alarm::take() {
            self.accuse("no ERROR line", text);
        }
        self.with_truth(|truth, world| truth.on_step(world, host));
        self.plan_wake(host);
    }

    fn plan_wake(&mut self, host: HostId) {
        let h = &self.hosts[host];
        let Some((at, _)) = h.machine.as_ref().and_then(|m| m.next_wakeup()) else {
            return;
        };
        let when = h.clock.when(at, self.now_us);
        let when = when.max(h.asleep_until.unwrap_or(0)).max(self.now_us + 1);
        if h.wake_us
            .is_none_or(|planned| when < planned || planned < self.now_us)
        {
            let life = h.life;
            self.hosts[host].wake_us = Some(when);
            self.plan(when, Plan::Wake { host, life });
        }
    }

    /// A deadline that stays in the past would wake the device for ever and empty its battery.
    fn check_wakes(&mut self, host: HostId) {
        let h = &mut self.hosts[host];
        let second = self.now_us / SECOND;
        if h.wakes.0 != second {
            h.wakes = (second, 0);
        }
        h.wakes.1 += 1;
        if h.wakes.1 > WAKES_PER_SECOND {
            let why = h.machine.as_ref().and_then(|m| m.next_wakeup());
            let what = format!(
                "{} wakes more than {WAKES_PER_SECOND} times a second: {why:?}",
                h.name
            );
            self.accuse("bounds", what);
        }
    }

    fn transmit(&mut self, host: HostId, link: LinkId, bytes: Bytes) {
        let place = [&link.0.to_le_bytes()[..], &bytes].concat();
        self.trace.add(Tag::Wire, self.now_us, host, &place);
        self.with_truth(|truth, world| truth.on_transmit(world, host, link, &bytes));
        let Some((cable, side)) = self.cable_of(host, link) else {
            return;
        };
        self.wire_bytes += bytes.len() as u64;
        crate::hostile::capture(&mut self.captured, &mut self.spy, &bytes);
        if let Some(sent) = &mut self.sent {
            sent.push((self.now_us, bytes.clone()));
        }
        let c = &mut self.cables[cable];
        let arrivals = c.send(side, self.now_us, bytes.len());
        let life = c.life;
        for at in arrivals.into_iter().flatten() {
            let (side, bytes) = (1 - side, bytes.clone());
            self.plan(
                at,
                Plan::Arrive {
                    cable,
                    life,
                    side,
                    bytes,
                },
            );
        }
        self.look_again(cable, side);
    }

    /// Plans the moment at which the sender's queue is empty, unless it is planned.
    fn look_again(&mut self, cable: CableId, side: usize) {
        let now = self.now_us;
        let c = &mut self.cables[cable];
        if c.sides[side].draining {
            return;
        }
        c.sides[side].draining = true;
        let at = c.backlog_ends(side, now);
        let life = c.life;
        self.plan(at.max(now + 1), Plan::Drained { cable, life, side });
    }

    fn offer(&mut self, cable: CableId, side: usize) {
        let c = &mut self.cables[cable];
        let (Some(link), host) = (c.sides[side].link, c.sides[side].host) else {
            return;
        };
        match c.due(side, self.now_us) {
            Ok(0) => {}
            Ok(bytes) => self.give(host, Input::Budget { link, bytes }),
            Err(_) => self.look_again(cable, side),
        }
    }

    fn submit(&mut self, host: HostId, ticket: u64, batch: Batch) {
        let keys: Vec<u8> = batch
            .rows()
            .flat_map(|(key, value)| [&[u8::from(value.is_some()), key.len() as u8][..], key].concat())
            .collect();
        self.trace.add(Tag::Rows, self.now_us, host, &keys);
        if let Some((at, keys)) = &mut self.watched
            && *at == host
        {
            keys.extend(batch.rows().map(|(key, _)| key.to_vec()));
        }
        self.with_truth(|truth, world| truth.on_batch(world, host, &batch));
        let delay = 1 + self.chance.below(self.disks.delay_us_max);
        let h = &mut self.hosts[host];
        h.disk.submit(ticket, batch);
        h.submitted = ticket;
        h.written_us = h.written_us.max(self.now_us + delay);
        let (at, life) = (h.written_us, h.life);
        if h.disk.waiting() > limits::COMMITS_IN_FLIGHT {
            self.accuse(
                "bounds",
                format!("{} batches in flight", limits::COMMITS_IN_FLIGHT),
            );
        }
        self.plan(at, Plan::Written { host, life });
    }

    fn event(&mut self, host: HostId, event: Event) {
        let text = format!("{event:?}");
        self.trace.add(Tag::Event, self.now_us, host, text.as_bytes());
        if self.trace.is_told()
            && let Some(line) = crate::tell::line(self, host, &event)
        {
            self.trace.line(self.now_us, &self.hosts[host].name, &line);
        }
        self.with_truth(|truth, world| truth.on_event(world, host, &event));
        self.events.push((self.now_us, host, event));
    }

    /// Begins to note which rows a device writes.
    pub fn watch_rows(&mut self, host: HostId) {
        self.watched = Some((host, Vec::new()));
    }

    /// Ends it; the keys of those rows.
    pub fn touched_rows(&mut self) -> Vec<Vec<u8>> {
        self.watched.take().map(|(_, keys)| keys).unwrap_or_default()
    }

    /// Totals, with what can be counted at the end only.
    pub fn totals(&mut self) -> Counters {
        self.with_truth(|truth, world| truth.count(world));
        self.counters
    }

    /// Lends the truth out, so that it may look at the world it belongs to.
    pub fn with_truth(&mut self, look: impl FnOnce(&mut Truth, &mut World)) {
        let mut truth = std::mem::take(&mut self.truth);
        look(&mut truth, self);
        self.truth = truth;
    }
}
