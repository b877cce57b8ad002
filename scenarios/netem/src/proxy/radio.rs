//! Two pipes and the datagrams between their ends. No clock and no socket: time is an argument.
//!
//! A datagram that the pipe lets through is kept here until its arrival; `due` hands out what has arrived,
//! in the order of arrival and, at the same microsecond, of sending. Where a datagram leaves is the
//! caller's type `E`.
//!
//! Invariant: for each direction, `offered` of the pipe is what was lost in the pipe, plus `cut`,
//! `overrun` and `handed` less copies, plus what is still on its way.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pipe::{Cause, Counters, Fate, Outage, Pipe, Tally};
use crate::profile::Profile;

/// Charged for each datagram: 20 B IPv4 (RFC 791) and 8 B UDP (RFC 768).
pub const HEADERS_BYTES: u32 = 28;

/// Datagrams on their way at once, both directions together.
const FLIGHTS_MAX: usize = 1 << 16;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Toward {
    Target,
    Client,
}

/// What became of the datagrams of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// What the model says. Lengths with headers.
    pub told: Counters,
    /// Told to arrive, then lost to the beginning of a tunnel. Lengths with headers.
    pub cut: Tally,
    /// Told to arrive, but too many were on their way. Lengths with headers.
    pub overrun: Tally,
    /// Came out at the other end, copies included. Lengths with headers.
    pub handed: Tally,
}

/// Both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// From clients to the target.
    pub to_target: Counted,
    /// From the target to clients.
    pub to_client: Counted,
}

/// What went through the air, in the order in which it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Payloads from clients to the target.
    pub to_target: Vec<Arc<[u8]>>,
    /// Payloads from the target to clients.
    pub to_client: Vec<Arc<[u8]>>,
    /// Bytes of all these together.
    pub bytes: u64,
    /// Datagrams that are missing here because the bound was reached.
    pub missed: u64,
}

/// A datagram on its way.
#[derive(Debug)]
struct Flight<E> {
    toward: Toward,
    exit: E,
    payload: Arc<[u8]>,
}

/// One radio: a pipe for each direction.
#[derive(Debug)]
pub(super) struct Radio<E> {
    lanes: [Lane; 2],
    up: bool,
    /// By arrival and number of sending.
    flights: BTreeMap<(u64, u64), Flight<E>>,
    next_number: u64,
    captured: Captured,
    capture_bytes_max: u64,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    pipe: Pipe,
    cut: Tally,
    overrun: Tally,
    handed: Tally,
}

impl<E: Clone> Radio<E> {
    /// An idle radio that is up.
    pub(super) fn new(profile: Profile, seed: u64, capture_bytes_max: u64) -> Radio<E> {
        Radio {
            lanes: [Lane::new(profile, seed), Lane::new(profile, !seed)],
            up: true,
            flights: BTreeMap::new(),
            next_number: 0,
            captured: Captured::default(),
            capture_bytes_max,
        }
    }

    /// Hands over a datagram at `now_us`.
    pub(super) fn send(&mut self, now_us: u64, toward: Toward, exit: E, payload: &[u8]) {
        match self.lane(toward).pipe.send(now_us, charged(payload)) {
            Fate::Dropped(Cause::TooLong | Cause::Down | Cause::QueueFull) => {}
            Fate::Dropped(Cause::Loss) => self.capture(toward, payload.into()),
            Fate::Deliver { at_us, copy_at_us } => {
                let payload: Arc<[u8]> = payload.into();
                self.capture(toward, Arc::clone(&payload));
                for at_us in [Some(at_us), copy_at_us].into_iter().flatten() {
                    self.launch(at_us, toward, exit.clone(), Arc::clone(&payload));
                }
            }
        }
    }

    fn launch(&mut self, at_us: u64, toward: Toward, exit: E, payload: Arc<[u8]>) {
        if self.flights.len() >= FLIGHTS_MAX {
            self.lane(toward).overrun.add(charged(&payload));
            return;
        }
        self.next_number += 1;
        let flight = Flight {
            toward,
            exit,
            payload,
        };
        self.flights.insert((at_us, self.next_number), flight);
    }

    fn capture(&mut self, toward: Toward, payload: Arc<[u8]>) {
        let bytes = self.captured.bytes.saturating_add(payload.len() as u64);
        if bytes > self.capture_bytes_max {
            self.captured.missed += 1;
            return;
        }
        self.captured.bytes = bytes;
        match toward {
            Toward::Target => self.captured.to_target.push(payload),
            Toward::Client => self.captured.to_client.push(payload),
        }
    }

    /// The next arrival, if something is on its way.
    pub(super) fn next_at_us(&self) -> Option<u64> {
        self.flights.first_key_value().map(|(&(at_us, _), _)| at_us)
    }

    /// One datagram that has arrived by `now_us`, and where it leaves.
    pub(super) fn due(&mut self, now_us: u64) -> Option<(E, Arc<[u8]>)> {
        if self.next_at_us()? > now_us {
            return None;
        }
        let (_, flight) = self.flights.pop_first()?;
        self.lane(flight.toward).handed.add(charged(&flight.payload));
        Some((flight.exit, flight.payload))
    }

    /// Takes the link away; what was on its way is lost.
    pub(super) fn down(&mut self) {
        if !std::mem::replace(&mut self.up, false) {
            return;
        }
        for flight in std::mem::take(&mut self.flights).into_values() {
            self.lane(flight.toward).cut.add(charged(&flight.payload));
        }
        for lane in &mut self.lanes {
            lane.pipe.down();
        }
    }

    /// Gives it back.
    pub(super) fn up(&mut self) {
        self.up = true;
        for lane in &mut self.lanes {
            lane.pipe.up();
        }
    }

    /// Plans an outage in both directions.
    pub(super) fn schedule(&mut self, outage: Outage) {
        for lane in &mut self.lanes {
            lane.pipe.schedule(outage);
        }
    }

    /// Both directions so far.
    pub(super) fn counters(&self) -> Passed {
        let [to_target, to_client] = &self.lanes;
        Passed {
            to_target: to_target.counted(),
            to_client: to_client.counted(),
        }
    }

    /// What went through the air.
    pub(super) fn captured(&self) -> Captured {
        self.captured.clone()
    }

    fn lane(&mut self, toward: Toward) -> &mut Lane {
        &mut self.lanes[toward as usize]
    }
}

fn charged(payload: &[u8]) -> u32 {
    u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .saturating_add(HEADERS_BYTES)
}

impl Lane {
    fn new(profile: Profile, seed: u64) -> Lane {
        Lane {
            pipe: Pipe::new(profile, seed),
            cut: Tally::default(),
            overrun: Tally::default(),
            handed: Tally::default(),
        }
    }

    fn counted(&self) -> Counted {
        Counted {
            told: self.pipe.counters(),
            cut: self.cut,
            overrun: self.overrun,
            handed: self.handed,
        }
    }
}

impl Counted {
    /// Datagrams that did not come out, for whatever reason. Those on their way are not among them.
    pub fn dropped(&self) -> u64 {
        let told = &self.told;
        [
            told.too_long,
            told.down,
            told.queue_full,
            told.loss,
            self.cut,
            self.overrun,
        ]
        .iter()
        .map(|tally| tally.datagrams)
        .sum()
    }
}

#[cfg(test)]
mod tests;
