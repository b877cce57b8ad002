//! What whoever runs a relay or carrier may watch: how full it is and what it did, never what it holds.
//!
//! [`Holdings`] has sums only: no handle, no key of a device and no place, since metrics of a relay travel
//! further than its store. Counts begin anew with each opening. [`Machine::peers`] is for the door of a
//! relay, which counts who is there.

use super::Machine;
use crate::id::{Key8, Org};
use crate::mailbox::{Tally, Usage};

/// Sums over all that is kept for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// How full it is.
    pub usage: Usage,
    /// Bytes at most.
    pub quota_bytes: u64,
    /// Bytes that each organisation's devices fill.
    pub by_org: Vec<(Org, u64)>,
    /// What was done since this opening.
    pub tally: Tally,
    /// This store was found behind what it signed: peers are told so.
    pub restored: bool,
}

impl Machine {
    /// Sums over all that is kept for others.
    pub fn holdings(&self) -> Holdings {
        Holdings {
            usage: self.mailbox.usage(),
            quota_bytes: self.cfg.carry_bytes,
            by_org: self.mailbox.by_org().collect(),
            tally: self.mailbox.tally(),
            restored: self.reset.is_some(),
        }
    }

    /// Who is there: short names of the routing keys of all links.
    pub fn peers(&self) -> Vec<Key8> {
        self.sessions.values().map(|session| session.peer()).collect()
    }
}
