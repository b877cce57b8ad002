//! Measuring generated records whose truth is known.

use super::*;
use crate::generate::{Rhythm, generate};
use crate::record::{About, Lead, Patient, Ratio, Scale, Sex};

#[test]
fn beats_and_intervals_of_a_clean_record() {
    let measured = measure(&generate(Rhythm::Sinus, 0, 1, 500, 10));
    let intervals: Vec<usize> = measured
        .r_peaks
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    let mean = intervals.iter().sum::<usize>() as f64 / intervals.len() as f64;
    let rate = measured.heart_rate_bpm.unwrap();
    assert!((rate - 30_000.0 / mean).abs() < 3.0, "{rate}");
    assert!(measured.rr_irregularity.unwrap() < 0.06);
    // By construction: P from about -215 ms, Q from -45 ms, S to 55 ms, T to about 370 ms.
    assert!((140..=200).contains(&measured.pr_ms), "{}", measured.pr_ms);
    assert!((75..=115).contains(&measured.qrs_ms), "{}", measured.qrs_ms);
    assert!((370..=430).contains(&measured.qt_ms), "{}", measured.qt_ms);
}

#[test]
fn no_beat_is_missed_or_invented_in_noise() {
    for seed in 0..5 {
        let clean = measure(&generate(Rhythm::Sinus, 0, seed, 500, 20)).r_peaks;
        let noisy = measure(&generate(Rhythm::Sinus, 60, seed, 500, 20)).r_peaks;
        let inside = |peak: &&usize| (200..9800).contains(*peak);
        let expected: Vec<&usize> = clean.iter().filter(inside).collect();
        let found: Vec<&usize> = noisy.iter().filter(inside).collect();
        assert_eq!(found.len(), expected.len(), "seed {seed}");
        assert!(
            found.iter().zip(&expected).all(|(a, b)| a.abs_diff(**b) <= 10),
            "seed {seed}"
        );
    }
}

fn with_lead(name: LeadName, change: impl Fn(usize, i32) -> i32) -> EcgRecord {
    let record = generate(Rhythm::Sinus, 5, 4, 500, 10);
    let mut leads = record.leads().to_vec();
    let lead = leads.iter_mut().find(|lead| lead.name == name).unwrap();
    for (index, sample) in lead.samples.iter_mut().enumerate() {
        *sample = change(index, *sample);
    }
    EcgRecord::new(record.rate_hz(), leads, record.about).unwrap()
}

#[test]
fn quality_flags_name_the_bad_lead_only() {
    let flags = |record: &EcgRecord| {
        let quality = measure(record).quality;
        let named = record
            .leads()
            .iter()
            .zip(quality)
            .filter(|(_, q)| *q != Quality::default());
        named
            .map(|(lead, q)| (lead.name.clone(), (q.flat, q.saturated, q.noisy)))
            .collect::<Vec<_>>()
    };
    assert_eq!(flags(&with_lead(LeadName::V2, |_, sample| sample)), []);
    assert_eq!(
        flags(&with_lead(LeadName::V2, |_, _| 0)),
        [(LeadName::V2, (true, false, false))]
    );
    let clipped = with_lead(LeadName::V4, |_, sample| (sample * 3).min(400));
    assert_eq!(flags(&clipped), [(LeadName::V4, (false, true, false))]);
    let noisy = with_lead(LeadName::V6, |index, sample| {
        sample + if index % 2 == 0 { 20 } else { -20 }
    });
    assert_eq!(flags(&noisy), [(LeadName::V6, (false, false, true))]);
}

#[test]
fn a_flat_lead_has_no_st_level_and_meets_no_threshold() {
    let measured = measure(&with_lead(LeadName::V2, |_, _| 0));
    assert_eq!(measured.st_uv[7], None);
    assert!(measured.st_uv[8].is_some());
}

