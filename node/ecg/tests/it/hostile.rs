//! Broken and hostile files: each kind by name, with the error it must give.

use aidmesh_ecg::{ImportError, RecordError, Warning, companions, dicom, limits};

use super::fixtures::{Files, dicom as dicom_files, import_files, small, wfdb16};

/// A one-lead record: header text and data.
fn wfdb(header: &str, data: &[u8]) -> Files {
    vec![
        ("r.hea".to_owned(), header.as_bytes().to_vec()),
        ("r.dat".to_owned(), data.to_vec()),
    ]
}

/// A header line of 100 samples, then one signal line.
fn signal(line: &str) -> Files {
    wfdb(&format!("r 1 500 100\n{line}\n"), &[0; 200])
}

fn header_fault(files: &Files, line: usize, part: &str) {
    match import_files(files) {
        Err(ImportError::Header { line: at, fault }) => {
            assert_eq!(at, line, "{fault}");
            assert!(fault.contains(part), "{fault} instead of {part}");
        }
        other => panic!("{:?} instead of {part}", other.map(|imported| imported.warnings)),
    }
}

fn unsupported(files: &Files, part: &str) {
    match import_files(files) {
        Err(ImportError::Unsupported(what)) => assert!(what.contains(part), "{what} instead of {part}"),
        other => panic!("{:?} instead of {part}", other.map(|imported| imported.warnings)),
    }
}

fn too_many(files: &Files, expected: &str) {
    match import_files(files) {
        Err(ImportError::TooMany { what, found, max }) => {
            assert_eq!(what, expected);
            assert!(found > max);
        }
        other => panic!(
            "{:?} instead of too many {expected}",
            other.map(|imported| imported.warnings)
        ),
    }
}

#[test]
fn nothing_and_noise() {
    assert_eq!(import_files(&vec![]).unwrap_err(), ImportError::NoFiles);
    let contents: [&[u8]; 5] = [
        b"",
        b"%PDF-1.7\n",
        b"\x89PNG\r\n\x1a\n",
        &[0xff; 5000],
        b"<?xml version=\"1.0\"?>",
    ];
    for content in contents {
        let files = vec![("x".to_owned(), content.to_vec())];
        assert_eq!(import_files(&files).unwrap_err(), ImportError::UnknownFormat);
    }
}

#[test]
fn too_many_files_and_bytes() {
    let many: Files = (0..=limits::FILES_MAX)
        .map(|index| (index.to_string(), Vec::new()))
        .collect();
    too_many(&many, "files");
    too_many(&vec![("x".to_owned(), vec![0; limits::BYTES_MAX + 1])], "bytes");
}

#[test]
fn a_name_twice() {
    let twice = vec![("a".to_owned(), Vec::new()), ("a".to_owned(), Vec::new())];
    assert_eq!(
        import_files(&twice).unwrap_err(),
        ImportError::NameTwice("a".to_owned())
    );
}

#[test]
fn a_missing_signal_file() {
    let mut files = wfdb16(&small(), 0);
    files.pop();
    assert_eq!(
        import_files(&files).unwrap_err(),
        ImportError::MissingFile("small.dat".to_owned())
    );
}

#[test]
fn a_truncated_signal_file() {
    let mut files = wfdb16(&small(), 24);
    files[1].1.pop();
    let expected = ImportError::Truncated {
        name: "small.dat".to_owned(),
        needed: 2424,
        found: 2423,
    };
    assert_eq!(import_files(&files).unwrap_err(), expected);
    files[1].1.clear();
    assert!(matches!(
        import_files(&files),
        Err(ImportError::Truncated { found: 0, .. })
    ));
}

#[test]
fn segments_skew_frames_and_other_formats() {
    unsupported(&wfdb("r/3 1 500 100\nr.dat 16\n", &[]), "segments");
    unsupported(&signal("r.dat 16:5 200 16 0 0 0 0 I"), "skew");
    unsupported(
        &signal("r.dat 16x4 200 16 0 0 0 0 I"),
        "several samples per frame",
    );
    unsupported(&signal("r.dat 516 200 16 0 0 0 0 I"), "format other than");
    unsupported(&signal("r.dat 16 200/mmHg 16 0 0 0 0 ABP"), "not in mV");
}

#[test]
fn headers_that_do_not_follow_the_syntax() {
    header_fault(&wfdb("r 0 500 100\n", &[]), 1, "no signals");
    header_fault(
        &wfdb("r 2 500 100\nr.dat 16\n", &[0; 400]),
        0,
        "fewer signal lines",
    );
    header_fault(
        &wfdb("r 1 500 100\nr.dat 16\nr.dat 16\n", &[0; 400]),
        3,
        "more signal lines",
    );
    header_fault(&wfdb("r 1 fast 100\nr.dat 16\n", &[]), 1, "sampling rate");
    header_fault(&wfdb("r 1 500/x 100\nr.dat 16\n", &[]), 1, "counter");
    header_fault(&wfdb("r 1 500 -7\nr.dat 16\n", &[]), 1, "sample count");
    header_fault(&signal("r.dat"), 2, "no format");
    header_fault(&signal("r.dat banana"), 2, "format is not a number");
    header_fault(&signal("r.dat 16+x"), 2, "byte offset");
    header_fault(&signal("r.dat 16 2e0x"), 2, "gain");
    header_fault(&signal("r.dat 16 200(5"), 2, "gain");
    header_fault(&signal("r.dat 16 200 16 0 zero"), 2, "whole number");
    header_fault(
        &signal("r.dat 16 0.0000000000000000001/V 16"),
        2,
        "too many digits",
    );
}

