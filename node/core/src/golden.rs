//! Golden vectors: bytes that must never change by accident. A test builds its vectors and
//! compares them with `vectors/<file>.hex`, one `name hex` a line.
//!
//! After a wanted change of a layout run the tests once with `AIDMESH_WRITE_VECTORS=1`, look at
//! the difference, and raise the version that the layout carries.

use std::fmt::Write;
use std::path::Path;

/// Compares `vectors` with the file, or writes it.
pub(crate) fn check(file: &str, vectors: &[(&str, &[u8])]) {
    let mut text = String::new();
    for (name, bytes) in vectors {
        write!(text, "{name} ").unwrap();
        bytes.iter().for_each(|b| write!(text, "{b:02x}").unwrap());
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
    assert_eq!(text, golden, "{} no longer holds", path.display());
}
