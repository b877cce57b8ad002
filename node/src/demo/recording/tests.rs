//! The ECG of the story is a real file that took the way of every recording.

use std::path::Path;

use super::{AGE_MS, File, Recording, RecordingError};

const NOW_MS: u64 = 1_790_000_000_000;

#[test]
fn an_invented_ecg_is_a_file_of_its_seed() {
    let one = Recording::invented(7, NOW_MS).unwrap();
    assert_eq!(one.files, Recording::invented(7, NOW_MS).unwrap().files);
    assert_ne!(one.files, Recording::invented(8, NOW_MS).unwrap().files);
    assert!(one.imported.record.about.invented);
    assert_eq!(one.recorded(NOW_MS), format!("recorded {} s ago", AGE_MS / 1_000));
    assert_eq!(one.source(), "monitor file");
    let ecg = one.ecg();
    assert_eq!(
        (ecg.origin, ecg.format, ecg.leads, ecg.duration_ms),
        ("generated", "dicom", 12, 10_000)
    );
    assert_eq!(ecg.samples, 60_000);
    assert_eq!(ecg.original.bytes, one.bytes());
}

#[test]
fn what_arrives_is_compared_byte_by_byte_and_sample_by_sample() {
    let sent = Recording::invented(7, NOW_MS).unwrap();
    assert!(sent.same_files(&sent.files) && sent.same_samples(&sent.files));
    let mut flipped = sent.files.clone();
    let last = flipped[0].bytes.len() - 1;
    flipped[0].bytes[last] ^= 1;
    assert!(!sent.same_files(&flipped) && !sent.same_samples(&flipped));
    assert!(!sent.same_files(&[]) && !sent.same_samples(&[]));
    let renamed = [File {
        name: "x.dcm".into(),
        bytes: sent.files[0].bytes.clone(),
    }];
    assert!(!sent.same_files(&renamed) && sent.same_samples(&renamed));
}

/// A WFDB record of two seconds: header and 16-bit signals of 12 leads.
fn write_wfdb(folder: &Path) {
    let leads = [
        "I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6",
    ];
    let mut header = "r1 12 100 200\n".to_string();
    for lead in leads {
        header.push_str(&format!("r1.dat 16 200 16 0 0 0 0 {lead}\n"));
    }
    std::fs::write(folder.join("r1.hea"), header).unwrap();
    let samples = (0..12 * 200u32).flat_map(|n| ((n * 37 % 400) as i16).to_le_bytes());
    std::fs::write(folder.join("r1.dat"), samples.collect::<Vec<u8>>()).unwrap();
}

#[test]
fn a_record_of_two_files_is_found_by_any_of_its_names() {
    let folder = tempfile::tempdir().unwrap();
    write_wfdb(folder.path());
    for name in ["r1", "r1.hea", "r1.dat"] {
        let recording = Recording::from_file(&folder.path().join(name)).unwrap();
        let names: Vec<_> = recording.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["r1.hea", "r1.dat"], "{name}");
        assert_eq!(recording.ecg().origin, "file");
        assert_eq!(recording.recorded(NOW_MS), "time of recording unknown");
        assert_eq!(recording.source(), "r1.hea");
        let mut arrived = recording.files.clone();
        arrived.reverse();
        assert!(recording.same_files(&arrived) && recording.same_samples(&arrived));
    }
}

#[test]
fn what_is_no_ecg_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    std::fs::write(&path, "dear colleague").unwrap();
    assert!(matches!(
        Recording::from_file(&path),
        Err(RecordingError::Import { .. })
    ));
    let missing = Recording::from_file(&folder.path().join("none")).unwrap_err();
    assert!(missing.to_string().contains("none"));
}
