use super::*;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

const CHEAP: Cost = Cost { m_kib: 8, t: 1, p: 1 };

fn passphrase(text: &str) -> Unlock {
    Unlock::Passphrase(Zeroizing::new(text.into()))
}

fn key_file(byte: u8) -> Unlock {
    Unlock::KeyFile(Zeroizing::new([byte; 32]))
}

fn secret(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.to_vec())
}

fn place() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("vault");
    (dir, path)
}

/// Of everything that a header can hold: both kinds of slots.
fn filled(path: &Path) -> Vault {
    let mut vault = Vault::create_at(path, &passphrase("correct horse"), CHEAP).unwrap();
    vault.put("device key", secret(b"a device key of this very device"));
    vault.put("empty", secret(b""));
    let keys = vault.record_keys();
    keys.ensure(&BTreeSet::from([Scope::General, Scope::Thread([7; 16])]))
        .unwrap();
    vault.also(&key_file(1)).unwrap();
    vault
}

#[test]
fn what_was_saved_is_there_again() {
    let (_dir, path) = place();
    let vault = filled(&path);
    let key = vault.record_keys().of(Scope::Thread([7; 16])).unwrap();
    for unlock in [passphrase("correct horse"), key_file(1)] {
        let vault = Vault::open(&path, &unlock).unwrap();
        assert_eq!(
            vault.get("device key").unwrap()[..],
            b"a device key of this very device"[..]
        );
        assert_eq!(vault.get("empty").unwrap().len(), 0);
        assert!(vault.get("other").is_none());
        let keys = vault.record_keys();
        assert!(keys.of(Scope::Thread([7; 16])).unwrap() == key);
        assert!(keys.by_id(key.0) == Some(key.1.clone()));
        assert!(keys.of(Scope::Thread([8; 16])).is_none());
    }
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_device_pays_the_full_price_for_its_passphrase() {
    let (_dir, path) = place();
    Vault::create(&path, &passphrase("4711")).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let costs: Vec<u32> = bytes[12..24]
        .chunks(4)
        .map(|n| u32::from_le_bytes(n.try_into().unwrap()))
        .collect();
    assert_eq!(costs, [65536, 3, 1]);
    Vault::open(&path, &passphrase("4711")).unwrap();
    assert_eq!(
        Vault::open(&path, &passphrase("4712")).unwrap_err(),
        VaultError::Wrong
    );
}

#[test]
fn a_wrong_key_is_told_from_a_wrong_kind_and_from_no_vault() {
    let (_dir, path) = place();
    let open = |unlock: &Unlock| Vault::open(&path, unlock).unwrap_err();
    assert_eq!(open(&key_file(1)), VaultError::NotThere);
    Vault::create_at(&path, &passphrase("right"), CHEAP).unwrap();
    assert_eq!(open(&passphrase("Right")), VaultError::Wrong);
    assert_eq!(open(&key_file(1)), VaultError::NoKeyFile);
    assert_eq!(
        Vault::create(&path, &key_file(1)).unwrap_err(),
        VaultError::Exists
    );
    std::fs::remove_file(&path).unwrap();
    Vault::create(&path, &key_file(1)).unwrap();
    assert_eq!(open(&key_file(2)), VaultError::Wrong);
    assert_eq!(open(&passphrase("right")), VaultError::NoPassphrase);
    std::fs::write(&path, "something of somebody else").unwrap();
    assert_eq!(open(&key_file(1)), VaultError::NotAVault);
    std::fs::write(&path, b"AIDVAULT\x02\x00and so on").unwrap();
    assert_eq!(open(&key_file(1)), VaultError::TooNew(2));
}

#[test]
fn every_changed_and_every_missing_byte_is_noticed() {
    let (_dir, path) = place();
    filled(&path);
    let bytes = std::fs::read(&path).unwrap();
    for unlock in [passphrase("correct horse"), key_file(1)] {
        read(&bytes, &unlock).map(|_| ()).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let error = read(&changed, &unlock).map(|_| ()).unwrap_err();
            let expected = match at {
                0..8 => error == VaultError::NotAVault,
                8..10 => matches!(error, VaultError::NotAVault | VaultError::TooNew(_)),
                _ => matches!(error, VaultError::Damaged(_)),
            };
            assert!(expected, "byte {at}: {error:?}");
            read(&bytes[..at], &unlock).map(|_| ()).unwrap_err();
        }
        read(&[&bytes[..], &[0]].concat(), &unlock)
            .map(|_| ())
            .unwrap_err();
    }
}

