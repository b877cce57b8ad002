use super::*;
use aidmesh_core::crypto::Secret;
use aidmesh_core::store::{ApplyError, Engine, Visit, conformance, rows};
use sealed::ROW_BYTES;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const ENGINES: [EngineKind; 2] = [EngineKind::Sled, EngineKind::Redb];
const SPLIT_BYTES: usize = 200_000;

/// Keys that no disk holds.
#[derive(Default)]
struct TestKeys {
    keys: Mutex<BTreeMap<Scope, Secret>>,
    broken: AtomicBool,
}

fn id_of(key: &Secret) -> KeyId {
    key.0[..8].try_into().unwrap()
}

impl RecordKeys for TestKeys {
    fn ensure(&self, scopes: &BTreeSet<Scope>) -> Result<(), KeysError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(KeysError::Full);
        }
        let mut keys = self.keys.lock().unwrap();
        for scope in scopes {
            let number = keys.len() as u8 + 1;
            keys.entry(*scope).or_insert(Secret([number; 32]));
        }
        Ok(())
    }

    fn of(&self, scope: Scope) -> Option<(KeyId, Secret)> {
        let keys = self.keys.lock().unwrap();
        keys.get(&scope).map(|key| (id_of(key), key.clone()))
    }

    fn by_id(&self, id: KeyId) -> Option<Secret> {
        let keys = self.keys.lock().unwrap();
        keys.values().find(|key| id_of(key) == id).cloned()
    }
}

/// A disk as the core's suite takes it, with the directory it lives in.
struct Suited(Arc<dyn Disk>, #[allow(dead_code)] Option<TempDir>);

impl Read for Suited {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.0.get(key)
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        self.0.scan(prefix, visit)
    }
}

impl Engine for Suited {
    fn apply(&mut self, batch: &Batch) -> Result<(), ApplyError> {
        self.0.apply(&[batch]).map_err(|e| ApplyError(e.to_string()))
    }
}

fn keys() -> Arc<TestKeys> {
    Arc::new(TestKeys::default())
}

fn sealed_memory(keys: &Arc<TestKeys>) -> (Arc<InMemory>, Sealed) {
    let engine = Arc::new(InMemory::new());
    let sealed = Sealed::new(engine.clone(), keys.clone(), ROW_BYTES);
    (engine, sealed)
}

fn batch(rows: &[(&[u8], &[u8])]) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in rows {
        batch.put(key.to_vec(), value.to_vec());
    }
    batch
}

fn put(disk: &dyn Disk, key: &[u8], value: &[u8]) {
    disk.apply(&[&batch(&[(key, value)])]).unwrap();
}

fn entry_key(thread: u8, n: u8) -> Vec<u8> {
    [&b"p"[..], &[thread; 16], &[n]].concat()
}

#[test]
fn raw_engines_conform() {
    for engine in ENGINES {
        conformance::check(|| {
            let dir = TempDir::new().unwrap();
            Suited(open_raw(engine, &dir.path().join("store")).unwrap(), Some(dir))
        });
    }
    conformance::check(|| Suited(Arc::new(InMemory::new()), None));
    let sound = Faults::default();
    conformance::check(|| Suited(Arc::new(Faulty::new(Arc::new(InMemory::new()), sound)), None));
}

#[test]
fn sealed_engines_conform() {
    for engine in ENGINES {
        conformance::check(|| {
            let dir = TempDir::new().unwrap();
            Suited(
                open(engine, &dir.path().join("store"), keys()).unwrap(),
                Some(dir),
            )
        });
    }
    conformance::check(|| Suited(Arc::new(sealed_memory(&keys()).1), None));
}

#[test]
fn batches_handed_in_together_are_applied_in_order() {
    for engine in ENGINES {
        let dir = TempDir::new().unwrap();
        let disk = open(engine, &dir.path().join("store"), keys()).unwrap();
        let mut second = batch(&[(b"ob", b"2"), (b"oc", b"2")]);
        second.delete(b"oa".to_vec());
        disk.apply(&[&batch(&[(b"oa", b"1"), (b"ob", b"1")]), &second])
            .unwrap();
        let found = rows(&*disk, b"o").unwrap();
        assert_eq!(
            found,
            [(b"ob".to_vec(), "2".into()), (b"oc".to_vec(), "2".into())]
        );
    }
}

#[test]
fn a_store_keeps_its_rows_when_it_is_opened_again() {
    for engine in ENGINES {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("store");
        let keys = keys();
        let large: Vec<u8> = (0..SPLIT_BYTES).map(|n| (n % 251) as u8).collect();
        for round in 0..3u8 {
            let disk = open(engine, &path, keys.clone()).unwrap();
            put(&*disk, &entry_key(1, round), &large);
            put(&*disk, &entry_key(1, 100 + round), &[round]);
            drop(disk);
            let disk = open(engine, &path, keys.clone()).unwrap();
            assert_eq!(rows(&*disk, b"p").unwrap().len(), 2 * (usize::from(round) + 1));
            assert_eq!(disk.get(&entry_key(1, round)).unwrap().unwrap(), large);
            assert!(disk.stats().rows > 2 && disk.stats().bytes_on_disk > SPLIT_BYTES as u64);
        }
    }
}

