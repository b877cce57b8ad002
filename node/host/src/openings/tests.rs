use super::*;
use tempfile::TempDir;

const KEY: [u8; 8] = [0xa1; 8];
const HERE: Option<[u8; 8]> = Some([1; 8]);
const THERE: Option<[u8; 8]> = Some([2; 8]);

/// A store as far as its machine looks at the number in it (`Machine::load_own`): whether it takes itself
/// for restored.
#[derive(Clone, Copy, Default)]
struct Store {
    last: u64,
}

impl Store {
    fn opens_restored(&mut self, generation: u64) -> bool {
        let restored = self.last + 1 != generation && self.last != generation;
        self.last = generation;
        restored
    }
}

struct Place {
    dir: TempDir,
}

impl Place {
    /// A state directory in which a fresh identity was begun.
    fn begun() -> Place {
        let place = Place {
            dir: TempDir::new().unwrap(),
        };
        begin_on(&place.state(), KEY, HERE).unwrap();
        place
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state").join("aidmesh")
    }

    /// The directory in which tests that need one put the file with the rows.
    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn load(&self, machine: Option<[u8; 8]>) -> Openings {
        load_on(&self.state(), KEY, &self.store(), machine).unwrap()
    }

    /// One whole opening; whether the machine took its store for restored.
    fn run(&self, store: &mut Store) -> bool {
        let openings = self.load(HERE);
        let generation = openings.next();
        let restored = store.opens_restored(generation);
        openings.confirm(generation).unwrap();
        restored
    }
}

#[test]
fn a_fresh_identity_and_every_later_opening_are_not_restored() {
    let place = Place::begun();
    let mut store = Store::default();
    for generation in 1..=4 {
        assert!(!place.run(&mut store));
        assert_eq!(store.last, generation);
    }
}

#[test]
fn a_crash_between_the_first_batch_and_its_confirmation_is_not_a_restore() {
    let place = Place::begun();
    let mut store = Store::default();
    for _ in 0..2 {
        for _ in 0..3 {
            let openings = place.load(HERE);
            assert!(!store.opens_restored(openings.next()));
        }
        assert!(!place.run(&mut store));
        // and before its first batch
        place.load(HERE);
    }
}

#[test]
fn a_machine_that_is_opened_again_in_one_process_is_not_restored() {
    let place = Place::begun();
    let mut store = Store::default();
    let openings = place.load(HERE);
    for generation in 1..=3 {
        assert_eq!(openings.next(), generation);
        assert!(!store.opens_restored(openings.next()));
        openings.confirm(openings.next()).unwrap();
    }
    drop(openings);
    assert!(!place.run(&mut store));
}

#[test]
fn an_older_copy_on_the_same_machine_is_restored() {
    let place = Place::begun();
    let mut store = Store::default();
    let mut copies = vec![store];
    for _ in 0..3 {
        place.run(&mut store);
        copies.push(store);
    }
    copies.pop();
    for mut copy in copies {
        assert!(place.run(&mut copy));
        assert!(!place.run(&mut copy), "its new life counts on");
    }
}

#[test]
fn a_store_that_was_lost_is_restored() {
    let place = Place::begun();
    place.run(&mut Store::default());
    assert!(place.run(&mut Store::default()));
}

#[test]
fn a_copy_without_a_count_is_restored_and_so_is_a_copy_of_the_copy() {
    let place = Place::begun();
    let mut store = Store::default();
    place.run(&mut store);
    for _ in 0..3 {
        let other = Place {
            dir: TempDir::new().unwrap(),
        };
        assert_eq!(other.load(HERE).restored(), Some(Restored::NoCount));
        assert!(other.run(&mut store));
        let copy = store;
        assert!(!other.run(&mut store), "its new life counts on");
        store = copy;
    }
}

#[test]
fn a_copy_without_a_count_that_ended_early_is_restored_again() {
    let place = Place {
        dir: TempDir::new().unwrap(),
    };
    let mut store = Store { last: 3 };
    let openings = place.load(HERE);
    assert!(store.opens_restored(openings.next()));
    drop(openings);
    assert!(place.run(&mut store));
}

