//! MLS (RFC 9420) as this protocol uses it: one complete state per epoch *node* (PROTOCOL N1).
//!
//! OpenMLS thinks of a group as one line of epochs. Without a server two members commit at once and
//! both commits are good, so a thread is a tree of nodes and [`NodeState`] is the whole MLS state of
//! one of them. Committing and processing work on a copy: the parent stays as it was and can take
//! another child. Handshakes are PublicMessages, because `control` seals every commit under the
//! control key anyway and readable bytes let key packages be replaced by their hashes; application
//! messages are always PrivateMessages.
//!
//! * Every byte is a function of the seed of [`Crypto`] and of the order of calls.
//! * What fails authentication changes nothing. No bytes of a peer panic.
//! * No clock: lifetimes of key packages are unlimited, and limited ones are refused.
//! * Not here: which node wins, who may be a member, when to commit, when to drop a node.

mod payload;
mod provider;
mod rows;

use crate::crypto::KeyPair;
use crate::id::{Key8, NodeId, ThreadId};
use crate::limits;
use crate::store::{Batch, Read, ReadError, table};
use bytes::Bytes;
use openmls::prelude::tls_codec::{Deserialize, Serialize};
use openmls::prelude::*;
use openmls_traits::storage::StorageProvider;
use provider::{LeafSigner, Provider};
use rows::{Kind, Rows};
use sha2::{Digest, Sha256};
use std::cell::OnceCell;

pub use payload::{SealPlace, key_package_hash, node_tag, restore_key_packages, strip_key_packages};
pub use provider::Crypto;

const SUITES: [Ciphersuite; 2] = [
    Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519,
    Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519,
];

/// Rows without which a node opens messages and nothing else: private keys of the tree, of leaves and of key
/// packages, what was proposed, and secrets that are exported.
const COMMIT_KINDS: [Kind; 8] = [
    Kind::EpochKeyPairs,
    Kind::EncryptionKeyPair,
    Kind::SignatureKeyPair,
    Kind::KeyPackage,
    Kind::OwnLeafNodes,
    Kind::Proposals,
    Kind::ExportTree,
    Kind::Psk,
];

/// Cipher suite of a thread, chosen in its genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// 0x004D: X-Wing (ML-KEM-768 and X25519), ChaCha20-Poly1305, SHA-256, Ed25519. The default.
    XWing,
    /// 0x0003: X25519 alone, for threads that live on thin links only.
    Classical,
}

impl Suite {
    /// Number in the MLS registry (0x004D is a provisional one).
    pub fn to_u16(self) -> u16 {
        self.mls().into()
    }

    /// Whether what is sealed in it holds against more than what is sealed in the other one.
    pub fn is_stronger_than(self, other: Suite) -> bool {
        (self, other) == (Suite::XWing, Suite::Classical)
    }

    /// From its number.
    pub fn from_u16(number: u16) -> Option<Suite> {
        [Suite::XWing, Suite::Classical]
            .into_iter()
            .find(|suite| suite.to_u16() == number)
    }

    fn mls(self) -> Ciphersuite {
        match self {
            Suite::XWing => SUITES[0],
            Suite::Classical => SUITES[1],
        }
    }
}

/// An own operation was not possible. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MlsError {
    /// To be removed, but no leaf has this key.
    #[error("no member has the key {0}")]
    NotAMember(Key8),
    /// A key package that is to be added is not valid.
    #[error("a key package is not valid")]
    KeyPackage,
    /// Over a limit of [`limits`].
    #[error("over the limit")]
    TooLong,
    /// OpenMLS refused this step.
    #[error("openmls refused: {0}")]
    Refused(&'static str),
}

