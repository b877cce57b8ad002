//! What a direct seal says: `kind 1 | v 1 (1) | body`, at most [`limits::DIRECT_BYTES`].
//!
//! ```text
//! 1 control keys  n <= 64, n x (kid 4, ck 32, op id 16), at least one
//! 2 handed on     n <= 64, n x (class 1 | flags 1 (1 disputed) | slot 4 | seq varint | node 16
//!                 | len, rewrap), sorted by (slot, seq), at least one
//! 3 unsealed      class 1 | seq varint | entry
//! 4 question      flags 1 (1 heads, 2 entries) | n <= 64, n x id 16, ascending
//!                 | with flag 2: n <= 64, n x (slot 4 | seq varint), ascending
//!                 heads, an id or an entry at least
//! 5 objects       n <= 64, n x (len, envelope), at least one
//! ```
//!
//! A rewrap is the plaintext of one on a node: an entry behind the proof that ties it to its author
//! (`thread/proof`). It stays bytes here, because only a thread can judge it.

use crate::clinical::CtlKeys;
use crate::codec::{Malformed, Reader, Writer};
use crate::entry::Entry;
use crate::envelope::Class;
use crate::id::{NodeId, Seq, Slot};
use crate::limits;
use bytes::Bytes;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const KEYS: u8 = 1;
const HANDED_ON: u8 = 2;
const UNSEALED: u8 = 3;
const QUESTION: u8 = 4;
const OBJECTS: u8 = 5;
const DISPUTED: u8 = 1;
const ASKS_HEADS: u8 = 1;
const ASKS_ENTRIES: u8 = 2;
/// `kind | v`, and a count.
const HEAD_BYTES: usize = 2 + 5;
/// A control key: `kid | ck | op id`.
const KEY_BYTES: usize = 4 + 32 + 16;
/// What stands before a rewrap at most.
const ITEM_BYTES: usize = 1 + 1 + 4 + 5 + 16 + 5;
/// For all entries of one item, each as [`HandedEntry::room`] has it, or all objects, as [`object_room`]
/// has it.
pub(crate) const HANDED_ON_BYTES: usize = limits::DIRECT_BYTES - HEAD_BYTES;
/// What stands before an unsealed entry at most.
pub(super) const UNSEALED_BYTES: usize = 2 + 1 + 5;
/// Everything before the body of an entry with the most cursors.
const ENTRY_HEAD_BYTES: usize = 1 + 1 + 1 + 8 + 8 + 16 + 2 + limits::CURSORS * (4 + 5);

// the longest entry fits with the longest proof
const _: () = assert!(
    HEAD_BYTES
        + ITEM_BYTES
        + (32 + 2 + 32 * limits::HASHES_PER_REWRAP + 3 + limits::COVER_BYTES)
        + ENTRY_HEAD_BYTES
        + limits::ENTRY_BODY_BYTES
        <= limits::DIRECT_BYTES
);

/// What is sealed for one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Control keys that the author may pass on to the recipient.
    Keys(CtlKeys),
    /// Entries that the recipient is owed, of any author; 1 to [`limits::ENTRIES_PER_DIRECT`], sorted by
    /// slot and number.
    HandedOn(Vec<HandedEntry>),
    /// An own entry for which the author holds no clean node.
    Unsealed(Unsealed),
    /// Control objects and entries that the author lacks.
    Question(Question),
    /// Control objects in their envelopes; 1 to [`limits::IDS_PER_QUESTION`].
    Objects(Vec<Bytes>),
}

/// What somebody lacks and knows by reference only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The newest heads of all.
    pub heads: bool,
    /// Ids of control objects or nodes, or the first 16 bytes of the hash of a key package; ascending.
    pub ids: Vec<[u8; 16]>,
    /// Entries whose envelopes came and did not open, since their message keys are gone; ascending.
    pub entries: Vec<(Slot, Seq)>,
}

/// An entry handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedEntry {
    /// Class of the entry.
    pub class: Class,
    /// Two authentic entries stand at its place.
    pub disputed: bool,
    /// Slot of its author.
    pub slot: Slot,
    /// Its number there, from 1.
    pub seq: Seq,
    /// The node on which it was sealed first, as the hander-on knows it.
    pub node: NodeId,
    /// Proof and entry, as in a rewrap.
    pub rewrap: Bytes,
}

