//! Invented ECGs for tests, drills and demonstrations.
//!
//! A beat is a sum of Gaussian waves (after McSharry et al., IEEE TBME 50:289,
//! 2003, without its oscillator) with amplitudes per lead. Waves are given for
//! I, II and V1-V6; III, aVR, aVL and aVF follow by Einthoven's and Goldberger's
//! equations in integers, as in a monitor. Noise is added to I, II and V1-V6
//! before that: muscle (white), baseline wander and mains.
//!
//! The same arguments give the same samples on every machine: the generator uses
//! its own integer random numbers, `+ - * /` and `libm`. Every record says in
//! its text and in `about.invented` that it is invented; nothing generated can
//! pass for a patient's ECG.

mod random;

use crate::record::{About, CivilTime, EcgRecord, Lead, LeadName, Patient, Ratio, Scale};
pub(crate) use random::Random;

/// What to invent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// Sinus rhythm without ST elevation.
    Sinus,
    /// Sinus rhythm with ST elevation in II, III, aVF and depression in I, aVL.
    InferiorStemi,
}

/// Microvolts per unit of a generated record.
const LSB_UV: i64 = 5;
/// Sampling rates of ECG devices, Hz.
const RATES_HZ: std::ops::RangeInclusive<u32> = 100..=2000;
/// Lengths that fit every limit, seconds.
const SECONDS: std::ops::RangeInclusive<u32> = 1..=300;
/// Text of every generated record.
pub const INVENTED_TEXT: &str = "Invented ECG, not a patient";

/// One wave: centre after the R peak in seconds, width (standard deviation) in
/// seconds, amplitude in mV in I, II, V1..V6.
struct Wave {
    at_s: f64,
    width_s: f64,
    mv: [f64; 8],
}

/// P, Q, R, S and T of a heart in the usual position.
const BEAT: [Wave; 6] = [
    Wave {
        at_s: -0.160,
        width_s: 0.022,
        mv: [0.07, 0.13, 0.04, 0.06, 0.07, 0.07, 0.07, 0.06],
    },
    Wave {
        at_s: -0.026,
        width_s: 0.008,
        mv: [-0.05, -0.06, 0.0, 0.0, -0.02, -0.05, -0.08, -0.07],
    },
    Wave {
        at_s: 0.0,
        width_s: 0.011,
        mv: [0.55, 1.00, 0.22, 0.45, 0.85, 1.35, 1.30, 1.00],
    },
    Wave {
        at_s: 0.028,
        width_s: 0.010,
        mv: [-0.10, -0.15, -0.85, -1.15, -0.70, -0.40, -0.18, -0.06],
    },
    Wave {
        at_s: 0.265,
        width_s: 0.045,
        mv: [0.16, 0.24, -0.04, 0.28, 0.34, 0.32, 0.26, 0.20],
    },
    Wave {
        at_s: 0.305,
        width_s: 0.028,
        mv: [0.06, 0.09, -0.01, 0.10, 0.12, 0.12, 0.10, 0.08],
    },
];

/// An acute inferior injury: a plateau from the J point into the T wave. With
/// I -0.12 mV and II +0.22 mV, III is +0.34, aVF +0.28 and aVL -0.23 mV.
const INFERIOR_INJURY: [Wave; 4] = [
    Wave {
        at_s: 0.075,
        width_s: 0.022,
        mv: [-0.09, 0.16, -0.02, -0.08, -0.06, -0.03, 0.01, 0.02],
    },
    Wave {
        at_s: 0.120,
        width_s: 0.030,
        mv: [-0.09, 0.17, -0.02, -0.08, -0.06, -0.03, 0.01, 0.02],
    },
    Wave {
        at_s: 0.175,
        width_s: 0.035,
        mv: [-0.09, 0.17, -0.02, -0.08, -0.06, -0.03, 0.01, 0.02],
    },
    Wave {
        at_s: 0.235,
        width_s: 0.040,
        mv: [-0.10, 0.18, 0.0, -0.06, -0.04, -0.02, 0.01, 0.02],
    },
];

/// Invents a record of the twelve leads.
///
/// `noise_uv` is the RMS of the muscle noise in uV (0 clean, 10 a quiet patient,
/// 60 a moving ambulance); baseline wander has 6 times, mains 0.4 times that
/// amplitude. `rate_hz` is kept within 100..=2000, `seconds` within 1..=300,
/// `noise_uv` within 0..=500. The heart rate (60 to 90 per minute) and the capture
/// time (a day in 2020) follow from the seed.
#[must_use]
pub fn generate(kind: Rhythm, noise_uv: u32, seed: u64, rate_hz: u32, seconds: u32) -> EcgRecord {
    let rate_hz = rate_hz.clamp(*RATES_HZ.start(), *RATES_HZ.end());
    let seconds = seconds.clamp(*SECONDS.start(), *SECONDS.end());
    let mut random = Random::new(seed);
    let count = (rate_hz * seconds) as usize;
    let beats = beat_times(&mut random, f64::from(seconds));
    let noise_mv = f64::from(noise_uv.min(500)) / 1000.0;
    let mut measured = Vec::with_capacity(8);
    for channel in 0..8 {
        let mut row = vec![0.0; count];
        add_beats(&mut row, kind, channel, &beats, f64::from(rate_hz));
        add_noise(&mut row, &mut random, noise_mv, f64::from(rate_hz));
        measured.push(
            row.iter()
                .map(|mv| libm::round(mv * 1000.0 / LSB_UV as f64) as i32)
                .collect(),
        );
    }
    let leads = twelve(measured);
    let about = about(kind, seed, &mut random);
    EcgRecord::new(Ratio::whole(i64::from(rate_hz)), leads, about)
        .expect("twelve leads of one length within limits")
}

