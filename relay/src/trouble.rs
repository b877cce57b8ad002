//! What an operator is told when something does not work: a stable code, what happened, what it means for
//! the items kept here, what to do next.
//!
//! Texts of a code are in one table, which `explain` of the other program shows too. What happened is told
//! without keys, handles and names of people; paths of the operator's own files are told.

use serde_json::json;
use std::fmt;

/// A code with its standing texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `AM-RELAY-` and two digits.
    pub code: &'static str,
    /// What happened, in general.
    pub what: &'static str,
    /// What it means for the items kept here.
    pub means: &'static str,
    /// What to do next.
    pub next: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $what:literal, $means:literal, $next:literal;)*) => {
        $(#[doc = $what]
        pub const $name: Code = Code { code: $code, what: $what, means: $means, next: $next };)*
        /// Every code of a relay, in order.
        pub const CODES: &[Code] = &[$($name),*];
    };
}

codes! {
    NOT_RUNNING = "AM-RELAY-01", "no relay runs here",
        "Devices keep what they write until they reach a relay.",
        "Start it with: aidmesh-relay run";
    EXISTS = "AM-RELAY-02", "there is a relay in the data folder already",
        "Nothing was changed: its key and its items are as they were.",
        "Choose another folder with --data, or go on with: aidmesh-relay run";
    NOT_MADE = "AM-RELAY-03", "there is no relay in the data folder",
        "Nothing is kept here.",
        "Make one with: aidmesh-relay init --org CARD";
    KEY_FILE = "AM-RELAY-04", "the key file cannot be used",
        "Items on disk stay sealed and are not lost as long as the right key is kept.",
        "Give the file of init with --key-file, owned by this user and readable by nobody else";
    CARD = "AM-RELAY-05", "a card of an organisation is refused",
        "Nothing was changed: devices of that organisation are not let in.",
        "Ask the organisation for its card again: aidmesh org card";
    NOT_LOOPBACK = "AM-RELAY-06", "health and metrics are for this machine only",
        "Nothing was started: traffic of devices is personal data.",
        "Use a loopback address such as 127.0.0.1:9464, and a collector on this machine";
    LISTEN = "AM-RELAY-07", "the address is not free or not allowed",
        "The relay does not run; what it holds is safe on disk.",
        "See who uses the port with: ss -lunp; or choose another with --listen or --admin";
    STORE = "AM-RELAY-08", "the store cannot save",
        "Nothing new is taken and nothing is signed for; what was signed for is on disk.",
        "Make room on the disk or repair it, then start the relay again";
    FOLDER = "AM-RELAY-09", "the data folder cannot be used",
        "Nothing was changed.",
        "Check that the folder exists, that this user may write to it, and that no other relay uses it";
    VAULT = "AM-RELAY-10", "the vault does not open",
        "Items on disk stay sealed. With the right key they are there again.",
        "Give the key file of init with --key-file, or restore folder and key file from one backup";
    SETTINGS = "AM-RELAY-11", "relay.json cannot be read or written",
        "The relay does not run; what it holds is safe on disk.",
        "Correct the file that is named, or restore it from a backup";
    SYSTEM = "AM-RELAY-12", "the system refused something that a relay needs",
        "The relay does not run; what it holds is safe on disk.",
        "Look at the reason above and at the journal, then start the relay again";
    SAID = "AM-RELAY-13", "an option does not fit",
        "Nothing was changed.",
        "See: aidmesh-relay init --help";
}

/// Something that did not work, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which.
    pub code: Code,
    /// What happened, in particular.
    pub how: String,
}

impl Trouble {
    /// This code, and how it came.
    pub fn new(code: Code, how: impl fmt::Display) -> Trouble {
        let how = how.to_string();
        Trouble { code, how }
    }

    /// The same as the JSON object of an error.
    pub fn json(&self) -> serde_json::Value {
        let Code {
            code, means, next, ..
        } = self.code;
        json!({"error": {"code": code, "what": self.to_string(), "means": means, "next": next}})
    }

    /// Three lines for a person.
    pub fn lines(&self) -> String {
        let Code {
            code, means, next, ..
        } = self.code;
        format!("{code}: {self}\n  {means}\n  Next: {next}\n")
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.how.is_empty() {
            true => f.write_str(self.code.what),
            false => write!(f, "{}: {}", self.code.what, self.how),
        }
    }
}

impl std::error::Error for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbered_and_say_everything() {
        for (n, code) in (1..).zip(CODES) {
            assert_eq!(code.code, format!("AM-RELAY-{n:02}"));
            for text in [code.what, code.means, code.next] {
                assert!(!text.is_empty() && !text.ends_with(' '), "{code:?}");
            }
        }
    }

    #[test]
    fn a_person_reads_three_lines_and_a_program_one_object() {
        let trouble = Trouble::new(LISTEN, "0.0.0.0:1: permission denied");
        assert_eq!(trouble.lines().lines().count(), 3);
        assert!(
            trouble
                .lines()
                .starts_with("AM-RELAY-07: the address is not free or not allowed: 0.0.0.0:1")
        );
        let error = &trouble.json()["error"];
        assert_eq!(error["code"], "AM-RELAY-07");
        assert!(
            error["next"]
                .as_str()
                .is_some_and(|next| next.contains("--listen"))
        );
    }
}
