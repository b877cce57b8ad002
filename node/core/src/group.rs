//! The keys and the membership of a thread, without a server (PROTOCOL section 3).
//!
//! Two planes. *Content* is MLS, sealed on one epoch node. *Control* (ops, commits, signed heads) must be
//! readable on every branch, so it is sealed under a control key that belongs to no epoch, and
//! signed by its author.

pub mod control;
pub mod direct;
pub mod keys;
pub mod membership;
pub mod mls;
pub mod welcome;

#[cfg(test)]
pub(crate) mod fixture;
