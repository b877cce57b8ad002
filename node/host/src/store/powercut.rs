//! The power is cut at a random moment: what was acknowledged is there, whole.
//!
//! The process of `crash` writes under a recorder (`powercut/record.c`, preloaded, built with the C
//! compiler that links Rust programs). Its record is replayed up to a random operation into a new folder:
//! bytes that were synced are there, and of each page of 4 KiB that was not, chance decides (none, three or
//! seven of ten). Then vault and store are opened and every row is looked at.
//!
//! Names are taken to be on the disk at once (ext4 with its journal); `sync_file_range` counts for nothing,
//! as its manual page says. The judge is judged too: the same record, read as if the file with the rows had
//! never been synced, must lose something.

use super::crash::{child_of, is_long, look, open_at, prepare};
use super::*;
use aidmesh_core::crypto::Stream;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const PAGE: u64 = 4096;
/// Operations that create store and vault, and a few more.
const CREATION: usize = 60;

/// One operation of the record.
struct Op {
    what: u8,
    path: PathBuf,
    a: u64,
    bytes: Vec<u8>,
}

/// A file as it is on the disk, and what was written to it since.
#[derive(Clone, Default)]
struct Kept {
    safe: Vec<u8>,
    /// Each with its number in the record.
    unsafe_yet: Vec<(usize, Change)>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(at, bytes) => {
            let (at, end) = (*at as usize, *at as usize + bytes.len());
            image.resize(image.len().max(end), 0);
            image[at..end].copy_from_slice(bytes);
        }
        Change::Truncate(to) => image.resize(*to as usize, 0),
    }
}

/// The child's record after it wrote for a while into `folder`.
fn recorded(dir: &Path, folder: &Path) -> Vec<Op> {
    let library = dir.join("record.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/powercut/record.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-w", "-o"])
        .args([&library, &source])
        .args(["-ldl", "-lpthread"])
        .status();
    assert!(built.unwrap().success(), "the recorder is built with cc");
    let log = dir.join("log");
    let mut child = child_of(folder)
        .env("LD_PRELOAD", &library)
        .env("RECORD_DIR", folder)
        .env("RECORD_LOG", &log)
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    std::thread::sleep(Duration::from_millis(if is_long() { 6000 } else { 2500 }));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap().unwrap();
    let ops = parse(&std::fs::read(&log).unwrap());
    assert!(ops.len() > 100, "the recorder saw the process write");
    ops
}

fn parse(mut bytes: &[u8]) -> Vec<Op> {
    let mut ops = Vec::new();
    while let Some(op) = parse_one(&mut bytes) {
        ops.push(op);
    }
    ops
}

