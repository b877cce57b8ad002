//! What was written is what is read, in every format.

use aidmesh_ecg::digest::{Digest, decode, encode};
use aidmesh_ecg::generate::{INVENTED_TEXT, Rhythm, generate};
use aidmesh_ecg::{
    About, CivilTime, EcgRecord, Format, LeadName, NamedFile, Ratio, Scale, Sex, companions, originals_hash,
};

use super::fixtures::{Files, dicom, dicom_implicit, import_files, small, wfdb16, wfdb212};

#[test]
fn a_generated_ecg_written_as_dicom_is_imported_exactly() {
    for (kind, rate_hz, seconds) in [(Rhythm::Sinus, 500, 10), (Rhythm::InferiorStemi, 1000, 12)] {
        let record = generate(kind, 10, 3, rate_hz, seconds);
        for files in [dicom(&record), dicom_implicit(&record)] {
            let imported = import_files(&files).unwrap();
            assert_eq!(imported.record, record);
            assert_eq!(imported.format, Format::Dicom);
            assert_eq!(imported.warnings, []);
            assert!(imported.record.about.invented);
            assert_eq!(imported.record.about.device_text[0], INVENTED_TEXT);
        }
    }
}

/// Scales with a baseline, a gap, other leads, and everything in `About`.
#[test]
fn dicom_keeps_scales_gaps_names_and_patient() {
    let base = small();
    let mut leads = base.leads()[..3].to_vec();
    leads[2].name = LeadName::Other("vx".to_owned());
    for lead in &mut leads {
        let lsb_uv = Ratio::parse_decimal("1.25").unwrap();
        lead.scale = Scale {
            zero: 0,
            lsb_uv,
            offset_uv: Ratio::parse_decimal("-0.5").unwrap(),
        };
        lead.gap = Some(-32768);
    }
    let about = About {
        captured: CivilTime::new((2021, 2, 28), 86_399_999, Some(-330)),
        device: Some("LIFEPAK 15".to_owned()),
        device_text: vec!["*** ACUTE MI SUSPECTED ***".to_owned()],
        patient: aidmesh_ecg::Patient {
            name: Some("M\u{fc}ller^Zo\u{eb}".to_owned()),
            id: Some("4711".to_owned()),
            age_years: Some(58),
            sex: Some(Sex::Female),
        },
        ..About::default()
    };
    let record = EcgRecord::new(Ratio::parse_decimal("257.5").unwrap(), leads, about).unwrap();
    for files in [dicom(&record), dicom_implicit(&record)] {
        assert_eq!(import_files(&files).unwrap().record, record);
    }
}

/// A WFDB baseline becomes a DICOM baseline: other numbers, the same microvolts.
#[test]
fn a_zero_shift_survives_as_the_same_microvolts() {
    let base = small();
    let mut leads = base.leads().to_vec();
    for lead in &mut leads {
        lead.scale.zero = 1024;
    }
    let record = EcgRecord::new(base.rate_hz(), leads, About::default()).unwrap();
    let back = import_files(&dicom(&record)).unwrap().record;
    for (before, after) in record.leads().iter().zip(back.leads()) {
        assert_eq!(before.samples, after.samples);
        assert_eq!(before.microvolts(), after.microvolts());
    }
}

#[test]
fn wfdb_16_and_16_with_offset() {
    let record = small();
    for skip in [0, 24] {
        let files = wfdb16(&record, skip);
        let imported = import_files(&files).unwrap();
        assert_eq!(imported.warnings, [], "skip {skip}");
        assert_eq!(imported.format, Format::Wfdb);
        for (before, after) in record.leads().iter().zip(imported.record.leads()) {
            assert_eq!((&before.samples, &before.name), (&after.samples, &after.name));
            assert_eq!(after.scale.lsb_uv, Ratio::whole(5));
        }
        let about = imported.record.about;
        assert_eq!(
            (about.patient.age_years, about.patient.sex),
            (Some(58), Some(Sex::Male))
        );
        let captured = about.captured.unwrap();
        assert_eq!(
            (captured.date(), captured.time()),
            ((2020, 2, 3), (10, 11, 12, 500))
        );
    }
}

#[test]
fn wfdb_212_with_even_and_odd_counts_of_leads_and_samples() {
    let record = generate(Rhythm::Sinus, 300, 8, 101, 1);
    for leads in [1, 2, 3, 12] {
        let part = record.leads()[..leads].to_vec();
        let part = EcgRecord::new(record.rate_hz(), part, About::default()).unwrap();
        let (files, rows) = wfdb212(&part);
        let imported = import_files(&files).unwrap().record;
        let found: Vec<Vec<i32>> = imported.leads().iter().map(|lead| lead.samples.clone()).collect();
        assert_eq!(found, rows, "{leads} leads");
    }
}

#[test]
fn the_order_of_files_does_not_matter_and_their_content_does() {
    let files = wfdb16(&small(), 0);
    let turned: Files = files.iter().rev().cloned().collect();
    let (one, other) = (import_files(&files).unwrap(), import_files(&turned).unwrap());
    assert_eq!(one.originals_hash, other.originals_hash);
    assert_eq!(one.originals, other.originals);
    let named: Vec<NamedFile<'_>> = files
        .iter()
        .map(|(name, bytes)| NamedFile { name, bytes })
        .collect();
    assert_eq!(one.originals_hash, originals_hash(&named));
    let mut commented = files.clone();
    commented[0].1.extend(b"# one more\n");
    assert_ne!(
        import_files(&commented).unwrap().originals_hash,
        one.originals_hash
    );
    // A file that the header does not name is not part of the original.
    let mut with_other = files;
    with_other.push(("notes.txt".to_owned(), b"hello".to_vec()));
    assert_eq!(
        import_files(&with_other).unwrap().originals_hash,
        one.originals_hash
    );
}

#[test]
fn a_header_names_its_companions() {
    let files = wfdb16(&small(), 0);
    assert_eq!(companions(&files[0].1).unwrap(), ["small.dat"]);
    assert_eq!(companions(&files[1].1).unwrap(), [] as [String; 0]);
    assert_eq!(companions(&dicom(&small())[0].1).unwrap(), [] as [String; 0]);
}

#[test]
fn the_digest_of_an_import_carries_the_hash_of_its_originals() {
    let imported = import_files(&dicom(&generate(Rhythm::InferiorStemi, 10, 3, 500, 10))).unwrap();
    let digest = Digest::of(&imported);
    assert_eq!(digest.originals, imported.originals_hash[..8]);
    assert_eq!(decode(&encode(&digest)).unwrap(), digest);
    assert_eq!(
        digest.st_text(),
        "meets ST-elevation thresholds in II, III, aVF; suspected, not a diagnosis"
    );
}
