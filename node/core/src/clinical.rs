//! Bodies of entries: what a clinician wrote, sent, saw or answered.
//!
//! The kind stands in the entry; each body starts with its own version byte. Layouts stand beside
//! each `write_*`. Decoding is total: texts and lists are bounded, an option is a byte 0 or 1,
//! trailing bytes are an error. A body of a newer version is kept as [`Body::Unknown`] and shown
//! as "newer app needed"; a kind without a type here stays [`Body::Raw`].
//!
//! Invariant: [`Body::encode`] returns only bytes that [`Body::decode`] reads back as the same
//! body. Not here: signals (crate `aidmesh-ecg`), and what a body does to state.

use crate::blob::{Layer, Manifest};
use crate::codec::{Malformed, Reader, Writer};
use crate::crypto::Secret;
use crate::entry::Kind;
use crate::id::{Kid, OpId, Person};
use crate::limits;
use crate::machine::command::Card;
use crate::ranges::{Log, Ranges};
use crate::time::Wall;
use bytes::Bytes;

/// A body by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Body {
    Note(Note),
    EcgSnapshot(EcgSnapshot),
    Alert(Alert),
    Acknowledgement(Acknowledgement),
    Seen(Seen),
    Recall(Recall),
    Vitals(Vitals),
    Position(Position),
    SignOn(SignOn),
    Roster(Roster),
    CtlKeys(CtlKeys),
    /// A known kind in a version that this program does not know; `bytes` start with the version.
    Unknown {
        version: u8,
        bytes: Bytes,
    },
    /// A kind that has no type here.
    Raw(Bytes),
}

/// Free text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// At most [`limits::NOTE_BYTES`].
    pub text: String,
}

/// A recorded ECG: the digest is in the entry, the other layers follow as chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcgSnapshot {
    /// When it was recorded, corrected by the offset of the monitor; `None` if the file does not say.
    pub recorded: Option<Wall>,
    /// Layer 0, at most [`limits::DIGEST_BYTES`]; `aidmesh-ecg` reads it.
    pub digest: Bytes,
    /// The other layers.
    pub manifest: Manifest,
    /// Name of the imported format, at most [`limits::FORMAT_BYTES`].
    pub format: String,
    /// One line for lists, at most [`limits::SHORT_TEXT_BYTES`].
    pub summary: Option<String>,
}

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Emergency {
    Stemi,
    Stroke,
    Trauma,
    Other,
    /// A code of a newer version: it rings like any alert.
    Unknown(u8),
}

impl Emergency {
    /// From its code: 1 STEMI, 2 stroke, 3 trauma, 4 other.
    pub fn from_u8(code: u8) -> Emergency {
        match code {
            1 => Emergency::Stemi,
            2 => Emergency::Stroke,
            3 => Emergency::Trauma,
            4 => Emergency::Other,
            code => Emergency::Unknown(code),
        }
    }

    /// Its code.
    pub fn to_u8(self) -> u8 {
        match self {
            Emergency::Stemi => 1,
            Emergency::Stroke => 2,
            Emergency::Trauma => 3,
            Emergency::Other => 4,
            Emergency::Unknown(code) => code,
        }
    }
}

/// Seconds until the next step rings (PROTOCOL section 5).
pub const LADDER_S: [u16; 3] = [60, 120, 180];

/// Asks a role to act now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What it is about.
    pub what: Emergency,
    /// The role that is asked, as the role bits of a certificate.
    pub role: u16,
    /// At most [`limits::SHORT_TEXT_BYTES`].
    pub text: String,
    /// Hash of the entry that it is about, e.g. the ECG.
    pub refers: Option<[u8; 32]>,
    /// Seconds until each next step, each at least 1; [`LADDER_S`] by default.
    pub ladder_s: [u16; 3],
}

/// What a person decided; the numbers are the codes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Act {
    Acknowledged = 1,
    Accepted = 2,
    Declined = 3,
    Activated = 4,
}

impl Act {
    /// From its code; an unknown act is never read as an acknowledgement.
    pub fn from_u8(code: u8) -> Result<Act, Malformed> {
        match code {
            1 => Ok(Act::Acknowledged),
            2 => Ok(Act::Accepted),
            3 => Ok(Act::Declined),
            4 => Ok(Act::Activated),
            _ => Err(Malformed("unknown act")),
        }
    }
}

/// A person's answer to one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Hash of the entry answered.
    pub entry: [u8; 32],
    /// The answer.
    pub act: Act,
    /// The layer judged; `None` if the entry has no object.
    pub layer: Option<Layer>,
    /// Who.
    pub person: Person,
}

