//! Real recordings from `../shared/data`, never part of the repository.
//!
//! Absent recordings are said so and skipped, unless `AIDMESH_REQUIRE` contains
//! `recordings`.

use std::path::{Path, PathBuf};

use aidmesh_ecg::{Imported, LeadName, Ratio, STANDARD_12, Sex, companions, measure};

use super::fixtures::{Files, import_files};

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var("AIDMESH_REQUIRE").unwrap_or_default();
    assert!(
        !required.contains("recordings"),
        "recordings are required, {} is absent",
        folder.display()
    );
    println!("skipped: no real recordings");
    None
}

fn load(path: &Path) -> Imported {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut files: Files = vec![(name(path), std::fs::read(path).unwrap())];
    for companion in companions(&files[0].1).unwrap() {
        let bytes = std::fs::read(path.with_file_name(&companion)).unwrap();
        files.push((companion, bytes));
    }
    import_files(&files).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn headers(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "hea"))
        .collect();
    paths.sort();
    paths
}

fn names(imported: &Imported) -> Vec<String> {
    imported
        .record
        .leads()
        .iter()
        .map(|lead| lead.name.to_string())
        .collect()
}

#[test]
fn mit_bih() {
    let Some(folder) = folder() else { return };
    let imported = load(&folder.join("mitdb/100.hea"));
    let record = &imported.record;
    assert_eq!(names(&imported), ["V5", "MLII"]);
    assert_eq!(
        (record.samples_per_lead(), record.rate_hz()),
        (650_000, Ratio::whole(360))
    );
    let mlii = record.lead(&LeadName::Other("MLII".to_owned())).unwrap();
    assert_eq!(
        (mlii.samples[0], mlii.scale.zero, mlii.file_channel),
        (995, 1024, 0)
    );
    assert_eq!(mlii.scale.lsb_uv, Ratio::whole(5));
    assert_eq!(imported.warnings, []);
    assert_eq!(
        (record.about.patient.age_years, record.about.patient.sex),
        (Some(69), Some(Sex::Male))
    );
    // 2273 beats are annotated.
    let beats = measure(record).r_peaks.len();
    assert!((2272..=2274).contains(&beats), "{beats}");
}

#[test]
fn ptb() {
    let Some(folder) = folder() else { return };
    let imported = load(&folder.join("ptbdb/s0010_re.hea"));
    assert_eq!(names(&imported)[..12], STANDARD_12.map(|name| name.to_string()));
    assert_eq!(names(&imported)[12..], ["vx", "vy", "vz"]);
    assert_eq!(imported.originals.len(), 3);
    assert_eq!(imported.warnings, []);
    assert_eq!(imported.record.samples_per_lead(), 38_400);
    assert_eq!(imported.record.leads()[0].scale.lsb_uv, Ratio::new(1, 2).unwrap());
    let measured = measure(&imported.record);
    assert!(
        measured
            .quality
            .iter()
            .all(|quality| *quality == aidmesh_ecg::Quality::default())
    );
}

/// Checksum and first sample of every lead match the headers: no warning.
#[test]
fn cinc_2021() {
    let Some(folder) = folder() else { return };
    let paths = headers(&folder.join("cinc2021"));
    assert_eq!(paths.len(), 12);
    for path in paths {
        let imported = load(&path);
        assert_eq!(
            names(&imported),
            STANDARD_12.map(|name| name.to_string()),
            "{}",
            path.display()
        );
        assert_eq!(imported.record.samples_per_lead(), 5000);
        assert_eq!(imported.warnings, [], "{}", path.display());
        let measured = measure(&imported.record);
        let flat = imported
            .record
            .leads()
            .iter()
            .zip(&measured.quality)
            .filter(|(_, quality)| quality.flat);
        let flat: Vec<String> = flat.map(|(lead, _)| lead.name.to_string()).collect();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let expected: &[&str] = if ["JS20004", "JS20008"].contains(&name) {
            &["V2", "V4", "V6"]
        } else {
            &[]
        };
        assert_eq!(flat, expected, "{name}");
        assert!(
            measured
                .heart_rate_bpm
                .is_some_and(|rate| (40.0..180.0).contains(&rate)),
            "{name}"
        );
    }
}

#[test]
fn cpsc_2021() {
    let Some(folder) = folder() else { return };
    let paths = headers(&folder.join("cpsc2021"));
    assert_eq!(paths.len(), 3);
    for path in paths {
        let imported = load(&path);
        assert_eq!(names(&imported), ["I", "II"]);
        assert_eq!(imported.record.rate_hz(), Ratio::whole(200));
        assert_eq!(imported.warnings, [], "{}", path.display());
    }
}

/// The device's own measurements stand in the file: RR 982 ms, PR 161, QRS 75, QT 368.
#[test]
fn dicom() {
    let Some(folder) = folder() else { return };
    let imported = load(&folder.join("dicom/waveform_ecg.dcm"));
    let record = &imported.record;
    assert_eq!(names(&imported), STANDARD_12.map(|name| name.to_string()));
    assert_eq!(
        (record.samples_per_lead(), record.rate_hz()),
        (10_000, Ratio::whole(1000))
    );
    assert!(
        record
            .leads()
            .iter()
            .all(|lead| lead.scale.lsb_uv == Ratio::new(5, 4).unwrap())
    );
    let about = &record.about;
    assert_eq!(about.device.as_deref(), Some("Mortara Instrument, Inc. el250"));
    assert_eq!(about.filter.as_deref(), Some("0.05-300 Hz"));
    assert_eq!(
        (about.patient.id.as_deref(), about.patient.age_years),
        (Some("642341"), Some(42))
    );
    assert_eq!(about.captured.unwrap().date(), (2013, 1, 25));
    assert!(!about.invented);
    let measured = measure(record);
    let near = |found: u16, device: u16, ms: u16| found.abs_diff(device) <= ms;
    assert!((measured.heart_rate_bpm.unwrap() - 60_000.0 / 982.0).abs() < 2.0);
    assert!(near(measured.pr_ms, 161, 15), "PR {}", measured.pr_ms);
    assert!(near(measured.qrs_ms, 75, 10), "QRS {}", measured.qrs_ms);
    assert!(near(measured.qt_ms, 368, 15), "QT {}", measured.qt_ms);
}
