use super::map::{Cover, HALF_SIDE_M, Map, Point};
use super::road::{Capture, HOUR_S, Span, Unit};
use super::tally::{percentile, wilson_low};
use super::{AMBULANCES, DISTRICTS, Report, Size, cloud, road, run};
use crate::chance::Chance;

/// Bytes of an invented ECG.
const FILE_BYTES: u64 = 123_737;

const TINY: Size = Size {
    districts: 2,
    units: Some(2),
    hours: 12,
};

/// A unit whose coverage changes at these seconds.
fn unit(spans: &[(u64, Cover)]) -> Unit {
    let spans = spans.iter().map(|(from_s, cover)| Span {
        from_s: *from_s,
        cover: *cover,
    });
    Unit {
        spans: spans.collect(),
        ..Unit::default()
    }
}

/// An ECG at second 0 of a patient who arrives after half an hour.
const ECG: Capture = Capture {
    at_s: 0,
    arrive_s: 1800,
    stemi: false,
    restart_s: None,
};

fn upload(unit: &Unit, capture: &Capture) -> Option<u64> {
    cloud::upload_ms(unit, capture, FILE_BYTES, &mut Chance::new(1))
}

fn same_numbers(a: &Report, b: &Report) -> bool {
    let told = |report: &Report| {
        let mut value = serde_json::to_value(report).unwrap();
        for clock in ["runtime_s", "events_per_s"] {
            value.as_object_mut().unwrap().remove(clock);
        }
        value
    };
    told(a) == told(b)
}

#[test]
fn the_same_seed_gives_the_same_region_and_breaks_no_rule() {
    let one = Size { districts: 1, ..TINY };
    let (a, b, c) = (run(5, TINY, None), run(5, TINY, None), run(6, one, None));
    assert!(same_numbers(&a, &b), "{a:?} {b:?}");
    assert_ne!(a.trace_hash, c.trace_hash);
    for report in [a, c] {
        assert!(report.first_violation.is_none(), "{:?}", report.first_violation);
        assert!(report.ecgs > 0 && report.ours.never == 0, "{report:?}");
        assert!(
            report.ours.before_arrival <= report.oracle.before_arrival,
            "{report:?}"
        );
    }
}

#[test]
fn a_region_has_all_its_ambulances() {
    let size = Size::default();
    let all: usize = (0..DISTRICTS).map(|district| size.units(district)).sum();
    assert_eq!(all as u64, AMBULANCES);
}

#[test]
fn a_way_begins_and_ends_where_it_should() {
    let (a, b) = (
        Point {
            east_m: -300,
            north_m: 0,
        },
        Point {
            east_m: 0,
            north_m: 400,
        },
    );
    assert_eq!(a.distance_m(b), 500);
    assert_eq!((a.towards(b, 0, 10), a.towards(b, 10, 10)), (a, b));
    let half = a.towards(b, 5, 10);
    assert_eq!((half.east_m, half.north_m), (-150, 200));
    assert_eq!(a.towards(b, 99, 10), b);
}

#[test]
fn bases_have_coverage_and_the_hospital_lies_in_no_hole() {
    for seed in 0..20 {
        let map = Map::draw(&mut Chance::new(seed), 17);
        for base in &map.bases {
            assert!(base.east_m.abs() <= HALF_SIDE_M && base.north_m.abs() <= HALF_SIDE_M);
            assert!(matches!(map.cover_at(*base), Cover::Country | Cover::Town));
        }
        let hospital = map.cover_at(Point::default());
        assert!(matches!(hospital, Cover::Town | Cover::Rural), "{hospital:?}");
    }
}

#[test]
fn a_day_is_in_order_and_captures_lie_in_it() {
    let days = road::day(&Chance::new(3), 17, 24);
    assert!(days.iter().map(|day| day.missions).sum::<u64>() > 80);
    for day in &days {
        assert!(day.spans.is_sorted_by(|a, b| a.from_s < b.from_s));
        assert!(
            day.captures
                .is_sorted_by(|a, b| a.arrive_s < b.at_s && a.at_s < b.at_s)
        );
        for capture in &day.captures {
            assert!(capture.at_s < capture.arrive_s && capture.at_s < 26 * HOUR_S);
            assert_eq!(day.cover(capture.arrive_s), Cover::Wifi);
        }
    }
}

