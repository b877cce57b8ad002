//! The demo, run as a stranger runs it: what it claims is asserted here, gate by gate.
//!
//! The product binary plays; planted faults are in the program under test, which the demo starts again for
//! its processes. Timed gates are printed, not asserted, since the machine may be busy. What a demo prints is
//! kept in the failure.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::harness::{PRODUCT, RECORDINGS, Test, project};

const LAYER: &str = "demo";

/// The program that takes `--break`.
const UNDER_TEST: &str = env!("CARGO_BIN_EXE_aidmesh-under-test");

/// Gates whose values depend on how busy the machine is.
const TIMED: [&str; 4] = ["G1", "G4", "G8", "G10"];

/// The tests of this layer.
pub(crate) fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new(LAYER, "the_product_takes_no_fault", || {
            let output = run(&product()?, &["demo", "--exit", "--break", "truth"])?;
            assert_eq!(output.status.code(), Some(2));
            Ok(())
        })
        .needs(&PRODUCT),
    ];
    tests.extend(whole_runs());
    if std::env::var_os("AIDMESH_LONG").is_some() {
        tests.push(all_recordings());
    }
    let faults = [("blind", "G3"), ("truth", "G2"), ("resume", "G6")];
    tests.extend(faults.into_iter().map(|(fault, gate)| {
        Test::new(LAYER, format!("a_planted_fault_is_named_{fault}"), move || {
            let _alone = alone();
            let output = run(Path::new(UNDER_TEST), &["demo", "--exit", "--break", fault])?;
            let printed = String::from_utf8(output.stdout)?;
            assert_eq!(output.status.code(), Some(1), "{printed}");
            let names = |gate: &str| printed.contains(&format!("RESULT   FAILED at {gate}:"));
            if TIMED.iter().any(|gate| names(gate)) {
                // the machine was busy, and the first gate that failed is named: look at all of them
                let output = run(
                    Path::new(UNDER_TEST),
                    &["demo", "--json", "--exit", "--break", fault],
                )?;
                let printed = String::from_utf8(output.stdout)?;
                let summary: Value = serde_json::from_str(printed.lines().last().unwrap_or_default())?;
                let mut failed = failed(&summary);
                failed.retain(|gate| !TIMED.contains(&gate.as_str()));
                assert_eq!(failed, [gate], "{printed}");
            } else {
                assert!(names(gate), "{printed}");
            }
            Ok(())
        })
    }));
    tests
}

/// One demo at a time: each is measured, and a relay that is started again wants its port back.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whole runs of the product.
fn whole_runs() -> Vec<Test> {
    vec![
        Test::new(LAYER, "every_gate_holds", || {
            let summary = play(&product()?, &["--seed", "7"])?;
            let mut gates = gates(&summary);
            gates.dedup();
            assert_eq!(gates, ["G1", "G2", "G3", "G4", "G6", "G7", "G8", "G10"]);
            Ok(())
        })
        .needs(&PRODUCT),
        Test::new(LAYER, "transcript_reads_as_specified", || {
            let _alone = alone();
            let play = || run(&product()?, &["demo", "--exit", "--seed", "7"]);
            let mut printed = String::from_utf8(play()?.stdout)?;
            if !printed.contains("AT RELAY") {
                // a lost packet with the relay's receipt: the word of the doctor's device was here before it
                printed = String::from_utf8(play()?.stdout)?;
            }
            let expected = std::fs::read_to_string(project().join("tests/demo/expected.txt"))?;
            let masked = aidmesh::demo::transcript::masked(&printed);
            let timed = printed.lines().any(|line| {
                let late = |gate: &str| line.starts_with(&format!("RESULT   FAILED at {gate}:"));
                TIMED.iter().any(|gate| late(gate))
            });
            match timed {
                // only the last lines differ then, and the gates are judged elsewhere
                true => assert_eq!(places(body(&masked)), places(body(&expected)), "{printed}"),
                false => assert_eq!(places(&masked), places(&expected), "{printed}"),
            }
            Ok(())
        })
        .needs(&PRODUCT),
        Test::new(LAYER, "a_killed_relay_goes_on_where_it_was", || {
            play(&product()?, &["--seed", "7", "--kill", "relay"])?;
            Ok(())
        })
        .needs(&PRODUCT),
    ]
}

