//! Processes end when they must, with all that they started.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Process, Role, Stage, end_of, free_ports, peak_bytes, role};
use crate::demo::transcript::Place;

fn shell(script: &str) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null()).process_group(0);
    Process::start(Place::Relay, &mut command, PathBuf::from("nowhere")).unwrap()
}

/// A zombie that waits for init is gone too.
fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

async fn written(path: &std::path::Path) -> u32 {
    loop {
        if let Ok(pid) = std::fs::read_to_string(path).unwrap_or_default().trim().parse() {
            return pid;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_dropped_process_is_gone_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let process = shell(&format!("sleep 1000 & echo $! > {}; wait", file.display()));
    let (parent, child) = (process.id(), written(&file).await);
    assert!(alive(parent) && alive(child));
    drop(process);
    assert!(!alive(parent));
    while alive(child) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_process_that_stops_by_itself_is_told() {
    let mut lives = shell("exec sleep 1000");
    assert!(lives.check().is_ok());
    lives.stop().await;
    assert!(lives.check().is_err());
    let mut ends = shell("exit 3");
    assert_eq!(ends.wait(Duration::from_secs(60)).await.unwrap().code(), Some(3));
    let said = ends.check().unwrap_err().to_string();
    assert_eq!(said, "the relay ended by itself: it said nothing");
}

#[tokio::test]
async fn the_folder_is_for_this_user_and_goes_away_unless_it_is_kept() {
    let stage = Stage::new(false, vec![]).unwrap();
    let path = stage.path().to_path_buf();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert!(!stage.kept() && stage.data(Place::Relay) != stage.state(Place::Relay));
    drop(stage);
    assert!(!path.exists());

    let stage = Stage::new(true, vec![]).unwrap();
    let path = stage.path().to_path_buf();
    assert!(stage.kept());
    drop(stage);
    assert!(path.exists());
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn the_peak_of_memory_is_read() {
    let status = "Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t   12 kB\nVmRSS:\t    9 kB\n";
    assert_eq!(peak_bytes(status), Some(12_288));
    assert_eq!(peak_bytes("Name:\tx\n"), None);
}

#[test]
fn the_last_words_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    std::fs::write(&log, "first\nlast word \n\n").unwrap();
    assert_eq!(end_of(&log), "last word");
    assert_eq!(end_of(&folder.path().join("none")), "it said nothing");
}

#[test]
fn free_ports_can_be_used() {
    let (udp, tcp) = free_ports().unwrap();
    assert!(udp > 0 && tcp > 0);
}

#[test]
fn hidden_words_are_taken_off() {
    let words = |words: &[&str]| words.iter().map(std::ffi::OsString::from).collect::<Vec<_>>();
    let plain = words(&["aidmesh", "run", "--json"]);
    assert_eq!(role(plain.clone()), Role::Program(plain));
    assert_eq!(role(words(&["aidmesh"])), Role::Program(words(&["aidmesh"])));
    let relay = role(words(&["aidmesh", "__relay", "run"]));
    assert_eq!(relay, Role::Relay(words(&["aidmesh", "run"])));
}