/// What a person had on an unlocked screen for at least 1 s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Content entries, not empty.
    pub ranges: Ranges,
    /// The layer rendered; `None` if the entries have no object.
    pub layer: Option<Layer>,
    /// Who.
    pub person: Person,
}

/// What a [`Recall`] does; neither deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecallKind {
    /// It should not have been sent.
    Recall = 1,
    /// It was wrong; another entry says it right.
    Correction = 2,
}

/// Takes an entry back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recall {
    /// Hash of the entry.
    pub entry: [u8; 32],
    /// Recall or correction.
    pub kind: RecallKind,
    /// Hash of the entry that stands in its place.
    pub replacement: Option<[u8; 32]>,
    /// At most [`limits::SHORT_TEXT_BYTES`].
    pub why: String,
}

/// Vital signs; at least one is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Vitals {
    /// Heart rate, per minute.
    pub heart_rate: Option<u16>,
    /// Systolic and diastolic pressure, mmHg.
    pub pressure_mmhg: Option<(u16, u16)>,
    /// Oxygen saturation, 0.1 %, at most 1000.
    pub spo2_permille: Option<u16>,
    /// Respiratory rate, 0.1 per minute.
    pub resp_rate_tenths: Option<u16>,
    /// Glasgow coma scale, 3 to 15.
    pub gcs: Option<u8>,
    /// Body temperature, 0.01 degrees Celsius.
    pub temp_centi_c: Option<i16>,
}

/// Where a unit is, and when it expects to arrive; at least one is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// A fix.
    pub fix: Option<Fix>,
    /// Minutes until arrival, counted from the clock of the entry.
    pub eta_min: Option<u16>,
}

/// A position fix (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Latitude, 1e-7 degrees, within 90 degrees.
    pub lat_e7: i32,
    /// Longitude, 1e-7 degrees, within 180 degrees.
    pub lon_e7: i32,
    /// Radius of 68 % confidence, metres.
    pub accuracy_m: u16,
    /// When it was taken.
    pub at: Wall,
}

/// A person starts or ends work on this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignOn {
    /// Who.
    pub person: Person,
    /// On, or off.
    pub on: bool,
    /// Role bits of this shift.
    pub roles: u16,
}

/// Cards of devices, so that they can be added to threads; 1 to [`limits::CARDS`]. Nothing is believed
/// by being in a roster: each certificate stands by its own signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// The cards.
    pub cards: Vec<Card>,
}

/// Control keys for the members of a node, 1 to [`limits::CONTROL_KEYS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CtlKeys {
    /// The keys.
    pub keys: Vec<CtlKey>,
}

/// One control key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CtlKey {
    /// Its id.
    pub kid: Kid,
    /// The key.
    pub ck: Secret,
    /// The commit that made it; zero for the key of genesis.
    pub made_by: OpId,
}

const VERSION: u8 = 1;
const NO_LAYER: u8 = 0xff;

impl Body {
    /// The kind of a typed body; `None` for [`Body::Unknown`] and [`Body::Raw`].
    pub fn kind(&self) -> Option<Kind> {
        Some(match self {
            Body::Note(_) => Kind::Note,
            Body::EcgSnapshot(_) => Kind::EcgSnapshot,
            Body::Alert(_) => Kind::Alert,
            Body::Acknowledgement(_) => Kind::Acknowledgement,
            Body::Seen(_) => Kind::Seen,
            Body::Recall(_) => Kind::Recall,
            Body::Vitals(_) => Kind::Vitals,
            Body::Position(_) => Kind::Position,
            Body::SignOn(_) => Kind::SignOn,
            Body::Roster(_) => Kind::Roster,
            Body::CtlKeys(_) => Kind::CtlKeys,
            Body::Unknown { .. } | Body::Raw(_) => return None,
        })
    }

