//! What a step plans and later steps live through: people who write, devices that die, vehicles that come
//! by.
//!
//! All moments and choices are drawn from the story's own chance when the step is played, or when the moment
//! comes, so a run stays a function of its seed. A device that cannot write at its moment (it is off, or no
//! member) leaves the word to the next one of its group; if nobody can, that is a violation, so the number
//! of messages of a file is the number that was written.
//!
//! Absent on purpose: waiting. Plans whose time has come happen in [`Play::pass`], which every step uses that
//! lets time go by.

use super::play::Play;
use crate::net::{CableId, HostId};
use crate::world::SECOND;
use aidmesh_core::envelope::Class;
use aidmesh_core::id::ThreadId;
use aidmesh_core::machine::command::{Command, Outgoing};
use std::collections::BTreeMap;

/// Something that happens at its moment.
#[derive(Clone, Debug)]
enum Plan {
    /// Number `talk` of a group writes number `n`.
    Say {
        talk: usize,
        n: u64,
    },
    /// One of these dies and starts again after at most so many microseconds.
    Die {
        among: Vec<HostId>,
        down_us: u64,
    },
    Up(Vec<CableId>),
    Down(Vec<CableId>),
}

/// People who talk in a thread.
#[derive(Clone, Debug)]
struct Talk {
    thread: ThreadId,
    among: Vec<HostId>,
}

/// Plans by moment, in the order of planning within one.
#[derive(Clone, Debug, Default)]
pub(super) struct Plans {
    plans: BTreeMap<(u64, u64), Plan>,
    planned: u64,
    talks: Vec<Talk>,
}

impl Plans {
    fn add(&mut self, us: u64, plan: Plan) {
        self.planned += 1;
        self.plans.insert((us, self.planned), plan);
    }

    /// Nothing is planned any more.
    pub(super) fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    fn next_until(&mut self, us: u64) -> Option<(u64, Plan)> {
        let (&key, _) = self.plans.first_key_value().filter(|(key, _)| key.0 <= us)?;
        let plan = self.plans.remove(&key)?;
        Some((key.0, plan))
    }
}

impl Play<'_> {
    /// Time goes by, and what was planned for it happens.
    pub(super) fn pass(&mut self, us: u64) {
        let end = self.world.now_us + us;
        while self.world.violation.is_none()
            && let Some((at, plan)) = self.plans.next_until(end)
        {
            self.world.run_until(at);
            self.happen(plan);
        }
        self.world.run_until(end);
    }

    /// See `Step::Chatter`.
    pub(super) fn chatter(&mut self, thread: ThreadId, among: Vec<HostId>, messages: u64, seconds: u64) {
        let talk = self.plans.talks.len();
        self.plans.talks.push(Talk { thread, among });
        for n in 0..messages {
            let at = self.moment(seconds);
            self.plans.add(at, Plan::Say { talk, n });
        }
    }

    /// See `Step::Crashes`.
    pub(super) fn crashes(&mut self, among: &[HostId], times: u64, seconds: u64, down_s: u64) {
        for _ in 0..times {
            let (at, among, down_us) = (self.moment(seconds), among.to_vec(), down_s * SECOND);
            self.plans.add(at, Plan::Die { among, down_us });
        }
    }

    /// See `Step::Visits`: begin of the first visit, from one begin to the next, length, in microseconds.
    pub(super) fn visits(&mut self, cables: &[CableId], [first, every, stays]: [u64; 3], times: u64) {
        for n in 0..times {
            let begins = self.world.now_us + first + n * every;
            self.plans.add(begins, Plan::Up(cables.to_vec()));
            self.plans.add(begins + stays, Plan::Down(cables.to_vec()));
        }
    }

    fn moment(&mut self, seconds: u64) -> u64 {
        self.world.now_us + self.chance.below(seconds.max(1) * SECOND)
    }

    fn happen(&mut self, plan: Plan) {
        match plan {
            Plan::Say { talk, n } => self.say(talk, n),
            Plan::Die { among, down_us } => self.die(&among, down_us),
            Plan::Up(cables) => cables.into_iter().for_each(|cable| self.world.want_cable(cable)),
            Plan::Down(cables) => {
                for cable in cables {
                    self.world.cut_cable(cable, false);
                }
            }
        }
    }

    fn say(&mut self, talk: usize, n: u64) {
        let Talk { thread, among } = self.plans.talks[talk].clone();
        let first = self.chance.below(among.len() as u64) as usize;
        let class = match self.chance.percent(10) {
            true => Class::Clinical,
            false => Class::Text,
        };
        let length = self.chance.between(0, 200) as usize;
        let what = Outgoing::Note(format!("{n} {}", "x".repeat(length)));
        for host in among.iter().cycle().skip(first).take(among.len()) {
            let what = what.clone();
            let said = self.world.command(*host, Command::Send { thread, class, what });
            if matches!(said, Some(Ok(_))) {
                self.world.counters.messages += 1;
                return;
            }
        }
        self.fail(format!("nobody of {} can write", among.len()));
    }

    /// As in a storm: the tail that the machine never saw confirmed is lost or not, the clock starts anew or
    /// not.
    fn die(&mut self, among: &[HostId], down_us: u64) {
        let running = |host: &HostId| self.world.hosts[*host].machine.is_some();
        let running: Vec<HostId> = among.iter().copied().filter(running).collect();
        let Some(&host) = self.chance.pick(&running) else {
            return;
        };
        let waiting = self.world.hosts[host].disk.waiting() as u64;
        let keep = self.chance.between(0, waiting) as usize;
        let pause = self.chance.between(SECOND / 2, down_us);
        let reboot = self.chance.percent(50);
        self.world.counters.crashes += 1;
        let name = self.world.hosts[host].name.clone();
        self.tell(
            &name,
            &format!("dies with {waiting} unconfirmed batches, of which {keep} are written"),
        );
        self.world.crash_for(host, keep, pause, reboot);
    }
}
