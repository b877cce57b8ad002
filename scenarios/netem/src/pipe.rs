//! One direction of a link: bottleneck, drop-tail queue, chance, outages, counters.
//!
//! The order of judgement is fixed: too long, link down, no room in the queue; then the datagram takes its
//! time on the air, and is lost if an outage touches that time or if chance says so; else it arrives.
//! A fate once told is final: `down` spares what is already on its way. Scheduled outages are known
//! beforehand and also swallow what the queue would have sent into them.
//!
//! Time is the caller's, in microseconds from any origin. A call with an earlier time than the last one
//! counts as made at that last time. Memory is bounded by the queue: at most `queue_bytes` entries.

use std::collections::VecDeque;

use crate::chance::Chance;
use crate::profile::Profile;

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    Dropped(Cause),
    /// It arrives.
    Deliver {
        /// Arrival, microseconds on the caller's clock.
        at_us: u64,
        /// Arrival of a second copy, if the link made one.
        copy_at_us: Option<u64>,
    },
}

/// Why a datagram does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Longer than the mtu.
    TooLong,
    /// The link was down when it was handed over, or while it was on the air.
    Down,
    /// The queue was full.
    QueueFull,
    /// Bad luck.
    Loss,
}

/// A time without link, from `from_us` (inclusive) to `to_us` (exclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// First microsecond without link.
    pub from_us: u64,
    /// First microsecond with link again.
    pub to_us: u64,
}

/// A number of datagrams and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Datagrams.
    pub datagrams: u64,
    /// Their lengths together.
    pub bytes: u64,
}

/// What a pipe has seen since it was made. `offered` is the sum of `delivered` and the four losses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Handed to the pipe.
    pub offered: Tally,
    /// Told to arrive, copies not counted.
    pub delivered: Tally,
    /// Second copies told to arrive.
    pub copies: Tally,
    /// Lost to [`Cause::TooLong`].
    pub too_long: Tally,
    /// Lost to [`Cause::Down`].
    pub down: Tally,
    /// Lost to [`Cause::QueueFull`].
    pub queue_full: Tally,
    /// Lost to [`Cause::Loss`].
    pub loss: Tally,
}

/// One direction of a link.
#[derive(Clone, Debug)]
pub struct Pipe {
    profile: Profile,
    chance: Chance,
    outages: Vec<Outage>,
    up: bool,
    now_us: u64,
    /// Datagrams not yet off the air: (end of serialisation, length).
    queue: VecDeque<(u64, u32)>,
    backlog_bytes: u64,
    last_arrival_us: u64,
    counters: Counters,
}

/// The chance that one datagram meets. Drawn for every datagram, so that fates do not shift each other.
struct Luck {
    lost: bool,
    doubled: bool,
    held_us: Option<u64>,
    jitter_us: u64,
}

impl Pipe {
    /// An idle pipe that is up. `seed` decides every loss, copy, hold and jitter.
    pub fn new(profile: Profile, seed: u64) -> Pipe {
        Pipe {
            profile,
            chance: Chance::new(seed),
            outages: Vec::new(),
            up: true,
            now_us: 0,
            queue: VecDeque::new(),
            backlog_bytes: 0,
            last_arrival_us: 0,
            counters: Counters::default(),
        }
    }

    /// Plans a time without link. Outages may touch or overlap; an empty one has no effect.
    pub fn schedule(&mut self, outage: Outage) {
        if outage.from_us < outage.to_us {
            self.outages.push(outage);
        }
    }

    /// Takes the link away until [`Pipe::up`].
    pub fn down(&mut self) {
        self.up = false;
    }

    /// Gives the link back. A scheduled outage still holds.
    pub fn up(&mut self) {
        self.up = true;
    }

    /// Whether a datagram handed over at `now_us` finds a link.
    pub fn is_up(&self, now_us: u64) -> bool {
        self.up && !self.outage_within(now_us, now_us + 1)
    }

    /// Hands over `len` bytes at `now_us` and tells what becomes of them.
    pub fn send(&mut self, now_us: u64, len: u32) -> Fate {
        self.advance(now_us);
        let luck = self.draw();
        self.counters.offered.add(len);
        let fate = self.judge(len, &luck);
        self.counters.book(fate, len);
        fate
    }

