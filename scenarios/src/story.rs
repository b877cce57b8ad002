//! Named scenarios: a cast, its cables and a list of steps, as data in `scenarios/library/*.toml`.
//!
//! A step does one thing or waits for one thing with a limit; a limit that passes, or an expectation
//! that fails, is a violation like those of the reference model, which looks on as in a storm. What a
//! file may say is in `docs/reference/simulator.md`; unknown words in a file are errors.
//!
//! Some steps only *plan*: what they plan happens while later steps let time pass ([`background`]).

mod background;
mod ecg;
mod figures;
mod ground;
mod people;
mod play;

pub use ecg::{EcgError, Recording};
pub use figures::Figures;

use crate::chance::Chance;
use crate::clock::{Clock, START_MS, YEAR_2100_MS};
use aidmesh_core::blob::Layer;
use aidmesh_core::directory::{Role, ThreadKind};
use aidmesh_core::envelope::Class;
use aidmesh_core::group::control::History;
use aidmesh_core::group::mls::Suite;
use aidmesh_core::machine::open::{Flaws, Part};
use aidmesh_netem::Profile;
use serde::Deserialize;

/// A scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Story {
    /// One sentence.
    pub about: String,
    /// Seed of chance in links, disks and keys.
    pub seed: u64,
    /// Hybrid post-quantum suite unless it says "classical".
    #[serde(default)]
    pub suite: SuiteName,
    /// It takes minutes: `run --all --short` leaves it out.
    #[serde(default)]
    pub long: bool,
    /// Devices.
    pub device: Vec<Device>,
    /// Cables.
    pub cable: Vec<CableSpec>,
    /// Threads, founded in order.
    pub thread: Vec<ThreadSpec>,
    /// What happens.
    pub step: Vec<Step>,
}

/// Suites by name.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum SuiteName {
    #[default]
    XWing,
    Classical,
}

impl SuiteName {
    pub(crate) fn suite(self) -> Suite {
        match self {
            SuiteName::XWing => Suite::XWing,
            SuiteName::Classical => Suite::Classical,
        }
    }
}

/// A device.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its name in steps and lines.
    pub name: String,
    /// So many devices, called `name1`, `name2` and so on, in place of one.
    #[serde(default)]
    pub count: u32,
    /// Role of its holder; a relay has none.
    pub role: RoleName,
    /// Where its wall clock stands.
    #[serde(default)]
    pub clock: ClockName,
    /// Not there at the start: `start` brings it.
    #[serde(default)]
    pub late: bool,
}

/// Roles by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum RoleName {
    Physician,
    Cardiologist,
    Paramedic,
    Nurse,
    Relay,
}

impl RoleName {
    pub(crate) fn role(self) -> Role {
        match self {
            RoleName::Physician => Role::Physician,
            RoleName::Cardiologist => Role::Cardiologist,
            RoleName::Paramedic => Role::Paramedic,
            RoleName::Nurse => Role::Nurse,
            RoleName::Relay => Role::Relay,
        }
    }

    pub(crate) fn part(self) -> Part {
        match self {
            RoleName::Relay => Part::Relay,
            _ => Part::Member,
        }
    }
}

/// Where a wall clock stands at the start.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[allow(missing_docs)]
pub enum ClockName {
    #[default]
    #[serde(rename = "right")]
    Right,
    #[serde(rename = "1970")]
    Year1970,
    #[serde(rename = "2100")]
    Year2100,
}

impl ClockName {
    pub(crate) fn clock(self, chance: &mut Chance) -> Clock {
        let offset = match self {
            ClockName::Right => chance.between(0, 1_000) as i64 - 500,
            ClockName::Year1970 => -(START_MS as i64),
            ClockName::Year2100 => (YEAR_2100_MS - START_MS) as i64,
        };
        Clock::new(chance.between(0, 100) as i64 - 50, offset)
    }
}

/// A cable, or one between each two devices that two patterns name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CableSpec {
    /// Its ends: names, or patterns in which one `*` stands for any text.
    pub between: [String; 2],
    /// Name of a link profile (`aidmesh-netem`).
    pub line: String,
    /// More losses, percent.
    #[serde(default)]
    pub loss_percent: u32,
    /// Datagrams sent twice, percent.
    #[serde(default)]
    pub duplicate_percent: u32,
    /// Datagrams held back, percent.
    #[serde(default)]
    pub reorder_percent: u32,
    /// Bare datagrams instead of a stream.
    #[serde(default)]
    pub datagrams: bool,
}