/// Received bytes were not taken. The state that refused them is as it was.
///
/// Only success is evidence: `OwnMessage`, `Gone` and `Ahead` rest on the sender data of a payload,
/// which whoever saw the genuine one can put before other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Wrong bytes, place, node or key, or a commit that breaks a rule of MLS or of this module.
    #[error("not authentic on this node")]
    Unauthentic,
    /// Our own message or commit came back; it cannot be opened by us.
    #[error("own message")]
    OwnMessage,
    /// The key of this message was used, or the sender is more than
    /// [`limits::RATCHET_WINDOW`] messages further.
    #[error("message key is gone")]
    Gone,
    /// More than [`limits::RATCHET_FORWARD`] messages ahead of what was opened of this sender.
    #[error("too far ahead")]
    Ahead,
    /// Authentic, but another kind of MLS message than the one that belongs here.
    #[error("other kind of message")]
    NotContent,
    /// A Welcome for none of the key packages held here.
    #[error("welcome for another key package")]
    NoKeyPackage,
    /// Over a limit of [`limits`]; nothing was parsed.
    #[error("over the limit")]
    TooLong,
}

/// An opened content item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Credential of the MLS sender: the bytes of its device certificate.
    pub sender_cert: Vec<u8>,
    /// Signature key of its leaf: its device key.
    pub sender_key: [u8; 32],
    /// What was sealed.
    pub plaintext: Vec<u8>,
    /// Flags of the payload (1 rewrap, 2 commit body).
    pub pf: u8,
}

/// A member of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Leaf index in the ratchet tree.
    pub index: u32,
    /// Credential: the bytes of the device certificate.
    pub cert: Vec<u8>,
    /// Signature key: the device key.
    pub key: [u8; 32],
}

/// An own commit.
pub struct Committed {
    /// State of the child; durable before `commit` is published (PROTOCOL N3).
    pub child: NodeState,
    /// The full commit, an MLS PublicMessage. [`node_id`] is over these bytes.
    pub commit: Bytes,
    /// One Welcome for all that were added.
    pub welcome: Option<Bytes>,
    /// Ratchet tree of the child, which joiners need beside the Welcome.
    pub tree: Bytes,
}

/// A commit of somebody else.
pub struct Processed {
    /// State of the child; that of the parent if `evicted`.
    pub child: NodeState,
    /// The commit removes us and was not merged (PROTOCOL N2).
    pub evicted: bool,
    /// Signature key of the leaf that made the commit.
    pub author: [u8; 32],
}

/// Id of the node that `commit` makes of `parent`; genesis: parent zero, the genesis bytes (N1).
pub fn node_id(parent: &NodeId, commit: &[u8]) -> NodeId {
    let mut hash = Sha256::new();
    hash.update(b"node");
    hash.update(parent.0);
    hash.update(Sha256::digest(commit));
    NodeId::from_prefix(&hash.finalize()).expect("SHA-256 is longer than an id")
}

/// The MLS state of one epoch node. A clone is another namespace: never seal on it (PROTOCOL N4).
pub struct NodeState {
    rows: Rows,
    /// Loaded from `rows` when first needed: loading parses the whole tree.
    group: OnceCell<MlsGroup>,
}

impl Clone for NodeState {
    fn clone(&self) -> NodeState {
        NodeState::of_rows(self.rows.clone())
    }
}

impl std::fmt::Debug for NodeState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeState")
    }
}

impl NodeState {
    /// A new group with us as its only member. `cert` becomes our credential.
    pub fn create(
        c: &Crypto,
        suite: Suite,
        group_id: &[u8; 8],
        keys: &KeyPair,
        cert: &[u8],
    ) -> Result<NodeState, MlsError> {
        let rows = Rows::default();
        let provider = Provider {
            crypto: c,
            rows: &rows,
        };
        let group = MlsGroup::builder()
            .with_group_id(GroupId::from_slice(group_id))
            .ciphersuite(suite.mls())
            .with_capabilities(capabilities())
            .lifetime(unlimited())
            .max_past_epochs(0)
            .padding_size(0)
            .use_ratchet_tree_extension(false)
            .sender_ratchet_configuration(ratchet())
            .with_wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .build(&provider, &LeafSigner(keys), credential(keys, cert));
        group.map_err(|_| MlsError::Refused("create a group"))?;
        // whatever its settings say, a new group would keep a secret of each of 32 past epochs
        rows.keep_no_resumption()
            .map_err(|_| MlsError::Refused("create a group"))?;
        Ok(NodeState::of_rows(rows))
    }

