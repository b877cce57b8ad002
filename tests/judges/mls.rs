//! A member written on another MLS library reads our groups.
//!
//! Our side is `NodeState` on OpenMLS. The stranger is a member on `mls-rs`, which has its own wire format,
//! tree, key schedule and cryptography; both are set to suite 0x0003, the one they share. What goes from one
//! to the other are the bytes of the protocol: the Welcome with its tree, commits, payloads. The stranger
//! lays a payload out as a PrivateMessage from what PROTOCOL says, with the codec of `mls-rs`, so that our
//! own elision is judged too, and pads what it sends, as we never do.
//!
//! The stranger draws on the entropy of the system; no result here depends on its value.
//!
//! Not here: suite 0x004D, which `mls-rs` does not have; the control plane, which is ours alone.

use aidmesh_core::crypto::KeyPair;
use aidmesh_core::directory::{DeviceCert, Name, Role, Roles, Signed, Window};
use aidmesh_core::envelope::Class;
use aidmesh_core::group::mls::{
    Committed, Crypto, KeyPackages, NodeState, SealPlace, Suite, key_package_info,
};
use aidmesh_core::id::{Key8, NodeId, Org, Person, Slot};
use aidmesh_core::store::Memory;
use bytes::Bytes;
use mls_rs::client_builder::MlsConfig;
use mls_rs::error::MlsError;
use mls_rs::extension::recommended::LastResortKeyPackageExt;
use mls_rs::group::{CommitEffect, ExportedTree, Group, ReceivedMessage};
use mls_rs::identity::SigningIdentity;
use mls_rs::identity::basic::{BasicCredential, BasicIdentityProvider};
use mls_rs::mls_rs_codec::byte_vec;
use mls_rs::mls_rules::{CommitOptions, DefaultMlsRules};
use mls_rs::time::MlsTime;
use mls_rs::{
    CipherSuite, CipherSuiteProvider, Client, CryptoProvider, ExtensionList, MlsMessage,
    extension::ExtensionType,
};
use mls_rs_crypto_rustcrypto::RustCryptoProvider;
use std::time::Duration;

use super::LAYER;
use crate::harness::Test;

const GROUP: &[u8; 8] = b"thread01";
/// MLSMessage before a KeyPackage and before a PrivateMessage: version 1, wire format (RFC 9420 section 6).
const KEY_PACKAGE: [u8; 4] = [0, 1, 0, 5];
const PRIVATE_MESSAGE: [u8; 4] = [0, 1, 0, 2];
/// Before the sender data of a payload: node tag, `pf`.
const PREFIX: usize = 4 + 1;
const SENDER_DATA: usize = 28;

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test::new(LAYER, "mls_stranger_joins_reads_and_is_read", || {
            joins_reads_and_is_read();
            Ok(())
        }),
        Test::new(LAYER, "mls_stranger_follows_commits_until_removed", || {
            follows_commits_until_removed();
            Ok(())
        }),
        Test::new(LAYER, "mls_strangers_commits_are_followed", || {
            commits_are_followed();
            Ok(())
        }),
    ]
}

