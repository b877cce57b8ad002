//! `docs/tutorial/first-case.md` works as it is written.
//!
//! All `sh tutorial` fences of the page run in one `bash -eu`, as a reader pastes them into one terminal,
//! with the programs under test on PATH under the names of the products. What a `text shows` fence says
//! must be among what the fence before it printed, line by line and in that order: ids, times and other
//! numbers may differ, ` ...` at the end stands for the rest of a line. Replaced in the text are only the
//! folder and the command that cargo built (there is one build already) and the ports, for free ones.
//!
//! However it ends, what the shell started is ended by its process id. What the program says is in the page
//! and nowhere here, save the evidence of the last word, which is read from JSON.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Test, project};
use crate::judges;

const LAYER: &str = "tutorial";
/// The page; `docs` knows that its fences run here.
pub(crate) const PAGE: &str = "docs/tutorial/first-case.md";
/// Longest run of the whole page; a program that waits for a state fails by itself long before.
const TIME_MAX: Duration = Duration::from_secs(300);
/// Begins a line that tells which fence prints from here on.
const MARK: &str = "::fence ";
/// Runs at the end, good or bad: ends what was started, tells the logs of a failure, leaves nothing behind.
const END: &str = r#"end() {
    code=$?
    for pid in $(jobs -p); do kill "$pid" || true; done
    wait || true
    test $code = 0 || tail -n 20 "${SCRATCH:-/nowhere}"/*.log || true
    rm -rf "${SCRATCH:-/nowhere}"
    exit $code
}
trap end EXIT
"#;
/// The commands' names and the programs that stand for them.
const PROGRAMS: [(&str, &str); 2] = [
    ("aidmesh", env!("CARGO_BIN_EXE_aidmesh-under-test")),
    ("aidmesh-relay", env!("CARGO_BIN_EXE_aidmesh-relay-under-test")),
];
const BUILT_FOLDER: &str = "$PWD/target/release";
const SAMPLE: &str = "cargo run --release --quiet -p aidmesh-ecg --example ecg_dump --";
const PORT_UDP: &str = "127.0.0.1:7443";
const PORT_TCP: &str = "127.0.0.1:9464";

/// The tests of this layer.
pub(crate) fn tests() -> Vec<Test> {
    let first_case = Test::new(LAYER, "first_case", || {
        let page = fs::read_to_string(project().join(PAGE)).map_err(|e| format!("{PAGE}: {e}"))?;
        let steps = steps(&page);
        assert!(
            steps.iter().filter(|step| !step.shows.is_empty()).count() >= 5,
            "the page shows what its commands print"
        );
        let printed = run(&script(&steps)?)?;
        for (step, printed) in steps.iter().zip(of_each_step(&printed, steps.len())?) {
            step.compare(&printed)?;
        }
        acknowledged(&printed)?;
        Ok(())
    });
    let masks = Test::new(LAYER, "numbers_may_differ_and_words_may_not", || {
        let alike = |line, printed| matches(line, printed);
        assert!(alike("Medic A, device 3e06019b.", "Medic A, device 00afbcde."));
        assert!(alike("stored 01:27:00Z", "stored 23:59:59Z"));
        assert!(alike("Six words: ...", "Six words: a b c"));
        assert!(!alike("Delivered 01:27", "Stored 01:27"));
        assert!(!alike("exit code 3", "exit code "));
        assert!(!alike("Six words: ...", "Seven words: a b c"));
        Ok(())
    });
    vec![first_case, masks]
}

/// Commands of one fence, and the lines that the page shows for them.
struct Step {
    line: usize,
    commands: String,
    shows: Vec<String>,
}

impl Step {
    fn compare(&self, printed: &str) -> Result<(), String> {
        let mut lines = printed.lines();
        for shown in &self.shows {
            if !lines.any(|line| matches(shown, line)) {
                let line = self.line;
                return Err(format!(
                    "{PAGE}:{line}: this is shown and was not printed there:\n{shown}\n\nprinted:\n{printed}"
                ));
            }
        }
        Ok(())
    }
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = (1..).zip(page.lines());
    while let Some((line, text)) = lines.next() {
        let Some(info) = text.strip_prefix("```") else {
            continue;
        };
        let inside = lines.by_ref().map(|(_, text)| text.to_owned());
        let inside: Vec<String> = inside.take_while(|text| text != "```").collect();
        match (info, steps.last_mut()) {
            ("sh tutorial", _) => steps.push(Step {
                line,
                commands: inside.join("\n"),
                shows: Vec::new(),
            }),
            ("text shows", Some(step)) => step.shows.extend(inside),
            _ => {}
        }
    }
    steps
}

/// The page as one script that says which fence prints, ends what it started, and stops at the first error.
fn script(steps: &[Step]) -> Result<String, String> {
    let programs = programs()?;
    let sample = judges::DUMP.as_ref().map_err(String::clone)?;
    let (udp, tcp) = free_ports()?;
    let replaced = [
        (BUILT_FOLDER, programs.display().to_string()),
        (SAMPLE, format!("'{}'", sample.display())),
        (PORT_UDP, udp),
        (PORT_TCP, tcp),
    ];
    let mut script = END.to_owned();
    for (number, step) in steps.iter().enumerate() {
        script += &format!("echo '{MARK}{number}'\n{}\n", step.commands);
    }
    for (from, to) in &replaced {
        if !script.contains(from) {
            return Err(format!("{PAGE} no longer has {from}"));
        }
        script = script.replace(from, to);
    }
    Ok(script)
}

/// A folder with the programs under their names.
fn programs() -> Result<PathBuf, String> {
    let folder = scratch("programs")?;
    for (name, program) in PROGRAMS {
        symlink(program, folder.join(name)).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(folder)
}

fn scratch(name: &str) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tutorial").join(name);
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed)?;
    }
    fs::create_dir_all(&folder).map_err(failed)?;
    Ok(folder)
}

fn free_ports() -> Result<(String, String), String> {
    let failed = |e: std::io::Error| format!("no free port: {e}");
    let udp = UdpSocket::bind("127.0.0.1:0").map_err(failed)?;
    let tcp = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let (udp, tcp) = (
        udp.local_addr().map_err(failed)?,
        tcp.local_addr().map_err(failed)?,
    );
    Ok((udp.to_string(), tcp.to_string()))
}

/// Runs it and gives all that it printed, on both streams, in order.
fn run(script: &str) -> Result<String, String> {
    let (folder, home) = (scratch("run")?, scratch("home")?);
    let file = folder.join("page.sh");
    let printed = folder.join("printed");
    let failed = |e: std::io::Error| e.to_string();
    fs::write(&file, script).map_err(failed)?;
    let out = fs::File::create(&printed).map_err(failed)?;
    let bash = Command::new("bash")
        .arg("-eu")
        .arg(&file)
        .current_dir(project())
        .env("HOME", &home)
        .env_remove("AIDMESH_DATA")
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(failed)?)
        .stderr(out)
        .spawn()
        .map_err(|e| format!("bash: {e}"))?;
    let ended = wait(bash);
    let mut said = String::new();
    let mut file = fs::File::open(&printed).map_err(failed)?;
    file.read_to_string(&mut said).map_err(failed)?;
    match ended {
        Ok(()) => Ok(said),
        Err(why) => Err(format!("{PAGE}: {why}\n{said}")),
    }
}

/// Waits for the end. A shell that takes too long is asked to end, and its trap ends what it started.
fn wait(mut bash: Child) -> Result<(), String> {
    let until = Instant::now() + TIME_MAX;
    let mut asked = false;
    loop {
        match bash.try_wait().map_err(|e| e.to_string())? {
            Some(_) if asked => return Err(format!("did not end in {} s", TIME_MAX.as_secs())),
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(status.to_string()),
            None if !asked && Instant::now() > until => {
                asked = true;
                let id = i32::try_from(bash.id()).ok().and_then(Pid::from_raw);
                let told = id.map(|id| kill_process(id, Signal::TERM));
                told.transpose().map_err(|e| format!("kill: {e}"))?;
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn of_each_step(printed: &str, steps: usize) -> Result<Vec<String>, String> {
    let mut parts = vec![String::new()];
    for line in printed.lines() {
        match line.strip_prefix(MARK) {
            Some(_) => parts.push(String::new()),
            None => {
                let part = parts.last_mut().expect("there is one from the beginning");
                part.push_str(line);
                part.push('\n');
            }
        }
    }
    parts.remove(0);
    match parts.len() == steps {
        true => Ok(parts),
        false => Err(format!("{} of {steps} fences ran:\n{printed}", parts.len())),
    }
}

/// Whether a printed line is the shown one: numbers and ids aside, and up to ` ...` if it ends so.
fn matches(shown: &str, printed: &str) -> bool {
    let printed = masked(printed);
    match shown.strip_suffix("...") {
        Some(beginning) => printed.starts_with(&masked(beginning)),
        None => printed == masked(shown),
    }
}

/// With `#` for each run of hexadecimal digits that has a number in it or is as long as an id.
fn masked(line: &str) -> String {
    let mut masked = String::new();
    let mut run = String::new();
    for c in line.chars().chain(['\n']) {
        if matches!(c, '0'..='9' | 'a'..='f') {
            run.push(c);
            continue;
        }
        match run.len() >= 8 || run.contains(|c: char| c.is_ascii_digit()) {
            true => masked.push('#'),
            false => masked.push_str(&run),
        }
        run.clear();
        masked.push(c);
    }
    masked.trim_end().to_owned()
}

/// The page ends with the status of the ECG as JSON: acknowledged, for one recipient, by an entry of theirs.
fn acknowledged(printed: &str) -> Result<(), String> {
    let mut objects = printed.lines().filter(|line| line.starts_with("{\"schema\""));
    let last = objects.next_back().ok_or("no status as JSON")?;
    let status: Value = serde_json::from_str(last).map_err(|e| format!("{e}: {last}"))?;
    assert_eq!(status["schema"], "aidmesh.status/1", "{last}");
    assert_eq!(status["recipients"].as_array().map(Vec::len), Some(1), "{last}");
    let recipient = &status["recipients"][0];
    let said = ["person", "state", "act", "evidence"].map(|key| recipient[key].as_str());
    let wanted = ["Dr K", "acknowledged", "activated", "entry"].map(Some);
    assert_eq!(said, wanted, "{last}");
    Ok(())
}
