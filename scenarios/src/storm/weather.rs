//! Which faults a seed has at all, and how strong.

use crate::chance::Chance;
use crate::net::Line;
use aidmesh_core::group::control::History;
use aidmesh_netem::Profile;

/// The weather of one seed.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Weather {
    pub crashes: bool,
    pub flaps: bool,
    pub partitions: bool,
    pub deaf: bool,
    pub wrong_clocks: bool,
    pub sleeps: bool,
    pub rebuilds: bool,
    pub removals: bool,
    pub late_joins: bool,
    pub hostile: bool,
    pub losses: bool,
    pub thin: bool,
    pub full_history: bool,
    pub fail_permille: u64,
    pub disk_delay_us_max: u64,
    pub relays: usize,
    pub mesh_percent: u64,
    pub restless: bool,
    /// Length of the part with people.
    pub minutes: u64,
}

impl Weather {
    /// Draws the weather of a seed.
    pub fn draw(chance: &mut Chance) -> Weather {
        let mut on = |percent| chance.percent(percent);
        let mut weather = Weather {
            crashes: on(70),
            flaps: on(60),
            partitions: on(60),
            deaf: on(40),
            wrong_clocks: on(40),
            sleeps: on(40),
            rebuilds: on(25),
            removals: on(60),
            late_joins: on(70),
            hostile: on(60),
            losses: on(60),
            thin: on(15),
            full_history: on(60),
            fail_permille: if on(25) { 3 } else { 0 },
            disk_delay_us_max: if on(30) { 1_500_000 } else { 5_000 },
            relays: if on(25) { 2 } else { 1 },
            mesh_percent: if on(50) { 40 } else { 0 },
            restless: false,
            minutes: 0,
        };
        weather.minutes = chance.between(8, 40);
        weather
    }

    /// The same weather, but halves part and members change most of the time: many commits on one node.
    pub fn restless(self) -> Weather {
        Weather {
            partitions: true,
            removals: true,
            late_joins: true,
            mesh_percent: 70,
            restless: true,
            ..self
        }
    }

    /// What joiners may read.
    pub fn history(&self) -> History {
        match self.full_history {
            true => History::All,
            false => History::FromJoining,
        }
    }

    /// A good line.
    pub fn calm_line() -> Line {
        Line {
            profile: Profile {
                mtu: 1400,
                ..Profile::LAN
            },
            stream: true,
        }
    }

    /// A line in this weather.
    pub fn line(&self, chance: &mut Chance) -> Line {
        let mut profile = match chance.below(6) {
            0 => Profile::TUNNEL,
            1 => Profile::RURAL,
            2 if self.thin => Profile::SAT,
            2 | 3 => Profile::WIFI,
            _ => Profile::LAN,
        };
        profile.mtu = profile.mtu.min(1400);
        if self.losses {
            profile.loss_ppm += chance.below(120_000) as u32;
            profile.duplicate_ppm += chance.below(30_000) as u32;
            profile.reorder_ppm += chance.below(30_000) as u32;
        }
        let stream = !self.losses || chance.percent(40);
        Line { profile, stream }
    }
}
