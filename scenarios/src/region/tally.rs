//! What a region gave, as one object (`aidmesh.region/1`) or a few lines for people.
//!
//! Shares have three decimals and stand beside their counts. Percentiles are over all ECGs, those that
//! never became readable last, so that a client does not look fast by losing the slow ones; where such a
//! one is met there is no time. Only `runtime_s` and `events_per_s` depend on the computer.

use super::{Ecg, Outcome, Size};
use crate::trace::hex;
use serde::Serialize;
use std::io::{self, Write};
use std::time::Duration;

/// What one client made of all ECGs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Client {
    /// Not the product's code.
    pub model: bool,
    /// Readable at the hospital before arrival.
    pub before_arrival: u64,
    /// All ECGs.
    pub of: u64,
    /// `before_arrival / of`.
    pub p: f64,
    /// Lower end of the 95 % interval of `p` (Wilson, J Am Stat Assoc 1927;22:209).
    pub p_low: f64,
    /// Readable within five minutes of capture.
    pub within_300_s: u64,
    /// Never readable.
    pub never: u64,
    /// Median time from capture to readable, seconds.
    pub p50_s: Option<f64>,
    /// 95th percentile.
    pub p95_s: Option<f64>,
}

/// Seconds by which one client is later than another, over all ECGs; `None` is never.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Lag {
    pub p50_s: Option<f64>,
    pub p95_s: Option<f64>,
    pub max_s: Option<f64>,
}

/// A rule that was broken.
#[derive(Clone, Debug, Serialize)]
pub struct Broken {
    /// In which district.
    pub district: u64,
    /// Which rule.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
    /// Virtual seconds into the district's run.
    pub at_s: u64,
}

/// The report of a region.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    /// `aidmesh.region/1`.
    pub schema: &'static str,
    pub seed: u64,
    pub districts: u64,
    pub ambulances: u64,
    pub hospitals: u64,
    pub relays: u64,
    pub hours: u64,
    pub missions: u64,
    pub ecgs: u64,
    pub stemi: u64,
    /// Tablets that restarted between capture and arrival.
    pub restarts: u64,
    /// Mean length of a file.
    pub file_bytes: u64,
    /// Share of the time between capture and arrival with any line.
    pub coverage: f64,
    /// Share of captures at a place with any line.
    pub coverage_at_capture: f64,
    /// The product's machines: the file complete.
    pub ours: Client,
    /// The product's machines, only those ECGs that the oracle brings there before arrival.
    pub ours_where_possible: Client,
    /// The product's machines: the entry open, and with it the digest.
    pub ours_digest: Client,
    /// How long after the oracle ours was readable.
    pub ours_behind_oracle: Lag,
    /// A model of a client of the cloud.
    pub cloud_only: Client,
    /// A model of the physical limit.
    pub oracle: Client,
    /// Refusals by relays.
    pub refused: u64,
    /// Words of delivery that were compared with the disks.
    pub deliveries_checked: u64,
    pub violations: u64,
    pub first_violation: Option<Broken>,
    /// Over the hashes of all districts in order, and all times.
    pub trace_hash: String,
    pub virtual_hours: f64,
    pub events: u64,
    pub events_per_s: u64,
    pub runtime_s: f64,
}

/// Puts districts together.
pub(super) fn report(seed: u64, size: &Size, outcomes: &[Outcome], took: Duration) -> Report {
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let ecgs: Vec<Ecg> = outcomes.iter().flat_map(|o| o.ecgs.iter().copied()).collect();
    let count = ecgs.len() as u64;
    let mut possible = ecgs.clone();
    possible.retain(|ecg| ecg.oracle_ms.is_some_and(|ms| ms < ecg.arrive_ms));
    let broken = outcomes.iter().filter_map(|outcome| {
        let violation = outcome.violation.as_ref()?;
        Some(Broken {
            district: outcome.district,
            invariant: violation.invariant,
            what: violation.what.clone(),
            at_s: violation.at_us / 1_000_000,
        })
    });
    let broken: Vec<Broken> = broken.collect();
    let events = sum(|o| o.events);
    let virtual_us = sum(|o| o.virtual_us);
    Report {
        schema: "aidmesh.region/1",
        seed,
        districts: outcomes.len() as u64,
        ambulances: sum(|o| o.units as u64),
        hospitals: outcomes.len() as u64,
        relays: outcomes.len() as u64,
        hours: size.hours,
        missions: sum(|o| o.missions),
        ecgs: count,
        stemi: sum(|o| o.stemi),
        restarts: sum(|o| o.restarts),
        file_bytes: sum(|o| o.file_bytes) / count.max(1),
        coverage: share(sum(|o| o.covered_s), sum(|o| o.carried_s)),
        coverage_at_capture: share(sum(|o| o.covered_at_capture), count),
        ours: client(&ecgs, false, |ecg| ecg.ours_ms),
        ours_where_possible: client(&possible, false, |ecg| ecg.ours_ms),
        ours_digest: client(&ecgs, false, |ecg| ecg.digest_ms),
        ours_behind_oracle: lag(&ecgs),
        cloud_only: client(&ecgs, true, |ecg| ecg.cloud_ms),
        oracle: client(&ecgs, true, |ecg| ecg.oracle_ms),
        refused: sum(|o| o.refused),
        deliveries_checked: sum(|o| o.deliveries_checked),
        violations: broken.len() as u64,
        first_violation: broken.into_iter().next(),
        trace_hash: hash(outcomes),
        virtual_hours: (virtual_us as f64 / 3.6e7).round() / 100.0,
        events,
        events_per_s: (events as f64 / took.as_secs_f64().max(0.001)) as u64,
        runtime_s: (took.as_secs_f64() * 10.0).round() / 10.0,
    }
}

