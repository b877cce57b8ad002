use crate::planted;
use crate::storm::{self, Outcome, Setup};
use crate::story::{self, Run};
use crate::trace::Trace;

fn seed(seed: u64) -> Outcome {
    storm::run(seed, Setup::default(), Trace::default())
}

#[test]
fn seeds_break_no_rule() {
    // 30: a joiner hears of its own Add long after the welcome, and its first head was due before
    // 667: a member on an older node lacks the control key of another branch, and is handed it there
    for n in [1, 2, 3, 30, 667] {
        assert_eq!(seed(n).violation, None, "seed {n}");
    }
}

#[test]
fn the_same_seed_gives_the_same_hash() {
    let (a, b) = (seed(2), seed(2));
    assert_eq!(a.trace_hash, b.trace_hash);
    assert_ne!(a.trace_hash, seed(3).trace_hash);
}

#[test]
fn a_planted_bug_is_caught() {
    let first = planted::all()[0];
    assert!(planted::hunt(first, 20).caught, "{}", first.name);
}

fn play(name: &str) -> Outcome {
    let story = story::named(name).unwrap().unwrap();
    let run = Run {
        seed: None,
        ecg: None,
        trace: Trace::default(),
        flaws: Default::default(),
    };
    story::run(&story, run).unwrap()
}

#[test]
fn forks_and_flips_are_counted() {
    let outcome = play("two-halves");
    assert_eq!(outcome.violation, None);
    let counters = outcome.counters;
    assert!(counters.commits > 2 && counters.forked_nodes > 0, "{counters:?}");
    assert!(counters.flips_before_settling > 0 && counters.flips_after_settling == 0);
}

#[test]
fn a_greeting_that_comes_late_takes_no_mailbox_back() {
    assert_eq!(play("lossy-datagrams").violation, None);
}