fn joins_reads_and_is_read() {
    let Cast { a, b, stranger, node } = cast();
    let [mut at_a, mut at_b] = node.ours;
    let mut at_stranger = node.stranger;
    let roster: Vec<_> = at_stranger
        .roster()
        .members_iter()
        .map(|m| m.signing_identity)
        .collect();
    let ours: Vec<_> = at_a
        .members()
        .into_iter()
        .map(|leaf| (leaf.cert, leaf.key))
        .collect();
    let theirs: Vec<_> = roster.iter().map(cert_and_key).collect();
    assert_eq!(theirs, ours);
    assert_eq!(at_stranger.group_id(), GROUP);
    assert!(at_stranger.context().extensions.is_empty());
    assert_eq!(at_stranger.cipher_suite(), CipherSuite::CURVE25519_CHACHA);

    let texts: [&[u8]; 4] = [b"", b"heart rate 41", &[5; 200], &[6; 40_000]];
    let sealed: Vec<_> = (1..)
        .zip(texts)
        .map(|(seq, text)| a.seal(&mut at_a, seq, text))
        .collect();
    for n in [3, 0, 2, 1] {
        let place = place(1 + n as u32);
        let (text, aad) = read(&mut at_stranger, 1, &place, &sealed[n]).unwrap();
        assert_eq!((text.as_slice(), aad), (texts[n], authenticated_data(&place, 0)));
    }
    assert!(
        read(&mut at_stranger, 1, &place(1), &sealed[0]).is_err(),
        "a key serves once"
    );
    let [fifth, sixth] = [5, 6].map(|seq| a.seal(&mut at_a, seq, b"bound to its place"));
    // mls-rs uses the key up on bytes that fail, so the same payload does not open at its place afterwards
    assert!(read(&mut at_stranger, 1, &place(6), &fifth).is_err());
    assert!(read(&mut at_stranger, 1, &place(6), &sixth).is_ok());

    for (seq, text) in (1..).zip(texts) {
        let payload = write(&mut at_stranger, 1, &place(seq), text);
        for (device, state) in [(&a, &mut at_a), (&b, &mut at_b)] {
            let opened = state.open(&device.c, &place(seq), &payload).unwrap();
            assert_eq!(opened.plaintext, text);
            assert_eq!(
                (opened.sender_cert, opened.sender_key),
                (stranger.cert.clone(), stranger.key)
            );
        }
    }
}

fn follows_commits_until_removed() {
    let Cast { a, b, stranger, node } = cast();
    let [at_a, at_b] = node.ours;
    let mut at_stranger = node.stranger;
    let mut d = Device::new(4);

    let added = a.commit(&at_a, &[d.package()], &[]);
    follow(&mut at_stranger, &added.commit);
    let replaced = a.commit(&added.child, &[Device::new(5).package()], &[b.keys.public()]);
    follow(&mut at_stranger, &replaced.commit);
    let updated = a.commit(&replaced.child, &[], &[]);
    follow(&mut at_stranger, &updated.commit);
    assert_eq!(at_stranger.current_epoch(), 4);
    assert_eq!(at_stranger.roster().members_iter().count(), 4);
    let mut at_a = updated.child;
    let sealed = a.seal(&mut at_a, 1, b"after three commits");
    assert_eq!(
        read(&mut at_stranger, 4, &place(1), &sealed).unwrap().0,
        b"after three commits"
    );
    let at_b = at_b.process(&b.c, &added.commit).unwrap().child;
    assert!(at_b.process(&b.c, &replaced.commit).unwrap().evicted);
    let at_d = d.join(&added);
    let at_d = at_d.process(&d.c, &replaced.commit).unwrap().child;
    let mut at_d = at_d.process(&d.c, &updated.commit).unwrap().child;
    let payload = write(&mut at_stranger, 4, &place(1), b"still here");
    assert_eq!(d.open(&mut at_d, 1, &payload), b"still here");

    let last = a.seal(&mut at_a, 2, b"the last for you");
    let removed = a.commit(&at_a, &[], &[stranger.key]);
    let effect = process(&mut at_stranger, &removed.commit).unwrap();
    let ReceivedMessage::Commit(seen) = effect else {
        panic!("not a commit");
    };
    assert!(matches!(seen.effect, CommitEffect::Removed { .. }));
    let (mut next_a, later) = (removed.child, b"not for you");
    let mut next_d = at_d.process(&d.c, &removed.commit).unwrap().child;
    let sealed = a.seal(&mut next_a, 1, later);
    assert_eq!(d.open(&mut next_d, 1, &sealed), later);
    let refused = read(&mut at_stranger, 5, &place(1), &sealed);
    assert!(matches!(refused, Err(MlsError::EpochNotFound)));
    // the epoch does not travel in a payload: a removed member may claim the one it has keys of
    let refused = read(&mut at_stranger, 4, &place(1), &sealed);
    assert!(matches!(refused, Err(MlsError::CryptoProviderError(_))));
    let after = a.commit(&next_a, &[], &[]);
    assert!(process(&mut at_stranger, &after.commit).is_err());
    let old = read(&mut at_stranger, 4, &place(2), &last).unwrap();
    assert_eq!(
        old.0, b"the last for you",
        "what it lacks is the new key, not the means"
    );
}

