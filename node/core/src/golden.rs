//! Golden vectors: each layout has a file in `vectors/` with one hex line. A test makes the bytes
//! again and compares. A layout that changes on purpose is written anew with `AIDMESH_BLESS=1`,
//! and the difference of the file is what a reviewer reads.

use std::fmt::Write;
use std::path::Path;

/// Compares `bytes` with `vectors/{name}.hex`.
pub(crate) fn check(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("vectors")
        .join(format!("{name}.hex"));
    let mut hex = String::new();
    for (i, b) in bytes.iter().enumerate() {
        let end = if i % 32 == 31 { "\n" } else { "" };
        write!(hex, "{b:02x}{end}").unwrap();
    }
    if !hex.ends_with('\n') {
        hex.push('\n');
    }
    if std::env::var_os("AIDMESH_BLESS").is_some() {
        std::fs::write(&path, &hex).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        stored,
        hex,
        "{} changed: a new layout needs a new version",
        path.display()
    );
}

/// 2 000 inputs made from `good` by changing, cutting or adding bytes, the same at each run.
pub(crate) fn mutate(good: &[u8], mut each: impl FnMut(&[u8])) {
    let mut stream = crate::crypto::Stream::new([42; 32]);
    for _ in 0..2_000 {
        let mut bad = good.to_vec();
        for _ in 0..=stream.below(3) {
            let at = stream.below(bad.len().max(1) as u64) as usize;
            match stream.below(4) {
                0 => bad.truncate(at),
                1 => bad.insert(at.min(bad.len()), stream.below(256) as u8),
                _ if at < bad.len() => bad[at] ^= 1 + stream.below(255) as u8,
                _ => bad.push(0),
            }
        }
        if bad != good {
            each(&bad);
        }
    }
}
