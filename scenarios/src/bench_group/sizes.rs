//! Sizes of what the founder sends and stores, and their floors.
//!
//! *MLS* is what OpenMLS makes; *sent* is the envelope that goes over a link, without the 3 to 5 bytes of
//! frame and part. A floor holds keys, signatures, tags, sealed secrets and unforgeable names, no length, no
//! version, no number.

use super::bare::{Kem, SECRET, SIGNATURE, SIGNATURE_KEY, TAG, TEXT};
use super::team::{SEQ, Team, keys_body, keys_entry, note, op};
use super::{BenchError, Size};
use aidmesh_core::blobs::Blobs;
use aidmesh_core::crypto::{Secret, kdf};
use aidmesh_core::envelope::{Class, Place};
use aidmesh_core::group::control::{self, Act, Commit, Head, Object, Why};
use aidmesh_core::group::direct::{self, Content, HandedEntry, Recipient, Unsealed};
use aidmesh_core::group::keys::ControlKey;
use aidmesh_core::group::mls::{NodeState, SealPlace, Suite, strip_key_packages};
use aidmesh_core::group::welcome::Welcome;
use aidmesh_core::id::OpId;
use aidmesh_core::limits;
use aidmesh_core::ranges::{Log, Ranges, SeqSet};
use aidmesh_core::store::Batch;
use aidmesh_core::time::Hlc;
use bytes::Bytes;

/// Ids of ops, nodes and devices.
const ID: usize = 16;
/// Signature and tag of whatever is said in secret.
const SAID: usize = SIGNATURE + TAG;

/// Sizes, and limits of the product that they break.
pub(super) fn measure(team: &Team) -> Result<(Vec<Size>, Vec<&'static str>), BenchError> {
    let mut all = additions(team)?;
    all.extend(welcomes(team)?);
    all.extend(removal(team)?);
    all.extend(messages(team)?);
    all.push(head(team)?);
    all.extend(rows(team)?);
    let beyond = beyond(team, &all);
    Ok((all, beyond))
}

fn size(name: &'static str, what: &'static str, bytes: usize, floor_bytes: usize) -> Size {
    Size {
        name,
        what,
        bytes,
        floor_bytes,
    }
}

/// A leaf: key, signature key, certificate, signature.
fn leaf_floor(team: &Team) -> usize {
    Kem::of(team.suite).key + SIGNATURE_KEY + team.cert_bytes() + SIGNATURE
}

/// All leaves and nothing above them.
fn tree_floor(team: &Team) -> usize {
    team.devices.len() * leaf_floor(team)
}

/// What the founder says, but for Welcomes.
fn additions(team: &Team) -> Result<Vec<Size>, BenchError> {
    let joiners = team.devices.len() - 1;
    let package_floor = leaf_floor(team) + Kem::of(team.suite).key + SIGNATURE;
    let package = &team.last().package;
    let (slot, keys) = (team.slot(team.founder()), &team.founder().keys);
    let signed = control::sign(&Object::KeyPackage(package.clone()), team.thread, slot, keys)?;
    let op = team.adds.last().map_or(0, Vec::len);
    let each = team.sent_bytes(Log::Control, op) + team.sent_bytes(Log::Control, signed.len());
    let each_floor = package_floor + SAID;
    let header = header_bytes(team, &team.commit)?;
    let sent = team.sent_bytes(Log::Control, header + team.commit.body.len());
    let sent_floor = joiners * SECRET + SAID;
    let mls = team.made.commit.len();
    let mls_floor = joiners * package_floor + SIGNATURE;
    let header_floor = ID + joiners * ID + SIGNATURE;
    let genesis = team.sent_bytes(Log::Control, team.genesis.len());
    let all = genesis + joiners * each + sent;
    let all_floor = team.cert_bytes() + SAID + joiners * each_floor + sent_floor;
    let (package, each_what) = (package.len(), "op and key package of one addition, sent");
    let (sent_what, all_what) = (
        "commit that adds all others, sent",
        "founding in all: genesis, additions, commit, sent",
    );
    let mls_what = "commit that adds all others, MLS";
    let header_what = "header of the commit that adds";
    Ok(vec![
        size("key_package", "key package of a device", package, package_floor),
        size("addition_sent", each_what, each, each_floor),
        size("adding_mls", mls_what, mls, mls_floor),
        size("adding_header", header_what, header, header_floor),
        size("adding_sent", sent_what, sent, sent_floor),
        size("founding_log", all_what, all, all_floor),
    ])
}

