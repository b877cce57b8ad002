//! Every word of delivery that the ambulance's node told, compared with what was really on the disks.
//!
//! A claim is taken from the node's own event. It is judged by what *another* process says about itself:
//! the hospital's node of its own entries with its own times, the relay of its own store; only *stored* is
//! asked of the node that claims it, by reading the entry back. All processes run on one clock, so "before"
//! is a plain comparison of times.
//!
//! Invariant: a claim without evidence is false, never open. Words that this list does not know are false.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::api::types::{EntryInfo, RecipientStatus};

/// A word that was told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claim {
    /// About which entry.
    pub entry: String,
    /// As the node told it.
    pub recipient: RecipientStatus,
    /// When the event left the node, ms since 1970.
    pub at_ms: u64,
    /// When the demo had it, ms since its start.
    pub shown_at_ms: u64,
}

/// A claim with its verdict, as the summary shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Judged {
    /// The word.
    pub state: String,
    /// Whose device.
    pub recipient: String,
    /// Of which layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// When the event left the node, ms since the start.
    pub at_ms: u64,
    /// When it was shown, ms since the start.
    pub shown_at_ms: u64,
    /// `commit`, `relay_receipt`, `device_receipt`, `person_signature`.
    pub evidence: &'static str,
    /// Verdict.
    pub truth: bool,
    /// Why it is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
}

/// One look at the relay's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RelayLook {
    /// When the look began, ms since 1970.
    pub at_ms: u64,
    /// Items that it had taken.
    pub stored: u64,
}

/// What the processes say about themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    /// Ms since 1970 at the start of the demo.
    pub started_ms: u64,
    /// Own entries that the ambulance could read back, with the time at which they were stored.
    pub stored: BTreeMap<String, u64>,
    /// Items that the relay had taken before the entry was written, by entry.
    pub relay_before: BTreeMap<String, u64>,
    /// All looks at the relay.
    pub relay: Vec<RelayLook>,
    /// When the hospital had opened an entry.
    pub arrived: BTreeMap<String, u64>,
    /// When the hospital had a layer of an entry.
    pub layers: BTreeMap<(String, String), u64>,
    /// Entries that the hospital reads, its own among them.
    pub hospital: Vec<EntryInfo>,
}

impl Evidence {
    /// Judges one claim.
    pub(super) fn judge(&self, claim: &Claim) -> Judged {
        let why = self.check(claim).err();
        let recipient = &claim.recipient;
        Judged {
            state: recipient.state.clone(),
            recipient: recipient.person.clone(),
            layer: recipient.layer.clone(),
            at_ms: claim.at_ms.saturating_sub(self.started_ms),
            shown_at_ms: claim.shown_at_ms,
            evidence: kind_of_evidence(&recipient.state),
            truth: why.is_none(),
            why,
        }
    }

    fn check(&self, claim: &Claim) -> Result<(), &'static str> {
        match claim.recipient.state.as_str() {
            "stored" => self.stored(claim),
            "at_relay" => self.at_relay(claim),
            "delivered" => self.delivered(claim),
            "seen" => self.acted(claim, "seen", "the hospital had not signed that it was seen"),
            "acknowledged" => self.acted(
                claim,
                "acknowledgement",
                "the hospital had not signed this acknowledgement",
            ),
            _ => Err("a word that nobody knows"),
        }
    }

    fn stored(&self, claim: &Claim) -> Result<(), &'static str> {
        match self.stored.get(&claim.entry) {
            Some(at_ms) if *at_ms <= claim.at_ms => Ok(()),
            Some(_) => Err("it was stored after the word"),
            None => Err("the ambulance cannot read it back"),
        }
    }

    /// The first look that began after the word must show more than there was before the entry.
    fn at_relay(&self, claim: &Claim) -> Result<(), &'static str> {
        let before = self.relay_before.get(&claim.entry).copied().unwrap_or(0);
        match self.relay.iter().find(|look| look.at_ms >= claim.at_ms) {
            Some(look) if look.stored > before => Ok(()),
            Some(_) => Err("the relay did not have it"),
            None => Err("nobody looked at the relay after the word"),
        }
    }

    fn delivered(&self, claim: &Claim) -> Result<(), &'static str> {
        let had = |at_ms: Option<&u64>| at_ms.is_some_and(|at_ms| *at_ms <= claim.at_ms);
        if !had(self.arrived.get(&claim.entry)) {
            return Err("the hospital had not opened it");
        }
        match claim.recipient.layer.as_deref() {
            // the digest is part of the entry
            None | Some("digest") => Ok(()),
            Some(layer) if had(self.layers.get(&(claim.entry.clone(), layer.into()))) => Ok(()),
            Some(_) => Err("the hospital did not have that layer"),
        }
    }

    fn acted(&self, claim: &Claim, kind: &str, missing: &'static str) -> Result<(), &'static str> {
        let recipient = &claim.recipient;
        let theirs = |entry: &&EntryInfo| {
            entry.mine
                && entry.kind == kind
                && entry.about.as_deref() == Some(&claim.entry)
                && entry.at_ms <= claim.at_ms
                && (recipient.by.is_none() || recipient.by.as_deref() == Some(&entry.person))
                && (recipient.act.is_none() || recipient.act == entry.act)
        };
        match self.hospital.iter().any(|entry| theirs(&entry)) {
            true => Ok(()),
            false => Err(missing),
        }
    }
}

/// What a word rests on, in the terms of the summary.
fn kind_of_evidence(state: &str) -> &'static str {
    match state {
        "stored" => "commit",
        "at_relay" => "relay_receipt",
        "delivered" => "device_receipt",
        _ => "person_signature",
    }
}

#[cfg(test)]
mod tests;
