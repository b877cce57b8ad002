//! The simulator's own test: each planted bug must be caught.
//!
//! `Flaws` of the core switch ten bugs on, each of a kind that the literature or our prototypes have
//! met. A simulator that lets one of them through for [`SEEDS_MAX`] seeds is too weak: the workload or a
//! checker misses something.

use crate::storm::{self, Setup, Suites};
use crate::trace::Trace;
use aidmesh_core::machine::open::Flaws;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A planted bug that survives that many seeds has survived.
pub const SEEDS_MAX: u64 = 200;

/// What became of a planted bug.
#[derive(Clone, Debug, Serialize)]
pub struct Caught {
    /// Name of the field in `Flaws`.
    pub name: &'static str,
    /// A seed showed it.
    pub caught: bool,
    /// Which.
    pub seed: Option<u64>,
    /// Which rule was broken.
    pub invariant: Option<&'static str>,
    /// Seeds run.
    pub seeds_tried: u64,
}

/// Switches one bug on.
type Plant = fn(&mut Flaws);

/// All planted bugs by name.
const PLANTS: [(&str, Plant); 10] = [
    ("announce_before_commit", |f| f.announce_before_commit = true),
    ("no_overlay_of_batches_in_flight", |f| {
        f.no_overlay_of_batches_in_flight = true
    }),
    ("no_send_gate", |f| f.no_send_gate = true),
    ("seq_reused_after_rebuild", |f| f.seq_reused_after_rebuild = true),
    ("receipt_believed_unsigned", |f| {
        f.receipt_believed_unsigned = true
    }),
    ("parked_counted_as_delivered", |f| {
        f.parked_counted_as_delivered = true
    }),
    ("late_joiner_not_rewrapped", |f| {
        f.late_joiner_not_rewrapped = true
    }),
    ("slot_by_order_of_arrival", |f| f.slot_by_order_of_arrival = true),
    ("sealed_too_early", |f| f.sealed_too_early = true),
    ("ttl_by_wall_clock", |f| f.ttl_by_wall_clock = true),
];

/// All planted bugs by name, each alone.
pub fn all() -> [(&'static str, Flaws); 10] {
    PLANTS.map(|(name, plant)| {
        let mut flaws = Flaws::default();
        plant(&mut flaws);
        (name, flaws)
    })
}

/// Threads that hunt.
const THREADS: usize = 2;

/// Hunts several bugs at once; the results are in their order, whatever the threads did.
pub fn hunt_all(bugs: &[(&'static str, Flaws)], seeds_max: u64) -> Vec<Caught> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let at = next.fetch_add(1, Ordering::Relaxed)
                    && let Some((name, flaws)) = bugs.get(at)
                {
                    let caught = hunt(name, *flaws, seeds_max);
                    found.lock().expect("no hunt panics").insert(at, caught);
                }
            });
        }
    });
    let found = found.into_inner().expect("no hunt panics");
    found.into_values().collect()
}

/// Runs seeds from 1 until one shows the bug: breaks a rule with it, and none without it.
pub fn hunt(name: &'static str, flaws: Flaws, seeds_max: u64) -> Caught {
    let violation = |seed, flaws| {
        let suites = Suites::default();
        storm::run(seed, Setup { flaws, suites }, Trace::default()).violation
    };
    let found = (1..=seeds_max).find_map(|seed| {
        let invariant = violation(seed, flaws)?.invariant;
        let clean = violation(seed, Flaws::default()).is_none();
        clean.then_some((seed, invariant))
    });
    Caught {
        name,
        caught: found.is_some(),
        seed: found.map(|(seed, _)| seed),
        invariant: found.map(|(_, invariant)| invariant),
        seeds_tried: found.map_or(seeds_max, |(seed, _)| seed),
    }
}
