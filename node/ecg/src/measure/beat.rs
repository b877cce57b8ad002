//! The median beat and its boundaries.
//!
//! Beats are cut out around R, aligned to each other, and those unlike the
//! common shape (ectopic beats, artefacts) are left out; the median over the
//! rest, sample by sample, removes noise without blurring a rare outlier into
//! the result. Boundaries come from the sum of slopes over all usable leads
//! (spatial velocity): QRS is where it is high, the PR segment just before is
//! the zero of every amplitude. At most [`limits::MEDIAN_BEATS_MAX`] beats enter.

use super::{BEATS_MIN, median, smooth};
use crate::limits;

const BEFORE_R_S: f64 = 0.400;
const AFTER_R_S: f64 = 0.600;
/// Part of the RR interval that belongs to a beat after R.
const AFTER_R_OF_RR: f64 = 0.75;
/// Where a beat's own baseline is taken, seconds before R.
const BASELINE_S: (f64, f64) = (0.100, 0.050);
/// QRS is compared within this distance of R, seconds.
const COMPARE_S: f64 = 0.080;
/// A beat is moved by at most this much to fit the others, seconds.
const SHIFT_S: f64 = 0.016;
/// Correlation with the common shape that a beat needs.
const ALIKE: f64 = 0.85;

/// Share of the greatest velocity, above the quiet before, at which QRS begins.
const ONSET_SHARE: f64 = 0.03;
/// The same for its end, above the quiet after.
const END_SHARE: f64 = 0.03;

/// Where the beats of a record are.
pub(super) struct Alignment {
    /// R peaks, moved to fit each other.
    peaks: Vec<usize>,
    before: usize,
    after: usize,
    baseline: (usize, usize),
}

/// Boundaries in samples of the median beat; R is at `Alignment::before`.
pub(super) struct Boundaries {
    pub(super) p_onset: Option<usize>,
    pub(super) qrs_onset: usize,
    pub(super) j_point: usize,
    pub(super) t_end: Option<usize>,
}

fn samples(seconds: f64, hz: f64) -> usize {
    (seconds * hz + 0.5) as usize
}

/// Chooses and aligns beats; `None` with fewer than three.
pub(super) fn align(rows: &[&[f64]], r_peaks: &[usize], hz: f64) -> Option<Alignment> {
    let count = rows.first()?.len();
    let mut intervals: Vec<f64> = r_peaks
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64)
        .collect();
    let usual = median(&mut intervals);
    let before = samples(BEFORE_R_S, hz);
    let after = samples(AFTER_R_S, hz).min((usual * AFTER_R_OF_RR) as usize);
    let reach = samples(COMPARE_S, hz);
    let shift = samples(SHIFT_S, hz);
    if after <= reach + shift {
        return None;
    }
    let fits = |peak: &&usize| **peak >= before + shift && **peak + after + shift < count;
    let whole: Vec<usize> = r_peaks.iter().filter(fits).copied().collect();
    let step = whole.len().div_ceil(limits::MEDIAN_BEATS_MAX).max(1);
    let chosen: Vec<usize> = whole.into_iter().step_by(step).collect();
    let baseline = (samples(BASELINE_S.0, hz), samples(BASELINE_S.1, hz).max(1));
    let mut alignment = Alignment {
        peaks: chosen,
        before,
        after,
        baseline,
    };
    if alignment.peaks.len() < BEATS_MIN {
        return None;
    }
    alignment.refine(rows, reach, shift);
    Some(alignment)
}

impl Alignment {
    /// Moves each beat to fit the median shape and drops those unlike it.
    fn refine(&mut self, rows: &[&[f64]], reach: usize, shift: usize) {
        let near = self.before - reach..self.before + reach;
        let shape: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| self.median(row)[near.clone()].to_vec())
            .collect();
        let fit = |peak: usize| {
            let best = (peak - shift..=peak + shift)
                .map(|at| (at, likeness(rows, &shape, at - reach)))
                .max_by(|a, b| a.1.total_cmp(&b.1));
            best.unwrap_or((peak, 0.0))
        };
        let fitted: Vec<(usize, f64)> = self.peaks.iter().map(|&peak| fit(peak)).collect();
        let alike: Vec<usize> = fitted
            .iter()
            .filter(|(_, like)| *like >= ALIKE)
            .map(|(at, _)| *at)
            .collect();
        if alike.len() >= BEATS_MIN && alike.len() * 3 >= fitted.len() {
            self.peaks = alike;
        }
    }

    /// The median beat of a lead, its value before QRS taken as 0.
    pub(super) fn median(&self, row: &[f64]) -> Vec<f64> {
        let baselines: Vec<f64> = self
            .peaks
            .iter()
            .map(|peak| {
                let part = &row[peak - self.baseline.0..peak - self.baseline.1 + 1];
                part.iter().sum::<f64>() / part.len() as f64
            })
            .collect();
        let mut column = vec![0.0; self.peaks.len()];
        let mut beat = Vec::with_capacity(self.before + self.after);
        for offset in 0..self.before + self.after {
            for ((value, peak), baseline) in column.iter_mut().zip(&self.peaks).zip(&baselines) {
                *value = row[peak - self.before + offset] - baseline;
            }
            beat.push(median(&mut column));
        }
        beat
    }
}

