//! What the closing of a connection says: codes and fixed words (RFC 9000 section 20.2).
//!
//! A refusal has codes of its own, see `hello`. Words are for a person who reads a capture; a program looks
//! at the code, and nothing that a peer wrote is shown.

use quinn::{Connection, ConnectionError, Endpoint, VarInt};

/// Why this side closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Nothing more to say.
    Done = 0x10,
    /// The program ends.
    Stopping = 0x11,
    /// The same key has a newer connection.
    Replaced = 0x12,
    /// The peer broke a rule.
    Violation = 0x13,
    /// The peer did not say its hello in time.
    Late = 0x14,
    /// The peer reads too slowly.
    Behind = 0x15,
    /// The peer's key is not served any more.
    Dropped = 0x16,
}

impl Closing {
    pub(crate) fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }

    fn words(self) -> &'static [u8] {
        match self {
            Closing::Done => b"done",
            Closing::Stopping => b"stopping",
            Closing::Replaced => b"replaced by a newer connection",
            Closing::Violation => b"protocol violation",
            Closing::Late => b"no hello in time",
            Closing::Behind => b"reading too slowly",
            Closing::Dropped => b"not served any more",
        }
    }

    /// Closes it; a connection that is closed already stays as it is.
    pub(crate) fn close(self, connection: &Connection) {
        connection.close(self.code(), self.words());
    }

    /// Closes all connections of an endpoint.
    pub(crate) fn close_all(self, endpoint: &Endpoint) {
        endpoint.close(self.code(), self.words());
    }
}

/// Whether the peer closed the connection with a code of its own, which it did on purpose.
pub(crate) fn on_purpose(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ApplicationClosed(_))
}
