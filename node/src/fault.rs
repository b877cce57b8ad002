//! Every stable code with its three sentences, once: what happened, what it means for the patient's data,
//! what to do next.
//!
//! Command line, local API and demo build a [`Fault`] by its code and add what is particular; `aidmesh
//! explain CODE` shows the same table. A code keeps its meaning for ever: texts may become clearer, numbers
//! are never used again. The exit code of the command line hangs on the code too, so that a script and a
//! person learn the same.
//!
//! Codes of a relay stand in the table of `aidmesh-relay` and are explained here as well.
//!
//! What happened in particular may name files of this device's user. It never holds payload, keys or
//! passphrases.

mod causes;
mod table;

use crate::api::types::Fault;
use std::fmt::Display;

pub use table::TABLE;

/// A code and its sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// `AM-`, a family and two digits.
    pub code: &'static str,
    /// What happened; no full stop, since something particular may follow.
    pub what: &'static str,
    /// What it means for the patient's data.
    pub means: &'static str,
    /// What to do next.
    pub next: &'static str,
    /// How the command line ends.
    pub exit: Exit,
}

/// How a program of the command line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Fine = 0,
    /// Not done.
    Failed = 1,
    /// What was asked makes no sense as it stands.
    Usage = 2,
    /// Stored here, but the state that was waited for did not come in time.
    Queued = 3,
    /// Understood, and not allowed.
    Refused = 4,
    /// Ctrl-C: 128 and SIGINT.
    Interrupted = 130,
}

/// The sentences of a code, if there is one. Case does not matter.
pub fn known(code: &str) -> Option<Known> {
    all().find(|known| known.code.eq_ignore_ascii_case(code))
}

/// Every code, those of a relay last.
pub fn all() -> impl Iterator<Item = Known> {
    let of_relays = aidmesh_relay::trouble::CODES.iter().map(|code| Known {
        code: code.code,
        what: code.what,
        means: code.means,
        next: code.next,
        exit: Exit::Failed,
    });
    TABLE.iter().copied().chain(of_relays)
}

/// The fault of this code, with nothing particular to say.
pub fn of(code: &'static str) -> Fault {
    let known = known(code).expect("codes in the program stand in the table");
    Fault {
        code: known.code.into(),
        what: known.what.into(),
        means: known.means.into(),
        next: known.next.into(),
    }
}

/// The fault of this code, and what happened in particular.
pub fn with(code: &'static str, how: impl Display) -> Fault {
    let (mut fault, how) = (of(code), how.to_string());
    fault.what = match how.starts_with(&fault.what) {
        // the cause has the same words; nobody needs them twice
        true => how,
        false => format!("{}: {how}", fault.what),
    };
    fault
}

impl Fault {
    /// How the command line ends with it. A code of a newer node is a failure.
    pub fn exit(&self) -> Exit {
        known(&self.code).map_or(Exit::Failed, |known| known.exit)
    }

    /// One line: code, what happened, what to do next.
    pub fn line(&self) -> String {
        let stop = if self.what.ends_with(['.', '?', '!']) {
            ""
        } else {
            "."
        };
        format!("{}: {}{stop} {}", self.code, self.what, self.next)
    }
}

#[cfg(test)]
mod tests;
