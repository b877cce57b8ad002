use super::*;
use crate::settings::Limits;
use std::os::unix::fs::PermissionsExt;

struct Place {
    folder: tempfile::TempDir,
    source: KeySource,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let source = KeySource::File(folder.path().join("relay.key"));
        Place { folder, source }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn settings(&self) -> Settings {
        Settings {
            version: Settings::VERSION,
            name: "North-1".into(),
            key: String::new(),
            listen: "127.0.0.1:0".parse().unwrap(),
            public: "relay.example:7443".into(),
            admin: crate::args::ADMIN,
            room_bytes: 1 << 24,
            key_file: None,
            openings: Some(self.folder.path().join("openings")),
            orgs: vec![],
            limits: Limits::default(),
        }
    }

    fn make(&self) -> Result<Settings, Trouble> {
        make(&self.data(), &self.source, self.settings())
    }
}

#[test]
fn a_relay_is_made_once_and_opened_by_its_key_alone() {
    let place = Place::new();
    let made = place.make().unwrap();
    assert_eq!(Settings::load(&place.data()), Ok(made.clone()));
    let opened = open(&place.data(), &made, &place.source).unwrap();
    assert_eq!(made.card().unwrap().key, opened.routing.public());
    assert_eq!((opened.openings.next(), opened.restored()), (1, None));
    assert_eq!(place.make().unwrap_err().code, trouble::EXISTS);
    // a second process
    let second = open(&place.data(), &made, &place.source).err().unwrap();
    assert_eq!(second.code, trouble::FOLDER);
    drop(opened);
    let other = KeySource::File(place.folder.path().join("other.key"));
    other.read_or_make().unwrap();
    let wrong = open(&place.data(), &made, &other).err().unwrap();
    assert_eq!(wrong.code, trouble::VAULT);
    assert!(open(&place.data(), &made, &place.source).is_ok());
}

#[test]
fn the_secret_key_is_in_no_file_in_clear() {
    let place = Place::new();
    let made = place.make().unwrap();
    let opened = open(&place.data(), &made, &place.source).unwrap();
    let seed = opened.routing.seed();
    let mut searched = 0;
    let mut folders = vec![place.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                assert_eq!(
                    path.metadata().unwrap().permissions().mode() & 0o077,
                    0,
                    "{path:?}"
                );
                folders.push(path);
                continue;
            }
            searched += 1;
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(32).any(|at| at == *seed), "{path:?}");
            let digits = HEXLOWER.encode(&*seed);
            assert!(!bytes.windows(64).any(|at| at == digits.as_bytes()), "{path:?}");
        }
    }
    assert!(searched >= 5, "{searched} files");
}

#[test]
fn a_copied_folder_is_known_as_one() {
    let (place, elsewhere) = (Place::new(), tempfile::tempdir().unwrap());
    let made = place.make().unwrap();
    let moved = Settings {
        openings: Some(elsewhere.path().into()),
        ..made
    };
    let opened = open(&place.data(), &moved, &place.source).unwrap();
    assert_eq!(
        opened.restored(),
        Some("no count of its starts is on this machine")
    );
}

#[test]
fn what_is_not_a_relay_is_refused() {
    let place = Place::new();
    assert_eq!(Settings::load(&place.data()).unwrap_err().code, trouble::NOT_MADE);
    std::fs::create_dir(place.data()).unwrap();
    std::fs::write(place.data().join("letter.txt"), "hello").unwrap();
    assert_eq!(place.make().unwrap_err().code, trouble::FOLDER);
    assert!(place.data().join("letter.txt").exists());
    // the vault of another relay
    let (first, second) = (Place::new(), Place::new());
    let made = first.make().unwrap();
    second.make().unwrap();
    std::fs::copy(second.data().join("vault"), first.data().join("vault")).unwrap();
    assert_eq!(
        open(&first.data(), &made, &second.source).err().unwrap().code,
        trouble::VAULT
    );
}
