//! Golden vectors: `vectors/<name>.hex` holds one `label hex` line per case, in lower case. A test
//! computes the lines again and compares. After a deliberate change of a layout,
//! `AIDMESH_WRITE_VECTORS=1 cargo test -p aidmesh-core` writes them; the diff is the change.

use crate::crypto::Stream;

/// Compares `cases` with the file, or writes it.
pub(crate) fn check(name: &str, cases: &[(&str, Vec<u8>)]) {
    let path = format!("{}/vectors/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    let text: String = cases
        .iter()
        .map(|(label, bytes)| {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            format!("{label} {hex}\n")
        })
        .collect();
    if std::env::var_os("AIDMESH_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{path}");
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
        try_one(&bytes);
    }
}
