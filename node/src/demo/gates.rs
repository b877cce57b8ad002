//! What must hold, with limits, and what it means if it does not.
//!
//! Everything is decided from [`Measured`], a plain value that the story fills in; what was never measured
//! fails its gate, so a story that broke off cannot pass. Limits are those of the demo's specification for
//! a link of 128 kbit/s; the one for the whole run grows with the file and the link.

use std::time::Duration;

use serde::Serialize;

/// What the story measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// From the command to the word *stored* on the screen.
    pub send_to_stored: Option<Duration>,
    /// Claims that the evidence does not bear out, of how many.
    pub false_claims: Option<(usize, usize)>,
    /// Secrets found at the relay or on the wire.
    pub secrets_found: Option<usize>,
    /// Secrets that the control found, of how many.
    pub control: Option<(usize, usize)>,
    /// From the end of the tunnel to the first bytes on the relay's disk.
    pub tunnel_end_to_relay: Option<Duration>,
    /// Parts that the relay got a second time.
    pub parts_sent_twice: Option<u64>,
    /// The samples read from the received file are those that were sent.
    pub samples_equal: Option<bool>,
    /// The received file is the file that was sent.
    pub original_equal: Option<bool>,
    /// From the press to the word *acknowledged* in the ambulance.
    pub ack_to_shown: Option<Duration>,
    /// The whole run.
    pub whole_run: Option<Duration>,
    /// Peak memory of the three processes together.
    pub memory_bytes: Option<u64>,
    /// Length of the original.
    pub original_bytes: u64,
    /// Rate of the link.
    pub rate_bps: u64,
}

/// A gate with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// `G1`.
    pub id: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// It passes up to this.
    pub limit: f64,
    /// What was measured; absent if the story did not get there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Unit of limit and value.
    pub unit: &'static str,
    /// Verdict.
    pub pass: bool,
}

/// What a failed gate means, for people and for `aidmesh explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// `AM-DEMO-01`.
    pub code: &'static str,
    /// The gate.
    pub gate: &'static str,
    /// What is wrong.
    pub what: &'static str,
    /// What it means.
    pub means: &'static str,
}

/// One for each gate.
pub const MEANINGS: [Meaning; 8] = [
    Meaning {
        code: "AM-DEMO-01",
        gate: "G1",
        what: "the word STORED came late",
        means: "a medic would wait for the screen; disk or processor of this machine may be busy",
    },
    Meaning {
        code: "AM-DEMO-02",
        gate: "G2",
        what: "a status line said more than was true",
        means: "somebody could rely on a message that had not arrived; do not use this version",
    },
    Meaning {
        code: "AM-DEMO-03",
        gate: "G3",
        what: "readable patient data at the relay or on the link, or the search for it did not work",
        means: "the relay could read what it must not, or nothing proves that it could not",
    },
    Meaning {
        code: "AM-DEMO-04",
        gate: "G4",
        what: "the alert reached the relay late after the tunnel",
        means: "time is lost whenever a link comes back; other programs may use this machine's processor",
    },
    Meaning {
        code: "AM-DEMO-06",
        gate: "G6",
        what: "parts of the ECG file were sent twice after a cut",
        means: "a thin link would be wasted on what had arrived already",
    },
    Meaning {
        code: "AM-DEMO-07",
        gate: "G7",
        what: "the ECG at the hospital is not the one of the ambulance",
        means: "a cardiologist could judge something else than what was recorded; do not use this version",
    },
    Meaning {
        code: "AM-DEMO-08",
        gate: "G8",
        what: "the acknowledgement came back late",
        means: "the ambulance would not know in time that somebody acts",
    },
    Meaning {
        code: "AM-DEMO-10",
        gate: "G10",
        what: "the whole run took too long or too much memory",
        means: "this machine was busy, or the programs need more than they should",
    },
];

/// The meaning of a gate.
pub fn meaning(gate: &str) -> Option<&'static Meaning> {
    MEANINGS.iter().find(|meaning| meaning.gate == gate)
}

/// Megabytes that the three processes may use together at their peak.
const MEMORY_MB_MAX: f64 = 300.0;
/// What the run may take beside the transfer of the file, seconds.
const RUN_S: f64 = 45.0;
/// How much longer than at the full rate the transfer may take.
const TRANSFER_FACTOR: f64 = 1.25;

