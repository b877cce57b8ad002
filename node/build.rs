//! Tells the program which commit it was built from, if it was built in a repository.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let git = manifest.and_then(|node| Some(node.parent()?.join(".git")));
    if let Some(commit) = git.and_then(|git| commit(&git)) {
        println!("cargo:rustc-env=AIDMESH_COMMIT={commit}");
    }
}

/// What HEAD names, read as `gitrepository-layout` describes it.
fn commit(git: &Path) -> Option<String> {
    let head = watched(&git.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else {
        return hash(&head);
    };
    let loose = watched(&git.join(name)).and_then(|text| hash(&text));
    let packed = || {
        let refs = watched(&git.join("packed-refs"))?;
        let mut lines = refs.lines().filter_map(|line| line.split_once(' '));
        lines.find_map(|(id, of)| hash(id).filter(|_| of == name))
    };
    loose.or_else(packed)
}

/// The text of a file, which is looked at again when it changes.
fn watched(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    println!("cargo:rerun-if-changed={}", path.display());
    Some(text.trim().to_owned())
}

fn hash(text: &str) -> Option<String> {
    let is = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
    is.then(|| text.to_owned())
}