    /// Loads a node; `None` if the store has no row of it.
    pub fn load(store: &dyn Read, thread: ThreadId, node: NodeId) -> Result<Option<NodeState>, ReadError> {
        let rows = Rows::load(store, &table::node_all(thread, node))?;
        if rows.is_empty() {
            return Ok(None);
        }
        match load_group(&rows) {
            Some(group) => Ok(Some(NodeState::with_group(rows, group))),
            None => Err(ReadError(format!("mls state of node {node} does not parse"))),
        }
    }

    /// Adds to `batch` what changed since the last call.
    pub fn save(&mut self, thread: ThreadId, node: NodeId, batch: &mut Batch) {
        self.rows.drain(|row| table::node_row(thread, node, row), batch);
    }

    /// Whether commits on this node can be made and processed: it was not demoted.
    pub fn can_commit(&self) -> bool {
        self.rows.has(Kind::EpochKeyPairs)
    }

    /// Deletes what makes and processes commits and adds that to `batch`: neither this device nor whoever
    /// gets its store can derive a child of this node any more. What opens messages stays.
    ///
    /// OpenMLS loads no group without its epoch secrets: zeros take their place.
    pub fn demote(&mut self, thread: ThreadId, node: NodeId, batch: &mut Batch) {
        self.rows.delete(&COMMIT_KINDS);
        let blanked = self.rows.blank(Kind::EpochSecrets);
        let blanked = blanked.and_then(|()| self.rows.keep_no_resumption());
        blanked.expect("rows that OpenMLS wrote parse");
        // the group in memory has them still
        self.group.take();
        self.save(thread, node, batch);
    }

    /// Deletes the node: adds the deletion of all its rows to `batch`.
    pub fn erase(self, thread: ThreadId, node: NodeId, batch: &mut Batch) {
        self.rows.delete_all();
        self.rows.drain(|row| table::node_row(thread, node, row), batch);
    }

    /// Group id, given by the founder.
    pub fn group_id(&self) -> &[u8] {
        self.group().group_id().as_slice()
    }

    /// Suite of the group.
    pub fn suite(&self) -> Option<Suite> {
        Suite::from_u16(self.group().ciphersuite().into())
    }

    /// All members by leaf index, ourselves included. Their certificates are not looked at, and a leaf with a
    /// key of another kind has zeros for it: nobody who can read is left out here.
    pub fn members(&self) -> Vec<Leaf> {
        self.group().members().map(leaf).collect()
    }

    /// Seals `plaintext` for the members of this node. The changed state goes into the batch that
    /// makes the result durable, before it is sent (PROTOCOL N4). `pf` see [`Opened::pf`].
    pub fn seal(
        &mut self,
        c: &Crypto,
        keys: &KeyPair,
        place: &SealPlace,
        pf: u8,
        plaintext: &[u8],
    ) -> Result<Bytes, MlsError> {
        if plaintext.len() > limits::ENTRY_BODY_BYTES + 4096 {
            return Err(MlsError::TooLong);
        }
        let (group, provider) = self.parts(c);
        let (id, epoch) = (group.group_id().clone(), group.epoch().as_u64());
        group.set_aad(payload::authenticated_data(place, pf));
        let sealed = group.create_message(&provider, &LeafSigner(keys), plaintext);
        let Ok(sealed) = sealed else {
            // the ratchet in memory may be ahead of the rows
            self.group.take();
            return Err(MlsError::Refused("seal"));
        };
        let sealed = serialize(&sealed)?;
        payload::elide(place, pf, id.as_slice(), epoch, &sealed).ok_or(MlsError::Refused("lay out a message"))
    }

