//! What the local API says and takes, as plain data: the one contract of command line, page and scripts.
//!
//! Field names are stable within a `schema`; new fields may come. Ids are lower-case hex: a thread has 32
//! digits, an entry is `THREAD8-SLOT8-NUMBER`. Times are milliseconds since 1970 by this device's clock.

use serde::{Deserialize, Serialize};

/// `GET /v1/node`: this device and its links.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// `aidmesh.node/1`.
    pub schema: String,
    /// Version of the program.
    pub version: String,
    /// Name of the organisation.
    pub organisation: String,
    /// Name of the holder.
    pub person: String,
    /// First 8 hex digits of the device.
    pub device8: String,
    /// Roles of the holder's certificate.
    pub roles: Vec<String>,
    /// Whether somebody is signed on.
    pub signed_on: bool,
    /// Days until the lease ends; negative since it ended.
    pub lease_days: i64,
    /// Entries that nobody took yet, by class 0 to 4.
    pub waiting: [u32; 5],
    /// One for each relay.
    pub relays: Vec<RelayView>,
    /// Why nothing can be saved, if so.
    pub fault: Option<Fault>,
}

/// A relay and the path to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelayView {
    /// Name or address as configured.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// First 8 bytes of the key's hash, hex.
    pub key: String,
    /// `up`, `trying` or `refused`.
    pub state: String,
    /// Since when.
    pub since_ms: u64,
    /// Round trip, if up.
    pub rtt_ms: Option<u64>,
    /// What the relay or the network said last, if not up.
    pub why: Option<String>,
}

/// `GET /v1/threads`: one of the list; `GET /v1/threads/{id}` has the members too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreadInfo {
    /// 32 hex digits.
    pub thread: String,
    /// Title.
    pub name: String,
    /// `patient`, `incident`, `hotline` or `conversation`.
    pub kind: String,
    /// Members.
    pub members: Vec<MemberInfo>,
    /// Entries open here.
    pub entries: u32,
    /// Own entries that wait for their seal.
    pub unsealed: u32,
    /// Why nothing is sealed now.
    pub stopped: Option<String>,
}

/// A member of a thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Name in the certificate.
    pub person: String,
    /// First 8 hex digits of the device.
    pub device8: String,
    /// Role in the thread.
    pub role: String,
    /// It is this device.
    pub me: bool,
}

/// `POST /v1/threads`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewThread {
    /// Title.
    pub name: String,
    /// `patient`, `incident`, `hotline`.
    pub kind: String,
    /// People to add, by name or device8.
    #[serde(default)]
    pub to: Vec<String>,
}

/// `POST /v1/threads/{id}/members` and `DELETE /v1/threads/{id}/members/{person}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whom {
    /// Name or device8.
    pub person: String,
}

/// `POST /v1/threads/{id}/notes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewNote {
    /// The text.
    pub text: String,
}

/// `POST /v1/threads/{id}/ecgs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewEcg {
    /// Original files in the order in which an importer wants them.
    pub files: Vec<FileData>,
    /// `alarm` or `clinical`. An alarm also asks a role to act: see `alert`.
    pub class: String,
    /// For an alarm: what and whom it asks.
    pub alert: Option<NewAlert>,
}

/// An alert beside an ECG.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewAlert {
    /// `stemi`, `stroke`, `trauma` or `other`.
    pub what: String,
    /// Role that is asked, such as `cardiologist`.
    pub role: String,
    /// Short text.
    pub text: String,
}

/// A file by value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileData {
    /// Its name without folders.
    pub name: String,
    /// Base64.
    pub bytes: String,
}

/// Answer to everything that wrote: it is *stored* on this device when this answer comes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// The thread, if one was founded or written to.
    pub thread: Option<String>,
    /// Entries that were written, the main one first.
    #[serde(default)]
    pub entries: Vec<String>,
}