fn welcomes(team: &Team) -> Result<Vec<Size>, BenchError> {
    let (kem, tree_floor) = (Kem::of(team.suite), tree_floor(team));
    let mls = team.made.welcome.as_ref().map_or(0, Bytes::len);
    let mls_floor = (team.devices.len() - 1) * kem.sealed + SIGNATURE;
    let (tree, sent) = (team.made.tree.len(), welcome_sent(team)?);
    // a joiner needs its own secret, and the founder's signature
    let sent_floor = kem.sealed + SIGNATURE + tree_floor;
    let sent_what = "Welcome with tree to each joiner, sent";
    Ok(vec![
        size("welcome_mls", "Welcome for all others, MLS", mls, mls_floor),
        size("tree", "ratchet tree", tree, tree_floor),
        size("welcome_sent", sent_what, sent, sent_floor),
    ])
}

/// The object of a commit without its body, signature included. Signed with an empty body, because some of
/// these commits are longer than a control object may be.
fn header_bytes(team: &Team, commit: &Commit) -> Result<usize, BenchError> {
    let body = Bytes::new();
    let bare = Object::Commit(Commit {
        body,
        ..commit.clone()
    });
    let slot = team.slot(team.founder());
    Ok(control::sign(&bare, team.thread, slot, &team.founder().keys)?.len())
}

fn welcome_sent(team: &Team) -> Result<usize, BenchError> {
    let founder = team.founder();
    let keys = keys_body(&team.control_key).encode()?;
    let place = SealPlace {
        class: Class::Text,
        ..team.place(0)
    };
    let mut child = team.made.child.clone();
    let welcome = Welcome {
        node: team.node,
        parent: team.commit.parent,
        genesis_hash: [0; 32],
        slot: place.slot,
        welcome: team.made.welcome.clone().unwrap_or_default(),
        tree: team.made.tree.clone(),
        keys: child.seal(&founder.crypto, &founder.keys, &place, 0, &keys)?,
    };
    Ok(team.envelope_bytes(Place::Inbox, welcome.encode()))
}

/// What the founder says when it removes the last member.
fn removal(team: &Team) -> Result<Vec<Size>, BenchError> {
    let (founder, kem) = (team.founder(), Kem::of(team.suite));
    let left = team.devices.len() - 1;
    let mut made = team.remove()?;
    let slot = team.slot(founder);
    let act = Act::Remove {
        dev: team.last().cert.dev(),
        inc: 1,
        why: Why::Left,
        as_of: team.node,
    };
    let past = team.adds.last().map(|op| OpId::of(op));
    let op = op(left as u32 + 2, act, past);
    let op = control::sign(&op, team.thread, slot, &founder.keys)?;
    let fresh = ControlKey::new(kdf(&team.thread.0, "bench fresh key"));
    let commit = Commit {
        parent: team.node,
        adds: vec![],
        removes: vec![OpId::of(&op)],
        key: Some(fresh.check()),
        body: strip_key_packages(&made.commit, &[]),
        ..team.commit.clone()
    };
    let header = header_bytes(team, &commit)?;
    let sent = team.sent_bytes(Log::Control, header + commit.body.len());
    let place = team.place(SEQ);
    let keys = keys_entry(&fresh)?;
    let keys = made
        .child
        .seal(&founder.crypto, &founder.keys, &place, 0, &keys)?;
    let keys = team.envelope_bytes(content_place(&place), keys);
    let all = team.sent_bytes(Log::Control, op.len()) + sent + keys;
    let path = (1 + depth(left)) * kem.key + SIGNATURE;
    let (full, blank) = (path + depth(left) * kem.sealed, path + (left - 1) * kem.sealed);
    let around = ID + SAID + SAID + SECRET + SAID;
    let mls = made.commit.len();
    Ok(vec![
        size("removing_mls", "commit that removes one, MLS", mls, full),
        size(
            "removing_mls_blank",
            "the same beside a tree of leaves alone",
            mls,
            blank,
        ),
        size(
            "removing_header",
            "header of the commit that removes",
            header,
            ID + ID + SIGNATURE,
        ),
        size(
            "removing_sent",
            "commit that removes one, sent",
            sent,
            full + SAID,
        ),
        size(
            "removing_log",
            "removal in all: op, commit, control key, sent",
            all,
            full + around,
        ),
    ])
}

/// Inner nodes above a leaf of a tree with so many leaves.
pub(super) fn depth(leaves: usize) -> usize {
    (usize::BITS - (leaves - 1).leading_zeros()) as usize
}

fn content_place(place: &SealPlace) -> Place {
    Place::Log {
        slot: place.slot,
        log: Log::Content,
        seq: place.seq,
    }
}

