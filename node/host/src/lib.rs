//! Between the machine of `aidmesh-core`, which knows no file, socket or clock, and a real computer.
//!
//! ```text
//!  folder ── one data directory, one process          openings ── a count that a copy cannot carry along
//!    ├ vault ── the few secrets, under a passphrase or a key file
//!    └ store ── the rows of a machine: sealed, atomic, on the disk when told so
//!  node ── one machine on its own thread, its writer, its clock
//!    └ link ── what a connection hands over and is given to send     uplink ── connections to relays
//! ```
//!
//! * A batch that was applied survives a power cut; one that was not leaves nothing ([`store`]).
//! * Without the vault the rows are noise: every value is sealed, and bound to its key ([`store::Sealed`]).
//! * Two processes never write one folder ([`folder`]); a copy or a restored backup is found out before it
//!   writes anything ([`openings`]).
//! * Nothing is told before it is durable ([`node`]).
//! * Bytes read from a disk are as untrusted as those of a peer: they are errors, never panics.
//!
//! What it does *not* do: decide anything about threads, people or delivery. That is the machine's.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod clock;
pub mod folder;
pub mod link;
pub mod node;
pub mod openings;
pub mod store;
pub mod uplink;
pub mod vault;
