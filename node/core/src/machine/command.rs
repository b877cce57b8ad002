//! What a person or program on this device can ask for.

use crate::clinical::{Act, Emergency};
use crate::codec::{Malformed, Reader, Writer};
use crate::directory::{Role, ThreadKind};
use crate::envelope::Class;
use crate::group::control::History;
use crate::group::mls::Suite;
use crate::id::{Dev, Person, Seq, Slot, ThreadId};
use crate::limits;
use bytes::Bytes;
use std::collections::BTreeSet;

/// Names a content entry: its author's slot and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryRef {
    /// The author's slot in the thread.
    pub slot: Slot,
    /// Its number, from 1.
    pub seq: Seq,
}

/// A device as others add it to threads.
#[derive(Clone, PartialEq, Eq)]
pub struct Card {
    /// Device certificate.
    pub device_cert: Bytes,
    /// A key package made by that device.
    pub key_package: Bytes,
}

impl std::fmt::Debug for Card {
    /// The certificate names a person, and `Bytes` would print it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (cert, package) = (self.device_cert.len(), self.key_package.len());
        write!(f, "Card({cert} B, {package} B)")
    }
}

impl Card {
    /// n, n x (len, device certificate | len, key package): as in a roster entry or a grant.
    pub fn write_all(cards: &[Card], w: &mut Writer) {
        w.count(cards.len());
        for card in cards {
            w.bytes(&card.device_cert).bytes(&card.key_package);
        }
    }

    /// Reads [`Card::write_all`], 1 to [`limits::CARDS`]. Whether a card is true is found when it is
    /// learned.
    pub fn read_all(r: &mut Reader<'_>) -> Result<Vec<Card>, Malformed> {
        let n = r.count(limits::CARDS)?;
        if n == 0 {
            return Err(Malformed("no card"));
        }
        let mut cards = Vec::with_capacity(n);
        for _ in 0..n {
            cards.push(Card {
                device_cert: Bytes::copy_from_slice(r.bytes(limits::CERT_BYTES)?),
                key_package: Bytes::copy_from_slice(r.bytes(limits::MLS_KEY_PACKAGE_BYTES)?),
            });
        }
        Ok(cards)
    }
}

/// One layer of a blob to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerData {
    /// Layer number (`blob::Layer`).
    pub layer: u8,
    /// File name for originals, else empty.
    pub name: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What can be said in a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Text.
    Note(String),
    /// A 12-lead ECG: digest in the entry, layers as a blob.
    Ecg {
        /// When it was recorded, ms since the epoch by the monitor's clock.
        recorded_ms: Option<u64>,
        /// L0 digest (`aidmesh-ecg`), opaque here.
        digest: Bytes,
        /// Name of the file format.
        format: String,
        /// Layers in the order of their numbers.
        layers: Vec<LayerData>,
    },
    /// An alert to a role, about an entry if there is one.
    Alert {
        /// Of what.
        what: Emergency,
        /// Role that is asked to act.
        role: Role,
        /// Short text.
        text: String,
        /// The entry that it is about.
        about: Option<EntryRef>,
    },
    /// A person has seen the entry on the screen, at this layer.
    Seen {
        /// Which entry.
        entry: EntryRef,
        /// Highest layer shown; `None` for an entry without a blob.
        layer: Option<u8>,
    },
    /// A person acts on the entry.
    Ack {
        /// Which entry.
        entry: EntryRef,
        /// What the person does.
        act: Act,
        /// The layer that was judged; `None` for an entry without a blob.
        layer: Option<u8>,
    },
    /// Own entry is taken back; nothing is deleted.
    Recall {
        /// Which entry.
        entry: EntryRef,
        /// Reason.
        why: String,
    },
    /// Cards of devices, 1 to [`limits::CARDS`]. Who gets them learns them by [`Command::LearnCard`].
    Roster(Vec<Card>),
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Trust an organisation's root card.
    Trust {
        /// The card.
        root_card: Bytes,
        /// It is this device's own organisation.
        own: bool,
    },
    /// Learn an administrator's certificate.
    LearnAdmin {
        /// The certificate.
        cert: Bytes,
    },
    /// Learn a device, to add it to threads.
    LearnCard {
        /// The card.
        card: Card,
    },
    /// Learn a signed revocation.
    Revoke {
        /// The revocation.
        revocation: Bytes,
    },
    /// These are the relays of this device, by routing key, until the machine is closed. What a pinned
    /// relay signs counts though no organisation vouches for it: it was chosen by hand, and it only keeps.
    PinRelays {
        /// All of them.
        keys: BTreeSet<[u8; 32]>,
    },
    /// Make a key package for this device's card; answered by `Event::CardMade`.
    MakeCard {
        /// For threads of this suite.
        suite: Suite,
    },
    /// This person works on this device from now.
    SignOn {
        /// Who.
        person: Person,
    },
    /// Nobody does.
    SignOff,
    /// Found a thread.
    CreateThread {
        /// What for.
        kind: ThreadKind,
        /// What joiners may read.
        history: History,
        /// MLS suite.
        suite: Suite,
        /// Title, at most 64 bytes; sealed.
        title: String,
    },
    /// Add a learned device to a thread.
    Add {
        /// Where.
        thread: ThreadId,
        /// Whom.
        dev: Dev,
        /// In which role.
        role: Role,
    },
    /// Remove a device from a thread.
    Remove {
        /// Where.
        thread: ThreadId,
        /// Whom.
        dev: Dev,
    },
    /// Ask all members to go on with a group of a stronger suite, once each of them has answered.
    Refound {
        /// Where.
        thread: ThreadId,
        /// Which suite; `None` takes the request back. Another than a stronger one is no change.
        suite: Option<Suite>,
    },
    /// Say something.
    Send {
        /// Where.
        thread: ThreadId,
        /// How urgent.
        class: Class,
        /// What.
        what: Outgoing,
    },
}

/// What a command made. It is *stored* when `Event::Stored` names its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Number of this command.
    pub command: u64,
    /// Thread that it founded or wrote to.
    pub thread: Option<ThreadId>,
    /// Entry that it wrote.
    pub entry: Option<EntryRef>,
}

/// Why a command was not taken. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The store failed before; open the machine anew.
    #[error("the store failed; nothing can be saved")]
    Poisoned,
    /// This device only carries for others.
    #[error("this device has no identity and carries only")]
    NotAMember,
    /// No such thread here.
    #[error("no such thread")]
    UnknownThread,
    /// No such entry here.
    #[error("no such entry")]
    UnknownEntry,
    /// The device was never learned.
    #[error("no card of that device is known")]
    UnknownDevice,
    /// The role table forbids it.
    #[error("the role of this device does not allow that")]
    Forbidden,
    /// Already so.
    #[error("already so")]
    NoChange,
    /// Nobody is signed on, and this act names a person.
    #[error("nobody is signed on")]
    NobodySignedOn,
    /// Too long, too many or empty.
    #[error("{0}")]
    Invalid(&'static str),
    /// Certificate or revocation refused.
    #[error("refused: {0}")]
    Refused(String),
    /// A queue is full.
    #[error("too much waits already: {0}")]
    Full(&'static str),
    /// The group library refused.
    #[error("group keys: {0}")]
    Group(String),
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] crate::store::ReadError),
}