/// An entry of the author of the direct seal, which stands in that author's log already and will be
/// sealed there on the next clean node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsealed {
    /// Its class.
    pub class: Class,
    /// Its number in the author's log, from 1.
    pub seq: Seq,
    /// Canonical bytes of an [`Entry`].
    pub entry: Bytes,
}

impl Content {
    /// The layout of the module. The bytes are wiped when dropped.
    ///
    /// # Errors
    /// The rule that the content breaks: an empty, unsorted or too long list, number 0, an entry that
    /// does not parse, more than [`limits::DIRECT_BYTES`].
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        // room for all, so that no copy of a key is left behind where the bytes grew
        let mut w = Writer(Vec::with_capacity(self.room()));
        match self {
            Content::Keys(keys) => {
                w.u8(KEYS).u8(VERSION);
                keys.write(&mut w);
            }
            Content::HandedOn(entries) => {
                w.u8(HANDED_ON).u8(VERSION).count(entries.len());
                entries.iter().for_each(|entry| entry.write(&mut w));
            }
            Content::Unsealed(own) => {
                w.u8(UNSEALED).u8(VERSION);
                w.u8(own.class as u8).varint(own.seq).put(&own.entry);
            }
            Content::Question(question) => {
                w.u8(QUESTION).u8(VERSION);
                question.write(&mut w);
            }
            Content::Objects(envelopes) => {
                w.u8(OBJECTS).u8(VERSION).count(envelopes.len());
                envelopes.iter().for_each(|envelope| {
                    w.bytes(envelope);
                });
            }
        }
        let bytes = Zeroizing::new(w.0);
        match Content::decode(&bytes)? {
            same if same == *self => Ok(bytes),
            _ => Err(Malformed("content has no canonical form")),
        }
    }

    /// Reads [`Content::encode`]. Total: any bytes give content or the rule that they break.
    ///
    /// # Errors
    /// As [`Content::encode`], and an unknown kind, version, class or flag, or bytes too many or few.
    pub fn decode(bytes: &[u8]) -> Result<Content, Malformed> {
        if bytes.len() > limits::DIRECT_BYTES {
            return Err(Malformed("content of a direct seal over the limit"));
        }
        let mut r = Reader::new(bytes);
        let (kind, version) = (r.u8()?, r.u8()?);
        if version != VERSION {
            return Err(Malformed("unknown version of content"));
        }
        let content = match kind {
            KEYS => Content::Keys(CtlKeys::read(&mut r)?),
            HANDED_ON => Content::HandedOn(read_handed_on(&mut r)?),
            UNSEALED => Content::Unsealed(Unsealed::read(&mut r)?),
            QUESTION => Content::Question(Question::read(&mut r)?),
            OBJECTS => Content::Objects(read_objects(&mut r)?),
            _ => return Err(Malformed("unknown kind of content")),
        };
        r.end()?;
        Ok(content)
    }

    /// At least the bytes of the encoding.
    fn room(&self) -> usize {
        HEAD_BYTES
            + match self {
                Content::Keys(keys) => keys.keys.len() * KEY_BYTES,
                Content::HandedOn(entries) => entries.iter().map(HandedEntry::room).sum(),
                Content::Unsealed(own) => UNSEALED_BYTES + own.entry.len(),
                Content::Question(question) => 6 + 16 * question.ids.len() + 9 * question.entries.len(),
                Content::Objects(envelopes) => envelopes.iter().map(object_room).sum(),
            }
    }
}