#[test]
fn a_store_of_another_engine_or_of_something_else_is_not_built_over() {
    for (made, other) in [
        (EngineKind::Sled, EngineKind::Redb),
        (EngineKind::Redb, EngineKind::Sled),
    ] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("store");
        put(&*open(made, &path, keys()).unwrap(), b"oa", b"1");
        assert_eq!(open(other, &path, keys()).err(), Some(StoreError::Foreign(other)));
        assert!(path.join(made.main_file()).exists());
        std::fs::remove_file(path.join(made.main_file())).unwrap();
        std::fs::write(path.join("notes"), "mine").unwrap();
        assert_eq!(open(made, &path, keys()).err(), Some(StoreError::Foreign(made)));
    }
}

#[test]
fn a_creation_that_was_interrupted_is_begun_again() {
    for engine in ENGINES {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("store");
        let half = dir.path().join("store.new");
        std::fs::create_dir(&half).unwrap();
        std::fs::write(half.join(engine.main_file()), "half a header").unwrap();
        put(&*open(engine, &path, keys()).unwrap(), b"oa", b"1");
        assert!(!half.exists());
    }
}

#[test]
fn a_damaged_file_is_an_error() {
    for engine in ENGINES {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("store");
        put(&*open(engine, &path, keys()).unwrap(), b"oa", b"1");
        std::thread::sleep(std::time::Duration::from_millis(100));
        let file = path.join(engine.main_file());
        let len = file.metadata().unwrap().len() as usize;
        std::fs::write(&file, vec![0xa5; len]).unwrap();
        let opened = open(engine, &path, keys());
        // sled takes a log without any readable segment for an empty one; then the row is gone
        match opened {
            Err(StoreError::Damaged(_)) => {}
            Err(other) => panic!("{engine}: {other:?}"),
            Ok(disk) => assert!(
                !matches!(disk.get(b"oa"), Ok(Some(_))),
                "{engine}: the row cannot be there"
            ),
        }
    }
}

#[test]
fn the_same_store_is_not_opened_twice() {
    for engine in ENGINES {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("store");
        let _held = open(engine, &path, keys()).unwrap();
        assert_eq!(open(engine, &path, keys()).err(), Some(StoreError::InUse));
    }
}

#[test]
fn no_value_stands_in_the_files() {
    let secret = b"Mrs. Example, chest pain since 14:05";
    for engine in ENGINES {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("store");
        let disk = open(engine, &path, keys()).unwrap();
        put(&*disk, b"oa", secret);
        put(&*disk, &entry_key(1, 1), &secret.repeat(3000));
        drop(disk);
        for entry in std::fs::read_dir(&path).unwrap() {
            let file = entry.unwrap().path();
            if file.is_file() {
                let bytes = std::fs::read(&file).unwrap();
                let found = bytes.windows(16).any(|w| w == &secret[..16]);
                assert!(!found, "{}", file.display());
            }
        }
    }
}

#[test]
fn large_values_never_reach_the_blob_files_of_sled() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store");
    let disk = open(EngineKind::Sled, &path, keys()).unwrap();
    for round in 0..12u8 {
        // neighbours in one leaf, as large as rows get
        for n in 0..40 {
            put(&*disk, &entry_key(1, n), &vec![round; 5800]);
        }
        put(&*disk, &entry_key(2, round), &vec![round; SPLIT_BYTES]);
    }
    drop(disk);
    let blobs = std::fs::read_dir(path.join("blobs")).map_or(0, |entries| entries.count());
    assert_eq!(blobs, 0);
}

/// A log as it was made when segments were smaller, with a batch of more than one step.
#[test]
fn a_log_with_smaller_segments_opens_and_takes_large_batches() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store");
    drop(
        sled::Config::new()
            .path(&path)
            .segment_size(512 << 10)
            .open()
            .unwrap(),
    );
    let many: Vec<Vec<u8>> = (0..100u8).map(|n| entry_key(1, n)).collect();
    let many: Vec<(&[u8], &[u8])> = many.iter().map(|key| (&key[..], &[7u8; 3000][..])).collect();
    {
        let disk = open_raw(EngineKind::Sled, &path).unwrap();
        disk.apply(&[&batch(&many)]).unwrap();
    }
    let disk = open_raw(EngineKind::Sled, &path).unwrap();
    assert_eq!(rows(&*disk, b"p").unwrap().len(), 100);
}

