//! What leaves the core for people and programs. *Shown* means one of these left.

use super::command::{Card, EntryRef};
use super::input::LinkId;
use crate::delivery::{Mark, State};
use crate::entry::Kind;
use crate::id::{Dev, Key8, Seq, Slot, ThreadId};

/// One event. All of them wait until what they tell is durable here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The command is stored on this device.
    Stored {
        /// `Made::command`.
        command: u64,
    },
    /// A key package was made.
    CardMade {
        /// The card to hand out.
        card: Card,
    },
    /// A thread was founded here or joined.
    ThreadReady {
        /// Which.
        thread: ThreadId,
    },
    /// Members or head of a thread changed.
    MembersChanged {
        /// Which thread.
        thread: ThreadId,
    },
    /// An entry of another device was opened and verified.
    Arrived {
        /// Where.
        thread: ThreadId,
        /// Which.
        entry: EntryRef,
        /// What its body is.
        kind: Kind,
        /// Who wrote it.
        author: Dev,
        /// It came by a rewrap, verified under its author's signed head.
        rewrapped: bool,
        /// The author's clock is far off.
        clock_suspect: bool,
    },
    /// A layer of an entry's blob is complete and equals its hash.
    LayerArrived {
        /// Where.
        thread: ThreadId,
        /// Which entry.
        entry: EntryRef,
        /// Which layer.
        layer: u8,
    },
    /// An own entry that an earlier life of this device never sealed has a new place in its present
    /// life; words and acts go on there.
    Moved {
        /// Where.
        thread: ThreadId,
        /// Its place until now.
        from: EntryRef,
        /// Its place from now on.
        to: EntryRef,
    },
    /// The state of an own entry at one recipient changed.
    Delivery {
        /// Where.
        thread: ThreadId,
        /// Which own entry.
        entry: EntryRef,
        /// At which device.
        dev: Dev,
        /// The word.
        state: State,
        /// Marks beside it.
        marks: Vec<Mark>,
    },
    /// Nothing is sealed in this thread for now.
    SendingStopped {
        /// Where.
        thread: ThreadId,
        /// Why.
        why: Stopped,
    },
    /// Sealing goes on.
    SendingResumed {
        /// Where.
        thread: ThreadId,
    },
    /// Two authentic objects at one place: both are kept, both are shown.
    Equivocation {
        /// Where.
        thread: ThreadId,
        /// Whose.
        slot: Slot,
        /// Which number.
        seq: Seq,
    },
    /// A peer broke a rule of the protocol; its bytes changed nothing.
    PeerMisbehaved {
        /// Where from.
        link: LinkId,
        /// Which rule.
        rule: &'static str,
    },
    /// A carrier or relay refused or delays an item.
    Refused {
        /// Which carrier.
        by: Key8,
        /// Reason.
        why: &'static str,
    },
    /// A key was revoked.
    Revoked {
        /// Short name of the key.
        key: Key8,
    },
    /// A batch was not written. Nothing more comes from this machine.
    StoreFailed,
}

/// Why a thread does not seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stopped {
    /// Not all control objects that lead to the newest node are here.
    Incomplete,
    /// Members changed; the next keys are not made yet.
    WaitingForKeys,
    /// This device was removed.
    Removed,
    /// This store was restored or rebuilt: another device must add it again.
    Restored,
}