#[test]
fn an_upload_needs_a_line_that_lasts() {
    let good = unit(&[(0, Cover::Country)]);
    // 10 s until somebody presses, 4 round trips of 0.3 s, 130 kB at 128 kbit/s less 2 %, 2 s at the server
    let took_ms = upload(&good, &ECG).unwrap();
    assert!((21_000..22_500).contains(&took_ms), "{took_ms}");

    let dark = unit(&[(0, Cover::Dark)]);
    assert_eq!(upload(&dark, &ECG), None);
    // too slow for its patience, however long the line lasts
    assert_eq!(upload(&unit(&[(0, Cover::Sat)]), &ECG), None);

    // the line breaks for one second in the middle: somebody must try again
    let broken = unit(&[(0, Cover::Country), (15, Cover::Dark), (16, Cover::Country)]);
    assert!(upload(&broken, &ECG).unwrap() > took_ms + 120_000);
}

#[test]
fn an_upload_is_forgotten_by_a_restart_and_not_begun_after_arrival() {
    let late = unit(&[(0, Cover::Dark), (30, Cover::Town)]);
    assert!(upload(&late, &ECG).is_some());
    let restart_s = Some(60);
    assert_eq!(upload(&late, &Capture { restart_s, ..ECG }), None);
    let arrive_s = 60;
    assert_eq!(upload(&late, &Capture { arrive_s, ..ECG }), None);
    // what is there already stays there
    let good = unit(&[(0, Cover::Town)]);
    assert!(upload(&good, &Capture { restart_s, ..ECG }).is_some());
}

#[test]
fn the_limit_adds_up_every_second_of_coverage() {
    // 16 kB at 128 kbit/s need one second, wherever its pieces lie
    let pieces = unit(&[(0, Cover::Dark), (100, Cover::Country), (101, Cover::Dark)]);
    assert_eq!(
        cloud::oracle_ms(&pieces, &ECG, 16_000),
        Some(100_000 + 1000 + 150)
    );
    let two = unit(&[
        (0, Cover::Country),
        (1, Cover::Dark),
        (50, Cover::Country),
        (90, Cover::Dark),
    ]);
    assert_eq!(cloud::oracle_ms(&two, &ECG, 24_000), Some(50_000 + 500 + 150));
}

/// Of the whole region, as the models see it: coverage of the way, and what the client of the cloud
/// brings there before arrival; both in thousandths.
fn models(seed: u64) -> (u64, u64) {
    let (mut all, mut way_s, mut covered_s, mut in_time) = (0, 0, 0, 0);
    for district in 0..DISTRICTS {
        let chance = Chance::new(seed).fork(&format!("district {district}"));
        let mut hands = chance.fork("hands");
        for unit in road::day(&chance.fork("day"), Size::default().units(district), 24) {
            for capture in &unit.captures {
                let seconds = capture.at_s..capture.arrive_s;
                let whole_s = capture.arrive_s - capture.at_s;
                (all, way_s) = (all + 1, way_s + whole_s);
                covered_s += seconds.filter(|s| unit.cover(*s) != Cover::Dark).count() as u64;
                let mut hands = Chance::new(hands.draw());
                let took_ms = cloud::upload_ms(&unit, capture, FILE_BYTES, &mut hands);
                in_time += u64::from(took_ms.is_some_and(|ms| ms < whole_s * 1000));
            }
        }
    }
    (covered_s * 1000 / way_s, in_time * 1000 / all)
}

#[test]
fn the_models_stand_where_the_field_was_measured() {
    let (covered, in_time): (Vec<u64>, Vec<u64>) = (1..=3).map(models).unzip();
    let mean = |of: &[u64]| of.iter().sum::<u64>() / of.len() as u64;
    assert!((640..=740).contains(&mean(&covered)), "{covered:?}");
    assert!((670..=760).contains(&mean(&in_time)), "{in_time:?}");
}

#[test]
fn what_never_came_is_last_among_the_times() {
    let times = [1_000, 2_000, 3_000, u64::MAX];
    assert_eq!(
        (percentile(&times, 50), percentile(&times, 95)),
        (Some(2.0), None)
    );
    assert_eq!(percentile(&[], 50), None);
    // 400 of 400 is no proof of more than 99 %
    assert_eq!((wilson_low(400, 400), wilson_low(0, 0)), (0.99, 0.0));
}
