use super::*;
use aidmesh_ecg::generate::{Rhythm, generate};
use std::fs;

const HEADER: &str = "rec 2 250 500\nrec.mat 16 1000/mV 16 0 0 0 0 I\nrec.mat 16 1000/mV 16 0 0 0 0 II\n";

fn dicom() -> Vec<u8> {
    aidmesh_ecg::dicom::write(&generate(Rhythm::InferiorStemi, 10, 7, 500, 10)).unwrap()
}

/// A folder with the WFDB record `rec`: two leads, 2 s.
fn wfdb() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rec.hea"), HEADER).unwrap();
    let samples = (0..1000_i16).flat_map(|n| (n % 97).to_le_bytes());
    fs::write(folder.path().join("rec.mat"), samples.collect::<Vec<u8>>()).unwrap();
    folder
}

fn code(path: &Path) -> String {
    Fault::from(Recording::read(path).unwrap_err()).code
}

#[test]
fn a_dicom_file_is_read_and_sent_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no-known-ending.bin");
    fs::write(&path, dicom()).unwrap();
    let recording = Recording::read(&path).unwrap();
    assert_eq!(recording.format(), "DICOM");
    assert_eq!(recording.imported().record.leads().len(), 12);
    let data = recording.data();
    assert_eq!((data.len(), data[0].name.as_str()), (1, "no-known-ending.bin"));
    assert_eq!(BASE64.decode(data[0].bytes.as_bytes()).unwrap(), dicom());
}

#[test]
fn any_file_of_a_wfdb_record_stands_for_all() {
    let folder = wfdb();
    for name in ["rec.hea", "rec.mat", "rec"] {
        let recording = Recording::read(&folder.path().join(name)).unwrap();
        let names: Vec<&str> = recording.files().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["rec.hea", "rec.mat"], "given {name}");
        assert_eq!(
            (recording.format(), recording.size_bytes()),
            ("WFDB", HEADER.len() + 2000)
        );
    }
}

#[test]
fn what_is_no_ecg_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("letter.pdf"), b"%PDF-1.7 not an ECG").unwrap();
    fs::write(at("empty"), b"").unwrap();
    let mut cut = dicom();
    cut.truncate(cut.len() / 2);
    fs::write(at("cut.dcm"), cut).unwrap();
    assert_eq!(code(&at("letter.pdf")), "AM-ECG-01");
    assert_eq!(code(&at("empty")), "AM-ECG-01");
    assert_eq!(code(&at("cut.dcm")), "AM-ECG-05");
    assert_eq!(code(&at("nowhere.dcm")), "AM-ECG-04");
    assert_eq!(code(&at("nowhere.mat")), "AM-ECG-04");
    assert_eq!(code(folder.path()), "AM-ECG-04");
}

#[test]
fn half_a_record_is_not_sent() {
    let folder = wfdb();
    let at = |name: &str| folder.path().join(name);
    fs::rename(at("rec.mat"), at("away")).unwrap();
    let fault = Fault::from(Recording::read(&at("rec.hea")).unwrap_err());
    assert!(
        fault.code == "AM-ECG-02" && fault.what.contains("rec.mat"),
        "{fault:?}"
    );
    fs::rename(at("away"), at("rec.mat")).unwrap();
    fs::remove_file(at("rec.hea")).unwrap();
    assert_eq!(code(&at("rec.mat")), "AM-ECG-02");
}

#[test]
fn a_header_does_not_reach_out_of_its_folder() {
    let folder = wfdb();
    let inner = folder.path().join("stick");
    fs::create_dir(&inner).unwrap();
    for name in ["../rec.mat", "/etc/hostname", "..", ".", "~"] {
        let header = HEADER.replace("rec.mat", name);
        fs::write(inner.join("rec.hea"), header).unwrap();
        assert!(Recording::read(&inner.join("rec.hea")).is_err(), "{name}");
    }
}

#[test]
fn a_file_without_end_ends_at_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.dcm");
    File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    assert_eq!(code(&path), "AM-ECG-03");
    assert_eq!(code(Path::new("/dev/zero")), "AM-ECG-04");
}

#[test]
fn a_name_that_does_not_fit_into_a_manifest_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "x".repeat(limits::FILE_NAME_BYTES + 1),
        "bell\u{7}.dcm".to_owned(),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, dicom()).unwrap();
        assert_eq!(code(&path), "AM-ECG-04");
    }
}

/// Real recordings of others, where somebody put them beside the project.
#[test]
fn recordings_beside_the_project_are_read_whole() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let mut read = 0;
    for set in ["cinc2021", "dicom"] {
        let Ok(entries) = fs::read_dir(beside.join(set)) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let recording = Recording::read(&path).unwrap();
            for (name, bytes) in recording.files() {
                assert_eq!(&fs::read(path.with_file_name(name)).unwrap(), bytes, "{name}");
            }
            read += 1;
        }
    }
    assert!(
        read > 0 || !beside.exists(),
        "the folder is there and holds nothing"
    );
}
