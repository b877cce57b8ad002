//! Sync of one thread or mailbox between two holders, in one round trip over any link.
//!
//! HELLO (a root over the threads shared last time: equal means done) -> THREADS (keyed tags, so
//! that a stranger learns a count) -> HAVE for each thread that differs -> DATA both ways at once,
//! by class, speculative from the remembered frontier -> HAVE again, which is the answer.
//!
//! * [`have`]: what one side holds, as few bytes as it takes; [`threads`]: tags, digests, root.
//! * [`parts`]: an envelope in units and back; [`peer`]: what a peer is believed to hold.
//!
//! Everything is idempotent: a lost, doubled or late frame costs bytes, never a wrong belief that
//! outlives the next HAVE. Believing that a peer holds less than it does is safe, more is not.
//! What is *not* here: when to say what (the session), keys of threads, proof of delivery. A HAVE
//! of `open` ranges is a hint; only a signed head proves.

pub mod have;
pub mod parts;
pub mod peer;
pub mod threads;

pub use have::{Have, HaveError, HaveHead, Logs, Subject, slots_digest};
pub use parts::{Assembler, Cutter, PartError, Whole};
pub use peer::PeerView;
pub use threads::{Shared, ThreadList};

#[cfg(test)]
mod tests;
