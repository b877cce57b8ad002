//! Thousands of damaged files: no panic, bounded output.
//!
//! `AIDMESH_LONG=1` runs ten times as many. Deterministic: a failure names its
//! round, and the same round damages the same bytes again.

use aidmesh_ecg::digest::{Digest, decode, encode};
use aidmesh_ecg::draw::{Options, svg};
use aidmesh_ecg::{EcgRecord, companions, limits};

use super::fixtures::{Files, dicom, dicom_implicit, import_files, small, wfdb16, wfdb212};

/// Damaged files per run, over all formats.
const ROUNDS: u64 = 10_000;
/// A small file takes about a millisecond; far more means memory or work
/// without bound (a length that leads the parser astray once took 46 s).
const SECONDS_MAX: u64 = 10;
/// One in this many imported records is also measured and drawn.
const SAMPLED: u64 = 20;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

fn seeds() -> Vec<Files> {
    let two = {
        let record = small();
        EcgRecord::new(
            record.rate_hz(),
            record.leads()[..3].to_vec(),
            record.about.clone(),
        )
        .unwrap()
    };
    vec![
        wfdb16(&two, 0),
        wfdb16(&small(), 24),
        wfdb212(&two).0,
        dicom(&two),
        dicom_implicit(&two),
    ]
}

/// Words that parsers trip over.
const TOKENS: [&str; 14] = [
    "0",
    "-1",
    "65536",
    "4294967295",
    "18446744073709551616",
    "1e308",
    "NaN",
    "212",
    "16",
    "/",
    "(",
    ")",
    "+",
    "\u{fffd}",
];

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    // The interesting part of every format is its beginning.
    let reach = if random.below(4) == 0 {
        bytes.len()
    } else {
        bytes.len().min(2000)
    };
    let at = random.below(reach);
    match random.below(9) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        2 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][random.below(6)],
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..(at + random.below(40)).min(bytes.len()))),
        5 => {
            let copy = bytes[at..(at + random.below(60)).min(bytes.len())].to_vec();
            drop(bytes.splice(at..at, copy));
        }
        6 if at + 4 <= bytes.len() => {
            let word = [
                0,
                1,
                0xffff,
                0x7fff_ffff,
                0xffff_fffe,
                u32::MAX,
                random.next() as u32,
            ][random.below(7)];
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        7 => {
            let token = TOKENS[random.below(TOKENS.len())];
            let end = (at + random.below(4)).min(bytes.len());
            drop(bytes.splice(at..end, token.bytes()));
        }
        _ => bytes.insert(at, random.next() as u8),
    }
}

#[test]
fn damaged_files_never_panic_and_stay_bounded() {
    let long = std::env::var("AIDMESH_LONG").is_ok_and(|value| value == "1");
    let rounds = if long { ROUNDS * 10 } else { ROUNDS };
    let seeds = seeds();
    let mut imported_count = 0;
    for round in 0..rounds {
        let mut random = Random(round);
        let mut files = seeds[round as usize % seeds.len()].clone();
        for _ in 0..1 + random.below(3) {
            // The header twice as often as the data.
            let which = if random.below(3) < 2 {
                0
            } else {
                random.below(files.len())
            };
            damage(&mut random, &mut files[which].1);
        }
        let started = std::time::Instant::now();
        let total: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        if let Ok(names) = companions(&files[0].1) {
            assert!(names.len() <= limits::LEADS_MAX, "round {round}");
        }
        let imported = import_files(&files);
        assert!(started.elapsed().as_secs() < SECONDS_MAX, "round {round}");
        let Ok(imported) = imported else { continue };
        imported_count += 1;
        let record = &imported.record;
        assert!(
            record.leads().len() * record.samples_per_lead() <= total,
            "round {round}"
        );
        assert!(
            record.about.device_text.len() <= limits::TEXT_LINES_MAX,
            "round {round}"
        );
        assert!(
            imported.warnings.len() <= 3 * limits::LEADS_MAX + 4,
            "round {round}"
        );
        if round % SAMPLED == 0 {
            let digest = Digest::of(&imported);
            assert_eq!(decode(&encode(&digest)), Ok(digest), "round {round}");
            assert!(
                svg(record, &Options::default()).len() < 2_000_000,
                "round {round}"
            );
        }
    }
    // Enough survive to show that the damage is not only at the door.
    assert!(imported_count > rounds / 20, "{imported_count} of {rounds}");
}