/// All gates in order. Those that are measured in two ways stand twice.
pub fn judge(measured: &Measured) -> Vec<Gate> {
    let mut gates = words(measured).to_vec();
    gates.extend(blindness(measured));
    gates.extend(transfer(measured));
    gates.extend(whole(measured));
    gates.sort_by_key(|gate| gate.id[1..].parse::<u32>().unwrap_or(u32::MAX));
    gates
}

/// G1, G2, G8: what the ambulance's screen says, and when.
fn words(measured: &Measured) -> [Gate; 3] {
    // without a claim there is no proof that claims are true
    let claims = measured.false_claims.filter(|(_, of)| *of > 0);
    let wrong = claims.map(|(wrong, _)| wrong as f64);
    let (stored, shown) = (seconds(measured.send_to_stored), seconds(measured.ack_to_shown));
    [
        gate("G1", "send to stored shown", 0.3, stored, "s"),
        gate("G2", "false claims", 0.0, wrong, "claims"),
        gate("G8", "press to acknowledgement shown", 2.0, shown, "s"),
    ]
}

/// G3.
fn blindness(measured: &Measured) -> [Gate; 2] {
    let planted = measured.control.filter(|(_, of)| *of > 0);
    let missed = planted.map(|(found, of)| of.saturating_sub(found) as f64);
    let found = measured.secrets_found.map(|found| found as f64);
    [
        gate("G3", "secrets found at relay and on wire", 0.0, found, "secrets"),
        gate("G3", "secrets that the control missed", 0.0, missed, "secrets"),
    ]
}

/// G4, G6, G7: what came over the link.
fn transfer(measured: &Measured) -> [Gate; 4] {
    let differs = |equal: Option<bool>| equal.map(|equal| if equal { 0.0 } else { 1.0 });
    let relay = seconds(measured.tunnel_end_to_relay);
    let twice = measured.parts_sent_twice.map(|parts| parts as f64);
    let (samples, original) = (differs(measured.samples_equal), differs(measured.original_equal));
    [
        gate("G4", "tunnel end to first bytes at relay", 4.0, relay, "s"),
        gate("G6", "parts sent twice after resume", 1.0, twice, "parts"),
        gate("G7", "samples that differ", 0.0, samples, "records"),
        gate("G7", "originals that differ", 0.0, original, "files"),
    ]
}

/// G10.
fn whole(measured: &Measured) -> [Gate; 2] {
    let transfer_s = measured.original_bytes as f64 * 8.0 / measured.rate_bps.max(1) as f64;
    let limit_s = RUN_S + TRANSFER_FACTOR * transfer_s;
    let megabytes = measured.memory_bytes.map(|bytes| bytes as f64 / 1e6);
    [
        gate("G10", "whole run", limit_s, seconds(measured.whole_run), "s"),
        gate(
            "G10",
            "memory of the three at their peak",
            MEMORY_MB_MAX,
            megabytes,
            "MB",
        ),
    ]
}

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| duration.as_secs_f64())
}

fn gate(id: &'static str, what: &'static str, limit: f64, value: Option<f64>, unit: &'static str) -> Gate {
    Gate {
        id,
        what,
        limit,
        value,
        unit,
        pass: value.is_some_and(|value| value <= limit),
    }
}

impl Gate {
    /// One line: `parts sent twice after resume 60 parts, limit 1 parts`.
    pub fn line(&self) -> String {
        let value = match self.value {
            Some(value) => format!("{} {}", number(value), self.unit),
            None => "was not measured".into(),
        };
        format!(
            "{} {value}, limit {} {}",
            self.what,
            number(self.limit),
            self.unit
        )
    }
}

fn number(value: f64) -> String {
    match value.fract() == 0.0 {
        true => format!("{value:.0}"),
        false => format!("{value:.1}"),
    }
}

/// The last lines of a run with a failed gate.
pub fn failure(gate: &Gate, seed: u64) -> String {
    let (what, means, code) = meaning(gate.id).map_or(("", "", ""), |meaning| {
        (meaning.what, meaning.means, meaning.code)
    });
    format!(
        "RESULT   FAILED at {}: {}.\nWhat it means: {what}; {means}.\n\
         Try: aidmesh demo --seed {seed} --keep, then aidmesh explain {code}",
        gate.id,
        gate.line()
    )
}

#[cfg(test)]
mod tests;