fn commits_are_followed() {
    let Cast { a, b, node, .. } = cast();
    let [at_a, at_b] = node.ours;
    let mut at_stranger = node.stranger;
    let mut d = Device::new(4);

    let update = at_stranger.commit_builder().build().unwrap().commit_message;
    at_stranger.apply_pending_commit().unwrap();
    let [at_a, at_b] = [(&a, at_a), (&b, at_b)].map(|(device, state)| device.follow(&state, &update));

    let package = MlsMessage::from_bytes(&[&KEY_PACKAGE[..], &d.package()].concat()).unwrap();
    let leaf_of_b = at_a
        .members()
        .iter()
        .find(|leaf| leaf.key == b.keys.public())
        .unwrap()
        .index;
    let replacing = at_stranger.commit_builder().add_member(package).unwrap();
    let made = replacing.remove_member(leaf_of_b).unwrap().build().unwrap();
    at_stranger.apply_pending_commit().unwrap();
    let mut at_a = a.follow(&at_a, &made.commit_message);
    let commit = made.commit_message.to_bytes().unwrap();
    assert!(at_b.process(&b.c, &commit).unwrap().evicted);
    let welcome = made.welcome_messages[0].to_bytes().unwrap();
    let tree = made.ratchet_tree.unwrap().to_bytes().unwrap();
    let mut at_d = d.packages.join(&d.c, &welcome, &tree).unwrap();
    assert_eq!(at_d.members(), at_a.members());

    let sealed = d.seal(&mut at_d, 1, b"let in by a stranger");
    assert_eq!(a.open(&mut at_a, 1, &sealed), b"let in by a stranger");
    assert_eq!(
        read(&mut at_stranger, 3, &place(1), &sealed).unwrap().0,
        b"let in by a stranger"
    );
    let payload = write(&mut at_stranger, 3, &place(1), b"welcome");
    assert_eq!(d.open(&mut at_d, 1, &payload), b"welcome");
}

/// Two devices of ours and the stranger at epoch 1 of one group, let in by one commit of `a`.
struct Cast<C: MlsConfig> {
    a: Device,
    b: Device,
    stranger: Stranger<C>,
    node: Node<C>,
}

struct Node<C: MlsConfig> {
    ours: [NodeState; 2],
    stranger: Group<C>,
}

fn cast() -> Cast<impl MlsConfig> {
    let (a, mut b, stranger) = (Device::new(1), Device::new(2), stranger());
    let packages = [b.package(), stranger.package()];
    let info = key_package_info(&a.c, &packages[1]).unwrap();
    assert_eq!((info.cert, info.key), (stranger.cert.clone(), stranger.key));
    let root = NodeState::create(&a.c, Suite::Classical, GROUP, &a.keys, &a.cert).unwrap();
    let made = a.commit(&root, &packages, &[]);
    let at_b = b.join(&made);
    let at_stranger = stranger.join(&made);
    let node = Node {
        ours: [made.child, at_b],
        stranger: at_stranger,
    };
    Cast { a, b, stranger, node }
}

/// A device of ours.
struct Device {
    c: Crypto,
    keys: KeyPair,
    cert: Bytes,
    packages: KeyPackages,
}

impl Device {
    fn new(n: u8) -> Device {
        let keys = KeyPair::from_seed(&[n; 32]);
        Device {
            c: Crypto::new([n; 32]),
            cert: certificate(n, keys.public()),
            keys,
            packages: KeyPackages::load(&Memory::default()).unwrap(),
        }
    }