/// What is added to a text of 100 B, or to its entry.
fn messages(team: &Team) -> Result<Vec<Size>, BenchError> {
    let (founder, entry) = (team.founder(), note()?);
    let mut child = team.made.child.clone();
    let place = team.place(SEQ);
    let mut seal = |plaintext: &Bytes, pf| child.seal(&founder.crypto, &founder.keys, &place, pf, plaintext);
    let payload = seal(&entry, 0)?;
    let rewrap = aidmesh_core::shortest_rewrap([6; 32], &entry);
    let again = seal(&rewrap, 1)?;
    let in_log = |payload| team.envelope_bytes(content_place(&place), payload);
    let mls = payload.len() - entry.len();
    let unsealed = Content::Unsealed(Unsealed {
        class: Class::Alarm,
        seq: SEQ,
        entry: entry.clone(),
    });
    let handed = Content::HandedOn(vec![HandedEntry {
        class: Class::Clinical,
        disputed: false,
        slot: place.slot,
        seq: SEQ,
        node: team.node,
        rewrap,
    }]);
    let to = Recipient::of(&team.devices[1].cert);
    let at = (team.thread, place.slot);
    let direct = |content| -> Result<usize, BenchError> {
        let payload = direct::seal(&founder.crypto, content, at, &founder.keys, &to)?;
        Ok(team.envelope_bytes(Place::Inbox, payload) - entry.len())
    };
    let x25519 = Kem::of(Suite::Classical).key;
    let sent = in_log(payload);
    let again = in_log(again) - entry.len();
    Ok(vec![
        size(
            "message_payload",
            "message: MLS payload over its entry",
            mls,
            SAID,
        ),
        size("message_sent", "message of 100 B, sent", sent, TEXT + SAID),
        size(
            "rewrap_sent",
            "rewrap: envelope over its entry",
            again,
            SAID + SECRET,
        ),
        size(
            "direct_sent",
            "alarm by direct seal: envelope over its entry",
            direct(&unsealed)?,
            x25519 + SAID,
        ),
        size(
            "handed_sent",
            "entry handed on by direct seal: envelope over it",
            direct(&handed)?,
            x25519 + SAID + SECRET,
        ),
    ])
}

/// A head that shows 200 entries of each member open, one control key, no chunks.
fn head(team: &Team) -> Result<Size, BenchError> {
    let slot = team.slot(team.founder());
    let logs = team.devices.iter().map(|device| {
        let all = SeqSet::interval(1, SEQ);
        ((team.slot(device), Log::Content), all)
    });
    let head = Object::Head(Head {
        counter: SEQ,
        slot,
        seq: SEQ,
        chain: [7; 32],
        node: team.node,
        hlc: Hlc(1),
        open: Ranges(logs.collect()),
        blobs: Blobs::new(),
        kids: vec![team.control_key.kid()],
    });
    let signed = control::sign(&head, team.thread, slot, &team.founder().keys)?;
    let sent = team.sent_bytes(Log::Heads, signed.len());
    let floor = SAID + SECRET + ID + 2 * team.devices.len();
    Ok(size(
        "head_sent",
        "signed head with a range of each member, sent",
        sent,
        floor,
    ))
}

/// Rows as they leave the core, keys and values. Of another copy of the node, so that all are new.
fn rows(team: &Team) -> Result<Vec<Size>, BenchError> {
    let (founder, entry) = (team.founder(), note()?);
    let mut node = team.made.child.clone();
    let all = saved(team, &mut node);
    node.seal(&founder.crypto, &founder.keys, &team.place(SEQ), 0, &entry)?;
    let changed = saved(team, &mut node);
    Ok(vec![
        size("node_rows", "node at rest, all rows", all, tree_floor(team)),
        size(
            "message_rows",
            "rows that one sealed message changes",
            changed,
            size_of::<Secret>(),
        ),
    ])
}

fn saved(team: &Team, node: &mut NodeState) -> usize {
    let mut batch = Batch::new();
    node.save(team.thread, team.node, &mut batch);
    let rows = batch
        .rows()
        .map(|(key, value)| key.len() + value.map_or(0, Bytes::len));
    rows.sum()
}

fn beyond(team: &Team, sizes: &[Size]) -> Vec<&'static str> {
    let bytes = |name| {
        let named = sizes.iter().filter(|size| size.name == name);
        named.map(|size| size.bytes).sum::<usize>()
    };
    let xwing = team.suite == Suite::XWing;
    let members = team.devices.len();
    let broken = [
        (
            xwing && members > limits::XWING_MEMBERS,
            "an X-Wing thread takes 17 members",
        ),
        (
            bytes("tree") > limits::TREE_INLINE_BYTES,
            "a ratchet tree in a Welcome has at most 48 KiB",
        ),
        (
            bytes("welcome_sent") > limits::ENVELOPE_BYTES,
            "the Welcome is longer than an envelope, 64 KiB",
        ),
        (
            bytes("adding_sent") > limits::ENVELOPE_BYTES,
            "the addition is longer than an envelope, 64 KiB",
        ),
        (
            bytes("removing_sent") > limits::ENVELOPE_BYTES,
            "the removal is longer than an envelope, 64 KiB",
        ),
    ];
    let told = broken.into_iter().filter(|(is_broken, _)| *is_broken);
    told.map(|(_, rule)| rule).collect()
}
