//! Settings of a node: `config.toml` in its data folder, and what overrides it.
//!
//! Four layers, each over the one before: what the program brings, the file, `AIDMESH_*` of the
//! environment, flags. Each value knows where it comes from ([`Origin`]), so that a person who wonders why
//! gets an answer (`aidmesh config show --origin`).
//!
//! * A key of the file that is not in [`KEYS`] is an error that names the nearest one: a setting that is
//!   silently without effect is worse than a node that does not start.
//! * One table, [`KEYS`], is behind parsing, the written file and the listing.
//! * No secret is a setting. Passphrases come from a prompt, a file or a credential of systemd.

mod nearest;

use crate::api::types::Fault;
use crate::fault;
use aidmesh_core::limits;
use aidmesh_host::store::EngineKind;
use aidmesh_relay::card::RelayCard;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use nearest::nearest;

/// Name of the file in the data folder.
pub const FILE: &str = "config.toml";
/// Variables of ours begin so.
const PREFIX: &str = "AIDMESH_";
/// Ours, and no settings of a node.
const OTHER_VARIABLES: [&str; 4] = [
    "AIDMESH_DATA",
    "AIDMESH_STATE_DIR",
    "AIDMESH_REQUIRE",
    "AIDMESH_WRITE_DOCS",
];
/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Most relays that a node speaks to.
const RELAYS_MAX: usize = 16;
/// What a node carries for others, unless it is told otherwise: the quota of a phone.
const CARRY_MIB: u32 = (limits::CARRY_BYTES_PHONE >> 20) as u32;
/// Most that can be set: 1 TiB.
const CARRY_MIB_MAX: u32 = 1 << 20;

/// A key with everything that is said about it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// In the file.
    pub name: &'static str,
    /// In the environment.
    pub variable: &'static str,
    /// On the command line.
    pub flag: &'static str,
    /// Lines of comment in the written file.
    pub about: &'static str,
    /// A line that could stand there.
    pub example: &'static str,
}

/// Every key.
pub const KEYS: [Key; 4] = [
    Key {
        name: "engine",
        variable: "AIDMESH_ENGINE",
        flag: "--engine",
        about: "How rows are kept on the disk: sled or redb. Read once, by `aidmesh init`.",
        example: "engine = \"sled\"",
    },
    Key {
        name: "relays",
        variable: "AIDMESH_RELAYS",
        flag: "--relay",
        about: "Relays to speak to instead of those of the organisation, each as the line that\n\
                `aidmesh-relay card` prints: name, host:port, key. In the environment: one a line.",
        example: "relays = [\"North-1 relay.example.org:7443 KEY\"]",
    },
    Key {
        name: "listen",
        variable: "AIDMESH_LISTEN",
        flag: "--listen",
        about: "Address at which the desk of an organisation answers new devices online,\n\
                while `aidmesh org invite` waits. Without it requests are carried as files.",
        example: "listen = \"0.0.0.0:7444\"",
    },
    Key {
        name: "carry_mib",
        variable: "AIDMESH_CARRY_MIB",
        flag: "--carry-mib",
        about: "Room for sealed items of other people, in MiB. 64 for a phone, 2048 for a vehicle.",
        example: "carry_mib = 64",
    },
];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The program.
    Default,
    /// The file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(&'static str),
    /// A flag.
    Flag(&'static str),
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// What is used.
    pub value: T,
    /// The highest layer that says so.
    pub origin: Origin,
}

/// Settings as they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How rows are kept; `aidmesh init` reads it.
    pub engine: Sourced<EngineKind>,
    /// Instead of the relays of the organisation, if any.
    pub relays: Sourced<Vec<RelayCard>>,
    /// Where the desk answers online, if it does.
    pub listen: Sourced<Option<SocketAddr>>,
    /// Room for items of others, MiB.
    pub carry_mib: Sourced<u32>,
}

/// What flags say; `None` or empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Instead of the configuration")]
pub struct Flags {
    /// How rows are kept on the disk: sled or redb.
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,
    /// A relay, as `aidmesh-relay card` prints it; several times for several.
    #[arg(long = "relay", value_name = "CARD")]
    pub relays: Vec<String>,
    /// Address at which the desk answers new devices.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Room for sealed items of others, MiB.
    #[arg(long, value_name = "MIB")]
    pub carry_mib: Option<String>,
}

