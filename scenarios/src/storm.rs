//! The storm: random people on random devices over random links, under random faults, from one seed.
//!
//! Each seed draws its own weather ([`Weather`]: which faults are on at all), because faults that are
//! always on hide each other. A run has four parts: devices are enrolled and two threads founded in calm;
//! then people write, read, join and leave while the weather is on, with long quiet phases between; then
//! everything is healed and nothing new goes wrong; then all that must have arrived has to be there
//! within [`CONVERGE_US`]. The reference model looks at every step of all four.
//!
//! Every [`XWING_EVERY`]-th seed uses the hybrid post-quantum suite, the others the classical one, which
//! costs about a tenth; the protocol above the keys is the same code.

mod acts;
mod heal;
mod weather;

pub use weather::Weather;

use crate::cast::{Enrol, Organisation};
use crate::chance::Chance;
use crate::clock::{Clock, START_MS, YEAR_2100_MS};
use crate::hostile;
use crate::net::{CableId, HostId};
use crate::trace::Trace;
use crate::truth::Violation;
use crate::world::{Counters, MINUTE, SECOND, World};
use aidmesh_core::directory::Role;
use aidmesh_core::group::mls::Suite;
use aidmesh_core::id::{Dev, ThreadId};
use aidmesh_core::machine::command::Command;
use aidmesh_core::machine::open::{Flaws, Part};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// After healing everything must have arrived within this virtual time.
pub const CONVERGE_US: u64 = 30 * MINUTE;
/// Every so many seeds the suite is X-Wing.
pub const XWING_EVERY: u64 = 25;

/// Which suite the seeds of a storm use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Suites {
    /// Every [`XWING_EVERY`]-th seed X-Wing, the others the classical one.
    #[default]
    Mixed,
    /// The hybrid post-quantum one.
    #[value(name = "xwing")]
    XWing,
    /// X25519 alone.
    Classical,
}

impl Suites {
    fn is_xwing(self, seed: u64) -> bool {
        match self {
            Suites::Mixed => seed % XWING_EVERY == XWING_EVERY - 1,
            Suites::XWing => true,
            Suites::Classical => false,
        }
    }
}

/// What is the same for all seeds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// Planted bugs.
    pub flaws: Flaws,
    /// Suites.
    pub suites: Suites,
    /// Halves part and members change most of the time: see [`Weather::restless`].
    pub restless: bool,
}

impl Setup {
    /// Without planted bugs.
    pub fn of(suites: Suites, restless: bool) -> Setup {
        let flaws = Flaws::default();
        Setup {
            flaws,
            suites,
            restless,
        }
    }

    /// The options of the command line that make it.
    pub fn options(self) -> &'static str {
        match (self.suites, self.restless) {
            (Suites::Mixed, false) => "",
            (Suites::Mixed, true) => " --restless",
            (Suites::XWing, false) => " --suite xwing",
            (Suites::XWing, true) => " --suite xwing --restless",
            (Suites::Classical, false) => " --suite classical",
            (Suites::Classical, true) => " --suite classical --restless",
        }
    }
}

/// What a seed gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first violation.
    pub violation: Option<Violation>,
    /// Totals.
    pub counters: Counters,
    /// Hash of the trace.
    pub trace_hash: String,
    /// Hashed items.
    pub events: u64,
    /// Virtual time of the run, microseconds.
    pub virtual_us: u64,
    /// The hybrid suite was used.
    pub xwing: bool,
    /// Virtual time from healing until all was there.
    pub converged_us: Option<u64>,
    /// Numbers of a scenario.
    pub figures: Option<crate::story::Figures>,
}

/// Runs one seed. A panic of a machine is a violation like any other.
pub fn run(seed: u64, setup: Setup, trace: Trace) -> Outcome {
    let mut storm = Storm::new(seed, setup, trace);
    let ended = catch_unwind(AssertUnwindSafe(|| storm.play()));
    if let Err(panic) = ended {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_else(|| "panic".to_owned());
        storm.world.accuse("total: nothing panics", text);
    }
    storm.outcome()
}

