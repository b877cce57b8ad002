//! A link on paper: slow, lossy, jittery, sometimes gone, and the same on every run.
//!
//! [`Pipe`] is one direction of a link. The caller says when it hands over a datagram and how long that
//! datagram is; the pipe answers at once what becomes of it ([`Fate`]): the reason for a loss, or the
//! microsecond of its arrival. Nothing happens in between, so the simulator, the demo's proxy and a test
//! can all use the same model with their own clocks.
//!
//! Invariants: a pipe never carries more than `rate_bps`; datagrams arrive in the order they were sent
//! unless `reorder_ppm` picks one out; the same profile, seed and calls give the same fates, and the n-th
//! datagram meets the same chance whatever became of those before it.
//!
//! Absent from the model on purpose: clocks, sockets, threads, floating point, contents. A pipe knows
//! lengths only. The one place that has clocks, sockets and contents is `proxy`, which puts the model
//! between real programs; it exists with the feature of that name only, so the simulator cannot reach it.

mod chance;
mod pipe;
mod profile;
#[cfg(feature = "proxy")]
pub mod proxy;

pub use pipe::{Cause, Counters, Fate, Outage, Pipe, Tally};
pub use profile::Profile;