fn client(ecgs: &[Ecg], model: bool, time: fn(&Ecg) -> Option<u64>) -> Client {
    let in_time = |ecg: &&Ecg| time(ecg).is_some_and(|ms| ms < ecg.arrive_ms);
    let mut times: Vec<u64> = ecgs.iter().map(|ecg| time(ecg).unwrap_or(u64::MAX)).collect();
    times.sort_unstable();
    let before_arrival = ecgs.iter().filter(in_time).count() as u64;
    let of = ecgs.len() as u64;
    Client {
        model,
        before_arrival,
        of,
        p: share(before_arrival, of),
        p_low: wilson_low(before_arrival, of),
        within_300_s: times.partition_point(|ms| *ms <= 300_000) as u64,
        never: times.iter().filter(|ms| **ms == u64::MAX).count() as u64,
        p50_s: percentile(&times, 50),
        p95_s: percentile(&times, 95),
    }
}

fn lag(ecgs: &[Ecg]) -> Lag {
    let late = |ecg: &Ecg| Some(ecg.ours_ms?.saturating_sub(ecg.oracle_ms?));
    let mut times: Vec<u64> = ecgs.iter().map(|ecg| late(ecg).unwrap_or(u64::MAX)).collect();
    times.sort_unstable();
    Lag {
        p50_s: percentile(&times, 50),
        p95_s: percentile(&times, 95),
        max_s: percentile(&times, 100),
    }
}

/// Nearest rank, in seconds with one decimal; `None` where the ECG of that rank never came.
pub(super) fn percentile(sorted_ms: &[u64], percent: usize) -> Option<f64> {
    let rank = (sorted_ms.len() * percent).div_ceil(100).max(1);
    let ms = sorted_ms.get(rank - 1).filter(|ms| **ms != u64::MAX)?;
    Some((*ms as f64 / 100.0).round() / 10.0)
}

fn share(part: u64, whole: u64) -> f64 {
    let thousandths = part as f64 * 1000.0 / whole.max(1) as f64;
    thousandths.round() / 1000.0
}

/// The lower end of Wilson's score interval at 95 %, rounded to three decimals.
pub(super) fn wilson_low(part: u64, whole: u64) -> f64 {
    const Z: f64 = 1.96;
    if whole == 0 {
        return 0.0;
    }
    let n = whole as f64;
    let p = part as f64 / n;
    let middle = p + Z * Z / (2.0 * n);
    let width = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let low = (middle - width) / (1.0 + Z * Z / n);
    (low * 1000.0).round() / 1000.0
}

fn hash(outcomes: &[Outcome]) -> String {
    let mut hasher = blake3::Hasher::new();
    for outcome in outcomes {
        hasher.update(outcome.trace_hash.as_bytes());
        for ecg in &outcome.ecgs {
            let times = [ecg.digest_ms, ecg.ours_ms, ecg.cloud_ms, ecg.oracle_ms];
            for ms in times {
                hasher.update(&ms.unwrap_or(u64::MAX).to_le_bytes());
            }
        }
    }
    hex(&hasher.finalize().as_bytes()[..16])
}

impl Report {
    /// Tells the report to people.
    pub fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} ambulances, {} hospitals and relays, {} h: {} missions, {} with an ECG of {} B",
            self.ambulances, self.hospitals, self.hours, self.missions, self.ecgs, self.file_bytes
        )?;
        let percent = |p: f64| p * 100.0;
        let time = |s: Option<f64>| s.map_or("never".to_owned(), |s| format!("{s} s"));
        writeln!(
            out,
            "any coverage: {:.1} % of the time from capture to arrival, {:.1} % of captures",
            percent(self.coverage),
            percent(self.coverage_at_capture)
        )?;
        writeln!(out, "readable at the hospital before arrival:")?;
        let rows = [
            ("ours, file complete", self.ours),
            ("ours, where possible at all", self.ours_where_possible),
            ("ours, digest", self.ours_digest),
            ("cloud-only (a model)", self.cloud_only),
            ("limit (an oracle, a model)", self.oracle),
        ];
        for (name, client) in rows {
            writeln!(
                out,
                "  {name:<27} {:>5.1} %  {:>4} of {:>4}, {:>4} in 5 min, {} never; P50 {}, P95 {}",
                percent(client.p),
                client.before_arrival,
                client.of,
                client.within_300_s,
                client.never,
                time(client.p50_s),
                time(client.p95_s)
            )?;
        }
        let lag = self.ours_behind_oracle;
        writeln!(
            out,
            "ours comes later than the limit by {} (P50), {} (P95), {} (at most)",
            time(lag.p50_s),
            time(lag.p95_s),
            time(lag.max_s)
        )?;
        writeln!(
            out,
            "{} words checked against disks, {} rules broken, trace {}, {} s",
            self.deliveries_checked, self.violations, self.trace_hash, self.runtime_s
        )
    }
}
