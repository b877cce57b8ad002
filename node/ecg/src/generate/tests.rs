//! Generated ECGs are the same everywhere and hold what they promise.

use super::*;
use crate::measure::measure;

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// These hashes must be the same on every machine; a change of the generator
/// changes them, and with them every fixture made by it.
#[test]
fn golden_hashes() {
    let sinus = generate(Rhythm::Sinus, 10, 1, 500, 10);
    let inferior = generate(Rhythm::InferiorStemi, 40, 2, 250, 12);
    assert_eq!(
        hex(sinus.content_hash()),
        "3e630a9fbaeb855e82b7a842c10b243fd415faf7b336267cb68cb0458e99cccf"
    );
    assert_eq!(
        hex(inferior.content_hash()),
        "bd5efb1836d930842e218898d216b01a58e25cfef6de5402f592450e7150f036"
    );
}

#[test]
fn inferior_elevation_is_found_and_sinus_rhythm_is_not() {
    for seed in 0..8 {
        for (noise_uv, rate_hz) in [(10, 500), (20, 250)] {
            let inferior = measure(&generate(Rhythm::InferiorStemi, noise_uv, seed, rate_hz, 10));
            let leads = [LeadName::II, LeadName::III, LeadName::AVF];
            assert_eq!(
                inferior.elevated_leads(),
                leads,
                "seed {seed}, {noise_uv} uV, {rate_hz} Hz"
            );
            let sinus = measure(&generate(Rhythm::Sinus, noise_uv, seed, rate_hz, 10));
            assert_eq!(
                sinus.elevated_leads(),
                [],
                "seed {seed}, {noise_uv} uV, {rate_hz} Hz"
            );
        }
    }
}

#[test]
fn limb_leads_follow_einthoven() {
    let record = generate(Rhythm::Sinus, 30, 3, 500, 5);
    let row = |name| &record.lead(&name).unwrap().samples;
    let leads = row(LeadName::I)
        .iter()
        .zip(row(LeadName::II))
        .zip(row(LeadName::III));
    assert!(leads.clone().all(|((one, two), three)| two - one == *three));
    assert!(
        row(LeadName::I).iter().any(|sample| *sample > 80),
        "a QRS of 0.4 mV"
    );
}

#[test]
fn every_record_says_that_it_is_invented() {
    let record = generate(Rhythm::Sinus, 0, 9, 500, 1);
    assert!(record.about.invented);
    assert_eq!(record.about.device_text[0], INVENTED_TEXT);
    assert_eq!(record.about.patient.name.as_deref(), Some("INVENTED"));
}

#[test]
fn arguments_beyond_the_limits_are_brought_within() {
    let record = generate(Rhythm::Sinus, u32::MAX, 0, 0, 0);
    assert_eq!(
        (record.samples_per_lead(), record.rate_hz()),
        (100, Ratio::whole(100))
    );
}