/// What a cut leaves of a large batch: whole among the intents it is applied, else it is thrown away.
#[test]
fn a_large_batch_that_was_cut_is_all_there_or_not_at_all() {
    for is_whole in [true, false] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("store");
        put(&*open_raw(EngineKind::Sled, &path).unwrap(), b"oa", b"1");
        {
            let db = sled::Config::new()
                .path(&path)
                .segment_size(4 << 20)
                .open()
                .unwrap();
            let intents = db.open_tree("intents").unwrap();
            intents.insert(0u32.to_be_bytes(), b"\x00\x02\x00oa").unwrap();
            intents.insert(1u32.to_be_bytes(), b"\x01\x02\x00ob2").unwrap();
            if is_whole {
                intents.insert("whole", b"").unwrap();
            }
        }
        for _ in 0..2 {
            let disk = open_raw(EngineKind::Sled, &path).unwrap();
            let (key, value) = if is_whole { ("ob", "2") } else { ("oa", "1") };
            assert_eq!(rows(&*disk, b"o").unwrap(), [(key.into(), value.into())]);
        }
    }
}

#[test]
fn a_row_opens_in_its_own_place_only() {
    let (engine, disk) = sealed_memory(&keys());
    disk.apply(&[&batch(&[(b"oa", b"1"), (b"ob", b"2"), (b"da", b"3")])])
        .unwrap();
    let moved = engine.get(b"oa").unwrap().unwrap();
    for key in [&b"ob"[..], b"da", b"oz"] {
        engine.apply(&[&batch(&[(key, &moved)])]).unwrap();
        let error = disk.get(key).unwrap_err();
        assert!(error.0.contains("does not open"), "{error}");
        assert!(
            disk.scan(&key[..1], &mut |_, _| ControlFlow::Continue(()))
                .is_err()
        );
    }
    assert_eq!(disk.get(b"oa").unwrap().unwrap(), "1");
}

#[test]
fn every_changed_byte_of_a_row_is_an_error() {
    let (engine, disk) = sealed_memory(&keys());
    put(&disk, b"oa", b"value");
    let row = engine.get(b"oa").unwrap().unwrap();
    for at in 0..row.len() {
        let mut changed = row.to_vec();
        changed[at] ^= 1;
        put(&*engine, b"oa", &changed);
        disk.get(b"oa").unwrap_err();
        put(&*engine, b"oa", &row[..at]);
        disk.get(b"oa").unwrap_err();
    }
}

#[test]
fn an_error_names_neither_key_nor_value() {
    let (engine, disk) = sealed_memory(&keys());
    put(&disk, b"oPATIENT", b"value");
    put(&*engine, b"oPATIENT", b"x");
    let error = disk.get(b"oPATIENT").unwrap_err();
    assert!(
        error.0.contains("table 'o'") && !error.0.contains("PATIENT"),
        "{error}"
    );
}

#[test]
fn split_values_keep_order_and_hide_their_parts() {
    for engine in ENGINES {
        let dir = TempDir::new().unwrap();
        let disk = open(engine, &dir.path().join("store"), keys()).unwrap();
        let value = |n: u8| vec![n; 1000 + usize::from(n) * 17_000];
        for n in [7, 3, 0, 5, 2] {
            put(&*disk, &entry_key(1, n), &value(n));
        }
        let found = rows(&*disk, b"").unwrap();
        let expected: Vec<_> = [0, 2, 3, 5, 7].map(|n| (entry_key(1, n), value(n).into())).into();
        assert!(found == expected, "{engine}: keys and values in order");
        assert_eq!(rows(&*disk, b"\xff").unwrap(), []);
    }
}

#[test]
fn shorter_and_deleted_values_leave_no_parts() {
    let (engine, disk) = sealed_memory(&keys());
    put(&disk, b"oa", &[1; SPLIT_BYTES]);
    put(&disk, b"ob", &[2; SPLIT_BYTES]);
    let parts = engine.stats().rows;
    assert!(parts > 12);
    put(&disk, b"oa", &[3; SPLIT_BYTES / 2]);
    assert!(engine.stats().rows < parts);
    assert_eq!(disk.get(b"oa").unwrap().unwrap(), vec![3; SPLIT_BYTES / 2]);
    put(&disk, b"oa", b"short");
    let mut gone = Batch::new();
    gone.delete(b"ob".to_vec());
    disk.apply(&[&gone]).unwrap();
    assert_eq!(engine.stats().rows, 1);
}