#[test]
fn records_without_beats_measure_nothing() {
    for samples in [1, 2, 10, 600, 5000] {
        for value in [0, i32::MIN, i32::MAX] {
            let scale = Scale::plain(Ratio::ONE);
            let samples = vec![value; samples];
            let lead = Lead {
                name: LeadName::II,
                samples,
                scale,
                gap: None,
                file_channel: 0,
            };
            let record = EcgRecord::new(Ratio::whole(500), vec![lead], About::default()).unwrap();
            let measured = measure(&record);
            assert_eq!(measured.heart_rate_bpm, None);
            assert_eq!((measured.pr_ms, measured.qrs_ms, measured.qt_ms), (0, 0, 0));
            assert_eq!(measured.st_text(), wording::NOT_MET);
        }
    }
}

/// Noise, steps and spikes at every rate the record allows: no panic, sane values.
#[test]
fn nonsense_at_any_rate_is_measured_without_panic() {
    let mut random = crate::generate::Random::new(11);
    for rate_hz in [50, 64, 100, 333, 1000, 8000, 32_000] {
        for shape in 0..4 {
            let value = |index: usize, noise: i32| match shape {
                0 => noise,
                1 => (index / 100 % 2) as i32 * 2000,
                2 => i32::from(index.is_multiple_of(97)) * 3000 + noise / 50,
                _ => -(index as i32),
            };
            let samples = (0..3000)
                .map(|index| value(index, random.below(2000) as i32 - 1000))
                .collect();
            let scale = Scale::plain(Ratio::ONE);
            let lead = Lead {
                name: LeadName::V2,
                samples,
                scale,
                gap: None,
                file_channel: 0,
            };
            let record = EcgRecord::new(Ratio::whole(rate_hz), vec![lead], About::default()).unwrap();
            let measured = measure(&record);
            assert!(measured.r_peaks.is_sorted() && measured.r_peaks.iter().all(|peak| *peak < 3000));
            assert!(
                measured
                    .heart_rate_bpm
                    .is_none_or(|rate| rate.is_finite() && rate > 0.0)
            );
            assert!(measured.qrs_ms <= 400 && measured.pr_ms <= 320 && measured.qt_ms <= 620);
        }
    }
}

#[test]
fn thresholds_of_the_universal_definition() {
    let man = |age| Patient {
        age_years: Some(age),
        sex: Some(Sex::Male),
        ..Patient::default()
    };
    let woman = Patient {
        sex: Some(Sex::Female),
        ..Patient::default()
    };
    let meets = |levels: &[(usize, f64)], patient: &Patient| {
        let mut st_uv = [Some(0.0); 12];
        for (lead, uv) in levels {
            st_uv[*lead] = Some(*uv);
        }
        threshold::meets(&st_uv, patient)
            .iter()
            .filter(|meets| **meets)
            .count()
    };
    // V2 and V3 by age and sex; the lowest where unknown.
    for (uv, patient, expected) in [
        (249.0, man(39), 0),
        (250.0, man(39), 2),
        (199.0, man(40), 0),
        (200.0, man(40), 2),
        (149.0, woman.clone(), 0),
        (150.0, woman.clone(), 2),
        (150.0, Patient::default(), 2),
    ] {
        assert_eq!(meets(&[(7, uv), (8, uv)], &patient), expected, "{uv} {patient:?}");
    }
    // One lead alone, leads that are not neighbours, aVR: nothing.
    assert_eq!(meets(&[(2, 500.0)], &woman), 0);
    assert_eq!(meets(&[(0, 500.0), (2, 500.0)], &woman), 0);
    assert_eq!(meets(&[(3, 500.0), (0, 500.0)], &woman), 0);
    assert_eq!(meets(&[(1, 100.0), (2, 100.0)], &woman), 2);
    assert_eq!(meets(&[(0, 100.0), (4, 100.0)], &woman), 2);
}

#[test]
fn no_sentence_reassures() {
    let every = [wording::NOT_MET.to_owned(), wording::st_text(&["V1", "V2"])];
    for text in every {
        assert!(!text.to_lowercase().contains("normal"));
        assert!(text.contains(wording::SUSPECTED) || text.contains("does not rule out"));
    }
    assert_eq!(wording::st_text(&[]), wording::NOT_MET);
}
