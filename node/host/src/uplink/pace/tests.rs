//! Attempts and silence on paper.

use super::*;

const NOTHING: [u32; 5] = [0; 5];
const ALARM: [u32; 5] = [1, 0, 0, 0, 0];
const CLINICAL: [u32; 5] = [0, 1, 0, 0, 0];
const TEXT: [u32; 5] = [0, 0, 1, 0, 0];
const MS: Duration = Duration::from_millis(1);

fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn the_first_attempt_is_due_at_once_whatever_waits() {
    let now = Instant::now();
    for waiting in [NOTHING, ALARM, TEXT] {
        assert_eq!(Pace::default().next(now, &waiting, Present::No, 0), Some(now));
    }
}

#[test]
fn attempts_follow_each_other_by_what_waits() {
    let now = Instant::now();
    let mut pace = Pace::default();
    pace.started(now);
    for present in [Present::No, Present::Silent] {
        assert_eq!(pace.next(now, &ALARM, present, 1), Some(now + URGENT));
        assert_eq!(pace.next(now, &CLINICAL, present, 3), Some(now + URGENT));
        assert_eq!(pace.next(now, &TEXT, present, 1), Some(now + ANY));
        assert_eq!(pace.next(now, &NOTHING, present, 1), None);
    }
    assert_eq!(pace.next(now, &ALARM, Present::Works, 0), None);
}

#[test]
fn with_nothing_waiting_pauses_double_up_to_half_a_minute() {
    let now = Instant::now();
    let mut pace = Pace::default();
    let mut last = Duration::ZERO;
    for n in 0..40u32 {
        pace.started(now);
        pace.failed(now, 255);
        let pause = pace.next(now, &NOTHING, Present::No, 0).unwrap() - now;
        let full = s(1 << n.min(5)).min(s(30));
        assert!(
            pause <= full && pause >= full / 2 && pause >= last,
            "{n}: {pause:?}"
        );
        last = pause;
        let mut other = pace;
        other.failures = n;
        other.failed(now, 0);
        assert_eq!(other.next(now, &NOTHING, Present::No, 0), Some(now + full / 2));
    }
    // something that waits does not wait for the pause
    assert_eq!(pace.next(now, &ALARM, Present::No, 0), Some(now + URGENT));
    assert_eq!(pace.next(now, &TEXT, Present::No, 0), Some(now + ANY));
    pace.up();
    assert_eq!(pace.next(now, &NOTHING, Present::No, 0), Some(now));
}

#[test]
fn a_refusal_holds_even_an_alarm_for_a_minute_or_until_a_change() {
    let now = Instant::now();
    let mut pace = Pace::default();
    pace.started(now);
    pace.refused(now);
    assert_eq!(pace.next(now, &ALARM, Present::No, 0), Some(now + REFUSED));
    assert_eq!(pace.next(now, &NOTHING, Present::No, 0), Some(now + REFUSED));
    pace.reset();
    assert_eq!(pace.next(now, &ALARM, Present::No, 0), Some(now));
}

#[test]
fn links_that_are_closed_at_once_slow_the_next_attempt_down() {
    let now = Instant::now();
    let mut pace = Pace::default();
    let mut pauses = vec![];
    for _ in 0..9 {
        pace.up();
        pace.ended(now, s(1), true);
        pauses.push((pace.next(now, &ALARM, Present::No, 0).unwrap() - now).as_millis());
    }
    assert_eq!(pauses, [100, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
    // a path that breaks is another matter, and so is a link that lived
    pace.up();
    pace.ended(now, s(1), false);
    assert_eq!(pace.next(now, &ALARM, Present::No, 0), Some(now));
    pace.ended(now, s(6), true);
    assert_eq!(pace.next(now, &ALARM, Present::No, 0), Some(now));
}

#[test]
fn only_a_question_without_an_answer_is_silence() {
    let start = Instant::now();
    let counted = |received, asked| Counted { received, asked };
    let rtt = 100 * MS;
    let mut live = Liveness::new(start, counted(5, 5));
    live.observe(start + s(60), counted(5, 5));
    assert_eq!(live.silent_since(start + s(60), rtt), None, "nothing was asked");
    live.observe(start + s(61), counted(5, 6));
    assert_eq!(live.silent_since(start + s(61) + 999 * MS, rtt), None);
    live.observe(start + s(62), counted(5, 9));
    assert_eq!(live.silent_since(start + s(62), rtt), Some(start + s(61)));
    assert_eq!(
        live.silent_since(start + s(62), 400 * MS),
        None,
        "three round trips"
    );
    live.observe(start + s(63), counted(6, 9));
    assert_eq!(live.silent_since(start + s(99), rtt), None, "an answer came");
}

#[test]
fn probes_are_spaced_and_only_in_quiet() {
    let start = Instant::now();
    let mut live = Liveness::new(start, Counted::default());
    let rtt = 20 * MS;
    assert!(!live.probe(start + 499 * MS, rtt));
    assert!(live.probe(start + 500 * MS, rtt));
    assert!(!live.probe(start + 900 * MS, rtt));
    assert!(live.probe(start + 1000 * MS, rtt));
    live.observe(
        start + 1400 * MS,
        Counted {
            received: 1,
            asked: 1,
        },
    );
    assert!(!live.probe(start + 1600 * MS, rtt), "an answer came just now");
    assert!(!live.probe(start + 3000 * MS, s(2)), "slow path");
}