fn read_handed_on(r: &mut Reader<'_>) -> Result<Vec<HandedEntry>, Malformed> {
    let n = r.count(limits::ENTRIES_PER_DIRECT)?;
    if n == 0 {
        return Err(Malformed("no entry handed on"));
    }
    let mut entries: Vec<HandedEntry> = Vec::new();
    for _ in 0..n {
        let entry = HandedEntry::read(r)?;
        let after = |last: &HandedEntry| (last.slot, last.seq) < (entry.slot, entry.seq);
        if !entries.last().is_none_or(after) {
            return Err(Malformed("entries handed on are not sorted"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

impl HandedEntry {
    /// At least the bytes of its encoding.
    pub(crate) fn room(&self) -> usize {
        ITEM_BYTES + self.rewrap.len()
    }

    fn write(&self, w: &mut Writer) {
        let flags = if self.disputed { DISPUTED } else { 0 };
        w.u8(self.class as u8).u8(flags).put(&self.slot.0);
        w.varint(self.seq).put(&self.node.0).bytes(&self.rewrap);
    }

    fn read(r: &mut Reader<'_>) -> Result<HandedEntry, Malformed> {
        let (class, flags) = (Class::from_u8(r.u8()?)?, r.u8()?);
        if flags & !DISPUTED != 0 {
            return Err(Malformed("unknown flag of an entry handed on"));
        }
        let (slot, seq, node) = (Slot(r.array()?), read_seq(r)?, NodeId(r.array()?));
        let rewrap = r.bytes(limits::DIRECT_BYTES)?;
        if rewrap.is_empty() {
            return Err(Malformed("empty rewrap"));
        }
        Ok(HandedEntry {
            class,
            disputed: flags & DISPUTED != 0,
            slot,
            seq,
            node,
            rewrap: Bytes::copy_from_slice(rewrap),
        })
    }
}

impl Unsealed {
    fn read(r: &mut Reader<'_>) -> Result<Unsealed, Malformed> {
        let (class, seq) = (Class::from_u8(r.u8()?)?, read_seq(r)?);
        let entry = Bytes::copy_from_slice(r.rest());
        Entry::decode(&entry)?;
        Ok(Unsealed { class, seq, entry })
    }
}

impl Question {
    fn write(&self, w: &mut Writer) {
        let asks_entries = !self.entries.is_empty();
        w.u8((u8::from(self.heads) * ASKS_HEADS) | (u8::from(asks_entries) * ASKS_ENTRIES));
        w.count(self.ids.len());
        self.ids.iter().for_each(|id| {
            w.put(id);
        });
        if asks_entries {
            w.count(self.entries.len());
            self.entries.iter().for_each(|(slot, seq)| {
                w.put(&slot.0).varint(*seq);
            });
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Question, Malformed> {
        let flags = r.u8()?;
        if flags & !(ASKS_HEADS | ASKS_ENTRIES) != 0 {
            return Err(Malformed("unknown flag of a question"));
        }
        let n = r.count(limits::IDS_PER_QUESTION)?;
        let ids = (0..n).map(|_| r.array()).collect::<Result<Vec<_>, _>>()?;
        if !ids.is_sorted_by(|a, b| a < b) {
            return Err(Malformed("ids of a question are not sorted"));
        }
        let mut entries = Vec::new();
        if flags & ASKS_ENTRIES != 0 {
            for _ in 0..r.count(limits::ENTRIES_PER_DIRECT)? {
                entries.push((Slot(r.array()?), read_seq(r)?));
            }
            if entries.is_empty() || !entries.is_sorted_by(|a, b| a < b) {
                return Err(Malformed("entries of a question are none or not sorted"));
            }
        }
        let heads = flags & ASKS_HEADS != 0;
        if !heads && ids.is_empty() && entries.is_empty() {
            return Err(Malformed("nothing is asked"));
        }
        Ok(Question { heads, ids, entries })
    }
}

fn read_objects(r: &mut Reader<'_>) -> Result<Vec<Bytes>, Malformed> {
    let n = r.count(limits::IDS_PER_QUESTION)?;
    if n == 0 {
        return Err(Malformed("no object"));
    }
    let read = |_| Ok(Bytes::copy_from_slice(r.bytes(limits::DIRECT_BYTES)?));
    (0..n).map(read).collect()
}

/// At least what an envelope takes in an item of objects.
pub(crate) fn object_room(envelope: &Bytes) -> usize {
    5 + envelope.len()
}

fn read_seq(r: &mut Reader<'_>) -> Result<Seq, Malformed> {
    match r.varint()? {
        0 => Err(Malformed("sequence numbers start at 1")),
        seq => Ok(seq),
    }
}