/// Correlation of all leads from `from` on with a shape, each lead's mean removed.
fn likeness(rows: &[&[f64]], shape: &[Vec<f64>], from: usize) -> f64 {
    let (mut both, mut one, mut other) = (0.0, 0.0, 0.0);
    for (row, shape) in rows.iter().zip(shape) {
        let part = &row[from..from + shape.len()];
        let mean = part.iter().sum::<f64>() / part.len() as f64;
        let shape_mean = shape.iter().sum::<f64>() / shape.len() as f64;
        for (value, expected) in part.iter().zip(shape) {
            let (a, b) = (value - mean, expected - shape_mean);
            both += a * b;
            one += a * a;
            other += b * b;
        }
    }
    if one > 0.0 && other > 0.0 {
        both / (one * other).sqrt()
    } else {
        0.0
    }
}

/// Spatial velocity: sum over leads of the absolute change across 8 ms.
fn velocity(beats: &[Vec<f64>], hz: f64) -> Vec<f64> {
    let half = samples(0.004, hz).max(1);
    let count = beats[0].len();
    let mut sums = vec![0.0; count];
    for beat in beats {
        for (index, sum) in sums.iter_mut().enumerate() {
            let (from, to) = (index.saturating_sub(half), (index + half).min(count - 1));
            *sum += (beat[to] - beat[from]).abs() / (to - from).max(1) as f64;
        }
    }
    smooth(&sums, samples(0.004, hz).max(1))
}

/// Finds the boundaries; `None` when there is no QRS that ends within bounds.
pub(super) fn boundaries(beats: &[Vec<f64>], alignment: &Alignment, hz: f64) -> Option<Boundaries> {
    let velocity = velocity(beats, hz);
    let r = alignment.before;
    let at = |seconds: f64| samples(seconds, hz);
    let fastest = velocity[r - at(0.060)..(r + at(0.060)).min(velocity.len())]
        .iter()
        .copied()
        .fold(0.0, f64::max);
    let quiet = quietest(&velocity[r - at(0.160)..r - at(0.030)], at(0.016).max(1));
    let quiet_after = quietest(
        &velocity[r + at(0.030)..(r + at(0.180)).min(velocity.len())],
        at(0.016).max(1),
    );
    if fastest <= 0.0 {
        return None;
    }
    let onset_limit = quiet + ONSET_SHARE * (fastest - quiet);
    let end_limit = quiet_after + END_SHARE * (fastest - quiet_after).max(0.0);
    let hold = at(0.010).max(2);
    let qrs_onset = (r - at(0.140)..r)
        .rev()
        .find(|&i| all_below(&velocity, i + 1 - hold, i + 1, onset_limit))?;
    let last = (r + at(0.200)).min(velocity.len().saturating_sub(hold));
    let j_point = (r + at(0.016)..last).find(|&i| all_below(&velocity, i, i + hold, end_limit))?;
    let zeroed = zeroed(beats, qrs_onset, hz);
    let p_onset = p_onset(&zeroed, &velocity, qrs_onset, quiet, hz);
    let t_end = t_end(&zeroed, j_point, hz).filter(|end| {
        let qt_s = (end - qrs_onset) as f64 / hz;
        (0.240..=0.620).contains(&qt_s)
    });
    Some(Boundaries {
        p_onset,
        qrs_onset,
        j_point,
        t_end,
    })
}

fn all_below(values: &[f64], from: usize, to: usize, limit: f64) -> bool {
    values[from..to].iter().all(|value| *value <= limit)
}