    /// Canonical bytes, or the rule that the body breaks.
    pub fn encode(&self) -> Result<Bytes, Malformed> {
        let mut w = Writer::new();
        w.u8(VERSION);
        match self {
            Body::Note(b) => write_note(&mut w, b),
            Body::EcgSnapshot(b) => write_ecg(&mut w, b),
            Body::Alert(b) => write_alert(&mut w, b),
            Body::Acknowledgement(b) => write_acknowledgement(&mut w, b),
            Body::Seen(b) => write_seen(&mut w, b),
            Body::Recall(b) => write_recall(&mut w, b),
            Body::Vitals(b) => write_vitals(&mut w, b),
            Body::Position(b) => write_position(&mut w, b),
            Body::SignOn(b) => write_sign_on(&mut w, b),
            Body::Roster(b) => Card::write_all(&b.cards, &mut w),
            Body::CtlKeys(b) => write_ctl_keys(&mut w, b),
            Body::Unknown { bytes, .. } | Body::Raw(bytes) => return Ok(bytes.clone()),
        }
        let bytes = w.finish();
        let kind = self.kind().expect("only typed bodies come here");
        match Body::decode(kind, &bytes)? {
            same if same == *self => Ok(bytes),
            _ => Err(Malformed("body has no canonical form")),
        }
    }

    /// Reads the body of an entry of this kind.
    pub fn decode(kind: Kind, bytes: &Bytes) -> Result<Body, Malformed> {
        if bytes.len() > limits::ENTRY_BODY_BYTES {
            return Err(Malformed("entry body over the limit"));
        }
        let read: fn(&mut Reader<'_>) -> Result<Body, Malformed> = match kind {
            Kind::Note => read_note,
            Kind::EcgSnapshot => read_ecg,
            Kind::Alert => read_alert,
            Kind::Acknowledgement => read_acknowledgement,
            Kind::Seen => read_seen,
            Kind::Recall => read_recall,
            Kind::Vitals => read_vitals,
            Kind::Position => read_position,
            Kind::SignOn => read_sign_on,
            Kind::Roster => read_roster,
            Kind::CtlKeys => read_ctl_keys,
            _ => return Ok(Body::Raw(bytes.clone())),
        };
        let mut r = Reader::new(bytes);
        match r.u8()? {
            0 => Err(Malformed("body versions start at 1")),
            VERSION => {
                let body = read(&mut r)?;
                r.end()?;
                Ok(body)
            }
            version => Ok(Body::Unknown {
                version,
                bytes: bytes.clone(),
            }),
        }
    }
}

// text len,utf8
fn write_note(w: &mut Writer, b: &Note) {
    w.bytes(b.text.as_bytes());
}

fn read_note(r: &mut Reader<'_>) -> Result<Body, Malformed> {
    let text = text(r, limits::NOTE_BYTES)?;
    Ok(Body::Note(Note { text }))
}

// opt (recorded u48 ms) | format len,utf8 | digest len,bytes | opt (summary len,utf8) | manifest
fn write_ecg(w: &mut Writer, b: &EcgSnapshot) {
    write_option(w, b.recorded, |w, at| w.u48(at.0));
    w.bytes(b.format.as_bytes()).bytes(&b.digest);
    write_option(w, b.summary.as_ref(), |w, s| w.bytes(s.as_bytes()));
    b.manifest.write(w);
}

fn read_ecg(r: &mut Reader<'_>) -> Result<Body, Malformed> {
    let recorded = option(r, |r| Ok(Wall(r.u48()?)))?;
    let format = text(r, limits::FORMAT_BYTES)?;
    let digest = Bytes::copy_from_slice(r.bytes(limits::DIGEST_BYTES)?);
    let summary = option(r, |r| text(r, limits::SHORT_TEXT_BYTES))?;
    Ok(Body::EcgSnapshot(EcgSnapshot {
        recorded,
        digest,
        manifest: Manifest::read(r)?,
        format,
        summary,
    }))
}

// what 1 | role u16 | ladder 3 x u16 s | opt (entry hash 32) | text len,utf8
fn write_alert(w: &mut Writer, b: &Alert) {
    w.u8(b.what.to_u8()).u16(b.role);
    for step in b.ladder_s {
        w.u16(step);
    }
    write_option(w, b.refers, |w, h| w.put(&h));
    w.bytes(b.text.as_bytes());
}

fn read_alert(r: &mut Reader<'_>) -> Result<Body, Malformed> {
    let (what, role) = (Emergency::from_u8(r.u8()?), r.u16()?);
    let ladder_s = [r.u16()?, r.u16()?, r.u16()?];
    if ladder_s.contains(&0) {
        return Err(Malformed("ladder step of 0 s"));
    }
    Ok(Body::Alert(Alert {
        what,
        role,
        ladder_s,
        refers: option(r, |r| r.array())?,
        text: text(r, limits::SHORT_TEXT_BYTES)?,
    }))
}