/// `None` at the end, which a kill may have torn.
fn parse_one(bytes: &mut &[u8]) -> Option<Op> {
    let (&[what, low, high], rest) = bytes.split_first_chunk()?;
    let (path, rest) = rest.split_at_checked(u16::from_le_bytes([low, high]).into())?;
    let (a, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let (data, rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(Op {
        what,
        path: PathBuf::from(std::str::from_utf8(path).unwrap()),
        a: u64::from_le_bytes(*a),
        bytes: data.to_vec(),
    })
}

/// What the disk holds while a record is replayed.
#[derive(Default)]
struct Replay {
    files: BTreeMap<PathBuf, Kept>,
    dirs: Vec<PathBuf>,
    syncs: BTreeMap<u64, usize>,
    told: String,
    /// Syncs of files with this name count for nothing.
    deaf: Option<&'static str>,
}

impl Replay {
    fn step(&mut self, number: usize, op: &Op) {
        match op.what {
            b'W' => self.change(number, &op.path, Change::Write(op.a, op.bytes.clone())),
            b'T' => self.change(number, &op.path, Change::Truncate(op.a)),
            b'B' => {
                self.syncs.insert(op.a, number);
            }
            b'S' => self.sync(&op.path, self.syncs[&op.a]),
            b'N' => self.rename(&op.path, Path::new(std::str::from_utf8(&op.bytes).unwrap())),
            b'U' => {
                self.files.remove(&op.path);
                self.dirs.retain(|dir| *dir != op.path);
            }
            b'M' => self.dirs.push(op.path.clone()),
            b'A' => self.told.push_str(&String::from_utf8_lossy(&op.bytes)),
            what => panic!("operation {what}"),
        }
    }

    fn change(&mut self, number: usize, path: &Path, change: Change) {
        let file = self.files.entry(path.to_owned()).or_default();
        file.unsafe_yet.push((number, change));
    }

    fn sync(&mut self, path: &Path, before: usize) {
        if self.deaf.is_some_and(|name| path.ends_with(name)) {
            return;
        }
        if let Some(file) = self.files.get_mut(path) {
            let (safe, left) = std::mem::take(&mut file.unsafe_yet)
                .into_iter()
                .partition(|(number, _)| *number < before);
            file.unsafe_yet = left;
            let safe: Vec<(usize, Change)> = safe;
            for (_, change) in &safe {
                apply(&mut file.safe, change);
            }
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let moved = |path: &Path| path.strip_prefix(from).ok().map(|rest| to.join(rest));
        let files = std::mem::take(&mut self.files).into_iter();
        let (moving, mut staying): (Vec<_>, BTreeMap<_, _>) = files.fold(
            (Vec::new(), BTreeMap::new()),
            |(mut moving, mut staying), (path, file)| {
                match path.strip_prefix(from) {
                    Ok(rest) if rest.as_os_str().is_empty() => moving.push((to.to_owned(), file)),
                    Ok(rest) => moving.push((to.join(rest), file)),
                    Err(_) => {
                        staying.insert(path, file);
                    }
                }
                (moving, staying)
            },
        );
        staying.extend(moving);
        self.files = staying;
        for dir in &mut self.dirs {
            if let Some(new) = moved(dir) {
                *dir = new;
            }
        }
    }

    /// The last number that was told.
    fn acknowledged(&self) -> u64 {
        // a line that is not whole was not told
        let whole = self.told.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let last = whole.lines().rev().find_map(|line| line.split_once("ack "));
        last.map_or(0, |(_, number)| number.parse().unwrap())
    }

    /// Writes what is left after the cut; each page that was not synced survives in `tenths` of ten cases.
    fn write(&self, from: &Path, to: &Path, tenths: u64, chance: &mut Stream) {
        let place = |path: &Path| to.join(path.strip_prefix(from).unwrap());
        for dir in &self.dirs {
            std::fs::create_dir_all(place(dir)).unwrap();
        }
        for (path, file) in &self.files {
            let mut image = file.safe.clone();
            for (_, change) in &file.unsafe_yet {
                for change in pages(change) {
                    if chance.below(10) < tenths {
                        apply(&mut image, &change);
                    }
                }
            }
            let path = place(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, image).unwrap();
        }
    }
}

fn pages(change: &Change) -> Vec<Change> {
    let Change::Write(at, bytes) = change else {
        return vec![change.clone()];
    };
    let mut pages = Vec::new();
    let (mut at, mut rest) = (*at, &bytes[..]);
    while !rest.is_empty() {
        let room = (PAGE - at % PAGE) as usize;
        let (page, left) = rest.split_at(room.min(rest.len()));
        pages.push(Change::Write(at, page.to_vec()));
        at += page.len() as u64;
        rest = left;
    }
    pages
}

/// Cuts the record at `cut` operations and looks at what is left.
fn look_after(
    ops: &[Op],
    cut: usize,
    engine: EngineKind,
    before: (&Path, &BTreeMap<PathBuf, Kept>),
    deaf: Option<&'static str>,
    chance: &mut Stream,
) -> Result<u64, String> {
    let (folder, files) = before;
    let mut replay = Replay {
        files: files.clone(),
        deaf,
        ..Replay::default()
    };
    for (number, op) in ops[..cut].iter().enumerate() {
        replay.step(number, op);
    }
    let image = TempDir::new().unwrap();
    let tenths = [0, 0, 3, 7][chance.below(4) as usize];
    replay.write(folder, image.path(), tenths, chance);
    look(&*open_at(image.path(), engine)?, replay.acknowledged())
}

/// Cuts the record after each of the operations that create the store.
fn cut_everywhere(ops: &[Op], engine: EngineKind, before: (&Path, &BTreeMap<PathBuf, Kept>)) {
    let mut chance = Stream::new([1; 32]);
    for cut in 0..CREATION {
        for _ in 0..4 {
            let looked = look_after(ops, cut, engine, before, None, &mut chance);
            assert!(looked.is_ok(), "{engine}, after {cut} operations: {looked:?}");
        }
    }
}

fn cut_and_look(engine: EngineKind) {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    prepare(&folder, engine);
    let files = ["engine", "vault"].map(|name| {
        let path = folder.join(name);
        let safe = std::fs::read(&path).unwrap();
        let file = Kept {
            safe,
            ..Kept::default()
        };
        (path, file)
    });
    let before = BTreeMap::from(files);
    let ops = recorded(dir.path(), &folder);
    cut_everywhere(&ops, engine, (&folder, &before));
    // the same cuts each time; with AIDMESH_LONG=1 others each time
    let mut seed = [0; 32];
    if is_long() {
        getrandom::fill(&mut seed).unwrap();
    }
    let mut chance = Stream::new(seed);
    let cuts = if is_long() { 150 } else { 12 };
    let (mut batches, mut lost) = (0, 0);
    for number in 0..cuts {
        let cut = chance.below(ops.len() as u64) as usize;
        let mut run = |deaf| look_after(&ops, cut, engine, (&folder, &before), deaf, &mut chance);
        match run(None) {
            Ok(number) => batches += number,
            Err(what) => panic!("{engine}, seed {seed:?}, cut {number} after {cut} operations: {what}"),
        }
        lost += u64::from(run(Some(engine.main_file())).is_err());
    }
    assert!(batches > 0, "no cut came after an acknowledged batch");
    assert!(lost > 0, "this judge sees no loss");
    println!("{engine}: {cuts} cuts clean, {batches} batches looked at; without its syncs {lost} are not");
}

#[test]
fn sled_survives_power_cuts() {
    cut_and_look(EngineKind::Sled);
}

#[test]
fn redb_survives_power_cuts() {
    cut_and_look(EngineKind::Redb);
}
