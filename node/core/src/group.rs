//! A thread's group: its keys without a server (PROTOCOL section 3, braided epochs).
//! One module per part; each says what it holds and what it leaves to the others.

pub mod mls;
//! The keys and the membership of a thread, without a server (PROTOCOL section 3).
//!
//! Two planes. *Content* is MLS, sealed on one epoch node. *Control* (ops, commits, signed heads) must be
//! readable on every branch, so it is sealed under a control key that belongs to no epoch, and
//! signed by its author.

pub mod control;
pub mod keys;
pub mod membership;

#[cfg(test)]
mod fixture;