impl CableSpec {
    pub(crate) fn profile(&self) -> Option<Profile> {
        let mut profile = Profile::named(&self.line)?;
        profile.mtu = profile.mtu.min(1400);
        profile.loss_ppm += self.loss_percent * 10_000;
        profile.duplicate_ppm += self.duplicate_percent * 10_000;
        profile.reorder_ppm += self.reorder_percent * 10_000;
        Some(profile)
    }
}

/// A thread.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreadSpec {
    /// Its name in steps.
    pub name: String,
    /// What it is for.
    pub kind: KindName,
    /// Who founds it.
    pub founder: String,
    /// Who is added at the start: names, or patterns in which one `*` stands for any text.
    pub members: Vec<String>,
    /// What joiners may read.
    #[serde(default)]
    pub history: HistoryName,
}

/// Kinds of threads by name.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum KindName {
    Patient,
    Incident,
    Hotline,
}

impl KindName {
    pub(crate) fn kind(self) -> ThreadKind {
        match self {
            KindName::Patient => ThreadKind::Patient,
            KindName::Incident => ThreadKind::Incident,
            KindName::Hotline => ThreadKind::Hotline,
        }
    }
}

/// History policies by name.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum HistoryName {
    #[default]
    All,
    FromJoining,
}

impl HistoryName {
    pub(crate) fn history(self) -> History {
        match self {
            HistoryName::All => History::All,
            HistoryName::FromJoining => History::FromJoining,
        }
    }
}

/// Words that a step can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Word {
    Stored,
    AtRelay,
    Delivered,
    Seen,
    Acknowledged,
}

/// Layers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum LayerName {
    Original,
}

impl LayerName {
    pub(crate) fn layer(self) -> Layer {
        match self {
            LayerName::Original => Layer::ORIGINAL,
        }
    }
}

/// Classes by name.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ClassName {
    Alarm,
    Clinical,
    Text,
    Voice,
    Bulk,
}

impl ClassName {
    pub(crate) fn class(self) -> Class {
        match self {
            ClassName::Alarm => Class::Alarm,
            ClassName::Clinical => Class::Clinical,
            ClassName::Text => Class::Text,
            ClassName::Voice => Class::Voice,
            ClassName::Bulk => Class::Bulk,
        }
    }
}

/// One step. Names of entries are given by `entry` in the step that writes them.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum Step {
    /// Time passes.
    Wait { seconds: u64 },
    /// A line for the reader.
    Say { text: String },
    /// Cables go down and stay down.
    Cut { between: [String; 2] },
    /// They may come up again.
    Raise { between: [String; 2] },
    /// A late device is switched on.
    Start { device: String },
    /// The machine dies; it starts again after `seconds`.
    Crash { device: String, seconds: u64 },
    /// The program stops, a backup of the store is taken, the program starts again.
    Backup { device: String },
    /// The backup (or nothing) takes the place of the store.
    Restore {
        device: String,
        #[serde(default)]
        empty: bool,
    },
    /// Text.
    Note {
        by: String,
        thread: String,
        entry: String,
        class: ClassName,
        text: String,
    },
    /// The ECG of this run.
    Ecg {
        by: String,
        thread: String,
        entry: String,
    },
    /// An alert about an entry.
    Alert {
        by: String,
        thread: String,
        entry: String,
        about: String,
        text: String,
    },
    /// A person has seen an entry.
    Seen { by: String, entry: String },
    /// A person acknowledges an entry.
    Ack { by: String, entry: String },
    /// The author takes an entry back.
    Recall { by: String, entry: String },
    /// A member adds a device.
    Add {
        by: String,
        thread: String,
        device: String,
    },
    /// A member removes a device.
    Remove {
        by: String,
        thread: String,
        device: String,
    },
    /// A member asks all to go on with a group of another suite, or takes that back.
    Refound {
        by: String,
        thread: String,
        #[serde(default)]
        suite: Option<SuiteName>,
    },
    /// A device loses the keys of the newest node, as if the author of its commit had made them of no use
    /// to it.
    LoseKeys { device: String, thread: String },
    /// The newest node of all members has this suite.
    SuiteIs { thread: String, suite: SuiteName },
    /// For `seconds` from here on somebody of these writes, `messages` times at moments of chance.
    Chatter {
        thread: String,
        among: Vec<String>,
        messages: u64,
        seconds: u64,
    },
    /// For `seconds` from here on these die and start again, `times` at moments of chance: each with some
    /// or none of its unconfirmed batches on the disk, with or without a reboot, after at most `down_s`.
    Crashes {
        among: Vec<String>,
        times: u64,
        seconds: u64,
        down_s: u64,
    },
    /// From here on cables are up for `stays_s` every `every_s`, `times` times, first after `first_s`.
    Visits {
        between: [String; 2],
        first_s: u64,
        every_s: u64,
        stays_s: u64,
        times: u64,
    },
    /// The disk of a device takes nothing, or takes batches again.
    DiskFull { device: String, full: bool },
    /// From here on disks take up to so long to confirm a batch.
    SlowDisks { delay_ms: u64 },
    /// The administrator revokes the key of a device; whom the revocation reaches first hears of it.
    Revoke { device: String, told: String },
    /// Hostile frames.
    Garbage { frames: u64 },
    /// A device gets every envelope there is.
    OfferAll { device: String, thread: String },
    /// A device that has, or had, the thread's mailbox key asks relays to throw everything away.
    Purge { by: String, thread: String },
    /// A member that follows no rules says that a device is removed and commits that again and again: the
    /// commits with the lowest ids of all that it tries.
    Grind {
        by: String,
        thread: String,
        device: String,
        tries: u32,
        publish: usize,
    },
    /// None of these commits is on the path of anybody else, or kept as a node.
    NotFollowed { thread: String },
    /// Waits for a word at the sender, about one recipient.
    Until {
        entry: String,
        at: String,
        word: Word,
        #[serde(default)]
        layer: Option<LayerName>,
        within_s: u64,
    },
    /// Waits until the sender takes a word back.
    FallsBack {
        entry: String,
        at: String,
        word: Word,
        within_s: u64,
    },
    /// The sender's screen says this word now, no less and no more.
    Says {
        entry: String,
        at: String,
        word: Word,
        #[serde(default)]
        layer: Option<LayerName>,
    },
    /// Waits until a device has opened an entry.
    Opens {
        device: String,
        entry: String,
        within_s: u64,
    },
    /// A device must not have opened an entry.
    NotOpened { device: String, entry: String },
    /// Waits until a device has the original files, byte for byte.
    Original {
        device: String,
        entry: String,
        within_s: u64,
    },
    /// The word at the sender must not be there yet.
    NotYet { entry: String, at: String, word: Word },
    /// Waits until the disk of a device has keys of so many epoch nodes.
    Keys {
        device: String,
        thread: String,
        nodes: usize,
        within_s: u64,
    },
    /// Waits until all members have one head and one roster, so many rounds of sync after the last `raise`.
    OneHead { rounds: u64 },
    /// Waits until nothing is missing anywhere; with `everything` until every member has all open that was
    /// ever written.
    Converge {
        within_s: u64,
        #[serde(default)]
        everything: bool,
    },
}

