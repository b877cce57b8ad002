//! The simulator's own test: each planted bug must be caught.
//!
//! `Flaws` of the core switch them on, one at a time: each takes away one protection that the core has.
//! A bug is hunted where it would show: in storms, in restless ones, or in a named scenario under
//! several seeds. A simulator that lets one of them through is too weak: the workload or a checker
//! misses something. A seed counts only if it breaks no rule without the bug.

use crate::storm::{self, Setup, Suites};
use crate::story::{self, Recording, Run};
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
    /// Where it was hunted.
    pub hunt: &'static str,
    /// A seed showed it.
    pub caught: bool,
    /// Which.
    pub seed: Option<u64>,
    /// Which rule was broken.
    pub invariant: Option<&'static str>,
    /// Seeds run.
    pub seeds_tried: u64,
}

/// Where a bug is hunted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hunt {
    /// In storms.
    Storm,
    /// In storms in which members change most of the time.
    Restless,
    /// In a scenario of the library, under other seeds.
    Story(&'static str),
}

/// A planted bug.
#[derive(Clone, Copy, Debug)]
pub struct Plant {
    /// Name of the field in `Flaws`.
    pub name: &'static str,
    /// Where it is hunted.
    pub hunt: Hunt,
    /// With that field on.
    pub flaws: Flaws,
    /// The first seed: close to one that shows it, so that the hunt is short.
    pub from: u64,
}

macro_rules! plants {
    ($($hunt:expr => $($name:ident $(from $from:literal)?),+;)+) => {
        /// All planted bugs, each alone.
        pub fn all() -> Vec<Plant> {
            vec![$($(Plant {
                name: stringify!($name),
                hunt: $hunt,
                flaws: Flaws { $name: true, ..Flaws::default() },
                from: [$($from,)? 1][0],
            }),+),+]
        }
    };
}

use Hunt::{Restless, Storm, Story};

plants! {
    Storm =>
        announce_before_commit, no_overlay_of_batches_in_flight, no_send_gate from 70,
        seq_reused_after_rebuild from 80,
        receipt_believed_unsigned, parked_counted_as_delivered from 410, late_joiner_not_rewrapped,
        slot_by_order_of_arrival, sealed_too_early, ttl_by_wall_clock;
    Restless =>
        node_deleted_too_early, removed_author_followed from 8, others_do_not_commit from 8;
    Story("late-sibling") => lowest_id_before_majority;
    Story("two-additions") => remove_loses_to_concurrent_add;
    Story("crossing-removals") => void_removals_honoured;
    Storm =>
        control_key_not_rotated, control_key_told_on_the_parent, history_handed_to_joiners from 30,
        nodes_never_deleted,
        items_leave_in_flight, batches_in_flight_unbounded, forgotten_life_gets_words from 80,
        earlier_life_left_behind from 115, layer_told_early, chunks_told_unheld, seen_credited_to_another,
        clock_of_others_followed, burst_unsigned from 6, ack_unsigned, rewrap_timer_kept,
        units_longer_than_the_link_takes;
    Story("relay-emptied") => relay_loss_ignored;
    Story("former-member") => purge_by_one;
    Story("lossy-datagrams") => no_periodic_repair, not_offered_again, greeted_once;
    Story("alarm-on-a-thin-line") => classes_ignored;
}

impl Hunt {
    fn name(self) -> &'static str {
        match self {
            Storm => "storm",
            Restless => "storm --restless",
            Story(name) => name,
        }
    }

    /// The rule that a seed breaks.
    fn violation(self, seed: u64, flaws: Flaws) -> Option<&'static str> {
        let suites = Suites::Mixed;
        let restless = self == Restless;
        let outcome = match self {
            Storm | Restless => storm::run(
                seed,
                Setup {
                    flaws,
                    suites,
                    restless,
                },
                Trace::default(),
            ),
            Story(name) => {
                let story = story::named(name)?.ok()?;
                let run = Run {
                    seed: Some(seed),
                    ecg: Recording::invented(1).ok(),
                    trace: Trace::default(),
                    flaws,
                };
                story::run(&story, run).ok()?
            }
        };
        outcome.violation.map(|violation| violation.invariant)
    }
}

/// Threads that hunt.
const THREADS: usize = 2;

/// Hunts several bugs at once; the results are in their order, whatever the threads did.
pub fn hunt_all(bugs: &[Plant], seeds_max: u64) -> Vec<Caught> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let at = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(plant) = bugs.get(at)
                {
                    let caught = hunt(*plant, seeds_max);
                    found.lock().expect("no hunt panics").insert(at, caught);
                }
            });
        }
    });
    let found = found.into_inner().expect("no hunt panics");
    found.into_values().collect()
}

/// Runs seeds until one shows the bug: breaks a rule with it, and none without it.
pub fn hunt(plant: Plant, seeds_max: u64) -> Caught {
    let Plant {
        name,
        hunt,
        flaws,
        from,
    } = plant;
    let found = (from..from + seeds_max).find_map(|seed| {
        let invariant = hunt.violation(seed, flaws)?;
        let clean = hunt.violation(seed, Flaws::default()).is_none();
        clean.then_some((seed, invariant))
    });
    Caught {
        name,
        hunt: hunt.name(),
        caught: found.is_some(),
        seed: found.map(|(seed, _)| seed),
        invariant: found.map(|(_, invariant)| invariant),
        seeds_tried: found.map_or(seeds_max, |(seed, _)| seed - from + 1),
    }
}
