//! The last object of `--json`: everything that was measured, as data.
//!
//! Fields of features that do not exist yet are absent, never null or zero. `commit` alone may be null: a
//! build outside a repository has none.

use aidmesh_netem::Profile;
use aidmesh_netem::proxy::Passed;
use serde::Serialize;

use super::claims::Judged;
use super::gates::Gate;

/// `aidmesh.demo/1`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub(super) struct Summary {
    #[serde(rename = "type")]
    pub type_: &'static str,
    pub schema: &'static str,
    pub version: &'static str,
    pub commit: Option<&'static str>,
    pub seed: u64,
    pub ok: bool,
    pub exit_code: u8,
    pub wall_ms: u64,
    pub host: Host,
    pub ecg: Ecg,
    pub link: Link,
    pub people: Vec<Person>,
    pub states: Vec<Judged>,
    pub timings_ms: Timings,
    pub bytes: Bytes,
    pub resume: Resume,
    pub truth: Truth,
    pub blind: Blind,
    pub integrity: Integrity,
    pub gates: Vec<Gate>,
    /// Where the story broke off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broke_off: Option<String>,
}

/// The machine.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub(super) struct Host {
    pub cores: usize,
    pub os: &'static str,
}

/// The recording.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub(super) struct Ecg {
    pub origin: &'static str,
    pub format: &'static str,
    pub leads: usize,
    pub rate_hz: f64,
    pub duration_ms: u64,
    pub samples: u64,
    pub original: Original,
    pub layers: Vec<Layer>,
}

/// Its files together.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub(super) struct Original {
    pub bytes: u64,
    pub blake3: String,
}

/// A layer that travelled.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub(super) struct Layer {
    pub name: String,
    pub bytes: u64,
}

/// The emulated link.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub(super) struct Link {
    pub rate_bps: u64,
    pub one_way_ms: u64,
    pub loss: f64,
    pub outages: Vec<Outage>,
    pub datagrams_sent: u64,
    pub datagrams_dropped: u64,
    pub transport: &'static str,
}

/// A time without link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub(super) struct Outage {
    pub name: &'static str,
    pub from_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_ms: Option<u64>,
}

/// Somebody in the story.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub(super) struct Person {
    pub name: String,
    pub role: String,
    pub device8: String,
    pub acted_by: &'static str,
}

/// Times, those that were reached.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub(super) struct Timings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_to_stored: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_end_to_relay: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert_to_seen: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert_to_ack: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_to_shown_in_ambulance: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_complete: Option<u64>,
}

/// Bytes through the link, headers included.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub(super) struct Bytes {
    pub uplink_total: u64,
    pub downlink_total: u64,
    pub overhead_ratio: f64,
}

/// The transfer over its cuts.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub(super) struct Resume {
    pub parts_total: u32,
    pub parts_before_cut: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts_sent_twice: Option<u64>,
}

/// Words and evidence.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub(super) struct Truth {
    pub claims: usize,
    pub false_claims: usize,
}

/// What the relay could read.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub(super) struct Blind {
    pub secrets: usize,
    pub found_on_relay_disk: usize,
    pub found_on_wire: usize,
    pub control_found: usize,
    pub bytes_scanned: u64,
    /// Names of secrets that were found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// Names of secrets that the control missed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub control_missed: Vec<String>,
}

/// Whether what arrived is what was sent.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub(super) struct Integrity {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples_equal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_equal: Option<bool>,
}

impl Link {
    /// From the model's own counts.
    pub(super) fn new(profile: &Profile, passed: &Passed, outages: Vec<Outage>) -> Link {
        let sent = |way: &aidmesh_netem::proxy::Counted| way.told.offered.datagrams;
        Link {
            rate_bps: profile.rate_bps,
            one_way_ms: profile.one_way_us / 1_000,
            loss: f64::from(profile.loss_ppm) / 1e6,
            outages,
            datagrams_sent: sent(&passed.to_target) + sent(&passed.to_client),
            datagrams_dropped: passed.to_target.dropped() + passed.to_client.dropped(),
            transport: "quic",
        }
    }
}

impl Bytes {
    /// What was handed to the link, and how much more that is than the file.
    pub(super) fn new(passed: &Passed, original_bytes: u64) -> Bytes {
        let uplink_total = passed.to_target.told.offered.bytes;
        Bytes {
            uplink_total,
            downlink_total: passed.to_client.told.offered.bytes,
            overhead_ratio: uplink_total as f64 / original_bytes.max(1) as f64,
        }
    }
}

impl Host {
    /// This machine.
    pub(super) fn here() -> Host {
        Host {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            os: std::env::consts::OS,
        }
    }
}