    fn package(&mut self) -> Bytes {
        let made = self
            .packages
            .make(&self.c, Suite::Classical, &self.keys, &self.cert);
        made.unwrap()
    }

    fn commit(&self, on: &NodeState, adds: &[Bytes], removes: &[[u8; 32]]) -> Committed {
        on.commit(&self.c, &self.keys, adds, removes).unwrap()
    }

    fn join(&self, made: &Committed) -> NodeState {
        let welcome = made.welcome.as_ref().unwrap();
        self.packages.join(&self.c, welcome, &made.tree).unwrap()
    }

    fn follow(&self, on: &NodeState, commit: &MlsMessage) -> NodeState {
        let processed = on.process(&self.c, &commit.to_bytes().unwrap()).unwrap();
        assert!(!processed.evicted);
        processed.child
    }

    fn seal(&self, on: &mut NodeState, seq: u32, text: &[u8]) -> Bytes {
        on.seal(&self.c, &self.keys, &place(seq), 0, text).unwrap()
    }

    fn open(&self, on: &mut NodeState, seq: u32, payload: &[u8]) -> Vec<u8> {
        on.open(&self.c, &place(seq), payload).unwrap().plaintext
    }
}

/// A device on `mls-rs`.
struct Stranger<C: MlsConfig> {
    client: Client<C>,
    cert: Vec<u8>,
    key: [u8; 32],
}

fn stranger() -> Stranger<impl MlsConfig> {
    let crypto = RustCryptoProvider::new();
    let suite = crypto
        .cipher_suite_provider(CipherSuite::CURVE25519_CHACHA)
        .unwrap();
    let (secret, public) = suite.signature_key_generate().unwrap();
    let key = public.as_bytes().try_into().unwrap();
    let cert = certificate(3, key).to_vec();
    let identity = SigningIdentity::new(BasicCredential::new(cert.clone()).into_credential(), public);
    // our Welcome has the tree beside it; all else is as mls-rs comes
    let beside = CommitOptions::new().with_ratchet_tree_extension(false);
    let client = Client::builder()
        .identity_provider(BasicIdentityProvider)
        .crypto_provider(crypto)
        .mls_rules(DefaultMlsRules::new().with_commit_options(beside))
        .extension_type(ExtensionType::LAST_RESORT_KEY_PACKAGE)
        .key_package_lifetime(Duration::from_secs(u64::MAX))
        .signing_identity(identity, secret, CipherSuite::CURVE25519_CHACHA)
        .build();
    Stranger { client, cert, key }
}

impl<C: MlsConfig> Stranger<C> {
    /// A key package as our rules ask for: of last resort, without an end.
    fn package(&self) -> Bytes {
        let mut extensions = ExtensionList::new();
        extensions.set_from(LastResortKeyPackageExt).unwrap();
        let start = MlsTime::from_duration_since_epoch(Duration::ZERO);
        let leaf = ExtensionList::new();
        let made = self
            .client
            .generate_key_package_message(extensions, leaf, Some(start));
        let bytes = made.unwrap().to_bytes().unwrap();
        bytes.strip_prefix(&KEY_PACKAGE).unwrap().to_vec().into()
    }

    fn join(&self, made: &Committed) -> Group<C> {
        let welcome = MlsMessage::from_bytes(made.welcome.as_ref().unwrap()).unwrap();
        let tree = ExportedTree::from_bytes(&made.tree).unwrap();
        let now = Some(MlsTime::now());
        self.client.join_group(Some(tree), &welcome, now).unwrap().0
    }
}

fn process<C: MlsConfig>(at: &mut Group<C>, message: &[u8]) -> Result<ReceivedMessage, MlsError> {
    at.process_incoming_message_with_time(MlsMessage::from_bytes(message)?, MlsTime::now())
}

