//! Golden vectors: `vectors/<file>.hex` holds one `name hex` line per case, in lower case. A test
//! makes the bytes again and compares. After a wanted change of a layout,
//! `AIDMESH_WRITE_VECTORS=1 cargo test -p aidmesh-core` writes them: look at the difference, and
//! raise the version that the layout carries.

use crate::crypto::Stream;
use std::fmt::Write;
use std::path::Path;

/// Compares `cases` with the file, or writes it.
pub(crate) fn check<B: AsRef<[u8]>>(file: &str, cases: &[(&str, B)]) {
    let mut text = String::new();
    for (name, bytes) in cases {
        write!(text, "{name} ").unwrap();
        bytes
            .as_ref()
            .iter()
            .for_each(|b| write!(text, "{b:02x}").unwrap());
        text.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("vectors")
        .join(file)
        .with_extension("hex");
    if std::env::var_os("AIDMESH_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        golden,
        "{} changed: a new layout needs a new version",
        path.display()
    );
}

/// Bytes of a vector that somebody else published, as hexadecimal digits.
pub(crate) fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len()).step_by(2).map(|i| hex.get(i..i + 2).unwrap());
    digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// `n` damaged copies of `good` for `try_one`: bits flipped, cut, stretched, spliced, or noise.
pub(crate) fn mutate(good: &[u8], n: u32, mut try_one: impl FnMut(&[u8])) {
    let mut random = Stream::new([good.len() as u8; 32]);
    for _ in 0..n {
        let mut bytes = good.to_vec();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64 + 1) as usize;
            let byte = random.below(256) as u8;
            match random.below(6) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, byte),
                2 => bytes.extend_from_slice(&random.array::<7>()),
                3 if at < bytes.len() => drop(bytes.remove(at)),
                4 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][usize::from(byte % 5)],
                _ if at < bytes.len() => bytes[at] ^= 1 << (byte & 7),
                _ => bytes.push(byte),
            }
        }
        if bytes != good {
            try_one(&bytes);
        }
    }
}