// entry hash 32 | act 1 | layer 1 (255 none) | person 8
fn write_acknowledgement(w: &mut Writer, b: &Acknowledgement) {
    w.put(&b.entry).u8(b.act as u8);
    write_layer(w, b.layer).put(&b.person.0);
}

fn read_acknowledgement(r: &mut Reader<'_>) -> Result<Body, Malformed> {
    Ok(Body::Acknowledgement(Acknowledgement {
        entry: r.array()?,
        act: Act::from_u8(r.u8()?)?,
        layer: layer(r)?,
        person: Person(r.array()?),
    }))
}

// person 8 | layer 1 (255 none) | RANGES of content logs only
fn write_seen(w: &mut Writer, b: &Seen) {
    w.put(&b.person.0);
    write_layer(w, b.layer);
    b.ranges.write(w);
}

fn read_seen(r: &mut Reader<'_>) -> Result<Body, Malformed> {
    let (person, layer) = (Person(r.array()?), layer(r)?);
    let ranges = Ranges::read(r)?;
    if ranges.is_empty() || ranges.0.keys().any(|(_, log)| *log != Log::Content) {
        return Err(Malformed("seen names content entries"));
    }
    Ok(Body::Seen(Seen {
        ranges,
        layer,
        person,
    }))
}

// entry hash 32 | kind 1 (1 recall, 2 correction) | opt (replacement hash 32) | why len,utf8
fn write_recall(w: &mut Writer, b: &Recall) {
    w.put(&b.entry).u8(b.kind as u8);
    write_option(w, b.replacement, |w, h| w.put(&h));
    w.bytes(b.why.as_bytes());
}

fn read_recall(r: &mut Reader<'_>) -> Result<Body, Malformed> {
    let entry = r.array()?;
    let kind = match r.u8()? {
        1 => RecallKind::Recall,
        2 => RecallKind::Correction,
        _ => return Err(Malformed("unknown kind of recall")),
    };
    Ok(Body::Recall(Recall {
        entry,
        kind,
        replacement: option(r, |r| r.array())?,
        why: text(r, limits::SHORT_TEXT_BYTES)?,
    }))
}

// mask 1 (1 hr, 2 bp, 4 spo2, 8 rr, 16 gcs, 32 temp) | those given, in this order:
// hr u16 | bp u16, u16 | spo2 u16 | rr u16 | gcs u8 | temp i16
fn write_vitals(w: &mut Writer, b: &Vitals) {
    let given = [
        b.heart_rate.is_some(),
        b.pressure_mmhg.is_some(),
        b.spo2_permille.is_some(),
        b.resp_rate_tenths.is_some(),
        b.gcs.is_some(),
        b.temp_centi_c.is_some(),
    ];
    w.u8((0..).zip(given).map(|(bit, on)| u8::from(on) << bit).sum());
    if let Some(v) = b.heart_rate {
        w.u16(v);
    }
    if let Some((sys, dia)) = b.pressure_mmhg {
        w.u16(sys).u16(dia);
    }
    if let Some(v) = b.spo2_permille {
        w.u16(v);
    }
    if let Some(v) = b.resp_rate_tenths {
        w.u16(v);
    }
    if let Some(v) = b.gcs {
        w.u8(v);
    }
    if let Some(v) = b.temp_centi_c {
        w.put(&v.to_le_bytes());
    }
}

fn read_vitals(r: &mut Reader<'_>) -> Result<Body, Malformed> {
    let mask = r.u8()?;
    if mask == 0 || mask >= 64 {
        return Err(Malformed("vitals mask"));
    }
    let mut vitals = Vitals::default();
    let given = |bit: u8| mask & bit != 0;
    if given(1) {
        vitals.heart_rate = Some(r.u16()?);
    }
    if given(2) {
        vitals.pressure_mmhg = Some((r.u16()?, r.u16()?));
    }
    if given(4) {
        vitals.spo2_permille = Some(r.u16()?);
    }
    if given(8) {
        vitals.resp_rate_tenths = Some(r.u16()?);
    }
    if given(16) {
        vitals.gcs = Some(r.u8()?);
    }
    if given(32) {
        vitals.temp_centi_c = Some(i16::from_le_bytes(r.array()?));
    }
    if vitals.spo2_permille.is_some_and(|v| v > 1000) || vitals.gcs.is_some_and(|v| !(3..=15).contains(&v)) {
        return Err(Malformed("vital sign out of its scale"));
    }
    Ok(Body::Vitals(vitals))
}

