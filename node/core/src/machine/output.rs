//! What a machine asks for. Drain with `poll` until `None` before the next input.

use super::event::Event;
use super::input::LinkId;
use crate::envelope::Class;
use crate::store::Batch;
use bytes::Bytes;

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these frames on this link.
    Transmit {
        /// Where.
        link: LinkId,
        /// Whole frames.
        bytes: Bytes,
        /// How urgent; the transport may map it to a stream priority.
        class: Class,
    },
    /// Write this batch atomically and durably, then say `Committed`.
    Commit {
        /// Ascending by one.
        ticket: u64,
        /// The rows.
        batch: Batch,
    },
    /// Close the link.
    Disconnect {
        /// Which.
        link: LinkId,
        /// Rule that the peer broke, or why it is useless.
        why: &'static str,
    },
    /// Tell the people and programs on this device.
    Event(Event),
}

/// Why a machine wants to be woken: a deadline carries its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A signed head is due.
    Head,
    /// Tell a peer what we hold.
    Have,
    /// Greet a peer again that has not answered.
    Greet,
    /// A deadline after which the sender says *not confirmed*.
    NotConfirmed,
    /// An item that is carried or offered ends its time.
    Expiry,
    /// Hand entries to a member that cannot open them.
    Rewrap,
    /// Make the keys that a change of members asks for.
    Commit,
    /// Delete keys that nobody needs any more.
    Forget,
    /// Sign for what was kept.
    Receipt,
}