#[test]
fn a_path_instead_of_a_file_name() {
    for name in ["../../etc/passwd", "/etc/passwd", "..\\x", "..", "-"] {
        let files = signal(&format!("{name} 16"));
        header_fault(&files, 2, "folder");
        assert!(companions(&files[0].1).is_err());
    }
}

#[test]
fn claims_above_the_limits() {
    too_many(&wfdb("r 17 500 100\n", &[]), "leads");
    too_many(&wfdb("r 999999999 500 100\n", &[]), "leads");
    too_many(&wfdb("r 1 500 1048577\nr.dat 16\n", &[]), "samples per lead");
    too_many(
        &wfdb("r 1 500 18446744073709551615\nr.dat 16\n", &[]),
        "samples per lead",
    );
    too_many(&signal("r.dat 16+99999999"), "bytes of offset");
    let long = format!(
        "r 1 500 100\nr.dat 16\n#{}\n",
        "x".repeat(limits::HEADER_BYTES_MAX)
    );
    too_many(&wfdb(&long, &[0; 200]), "bytes of wfdb header");
    // Without a sample count the file's length decides: 2^20 + 1 samples of one lead.
    too_many(
        &wfdb("r 1 500\nr.dat 16\n", &vec![0; (limits::SAMPLES_MAX + 1) * 2]),
        "samples per lead",
    );
}

#[test]
fn signals_of_one_file_apart_or_different() {
    let apart = "r 3 500 10\na 16 200 16 0 0 0 0 I\nb 16 200 16 0 0 0 0 II\na 16 200 16 0 0 0 0 V1\n";
    header_fault(&wfdb(apart, &[]), 4, "not together");
    let different = "r 2 500 10\na 16 200 16 0 0 0 0 I\na 212 200 16 0 0 0 0 II\n";
    header_fault(&wfdb(different, &[]), 3, "differ in format");
}

#[test]
fn files_of_different_lengths_without_a_count() {
    let header = "r 2 500\na 16 200 16 0 0 0 0 I\nb 16 200 16 0 0 0 0 II\n";
    let file = |name: &str, bytes: usize| (name.to_owned(), vec![0; bytes]);
    let files = vec![
        ("r.hea".to_owned(), header.as_bytes().to_vec()),
        file("a", 20),
        file("b", 22),
    ];
    header_fault(&files, 0, "different lengths");
}

#[test]
fn a_lead_twice_and_an_impossible_rate() {
    let twice = wfdb(
        "r 2 500 10\nr.dat 16 200 16 0 0 0 0 I\nr.dat 16 200 16 0 0 0 0 I\n",
        &[0; 40],
    );
    assert_eq!(
        import_files(&twice).unwrap_err(),
        RecordError::LeadTwice("I".to_owned()).into()
    );
    for rate in ["0", "-500", "1e9", "0.001"] {
        let files = wfdb(&format!("r 1 {rate} 10\nr.dat 16\n"), &[0; 20]);
        assert!(
            matches!(
                import_files(&files),
                Err(ImportError::Record(RecordError::Rate(_)))
            ),
            "{rate}"
        );
    }
}

#[test]
fn odd_but_harmless_files_are_imported_with_a_warning() {
    let data = [1, 0, 2, 0];
    for (line, expected) in [
        ("r.dat 16 200 16 0 1 4 0 I", Warning::Checksum("I".to_owned())),
        ("r.dat 16 200 16 0 7 3 0 I", Warning::FirstSample("I".to_owned())),
        ("r.dat 16 0 16 0 1 3 0 I", Warning::Uncalibrated("I".to_owned())),
    ] {
        let imported = import_files(&wfdb(&format!("r 1 500 2\n{line}\n"), &data)).unwrap();
        assert_eq!(imported.warnings, [expected]);
    }
    let longer = import_files(&wfdb("r 1 500 1\nr.dat 16 200 16 0 1 1 0 I\n", &data)).unwrap();
    assert_eq!(
        longer.warnings,
        [Warning::TrailingBytes {
            name: "r.dat".to_owned(),
            bytes: 2
        }]
    );
    let when = import_files(&wfdb(
        "r 1 500 2 25:00:00 01/13/2020\nr.dat 16 200 16 0 1 3 0 I\n",
        &data,
    ))
    .unwrap();
    assert_eq!(
        (when.warnings, when.record.about.captured),
        (vec![Warning::CaptureTime], None)
    );
}