#[test]
fn a_part_that_is_missing_old_or_exchanged_is_an_error() {
    let (engine, disk) = sealed_memory(&keys());
    put(&disk, b"oa", &[1; SPLIT_BYTES]);
    let parts = rows(&*engine, b"\xff").unwrap();
    put(&disk, b"oa", &[2; SPLIT_BYTES]);
    let now = rows(&*engine, b"\xff").unwrap();
    for (at, (key, old)) in parts.iter().enumerate() {
        put(&*engine, key, old);
        disk.get(b"oa").unwrap_err();
        put(&*engine, key, &now[(at + 1) % now.len()].1);
        disk.get(b"oa").unwrap_err();
        let mut gone = Batch::new();
        gone.delete(key.clone());
        engine.apply(&[&gone]).unwrap();
        disk.get(b"oa").unwrap_err();
        put(&*engine, key, &now[at].1);
    }
    assert_eq!(disk.get(b"oa").unwrap().unwrap(), vec![2; SPLIT_BYTES]);
}

#[test]
fn a_split_value_is_read_whole_while_it_is_replaced() {
    for kind in ENGINES {
        let dir = TempDir::new().unwrap();
        let disk = open(kind, &dir.path().join("store"), keys()).unwrap();
        put(&*disk, b"oa", &[0; SPLIT_BYTES]);
        let writer = {
            let disk = disk.clone();
            std::thread::spawn(move || {
                for round in 1..60u8 {
                    put(
                        &*disk,
                        b"oa",
                        &vec![round; SPLIT_BYTES - usize::from(round) * 3000],
                    );
                }
            })
        };
        while !writer.is_finished() {
            let value = disk.get(b"oa").unwrap().unwrap();
            let round = value[0];
            assert_eq!(value.len(), SPLIT_BYTES - usize::from(round) * 3000);
            assert!(value.iter().all(|b| *b == round), "one state of the row");
        }
        writer.join().unwrap();
    }
}

#[test]
fn each_thread_has_its_own_key() {
    let keys = keys();
    let (_, disk) = sealed_memory(&keys);
    put(&disk, &entry_key(1, 1), b"1");
    put(&disk, &entry_key(2, 1), b"2");
    put(&disk, b"oa", b"3");
    assert_eq!(keys.keys.lock().unwrap().len(), 3);
    keys.keys.lock().unwrap().remove(&Scope::Thread([1; 16]));
    let error = disk.get(&entry_key(1, 1)).unwrap_err();
    assert!(error.0.contains("unknown key"), "{error}");
    assert_eq!(disk.get(&entry_key(2, 1)).unwrap().unwrap(), "2");
    assert_eq!(disk.get(b"oa").unwrap().unwrap(), "3");
}

#[test]
fn nothing_is_written_when_its_key_cannot_be_kept() {
    let keys = keys();
    let (engine, disk) = sealed_memory(&keys);
    keys.broken.store(true, Ordering::Relaxed);
    let refused = disk.apply(&[&batch(&[(b"oa", b"1")])]);
    assert_eq!(refused, Err(StoreError::Keys(KeysError::Full)));
    assert_eq!(engine.stats().rows, 0);
}

#[test]
fn rows_outside_the_layout_are_refused_whole() {
    let (engine, disk) = sealed_memory(&keys());
    let long = vec![b'o'; MAX_KEY_BYTES + 1];
    for key in [&b""[..], b"\xffa", &long] {
        let refused = disk.apply(&[&batch(&[(b"oa", b"1"), (key, b"2")])]);
        assert!(matches!(refused, Err(StoreError::Row(_))));
    }
    assert_eq!(engine.stats().rows, 0);
    put(&disk, &long[1..], &[1; SPLIT_BYTES]);
    assert_eq!(disk.get(&long[1..]).unwrap().unwrap(), vec![1; SPLIT_BYTES]);
}

#[test]
fn faults_come_when_they_are_due() {
    let faulty = |faults| Faulty::new(Arc::new(InMemory::new()), faults);
    let one = batch(&[(b"oa", b"1")]);
    let full = faulty(Faults {
        full_at_apply: Some(2),
        ..Faults::default()
    });
    full.apply(&[&one]).unwrap();
    assert_eq!(full.apply(&[&batch(&[(b"ob", b"1")])]), Err(StoreError::Full));
    assert_eq!(full.get(b"ob").unwrap(), None);
    full.apply(&[&one]).unwrap();
    let broken = faulty(Faults {
        broken_from_apply: Some(2),
        broken_from_read: Some(3),
        ..Faults::default()
    });
    broken.apply(&[&one]).unwrap();
    for _ in 0..2 {
        broken.apply(&[&one]).unwrap_err();
        broken.get(b"oa").unwrap();
    }
    broken.get(b"oa").unwrap_err();
    broken
        .scan(b"o", &mut |_, _| ControlFlow::Continue(()))
        .unwrap_err();
}

#[test]
fn a_full_disk_has_its_own_error() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    assert_eq!(StoreError::from(full), StoreError::Full);
}