/// A header whose hash was made to fit by who changed it.
#[test]
fn a_file_cannot_ask_for_more_memory_or_time_than_is_allowed() {
    let (_dir, path) = place();
    Vault::create_at(&path, &passphrase("right"), CHEAP).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for (m, t, p) in [
        (100 << 20, 1, 1),
        (u32::MAX, 1, 1),
        (8, u32::MAX, 1),
        (64, 1, 5),
        (u32::MAX, 1, u32::MAX),
        (0, 0, 0),
        (7, 1, 1),
    ] {
        let mut hostile = bytes.clone();
        for (at, number) in [(12, m), (16, t), (20, p)] {
            hostile[at..at + 4].copy_from_slice(&u32::to_le_bytes(number));
        }
        let end = 11 + SLOT_BYTES;
        let hash = check(&hostile[..end]);
        hostile[end..end + CHECK].copy_from_slice(&hash);
        let error = read(&hostile, &passphrase("right")).map(|_| ()).unwrap_err();
        assert_eq!(error, VaultError::Damaged("slot"), "m {m} t {t} p {p}");
    }
}

#[test]
fn a_file_that_is_too_long_is_not_read_to_its_end() {
    let (_dir, path) = place();
    Vault::create(&path, &key_file(1)).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    assert_eq!(
        Vault::open(&path, &key_file(1)).unwrap_err(),
        VaultError::Damaged("too long")
    );
}

/// The key of the body, as who holds the key file gets it.
fn vk(bytes: &[u8]) -> Secret {
    slot::unlock(&bytes[11..11 + SLOT_BYTES], &key_file(1)).unwrap()
}

#[test]
fn every_save_has_a_new_key_and_forgets_what_was_removed() {
    let (_dir, path) = place();
    let mut vault = Vault::create(&path, &key_file(1)).unwrap();
    vault.put("inbox key", secret(b"first"));
    vault.save().unwrap();
    let before = std::fs::read(&path).unwrap();
    vault.remove("inbox key");
    vault.save().unwrap();
    let after = std::fs::read(&path).unwrap();
    assert!(vk(&before) != vk(&after));
    let end = 11 + SLOT_BYTES + CHECK;
    let nonce = after[end..end + NONCE].try_into().unwrap();
    let with_old = crypto::open(&vk(&before), &nonce, &after[..end], &after[end + NONCE..]);
    assert_eq!(with_old, None);
    assert!(
        Vault::open(&path, &key_file(1))
            .unwrap()
            .get("inbox key")
            .is_none()
    );
    assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1);
}

#[test]
fn after_a_change_only_the_new_passphrase_opens() {
    let (_dir, path) = place();
    let mut vault = filled(&path);
    vault.change(&passphrase("new one")).unwrap();
    for old in [passphrase("correct horse"), key_file(1)] {
        Vault::open(&path, &old).unwrap_err();
    }
    let vault = Vault::open(&path, &passphrase("new one")).unwrap();
    assert!(vault.get("device key").is_some());
}

#[test]
fn there_are_four_slots() {
    let (_dir, path) = place();
    let mut vault = Vault::create(&path, &key_file(1)).unwrap();
    for n in 2..=4 {
        vault.also(&key_file(n)).unwrap();
    }
    assert_eq!(vault.also(&key_file(5)), Err(VaultError::TooLarge));
    vault.save().unwrap();
    for n in 1..=4 {
        Vault::open(&path, &key_file(n)).unwrap();
    }
}