/// Reads a variable of the environment; a test hands in its own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Default for Config {
    fn default() -> Config {
        fn brought<T>(value: T) -> Sourced<T> {
            let origin = Origin::Default;
            Sourced { value, origin }
        }
        Config {
            engine: brought(EngineKind::Sled),
            relays: brought(Vec::new()),
            listen: brought(None),
            carry_mib: brought(CARRY_MIB),
        }
    }
}

impl Config {
    /// The settings of the node in `data`, all layers applied. No file is no error.
    ///
    /// # Errors
    /// `AM-CFG-01` to `-03`.
    pub fn load(data: &Path, environment: Environment<'_>, flags: &Flags) -> Result<Config, Fault> {
        let mut config = Config::default();
        let path = data.join(FILE);
        if let Some(text) = read(&path)? {
            config.apply_file(&path, &text)?;
        }
        for key in KEYS {
            // a variable that is set to nothing is not set
            let Some(text) = environment(key.variable).filter(|text| !text.trim().is_empty()) else {
                continue;
            };
            let words: Vec<&str> = match key.name {
                "relays" => text.lines().map(str::trim).filter(|l| !l.is_empty()).collect(),
                _ => vec![text.trim()],
            };
            config.set(key, &words, Origin::Variable(key.variable))?;
        }
        config.apply_flags(flags)?;
        Ok(config)
    }

    fn apply_flags(&mut self, flags: &Flags) -> Result<(), Fault> {
        let relays: Vec<&str> = flags.relays.iter().map(String::as_str).collect();
        for key in KEYS {
            let words = match key.name {
                "engine" => flags.engine.as_deref().into_iter().collect(),
                "relays" => relays.clone(),
                "listen" => flags.listen.as_deref().into_iter().collect(),
                _ => flags.carry_mib.as_deref().into_iter().collect::<Vec<&str>>(),
            };
            if !words.is_empty() {
                self.set(key, &words, Origin::Flag(key.flag))?;
            }
        }
        Ok(())
    }

    fn apply_file(&mut self, path: &Path, text: &str) -> Result<(), Fault> {
        let table: toml::Table = text.parse().map_err(|why| at_file(path, &why))?;
        for (name, value) in &table {
            let Some(key) = KEYS.iter().find(|key| key.name == name) else {
                let names = KEYS.map(|key| key.name);
                let close = nearest(name, &names).map_or(String::new(), |n| format!("; did you mean {n}?"));
                let how = format_args!("{name:?} in {}{close}", path.display());
                return Err(fault::with("AM-CFG-02", how));
            };
            let wrong = || {
                let how = format_args!("{name} in {}, such as: {}", path.display(), key.example);
                fault::with("AM-CFG-03", how)
            };
            let words = match (key.name, value) {
                ("carry_mib", toml::Value::Integer(number)) => vec![number.to_string()],
                ("engine" | "listen", toml::Value::String(text)) => vec![text.clone()],
                ("relays", toml::Value::Array(list)) => {
                    let texts = list.iter().map(|item| item.as_str().map(str::to_owned));
                    texts.collect::<Option<Vec<String>>>().ok_or_else(wrong)?
                }
                _ => return Err(wrong()),
            };
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            self.set(*key, &words, Origin::File(path.to_owned()))?;
        }
        Ok(())
    }