#[test]
fn a_count_of_another_machine_is_not_believed() {
    let place = Place::begun();
    let mut store = Store::default();
    place.run(&mut store);
    let cloned = place.load(THERE);
    assert_eq!(cloned.restored(), Some(Restored::OtherMachine));
    assert!(store.opens_restored(cloned.next()));
    cloned.confirm(cloned.next()).unwrap();
    drop(cloned);
    let again = place.load(THERE);
    assert_eq!(again.restored(), None);
    assert!(!store.opens_restored(again.next()));
    drop(again);
    assert_eq!(
        place.load(None).restored(),
        None,
        "a machine without an id is no other"
    );
}

#[test]
fn a_file_put_back_within_one_opening_is_restored() {
    let place = Place::begun();
    let dir = place.store();
    std::fs::create_dir(&dir).unwrap();
    let rows = dir.join("rows.redb");
    std::fs::write(&rows, "rows").unwrap();
    if store::born(&dir).is_none() {
        // this file system keeps no such time: nothing to find out here
        return;
    }
    let mut store = Store::default();
    place.run(&mut store);
    let backup = place.dir.path().join("backup");
    std::fs::copy(&rows, &backup).unwrap();
    assert!(!place.run(&mut store));
    let copy_of_this_opening = store;
    std::fs::remove_file(&rows).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::copy(&backup, &rows).unwrap();
    let mut store = copy_of_this_opening;
    let openings = place.load(HERE);
    assert_eq!(openings.restored(), Some(Restored::OtherStore));
    assert!(store.opens_restored(openings.next()));
}

#[test]
fn a_damaged_count_is_no_count() {
    let place = Place::begun();
    place.run(&mut Store::default());
    let file = place.state().join("a1a1a1a1a1a1a1a1");
    let good = std::fs::read(&file).unwrap();
    let number = format!("aidmesh openings 1\ncount {}\nmachine -\nborn -\nend\n", u64::MAX);
    for bad in [
        &b""[..],
        b"\xff\xfe",
        &good[..good.len() - 1],
        b"count 7",
        number.as_bytes(),
        &[b'1'; 100_000],
    ] {
        std::fs::write(&file, bad).unwrap();
        let openings = place.load(HERE);
        assert_eq!(openings.restored(), Some(Restored::Damaged));
        assert!(openings.next() > 1 << 60 && openings.next() < 1 << 63);
    }
    std::fs::write(&file, good).unwrap();
    assert_eq!(place.load(HERE).next(), 2);
}

#[test]
fn a_count_is_begun_once() {
    let place = Place::begun();
    begin_on(&place.state(), KEY, HERE).unwrap();
    place.run(&mut Store::default());
    assert!(matches!(
        begin_on(&place.state(), KEY, HERE),
        Err(OpeningsError::Exists { .. })
    ));
    begin_on(&place.state(), [2; 8], HERE).unwrap();
    assert_eq!(place.load(HERE).next(), 2, "each identity has its own");
}

#[test]
fn two_processes_with_one_identity_do_not_run_side_by_side() {
    let place = Place::begun();
    let held = place.load(HERE);
    assert!(matches!(
        load_on(&place.state(), KEY, &place.store(), HERE),
        Err(OpeningsError::InUse { .. })
    ));
    drop(held);
    place.load(HERE);
}

#[test]
fn the_count_in_memory_counts() {
    let openings = Openings::volatile();
    assert_eq!(openings.next(), 1);
    openings.confirm(1).unwrap();
    assert_eq!(openings.next(), 2);
}

#[test]
fn the_directory_follows_the_environment() {
    let dir = |set: &[(&str, &str)]| {
        let set: Vec<(String, OsString)> = set.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        state_dir_from(|name| set.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
    };
    let all = [
        ("AIDMESH_STATE_DIR", "/a"),
        ("XDG_STATE_HOME", "/x"),
        ("HOME", "/h"),
    ];
    assert_eq!(dir(&all), Path::new("/a"));
    assert_eq!(dir(&all[1..]), Path::new("/x/aidmesh"));
    assert_eq!(dir(&all[2..]), Path::new("/h/.local/state/aidmesh"));
    assert_eq!(dir(&[("HOME", "")]), Path::new("/var/lib/aidmesh-state"));
    assert_eq!(dir(&[]), Path::new("/var/lib/aidmesh-state"));
}

#[test]
fn the_name_of_a_machine_does_not_show_its_id() {
    if let Some(name) = machine_id(KEY) {
        assert_ne!(Some(name), machine_id([2; 8]), "another name for each identity");
    }
}
