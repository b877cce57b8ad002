//! QRS detection over all usable leads.
//!
//! After Pan and Tompkins (IEEE TBME 32:230, 1985) with these changes: the
//! energies of all leads are added after each was scaled by its own typical QRS
//! (so one large lead does not rule), the level of a QRS is known from the whole
//! record beforehand, and R is the common extreme of the leads. Refractory time
//! 240 ms, T wave test to 360 ms, search back after 1.66 mean intervals.

use super::{median, smooth};

const LOW_PASS_S: f64 = 0.020;
const HIGH_PASS_S: f64 = 0.140;
const SLOPE_S: f64 = 0.010;
const ENERGY_S: f64 = 0.090;
/// A window of this length holds a beat at 30 per minute.
const LEVEL_WINDOW_S: f64 = 2.0;
const REFRACTORY_S: f64 = 0.240;
const T_WAVE_S: f64 = 0.360;
/// Share of the local level that a QRS must reach.
const THRESHOLD: f64 = 0.35;
const SEARCH_BACK_THRESHOLD: f64 = 0.18;
const SEARCH_BACK_INTERVALS: f64 = 1.66;
/// R lies this close to the peak of the energy, seconds.
const R_WINDOW_S: f64 = 0.070;

/// Sample indices of R peaks, ascending.
pub(super) fn detect(rows: &[&[f64]], hz: f64) -> Vec<usize> {
    let Some(count) = rows.first().map(|row| row.len()) else {
        return Vec::new();
    };
    let mut energy = vec![0.0; count];
    let mut height = vec![0.0; count];
    for row in rows {
        add_lead(row, hz, &mut energy, &mut height);
    }
    let energy = smooth(&energy, samples(ENERGY_S, hz));
    let candidates = local_maxima(&energy, samples(0.100, hz));
    let level = typical_maximum(&energy, hz);
    if level <= 0.0 {
        return Vec::new();
    }
    let mut found = select(&energy, &candidates, level, hz);
    search_back(&mut found, &energy, &candidates, level, hz);
    let window = samples(R_WINDOW_S, hz);
    let mut peaks: Vec<usize> = found.into_iter().map(|at| highest(&height, at, window)).collect();
    peaks.dedup();
    peaks
}

fn samples(seconds: f64, hz: f64) -> usize {
    ((seconds * hz + 0.5) as usize).max(1)
}

/// Adds the slope and the height of one lead, each in units of its typical QRS.
fn add_lead(row: &[f64], hz: f64, energy: &mut [f64], height: &mut [f64]) {
    let low = smooth(row, samples(LOW_PASS_S, hz));
    let trend = smooth(&low, samples(HIGH_PASS_S, hz));
    let band: Vec<f64> = low.iter().zip(&trend).map(|(low, trend)| low - trend).collect();
    let step = samples(SLOPE_S, hz);
    let at = |index: usize| band[index.min(band.len() - 1)];
    let slope: Vec<f64> = (0..band.len())
        .map(|index| (at(index + step) - at(index.saturating_sub(step))).abs())
        .collect();
    let size: Vec<f64> = band.iter().map(|value| value.abs()).collect();
    for (values, sums) in [(slope, energy), (size, height)] {
        let typical = typical_maximum(&values, hz);
        if typical > 0.0 {
            for (sum, value) in sums.iter_mut().zip(values) {
                // An artefact counts at most four times a QRS.
                *sum += (value / typical).min(4.0);
            }
        }
    }
}

/// Median over windows of the largest value in each.
fn typical_maximum(values: &[f64], hz: f64) -> f64 {
    let windows = values.chunks(samples(LEVEL_WINDOW_S, hz));
    let mut maxima: Vec<f64> = windows
        .map(|window| window.iter().copied().fold(0.0, f64::max))
        .collect();
    median(&mut maxima)
}

/// Indices that are the largest within `reach` on both sides.
fn local_maxima(values: &[f64], reach: usize) -> Vec<usize> {
    let mut maxima = Vec::new();
    let mut index = 0;
    while index < values.len() {
        // No maximum, told without a scan; keeps falling signals linear.
        if index > 0 && values[index - 1] >= values[index] {
            index += 1;
            continue;
        }
        let end = (index + reach + 1).min(values.len());
        let mut best = index;
        for other in index..end {
            if values[other] > values[best] {
                best = other;
            }
        }
        if best == index {
            let from = index.saturating_sub(reach);
            if values[from..index].iter().all(|value| *value < values[index]) {
                maxima.push(index);
            }
            index += 1;
        } else {
            index = best;
        }
    }
    maxima
}

fn select(energy: &[f64], candidates: &[usize], level: f64, hz: f64) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    let mut local = level;
    for &at in candidates {
        let peak = energy[at];
        if peak < THRESHOLD * local {
            continue;
        }
        if let Some(&before) = found.last() {
            let apart = (at - before) as f64 / hz;
            let t_wave = apart < T_WAVE_S && peak < 0.5 * energy[before];
            if t_wave || (apart < REFRACTORY_S && peak <= energy[before]) {
                continue;
            }
            if apart < REFRACTORY_S {
                found.pop();
            }
        }
        found.push(at);
        local = (0.875 * local + 0.125 * peak).clamp(0.5 * level, 2.0 * level);
    }
    found
}

/// Looks again, with a lower threshold, where a beat seems to be missing.
fn search_back(found: &mut Vec<usize>, energy: &[f64], candidates: &[usize], level: f64, hz: f64) {
    let mut intervals: Vec<f64> = found.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    let usual = median(&mut intervals);
    if usual <= 0.0 {
        return;
    }
    let mut added = Vec::new();
    for pair in found.windows(2) {
        if (pair[1] - pair[0]) as f64 <= SEARCH_BACK_INTERVALS * usual {
            continue;
        }
        let near = (T_WAVE_S * hz) as usize;
        let first = candidates.partition_point(|at| *at <= pair[0] + near);
        let between = candidates[first..].iter().take_while(|at| **at + near < pair[1]);
        let best = between.max_by(|a, b| energy[**a].total_cmp(&energy[**b]));
        added.extend(
            best.copied()
                .filter(|at| energy[*at] >= SEARCH_BACK_THRESHOLD * level),
        );
    }
    found.extend(added);
    found.sort_unstable();
}

fn highest(values: &[f64], at: usize, window: usize) -> usize {
    let (from, to) = (at.saturating_sub(window), (at + window + 1).min(values.len()));
    let best = (from..to).max_by(|a, b| values[*a].total_cmp(&values[*b]));
    best.unwrap_or(at)
}