fn follow<C: MlsConfig>(at: &mut Group<C>, commit: &[u8]) {
    let ReceivedMessage::Commit(seen) = process(at, commit).unwrap() else {
        panic!("not a commit");
    };
    assert!(matches!(seen.effect, CommitEffect::NewEpoch(_)));
}

/// Plaintext and authenticated data of a payload of ours.
fn read<C: MlsConfig>(
    at: &mut Group<C>,
    epoch: u64,
    place: &SealPlace,
    payload: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), MlsError> {
    assert_eq!(payload[..PREFIX], [9, 9, 9, 9, 0]);
    let (sender_data, ciphertext) = payload[PREFIX..].split_at(SENDER_DATA);
    let mut message = head(epoch, place);
    put(&mut message, sender_data);
    put(&mut message, ciphertext);
    match process(at, &message)? {
        ReceivedMessage::ApplicationMessage(read) => {
            Ok((read.data().to_vec(), read.authenticated_data.clone()))
        }
        other => panic!("not an application message: {other:?}"),
    }
}

/// A payload of the stranger.
fn write<C: MlsConfig>(at: &mut Group<C>, epoch: u64, place: &SealPlace, text: &[u8]) -> Vec<u8> {
    let message = at.encrypt_application_message(text, authenticated_data(place, 0));
    let message = message.unwrap().to_bytes().unwrap();
    let mut rest = message.strip_prefix(head(epoch, place).as_slice()).unwrap();
    let sender_data: Vec<u8> = byte_vec::mls_decode(&mut rest).unwrap();
    let ciphertext: Vec<u8> = byte_vec::mls_decode(&mut rest).unwrap();
    assert_eq!((sender_data.len(), rest.len()), (SENDER_DATA, 0));
    [&[9, 9, 9, 9, 0], sender_data.as_slice(), &ciphertext].concat()
}

/// What a payload leaves out of a PrivateMessage: all that stands before the sender data.
fn head(epoch: u64, place: &SealPlace) -> Vec<u8> {
    let mut head = PRIVATE_MESSAGE.to_vec();
    put(&mut head, GROUP);
    head.extend_from_slice(&epoch.to_be_bytes());
    head.push(1);
    put(&mut head, &authenticated_data(place, 0));
    head
}

fn put(out: &mut Vec<u8>, field: &[u8]) {
    byte_vec::mls_encode(&field, out).unwrap();
}

/// PROTOCOL, *Payload of content*.
fn authenticated_data(place: &SealPlace, pf: u8) -> Vec<u8> {
    let place_in_log = [&place.slot.0[..], &place.seq.to_le_bytes()].concat();
    let head = [b'a', b'm', b'1', 1, place.class as u8];
    [&head, place_in_log.as_slice(), &place.node.0, &[pf]].concat()
}

fn place(seq: u32) -> SealPlace {
    SealPlace {
        class: Class::Clinical,
        slot: Slot([7; 4]),
        seq,
        node: NodeId([9; 16]),
    }
}

fn cert_and_key(identity: &SigningIdentity) -> (Vec<u8>, [u8; 32]) {
    let cert = identity.credential.as_basic().unwrap().identifier().to_vec();
    (cert, identity.signature_key.as_bytes().try_into().unwrap())
}

/// A device certificate, which is the credential of a leaf.
fn certificate(n: u8, device_key: [u8; 32]) -> Bytes {
    let cert = DeviceCert {
        org: Org([1; 8]),
        serial: 1,
        device_key,
        seal_key: [n; 32],
        inbox_key: [n; 32],
        person: Person([n; 8]),
        roles: Roles::of(&[Role::Paramedic]),
        window: Window {
            not_before_min: 1,
            not_after_min: 2,
        },
        issuer: Key8([0; 8]),
        name: Name::new("unit").unwrap(),
        sig: [0; 64],
    };
    cert.signed_by(&KeyPair::from_seed(&[200; 32])).encode()
}