/// One run.
pub(crate) struct Storm {
    seed: u64,
    pub(crate) world: World,
    pub(crate) weather: Weather,
    pub(crate) chance: Chance,
    org: Organisation,
    pub(crate) members: Vec<HostId>,
    pub(crate) relays: Vec<HostId>,
    pub(crate) threads: Vec<ThreadId>,
    /// (device, thread, who adds it): waits for a card.
    joining: Vec<(HostId, ThreadId, HostId)>,
    /// Commands that people give later.
    later: Vec<(u64, HostId, Command)>,
    /// Cables that are down for a partition.
    parted: Vec<CableId>,
    xwing: bool,
    converged_us: Option<u64>,
}

/// Roles of the devices, in order; the first two found the threads.
const ROLES: [(&str, Role); 6] = [
    ("hospital", Role::Physician),
    ("ambulance", Role::Paramedic),
    ("cardiology", Role::Cardiologist),
    ("nurse", Role::Nurse),
    ("ward", Role::Physician),
    ("tablet", Role::Paramedic),
];

impl Storm {
    fn new(seed: u64, setup: Setup, trace: Trace) -> Storm {
        let chance = Chance::new(seed);
        let mut weather = Weather::draw(&mut chance.fork("weather"));
        if setup.restless {
            weather = weather.restless();
        }
        let mut storm = Storm {
            seed,
            world: World::new(seed, trace),
            weather,
            chance: chance.fork("people"),
            org: Organisation::new(seed),
            members: Vec::new(),
            relays: Vec::new(),
            threads: Vec::new(),
            joining: Vec::new(),
            later: Vec::new(),
            parted: Vec::new(),
            xwing: setup.suites.is_xwing(seed),
            converged_us: None,
        };
        storm.world.disks.delay_us_max = storm.weather.disk_delay_us_max;
        storm.enrol(setup.flaws);
        storm
    }

    fn play(&mut self) {
        self.found();
        self.weather_on();
        self.people();
        self.heal();
    }

    fn outcome(mut self) -> Outcome {
        let counters = self.world.totals();
        Outcome {
            seed: self.seed,
            violation: self.world.violation.clone(),
            counters,
            trace_hash: self.world.trace.hash(),
            events: self.world.trace.events(),
            virtual_us: self.world.now_us,
            xwing: self.xwing,
            converged_us: self.converged_us,
            figures: None,
        }
    }

    fn enrol(&mut self, flaws: Flaws) {
        let devices = self.chance.between(4, 6) as usize;
        for (name, role) in ROLES.into_iter().take(devices) {
            let founder = self.members.len() < 2;
            let clock = self.clock(!founder);
            let part = Part::Member;
            let enrol = Enrol {
                part,
                role,
                clock,
                flaws,
            };
            let host = self.org.enrol(&mut self.world, name, enrol);
            self.members.push(host);
        }
        for n in 0..self.weather.relays {
            let clock = self.clock(false);
            let enrol = Enrol {
                part: Part::Relay,
                role: Role::Relay,
                clock,
                flaws,
            };
            let name = ["relay", "relay-2"][n];
            let host = self.org.enrol(&mut self.world, name, enrol);
            self.relays.push(host);
        }
        let line = Weather::calm_line();
        for (n, a) in self.members.clone().into_iter().enumerate() {
            for relay in self.relays.clone() {
                self.world.add_cable(line, a, relay);
            }
            for b in self.members[..n].iter().copied() {
                if self.chance.percent(self.weather.mesh_percent) {
                    self.world.add_cable(line, a, b);
                }
            }
        }
    }

    /// A lease that a clock of 2100 thinks expired ends a device's part in membership, and a relay's
    /// service; so founders and relays start with a right one.
    fn clock(&mut self, may_be_wrong: bool) -> Clock {
        let drift = self.chance.between(0, 400) as i64 - 200;
        let mut offset = self.chance.between(0, 4_000) as i64 - 2_000;
        if may_be_wrong && self.weather.wrong_clocks && self.chance.percent(50) {
            offset = match self.chance.below(4) {
                0 => -(START_MS as i64),
                1 => (YEAR_2100_MS - START_MS) as i64,
                2 => 3 * 3600 * 1000,
                _ => -40 * 24 * 3600 * 1000,
            };
        }
        Clock::new(drift, offset)
    }