    /// Opens a payload that [`NodeState::seal`] made on this node at another member.
    pub fn open(&mut self, c: &Crypto, place: &SealPlace, payload: &[u8]) -> Result<Opened, OpenError> {
        if payload.len() > limits::ENVELOPE_BYTES {
            return Err(OpenError::TooLong);
        }
        let (group, provider) = self.parts(c);
        let (id, epoch) = (group.group_id().as_slice(), group.epoch().as_u64());
        let rebuilt = payload::rebuild(place, id, epoch, payload);
        let (bytes, pf) = rebuilt.ok_or(OpenError::Unauthentic)?;
        let message = protocol_message(&bytes)?;
        let processed = group.process_message(&provider, message).map_err(refusal)?;
        let Sender::Member(index) = *processed.sender() else {
            return Err(OpenError::NotContent);
        };
        let plaintext = match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(message) => message.into_bytes(),
            ProcessedMessageContent::OwnPrivateMessage => return Err(OpenError::OwnMessage),
            _ => return Err(OpenError::NotContent),
        };
        let sender = group.member_at(index).map(leaf);
        let sender = sender.ok_or(OpenError::Unauthentic)?;
        Ok(Opened {
            sender_cert: sender.cert,
            sender_key: sender.key,
            plaintext,
            pf,
        })
    }

    /// One commit that adds `adds` (key packages) and removes the members with the signature keys
    /// `removes`. Adds alone go without a path; nothing at all makes a path of our own (self-update).
    ///
    /// OpenMLS keeps two or more removals of one commit in a hash map: their order, and so the
    /// bytes, then differ from run to run. A simulator that must repeat removes one at a time.
    pub fn commit(
        &self,
        c: &Crypto,
        keys: &KeyPair,
        adds: &[Bytes],
        removes: &[[u8; 32]],
    ) -> Result<Committed, MlsError> {
        if !self.can_commit() {
            return Err(MlsError::Refused("commit on a demoted node"));
        }
        let added = adds.iter().map(|kp| key_package(c, kp));
        let added: Vec<_> = added
            .collect::<Result<_, _>>()
            .map_err(|_| MlsError::KeyPackage)?;
        let removed = self.leaves_of(removes)?;
        let rows = self.rows.clone();
        let provider = Provider {
            crypto: c,
            rows: &rows,
        };
        let mut group = load_group(&rows).ok_or(MlsError::Refused("load the parent"))?;
        let bundle = group
            .commit_builder()
            .force_self_update(adds.is_empty() && removes.is_empty())
            .propose_removals(removed)
            .propose_adds(added)
            .load_psks(&rows)
            .map_err(|_| MlsError::Refused("load keys"))?
            .build(c, c, &LeafSigner(keys), |_| true)
            .map_err(|_| MlsError::Refused("commit"))?
            .stage_commit(&provider)
            .map_err(|_| MlsError::Refused("stage a commit"))?;
        let (commit, welcome, _) = bundle.into_messages();
        group
            .merge_pending_commit(&provider)
            .map_err(|_| MlsError::Refused("merge a commit"))?;
        rows.leave_out(Kind::Psk);
        let commit = serialize(&commit)?;
        if commit.len() > limits::MLS_COMMIT_BYTES {
            return Err(MlsError::TooLong);
        }
        Ok(Committed {
            commit,
            welcome: welcome.as_ref().map(serialize).transpose()?,
            tree: serialize(&group.export_ratchet_tree())?,
            child: NodeState::with_group(rows, group),
        })
    }

    fn leaves_of(&self, keys: &[[u8; 32]]) -> Result<Vec<LeafNodeIndex>, MlsError> {
        let members = self.members();
        let index = |key: &[u8; 32]| {
            let leaf = members.iter().find(|leaf| leaf.key == *key);
            let missing = MlsError::NotAMember(Key8::of_key(key));
            leaf.map(|leaf| LeafNodeIndex::new(leaf.index)).ok_or(missing)
        };
        keys.iter().map(index).collect()
    }

    /// Processes another member's commit on this node (the full bytes, see [`restore_key_packages`]).
    pub fn process(&self, c: &Crypto, commit: &[u8]) -> Result<Processed, OpenError> {
        if commit.len() > limits::MLS_COMMIT_BYTES {
            return Err(OpenError::TooLong);
        }
        if !self.can_commit() {
            return Err(OpenError::Gone);
        }
        let message = protocol_message(commit)?;
        let rows = self.rows.clone();
        let provider = Provider {
            crypto: c,
            rows: &rows,
        };
        let mut group = load_group(&rows).ok_or(OpenError::Unauthentic)?;
        let processed = group.process_message(&provider, message).map_err(refusal)?;
        let author = match *processed.sender() {
            Sender::Member(index) if index == group.own_leaf_index() => return Err(OpenError::OwnMessage),
            Sender::Member(index) => group.member_at(index).map(|member| leaf(member).key),
            _ => return Err(OpenError::NotContent),
        };
        let author = author.ok_or(OpenError::Unauthentic)?;
        let ProcessedMessageContent::StagedCommitMessage(staged) = processed.into_content() else {
            return Err(OpenError::NotContent);
        };
        if !only_adds_and_removes(&staged) {
            return Err(OpenError::Unauthentic);
        }
        if staged.self_removed() {
            let child = self.clone();
            let evicted = true;
            return Ok(Processed {
                child,
                evicted,
                author,
            });
        }
        group
            .merge_staged_commit(&provider, *staged)
            .map_err(|_| OpenError::Unauthentic)?;
        rows.leave_out(Kind::Psk);
        let child = NodeState::with_group(rows, group);
        Ok(Processed {
            child,
            evicted: false,
            author,
        })
    }

    fn of_rows(rows: Rows) -> NodeState {
        let group = OnceCell::new();
        NodeState { rows, group }
    }

    fn with_group(rows: Rows, group: MlsGroup) -> NodeState {
        let group = OnceCell::from(group);
        NodeState { rows, group }
    }

    fn group(&self) -> &MlsGroup {
        let load = || load_group(&self.rows).expect("rows that loaded or that OpenMLS wrote load again");
        self.group.get_or_init(load)
    }

    fn parts<'a>(&'a mut self, crypto: &'a Crypto) -> (&'a mut MlsGroup, Provider<'a>) {
        self.group();
        let rows = &self.rows;
        let group = self.group.get_mut().expect("loaded above");
        (group, Provider { crypto, rows })
    }
}

