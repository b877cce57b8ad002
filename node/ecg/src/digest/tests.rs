//! The digest's layout, byte by byte, and its strictness.

use super::*;
use crate::generate::Random;
use crate::generate::{Rhythm, generate};

fn sample() -> Digest {
    let mut record = generate(Rhythm::InferiorStemi, 10, 7, 500, 10);
    record.about.patient.age_years = Some(58);
    record.about.patient.sex = Some(Sex::Male);
    Digest::new(&record, &measure::measure(&record), *b"original")
}

#[test]
fn a_digest_survives_the_round_trip() {
    let digest = sample();
    assert_eq!(decode(&encode(&digest)), Ok(digest.clone()));
    assert_eq!(
        digest.st_text(),
        "meets ST-elevation thresholds in II, III, aVF; suspected, not a diagnosis"
    );
    assert_eq!(digest.device.as_deref(), Some("Aidmesh (invente"));
}

#[test]
fn fields_stand_where_the_table_says() {
    let mut digest = sample();
    digest.captured = CivilTime::new((1970, 1, 1), 0x0102, Some(-2));
    digest.st_10uv[11] = None;
    let bytes = encode(&digest);
    assert_eq!(bytes.len(), 94);
    assert_eq!(bytes[..12], [1, 7, 2, 1, 0, 0, 0, 0, 0, 0, 0xfe, 0xff]);
    assert_eq!(u32_at(&bytes, 12), 500_000);
    assert_eq!(u32_at(&bytes, 16), 10_000);
    assert_eq!(u16_at(&bytes, 20), 0x0fff);
    assert_eq!(u16_at(&bytes, 31), digest.heart_rate_dbpm.unwrap());
    assert_eq!(u16_at(&bytes, 63), 0x8000);
    assert_eq!(u16_at(&bytes, 65), 0b10_0110);
    assert_eq!((bytes[67], bytes[68], bytes[69]), (58, 2, 1));
    assert_eq!(&bytes[70..78], b"original");
    assert_eq!(&bytes[78..], b"Aidmesh (invente");
}

#[test]
fn what_no_encoder_writes_is_refused() {
    let good = encode(&sample());
    assert_eq!(decode(&good[..93]), Err(DigestError::Length(93)));
    for (at, value, expected) in [
        (0, 2, DigestError::Version(2)),
        (1, 0x80, DigestError::Field(1)),
        (1, OFFSET_KNOWN, DigestError::Field(2)),
        (9, 0x7f, DigestError::Field(2)),
        (21, 0xff, DigestError::Field(20)),
        (24, 0xff, DigestError::Field(23)),
        (66, 0x10, DigestError::Field(65)),
        (67, 200, DigestError::Field(67)),
        (68, 4, DigestError::Field(68)),
        (78, 0xff, DigestError::Field(78)),
        (78, b' ', DigestError::Field(78)),
        (80, 0, DigestError::Field(78)),
    ] {
        let mut bytes = good;
        bytes[at] = value;
        assert_eq!(decode(&bytes), Err(expected), "byte {at}");
    }
}

#[test]
fn whatever_decodes_encodes_to_the_same_bytes() {
    let good = encode(&sample());
    let mut random = Random::new(1);
    let mut decoded = 0;
    for _ in 0..20_000 {
        let mut bytes = good;
        for _ in 0..1 + random.below(3) {
            bytes[random.below(DIGEST_BYTES as u32) as usize] = random.next() as u8;
        }
        if let Ok(digest) = decode(&bytes) {
            assert_eq!(encode(&digest), bytes);
            decoded += 1;
        }
    }
    assert!(decoded > 1000, "{decoded}");
}

#[test]
fn a_device_is_cut_at_a_character() {
    assert_eq!(
        cut_device("123456789012345\u{e9}").as_deref(),
        Some("123456789012345")
    );
    assert_eq!(cut_device("  \n"), None);
    assert_eq!(cut_device("LIFEPAK 15").as_deref(), Some("LIFEPAK 15"));
}

/// Measuring and encoding give the same bytes on every machine; a change of the
/// algorithm changes them and needs a new `ALGORITHM_VERSION` once released.
#[test]
fn golden_digest() {
    let hex: String = encode(&sample())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let expected = concat!(
        "0103b855ced56f010000000020a1070010270000ff0f000000000000000d00ea022200b6006c008c01",
        "f5ff1c002700f8ffe7ff2100fdfff4fff8fffeff05000500",
        "26003a02016f726967696e616c4169646d6573682028696e76656e7465",
    );
    assert_eq!(hex, expected);
}
