//! A process that writes is killed, again and again: what it had acknowledged is there, whole, and what
//! it had deleted stays away.
//!
//! The process is this test binary itself, running [`child`] alone. Each round it opens vault and store,
//! makes a key for a new thread and writes batches: rows of this one, some of them split, and the
//! deletion of those of [`KEPT`] batches ago. It tells each number once the batch is applied. The parent
//! kills it, opens the store itself and looks at every row. Kills come 5 to 400 ms after the start or after
//! the first number; some rounds begin with no store, so that its creation is hit too.
//!
//! This shows nothing about power cuts: what the kernel holds survives a kill. See `powercut`.

use super::*;
use crate::vault::{Unlock, Vault};
use aidmesh_core::store::rows;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;
use zeroize::Zeroizing;

/// Batches whose rows are there at one time.
const KEPT: u64 = 5;
const ROWS: u64 = 10;
const FOLDER: &str = "AIDMESH_TEST_CRASH";

fn unlock() -> Unlock {
    Unlock::KeyFile(Zeroizing::new([9; 32]))
}

pub(super) fn open_at(folder: &Path, engine: EngineKind) -> Result<Arc<dyn Disk>, String> {
    let vault = Vault::open(&folder.join("vault"), &unlock()).map_err(|e| e.to_string())?;
    open(engine, &folder.join("store"), vault.record_keys()).map_err(|e| e.to_string())
}

/// A thread lasts 7 batches, so that its first row always needs a new key.
fn row(batch: u64, index: u64) -> (Vec<u8>, Vec<u8>) {
    let thread = [(batch / 7).to_be_bytes(), [0x5a; 8]].concat();
    let key = [&b"p"[..], &thread, &batch.to_be_bytes(), &index.to_be_bytes()].concat();
    let length = match index {
        0 => 70_000 + (batch % 9) as usize * 5_000,
        _ => 256,
    };
    let mut value = vec![0; length];
    blake3::Hasher::new().update(&key).finalize_xof().fill(&mut value);
    (key, value)
}

fn counter(disk: &dyn Disk) -> Result<u64, String> {
    let found = disk.get(b"ocounter").map_err(|e| e.to_string())?;
    Ok(found.map_or(0, |row| u64::from_le_bytes(row[..].try_into().unwrap())))
}

fn numbered(number: u64) -> Batch {
    let mut batch = Batch::new();
    for index in 0..ROWS {
        let (key, value) = row(number, index);
        batch.put(key, value);
        if let Some(old) = number.checked_sub(KEPT) {
            batch.delete(row(old, index).0);
        }
    }
    batch.put(b"ocounter".to_vec(), number.to_le_bytes().to_vec());
    batch
}

#[test]
#[ignore = "the process that is killed by other tests"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let engine = std::fs::read_to_string(folder.join("engine")).unwrap();
    let disk = open_at(folder, EngineKind::from_name(&engine).unwrap()).unwrap();
    for number in counter(&*disk).unwrap() + 1.. {
        disk.apply(&[&numbered(number)]).unwrap();
        println!("ack {number}");
    }
}

/// A folder for the child, with a vault and no store.
pub(super) fn prepare(folder: &Path, engine: EngineKind) {
    std::fs::write(folder.join("engine"), engine.name()).unwrap();
    Vault::create(&folder.join("vault"), &unlock()).unwrap();
}

/// The child, about to be started.
pub(super) fn child_of(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "store::crash::child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped());
    command
}

pub(super) fn is_long() -> bool {
    std::env::var_os("AIDMESH_LONG").is_some_and(|set| set == "1")
}

/// Lets the child write for a while, counted from its start or from the first number it tells; the last
/// number it told.
fn killed(folder: &Path, after: Duration, from_first: bool) -> u64 {
    let mut child = child_of(folder).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (first, is_first) = mpsc::channel();
    let told = std::thread::spawn(move || {
        let numbers = lines.map_while(Result::ok).filter_map(|line| {
            let (_, number) = line.split_once("ack ")?;
            first.send(()).ok();
            number.parse().ok()
        });
        numbers.last().unwrap_or(0)
    });
    if from_first {
        is_first.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    std::thread::sleep(after);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "it was killed, it did not fail");
    told.join().unwrap()
}

/// Every row that should be there is, with its value, and no other: the number of the last batch.
pub(super) fn look(disk: &dyn Disk, acknowledged: u64) -> Result<u64, String> {
    let counted = counter(disk)?;
    if !(acknowledged..=acknowledged + 1).contains(&counted) {
        return Err(format!("{acknowledged} was told, {counted} is there"));
    }
    let mut expected = BTreeMap::new();
    for batch in (counted + 1).saturating_sub(KEPT).max(1)..=counted {
        expected.extend((0..ROWS).map(|index| row(batch, index)));
    }
    let found = rows(disk, b"p").map_err(|e| e.to_string())?;
    let found: BTreeMap<Vec<u8>, Vec<u8>> = found.into_iter().map(|(k, v)| (k, v.to_vec())).collect();
    if !found.keys().eq(expected.keys()) {
        return Err(format!("other rows than those up to batch {counted}"));
    }
    match found == expected {
        true => Ok(counted),
        false => Err(format!("other values than those of batch {counted}")),
    }
}

fn kill_and_look(engine: EngineKind) {
    let rounds = if is_long() { 200 } else { 12 };
    let dir = TempDir::new().unwrap();
    let folder = dir.path();
    prepare(folder, engine);
    let (mut acknowledged, mut told) = (0, 0);
    for round in 0..rounds {
        if round % 4 == 3 {
            std::fs::remove_dir_all(folder.join("store")).unwrap();
            acknowledged = 0;
        }
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        let most = if round % 4 == 3 { 60 } else { 400 };
        let after = 5 + u64::from(u16::from_le_bytes(random)) % most;
        let last = killed(folder, Duration::from_millis(after), round % 4 < 2);
        told += last.saturating_sub(acknowledged);
        acknowledged = look(&*open_at(folder, engine).unwrap(), last.max(acknowledged)).unwrap();
    }
    assert!(told > 0, "nothing was ever acknowledged");
    println!("{engine}: {rounds} kills, {told} acknowledged batches");
}

#[test]
fn sled_survives_kills() {
    kill_and_look(EngineKind::Sled);
}

#[test]
fn redb_survives_kills() {
    kill_and_look(EngineKind::Redb);
}
