use super::*;
use std::process::Command;
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("some").join("data");
    (dir, path)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_folder_is_made_private_and_remembers_its_engine() {
    let (_dir, path) = place();
    for engine in [EngineKind::Sled, EngineKind::Redb] {
        let path = path.join(engine.name());
        drop(Folder::create(&path, engine).unwrap());
        assert_eq!(mode(&path), 0o700);
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let folder = Folder::open(&path).unwrap();
        assert_eq!(folder.engine(), engine);
        assert_eq!(mode(&path), 0o700, "tightened");
        assert_eq!(folder.store_path(), path.join("store"));
    }
}

#[test]
fn a_second_opening_is_told_who_holds_the_folder() {
    let (_dir, path) = place();
    let held = Folder::create(&path, EngineKind::Redb).unwrap();
    let refused = FolderError::InUse {
        path: path.clone(),
        pid: Some(std::process::id()),
    };
    assert_eq!(Folder::open(&path).unwrap_err(), refused);
    drop(held);
    // a child process that another test starts just now holds a copy of the lock until it is another program
    let free = || {
        (0..1000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            Folder::open(&path).ok()
        })
    };
    drop(free().unwrap());
    free().unwrap();
}

#[test]
#[ignore = "the other process of another test"]
fn hold_a_folder() {
    if let Some(path) = std::env::var_os("AIDMESH_TEST_FOLDER") {
        let _held = Folder::open(Path::new(&path)).unwrap();
        println!("held");
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

#[test]
fn another_process_holds_the_folder_until_it_is_killed() {
    use std::io::{BufRead, BufReader};
    let (_dir, path) = place();
    drop(Folder::create(&path, EngineKind::Redb).unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "folder::tests::hold_a_folder",
            "--ignored",
            "--nocapture",
        ])
        .env("AIDMESH_TEST_FOLDER", &path)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("held")));
    let refused = Folder::open(&path).unwrap_err();
    let holder = child.id();
    child.kill().unwrap();
    child.wait().unwrap();
    let expected = FolderError::InUse {
        path: path.clone(),
        pid: Some(holder),
    };
    assert_eq!(refused, expected);
    assert!(expected.to_string().contains(&format!("process {holder} has ")));
    Folder::open(&path).unwrap();
}

#[test]
fn what_is_no_data_directory_is_told_apart() {
    let (dir, path) = place();
    assert_eq!(
        Folder::open(&path).unwrap_err(),
        FolderError::NotThere { path: path.clone() }
    );
    let not_ours = |path: &Path| FolderError::NotOurs { path: path.into() };
    let theirs = dir.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    assert_eq!(Folder::open(&theirs).unwrap_err(), not_ours(&theirs));
    let letter = theirs.join("letter");
    std::fs::write(&letter, "dear").unwrap();
    for made in [
        Folder::open(&theirs),
        Folder::create(&theirs, EngineKind::Sled),
        Folder::open(&letter).map_err(|_| not_ours(&theirs)),
        Folder::create(&letter, EngineKind::Sled).map_err(|_| not_ours(&theirs)),
    ] {
        assert_eq!(made.unwrap_err(), not_ours(&theirs));
    }
    assert_eq!(theirs.read_dir().unwrap().count(), 1, "nothing was left there");
    drop(Folder::create(&path, EngineKind::Sled).unwrap());
    assert_eq!(
        Folder::create(&path, EngineKind::Sled).unwrap_err(),
        FolderError::Exists { path: path.clone() }
    );
}

#[test]
fn a_format_that_is_newer_or_none_is_an_error() {
    let (_dir, path) = place();
    drop(Folder::create(&path, EngineKind::Sled).unwrap());
    for (text, expected) in [
        (
            "aidmesh folder 2\n",
            FolderError::TooNew {
                path: path.clone(),
                found: 2,
            },
        ),
        (
            "aidmesh folder 1\nengine paper\n",
            FolderError::NotOurs { path: path.clone() },
        ),
        ("", FolderError::NotOurs { path: path.clone() }),
    ] {
        std::fs::write(path.join(FORMAT), text).unwrap();
        assert_eq!(Folder::open(&path).unwrap_err(), expected);
    }
}

#[test]
fn a_creation_that_was_interrupted_is_begun_again() {
    let (_dir, path) = place();
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join(LOCK), "4711\n").unwrap();
    std::fs::write(path.join("format.new"), "aidmesh fol").unwrap();
    drop(Folder::create(&path, EngineKind::Redb).unwrap());
    Folder::open(&path).unwrap();
}

#[test]
fn a_directory_that_cannot_be_written_and_a_full_disk_are_told_apart() {
    let (_dir, path) = place();
    let of = |kind| FolderError::of(&path, io::Error::from(kind));
    let read_only = FolderError::ReadOnly { path: path.clone() };
    assert_eq!(of(io::ErrorKind::ReadOnlyFilesystem), read_only);
    assert_eq!(
        of(io::ErrorKind::StorageFull),
        FolderError::Full { path: path.clone() }
    );
    drop(Folder::create(&path, EngineKind::Redb).unwrap());
    std::fs::set_permissions(&path, Permissions::from_mode(0o500)).unwrap();
    let opened = Folder::open(&path);
    // rights do not bind root
    if rustix::process::geteuid().is_root() {
        opened.unwrap();
    } else {
        assert_eq!(opened.unwrap_err(), read_only);
    }
    std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
}
