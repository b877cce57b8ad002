use super::*;
use crate::blob::{ChunkSize, Sealer};
use crate::golden;
use crate::id::Slot;

fn manifest() -> Manifest {
    let mut sealer = Sealer::new(Secret([0x42; 32]));
    sealer
        .layer(Layer::BEATS, None, ChunkSize::LARGEST, b"beats")
        .unwrap();
    sealer
        .layer(Layer::PREVIEW, None, ChunkSize::LARGEST, &[1; 2000])
        .unwrap();
    sealer.finish().unwrap()
}

type Samples = Vec<(&'static str, Body)>;

fn samples() -> Samples {
    [messages(), answers(), measures(), keys()].concat()
}

fn messages() -> Samples {
    let text = "aspirin 300 mg given, é".into();
    let ecg = EcgSnapshot {
        recorded: Some(Wall(1_795_000_000_123)),
        digest: Bytes::from_static(&[7; 150]),
        manifest: manifest(),
        format: "wfdb".into(),
        summary: Some("rate 84".into()),
    };
    let mut bare_ecg = ecg.clone();
    (bare_ecg.recorded, bare_ecg.summary) = (None, None);
    let alert = Alert {
        what: Emergency::Stemi,
        role: 2,
        text: "man, 58, chest pain 40 min".into(),
        refers: Some([9; 32]),
        ladder_s: LADDER_S,
    };
    let mut bare_alert = alert.clone();
    (bare_alert.refers, bare_alert.what) = (None, Emergency::Unknown(9));
    vec![
        ("note", Body::Note(Note { text })),
        ("ecg", Body::EcgSnapshot(ecg)),
        ("ecg-bare", Body::EcgSnapshot(bare_ecg)),
        ("alert", Body::Alert(alert)),
        ("alert-bare", Body::Alert(bare_alert)),
    ]
}

fn answers() -> Samples {
    let person = Person([2; 8]);
    let ack = Acknowledgement {
        entry: [1; 32],
        act: Act::Activated,
        layer: Some(Layer::PREVIEW),
        person,
    };
    let mut ranges = Ranges::new();
    for seq in [1, 2, 3, 7] {
        ranges.insert(Slot([4; 4]), Log::Content, seq);
    }
    let seen = Seen {
        ranges,
        layer: None,
        person,
    };
    let recall = Recall {
        entry: [1; 32],
        kind: RecallKind::Correction,
        replacement: Some([3; 32]),
        why: "wrong patient".into(),
    };
    vec![
        ("acknowledgement", Body::Acknowledgement(ack)),
        ("seen", Body::Seen(seen)),
        ("recall", Body::Recall(recall)),
    ]
}

fn measures() -> Samples {
    let vitals = Vitals {
        heart_rate: Some(84),
        pressure_mmhg: Some((135, 80)),
        spo2_permille: Some(965),
        resp_rate_tenths: Some(160),
        gcs: Some(15),
        temp_centi_c: Some(-12),
    };
    let heart_rate = Some(40);
    let rate = Vitals {
        heart_rate,
        ..Vitals::default()
    };
    let fix = Some(Fix {
        lat_e7: 481_351_250,
        lon_e7: -115_819_806,
        accuracy_m: 12,
        at: Wall(5),
    });
    let eta_min = Some(14);
    vec![
        ("vitals", Body::Vitals(vitals)),
        ("vitals-rate", Body::Vitals(rate)),
        ("position", Body::Position(Position { fix, eta_min })),
        ("position-eta", Body::Position(Position { fix: None, eta_min })),
    ]
}

fn cards(n: u8) -> Vec<Card> {
    let card = |i: u8| Card {
        device_cert: Bytes::from(vec![i; 230]),
        key_package: Bytes::from(vec![0x80 | i; 500]),
    };
    (1..=n).map(card).collect()
}

fn keys() -> Samples {
    let (person, on, roles) = (Person([2; 8]), true, 0x102);
    let key = CtlKey {
        kid: Kid([1; 4]),
        ck: Secret([2; 32]),
        made_by: OpId([3; 16]),
    };
    let keys = vec![key.clone(), key];
    vec![
        ("sign-on", Body::SignOn(SignOn { person, on, roles })),
        ("ctl-keys", Body::CtlKeys(CtlKeys { keys })),
        ("roster", Body::Roster(Roster { cards: cards(2) })),
    ]
}

#[test]
fn bodies_round_trip_and_match_the_vectors() {
    let mut cases = Vec::new();
    for (label, body) in samples() {
        let bytes = body.encode().unwrap();
        assert_eq!(Body::decode(body.kind().unwrap(), &bytes), Ok(body));
        cases.push((label, bytes.to_vec()));
    }
    golden::check("clinical", &cases);
}

#[test]
fn trailing_bytes_are_an_error_and_each_cut_too() {
    for (label, body) in samples() {
        let (kind, good) = (body.kind().unwrap(), body.encode().unwrap());
        let longer = Bytes::from([&good[..], &[0]].concat());
        assert!(Body::decode(kind, &longer).is_err(), "{label}");
        for n in 0..good.len() {
            assert!(Body::decode(kind, &good.slice(..n)).is_err(), "{label} {n}");
        }
    }
}

#[test]
fn newer_versions_and_other_kinds_are_kept() {
    let bytes = Bytes::from_static(&[2, 9, 9]);
    let unknown = Body::decode(Kind::Alert, &bytes).unwrap();
    assert_eq!(
        unknown,
        Body::Unknown {
            version: 2,
            bytes: bytes.clone()
        }
    );
    assert_eq!(unknown.encode(), Ok(bytes.clone()));
    for kind in [Kind::Divert, Kind::Unknown(77)] {
        assert_eq!(Body::decode(kind, &bytes), Ok(Body::Raw(bytes.clone())));
    }
    assert!(Body::decode(Kind::Alert, &Bytes::from_static(&[0])).is_err());
}

#[test]
fn bodies_out_of_bounds_have_no_encoding() {
    let long = |n: usize| "x".repeat(n);
    let note = |n| Body::Note(Note { text: long(n) }).encode();
    assert!(note(limits::NOTE_BYTES).is_ok() && note(limits::NOTE_BYTES + 1).is_err());
    for (label, body) in samples() {
        let bad = match body {
            Body::EcgSnapshot(b) => Body::EcgSnapshot(EcgSnapshot {
                digest: vec![0; 151].into(),
                ..b
            }),
            Body::Alert(b) => Body::Alert(Alert {
                ladder_s: [60, 0, 1],
                ..b
            }),
            Body::Seen(b) => Body::Seen(Seen {
                ranges: Ranges::new(),
                ..b
            }),
            Body::Recall(b) => Body::Recall(Recall { why: long(257), ..b }),
            Body::Vitals(b) => Body::Vitals(Vitals { gcs: Some(2), ..b }),
            Body::Position(_) => Body::Position(Position::default()),
            Body::Roster(_) => Body::Roster(Roster { cards: vec![] }),
            Body::CtlKeys(_) => Body::CtlKeys(CtlKeys { keys: vec![] }),
            _ => continue,
        };
        assert!(bad.encode().is_err(), "{label}");
    }
    let mut ranges = Ranges::new();
    ranges.insert(Slot([1; 4]), Log::Heads, 1);
    let heads = Seen {
        ranges,
        layer: None,
        person: Person([1; 8]),
    };
    assert!(Body::Seen(heads).encode().is_err());
}

#[test]
fn the_largest_roster_is_an_entry_and_a_larger_one_is_none() {
    let card = Card {
        device_cert: Bytes::from(vec![1; limits::CERT_BYTES]),
        key_package: Bytes::from(vec![2; limits::MLS_KEY_PACKAGE_BYTES]),
    };
    let roster = |cards| Body::Roster(Roster { cards }).encode();
    assert!(roster(vec![card.clone(); limits::CARDS]).is_ok());
    assert!(roster(cards(limits::CARDS as u8 + 1)).is_err());
    let mut long = card;
    long.key_package = Bytes::from(vec![2; limits::MLS_KEY_PACKAGE_BYTES + 1]);
    assert!(roster(vec![long]).is_err());
}

#[test]
fn the_largest_alert_leaves_room_for_its_seal() {
    let alert = Alert {
        what: Emergency::Other,
        role: u16::MAX,
        text: "x".repeat(limits::SHORT_TEXT_BYTES),
        refers: Some([1; 32]),
        ladder_s: LADDER_S,
    };
    let bytes = Body::Alert(alert).encode().unwrap();
    assert!(bytes.len() + 500 < limits::ALARM_BYTES);
}

#[test]
fn damaged_bodies_are_refused_or_canonical() {
    for (label, body) in samples() {
        let kind = body.kind().unwrap();
        golden::mutate(&body.encode().unwrap(), 2000, |bytes| {
            let bytes = Bytes::copy_from_slice(bytes);
            if let Ok(body) = Body::decode(kind, &bytes) {
                assert_eq!(body.encode().as_ref(), Ok(&bytes), "{label}");
            }
        });
    }
}

#[test]
fn secrets_are_not_printed() {
    for (_, body) in samples() {
        let printed = format!("{body:?}");
        assert!(!printed.contains("66, 66, 66") && !printed.contains("2, 2, 2, 2, 2, 2, 2, 2, 2"));
    }
}
