//! A secret that the relay could read is found though its file hides it.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aidmesh_core::store::Batch;
use aidmesh_host::folder::Folder;
use aidmesh_host::store::{self, EngineKind};
use aidmesh_host::vault::{Unlock, Vault};
use zeroize::Zeroizing;

use super::{OpenedError, search_rows};
use crate::demo::canary::{Found, Search, text};

const SECRET: &str = "man, 58, chest pain";

fn relay(folder: &Path, key_file: &Path, row: &[u8]) {
    let key = [7; 32];
    let mut file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(key_file)
        .unwrap();
    std::io::Write::write_all(&mut file, &key).unwrap();
    let folder = Folder::create(folder, EngineKind::Redb).unwrap();
    let unlock = Unlock::KeyFile(Zeroizing::new(key));
    let mut vault = Vault::create(&folder.vault_path(), &unlock).unwrap();
    vault.save().unwrap();
    let disk = store::open(folder.engine(), &folder.store_path(), vault.record_keys()).unwrap();
    let mut batch = Batch::new();
    batch.put(b"C row".to_vec(), row.to_vec());
    disk.apply(&[&batch]).unwrap();
}

#[test]
fn rows_are_read_with_the_key_of_the_relay() {
    let place = tempfile::tempdir().unwrap();
    let (data, key_file) = (place.path().join("relay"), place.path().join("relay.key"));
    let search = Search::new(&[text("label", SECRET)]).unwrap();
    relay(
        &data,
        &key_file,
        [b"in clear: ", SECRET.as_bytes()].concat().as_slice(),
    );

    let mut files = Found::default();
    search.over_folder(&data, &mut files).unwrap();
    assert_eq!(files.count(), 0, "the rows are sealed on the disk");
    let mut rows = Found::default();
    assert_eq!(search_rows(&search, &data, &key_file, &mut rows).unwrap(), 1);
    assert_eq!(rows.count(), 1);
    assert!(rows.bytes > SECRET.len() as u64);
}

#[test]
fn without_its_key_there_is_no_answer() {
    let place = tempfile::tempdir().unwrap();
    let (data, key_file) = (place.path().join("relay"), place.path().join("relay.key"));
    let search = Search::new(&[text("label", SECRET)]).unwrap();
    let missing = search_rows(&search, &data, &key_file, &mut Found::default());
    assert!(matches!(missing, Err(OpenedError::Key)));
    relay(&data, &key_file, b"x");
    std::fs::write(&key_file, [8; 32]).unwrap();
    let wrong = search_rows(&search, &data, &key_file, &mut Found::default());
    assert!(matches!(wrong, Err(OpenedError::Vault(_))));
}