fn broken_dicom(bytes: Vec<u8>, part: &str) {
    match import_files(&vec![("x.dcm".to_owned(), bytes)]) {
        Err(ImportError::DicomStructure(what) | ImportError::DicomWaveform(what)) => {
            assert!(what.contains(part), "{what} instead of {part}");
        }
        other => panic!("{:?} instead of {part}", other.map(|imported| imported.warnings)),
    }
}

/// Preamble, meta group for explicit little endian, then `data`.
fn part10(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 128];
    out.extend(b"DICM\x02\0\0\0UL\x04\0\x1c\0\0\0\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0");
    out.extend(data);
    out
}

#[test]
fn dicom_files_that_lie_about_their_structure() {
    let whole = dicom_files(&small())[0].1.clone();
    broken_dicom(whole[..132].to_vec(), "ends inside");
    broken_dicom(whole[..whole.len() - 1].to_vec(), "ends inside");
    broken_dicom(part10(&[]), "no waveform");
    let mut meta = whole.clone();
    meta[140..144].copy_from_slice(&u32::MAX.to_le_bytes());
    broken_dicom(meta, "meta group");
    // A 4 GiB value, as OB and as a sequence item.
    broken_dicom(part10(b"\x08\0\x08\0OB\0\0\xfe\xff\xff\xff"), "beyond its parent");
    broken_dicom(part10(b"\x08\0\x08\0OB\0\0\xff\xff\xff\xff"), "without a length");
    broken_dicom(
        part10(b"\0\x54\0\x01SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xfe\xff\xff\xff"),
        "beyond its parent",
    );
    broken_dicom(part10(b"\0\x54\0\x01SQ\0\0\x04\0\0\0abcd"), "ends inside");
    broken_dicom(part10(b"\0\x54\0\x01SQ\0\0\x08\0\0\0abcdefgh"), "no item");
    broken_dicom(part10(b"\x08\0\x08\0??\x02\0ab"), "unknown value representation");
    // The parser would read no float of these two bytes and go on in their middle.
    broken_dicom(part10(b"\x22\0\x13\0FL\x02\0ab"), "whole number");
    broken_dicom(part10(b"\xfe\xff\x0d\xe0\0\0\0\0"), "delimiter");
    let group = part10(b"\0\x54\0\x01SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff");
    broken_dicom(group, "inside a sequence");
}

#[test]
fn dicom_sequences_nested_without_end() {
    let mut data = Vec::new();
    for _ in 0..100_000 {
        data.extend(b"\0\x54\0\x01SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff");
    }
    broken_dicom(part10(&data), "nested too deeply");
}

#[test]
fn dicom_with_too_many_elements() {
    let element = b"\x08\0\x08\0CS\0\0";
    let data = element.repeat(limits::DICOM_ELEMENTS_MAX + 1);
    too_many(&vec![("x.dcm".to_owned(), part10(&data))], "dicom elements");
}

#[test]
fn dicom_in_another_transfer_syntax() {
    let mut file = part10(&[]);
    let at = file.len() - 2;
    file[at] = b'9';
    unsupported(&vec![("x.dcm".to_owned(), file)], "transfer syntax");
}

/// Overwrites the value of an element that stands once in the file.
fn with_value(tag: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = dicom::write(&small()).unwrap();
    let at = bytes.windows(tag.len()).position(|window| window == tag).unwrap() + 8;
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn dicom_waveforms_that_make_no_sense() {
    let as_file = |bytes: Vec<u8>| vec![("x.dcm".to_owned(), bytes)];
    too_many(
        &as_file(with_value(b"\x3a\0\x05\0US", &17_u16.to_le_bytes())),
        "leads",
    );
    too_many(
        &as_file(with_value(b"\x3a\0\x10\0UL", &u32::MAX.to_le_bytes())),
        "samples per lead",
    );
    broken_dicom(with_value(b"\x3a\0\x05\0US", &[0, 0]), "no channels");
    broken_dicom(with_value(b"\x3a\0\x05\0US", &[11, 0]), "number of samples");
    broken_dicom(with_value(b"\x3a\0\x10\0UL", &[99, 0, 0, 0]), "number of samples");
    broken_dicom(with_value(b"\x3a\0\x1a\0DS", b"fast"), "sampling frequency");
    broken_dicom(with_value(b"\x3a\0\x10\x02DS", b"- "), "without calibration");
    unsupported(&as_file(with_value(b"\0\x54\x04\x10US", &[8, 0])), "16-bit");
    let zero = import_files(&as_file(with_value(b"\x3a\0\x10\x02DS", b"0 ")));
    assert_eq!(zero.unwrap_err(), RecordError::Scale("I".to_owned()).into());
}

#[test]
fn errors_and_warnings_reveal_nothing_and_reassure_nobody() {
    let error = import_files(&signal("r.dat 16 200(5")).unwrap_err().to_string();
    assert_eq!(error, "wfdb header, line 2: gain is not a number");
    assert!(!error.to_lowercase().contains("normal"));
}
