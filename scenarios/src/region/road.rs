//! The day of the units of a district: calls, ways, ECGs, and what connects each unit at each second.
//!
//! All of it is a function of the seed, made before any machine runs, so that the real program, the
//! client of the cloud and the oracle meet the same missions over the same coverage. A call goes to the
//! unit whose base is nearest among those free; with none free it waits for the first. A mission is
//! base, scene, hospital, base, on straight lines. Capture is at the scene, where some buildings let no
//! signal out; arrival is at the hospital's door.
//!
//! Calls by hour follow the usual shape of a day, lowest at 4 in the morning; the share of calls with a
//! 12-lead and with an infarction, ways and times are assumptions for planning, stated here once.

use super::map::{Cover, Map, Point};
use crate::chance::Chance;

/// Seconds of an hour.
pub(super) const HOUR_S: u64 = 3_600;
/// Relative number of calls in each hour of the day.
const BY_HOUR: [u64; 24] = [
    26, 22, 19, 17, 16, 18, 25, 36, 47, 54, 57, 57, 55, 54, 53, 52, 52, 53, 53, 51, 48, 43, 38, 32,
];
/// Calls of a unit in 24 hours.
const CALLS_PER_UNIT: u64 = 6;
/// Of 100 missions that many have a 12-lead.
const ECG_PERCENT: u64 = 35;
/// Of 100 ECGs that many show an infarction and send an alarm.
const STEMI_PERCENT: u64 = 15;
/// Of 100 scenes that many are in a building that lets no signal out.
const SHADOW_PERCENT: u64 = 15;
/// Of 100 ECGs that many see the tablet restart between capture and arrival.
const RESTART_PERCENT: u64 = 4;
/// Metres a second along the straight line: about 65 km/h on roads a fifth longer.
const SPEED_M_S: u64 = 15;

/// What connects a unit from a second on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(super) struct Span {
    pub(super) from_s: u64,
    pub(super) cover: Cover,
}

/// An ECG of a mission; all times in seconds of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capture {
    /// When it was recorded.
    pub(super) at_s: u64,
    /// When the patient is at the hospital's door.
    pub(super) arrive_s: u64,
    /// An infarction: an alarm goes with it.
    pub(super) stemi: bool,
    /// The tablet restarts then.
    pub(super) restart_s: Option<u64>,
}

/// The day of one unit.
#[derive(Clone, Debug, Default)]
pub(super) struct Unit {
    /// What connects it, in order, from second 0.
    pub(super) spans: Vec<Span>,
    /// Its ECGs, in order.
    pub(super) captures: Vec<Capture>,
    /// Seconds at which it tells the hospital that it brings somebody without an ECG.
    pub(super) notices: Vec<u64>,
    /// Missions.
    pub(super) missions: u64,
}

impl Unit {
    /// What connects it at a second.
    pub(super) fn cover(&self, at_s: u64) -> Cover {
        let after = self.spans.partition_point(|span| span.from_s <= at_s);
        after
            .checked_sub(1)
            .map_or(Cover::Wifi, |last| self.spans[last].cover)
    }

    fn push(&mut self, from_s: u64, cover: Cover) {
        if self.spans.last().is_none_or(|last| last.cover != cover) {
            self.spans.push(Span { from_s, cover });
        }
    }
}

/// The day of a district: `units` days of `hours`. The last mission may end later.
pub(super) fn day(seed: &Chance, units: usize, hours: u64) -> Vec<Unit> {
    let map = Map::draw(&mut seed.fork("map"), units);
    let mut chance = seed.fork("calls");
    let mut days = vec![Unit::default(); units];
    let mut free_s = vec![0; units];
    for day in &mut days {
        day.push(0, Cover::Wifi);
    }
    for call_s in calls(&mut chance, units, hours) {
        let near = map.bases[chance.below(units as u64) as usize];
        let scene = map.scene(near, &mut chance);
        let nearest = |unit: &usize| {
            (
                free_s[*unit].max(call_s),
                map.bases[*unit].distance_m(scene),
                *unit,
            )
        };
        let Some(unit) = (0..units).min_by_key(nearest) else {
            break;
        };
        let start_s = call_s.max(free_s[unit]);
        let ways = Ways {
            map: &map,
            base: map.bases[unit],
            scene,
        };
        free_s[unit] = ways.drive(&mut days[unit], start_s, &mut chance);
    }
    days
}

