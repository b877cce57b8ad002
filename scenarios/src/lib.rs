//! The simulator of Aidmesh: the very `Machine` of the product, on a virtual clock, over modelled links
//! and disks, with people, faults and liars, all from one seed.
//!
//! * [`world`] drives machines; [`net`], [`disk`] and [`clock`] are what they stand on; [`cast`] enrols.
//! * [`truth`] is the reference model: it sees everything from outside and stops a run at the first
//!   thing that a machine must not do or say.
//! * [`storm`] plays random runs, [`story`] plays scenarios from files, [`planted`] tests the simulator
//!   itself with planted bugs, [`hostile`] lies. [`region`] plays a day of many ambulances.
//!
//! What is *not* simulated: sockets, TLS, the page, engines of storage, radio. How to use it:
//! `docs/reference/simulator.md`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod alarm;
pub mod bench_group;
pub mod bench_sync;
pub mod cast;
pub mod chance;
pub mod clock;
pub mod disk;
pub mod hostile;
pub mod net;
pub mod planted;
pub mod region;
pub mod report;
pub mod storm;
pub mod story;
mod tell;
pub mod trace;
pub mod truth;
pub mod world;

#[cfg(test)]
mod tests;
