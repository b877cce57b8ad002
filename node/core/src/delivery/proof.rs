//! By what a shown word is proven, and whether anybody but this device has the entry.
//!
//! Derived from the fold and from nothing else, so that a word and its proof never come from two sources.

use super::{Facts, State, Step, Tracker, View};
use crate::id::Dev;

/// Kind of the evidence behind a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proof {
    /// The batch is durable on this device.
    Commit,
    /// A carrier signed for it.
    CarryReceipt,
    /// A relay signed for it.
    RelayReceipt,
    /// The recipient's device signed that it opened it.
    Head,
    /// An entry of a person: seen or acknowledged.
    Entry,
}

impl Proof {
    /// Its name for programs.
    pub fn id(self) -> &'static str {
        match self {
            Proof::Commit => "commit",
            Proof::CarryReceipt => "carry_receipt",
            Proof::RelayReceipt => "relay_receipt",
            Proof::Head => "head",
            Proof::Entry => "entry",
        }
    }
}

impl Tracker {
    /// By what the word of this recipient is proven; `None` for an unknown device or before it is stored.
    pub fn proof(&self, dev: Dev) -> Option<Proof> {
        let (.., view) = self.recipients.iter().find(|(r, ..)| r.dev == dev)?;
        Some(match view.state? {
            State::Stored => Proof::Commit,
            State::HandedOver(_) => Proof::CarryReceipt,
            State::AtRelay { .. } => Proof::RelayReceipt,
            State::Delivered(_) => match self.facts.get(&dev).and_then(Facts::delivered) {
                Some((.., true)) => Proof::Entry,
                _ => Proof::Head,
            },
            State::Seen { .. } | State::Acknowledged { .. } => Proof::Entry,
        })
    }

    /// It is open on the device of some recipient.
    pub fn somebody_has_it(&self) -> bool {
        let there = |view: &View| view.step() >= Step::Delivered;
        self.recipients.iter().any(|(.., view)| there(view))
    }

    /// A relay, a carrier or a recipient has it, or there is nobody to have it.
    pub fn has_left(&self) -> bool {
        let beyond = |view: &View| view.step() > Step::Stored;
        self.recipients.is_empty() || self.recipients.iter().any(|(.., view)| beyond(view))
    }
}
