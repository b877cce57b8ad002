//! Independent programs judge what our importer reads, an independent library our MLS ([`mls`]).
//!
//! `tests/interop/judge_ecg.py` reads each file with `wfdb` or `pydicom`, our `ecg_dump` reads the same file,
//! and every sample, gain, rate and lead name must be equal. A difference fails the test; so does a reader
//! that cannot be started, once the requirement is there. What the judges print stands in the failure.
//!
//! Not here: whether the file itself is right, and how an ECG is drawn (`aidmesh-ecg` tests that).

mod mls;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::harness::{JUDGES, RECORDINGS, Test, project};

const LAYER: &str = "judges";

/// The tests of this layer.
pub(crate) fn tests() -> Vec<Test> {
    ecg_tests().into_iter().chain(mls::tests()).collect()
}

fn ecg_tests() -> Vec<Test> {
    vec![
        Test::new(LAYER, "generated_dicom_is_read_alike", || {
            let empty = Path::new(env!("CARGO_TARGET_TMPDIR")).join("judges-empty");
            std::fs::create_dir_all(&empty)?;
            let report = judge(&empty)?;
            assert!(report.contains("2 of 2 equal"), "{report}");
            Ok(())
        })
        .needs(&JUDGES),
        Test::new(LAYER, "recordings_are_read_alike", || {
            let report = judge(&RECORDINGS.find()?)?;
            let read = |kind| report.lines().filter(|line| line.contains(kind)).count();
            assert!(read("leads x") > 2, "no recording was judged:\n{report}");
            Ok(())
        })
        .needs(&JUDGES)
        .needs(&RECORDINGS),
    ]
}

/// What the judges say about all records below `folder` and two generated ones; `Err` if one differs.
fn judge(folder: &Path) -> Result<String, String> {
    let dump = DUMP.as_ref().map_err(String::clone)?;
    let output = Command::new(JUDGES.find()?)
        .arg(project().join("tests/interop/judge_ecg.py"))
        .args([dump.as_path(), folder])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(report),
        false => Err(format!("{report}\n{}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// The program of ours that is judged, built once.
pub(crate) static DUMP: LazyLock<Result<PathBuf, String>> = LazyLock::new(build_dump);

fn build_dump() -> Result<PathBuf, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let build = ["build", "-p", "aidmesh-ecg", "--example", "ecg_dump"];
    let output = Command::new(cargo)
        .args(build)
        .args(["--message-format", "json"])
        .current_dir(project())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cargo build: {e}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut built = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "ecg_dump").then_some(())?;
        message["executable"].as_str().map(PathBuf::from)
    });
    built
        .next_back()
        .ok_or_else(|| "cargo names no program ecg_dump".to_owned())
}
