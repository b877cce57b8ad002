//! An emulated radio link between real programs on this machine.
//!
//! A [`Proxy`] listens on a UDP port and passes every datagram on to its target, and the answers back, as
//! late and as rarely as the link model says. Each client address gets its own socket toward the target,
//! so the target can tell clients apart; yet all of them share the two pipes, for they share one radio.
//! IP and UDP headers are charged ([`HEADERS_BYTES`]), payloads are passed on unread.
//!
//! [`Proxy::down`] is a tunnel: both directions at once, and what was still on its way is lost too, so that
//! "from here nothing gets through" is exact. Whoever wants to know that only ciphertext went through the
//! air asks for [`Proxy::captured`].
//!
//! Bounds: clients, datagrams on their way and captured bytes are limited; what exceeds a limit is dropped
//! and counted. Fates repeat with the seed only as far as the programs hand over the same datagrams at the
//! same times. Absent: TCP, addresses other than the given two, any look into a datagram.

mod radio;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::pipe::Outage;
use crate::profile::Profile;

pub use radio::{Captured, Counted, HEADERS_BYTES, Passed};

/// Bytes of capture when no other number is given: 64 MiB.
pub const CAPTURE_BYTES: u64 = 64 << 20;

/// A running link. Stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    local_addr: SocketAddr,
    shared: Arc<udp::Shared>,
    _tasks: [udp::Task; 2],
}

impl Proxy {
    /// Listens on `listen` and passes on to `target` over two pipes of this profile. Captures nothing.
    ///
    /// Must be called within a tokio runtime with time and IO. Fails if the port cannot be bound.
    pub fn udp(listen: SocketAddr, target: SocketAddr, profile: Profile, seed: u64) -> io::Result<Proxy> {
        Proxy::start(listen, target, profile, seed, 0)
    }

    /// As [`Proxy::udp`], and keeps a copy of what goes through the air, `capture_bytes` at most.
    pub fn udp_captured(
        listen: SocketAddr,
        target: SocketAddr,
        profile: Profile,
        seed: u64,
        capture_bytes: u64,
    ) -> io::Result<Proxy> {
        Proxy::start(listen, target, profile, seed, capture_bytes)
    }

    fn start(
        listen: SocketAddr,
        target: SocketAddr,
        profile: Profile,
        seed: u64,
        capture_bytes: u64,
    ) -> io::Result<Proxy> {
        let socket = udp::bind(listen)?;
        let local_addr = socket.local_addr()?;
        let shared = Arc::new(udp::Shared::new(radio::Radio::new(profile, seed, capture_bytes)));
        let tasks = udp::run(Arc::clone(&shared), socket, target);
        Ok(Proxy {
            local_addr,
            shared,
            _tasks: tasks,
        })
    }

    /// Where clients send to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The tunnel begins: nothing gets through in either direction until [`Proxy::up`].
    pub fn down(&self) {
        self.shared.with(|radio, _| radio.down());
    }

    /// The tunnel ends.
    pub fn up(&self) {
        self.shared.with(|radio, _| radio.up());
    }

    /// Plans an outage on the clock of [`Proxy::now_us`].
    pub fn schedule(&self, outage: Outage) {
        self.shared.with(|radio, _| radio.schedule(outage));
    }

    /// Microseconds since this proxy was started.
    pub fn now_us(&self) -> u64 {
        self.shared.with(|_, now_us| now_us)
    }

    /// What became of all datagrams so far.
    pub fn counters(&self) -> Passed {
        self.shared.with(|radio, _| radio.counters())
    }

    /// Copies of the datagrams that went through the air, lost ones included.
    pub fn captured(&self) -> Captured {
        self.shared.with(|radio, _| radio.captured())
    }
}

#[cfg(test)]
mod tests;
