//! What can happen to a machine. The host (or the simulator) translates the world into these.

use bytes::Bytes;

/// A link as the host numbers it; never used again after its `LinkDown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// What the host knows of a link when it comes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Routing key that the other side proved in the transport's handshake.
    pub peer: [u8; 32],
    /// Bytes exported from that handshake (RFC 8446 section 7.5): binds `OPEN` to this connection.
    pub exporter: [u8; 32],
    /// Largest datagram or write in bytes; frames are cut to it.
    pub mtu: usize,
    /// Below 9.6 kbit/s: smaller units, fewer heads.
    pub thin: bool,
    /// Each class is a stream: all of it arrives, once and in order, or the link ends.
    pub streams: bool,
}

/// One input. Remote bytes arrive only as `Frame`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A link to an authenticated peer is usable.
    LinkUp {
        /// Its number.
        link: LinkId,
        /// What is known of it.
        info: LinkInfo,
    },
    /// The link is gone; nothing sent on it is known to have arrived.
    LinkDown {
        /// Its number.
        link: LinkId,
    },
    /// Bytes from the peer: one or more whole frames.
    Frame {
        /// From where.
        link: LinkId,
        /// The bytes.
        bytes: Bytes,
    },
    /// The link takes that many more bytes now. Nothing but greetings leaves without a budget.
    Budget {
        /// Which link.
        link: LinkId,
        /// Bytes more.
        bytes: u32,
    },
    /// The batch with this ticket is durable. Tickets are confirmed in order.
    Committed {
        /// The ticket of the `Commit`.
        ticket: u64,
    },
    /// The batch with this ticket was not written; the machine is poisoned.
    CommitFailed {
        /// The ticket of the `Commit`.
        ticket: u64,
    },
    /// The deadline of `next_wakeup` has come (or any earlier or later moment: it is harmless).
    Wake,
}