    /// Founds a hotline and a patient's thread and adds the first members.
    fn found(&mut self) {
        use aidmesh_core::directory::ThreadKind;
        self.world.run_for(2 * SECOND);
        let suite = if self.xwing {
            Suite::XWing
        } else {
            Suite::Classical
        };
        for (founder, kind) in [(0, ThreadKind::Hotline), (1, ThreadKind::Patient)] {
            let founder = self.members[founder];
            let history = self.weather.history();
            let command = Command::CreateThread {
                kind,
                history,
                suite,
                title: format!("thread {}", self.threads.len()),
            };
            if let Some(Ok(made)) = self.world.command(founder, command)
                && let Some(thread) = made.thread
            {
                self.threads.push(thread);
                for host in self.members.clone().into_iter().take(3) {
                    self.join(host, thread, founder);
                }
            } else {
                self.world
                    .accuse("a lawful command is taken", "CreateThread".to_owned());
            }
        }
        for _ in 0..60 {
            self.step(5 * SECOND);
            if self.joining.is_empty() {
                break;
            }
        }
        self.step(30 * SECOND);
    }

    /// Lines and disks as the weather has them.
    fn weather_on(&mut self) {
        self.world.disks.fail_permille = self.weather.fail_permille;
        if self.weather.rebuilds {
            self.backup();
        }
        for cable in 0..self.world.cables.len() {
            let line = self.weather.line(&mut self.chance);
            self.world.set_line(cable, line);
        }
    }

    /// Lets time pass, then does what people and programs do about what was told.
    pub(crate) fn step(&mut self, us: u64) {
        self.world.run_for(us);
        for host in 0..self.world.hosts.len() {
            self.world.rouse(host);
        }
        let events = std::mem::take(&mut self.world.events);
        for (_, host, event) in events {
            self.react(host, event);
        }
        let now = self.world.now_us;
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.later)
            .into_iter()
            .partition(|l| l.0 <= now);
        self.later = later;
        for (_, host, command) in due {
            let _ = self.world.command(host, command);
        }
    }

    /// People write, read, join and leave while faults happen.
    fn people(&mut self) {
        let end = self.world.now_us + self.weather.minutes * MINUTE;
        while self.world.now_us < end && self.world.violation.is_none() {
            let quiet = self.chance.percent(4);
            let pause = match quiet {
                true => self.chance.between(4 * MINUTE, 30 * MINUTE),
                false => self.chance.between(SECOND / 10, 12 * SECOND),
            };
            // what is told in a long pause is answered in it
            let mut left = pause;
            while left > 0 && self.world.violation.is_none() {
                let piece = left.min(20 * SECOND);
                self.step(piece);
                left -= piece;
            }
            self.act();
        }
    }

    fn suite(&self) -> Suite {
        match self.xwing {
            true => Suite::XWing,
            false => Suite::Classical,
        }
    }

    pub(crate) fn dev(&self, host: HostId) -> Dev {
        self.world.hosts[host].dev().unwrap_or_default()
    }

    /// Devices that are members by what somebody meant last.
    pub(crate) fn is_meant(&self, thread: ThreadId, host: HostId) -> bool {
        let Some(intent) = self.world.truth.threads.get(&thread) else {
            return false;
        };
        let dev = self.dev(host);
        let last = intent.changes.iter().rfind(|c| c.dev == dev);
        last.map_or(intent.founder == host, |c| c.added)
    }

    fn attack(&mut self) {
        let mut chance = self.chance.fork("attack");
        self.chance.draw();
        for _ in 0..4 {
            hostile::attack(&mut self.world, &mut chance);
        }
        if chance.percent(40) {
            hostile::swallow(&mut self.world, &mut chance);
        }
    }
}