#[test]
fn no_secret_stands_in_the_file_or_in_debug() {
    let (_dir, path) = place();
    let vault = filled(&path);
    let bytes = std::fs::read(&path).unwrap();
    let (_, key) = vault.record_keys().of(Scope::General).unwrap();
    let secrets: [&[u8]; 4] = [b"a device key", b"device key", b"correct horse", key.as_bytes()];
    for secret in secrets {
        assert!(!bytes.windows(secret.len()).any(|w| w == secret));
    }
    let shown = format!("{vault:?} {:?} {:?}", passphrase("correct horse"), key_file(1));
    assert_eq!(shown, "Vault Passphrase KeyFile");
}

#[test]
fn a_new_key_of_rows_is_in_the_file_before_it_is_given_out() {
    let (_dir, path) = place();
    let vault = Vault::create(&path, &key_file(1)).unwrap();
    let keys = vault.record_keys();
    let scope = Scope::Thread([3; 16]);
    keys.ensure(&BTreeSet::from([scope])).unwrap();
    let again = Vault::open(&path, &key_file(1)).unwrap().record_keys();
    assert!(again.of(scope).is_some() && again.of(scope) == keys.of(scope));
    let written = std::fs::read(&path).unwrap();
    keys.ensure(&BTreeSet::from([scope])).unwrap();
    assert_eq!(
        std::fs::read(&path).unwrap(),
        written,
        "nothing new, nothing written"
    );
}

#[test]
fn a_key_that_could_not_be_saved_is_saved_before_the_next_use() {
    let (dir, path) = place();
    let vault = Vault::create(&path, &key_file(1)).unwrap();
    let keys = vault.record_keys();
    let scope = BTreeSet::from([Scope::General]);
    let away = dir.path().with_extension("away");
    std::fs::rename(dir.path(), &away).unwrap();
    keys.ensure(&scope).unwrap_err();
    keys.ensure(&scope).unwrap_err();
    std::fs::rename(&away, dir.path()).unwrap();
    keys.ensure(&scope).unwrap();
    let again = Vault::open(&path, &key_file(1)).unwrap().record_keys();
    assert!(again.of(Scope::General) == keys.of(Scope::General));
}

#[test]
fn a_thread_that_is_forgotten_has_no_key_any_more() {
    let (_dir, path) = place();
    let mut vault = filled(&path);
    let (id, _) = vault.record_keys().of(Scope::Thread([7; 16])).unwrap();
    vault.forget_thread([7; 16]);
    vault.save().unwrap();
    let keys = Vault::open(&path, &key_file(1)).unwrap().record_keys();
    assert!(keys.by_id(id).is_none());
    assert!(keys.of(Scope::General).is_some());
}

#[test]
fn more_than_a_mebibyte_is_refused_and_the_file_stays() {
    let (_dir, path) = place();
    let mut vault = filled(&path);
    vault.put("large", secret(&vec![1; VAULT_BYTES]));
    assert_eq!(vault.save(), Err(VaultError::TooLarge));
    let again = Vault::open(&path, &key_file(1)).unwrap();
    assert!(again.get("large").is_none() && again.get("device key").is_some());
}

#[test]
fn what_an_interrupted_save_left_is_taken_away() {
    let (dir, path) = place();
    Vault::create(&path, &key_file(1)).unwrap();
    let left = dir.path().join("vault.new");
    std::fs::copy(&path, &left).unwrap();
    let mut vault = Vault::open(&path, &key_file(1)).unwrap();
    assert!(!left.exists());
    std::fs::write(&left, "half").unwrap();
    vault.save().unwrap();
    assert!(!left.exists());
    Vault::open(&path, &key_file(1)).unwrap();
}