// mask 1 (1 fix, 2 eta) | fix: lat i32, lon i32 (1e-7 degrees), accuracy u16 m, at u48 ms | eta u16 min
fn write_position(w: &mut Writer, b: &Position) {
    w.u8(u8::from(b.fix.is_some()) | u8::from(b.eta_min.is_some()) << 1);
    if let Some(fix) = b.fix {
        w.put(&fix.lat_e7.to_le_bytes()).put(&fix.lon_e7.to_le_bytes());
        w.u16(fix.accuracy_m).u48(fix.at.0);
    }
    if let Some(v) = b.eta_min {
        w.u16(v);
    }
}

fn read_position(r: &mut Reader<'_>) -> Result<Body, Malformed> {
    let mask = r.u8()?;
    if mask == 0 || mask > 3 {
        return Err(Malformed("position mask"));
    }
    let mut position = Position::default();
    if mask & 1 != 0 {
        let (lat, lon) = (i32::from_le_bytes(r.array()?), i32::from_le_bytes(r.array()?));
        if lat.unsigned_abs() > 900_000_000 || lon.unsigned_abs() > 1_800_000_000 {
            return Err(Malformed("position not on earth"));
        }
        position.fix = Some(Fix {
            lat_e7: lat,
            lon_e7: lon,
            accuracy_m: r.u16()?,
            at: Wall(r.u48()?),
        });
    }
    if mask & 2 != 0 {
        position.eta_min = Some(r.u16()?);
    }
    Ok(Body::Position(position))
}

// person 8 | on 1 | roles u16
fn write_sign_on(w: &mut Writer, b: &SignOn) {
    w.put(&b.person.0).u8(u8::from(b.on)).u16(b.roles);
}

fn read_sign_on(r: &mut Reader<'_>) -> Result<Body, Malformed> {
    let (person, on) = (Person(r.array()?), r.u8()?);
    if on > 1 {
        return Err(Malformed("sign-on is 0 or 1"));
    }
    Ok(Body::SignOn(SignOn {
        person,
        on: on == 1,
        roles: r.u16()?,
    }))
}

// n varint, n x (device certificate len,bytes | key package len,bytes)
fn read_roster(r: &mut Reader<'_>) -> Result<Body, Malformed> {
    let cards = Card::read_all(r)?;
    Ok(Body::Roster(Roster { cards }))
}

// n varint, n x (kid 4 | ck 32 | op id 16)
fn write_ctl_keys(w: &mut Writer, b: &CtlKeys) {
    w.count(b.keys.len());
    for key in &b.keys {
        w.put(&key.kid.0).put(&key.ck.0).put(&key.made_by.0);
    }
}

fn read_ctl_keys(r: &mut Reader<'_>) -> Result<Body, Malformed> {
    CtlKeys::read(r).map(Body::CtlKeys)
}

/// The body behind its version, as a direct seal has it too.
impl CtlKeys {
    pub(crate) fn write(&self, w: &mut Writer) {
        write_ctl_keys(w, self);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<CtlKeys, Malformed> {
        let n = r.count(limits::CONTROL_KEYS)?;
        if n == 0 {
            return Err(Malformed("no control key"));
        }
        let mut keys = Vec::with_capacity(n);
        for _ in 0..n {
            keys.push(CtlKey {
                kid: Kid(r.array()?),
                ck: Secret(r.array()?),
                made_by: OpId(r.array()?),
            });
        }
        Ok(CtlKeys { keys })
    }
}

fn text(r: &mut Reader<'_>, max: usize) -> Result<String, Malformed> {
    let text = std::str::from_utf8(r.bytes(max)?).map_err(|_| Malformed("text is not utf8"))?;
    Ok(text.to_owned())
}

fn write_option<T>(w: &mut Writer, value: Option<T>, write: impl FnOnce(&mut Writer, T) -> &mut Writer) {
    w.u8(u8::from(value.is_some()));
    if let Some(value) = value {
        write(w, value);
    }
}

fn option<'a, T>(
    r: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    match r.u8()? {
        0 => Ok(None),
        1 => read(r).map(Some),
        _ => Err(Malformed("an option is 0 or 1")),
    }
}

fn write_layer(w: &mut Writer, layer: Option<Layer>) -> &mut Writer {
    w.u8(layer.map_or(NO_LAYER, Layer::to_u8))
}

fn layer(r: &mut Reader<'_>) -> Result<Option<Layer>, Malformed> {
    match r.u8()? {
        NO_LAYER => Ok(None),
        n => Layer::from_u8(n).map(Some),
    }
}

#[cfg(test)]
mod tests;
