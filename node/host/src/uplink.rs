//! The uplink: QUIC connections from devices to relays, and the relay's end of them.
//!
//! Both ends prove their routing keys in the handshake ([`tls`]), then say who they are ([`hello`]). An
//! admitted connection is a link of the machine: frames go on one stream for each class. Connections are
//! disposable: every object is content-addressed, idempotent and resumed by the machine, so the answer to any
//! doubt about a path is another connection beside it ([`Client`]).
//!
//! * The client trusts one key for each relay and no name, no authority, no clock.
//! * Nothing that a peer sends is allocated for without a bound, waited for without an end, shown or logged;
//!   logs name keys by 8 hex digits.
//! * No early data, no congestion controller of our own, no fall-back to TCP in this version.

pub mod ask;
mod attempt;
mod client;
mod closing;
mod cut;
pub mod hello;
mod pace;
mod pump;
mod server;
pub mod tls;

pub use attempt::Trouble;
pub use client::{Client, ClientConfig, PathState, State};
pub use hello::{Admit, Gate, GateCounts, Hello, Refusal};
pub use server::{BindError, CONNECTIONS, Server, ServerConfig, ServerCounts};

use aidmesh_core::id::Key8;

/// Name of this protocol in the handshake (RFC 7301).
pub const ALPN: &[u8] = b"aidmesh-uplink/1";
/// Relays of one device.
pub const RELAYS: usize = 8;

/// A relay as a device knows it: from its card, its configuration or a thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelayAddress {
    /// Name to show.
    pub name: String,
    /// `host:port`; the host is a name or an address.
    pub address: String,
    /// Its routing key.
    pub key: [u8; 32],
}

/// A key in logs.
pub(crate) fn short(key: &[u8; 32]) -> String {
    let name = Key8::of_key(key);
    name.0[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