/// R times in seconds, from before the start to after the end. The interval
/// varies by 3 % with breathing and by 1 % at random.
fn beat_times(random: &mut Random, seconds: f64) -> Vec<f64> {
    let interval = 0.667 + 0.333 * random.unit();
    let mut times = Vec::new();
    let mut at = -interval * random.unit();
    while at < seconds + 1.0 {
        times.push(at);
        let breathing = 0.03 * libm::sin(2.0 * core::f64::consts::PI * at * 0.25);
        at += interval * (1.0 + breathing + 0.01 * random.normal().clamp(-3.0, 3.0));
    }
    times
}

fn add_beats(row: &mut [f64], kind: Rhythm, channel: usize, beats: &[f64], rate_hz: f64) {
    let injury: &[Wave] = match kind {
        Rhythm::Sinus => &[],
        Rhythm::InferiorStemi => &INFERIOR_INJURY,
    };
    for beat in beats {
        for wave in BEAT.iter().chain(injury) {
            let centre = (beat + wave.at_s) * rate_hz;
            let width = wave.width_s * rate_hz;
            let from = libm::floor(centre - 5.0 * width).max(0.0) as usize;
            let to = (libm::ceil(centre + 5.0 * width).max(0.0) as usize).min(row.len());
            for (index, value) in row.iter_mut().enumerate().take(to).skip(from) {
                let distance = (index as f64 - centre) / width;
                *value += wave.mv[channel] * libm::exp(-0.5 * distance * distance);
            }
        }
    }
}

fn add_noise(row: &mut [f64], random: &mut Random, noise_mv: f64, rate_hz: f64) {
    let turn = 2.0 * core::f64::consts::PI;
    let (slow, fast) = (turn * random.unit(), turn * random.unit());
    let wander_hz = 0.15 + 0.15 * random.unit();
    for (index, value) in row.iter_mut().enumerate() {
        let at = index as f64 / rate_hz;
        let wander = 6.0 * libm::sin(turn * wander_hz * at + slow);
        let mains = 0.4 * libm::sin(turn * 50.0 * at + fast);
        *value += noise_mv * (random.normal() + wander + mains);
    }
}

/// I, II, V1..V6 to twelve leads: III = II - I, aVR = -(I + II) / 2,
/// aVL = (I - III) / 2, aVF = (II + III) / 2, halves rounded down.
fn twelve(measured: Vec<Vec<i32>>) -> Vec<Lead> {
    let (one, two) = (measured[0].clone(), measured[1].clone());
    let limb = |derive: fn(i32, i32) -> i32| -> Vec<i32> {
        one.iter()
            .zip(&two)
            .map(|(&one, &two)| derive(one, two))
            .collect()
    };
    let derived = [
        limb(|one, two| two - one),
        limb(|one, two| (-(one + two)).div_euclid(2)),
        limb(|one, two| (2 * one - two).div_euclid(2)),
        limb(|one, two| (2 * two - one).div_euclid(2)),
    ];
    let mut rows = measured.into_iter();
    let mut ordered: Vec<Vec<i32>> = rows.by_ref().take(2).collect();
    ordered.extend(derived);
    ordered.extend(rows);
    let scale = Scale::plain(Ratio::whole(LSB_UV));
    let named = crate::record::STANDARD_12.into_iter().zip(ordered).enumerate();
    let lead = |(index, (name, samples)): (usize, (LeadName, Vec<i32>))| Lead {
        name,
        samples,
        scale,
        gap: None,
        file_channel: index as u16,
    };
    named.map(lead).collect()
}

fn about(kind: Rhythm, seed: u64, random: &mut Random) -> About {
    let what = match kind {
        Rhythm::Sinus => "sinus rhythm",
        Rhythm::InferiorStemi => "inferior ST elevation",
    };
    let day_ms = i64::from(random.below(365)) * 86_400_000 + i64::from(random.below(86_400)) * 1000;
    About {
        // From 2020-01-01.
        captured: CivilTime::from_wall_ms(1_577_836_800_000 + day_ms, None),
        device: Some("Aidmesh (invented ECG)".to_owned()),
        device_text: vec![INVENTED_TEXT.to_owned(), format!("{what}, seed {seed}")],
        filter: None,
        patient: Patient {
            name: Some("INVENTED".to_owned()),
            ..Patient::default()
        },
        invented: true,
    }
}

#[cfg(test)]
mod tests;