/// Secrets of our key packages. They belong to no node: a Welcome of any branch may need them, and
/// one key package may be used again on the branch that wins (last resort, RFC 9420 section 16.8).
/// Their age is the caller's concern: published every 7 days, used for 21, kept for 35.
pub struct KeyPackages {
    rows: Rows,
}

impl std::fmt::Debug for KeyPackages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPackages")
    }
}

impl KeyPackages {
    /// Loads all of them.
    pub fn load(store: &dyn Read) -> Result<KeyPackages, ReadError> {
        let rows = Rows::load(store, &table::key_package_row(&[]))?;
        Ok(KeyPackages { rows })
    }

    /// Adds to `batch` what changed since the last call.
    pub fn save(&mut self, batch: &mut Batch) {
        self.rows.drain(table::key_package_row, batch);
    }

    /// A new key package, at most [`limits::MLS_KEY_PACKAGE_BYTES`]; its secret is saved before it
    /// is published.
    pub fn make(&mut self, c: &Crypto, suite: Suite, keys: &KeyPair, cert: &[u8]) -> Result<Bytes, MlsError> {
        let rows = &self.rows;
        let bundle = KeyPackage::builder()
            .leaf_node_capabilities(capabilities())
            .key_package_lifetime(unlimited())
            .mark_as_last_resort()
            .build(
                suite.mls(),
                &Provider { crypto: c, rows },
                &LeafSigner(keys),
                credential(keys, cert),
            )
            .map_err(|_| MlsError::Refused("make a key package"))?;
        serialize(bundle.key_package())
    }

