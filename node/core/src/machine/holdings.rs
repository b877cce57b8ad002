//! What whoever runs a relay or carrier may watch: how full it is and what it did, never what it holds.
//!
//! Sums only. No handle, no key of a device and no place is told, since metrics of a relay travel further
//! than its store. Counts begin anew with each opening.

use super::Machine;
use crate::id::Org;
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
}
