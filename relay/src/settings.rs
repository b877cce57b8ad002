//! `relay.json`: what an operator decided at `init` and may change by hand. Nothing in it is secret.
//!
//! Cards are kept as they were given and checked anew at every start. A key that is not
//! known is an error, so that a slip does not pass for a decision. The file is replaced as a whole.

use crate::card::{CardError, RelayCard};
use crate::trouble::{self, Trouble};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Name of the file in the data folder.
pub const FILE: &str = "relay.json";
const VERSION: u32 = 1;
/// 256 organisations with several administrators each fit.
const FILE_BYTES: u64 = 1024 * 1024;

/// What is in `relay.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Layout of this file: 1.
    pub version: u32,
    /// Name to show.
    pub name: String,
    /// Public routing key, hexadecimal. The secret one is in the vault.
    pub key: String,
    /// UDP address to listen on.
    pub listen: SocketAddr,
    /// How devices reach it: `host:port`.
    pub public: String,
    /// Where health and metrics are served.
    pub admin: SocketAddr,
    /// Room for all items, in bytes.
    pub room_bytes: u64,
    /// Key file, unless the key is a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Folder for the count of starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openings: Option<PathBuf>,
    /// Cards of the organisations that are served, as text.
    pub orgs: Vec<String>,
    /// Bounds of admission.
    #[serde(default)]
    pub limits: Limits,
}

/// How many devices are let in at once. One device has one connection: a newer one ends the older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Of one organisation, while several are served. Else one could shut out the others: there is room for
    /// 240 in all.
    pub devices_per_org: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { devices_per_org: 128 }
    }
}

impl Settings {
    /// The layout that this program writes.
    pub const VERSION: u32 = VERSION;

    /// Whether there is a relay in this folder.
    pub fn exists(data: &Path) -> bool {
        data.join(FILE).exists()
    }

    /// Reads them from a data folder.
    pub fn load(data: &Path) -> Result<Settings, Trouble> {
        let path = data.join(FILE);
        let refused = |why: &dyn std::fmt::Display| {
            Trouble::new(trouble::SETTINGS, format_args!("{}: {why}", path.display()))
        };
        let file = match File::open(&path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                return Err(Trouble::new(trouble::NOT_MADE, data.display()));
            }
            file => file.map_err(|why| refused(&why))?,
        };
        let mut text = String::new();
        let read = file.take(FILE_BYTES + 1).read_to_string(&mut text);
        if read.map_err(|why| refused(&why))? as u64 > FILE_BYTES {
            return Err(refused(&"too long"));
        }
        let settings: Settings = serde_json::from_str(&text).map_err(|why| refused(&why))?;
        if settings.version != VERSION {
            return Err(refused(&"written by another version of aidmesh-relay"));
        }
        Ok(settings)
    }

    /// This relay's card.
    pub fn card(&self) -> Result<RelayCard, Trouble> {
        let line = format!("{} {} {}", self.name, self.public, self.key);
        let card = line.parse();
        card.map_err(|why: CardError| Trouble::new(trouble::SETTINGS, format_args!("{FILE}: {why}")))
    }

    /// Writes them, whole or not at all.
    pub fn save(&self, data: &Path) -> Result<(), Trouble> {
        let path = data.join(FILE);
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other);
        let saved = text.and_then(|text| replace(data, &path, &text));
        saved.map_err(|why| Trouble::new(trouble::SETTINGS, format_args!("{}: {why}", path.display())))
    }
}

fn replace(data: &Path, path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    let mut file = open.open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    File::open(data)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            version: VERSION,
            name: "North-1".into(),
            key: "a7".repeat(32),
            listen: "0.0.0.0:7443".parse().unwrap(),
            public: "relay.example:7443".into(),
            admin: crate::args::ADMIN,
            room_bytes: 1 << 30,
            key_file: Some("/k".into()),
            openings: None,
            orgs: vec!["card".into()],
            limits: Limits::default(),
        }
    }

    #[test]
    fn they_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Settings::load(folder.path()).unwrap_err().code, trouble::NOT_MADE);
        for openings in [None, Some("/o".into())] {
            let settings = Settings {
                openings,
                ..settings()
            };
            settings.save(folder.path()).unwrap();
            assert_eq!(Settings::load(folder.path()), Ok(settings));
        }
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(files.len(), 1);
    }

    #[test]
    fn a_slip_is_an_error_that_names_file_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let good = serde_json::to_string(&settings()).unwrap();
        for (from, to, named) in [
            ("\"listen\"", "\"lisen\"", "lisen"),
            ("\"version\":1", "\"version\":2", "another version"),
            ("0.0.0.0:7443", "everywhere", "socket address"),
            ("devices_per_org", "devices", "devices"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            std::fs::write(folder.path().join(FILE), bad).unwrap();
            let trouble = Settings::load(folder.path()).unwrap_err();
            assert_eq!(trouble.code, trouble::SETTINGS);
            assert!(
                trouble.how.contains(FILE) && trouble.how.contains(named),
                "{}",
                trouble.how
            );
        }
    }
}