    /// Joins the node that a Welcome leads to. The caller compares group id and members with what
    /// the signed objects say (F0).
    pub fn join(&self, c: &Crypto, welcome: &[u8], tree: &[u8]) -> Result<NodeState, OpenError> {
        if welcome.len() > limits::MLS_WELCOME_BYTES || tree.len() > limits::MLS_TREE_BYTES {
            return Err(OpenError::TooLong);
        }
        let MlsMessageBodyIn::Welcome(welcome) = parse::<MlsMessageIn>(welcome)?.extract() else {
            return Err(OpenError::NotContent);
        };
        let tree: RatchetTreeIn = parse(tree)?;
        let rows = self.rows.clone();
        let provider = Provider {
            crypto: c,
            rows: &rows,
        };
        let staged = StagedWelcome::build_from_welcome(&provider, &join_config(), welcome)
            .map_err(welcome_refusal)?
            .with_ratchet_tree(tree)
            .skip_lifetime_validation()
            .build()
            .map_err(welcome_refusal)?;
        let group = staged.into_group(&provider).map_err(welcome_refusal)?;
        for kind in [Kind::KeyPackage, Kind::EncryptionKeyPair, Kind::Psk] {
            rows.leave_out(kind);
        }
        Ok(NodeState::with_group(rows, group))
    }

    /// Deletes the secret of one of our key packages; nothing happens for others.
    pub fn forget(&mut self, c: &Crypto, kp: &[u8]) {
        let name = key_package(c, kp).ok().and_then(|kp| kp.hash_ref(c).ok());
        if let Some(name) = name {
            let deleted = self.rows.delete_key_package(&name);
            deleted.expect("a reference is a byte string");
        }
    }
}

/// What a key package says, all of it signed with `key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPackageInfo {
    /// Credential: the bytes of the device certificate. Not verified here.
    pub cert: Vec<u8>,
    /// Signature key: the device key.
    pub key: [u8; 32],
    /// Suite for which it was made.
    pub suite: Suite,
    /// BLAKE3 of the bytes ([`key_package_hash`]).
    pub hash: [u8; 32],
}

/// Verifies the signatures of a key package and that it never expires.
pub fn key_package_info(c: &Crypto, kp: &[u8]) -> Result<KeyPackageInfo, OpenError> {
    let parsed = key_package(c, kp)?;
    let leaf = parsed.leaf_node();
    let key = leaf.signature_key().as_slice().try_into();
    Ok(KeyPackageInfo {
        cert: leaf.credential().serialized_content().to_vec(),
        key: key.map_err(|_| OpenError::Unauthentic)?,
        suite: Suite::from_u16(parsed.ciphersuite().into()).ok_or(OpenError::Unauthentic)?,
        hash: key_package_hash(kp),
    })
}

/// A valid key package with an unlimited lifetime in a suite of ours, in its only encoding.
fn key_package(c: &Crypto, kp: &[u8]) -> Result<KeyPackage, OpenError> {
    if kp.len() > limits::MLS_KEY_PACKAGE_BYTES {
        return Err(OpenError::TooLong);
    }
    let parsed = parse::<KeyPackageIn>(kp)?
        .validate(c, ProtocolVersion::Mls10)
        .map_err(|_| OpenError::Unauthentic)?;
    let encoding = parsed.tls_serialize_detached();
    let ours = SUITES.contains(&parsed.ciphersuite())
        && *parsed.life_time() == unlimited()
        && parsed.last_resort()
        && encoding.is_ok_and(|bytes| bytes == kp);
    if ours {
        Ok(parsed)
    } else {
        Err(OpenError::Unauthentic)
    }
}

