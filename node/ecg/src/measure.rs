//! Measurements: rate, intervals, ST level, signal quality.
//!
//! Display support beside the ECG, never instead of it. The way: per-lead
//! quality, QRS detection over all usable leads, a median beat, its boundaries,
//! the ST level 60 ms after the J point against the PR segment, and the ST
//! elevation thresholds of the 4th Universal Definition. What cannot be measured
//! is absent (`None`, or 0 ms); nothing is guessed.
//!
//! Deterministic: only `+ - * /` and comparisons on `f64`, so that a measurement
//! goes into a hashed digest. Total for every record within the limits.

mod beat;
mod qrs;
mod quality;
mod threshold;

pub use quality::Quality;

use crate::record::{EcgRecord, LeadName, STANDARD_12};
use crate::wording;

/// Name and version of the algorithm, for the audit log and the digest.
pub const ALGORITHM: &str = "aidmesh-st 1";
/// The version alone.
pub const ALGORITHM_VERSION: u8 = 1;
/// Fewer beats than this give neither a rate nor a median beat.
const BEATS_MIN: usize = 3;

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Quality of each lead, in the order of the record.
    pub quality: Vec<Quality>,
    /// Sample index of each R peak.
    pub r_peaks: Vec<usize>,
    /// Beats per minute from the median RR interval; needs three beats.
    pub heart_rate_bpm: Option<f64>,
    /// RMS of successive RR differences over the mean RR; needs four beats.
    pub rr_irregularity: Option<f64>,
    /// P onset to QRS onset, ms; 0 = not measured.
    pub pr_ms: u16,
    /// QRS onset to J point, ms; 0 = not measured.
    pub qrs_ms: u16,
    /// QRS onset to the end of T by tangent, ms; 0 = not measured.
    pub qt_ms: u16,
    /// ST level at J + 60 ms against the PR segment, uV, in the standard order.
    pub st_uv: [Option<f64>; 12],
    /// Leads that meet the thresholds together with a contiguous lead.
    pub st_elevation: [bool; 12],
}

/// Measures a record.
#[must_use]
pub fn measure(record: &EcgRecord) -> Measurement {
    let hz = record.rate_hz().to_f64();
    let rows: Vec<Vec<f64>> = record
        .leads()
        .iter()
        .map(crate::record::Lead::microvolts)
        .collect();
    let quality: Vec<Quality> = record
        .leads()
        .iter()
        .zip(&rows)
        .map(|(lead, row)| quality::of(lead, row, hz))
        .collect();
    // Every lead helps to find beats; boundaries need leads of known direction.
    let r_peaks = qrs::detect(&usable_rows(record, &rows, &quality, |_| true), hz);
    let standard = usable_rows(record, &rows, &quality, |name| name.standard_index().is_some());
    let mut measured = Measurement {
        quality,
        heart_rate_bpm: heart_rate(&r_peaks, hz),
        rr_irregularity: irregularity(&r_peaks),
        r_peaks,
        pr_ms: 0,
        qrs_ms: 0,
        qt_ms: 0,
        st_uv: [None; 12],
        st_elevation: [false; 12],
    };
    measure_beat(record, &rows, &standard, hz, &mut measured);
    measured.st_elevation = threshold::meets(&measured.st_uv, &record.about.patient);
    measured
}

impl Measurement {
    /// The sentence about ST elevation; see [`wording`].
    #[must_use]
    pub fn st_text(&self) -> String {
        st_text(&self.st_elevation)
    }

    /// Leads that meet the thresholds.
    #[must_use]
    pub fn elevated_leads(&self) -> Vec<LeadName> {
        let leads = STANDARD_12.into_iter().zip(self.st_elevation);
        leads.filter(|(_, meets)| *meets).map(|(name, _)| name).collect()
    }
}

/// The sentence for these leads of the standard order.
pub(crate) fn st_text(st_elevation: &[bool; 12]) -> String {
    let leads = STANDARD_12.iter().zip(st_elevation).filter(|(_, meets)| **meets);
    let names: Vec<String> = leads.map(|(name, _)| name.to_string()).collect();
    wording::st_text(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Leads of one kind that are neither flat nor noisy; noisy ones if there is no other.
fn usable_rows<'a>(
    record: &EcgRecord,
    rows: &'a [Vec<f64>],
    quality: &[Quality],
    kind: impl Fn(&LeadName) -> bool,
) -> Vec<&'a [f64]> {
    let leads = record.leads().iter().zip(rows).zip(quality);
    let alive = leads.filter(|((lead, _), quality)| kind(&lead.name) && !quality.flat);
    let alive: Vec<(&'a [f64], bool)> = alive.map(|((_, row), q)| (row.as_slice(), q.noisy)).collect();
    let all_noisy = alive.iter().all(|(_, noisy)| *noisy);
    alive
        .into_iter()
        .filter(|(_, noisy)| all_noisy || !noisy)
        .map(|(row, _)| row)
        .collect()
}

fn measure_beat(
    record: &EcgRecord,
    rows: &[Vec<f64>],
    usable: &[&[f64]],
    hz: f64,
    measured: &mut Measurement,
) {
    let Some(alignment) = beat::align(usable, &measured.r_peaks, hz) else {
        return;
    };
    let reference: Vec<Vec<f64>> = usable.iter().map(|row| alignment.median(row)).collect();
    let Some(bounds) = beat::boundaries(&reference, &alignment, hz) else {
        return;
    };
    let ms = |samples: usize| (samples as f64 * 1000.0 / hz + 0.5) as u16;
    measured.qrs_ms = ms(bounds.j_point - bounds.qrs_onset);
    measured.pr_ms = bounds.p_onset.map_or(0, |onset| ms(bounds.qrs_onset - onset));
    measured.qt_ms = bounds.t_end.map_or(0, |end| ms(end - bounds.qrs_onset));
    for ((lead, row), quality) in record.leads().iter().zip(rows).zip(&measured.quality) {
        if let Some(index) = lead.name.standard_index()
            && !quality.flat
        {
            measured.st_uv[index] = beat::st_level(&alignment.median(row), &bounds, hz);
        }
    }
}

fn heart_rate(r_peaks: &[usize], hz: f64) -> Option<f64> {
    if r_peaks.len() < BEATS_MIN {
        return None;
    }
    let mut intervals: Vec<f64> = r_peaks
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64)
        .collect();
    Some(60.0 * hz / median(&mut intervals))
}

fn irregularity(r_peaks: &[usize]) -> Option<f64> {
    let intervals: Vec<f64> = r_peaks
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64)
        .collect();
    if intervals.len() < BEATS_MIN {
        return None;
    }
    let mean = intervals.iter().sum::<f64>() / intervals.len() as f64;
    let squares: f64 = intervals
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) * (pair[1] - pair[0]))
        .sum();
    Some((squares / (intervals.len() - 1) as f64).sqrt() / mean)
}

/// Median, the upper one of an even count; 0 for nothing. Reorders.
fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Moving mean over `width` samples centred on each sample; at the ends over
/// the samples there are. `width` is made odd.
fn smooth(row: &[f64], width: usize) -> Vec<f64> {
    let half = width / 2;
    let mut sums = Vec::with_capacity(row.len() + 1);
    let mut sum = 0.0;
    sums.push(sum);
    for value in row {
        sum += value;
        sums.push(sum);
    }
    let mean = |index: usize| {
        let (from, to) = (index.saturating_sub(half), (index + half + 1).min(row.len()));
        (sums[to] - sums[from]) / (to - from) as f64
    };
    (0..row.len()).map(mean).collect()
}

#[cfg(test)]
mod tests;