    /// Sets one value; `words` has one element, for relays any number.
    fn set(&mut self, key: Key, words: &[&str], origin: Origin) -> Result<(), Fault> {
        let wrong = |why: &dyn Display| {
            let how = format_args!("{} ({}): {why}", key.name, origin.words());
            fault::with("AM-CFG-03", how)
        };
        let word = words.first().copied().unwrap_or_default();
        match key.name {
            "engine" => {
                let kind = EngineKind::from_name(word).ok_or_else(|| wrong(&"it is sled or redb"))?;
                self.engine = Sourced { value: kind, origin };
            }
            "relays" => {
                if words.len() > RELAYS_MAX {
                    return Err(wrong(&format_args!("at most {RELAYS_MAX} relays")));
                }
                let cards: Result<Vec<RelayCard>, _> = words.iter().map(|word| word.parse()).collect();
                let value = cards.map_err(|why: aidmesh_relay::card::CardError| wrong(&why))?;
                self.relays = Sourced { value, origin };
            }
            "listen" => {
                let address = word.parse().map_err(|_| wrong(&"it is an address and a port"))?;
                let value = Some(address);
                self.listen = Sourced { value, origin };
            }
            _ => {
                let fits = word.parse().ok().filter(|mib| *mib <= CARRY_MIB_MAX);
                let range = format!("it is a number of MiB up to {CARRY_MIB_MAX}");
                let value = fits.ok_or_else(|| wrong(&range))?;
                self.carry_mib = Sourced { value, origin };
            }
        }
        Ok(())
    }

    /// Each key with its value, null if there is none, and its origin.
    pub fn rows(&self) -> [(&'static str, serde_json::Value, &Origin); 4] {
        let relays: Vec<String> = self.relays.value.iter().map(RelayCard::to_string).collect();
        let listen = self.listen.value.map(|address| address.to_string());
        [
            ("engine", self.engine.value.name().into(), &self.engine.origin),
            ("relays", relays.into(), &self.relays.origin),
            ("listen", listen.into(), &self.listen.origin),
            ("carry_mib", self.carry_mib.value.into(), &self.carry_mib.origin),
        ]
    }
}

impl Origin {
    /// For people.
    pub fn words(&self) -> String {
        match self {
            Origin::Default => "default".into(),
            Origin::File(path) => format!("file {}", path.display()),
            Origin::Variable(name) => format!("environment {name}"),
            Origin::Flag(flag) => format!("flag {flag}"),
        }
    }
}

/// Variables of the environment that look like settings and are none, each with the nearest key, if any.
pub fn odd_variables<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(&'a str, Option<&'static str>)> {
    let known = KEYS.map(|key| key.variable);
    let ours = names.filter(|name| name.starts_with(PREFIX));
    let odd = ours.filter(|name| !known.contains(name) && !OTHER_VARIABLES.contains(name));
    odd.map(|name| {
        let ends = known.map(|variable| &variable[PREFIX.len()..]);
        let near = nearest(&name[PREFIX.len()..], &ends);
        let whole = known
            .into_iter()
            .find(|variable| near == Some(&variable[PREFIX.len()..]));
        (name, whole)
    })
    .collect()
}

/// Writes a file with every key as a comment. Never over another.
///
/// # Errors
/// `AM-CFG-04` if there is one; otherwise why it cannot be written.
pub fn write_new(data: &Path) -> Result<PathBuf, Fault> {
    let path = data.join(FILE);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    let written = file.and_then(|mut file| {
        file.write_all(commented().as_bytes())?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(path),
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
            Err(fault::with("AM-CFG-04", path.display()))
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Err(fault::with("AM-STORE-01", data.display())),
        Err(why) => Err(fault::with(
            "AM-USE-07",
            format_args!("{}: {why}", path.display()),
        )),
    }
}

/// The file that `config init` writes.
pub fn commented() -> String {
    let mut text = "# Settings of this device. Without a line the value shown is used.\n\
                    # Over them stand AIDMESH_* of the environment, and flags over those.\n"
        .to_owned();
    for key in KEYS {
        text.push('\n');
        for line in key.about.lines() {
            text.push_str(&format!("# {line}\n"));
        }
        text.push_str(&format!("# {}   or {}\n", key.variable, key.flag));
        text.push_str(&format!("#{}\n", key.example));
    }
    text
}

fn read(path: &Path) -> Result<Option<String>, Fault> {
    let file = match File::open(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|why| at_file(path, &why))?,
    };
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|why| at_file(path, &why))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(at_file(path, &"too long"));
    }
    Ok(Some(text))
}

fn at_file(path: &Path, why: &dyn Display) -> Fault {
    let why = why.to_string();
    let why = why.trim_end();
    fault::with("AM-CFG-01", format_args!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests;