/// Adds with an unlimited lifetime and removes are all that a commit here may hold beside its path.
fn only_adds_and_removes(staged: &StagedCommit) -> bool {
    staged.queued_proposals().all(|queued| match queued.proposal() {
        Proposal::Add(add) => *add.key_package().life_time() == unlimited(),
        Proposal::Remove(_) => true,
        _ => false,
    })
}

fn load_group(rows: &Rows) -> Option<MlsGroup> {
    // rows do not depend on the group id: one namespace holds one group
    MlsGroup::load(rows, &GroupId::from_slice(&[])).ok().flatten()
}

fn leaf(member: Member) -> Leaf {
    Leaf {
        index: member.index.u32(),
        cert: member.credential.serialized_content().to_vec(),
        key: member.signature_key.try_into().unwrap_or_default(),
    }
}

fn parse<T: Deserialize>(bytes: &[u8]) -> Result<T, OpenError> {
    // the form that takes a reader: the one on slices has assertions on what a peer sent
    T::tls_deserialize_exact(bytes).map_err(|_| OpenError::Unauthentic)
}

fn protocol_message(bytes: &[u8]) -> Result<ProtocolMessage, OpenError> {
    let message: MlsMessageIn = parse(bytes)?;
    message
        .try_into_protocol_message()
        .map_err(|_| OpenError::NotContent)
}

fn serialize<T: Serialize>(value: &T) -> Result<Bytes, MlsError> {
    let bytes = value.tls_serialize_detached();
    bytes.map(Bytes::from).map_err(|_| MlsError::Refused("serialise"))
}

fn refusal<E>(error: ProcessMessageError<E>) -> OpenError {
    use openmls::framing::errors::{MessageDecryptionError, SecretTreeError};
    let error = match error {
        ProcessMessageError::InvalidCommit(StageCommitError::OwnCommitMismatch) => {
            return OpenError::OwnMessage;
        }
        ProcessMessageError::ValidationError(ValidationError::UnableToDecrypt(error)) => error,
        _ => return OpenError::Unauthentic,
    };
    match error {
        MessageDecryptionError::SecretTreeError(
            SecretTreeError::TooDistantInThePast
            | SecretTreeError::SecretReuseError
            // a skipped key that fell out of the window
            | SecretTreeError::IndexOutOfBounds,
        ) => OpenError::Gone,
        MessageDecryptionError::SecretTreeError(SecretTreeError::TooDistantInTheFuture) => OpenError::Ahead,
        _ => OpenError::Unauthentic,
    }
}

fn welcome_refusal<E>(error: WelcomeError<E>) -> OpenError {
    match error {
        WelcomeError::NoMatchingKeyPackage | WelcomeError::JoinerSecretNotFound => OpenError::NoKeyPackage,
        _ => OpenError::Unauthentic,
    }
}

fn credential(keys: &KeyPair, cert: &[u8]) -> CredentialWithKey {
    CredentialWithKey {
        credential: BasicCredential::new(cert.to_vec()).into(),
        signature_key: keys.public().to_vec().into(),
    }
}

/// Both suites, so that a thread may be founded anew in the other one with the same devices.
fn capabilities() -> Capabilities {
    let extensions = [ExtensionType::LastResort, ExtensionType::AppDataDictionary];
    Capabilities::new(None, Some(&SUITES), Some(&extensions), None, None)
}

/// OpenMLS lets every receiver of a commit check lifetimes against its own clock.
fn unlimited() -> Lifetime {
    Lifetime::init(0, u64::MAX)
}

fn ratchet() -> SenderRatchetConfiguration {
    SenderRatchetConfiguration::new(limits::RATCHET_WINDOW, limits::RATCHET_FORWARD)
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .padding_size(0)
        .use_ratchet_tree_extension(false)
        .sender_ratchet_configuration(ratchet())
        .wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
        .build()
}

#[cfg(test)]
mod tests;
