//! Signal quality of one lead.
//!
//! Three simple rules with fixed limits, so that a medic can check a flag by
//! eye: a lead is *flat* when it stands still for a second or hardly moves at
//! all (electrode off), *saturated* when it sticks to its own extreme far from
//! the middle (amplifier at its rail), *noisy* when the fast part of the signal
//! is large outside the QRS complexes. Baseline wander is none of these.

use super::{median, smooth};
use crate::record::Lead;

/// Flags of one lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// No signal: electrode off or lead not connected.
    pub flat: bool,
    /// Clipped at the limit of the amplifier.
    pub saturated: bool,
    /// Muscle or mains noise that may hide small waves.
    pub noisy: bool,
}

/// A constant stretch of this length is no heart, seconds.
const FLAT_S: f64 = 1.0;
/// A whole lead within this range is no heart, uV.
const FLAT_RANGE_UV: f64 = 30.0;
/// A stretch at the extreme of this length is a rail, seconds.
const RAIL_S: f64 = 0.010;
/// Distance of a rail from the lead's median, uV.
const RAIL_UV: f64 = 1000.0;
/// Width of the moving mean that noise is measured against, seconds (one period of 50 Hz mains).
const NOISE_WINDOW_S: f64 = 0.020;
/// Median distance from that mean, uV; 25 uV is a quarter of a millimetre on paper.
const NOISE_UV: f64 = 25.0;

pub(super) fn of(lead: &Lead, row: &[f64], hz: f64) -> Quality {
    let min = row.iter().copied().fold(f64::INFINITY, f64::min);
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let gaps = lead
        .samples
        .iter()
        .filter(|sample| lead.gap == Some(**sample))
        .count();
    let still = longest_run(row, |value, before| value == before) as f64;
    let flat = max - min < FLAT_RANGE_UV || still >= FLAT_S * hz || gaps * 2 > row.len();
    let centre = median(&mut row.to_vec());
    let at_rail = |rail: f64| {
        let run = longest_run(row, |value, before| value == rail && before == rail) as f64;
        run >= (RAIL_S * hz).max(3.0) && (rail - centre).abs() > RAIL_UV
    };
    let saturated = at_rail(min) || at_rail(max);
    let mean = smooth(row, (NOISE_WINDOW_S * hz) as usize);
    let mut fast: Vec<f64> = row
        .iter()
        .zip(&mean)
        .map(|(value, mean)| (value - mean).abs())
        .collect();
    let noisy = !flat && median(&mut fast) > NOISE_UV;
    Quality {
        flat,
        saturated,
        noisy,
    }
}

/// Samples in the longest stretch whose neighbours all satisfy `same`.
fn longest_run(row: &[f64], same: impl Fn(f64, f64) -> bool) -> usize {
    let (mut longest, mut run) = (0, 0);
    for pair in row.windows(2) {
        run = if same(pair[1], pair[0]) { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest + usize::from(longest > 0)
}