/// `GET /v1/inbox` and `GET /v1/threads/{id}/entries`: one entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryInfo {
    /// Id.
    pub entry: String,
    /// Thread, 32 hex digits.
    pub thread: String,
    /// Title of the thread.
    pub thread_name: String,
    /// `note`, `ecg`, `alert`, `acknowledgement`, `seen`, `recall`, ...
    pub kind: String,
    /// `alarm` to `bulk`.
    pub class: String,
    /// Who wrote it.
    pub person: String,
    /// On which device.
    pub device8: String,
    /// The author's clock.
    pub at_ms: u64,
    /// One line for people.
    pub text: String,
    /// The entry that it is about.
    pub about: Option<String>,
    /// Of an acknowledgement: `acknowledged`, `accepted`, `declined`, `activated`.
    pub act: Option<String>,
    /// Layers of its object.
    pub layers: Vec<LayerInfo>,
    /// Written on this device.
    pub mine: bool,
    /// Remarks: `disputed`, `rewrapped`, `clock suspect`, `recalled`.
    pub marks: Vec<String>,
}

/// A layer of an entry's object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// `digest`, `beats`, `preview`, `lossless`, `original`.
    pub layer: String,
    /// File name of an original.
    pub name: String,
    /// Bytes.
    pub bytes: u32,
    /// Parts held, and in all.
    pub held: u32,
    /// See `held`.
    pub total: u32,
    /// Complete here and equal to its hash.
    pub complete: bool,
}

/// `GET /v1/people`: somebody who can be added to a thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersonInfo {
    /// Name in the certificate.
    pub person: String,
    /// First 8 hex digits of the device.
    pub device8: String,
    /// Roles of the certificate.
    pub roles: Vec<String>,
    /// Name of the organisation.
    pub organisation: String,
    /// Its card is here, so that it can be added.
    pub has_card: bool,
}

/// `POST /v1/entries/{id}/seen`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewSeen {
    /// Layer that was shown: `digest`, `beats`, `preview`, `lossless`, `original`; `None` without an object.
    pub layer: Option<String>,
}

/// `POST /v1/entries/{id}/ack`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewAck {
    /// `acknowledged`, `accepted`, `declined`, `activated`.
    pub act: String,
}

/// `POST /v1/entries/{id}/recall`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewRecall {
    /// Reason.
    pub why: String,
}

/// `GET /v1/entries/{id}/status`: who has it, from evidence only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// `aidmesh.status/1`.
    pub schema: String,
    /// Id.
    pub entry: String,
    /// As in [`EntryInfo`].
    pub kind: String,
    /// As in [`EntryInfo`].
    pub class: String,
    /// When it was stored here.
    pub at_ms: u64,
    /// One for each recipient device.
    pub recipients: Vec<RecipientStatus>,
}

/// One recipient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecipientStatus {
    /// Name in the certificate.
    pub person: String,
    /// First 8 hex digits of the device.
    pub device8: String,
    /// Role in the thread.
    pub role: String,
    /// `stored handed_over at_relay delivered seen acknowledged`.
    pub state: String,
    /// `digest`, `beats`, `preview`, `lossless`, `original`; `None` without an object.
    pub layer: Option<String>,
    /// Since when.
    pub since_ms: u64,
    /// `commit`, `carry_receipt`, `relay_receipt`, `head` or `entry`.
    pub evidence: String,
    /// Of an acknowledgement: the act.
    pub act: Option<String>,
    /// Who saw or acknowledged it.
    pub by: Option<String>,
    /// Words of the marks.
    pub marks: Vec<String>,
    /// The line of the one table of words.
    pub line: String,
}

/// `GET /v1/events`: data of one server-sent event; its id is the number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventInfo {
    /// Ascending within one run of the node.
    pub number: u64,
    /// When it left the core.
    pub at_ms: u64,
    /// `stored`, `arrived`, `layer`, `delivery`, `thread`, `members`, `stopped`, `resumed`, `moved`,
    /// `refused`, `equivocation`, `revoked`, `store_failed`, `relay`, `waiting`.
    pub event: String,
    /// 32 hex digits.
    pub thread: Option<String>,
    /// Id.
    pub entry: Option<String>,
    /// With `delivery`: the recipient as it is now.
    pub recipient: Option<RecipientStatus>,
    /// With `layer`.
    pub layer: Option<String>,
    /// One line for people.
    pub text: String,
}

/// What went wrong, for programs and people. Printed as `{"error": Fault}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Stable: `AM-NODE-01`. `aidmesh explain CODE` says more.
    pub code: String,
    /// What happened.
    pub what: String,
    /// What it means for the patient's data.
    pub means: String,
    /// What to do next.
    pub next: String,
}

/// Answer to `POST /v1/org/reload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Anything was new.
    pub changed: bool,
}