/// Each recording in a run of its own, a quarter of an hour together.
fn all_recordings() -> Test {
    Test::new(LAYER, "recordings_arrive_byte_for_byte", || {
        let folder = RECORDINGS.find()?;
        let files = recordings(&folder)?;
        assert!(!files.is_empty(), "no recording below {}", folder.display());
        for file in files {
            let name = file.display().to_string();
            let summary = play(&product()?, &["--ecg", &name]).map_err(|why| format!("{name}: {why}"))?;
            assert_eq!(summary["integrity"]["original_equal"], true, "{name}");
        }
        Ok(())
    })
    .needs(&PRODUCT)
    .needs(&RECORDINGS)
}

fn product() -> Result<std::path::PathBuf, String> {
    PRODUCT.find()
}

/// Plays with `--json --exit` and more, and gives the summary. A timed gate that failed is tried once more,
/// alone, and then printed; any other one is an error.
fn play(program: &Path, more: &[&str]) -> Result<Value, String> {
    let mut summary = play_once(program, more)?;
    if !late(&summary).is_empty() {
        summary = play_once(program, more)?;
    }
    for gate in late(&summary) {
        println!(
            "demo: {gate} is over its limit on this machine: {}",
            summary["gates"]
        );
    }
    Ok(summary)
}

fn play_once(program: &Path, more: &[&str]) -> Result<Value, String> {
    let _alone = alone();
    let arguments = [&["demo", "--json", "--exit"], more].concat();
    let output = run(program, &arguments)?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let all = || format!("{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    let last = printed.lines().last().unwrap_or_default();
    let summary: Value = serde_json::from_str(last).map_err(|why| format!("{why}\n{}", all()))?;
    if summary["schema"] != "aidmesh.demo/1" {
        return Err(all());
    }
    let failed = failed(&summary);
    let only_late = failed.iter().all(|gate| TIMED.contains(&gate.as_str()));
    if !only_late || summary["gates"].as_array().is_none_or(Vec::is_empty) {
        return Err(format!("failed: {failed:?}\n{}", all()));
    }
    let fine = failed.is_empty();
    if summary["ok"] != fine || output.status.success() != fine {
        return Err(format!(
            "the exit code says something else than the gates\n{}",
            all()
        ));
    }
    Ok(summary)
}

fn gates(summary: &Value) -> Vec<&str> {
    let gates = summary["gates"].as_array().into_iter().flatten();
    gates.filter_map(|gate| gate["id"].as_str()).collect()
}

fn failed(summary: &Value) -> Vec<String> {
    let gates = summary["gates"].as_array().into_iter().flatten();
    let failed = gates.filter(|gate| gate["pass"] != true);
    failed
        .filter_map(|gate| gate["id"].as_str())
        .map(str::to_owned)
        .collect()
}

fn late(summary: &Value) -> Vec<String> {
    failed(summary)
}

fn run(program: &Path, arguments: &[&str]) -> Result<Output, String> {
    let output = Command::new(program)
        .args(arguments)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .output();
    output.map_err(|why| format!("{}: {why}", program.display()))
}

/// The lines of each place in their order; what different places did at about the same time may be told in
/// either order.
fn places(transcript: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = transcript.lines().collect();
    let place = |line: &&str| {
        let told = line.strip_prefix("  # s   ");
        told.and_then(|rest| rest.split_whitespace().next())
            .unwrap_or_default()
            .to_owned()
    };
    lines.sort_by_key(place);
    lines
}

/// All before the verdict.
fn body(transcript: &str) -> &str {
    transcript.split("RESULT").next().unwrap_or_default()
}

/// Recordings of the formats that are read: one file for each.
fn recordings(folder: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|why| why.to_string())?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "hea" || end == "dcm") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
