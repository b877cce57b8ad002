//! The map of a district: a hospital in its town, villages with bases, coverage with holes.
//!
//! Plane geometry in whole metres, the hospital at the origin. A hole is a disc: dark, or under open sky,
//! where the vehicle's narrow satellite channel is all there is. A rim of weak signal lies around every
//! hole, and in it the signal comes and goes ([`super::road`]). Beyond holes and rims there is mobile
//! network, fast in the town and thin in the country. Lines are the profiles of `aidmesh-netem`; only the
//! town's has no name there.
//!
//! Absent on purpose: roads, hills, cells that fill up, weather. Numbers are for planning; that the share
//! of time with coverage comes out near the 67 % of the field's measurements is checked by a test.

use crate::chance::Chance;
use aidmesh_netem::Profile;

/// Metres from the hospital to the edges of the district.
pub(super) const HALF_SIDE_M: i64 = 25_000;
/// Radius of the hospital's town, from and to.
const TOWN_M: (u64, u64) = (1_000, 4_000);
/// Width of the weak rim around a hole.
pub(super) const RIM_M: i64 = 1_500;
/// Holes of a district.
const HOLES: usize = 22;
/// One of so many holes is under open sky.
const OPEN_SKY: u64 = 4;

/// A place, metres east and north of the hospital.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub(super) struct Point {
    pub(super) east_m: i64,
    pub(super) north_m: i64,
}

impl Point {
    /// Metres to another place, rounded down.
    pub(super) fn distance_m(self, other: Point) -> i64 {
        let (x, y) = (self.east_m - other.east_m, self.north_m - other.north_m);
        (x * x + y * y).isqrt()
    }

    /// Whether another place is at most `radius_m` away.
    pub(super) fn is_within(self, radius_m: i64, other: Point) -> bool {
        let (x, y) = (self.east_m - other.east_m, self.north_m - other.north_m);
        x * x + y * y <= radius_m * radius_m
    }

    /// The place after `part` of `whole` of the straight way to `to`.
    pub(super) fn towards(self, to: Point, part: u64, whole: u64) -> Point {
        let (part, whole) = (part.min(whole) as i64, whole.max(1) as i64);
        Point {
            east_m: self.east_m + (to.east_m - self.east_m) * part / whole,
            north_m: self.north_m + (to.north_m - self.north_m) * part / whole,
        }
    }

    /// A place in the square around this one, kept inside the district.
    fn near(self, half_m: i64, chance: &mut Chance) -> Point {
        let mut draw = |at: i64| {
            let off = chance.below(2 * half_m as u64 + 1) as i64 - half_m;
            (at + off).clamp(-HALF_SIDE_M, HALF_SIDE_M)
        };
        Point {
            east_m: draw(self.east_m),
            north_m: draw(self.north_m),
        }
    }
}

/// What connects a vehicle where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cover {
    /// Nothing.
    Dark,
    /// The narrow satellite channel.
    Sat,
    /// The rim of a hole.
    Rural,
    /// Mobile network in the country.
    Country,
    /// Mobile network in the town.
    Town,
    /// The base, or the hospital's door.
    Wifi,
}

/// Mobile network in a town: 4 Mbit/s up, 40 ms, 0.5 % loss; a round planning figure.
const TOWN: Profile = Profile {
    rate_bps: 4_000_000,
    one_way_us: 40_000,
    jitter_us: 20_000,
    loss_ppm: 5_000,
    queue_bytes: 1_000_000,
    ..Profile::TUNNEL
};

impl Cover {
    /// The line that it gives, `None` where there is nothing.
    pub(super) fn profile(self) -> Option<Profile> {
        let profile = match self {
            Cover::Dark => return None,
            Cover::Sat => Profile::SAT,
            Cover::Rural => Profile::RURAL,
            Cover::Country => Profile::TUNNEL,
            Cover::Town => TOWN,
            Cover::Wifi => Profile::WIFI,
        };
        let mtu = profile.mtu.min(1400);
        Some(Profile { mtu, ..profile })
    }
}

/// A hole in the coverage.
#[derive(Clone, Copy, Debug)]
struct Hole {
    centre: Point,
    radius_m: i64,
    open_sky: bool,
}

/// A district.
#[derive(Clone, Debug)]
pub(super) struct Map {
    holes: Vec<Hole>,
    town_m: i64,
    /// Where each unit has its base.
    pub(super) bases: Vec<Point>,
}

impl Map {
    /// Draws a district with a base for each of `units`.
    pub(super) fn draw(chance: &mut Chance, units: usize) -> Map {
        let mut holes = Vec::new();
        while holes.len() < HOLES {
            let hole = Hole {
                centre: Point::default().near(HALF_SIDE_M, chance),
                radius_m: chance.between(1_500, 5_500) as i64,
                open_sky: chance.below(OPEN_SKY) == 0,
            };
            if !hole.centre.is_within(hole.radius_m, Point::default()) {
                holes.push(hole);
            }
        }
        let town_m = chance.between(TOWN_M.0, TOWN_M.1) as i64;
        let mut map = Map {
            holes,
            town_m,
            bases: Vec::new(),
        };
        while map.bases.len() < units {
            let half_m = if chance.percent(40) { town_m } else { HALF_SIDE_M };
            let base = Point::default().near(half_m, chance);
            if matches!(map.cover_at(base), Cover::Country | Cover::Town) {
                map.bases.push(base);
            }
        }
        map
    }

    /// A place where somebody falls ill, within reach of a base.
    pub(super) fn scene(&self, base: Point, chance: &mut Chance) -> Point {
        base.near(12_000, chance)
    }

    /// What there is at a place under the open sky, before the rim's fading.
    pub(super) fn cover_at(&self, at: Point) -> Cover {
        let mut best = match at.is_within(self.town_m, Point::default()) {
            true => Cover::Town,
            false => Cover::Country,
        };
        for hole in &self.holes {
            if at.is_within(hole.radius_m, hole.centre) {
                best = best.min(if hole.open_sky { Cover::Sat } else { Cover::Dark });
            } else if at.is_within(hole.radius_m + RIM_M, hole.centre) {
                best = best.min(Cover::Rural);
            }
        }
        best
    }
}
