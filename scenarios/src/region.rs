//! A region for a day: ambulances, hospitals, relays, holes in the coverage; how often can the hospital
//! read the ECG before the patient arrives?
//!
//! Three answers over the same missions, the same coverage and the same files. *Ours* is no model: each
//! device is the product's machine, driven as in storms and stories, judged by the same reference model.
//! The client of the cloud and the oracle that wastes nothing are models ([`cloud`]).
//!
//! The region is cut into districts, one for each hospital, with its units and its relay. Units carry
//! their patients to the hospital of their district, so districts never meet: each is a world of its own,
//! two run at a time, and results are put in order, so that the hash depends on the seed alone.
//!
//! Absent: movement between districts, vehicles that carry for each other, crowded cells, other hospitals.

mod cloud;
mod map;
mod play;
mod road;
mod tally;
#[cfg(test)]
mod tests;

pub use tally::{Broken, Client, Report};

use crate::chance::Chance;
use crate::trace::Trace;
use crate::truth::Violation;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Name on the command line.
pub const NAME: &str = "region";
/// One sentence for lists.
pub const ABOUT: &str = "A day of ambulances and holes in the coverage: can the ECG be read before arrival?";
/// Hospitals of the whole region, and with them districts.
pub const DISTRICTS: u64 = 12;
/// Ambulances of the whole region.
pub const AMBULANCES: u64 = 200;
/// Seed unless another one is given.
pub const SEED: u64 = 1;
/// Districts that run at the same time.
const THREADS: usize = 2;

/// How large a run is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The first so many districts of the region.
    pub districts: u64,
    /// Units of each; else their share of all ambulances.
    pub units: Option<usize>,
    /// Hours in which calls come.
    pub hours: u64,
}

impl Default for Size {
    fn default() -> Size {
        Size {
            districts: DISTRICTS,
            units: None,
            hours: 24,
        }
    }
}

impl Size {
    /// Units of a district: the first ones take what does not divide.
    fn units(&self, district: u64) -> usize {
        let share = AMBULANCES / DISTRICTS + u64::from(district < AMBULANCES % DISTRICTS);
        self.units.unwrap_or(share as usize)
    }
}

/// One ECG and what each client made of it; milliseconds from capture, `None` for never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ecg {
    /// From capture to the hospital's door.
    arrive_ms: u64,
    digest_ms: Option<u64>,
    ours_ms: Option<u64>,
    cloud_ms: Option<u64>,
    oracle_ms: Option<u64>,
}

/// What a district gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    district: u64,
    units: usize,
    missions: u64,
    restarts: u64,
    ecgs: Vec<Ecg>,
    stemi: u64,
    file_bytes: u64,
    /// Seconds between capture and arrival, and those of them with a line.
    carried_s: u64,
    covered_s: u64,
    covered_at_capture: u64,
    refused: u64,
    deliveries_checked: u64,
    violation: Option<Violation>,
    trace_hash: String,
    events: u64,
    virtual_us: u64,
}

/// Runs a region. `lines` makes the trace of a district; with lines to read, districts run one by one.
pub fn run(seed: u64, size: Size, lines: Option<fn() -> Trace>) -> Report {
    let begun = std::time::Instant::now();
    let next = AtomicU64::new(0);
    let outcomes: Mutex<Vec<Outcome>> = Mutex::new(Vec::new());
    let threads = if lines.is_some() { 1 } else { THREADS };
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let district = next.fetch_add(1, Ordering::Relaxed);
                    if district >= size.districts {
                        return;
                    }
                    let trace = lines.map_or_else(Trace::default, |make| make());
                    let outcome = one(seed, district, &size, trace);
                    let mut all = outcomes.lock().expect("no thread panics with the lock held");
                    all.push(outcome);
                }
            });
        }
    });
    std::panic::set_hook(hook);
    let mut outcomes = outcomes.into_inner().expect("all threads are done");
    outcomes.sort_by_key(|outcome| outcome.district);
    tally::report(seed, &size, &outcomes, begun.elapsed())
}

/// Runs one district. A panic of a machine is a violation like any other.
fn one(seed: u64, district: u64, size: &Size, trace: Trace) -> Outcome {
    let chance = Chance::new(seed).fork(&format!("district {district}"));
    let days = road::day(&chance.fork("day"), size.units(district), size.hours);
    let mut play = play::Play::new(chance.fork("play").draw(), &days, trace);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play.through())) {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_else(|| "panic".to_owned());
        play.world.accuse("total: nothing panics", text);
    }
    let mut outcome = Outcome {
        district,
        units: days.len(),
        missions: days.iter().map(|day| day.missions).sum(),
        refused: play.refused,
        deliveries_checked: play.world.counters.deliveries_checked,
        violation: play.world.violation.clone(),
        trace_hash: play.world.trace.hash(),
        events: play.world.trace.events(),
        virtual_us: play.world.now_us,
        ..Outcome::default()
    };
    let mut hands = chance.fork("hands");
    for sent in &play.sent {
        outcome.take(sent, &days[sent.unit], &mut hands);
    }
    outcome.check_limit();
    outcome
}

impl Outcome {
    /// A machine that beats the limit shows that lines and coverage are not what the models take them for.
    fn check_limit(&mut self) {
        let faster = |ecg: &&Ecg| ecg.ours_ms.is_some_and(|ms| Some(ms + 1) < ecg.oracle_ms);
        let found = self.ecgs.iter().find(faster);
        if let (Some(ecg), None) = (found, &self.violation) {
            self.violation = Some(Violation {
                invariant: "nobody is faster than the line",
                what: format!("{ecg:?}"),
                at_us: self.virtual_us,
            });
        }
    }

    /// Adds what became of an ECG, with the models beside it.
    fn take(&mut self, sent: &play::Sent, day: &road::Unit, hands: &mut Chance) {
        let capture = &sent.capture;
        self.stemi += u64::from(capture.stemi);
        self.restarts += u64::from(capture.restart_s.is_some());
        self.file_bytes += sent.bytes;
        self.carried_s += capture.arrive_s - capture.at_s;
        let covered = |second: &u64| day.cover(*second) != map::Cover::Dark;
        self.covered_s += (capture.at_s..capture.arrive_s).filter(covered).count() as u64;
        self.covered_at_capture += u64::from(covered(&capture.at_s));
        // one stream for each ECG: a try more of one client must not shift the next
        let mut hands = Chance::new(hands.draw());
        self.ecgs.push(Ecg {
            arrive_ms: (capture.arrive_s - capture.at_s) * 1000,
            digest_ms: sent.opened_ms,
            ours_ms: sent.readable_ms,
            cloud_ms: cloud::upload_ms(day, capture, sent.bytes, &mut hands),
            oracle_ms: cloud::oracle_ms(day, capture, sent.bytes),
        });
    }
}