/// Seconds of all calls, in order.
fn calls(chance: &mut Chance, units: usize, hours: u64) -> Vec<u64> {
    let all = CALLS_PER_UNIT * units as u64;
    let sum: u64 = BY_HOUR.iter().sum();
    let mut calls = Vec::new();
    for (hour, weight) in (0..).zip(BY_HOUR) {
        // whole calls, and one more with the chance of the rest
        let count = (all * weight + chance.below(sum)) / sum;
        calls.extend((0..count).map(|_| hour * HOUR_S + chance.below(HOUR_S)));
    }
    calls.retain(|at_s| *at_s < hours * HOUR_S);
    calls.sort_unstable();
    calls
}

/// The ways of one mission.
struct Ways<'a> {
    map: &'a Map,
    base: Point,
    scene: Point,
}

impl Ways<'_> {
    /// Drives a mission that begins at `start_s`; returns when the unit is free again.
    fn drive(&self, day: &mut Unit, start_s: u64, chance: &mut Chance) -> u64 {
        let hospital = Point::default();
        let leave_s = start_s + chance.between(60, 120);
        let scene_s = self.leg(day, leave_s, self.base, self.scene, chance);
        let load_s = scene_s + chance.between(12 * 60, 25 * 60);
        if chance.percent(SHADOW_PERCENT) {
            day.push(scene_s, Cover::Dark);
        } else {
            self.stay(day, scene_s, load_s, chance);
        }
        let arrive_s = self.leg(day, load_s, self.scene, hospital, chance);
        day.push(arrive_s, Cover::Wifi);
        let at_s = scene_s + chance.between(4 * 60, 10 * 60);
        let (ecg, stemi) = (chance.percent(ECG_PERCENT), chance.percent(STEMI_PERCENT));
        let restart_s = at_s + chance.below(arrive_s - at_s);
        let restarts = chance.percent(RESTART_PERCENT);
        if ecg {
            day.captures.push(Capture {
                at_s,
                arrive_s,
                stemi,
                restart_s: restarts.then_some(restart_s),
            });
        } else {
            day.notices.push(load_s);
        }
        let clear_s = arrive_s + chance.between(15 * 60, 25 * 60);
        let home_s = self.leg(day, clear_s, hospital, self.base, chance);
        day.push(home_s, Cover::Wifi);
        day.missions += 1;
        home_s
    }

    /// Notes the coverage second by second along a straight line; returns the second of arrival.
    fn leg(&self, day: &mut Unit, from_s: u64, from: Point, to: Point, chance: &mut Chance) -> u64 {
        let whole_s = (from.distance_m(to) as u64 / SPEED_M_S).max(60);
        let mut fade = Fade::default();
        for part in 0..whole_s {
            let at = from.towards(to, part, whole_s);
            let cover = fade.through(self.map.cover_at(at), chance);
            day.push(from_s + part, cover);
        }
        from_s + whole_s
    }

    fn stay(&self, day: &mut Unit, from_s: u64, until_s: u64, chance: &mut Chance) {
        let mut fade = Fade::default();
        for at_s in from_s..until_s {
            let cover = fade.through(self.map.cover_at(self.scene), chance);
            day.push(at_s, cover);
        }
    }
}

/// In a rim the signal is there for two thirds of the time, in pieces of a minute or less.
#[derive(Default)]
struct Fade {
    left_s: u64,
    gone: bool,
}

impl Fade {
    fn through(&mut self, cover: Cover, chance: &mut Chance) -> Cover {
        if cover != Cover::Rural {
            return cover;
        }
        if self.left_s == 0 {
            self.gone = !self.gone;
            self.left_s = match self.gone {
                true => chance.between(8, 32),
                false => chance.between(16, 64),
            };
        }
        self.left_s -= 1;
        if self.gone { Cover::Dark } else { cover }
    }
}
