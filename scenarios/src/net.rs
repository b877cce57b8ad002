//! Cables between devices: two pipes of `aidmesh-netem`, one for each direction.
//!
//! A cable has many lives. Each time it comes up both sides get a new link number, fresh pipes and a
//! fresh exporter; what was under way in a former life is gone. A cable may be a *stream*, and says so
//! (a lost datagram is sent again after a round trip, order is kept) or carry bare *datagrams* (lost is
//! lost).
//! [`Side::due`] says how many bytes the sender may be offered so that at most about one second of the
//! line's rate is under way.

use crate::chance::Chance;
use aidmesh_core::machine::input::{LinkId, LinkInfo};
use aidmesh_netem::{Cause, Fate, Pipe, Profile};

/// Index of a device in the world.
pub type HostId = usize;
/// Index of a cable in the world.
pub type CableId = usize;

/// What a cable is like in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Profile of each direction.
    pub profile: Profile,
    /// Lost datagrams are sent again, and order is kept.
    pub stream: bool,
}

/// One end of a cable.
#[derive(Clone, Debug)]
pub struct Side {
    /// Which device.
    pub host: HostId,
    /// Its number for the link while it is up.
    pub link: Option<LinkId>,
    /// Nothing gets through from here while the link looks up.
    pub deaf: bool,
    /// A `Drained` is under way.
    pub draining: bool,
    pipe: Pipe,
    offered: u64,
    last_us: u64,
}

/// A cable between two devices.
#[derive(Clone, Debug)]
pub struct Cable {
    /// What it is like.
    pub line: Line,
    /// Both ends.
    pub sides: [Side; 2],
    /// The wish of the world; a cable that is wanted comes up again by itself.
    pub wanted: bool,
    /// Counts its lives.
    pub life: u32,
}

/// When the bytes of one `Transmit` arrive, up to two times.
pub type Arrivals = [Option<u64>; 2];

impl Cable {
    /// A cable that is down.
    pub fn new(line: Line, a: HostId, b: HostId) -> Cable {
        let side = |host| Side {
            host,
            link: None,
            deaf: false,
            draining: false,
            pipe: Pipe::new(line.profile, 0),
            offered: 0,
            last_us: 0,
        };
        Cable {
            line,
            sides: [side(a), side(b)],
            wanted: true,
            life: 0,
        }
    }

    /// Whether both sides think it is up.
    pub fn is_up(&self) -> bool {
        self.sides.iter().all(|side| side.link.is_some())
    }

    /// Begins a new life.
    pub fn raise(&mut self, links: [LinkId; 2], chance: &mut Chance) {
        self.life += 1;
        for (side, link) in self.sides.iter_mut().zip(links) {
            side.link = Some(link);
            side.pipe = Pipe::new(self.line.profile, chance.draw());
            (side.offered, side.last_us, side.draining) = (0, 0, false);
        }
    }

    /// Ends this life; returns the link numbers that were up.
    pub fn cut(&mut self) -> [Option<LinkId>; 2] {
        self.life += 1;
        let [a, b] = &mut self.sides;
        [a.link.take(), b.link.take()]
    }

    /// What the host on `side` knows of the link; `peer` is the routing key of the other side.
    pub fn info(&self, peer: [u8; 32], keys: [[u8; 32]; 2]) -> LinkInfo {
        let both = [&keys[0][..], &keys[1][..], &self.life.to_le_bytes()].concat();
        LinkInfo {
            peer,
            exporter: *blake3::hash(&both).as_bytes(),
            mtu: self.line.profile.mtu as usize,
            thin: self.line.profile.rate_bps <= 9_600,
            streams: self.line.stream,
        }
    }

    /// Hands over the bytes of one `Transmit`.
    pub fn send(&mut self, from: usize, now_us: u64, len: usize) -> Arrivals {
        let side = &mut self.sides[from];
        side.offered = side.offered.saturating_sub(len as u64);
        let mtu = self.line.profile.mtu as usize;
        let mut arrivals = [Some(now_us), None];
        let mut left = len.max(1);
        while left > 0 {
            let piece = left.min(mtu);
            left -= piece;
            arrivals = join(arrivals, side.datagram(self.line.stream, now_us, piece as u32));
        }
        if self.line.stream
            && let Some(at) = arrivals[0]
        {
            side.last_us = side.last_us.max(at);
            arrivals = [Some(side.last_us), None];
        }
        if side.deaf { [None, None] } else { arrivals }
    }

    /// World time at which everything handed over on `side` has left.
    pub fn backlog_ends(&mut self, side: usize, now_us: u64) -> u64 {
        let backlog = self.sides[side].pipe.backlog_bytes(now_us);
        now_us + self.line.profile.serialise_us(backlog as u32)
    }

    /// Bytes to offer to the sender on `side` now, if the line has drained; else the time to look again.
    pub fn due(&mut self, side: usize, now_us: u64) -> Result<u32, u64> {
        let profile = self.line.profile;
        let second = (profile.rate_bps / 8)
            .max(2 * u64::from(profile.mtu))
            .min(1 << 20);
        let side = &mut self.sides[side];
        let backlog = side.pipe.backlog_bytes(now_us);
        if backlog > 0 {
            return Err(now_us + profile.serialise_us(backlog as u32).max(1));
        }
        let more = second.saturating_sub(side.offered);
        side.offered += more;
        Ok(more as u32)
    }
}

impl Side {
    fn datagram(&mut self, stream: bool, now_us: u64, len: u32) -> Arrivals {
        let (mut at, mut again) = (now_us, 0);
        loop {
            match self.pipe.send(at, len) {
                Fate::Deliver { at_us, copy_at_us } => return [Some(at_us + again), copy_at_us],
                Fate::Dropped(Cause::Loss) if stream => again += 2 * self.pipe.profile().hold_us_max(),
                Fate::Dropped(Cause::QueueFull) if stream => {
                    let backlog = self.pipe.backlog_bytes(at) as u32;
                    at += self.pipe.profile().serialise_us(backlog).max(1);
                }
                Fate::Dropped(_) => return [None, None],
            }
        }
    }
}

/// The pieces of one `Transmit` arrive together: when the last has come, or never.
fn join(a: Arrivals, b: Arrivals) -> Arrivals {
    let both = |x: Option<u64>, y: Option<u64>| Some(x?.max(y?));
    [both(a[0], b[0]), both(a[1].or(a[0]), b[1])]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(line: Line) -> Cable {
        let mut cable = Cable::new(line, 0, 1);
        cable.raise([LinkId(1), LinkId(2)], &mut Chance::new(1));
        cable
    }

    #[test]
    fn a_stream_loses_nothing_and_keeps_order() {
        let profile = Profile {
            loss_ppm: 300_000,
            reorder_ppm: 100_000,
            ..Profile::LAN
        };
        let mut cable = raised(Line {
            profile,
            stream: true,
        });
        let times: Vec<u64> = (0..200).map(|_| cable.send(0, 0, 900)[0].unwrap()).collect();
        assert!(times.is_sorted());
        cable.line.stream = false;
        assert!((0..200).any(|_| cable.send(0, 0, 900)[0].is_none()));
    }

    #[test]
    fn at_most_a_second_of_line_rate_is_offered() {
        let mut cable = raised(Line {
            profile: Profile::TUNNEL,
            stream: true,
        });
        assert_eq!(cable.due(0, 0), Ok(16_000));
        assert_eq!(cable.due(0, 0), Ok(0));
        cable.send(0, 0, 1000);
        assert_eq!(cable.due(0, 0), Err(62_500));
        assert_eq!(cable.due(0, 62_500), Ok(1000));
    }
}
