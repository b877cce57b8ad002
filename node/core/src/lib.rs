//! The sans-IO heart of Aidmesh.
//!
//! A [`machine`] takes inputs (a link came up, bytes arrived, a batch is durable, a person pressed
//! a button), and gives outputs (send these bytes, store this batch, show this event). It does no
//! IO, reads no clock and draws no randomness: `now` is an argument, the random stream is seeded.
//! The node, the relay, the phone and the simulator drive this very code.
//!
//! Invariants, each checked by the simulator in `scenarios`:
//!
//! * **Total**: no bytes from a peer, file or disk panic it or make it allocate beyond [`limits`].
//! * **Commit before effect**: what tells somebody else about a change waits until the change is
//!   durable here.
//! * **Blind carriers**: mailbox code never sees a key.
//! * **A status word never exceeds its evidence.**
//!
//! What is *not* here: sockets, files, clocks, entropy, codecs of ECG, voice and pictures.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod blob;
pub mod blobs;
pub mod clinical;
pub mod codec;
pub mod crypto;
pub mod delivery;
pub mod directory;
pub mod enrolment;
pub mod entry;
pub mod envelope;
#[cfg(test)]
mod golden;
pub mod group;
pub mod id;
pub mod limits;
pub mod machine;
pub mod mailbox;
pub mod ranges;
pub mod store;
pub mod sync;
mod thread;
pub mod time;
pub mod wire;

/// For measuring what handing on costs.
#[doc(hidden)]
pub use thread::shortest_rewrap;
