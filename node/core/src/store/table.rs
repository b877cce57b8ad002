//! Key layout. The first byte names the table; the rest is fixed-width and big-endian where order
//! matters, so that a scan of a prefix walks a log in order. A change here needs a new
//! [`SCHEMA`] and a migration.

use crate::id::{Handle, MsgId, NodeId, Object8, Seq, Slot, ThreadId};

/// Version of the layout, stored at [`schema`].
pub const SCHEMA: u32 = 1;

fn key(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![table];
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// Schema version, u32.
pub fn schema() -> Vec<u8> {
    key(b'0', &[])
}

/// Directory rows: cards, cards of organisations, revocations, by their own id.
pub fn directory(kind: u8, id: &[u8]) -> Vec<u8> {
    key(b'd', &[&[kind], id])
}

/// All directory rows.
pub fn directory_all() -> Vec<u8> {
    key(b'd', &[])
}

/// OpenMLS rows of key packages, which belong to no thread.
pub fn key_package_row(label: &[u8]) -> Vec<u8> {
    key(b'k', &[label])
}

/// State of a thread that is not derived from its logs.
pub fn thread(thread: ThreadId) -> Vec<u8> {
    key(b't', &[&thread.0])
}

/// All threads.
pub fn thread_all() -> Vec<u8> {
    key(b't', &[])
}

/// A received or sealed envelope of a thread, by log and place.
pub fn envelope(thread: ThreadId, slot: Slot, log: u8, seq: Seq) -> Vec<u8> {
    key(b'e', &[&thread.0, &slot.0, &[log], &seq.to_be_bytes()])
}

/// All envelopes of a thread.
pub fn envelope_all(thread: ThreadId) -> Vec<u8> {
    key(b'e', &[&thread.0])
}

/// An opened content entry: what it rests on and its plaintext.
pub fn entry(thread: ThreadId, slot: Slot, seq: Seq) -> Vec<u8> {
    key(b'p', &[&thread.0, &slot.0, &seq.to_be_bytes()])
}

/// All opened entries of a thread.
pub fn entry_all(thread: ThreadId) -> Vec<u8> {
    key(b'p', &[&thread.0])
}

/// An own entry that waits for its seal.
pub fn unsealed(thread: ThreadId, seq: Seq) -> Vec<u8> {
    key(b'u', &[&thread.0, &seq.to_be_bytes()])
}

/// All unsealed entries of a thread.
pub fn unsealed_all(thread: ThreadId) -> Vec<u8> {
    key(b'u', &[&thread.0])
}

/// An OpenMLS row of one epoch node.
pub fn node_row(thread: ThreadId, node: NodeId, label: &[u8]) -> Vec<u8> {
    key(b'n', &[&thread.0, &node.0, label])
}

/// All OpenMLS rows of one epoch node.
pub fn node_all(thread: ThreadId, node: NodeId) -> Vec<u8> {
    key(b'n', &[&thread.0, &node.0])
}

/// All OpenMLS rows of all epoch nodes of a thread.
pub fn nodes_all(thread: ThreadId) -> Vec<u8> {
    key(b'n', &[&thread.0])
}

/// A sealed chunk of a blob, of one thread: whoever knows its key could name it in another one too.
pub fn chunk(thread: ThreadId, object: Object8, layer: u8, index: u32) -> Vec<u8> {
    key(b'c', &[&thread.0, &object.0, &[layer], &index.to_be_bytes()])
}

/// All chunks of a blob.
pub fn chunk_all(thread: ThreadId, object: Object8) -> Vec<u8> {
    key(b'c', &[&thread.0, &object.0])
}

/// All chunks of one layer of a blob.
pub fn chunk_layer(thread: ThreadId, object: Object8, layer: u8) -> Vec<u8> {
    key(b'c', &[&thread.0, &object.0, &[layer]])
}

/// Evidence of delivery of a thread: receipts.
pub fn evidence(thread: ThreadId, id: &[u8]) -> Vec<u8> {
    key(b'v', &[&thread.0, id])
}

/// All evidence of a thread.
pub fn evidence_all(thread: ThreadId) -> Vec<u8> {
    key(b'v', &[&thread.0])
}

/// An item carried for others (mailbox), by handle and id.
pub fn carried(handle: Handle, id: MsgId) -> Vec<u8> {
    key(b'm', &[&handle.0, &id.0])
}

/// All carried items.
pub fn carried_all() -> Vec<u8> {
    key(b'm', &[])
}

/// State of a carried handle.
pub fn mailbox(handle: Handle) -> Vec<u8> {
    key(b'h', &[&handle.0])
}

/// All carried handles.
pub fn mailbox_all() -> Vec<u8> {
    key(b'h', &[])
}

/// Single values of the machine by name.
pub fn own(name: &str) -> Vec<u8> {
    key(b'o', &[name.as_bytes()])
}

/// A value of the machine that belongs to a thread, by name.
pub fn own_of_thread(name: &str, thread: ThreadId) -> Vec<u8> {
    key(b'o', &[name.as_bytes(), b"/", &thread.0])
}

/// A learned key package of another device, by suite.
pub fn package_of(dev: crate::id::Dev, suite: u16) -> Vec<u8> {
    key(b'y', &[&dev.0, &suite.to_be_bytes()])
}

/// The newest rewrap of a content entry.
pub fn rewrap(thread: ThreadId, slot: Slot, seq: Seq) -> Vec<u8> {
    envelope(thread, slot, 3, seq)
}

/// The newest signed head of a slot that the entries here reach, where a later one is out of reach.
pub fn reached(thread: ThreadId, slot: Slot) -> Vec<u8> {
    key(b'r', &[&thread.0, &slot.0])
}

/// All such heads of a thread.
pub fn reached_all(thread: ThreadId) -> Vec<u8> {
    key(b'r', &[&thread.0])
}

/// All second objects of a thread.
pub fn second_all(thread: ThreadId) -> Vec<u8> {
    key(b'q', &[&thread.0])
}

/// Second of two authentic objects at one place, kept as evidence.
pub fn second(thread: ThreadId, id: MsgId) -> Vec<u8> {
    key(b'q', &[&thread.0, &id.0])
}
