//! What some tests need beyond Rust and a C compiler, and how to find out whether it is there.
//!
//! A requirement is looked for once, when the first test that needs it runs, and yields the path that the
//! tests then use (a folder, an interpreter). To add one: a `static`, a `find_*` function, a place in
//! [`ALL`]; and, where it can be installed without asking, a step in `tests/run`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Something that may be missing on a machine.
pub(crate) struct Requirement {
    /// The word used in `AIDMESH_REQUIRE`.
    pub(crate) name: &'static str,
    /// How to get it, one line for a person.
    pub(crate) get: &'static str,
    found: LazyLock<Result<PathBuf, String>>,
}

impl Requirement {
    /// The path to use, or why there is none.
    pub(crate) fn find(&self) -> Result<PathBuf, String> {
        self.found.clone()
    }

    pub(super) const fn new(
        name: &'static str,
        get: &'static str,
        find: fn() -> Result<PathBuf, String>,
    ) -> Requirement {
        Requirement {
            name,
            get,
            found: LazyLock::new(find),
        }
    }
}

/// All requirements, for checking the names in `AIDMESH_REQUIRE`.
pub(super) static ALL: [&Requirement; 5] = [&RECORDINGS, &JUDGES, &GIT, &SYSTEMD, &PRODUCT];

/// Real ECG recordings; yields their folder. They are not part of the project: their licences differ.
pub(crate) static RECORDINGS: Requirement = Requirement::new(
    "recordings",
    "put a folder with recordings beside the project: ../shared/data",
    find_recordings,
);

/// Independent readers of clinical formats, written by others; yields a Python that can import them.
pub(crate) static JUDGES: Requirement = Requirement::new(
    "judges",
    "bash tests/run (installs them into target/, needs python3 and venv)",
    find_judges,
);

/// Applies the patches of a page; yields the program.
pub(crate) static GIT: Requirement = Requirement::new("git", "install git", find_git);

/// Judges unit files; yields the program.
pub(crate) static SYSTEMD: Requirement = Requirement::new("systemd", "install systemd", find_systemd);

/// The program as it is shipped; yields its path.
pub(crate) static PRODUCT: Requirement =
    Requirement::new("product", "cargo build --release -p aidmesh", find_product);

fn find_recordings() -> Result<PathBuf, String> {
    let folder = project().join("../shared/data");
    folder
        .canonicalize()
        .map_err(|_| "no folder ../shared/data".to_owned())
}

fn find_judges() -> Result<PathBuf, String> {
    let python = target().join("judges/bin/python");
    let imports = ["-c", "import blake3, numpy, pydicom, wfdb"];
    match Command::new(&python).args(imports).output() {
        Err(_) => Err("no Python environment target/judges".to_owned()),
        Ok(output) if !output.status.success() => Err("target/judges cannot import its packages".to_owned()),
        Ok(_) => Ok(python),
    }
}

fn find_git() -> Result<PathBuf, String> {
    match Command::new("git").arg("--version").output() {
        Ok(output) if output.status.success() => Ok(PathBuf::from("git")),
        _ => Err("git does not start".to_owned()),
    }
}

fn find_systemd() -> Result<PathBuf, String> {
    match Command::new("systemd-analyze").arg("--version").output() {
        Ok(output) if output.status.success() => Ok(PathBuf::from("systemd-analyze")),
        _ => Err("systemd-analyze does not start".to_owned()),
    }
}

fn find_product() -> Result<PathBuf, String> {
    let program = target().join("release/aidmesh");
    match program.is_file() {
        true => Ok(program),
        false => Err("no program target/release/aidmesh".to_owned()),
    }
}

/// The root of the project.
pub(crate) fn project() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the package tests lies in the project")
        .to_owned()
}

/// Cargo's target folder, wherever it was put.
pub(crate) fn target() -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    scratch
        .parent()
        .expect("Cargo makes the folder tmp inside target")
        .to_owned()
}
