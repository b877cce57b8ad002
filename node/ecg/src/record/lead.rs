//! Lead names.
//!
//! Files spell the same lead in many ways (`avr`, `aVR`, `Lead aVR`, `MDC_ECG_LEAD_AVR`).
//! The twelve standard leads get one spelling; any other name (Frank `vx`, the
//! modified `MLII`) is kept as the file has it, because a lead that is only
//! *like* lead II must not be measured or drawn as lead II.

use std::fmt;

use crate::limits;

/// A lead.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum LeadName {
    I,
    II,
    III,
    AVR,
    AVL,
    AVF,
    V1,
    V2,
    V3,
    V4,
    V5,
    V6,
    /// Any other lead, spelled as in the file.
    Other(String),
}

/// The standard leads in the standard order.
pub const STANDARD_12: [LeadName; 12] = [
    LeadName::I,
    LeadName::II,
    LeadName::III,
    LeadName::AVR,
    LeadName::AVL,
    LeadName::AVF,
    LeadName::V1,
    LeadName::V2,
    LeadName::V3,
    LeadName::V4,
    LeadName::V5,
    LeadName::V6,
];

const SPELLING: [&str; 12] = [
    "I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6",
];

impl LeadName {
    /// Recognises a name; leading `Lead`, `ECG` and remarks in parentheses are
    /// ignored. Case is ignored. Never fails: what is not standard is `Other`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let kept: String = text
            .trim()
            .chars()
            .filter(|c| !c.is_control())
            .take(limits::TEXT_CHARS_MAX)
            .collect();
        let bare = kept.split('(').next().unwrap_or("").trim();
        let upper = bare.to_ascii_uppercase();
        let mut core = upper.as_str();
        for prefix in ["MDC_ECG_LEAD_", "ECG ", "LEAD "] {
            core = core.strip_prefix(prefix).unwrap_or(core).trim();
        }
        match SPELLING.iter().position(|name| name.eq_ignore_ascii_case(core)) {
            Some(index) => STANDARD_12[index].clone(),
            None => Self::Other(kept),
        }
    }

    /// Position in the standard order, 0..12.
    #[must_use]
    pub fn standard_index(&self) -> Option<usize> {
        STANDARD_12.iter().position(|name| name == self)
    }
}

impl fmt::Display for LeadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.standard_index()) {
            (Self::Other(name), _) => f.write_str(name),
            (_, index) => f.write_str(SPELLING[index.unwrap_or(0)]),
        }
    }
}