/// Reads the named files of the library at compile time.
macro_rules! library {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../library/", $name, ".toml")))),*]
    };
}

/// The library, by name, built into the program so that it runs from any folder.
pub const LIBRARY: &[(&str, &str)] = &library![
    "first-ecg",
    "late-joiner",
    "founder-lost",
    "two-halves",
    "removed-device",
    "relay-restart",
    "wrong-clocks",
    "garbage-at-the-relay",
    "restored-store",
    "mixed-losses",
    "prearrival",
    "mutual-removal",
    "stolen-tablet",
    "relay-forgets",
    "crash-everywhere",
    "shuttle",
    "wrong-clock-commits",
    "key-of-one-side",
    "revoked-on-one-side",
    "restored-alone",
    "disk-full",
    "void-removal",
    "removed-while-away",
    "garbage-first",
    "alarm-overtakes",
    "crossing-removals",
    "two-additions",
    "alarm-on-a-thin-line",
    "lossy-datagrams",
    "relay-emptied",
    "former-member",
    "away-over-a-removal",
    "grinding-insider",
    "late-sibling",
    "words-of-the-removed",
    "newcomer-of-a-half",
    "two-removals",
    "another-suite",
    "commit-of-use-to-half",
    "two-camps",
    "old-keys",
];

/// Reads a scenario of the library; `None` if there is none of that name.
pub fn named(name: &str) -> Option<Result<Story, toml::de::Error>> {
    let (_, text) = LIBRARY.iter().find(|(known, _)| *known == name)?;
    Some(toml::from_str(text))
}

/// How to run a scenario.
pub struct Run {
    /// In place of the file's seed.
    pub seed: Option<u64>,
    /// The ECG to send; invented if there is none.
    pub ecg: Option<Recording>,
    /// Hash and lines.
    pub trace: crate::trace::Trace,
    /// Planted bugs.
    pub flaws: Flaws,
}

/// Plays a scenario to its end or to its first violation.
pub fn run(story: &Story, run: Run) -> Result<crate::storm::Outcome, EcgError> {
    play::play(story, run)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_file_of_the_library_can_be_read() {
        for (name, _) in super::LIBRARY {
            let story = super::named(name).unwrap();
            assert!(story.is_ok(), "{name}: {story:?}");
        }
    }
}