    /// Bytes waiting or on the air at `now_us`.
    pub fn backlog_bytes(&mut self, now_us: u64) -> u64 {
        self.advance(now_us);
        self.backlog_bytes
    }

    /// What the pipe has seen so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The profile this pipe was made with.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    fn advance(&mut self, now_us: u64) {
        self.now_us = self.now_us.max(now_us);
        while let Some(&(end_us, len)) = self.queue.front() {
            if end_us > self.now_us {
                break;
            }
            self.queue.pop_front();
            self.backlog_bytes -= u64::from(len);
        }
    }

    fn draw(&mut self) -> Luck {
        let lost = self.chance.happens(self.profile.loss_ppm);
        let doubled = self.chance.happens(self.profile.duplicate_ppm);
        let held = self.chance.happens(self.profile.reorder_ppm);
        let hold_us = 1 + self.chance.up_to(self.profile.hold_us_max() - 1);
        let jitter_us = self.chance.up_to(self.profile.jitter_us);
        Luck {
            lost,
            doubled,
            held_us: held.then_some(hold_us),
            jitter_us,
        }
    }

    fn judge(&mut self, len: u32, luck: &Luck) -> Fate {
        if len > self.profile.mtu {
            return Fate::Dropped(Cause::TooLong);
        }
        if !self.is_up(self.now_us) {
            return Fate::Dropped(Cause::Down);
        }
        let Some((start_us, end_us)) = self.occupy(len) else {
            return Fate::Dropped(Cause::QueueFull);
        };
        if self.outage_within(start_us, end_us) {
            return Fate::Dropped(Cause::Down);
        }
        if luck.lost {
            return Fate::Dropped(Cause::Loss);
        }
        let at_us = self.arrive(end_us, luck);
        Fate::Deliver {
            at_us,
            copy_at_us: self.copy(len, luck),
        }
    }

    /// Takes room in the queue and time on the air; `None` if there is no room. An idle pipe has room.
    /// An empty datagram counts as one byte, else a full queue would take any number of them.
    fn occupy(&mut self, len: u32) -> Option<(u64, u64)> {
        let len = len.max(1);
        let full = self.backlog_bytes + u64::from(len) > self.profile.queue_bytes;
        if full && !self.queue.is_empty() {
            return None;
        }
        let start_us = self.queue.back().map_or(self.now_us, |&(end_us, _)| end_us);
        let end_us = start_us + self.profile.serialise_us(len);
        self.queue.push_back((end_us, len));
        self.backlog_bytes += u64::from(len);
        Some((start_us, end_us))
    }

    fn arrive(&mut self, end_us: u64, luck: &Luck) -> u64 {
        let in_order_us = (end_us + self.profile.one_way_us + luck.jitter_us).max(self.last_arrival_us);
        match luck.held_us {
            Some(hold_us) => in_order_us + hold_us,
            None => {
                self.last_arrival_us = in_order_us;
                in_order_us
            }
        }
    }

    fn copy(&mut self, len: u32, luck: &Luck) -> Option<u64> {
        if !luck.doubled {
            return None;
        }
        let (start_us, end_us) = self.occupy(len)?;
        (!self.outage_within(start_us, end_us)).then(|| self.arrive(end_us, luck))
    }

    fn outage_within(&self, from_us: u64, to_us: u64) -> bool {
        self.outages
            .iter()
            .any(|outage| outage.from_us < to_us && from_us < outage.to_us)
    }
}

impl Tally {
    pub(crate) fn add(&mut self, len: u32) {
        self.datagrams += 1;
        self.bytes += u64::from(len);
    }
}

impl Counters {
    fn book(&mut self, fate: Fate, len: u32) {
        match fate {
            Fate::Dropped(Cause::TooLong) => self.too_long.add(len),
            Fate::Dropped(Cause::Down) => self.down.add(len),
            Fate::Dropped(Cause::QueueFull) => self.queue_full.add(len),
            Fate::Dropped(Cause::Loss) => self.loss.add(len),
            Fate::Deliver { copy_at_us, .. } => {
                self.delivered.add(len);
                if copy_at_us.is_some() {
                    self.copies.add(len);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
