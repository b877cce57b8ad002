//! Many seeds on two threads, told as one result that depends on the seeds alone.
//!
//! Threads take seeds from a counter and the outcomes are put in order of the seeds, so that hash and
//! totals are the same whatever the threads did. Speed is measured by the computer's clock and is the
//! only number in the report that differs from run to run.

use crate::storm::{self, Outcome, Setup};
use crate::trace::{Trace, hex};
use crate::truth::Violation;
use crate::world::Counters;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Threads that run seeds.
const THREADS: usize = 2;

/// The first violation by seed.
#[derive(Clone, Debug, Serialize)]
pub struct First {
    /// Which seed.
    pub seed: u64,
    /// Which rule.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
    /// Virtual seconds into the run.
    pub at_s: u64,
    /// The command that shows it again.
    pub replay: String,
}

/// The report of a storm.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `aidmesh.storm/1`.
    pub schema: &'static str,
    /// How many seeds were run.
    pub seeds: u64,
    /// The first of them.
    pub first_seed: u64,
    /// Seeds that broke a rule.
    pub violations: u64,
    /// Totals over all seeds.
    pub counters: Counters,
    /// Hash over the hashes of all seeds, in order.
    pub trace_hash: String,
    /// Virtual time in all.
    pub virtual_hours: f64,
    /// Hashed items per second of the computer's time.
    pub events_per_s: u64,
    /// The violation with the lowest seed.
    pub first_violation: Option<First>,
    /// All of them, by seed; one line each for people.
    #[serde(skip)]
    pub found: Vec<First>,
    /// Seeds with the hybrid post-quantum suite.
    pub xwing_seeds: u64,
    /// Longest virtual time from healing until all was there, seconds.
    pub converged_s_max: u64,
}

/// Runs `seeds` seeds from `first`.
pub fn storm(first: u64, seeds: u64, setup: Setup) -> Report {
    let begun = std::time::Instant::now();
    let next = AtomicU64::new(0);
    let outcomes: Mutex<Vec<Outcome>> = Mutex::new(Vec::new());
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= seeds {
                        return;
                    }
                    let outcome = storm::run(first + n, setup, Trace::default());
                    let mut all = outcomes.lock().expect("no thread panics with the lock held");
                    all.push(outcome);
                    progress(all.len(), seeds, &all);
                }
            });
        }
    });
    std::panic::set_hook(hook);
    let mut outcomes = outcomes.into_inner().expect("all threads are done");
    outcomes.sort_by_key(|outcome| outcome.seed);
    let events: u64 = outcomes.iter().map(|o| o.events).sum();
    let per_s = events as f64 / begun.elapsed().as_secs_f64().max(0.001);
    summed((first, seeds, setup), &outcomes, per_s as u64)
}

fn progress(done: usize, seeds: u64, all: &[Outcome]) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let bad = all.iter().filter(|o| o.violation.is_some()).count();
        // progress is a comfort: a closed terminal must not end the run
        let _ = write!(err, "\r{done} of {seeds} seeds, {bad} violations ");
        let _ = err.flush();
    }
}

fn summed((first, seeds, setup): (u64, u64, Setup), outcomes: &[Outcome], events_per_s: u64) -> Report {
    let mut totals = Counters::default();
    let mut hasher = blake3::Hasher::new();
    for outcome in outcomes {
        hasher.update(outcome.trace_hash.as_bytes());
        totals += outcome.counters;
    }
    let bad = outcomes.iter().filter_map(|o| Some((o, o.violation.as_ref()?)));
    let told = |(outcome, violation): (&Outcome, &Violation)| First {
        seed: outcome.seed,
        invariant: violation.invariant,
        what: violation.what.clone(),
        at_s: violation.at_us / 1_000_000,
        replay: replay(outcome.seed, setup),
    };
    let found: Vec<First> = bad.map(told).collect();
    let virtual_us: u64 = outcomes.iter().map(|o| o.virtual_us).sum();
    Report {
        schema: "aidmesh.storm/1",
        seeds,
        first_seed: first,
        violations: found.len() as u64,
        counters: totals,
        trace_hash: hex(&hasher.finalize().as_bytes()[..16]),
        virtual_hours: (virtual_us as f64 / 3.6e7).round() / 100.0,
        events_per_s,
        first_violation: found.first().cloned(),
        found,
        xwing_seeds: outcomes.iter().filter(|o| o.xwing).count() as u64,
        converged_s_max: outcomes.iter().filter_map(|o| o.converged_us).max().unwrap_or(0) / 1_000_000,
    }
}

/// The command that shows a seed again, with its lines.
pub fn replay(seed: u64, setup: Setup) -> String {
    let options = setup.options();
    format!("cargo run --release -p aidmesh-scenarios -- storm --replay {seed} --trace{options}")
}
