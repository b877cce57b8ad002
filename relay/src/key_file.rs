//! The key that opens a relay's vault: 32 random bytes in a file, or in a credential of systemd.
//!
//! A relay starts at night without anybody to type a passphrase, and a random key needs no slow hash. The
//! file belongs beside the data folder, not into it: whoever copies the folder alone must get nothing. It is
//! made with mode 0600 and refused if others may read it. 64 hexadecimal digits, or 32 raw bytes as
//! `systemd-creds` may hold them.
//!
//! Not here: the vault, which seals keys under this one.

use crate::trouble::{self, Trouble};
use data_encoding::HEXLOWER_PERMISSIVE;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Name of the credential in `$CREDENTIALS_DIRECTORY`.
pub const CREDENTIAL: &str = "aidmesh-relay-key";
/// A key file is never longer: digits and a line break.
const FILE_BYTES: u64 = 80;

/// Where the key of a relay comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file of the operator.
    File(PathBuf),
    /// A credential that systemd mounted for this process alone.
    Credential(PathBuf),
}

impl KeySource {
    /// What was said, else a credential, else what `init` wrote down, else `DIR.key`.
    pub fn choose(said: Option<&Path>, noted: Option<&Path>, data: &Path) -> KeySource {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        KeySource::choose_from(said, folder.as_deref(), noted, data)
    }

    fn choose_from(
        said: Option<&Path>,
        credentials: Option<&Path>,
        noted: Option<&Path>,
        data: &Path,
    ) -> KeySource {
        let credential = credentials.map(|folder| folder.join(CREDENTIAL));
        match (said, credential.filter(|path| path.exists())) {
            (Some(path), _) => KeySource::File(path.to_owned()),
            (None, Some(path)) => KeySource::Credential(path),
            (None, None) => KeySource::File(noted.map_or_else(|| beside(data), Path::to_owned)),
        }
    }

    /// The file to note for later starts; a credential is found by itself.
    pub fn noted(&self) -> Option<&Path> {
        match self {
            KeySource::File(path) => Some(path),
            KeySource::Credential(_) => None,
        }
    }

    /// Reads the key.
    pub fn read(&self) -> Result<Zeroizing<[u8; 32]>, Trouble> {
        let (path, private) = match self {
            KeySource::File(path) => (path, true),
            // systemd guards it by the mount
            KeySource::Credential(path) => (path, false),
        };
        let refused = |why: &dyn std::fmt::Display| {
            Trouble::new(trouble::KEY_FILE, format_args!("{}: {why}", path.display()))
        };
        let mut file = File::open(path).map_err(|why| refused(&why))?;
        let about = file.metadata().map_err(|why| refused(&why))?;
        if !about.is_file() || about.len() > FILE_BYTES {
            return Err(refused(&"not a key file"));
        }
        if private && about.mode() & 0o077 != 0 {
            return Err(refused(&"others may read it; chmod 600 it"));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES as usize + 1));
        let read = Read::by_ref(&mut file)
            .take(FILE_BYTES + 1)
            .read_to_end(&mut bytes);
        read.map_err(|why| refused(&why))?;
        key_of(&bytes).ok_or_else(|| refused(&"64 hexadecimal digits or 32 bytes were expected"))
    }

    /// Reads the key; makes the file if it is not there.
    pub fn read_or_make(&self) -> Result<Zeroizing<[u8; 32]>, Trouble> {
        match self {
            KeySource::File(path) if !path.exists() => {
                let made = make(path);
                made.map_err(|why| {
                    Trouble::new(trouble::KEY_FILE, format_args!("{}: {why}", path.display()))
                })?;
                self.read()
            }
            _ => self.read(),
        }
    }
}

fn beside(data: &Path) -> PathBuf {
    let mut name = data.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

/// Never overwrites, and is on disk when it returns.
fn make(path: &Path) -> io::Result<()> {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *key).map_err(|_| io::Error::other("the system gives no randomness"))?;
    let digits = Zeroizing::new(HEXLOWER_PERMISSIVE.encode(&*key));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(digits.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn key_of(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() == key.len() {
        key.copy_from_slice(bytes);
        return Some(key);
    }
    let digits = bytes.trim_ascii();
    if digits.len() != 2 * key.len() {
        return None;
    }
    HEXLOWER_PERMISSIVE.decode_mut(digits, &mut *key).ok()?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_is_made_once_private_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/relay.key");
        let source = KeySource::File(path.clone());
        let first = source.read_or_make().unwrap();
        assert_ne!(*first, [0; 32]);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(*source.read_or_make().unwrap(), *first);
        assert_eq!(*source.read().unwrap(), *first);
    }

    #[test]
    fn what_others_may_read_or_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let source = KeySource::File(path.clone());
        assert_eq!(source.read().unwrap_err().code, trouble::KEY_FILE);
        for text in [
            &b""[..],
            b"a7",
            &[b'a'; 63],
            &[b'z'; 64],
            &[b'a'; 81],
            &[b'a'; 500],
        ] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            assert_eq!(source.read().unwrap_err().code, trouble::KEY_FILE, "{text:?}");
        }
        std::fs::write(&path, [b'a'; 64]).unwrap();
        assert_eq!(*source.read().unwrap(), [0xaa; 32]);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(source.read().unwrap_err().how.contains("others may read"));
    }

    #[test]
    fn what_is_said_goes_before_a_credential_before_what_was_noted() {
        let folder = tempfile::tempdir().unwrap();
        let (said, noted, data) = (Path::new("/s"), Path::new("/n"), Path::new("/d"));
        let none = KeySource::choose_from(None, Some(folder.path()), Some(noted), data);
        assert_eq!(none, KeySource::File(noted.into()));
        std::fs::write(folder.path().join(CREDENTIAL), [7; 32]).unwrap();
        let credential = KeySource::choose_from(None, Some(folder.path()), Some(noted), data);
        assert_eq!(credential, KeySource::Credential(folder.path().join(CREDENTIAL)));
        assert_eq!(*credential.read().unwrap(), [7; 32]);
        let both = KeySource::choose_from(Some(said), Some(folder.path()), Some(noted), data);
        assert_eq!(both, KeySource::File(said.into()));
        assert_eq!(
            KeySource::choose_from(None, None, None, data),
            KeySource::File("/d.key".into())
        );
    }
}