/// Smallest mean over `width` neighbours.
fn quietest(values: &[f64], width: usize) -> f64 {
    let means = values
        .windows(width.min(values.len()).max(1))
        .map(|w| w.iter().sum::<f64>() / w.len() as f64);
    means.fold(f64::INFINITY, f64::min)
}

/// Level of the PR segment: mean of the 14 ms before QRS onset.
fn isoelectric(beat: &[f64], qrs_onset: usize, hz: f64) -> f64 {
    let from = qrs_onset.saturating_sub(samples(0.014, hz));
    let part = &beat[from..=qrs_onset];
    part.iter().sum::<f64>() / part.len() as f64
}

/// RMS over leads of the distance from the PR segment.
fn zeroed(beats: &[Vec<f64>], qrs_onset: usize, hz: f64) -> Vec<f64> {
    let mut squares = vec![0.0; beats[0].len()];
    for beat in beats {
        let zero = isoelectric(beat, qrs_onset, hz);
        for (sum, value) in squares.iter_mut().zip(beat) {
            *sum += (value - zero) * (value - zero);
        }
    }
    let rms: Vec<f64> = squares
        .iter()
        .map(|sum| (sum / beats.len() as f64).sqrt())
        .collect();
    smooth(&rms, samples(0.012, hz).max(1))
}

/// Start of the P wave: a clear hump 40 to 200 ms before QRS, its foot found by
/// the velocity. `None` where no hump stands out.
fn p_onset(rms: &[f64], velocity: &[f64], qrs_onset: usize, quiet: f64, hz: f64) -> Option<usize> {
    let at = |seconds: f64| samples(seconds, hz);
    let from = qrs_onset.saturating_sub(at(0.240)).max(at(0.040));
    let to = qrs_onset.saturating_sub(at(0.030));
    let top = (from..to).max_by(|a, b| rms[*a].total_cmp(&rms[*b]))?;
    let foot = rms[from.saturating_sub(at(0.040))..top]
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min);
    // A hump rises at least 20 uV over its foot and does not touch the window's edge.
    if top <= from + at(0.008) || top + at(0.008) >= to || rms[top] - foot.min(rms[top]) < 20.0 {
        return None;
    }
    let rise = velocity[top.saturating_sub(at(0.060))..top]
        .iter()
        .copied()
        .fold(0.0, f64::max);
    let limit = quiet + 0.25 * (rise - quiet).max(0.0);
    let hold = at(0.012).max(2);
    let search = (at(0.020)..top.saturating_sub(at(0.012))).rev();
    let onset = search
        .take_while(|&i| i >= hold)
        .find(|&i| all_below(velocity, i + 1 - hold, i + 1, limit))?;
    let pr_s = (qrs_onset - onset) as f64 / hz;
    (0.080..=0.320).contains(&pr_s).then_some(onset)
}

/// End of T: where the tangent at the steepest fall after the T peak meets 0
/// (Lepeschkin and Surawicz, Circulation 6:378, 1952).
fn t_end(rms: &[f64], j_point: usize, hz: f64) -> Option<usize> {
    let from = j_point + samples(0.080, hz);
    if from + samples(0.080, hz) >= rms.len() {
        return None;
    }
    let peak = (from..rms.len()).max_by(|a, b| rms[*a].total_cmp(&rms[*b]))?;
    let half = samples(0.010, hz).max(1);
    let fall = |index: usize| (rms[index - half] - rms[index + half]) / (2 * half) as f64;
    let last = rms.len().checked_sub(half)?;
    let steepest =
        (peak + half..last.min(peak + samples(0.160, hz))).max_by(|a, b| fall(*a).total_cmp(&fall(*b)))?;
    let slope = fall(steepest);
    if slope <= 0.0 || rms[peak] < 30.0 {
        return None;
    }
    let end = steepest as f64 + rms[steepest] / slope;
    (end < rms.len() as f64).then_some(end as usize)
}

/// Level at J + 60 ms (mean of 8 ms) against the PR segment, uV.
pub(super) fn st_level(beat: &[f64], bounds: &Boundaries, hz: f64) -> Option<f64> {
    let at = bounds.j_point + samples(0.060, hz);
    let half = samples(0.004, hz);
    let part = beat.get(at - half..=at + half)?;
    let level = part.iter().sum::<f64>() / part.len() as f64;
    Some(level - isoelectric(beat, bounds.qrs_onset, hz))
}
