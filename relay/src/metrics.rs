//! What a relay tells those who watch it: sums, in the text format of Prometheus.
//!
//! A [`Snapshot`] is gathered at each question and written out; nothing is kept here. It has no place for a
//! handle, a key, a device or a name: the only ids are those of organisations, cut to 8 hexadecimal digits.
//! Still, sums of a small relay tell when something happened, so they are served to this machine alone.

use crate::admission::{Counts, Refusal};
use aidmesh_core::machine::Holdings;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// Name of the content type of [`text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Names of classes, 0 to 4.
pub const CLASSES: [&str; 5] = ["alarm", "clinical", "text", "voice", "bulk"];

/// Why an item is not kept, by `mailbox::Refusal::code` from 1.
const ITEM_REASONS: [&str; 11] = [
    "not_in_burst",
    "no_handle_proof",
    "full",
    "device_share",
    "rate",
    "size",
    "inbox",
    "expired",
    "newer_heads",
    "malformed",
    "organisation_share",
];

/// How a relay is, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Why it is not ready, or nothing.
    pub not_ready: Option<&'static str>,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// What is kept; `None` while no machine is open.
    pub holdings: Option<Holdings>,
    /// Connections that are up.
    pub links: u32,
    /// Who was let in and refused.
    pub admission: Counts,
    /// What the transport has seen.
    pub transport: TransportCounts,
    /// Writes of the store.
    pub store: StoreCounts,
    /// Bytes that the store takes on disk.
    pub disk_bytes: u64,
}

/// What the transport has seen since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportCounts {
    /// Handshakes that failed, came too late or were too many.
    pub failed: u64,
    /// Links that a newer one of the same device replaced.
    pub replaced: u64,
    /// Links that ended because the peer broke a rule.
    pub violations: u64,
}

/// What the store did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StoreCounts {
    /// Writes that are durable.
    pub commits: u64,
    /// Writes that failed.
    pub errors: u64,
    /// Seconds since the last durable write.
    pub last_commit_age_s: Option<f64>,
    /// Seconds that the last durable write took.
    pub last_commit_took_s: Option<f64>,
}

type Labels = Vec<(&'static str, String)>;

/// The snapshot in the text format of Prometheus.
pub fn text(now: &Snapshot) -> String {
    let mut registry = Registry::with_prefix("aidmesh_relay");
    let version = [("version", env!("CARGO_PKG_VERSION").to_owned())];
    set(
        &mut registry,
        "build",
        "1, with the version of the program",
        &[(version.to_vec(), 1)],
    );
    plain(
        &mut registry,
        "ready",
        "1 if items are taken",
        u64::from(now.not_ready.is_none()),
    );
    plain(
        &mut registry,
        "uptime_seconds",
        "Time since the start",
        now.uptime_s,
    );
    plain(
        &mut registry,
        "links",
        "Connections that are up",
        now.links.into(),
    );
    plain(
        &mut registry,
        "disk_bytes",
        "Bytes that the store takes on disk",
        now.disk_bytes,
    );
    admission(&mut registry, &now.admission);
    transport(&mut registry, now.transport);
    store(&mut registry, &now.store);
    if let Some(holdings) = &now.holdings {
        kept(&mut registry, holdings);
    }
    let mut out = String::new();
    encode(&mut out, &registry).expect("a string takes any text");
    out
}

fn admission(registry: &mut Registry, counts: &Counts) {
    count(registry, "admitted", "Connections let in", counts.admitted);
    count(
        registry,
        "lease_ended",
        "Of those, with a lease that had ended",
        counts.lease_ended,
    );
    let refused = Refusal::ALL.map(|why| {
        let times = counts.refused.get(&why).copied().unwrap_or(0);
        (vec![("reason", why.label().to_owned())], times)
    });
    counts_of(registry, "refused", "Connections refused", &refused);
}

fn transport(registry: &mut Registry, counts: TransportCounts) {
    let TransportCounts {
        failed,
        replaced,
        violations,
    } = counts;
    count(registry, "handshakes_failed", "Handshakes that failed", failed);
    count(
        registry,
        "links_replaced",
        "Links replaced by a newer one of the same device",
        replaced,
    );
    count(
        registry,
        "violations",
        "Links ended because the peer broke a rule",
        violations,
    );
}

fn store(registry: &mut Registry, counts: &StoreCounts) {
    count(registry, "commits", "Writes that are durable", counts.commits);
    count(registry, "store_errors", "Writes that failed", counts.errors);
    if let Some(age_s) = counts.last_commit_age_s {
        seconds(
            registry,
            "last_commit_age",
            "Time since the last durable write",
            age_s,
        );
    }
    if let Some(took_s) = counts.last_commit_took_s {
        seconds(
            registry,
            "last_commit_duration",
            "Time that the last durable write took",
            took_s,
        );
    }
}

fn kept(registry: &mut Registry, holdings: &Holdings) {
    let usage = &holdings.usage;
    plain(registry, "items", "Items kept", usage.items);
    plain(
        registry,
        "mailboxes",
        "Mailboxes with an item or the id of one",
        usage.handles,
    );
    plain(
        registry,
        "kept_bytes",
        "Bytes that count against the room",
        usage.bytes,
    );
    plain(registry, "room_bytes", "Bytes at most", holdings.quota_bytes);
    plain(
        registry,
        "restored",
        "1 if the store was found behind what it signed: peers are told so",
        u64::from(holdings.restored),
    );
    let classes = CLASSES.iter().zip(usage.by_class);
    let classes: Vec<_> = classes
        .map(|(class, bytes)| (vec![("class", (*class).to_owned())], bytes))
        .collect();
    set(registry, "class_bytes", "Bytes kept, by class", &classes);
    let orgs = holdings.by_org.iter();
    let orgs: Vec<_> = orgs
        .map(|(org, bytes)| (vec![("organisation", org.to_string())], *bytes))
        .collect();
    set(
        registry,
        "organisation_bytes",
        "Bytes kept, by organisation",
        &orgs,
    );
    count(registry, "items_stored", "Items taken", holdings.tally.stored);
    count(
        registry,
        "chunks_again",
        "Parts that came though they were kept already",
        holdings.tally.chunks_again,
    );
    count(registry, "receipts", "Receipts signed", holdings.tally.receipts);
    let refused = ITEM_REASONS.iter().zip(&holdings.tally.refused[1..]);
    let refused: Vec<_> = refused
        .map(|(why, times)| (vec![("reason", (*why).to_owned())], *times))
        .collect();
    counts_of(registry, "items_refused", "Items refused", &refused);
}

fn plain(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge: Gauge<u64, AtomicU64> = Gauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn set(registry: &mut Registry, name: &str, help: &str, values: &[(Labels, u64)]) {
    let family: Family<Labels, Gauge<u64, AtomicU64>> = Family::default();
    for (labels, value) in values {
        family.get_or_create(labels).set(*value);
    }
    registry.register(name, help, family);
}

fn count(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter: Counter<u64> = Counter::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn counts_of(registry: &mut Registry, name: &str, help: &str, values: &[(Labels, u64)]) {
    let family: Family<Labels, Counter<u64>> = Family::default();
    for (labels, value) in values {
        family.get_or_create(labels).inc_by(*value);
    }
    registry.register(name, help, family);
}

fn seconds(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge: Gauge<f64, AtomicU64> = Gauge::default();
    gauge.set(value);
    registry.register_with_unit(name, help, Unit::Seconds, gauge);
}

#[cfg(test)]
mod tests;
