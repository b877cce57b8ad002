//! What a link is like, and the six links that demo, scenarios and tests speak of by name.
//!
//! All fields are integers: a profile can be compared, hashed into a trace and written in a scenario file
//! without rounding. Probabilities are parts per million. Lengths count what the caller calls a datagram;
//! whoever wants IP and UDP headers charged adds them to the length.
//!
//! The named figures are round numbers for planning, not measurements of a certain network.

/// One direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// Bits per second through the bottleneck, at least 1.
    pub rate_bps: u64,
    /// Microseconds from the end of serialisation to arrival.
    pub one_way_us: u64,
    /// Up to this many microseconds more, uniform.
    pub jitter_us: u64,
    /// Losses per million datagrams. A lost datagram has used its time on the air.
    pub loss_ppm: u32,
    /// Datagrams per million that are sent twice; the copy takes its own time on the air.
    pub duplicate_ppm: u32,
    /// Datagrams per million held back so that later ones may overtake them.
    pub reorder_ppm: u32,
    /// Bytes that may wait, the one being sent included; what does not fit is dropped (drop-tail).
    pub queue_bytes: u64,
    /// Longest datagram in bytes.
    pub mtu: u32,
}

/// A profile without loss, copies or reordering, with room for about two seconds in its queue.
const fn plain(rate_bps: u64, one_way_us: u64, jitter_us: u64, loss_ppm: u32) -> Profile {
    let two_seconds = rate_bps / 4;
    let queue_bytes = if two_seconds < 4096 { 4096 } else { two_seconds };
    Profile {
        rate_bps,
        one_way_us,
        jitter_us,
        loss_ppm,
        duplicate_ppm: 0,
        reorder_ppm: 0,
        queue_bytes,
        mtu: 1500,
    }
}

impl Profile {
    /// Mobile network at a tunnel's mouth; the link of the demo: 128 kbit/s, 150 ms, 2 % loss.
    pub const TUNNEL: Profile = plain(128_000, 150_000, 20_000, 20_000);
    /// Edge of a rural cell: 64 kbit/s, 300 ms, 5 % loss.
    pub const RURAL: Profile = plain(64_000, 300_000, 60_000, 50_000);
    /// Narrow satellite channel, the rate of an Iridium circuit-switched call: 2.4 kbit/s, 600 ms.
    pub const SAT: Profile = Profile {
        mtu: 1280,
        ..plain(2_400, 600_000, 100_000, 10_000)
    };
    /// LoRa, spreading factor 10 at 125 kHz: 980 bit/s; one-byte length field, so 255 bytes at most.
    pub const LORA: Profile = Profile {
        mtu: 255,
        ..plain(980, 50_000, 20_000, 50_000)
    };
    /// Wired station network: 50 Mbit/s, 2 ms, no loss.
    pub const LAN: Profile = plain(50_000_000, 2_000, 0, 0);
    /// Busy wireless LAN: 20 Mbit/s, 4 ms, wide jitter, some copies and reordering.
    pub const WIFI: Profile = Profile {
        duplicate_ppm: 500,
        reorder_ppm: 1_000,
        ..plain(20_000_000, 4_000, 8_000, 3_000)
    };

    /// The named profiles, in the order in which help texts list them.
    pub const NAMED: [(&str, Profile); 6] = [
        ("tunnel", Profile::TUNNEL),
        ("rural", Profile::RURAL),
        ("sat", Profile::SAT),
        ("lora", Profile::LORA),
        ("lan", Profile::LAN),
        ("wifi", Profile::WIFI),
    ];

    /// Looks a profile up by its name, lower case.
    pub fn named(name: &str) -> Option<Profile> {
        Profile::NAMED
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, profile)| *profile)
    }

    /// Microseconds on the air for `len` bytes, rounded up.
    pub fn serialise_us(&self, len: u32) -> u64 {
        (u64::from(len) * 8_000_000).div_ceil(self.rate_bps.max(1))
    }

    /// Longest time in microseconds by which a reordered datagram is held back.
    pub fn hold_us_max(&self) -> u64 {
        (self.one_way_us + self.jitter_us).max(1)
    }
}
