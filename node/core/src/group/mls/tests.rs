//! Two to four devices, both suites, no clock and no entropy beyond the seeds below.

use super::*;
use crate::envelope::Class;
use crate::id::{Seq, Slot};
use crate::store::{Engine, Memory};

const BOTH: [Suite; 2] = [Suite::XWing, Suite::Classical];
const GROUP: &[u8; 8] = b"thread01";
const THREAD: ThreadId = ThreadId(*b"thread0123456789");

/// A device with its key packages, and its state of the node at which a test is.
struct Device {
    c: Crypto,
    keys: KeyPair,
    cert: Vec<u8>,
    packages: KeyPackages,
}

impl Device {
    fn new(n: u8) -> Device {
        Device {
            c: Crypto::new([n; 32]),
            keys: KeyPair::from_seed(&[n; 32]),
            cert: vec![n; 200],
            packages: KeyPackages::load(&Memory::default()).unwrap(),
        }
    }

    fn create(&self, suite: Suite) -> NodeState {
        NodeState::create(&self.c, suite, GROUP, &self.keys, &self.cert).unwrap()
    }

    fn package(&mut self, suite: Suite) -> Bytes {
        self.packages
            .make(&self.c, suite, &self.keys, &self.cert)
            .unwrap()
    }

    fn commit(&self, on: &NodeState, adds: &[Bytes], removes: &[&Device]) -> Committed {
        let removes: Vec<_> = removes.iter().map(|d| d.keys.public()).collect();
        on.commit(&self.c, &self.keys, adds, &removes).unwrap()
    }

    fn join(&self, made: &Committed) -> NodeState {
        let welcome = made.welcome.as_ref().unwrap();
        self.packages.join(&self.c, welcome, &made.tree).unwrap()
    }

    fn seal(&self, on: &mut NodeState, seq: Seq, text: &[u8]) -> Bytes {
        on.seal(&self.c, &self.keys, &place(seq), 0, text).unwrap()
    }

    fn open(&self, on: &mut NodeState, seq: Seq, payload: &[u8]) -> Result<Vec<u8>, OpenError> {
        on.open(&self.c, &place(seq), payload)
            .map(|opened| opened.plaintext)
    }
}

fn place(seq: Seq) -> SealPlace {
    SealPlace {
        class: Class::Clinical,
        slot: Slot([7; 4]),
        seq,
        node: NodeId([9; 16]),
    }
}

/// Two devices on one node; the second was added.
fn pair(suite: Suite) -> (Device, NodeState, Device, NodeState) {
    let (a, mut b) = (Device::new(1), Device::new(2));
    let package = b.package(suite);
    let made = a.commit(&a.create(suite), &[package], &[]);
    let at_b = b.join(&made);
    (a, made.child, b, at_b)
}

/// Three devices on one node.
fn trio(suite: Suite) -> ([Device; 3], [NodeState; 3]) {
    let (a, mut b, mut d) = (Device::new(1), Device::new(2), Device::new(3));
    let packages = [b.package(suite), d.package(suite)];
    let made = a.commit(&a.create(suite), &packages, &[]);
    let states = [b.join(&made), d.join(&made)];
    let [at_b, at_d] = states;
    ([a, b, d], [made.child, at_b, at_d])
}

#[test]
fn a_machine_may_move_to_another_thread() {
    fn send<T: Send>() {}
    send::<(Crypto, NodeState, KeyPackages)>();
}

#[test]
fn suites_have_their_numbers() {
    assert_eq!(Suite::XWing.to_u16(), 0x004D);
    assert_eq!(Suite::Classical.to_u16(), 0x0003);
    assert_eq!(Suite::from_u16(0x004D), Some(Suite::XWing));
    assert_eq!(Suite::from_u16(1), None);
}

#[test]
fn a_joiner_and_the_founder_read_each_other() {
    for suite in BOTH {
        let (a, mut at_a, b, mut at_b) = pair(suite);
        assert_eq!(at_b.members(), at_a.members());
        assert_eq!(at_b.group_id(), GROUP);
        assert_eq!(at_b.suite(), Some(suite));
        let sealed = a.seal(&mut at_a, 1, b"from a");
        let opened = at_b.open(&b.c, &place(1), &sealed).unwrap();
        assert_eq!(opened.plaintext, b"from a");
        assert_eq!(
            (opened.sender_cert, opened.sender_key),
            (a.cert.clone(), a.keys.public())
        );
        let sealed = b.seal(&mut at_b, 1, b"from b");
        assert_eq!(a.open(&mut at_a, 1, &sealed).unwrap(), b"from b");
        assert_eq!(b.open(&mut at_b, 1, &sealed), Err(OpenError::OwnMessage));
        assert_eq!(a.open(&mut at_a, 1, &sealed), Err(OpenError::Gone));
    }
}

#[test]
fn a_payload_is_at_most_119_bytes_longer_than_its_plaintext() {
    for suite in BOTH {
        let (a, mut at_a, b, mut at_b) = pair(suite);
        for (length, expected) in [(0, 116), (40, 116), (200, 117), (40_000, 119)] {
            let text = vec![5; length];
            let sealed = a.seal(&mut at_a, 1, &text);
            assert_eq!(sealed.len() - length, expected, "{suite:?} {length}");
            assert_eq!(b.open(&mut at_b, 1, &sealed).unwrap(), text);
        }
    }
}

#[test]
fn changed_bytes_open_nowhere_and_leave_the_state_as_it_was() {
    let (a, mut at_a, b, mut at_b) = pair(Suite::Classical);
    let sealed = a.seal(&mut at_a, 1, b"heart rate 41");
    at_b.save(THREAD, NodeId([1; 16]), &mut Batch::new());
    for at in 0..sealed.len() {
        let mut bad = sealed.to_vec();
        bad[at] ^= 1;
        assert!(b.open(&mut at_b, 1, &bad).is_err(), "byte {at}");
    }
    for end in 0..sealed.len() {
        assert!(b.open(&mut at_b, 1, &sealed[..end]).is_err());
    }
    assert_eq!(b.open(&mut at_b, 2, &sealed), Err(OpenError::Unauthentic));
    let elsewhere = SealPlace {
        class: Class::Alarm,
        ..place(1)
    };
    let other_class = at_b.open(&b.c, &elsewhere, &sealed);
    assert_eq!(other_class, Err(OpenError::Unauthentic));
    let mut batch = Batch::new();
    at_b.save(THREAD, NodeId([1; 16]), &mut batch);
    assert!(batch.is_empty());
    assert_eq!(b.open(&mut at_b, 1, &sealed).unwrap(), b"heart rate 41");
}

#[test]
fn messages_open_in_any_order_within_the_window() {
    let (a, mut at_a, b, mut at_b) = pair(Suite::Classical);
    let sealed: Vec<_> = (0..140).map(|n| a.seal(&mut at_a, n + 1, &[n as u8])).collect();
    for n in [139u32, 12, 100, 13] {
        assert_eq!(b.open(&mut at_b, n + 1, &sealed[n as usize]).unwrap(), [n as u8]);
    }
    assert_eq!(b.open(&mut at_b, 1, &sealed[0]), Err(OpenError::Gone));
    assert_eq!(b.open(&mut at_b, 13, &sealed[12]), Err(OpenError::Gone));
}

#[test]
fn a_removed_member_is_evicted_and_reads_nothing_later() {
    for suite in BOTH {
        let ([a, b, d], [at_a, at_b, mut at_d]) = trio(suite);
        let made = a.commit(&at_a, &[], &[&d]);
        let gone = at_d.process(&d.c, &made.commit).unwrap();
        assert!(gone.evicted);
        let mut next_a = made.child;
        let mut next_b = at_b.process(&b.c, &made.commit).unwrap().child;
        let sealed = a.seal(&mut next_a, 1, b"later");
        assert_eq!(b.open(&mut next_b, 1, &sealed).unwrap(), b"later");
        assert_eq!(d.open(&mut at_d, 1, &sealed), Err(OpenError::Unauthentic));
        let third = a.commit(&next_a, &[], &[]);
        assert!(at_d.process(&d.c, &third.commit).is_err());
        let keys: Vec<_> = next_b.members().into_iter().map(|leaf| leaf.key).collect();
        assert_eq!(keys, [a.keys.public(), b.keys.public()]);
    }
}

#[test]
fn a_parent_takes_two_children_and_reads_on() {
    let ([a, b, d], [at_a, at_b, mut at_d]) = trio(Suite::Classical);
    let (by_a, by_b) = (a.commit(&at_a, &[], &[]), b.commit(&at_b, &[], &[]));
    let mut first = at_d.process(&d.c, &by_a.commit).unwrap().child;
    let mut second = at_d.process(&d.c, &by_b.commit).unwrap().child;
    let (mut at_a, mut by_a, mut by_b) = (at_a, by_a, by_b);
    let sealed = [
        a.seal(&mut at_a, 1, b"parent"),
        a.seal(&mut by_a.child, 2, b"left"),
        b.seal(&mut by_b.child, 3, b"right"),
    ];
    assert_eq!(d.open(&mut first, 3, &sealed[2]), Err(OpenError::Unauthentic));
    assert_eq!(d.open(&mut at_d, 1, &sealed[0]).unwrap(), b"parent");
    assert_eq!(d.open(&mut first, 2, &sealed[1]).unwrap(), b"left");
    assert_eq!(d.open(&mut second, 3, &sealed[2]).unwrap(), b"right");
    let own = at_a.process(&a.c, &by_a.commit).err();
    assert_eq!(own, Some(OpenError::OwnMessage));
}

#[test]
fn a_device_is_replaced_in_one_commit() {
    let ([a, b, mut d], [at_a, at_b, _]) = trio(Suite::Classical);
    let package = d.package(Suite::Classical);
    let made = a.commit(&at_a, &[package], &[&d]);
    let mut next_d = d.join(&made);
    let mut next_b = at_b.process(&b.c, &made.commit).unwrap().child;
    let sealed = d.seal(&mut next_d, 1, b"back");
    assert_eq!(b.open(&mut next_b, 1, &sealed).unwrap(), b"back");
}

#[test]
fn a_node_survives_the_store_and_a_restart() {
    for suite in BOTH {
        let (mut a, mut at_a, b, mut at_b) = pair(suite);
        let (node, mut store) = (NodeId([4; 16]), Memory::default());
        let save = |state: &mut NodeState, store: &mut Memory| {
            let mut batch = Batch::new();
            state.save(THREAD, node, &mut batch);
            store.apply(&batch).unwrap();
            batch.len()
        };
        let all = save(&mut at_a, &mut store);
        assert_eq!(save(&mut at_a, &mut store), 0);
        let first = a.seal(&mut at_a, 1, b"one");
        assert_eq!(
            save(&mut at_a, &mut store),
            1,
            "a message changes one row of {all}"
        );
        a.c = Crypto::new([77; 32]);
        let mut at_a = NodeState::load(&store, THREAD, node).unwrap().unwrap();
        let second = a.seal(&mut at_a, 2, b"two");
        assert_eq!(b.open(&mut at_b, 2, &second).unwrap(), b"two");
        assert_eq!(b.open(&mut at_b, 1, &first).unwrap(), b"one");
        let sealed = b.seal(&mut at_b, 1, b"three");
        assert_eq!(a.open(&mut at_a, 1, &sealed).unwrap(), b"three");
        let made = a.commit(&at_a, &[], &[]);
        assert!(!at_b.process(&b.c, &made.commit).unwrap().evicted);
        let mut batch = Batch::new();
        at_a.erase(THREAD, node, &mut batch);
        store.apply(&batch).unwrap();
        assert!(store.is_empty() && NodeState::load(&store, THREAD, node).unwrap().is_none());
    }
}

/// A copy of the node as whoever gets the store at this moment has it.
fn stolen(state: &mut NodeState, store: &mut Memory) -> NodeState {
    let mut batch = Batch::new();
    state.save(THREAD, NodeId([4; 16]), &mut batch);
    store.apply(&batch).unwrap();
    NodeState::load(&store.clone(), THREAD, NodeId([4; 16]))
        .unwrap()
        .unwrap()
}

/// The same rows at somebody who does not look whether the node is demoted.
fn unguarded(state: &NodeState) -> NodeState {
    let copy = state.clone();
    let none: Vec<ciborium::Value> = vec![];
    copy.rows
        .put(Kind::EpochKeyPairs, vec![Kind::EpochKeyPairs as u8], &none)
        .unwrap();
    assert!(copy.can_commit());
    copy
}

#[test]
fn a_demoted_node_opens_messages_and_derives_no_child() {
    for suite in BOTH {
        let ([a, b, d], [mut at_a, at_b, mut at_d]) = trio(suite);
        let mut store = Memory::default();
        let before = stolen(&mut at_d, &mut store);
        // with a path and without: the one needs a key of the tree, the other the init secret alone
        let with_path = a.commit(&at_a, &[], &[&b]);
        let adds_only = a.commit(&at_a, &[Device::new(5).package(suite)], &[]);
        let sealed = [a.seal(&mut at_a, 1, b"one"), a.seal(&mut at_a, 2, b"two")];
        assert_eq!(d.open(&mut at_d, 2, &sealed[1]).unwrap(), b"two");
        let mut batch = Batch::new();
        at_d.demote(THREAD, NodeId([4; 16]), &mut batch);
        store.apply(&batch).unwrap();
        let mut after = stolen(&mut at_d, &mut store);
        for made in [&with_path, &adds_only] {
            assert!(before.process(&d.c, &made.commit).is_ok());
            for demoted in [&at_d, &after] {
                assert!(demoted.process(&d.c, &made.commit).is_err());
                assert!(unguarded(demoted).process(&d.c, &made.commit).is_err());
            }
        }
        assert!(before.can_commit() && at_b.can_commit() && !at_d.can_commit() && !after.can_commit());
        assert!(after.commit(&d.c, &d.keys, &[], &[]).is_err());
        assert_eq!(after.members(), at_a.members());
        assert_eq!(d.open(&mut after, 1, &sealed[0]).unwrap(), b"one");
        assert_eq!(d.open(&mut at_d, 1, &sealed[0]).unwrap(), b"one");
        // what was opened is as gone as it would be on another node
        assert_eq!(d.open(&mut at_d, 2, &sealed[1]), Err(OpenError::Gone));
    }
}

/// All bytes of a value that are not zero, however they are written.
fn bytes_in(value: &ciborium::Value) -> usize {
    match value {
        ciborium::Value::Bytes(bytes) => bytes.iter().filter(|byte| **byte != 0).count(),
        ciborium::Value::Array(list) => {
            let numbers = list.iter().filter_map(ciborium::Value::as_integer);
            numbers.filter(|number| *number != 0.into()).count() + list.iter().map(bytes_in).sum::<usize>()
        }
        ciborium::Value::Map(pairs) => pairs.iter().map(|(_, item)| bytes_in(item)).sum(),
        _ => 0,
    }
}

fn row(state: &NodeState, kind: Kind) -> ciborium::Value {
    state.rows.get(kind, &[kind as u8]).unwrap().unwrap()
}

#[test]
fn a_demoted_node_holds_no_secret_of_its_epoch_but_those_of_messages() {
    let (_, [mut at_a, ..]) = trio(Suite::Classical);
    // five secrets of 32 random bytes
    assert!(bytes_in(&row(&at_a, Kind::EpochSecrets)) > 5 * 24);
    at_a.demote(THREAD, NodeId([4; 16]), &mut Batch::new());
    assert_eq!(bytes_in(&row(&at_a, Kind::EpochSecrets)), 0);
    assert_eq!(bytes_in(&row(&at_a, Kind::ResumptionPskStore)), 0);
    for kind in COMMIT_KINDS {
        assert!(!at_a.rows.has(kind), "{kind:?}");
    }
}

/// OpenMLS may keep secrets of past epochs in the next one: here it is told to keep none.
#[test]
fn a_child_holds_nothing_of_its_parent() {
    for suite in BOTH {
        let ([a, b, d], [mut at_a, _, at_d]) = trio(suite);
        let sealed = a.seal(&mut at_a, 1, b"parent");
        for made in [a.commit(&at_a, &[], &[]), a.commit(&at_a, &[], &[&b])] {
            let mut child = at_d.process(&d.c, &made.commit).unwrap().child;
            for state in [&at_d, &child, &made.child] {
                let past = |of: &ciborium::Value| {
                    let pairs = of.as_map().unwrap();
                    let named = |key: &ciborium::Value| key.as_text() == Some("past_epoch_trees");
                    pairs.iter().find(|(key, _)| named(key)).unwrap().1.clone()
                };
                assert_eq!(
                    past(&row(state, Kind::MessageSecrets)),
                    ciborium::Value::Array(vec![])
                );
                assert_eq!(bytes_in(&row(state, Kind::ResumptionPskStore)), 0);
                assert_eq!(state.rows.count(Kind::EpochKeyPairs), 1);
                assert!(!state.rows.has(Kind::EncryptionKeyPair));
            }
            assert_eq!(d.open(&mut child, 1, &sealed), Err(OpenError::Unauthentic));
        }
    }
}

#[test]
fn rows_of_another_format_are_an_error_and_no_panic() {
    let mut store = Memory::default();
    let mut batch = Batch::new();
    batch.put(table::node_row(THREAD, NodeId([4; 16]), &[4]), vec![0xff; 9]);
    store.apply(&batch).unwrap();
    assert!(NodeState::load(&store, THREAD, NodeId([4; 16])).is_err());
}

#[test]
fn key_packages_survive_the_store_serve_twice_and_are_forgotten() {
    let (a, mut b) = (Device::new(1), Device::new(2));
    let package = b.package(Suite::XWing);
    let (mut store, mut batch) = (Memory::default(), Batch::new());
    b.packages.save(&mut batch);
    store.apply(&batch).unwrap();
    b.packages = KeyPackages::load(&store).unwrap();
    let root = a.create(Suite::XWing);
    let left = a.commit(&root, std::slice::from_ref(&package), &[]);
    let right = a.commit(&root, std::slice::from_ref(&package), &[]);
    let (mut first, mut second) = (b.join(&left), b.join(&right));
    let mut rows = Batch::new();
    first.save(THREAD, NodeId([4; 16]), &mut rows);
    let kinds: Vec<u8> = rows.rows().map(|(key, _)| key[33]).collect();
    assert!(!kinds.contains(&(Kind::KeyPackage as u8)));
    let sealed = b.seal(&mut second, 1, b"second");
    assert_eq!(a.open(&mut { right.child }, 1, &sealed).unwrap(), b"second");
    b.packages.forget(&b.c, &package);
    let mut batch = Batch::new();
    b.packages.save(&mut batch);
    assert_eq!(batch.len(), 1);
    let late = b.packages.join(&b.c, &left.welcome.unwrap(), &left.tree);
    assert_eq!(late.unwrap_err(), OpenError::NoKeyPackage);
}

#[test]
fn a_key_package_says_whose_it_is() {
    for suite in BOTH {
        let mut b = Device::new(2);
        let package = b.package(suite);
        let info = key_package_info(&b.c, &package).unwrap();
        assert_eq!((info.key, info.suite), (b.keys.public(), suite));
        assert_eq!(info.cert, b.cert);
        assert_eq!(info.hash, key_package_hash(&package));
        let other = Device::new(1).create(suite);
        let refused = other.commit(&b.c, &b.keys, &[package.slice(1..)], &[]);
        assert_eq!(refused.err(), Some(MlsError::KeyPackage));
    }
}

/// A key package of `b` that expires in 2242: valid by any clock, but only by a clock.
fn expiring(b: &Device) -> KeyPackage {
    let rows = Rows::default();
    let provider = Provider {
        crypto: &b.c,
        rows: &rows,
    };
    let bundle = KeyPackage::builder()
        .leaf_node_capabilities(capabilities())
        .key_package_lifetime(Lifetime::init(0, 1 << 33))
        .mark_as_last_resort()
        .build(
            Suite::Classical.mls(),
            &provider,
            &LeafSigner(&b.keys),
            credential(&b.keys, &b.cert),
        );
    bundle.unwrap().into_key_package()
}

#[test]
fn what_needs_a_clock_or_more_than_adds_and_removes_is_refused() {
    let (a, at_a, b, at_b) = pair(Suite::Classical);
    let late = expiring(&Device::new(3));
    let bytes = late.tls_serialize_detached().unwrap();
    assert_eq!(key_package_info(&b.c, &bytes), Err(OpenError::Unauthentic));
    for add in [true, false] {
        let rows = at_a.rows.clone();
        let mut group = load_group(&rows).unwrap();
        let provider = Provider {
            crypto: &a.c,
            rows: &rows,
        };
        let builder = group.commit_builder();
        let builder = if add {
            builder.propose_adds([late.clone()])
        } else {
            builder
                .propose_group_context_extensions(Extensions::empty())
                .unwrap()
        };
        let staged = builder
            .load_psks(&rows)
            .unwrap()
            .build(&a.c, &a.c, &LeafSigner(&a.keys), |_| true)
            .unwrap()
            .stage_commit(&provider)
            .unwrap();
        let commit = serialize(&staged.into_messages().0).unwrap();
        assert_eq!(at_b.process(&b.c, &commit).err(), Some(OpenError::Unauthentic));
    }
}

#[test]
fn messages_and_commits_are_not_taken_for_each_other() {
    let (a, mut at_a, b, at_b) = pair(Suite::Classical);
    let id = node_id(&NodeId::default(), b"genesis");
    assert_ne!(id, node_id(&id, b"genesis"));
    at_a.parts(&a.c).0.set_aad(vec![]);
    let (group, provider) = at_a.parts(&a.c);
    let message = group.create_message(&provider, &LeafSigner(&a.keys), b"text");
    let message = serialize(&message.unwrap()).unwrap();
    assert_eq!(at_b.process(&b.c, &message).err(), Some(OpenError::NotContent));
    let sealed = a.seal(&mut at_a, 1, b"text");
    assert_eq!(node_tag(&sealed), Some([9; 4]));
    assert_eq!(at_b.process(&b.c, &sealed).err(), Some(OpenError::Unauthentic));
}

/// Everything that one run sends, in order, and the rows it leaves.
fn run(suite: Suite, seed: u8) -> Vec<Bytes> {
    let ([mut a, b, d], [at_a, at_b, _]) = trio(suite);
    a.c = Crypto::new([seed; 32]);
    let mut e = Device::new(5);
    let package = e.package(suite);
    let made = a.commit(&at_a, &[package], &[&d]);
    let mut next_b = at_b.process(&b.c, &made.commit).unwrap().child;
    let mut next_a = made.child;
    let texts = [a.seal(&mut next_a, 1, b"one"), a.seal(&mut next_a, 2, b"two")];
    assert_eq!(b.open(&mut next_b, 2, &texts[1]).unwrap(), b"two");
    let update = b.commit(&next_b, &[], &[]);
    let [one, two] = texts;
    vec![
        made.commit,
        made.welcome.unwrap(),
        made.tree,
        one,
        two,
        update.commit,
    ]
}

#[test]
fn equal_seeds_give_equal_bytes() {
    for suite in BOTH {
        assert_eq!(run(suite, 6), run(suite, 6));
        let (one, other) = (run(suite, 6), run(suite, 7));
        assert!(one.iter().zip(&other).all(|(a, b)| a != b));
    }
}

#[test]
fn a_commit_body_holds_hashes_in_place_of_key_packages() {
    for suite in BOTH {
        let (a, mut b, mut d) = (Device::new(1), Device::new(2), Device::new(3));
        let packages = [b.package(suite), d.package(suite)];
        let commit = a.commit(&a.create(suite), &packages, &[]).commit;
        let body = strip_key_packages(&commit, &packages);
        let saved: usize = packages.iter().map(Bytes::len).sum();
        assert!(body.len() <= commit.len() - saved + 2 * 33 + 3 * 2);
        let find = |hash: &[u8; 32]| packages.iter().find(|kp| key_package_hash(kp) == *hash).cloned();
        assert_eq!(restore_key_packages(&body, &find), Ok(Some(commit.clone())));
        assert_eq!(restore_key_packages(&body, &|_| None), Ok(None));
        let plain = strip_key_packages(&commit, &[]);
        assert_eq!(restore_key_packages(&plain, &|_| None), Ok(Some(commit.clone())));
        for end in 0..body.len().min(400) {
            let _ = restore_key_packages(&body[..end], &find);
        }
    }
}

#[test]
fn a_commit_body_has_one_form_and_a_bound() {
    let none = |_: &[u8; 32]| None;
    let big = |_: &[u8; 32]| Some(Bytes::from(vec![0; limits::MLS_COMMIT_BYTES]));
    let reference = [&[0][..], &[1; 32]].concat();
    assert!(restore_key_packages(&[1, 5, 1, 6], &none).is_err());
    assert!(restore_key_packages(&[2, 5], &none).is_err());
    assert!(restore_key_packages(&[0x80, 0x00], &none).is_err());
    assert!(restore_key_packages(&[0xff, 0xff, 0xff, 0x7f], &none).is_err());
    assert!(restore_key_packages(&reference, &big).is_ok());
    assert!(restore_key_packages(&reference.repeat(2), &big).is_err());
    assert!(restore_key_packages(&reference.repeat(limits::MEMBERS + 1), &none).is_err());
}

/// `n` variants of `bytes`, at least one byte changed, some cut, some longer.
fn mutants(bytes: &Bytes, n: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut random = crate::crypto::Stream::new([3; 32]);
    let bytes = bytes.clone();
    (0..n).map(move |i| {
        let mut out = bytes.to_vec();
        let near = if i % 2 == 0 { 80 } else { out.len() as u64 };
        for _ in 0..=random.below(3) {
            let at = random.below(near.min(out.len() as u64)) as usize;
            out[at] ^= 1 + random.below(255) as u8;
        }
        match i % 7 {
            0 => out.truncate(random.below(out.len() as u64) as usize),
            1 => out.extend_from_slice(&random.array::<9>()),
            _ => {}
        }
        out
    })
}

#[test]
fn mutated_bytes_are_refused_without_a_panic() {
    let (a, mut b) = (Device::new(1), Device::new(2));
    let package = b.package(Suite::Classical);
    let made = a.commit(&a.create(Suite::Classical), std::slice::from_ref(&package), &[]);
    let welcome = made.welcome.clone().unwrap();
    for bad in mutants(&welcome, 400) {
        assert!(b.packages.join(&b.c, &bad, &made.tree).is_err());
    }
    for bad in mutants(&made.tree, 400) {
        assert!(b.packages.join(&b.c, &welcome, &bad).is_err());
    }
    for bad in mutants(&package, 400) {
        assert!(key_package_info(&a.c, &bad).is_err());
    }
    let (mut at_a, mut at_b) = (made.child.clone(), b.join(&made));
    let sealed = a.seal(&mut at_a, 1, b"a text of some length");
    for bad in mutants(&sealed, 400) {
        assert!(at_b.open(&b.c, &place(1), &bad).is_err());
    }
    for commit in [
        a.commit(&at_a, &[], &[]).commit,
        a.commit(&at_a, &[], &[&b]).commit,
    ] {
        for bad in mutants(&commit, 200) {
            assert!(at_b.process(&b.c, &bad).is_err());
        }
        assert!(at_b.process(&b.c, &commit).is_ok());
    }
    assert!(b.open(&mut at_b, 1, &sealed).is_ok());
}

#[test]
fn sizes_of_a_node() {
    for suite in BOTH {
        let mut founder = Device::new(1);
        let own = founder.package(suite).len();
        let mut others: Vec<_> = (2..=8).map(Device::new).collect();
        let packages: Vec<_> = others.iter_mut().map(|d| d.package(suite)).collect();
        let made = founder.commit(&founder.create(suite), &packages, &[]);
        let body = strip_key_packages(&made.commit, &packages);
        let removal = founder.commit(&made.child, &[], &[&others[6]]);
        let rows = made.child.rows.size_bytes();
        eprintln!(
            "{suite:?}, 8 members, 200 B certificates: key package {own}, add 7 {} as body {}, \
             welcome {}, tree {}, removal {}, rows {rows}",
            made.commit.len(),
            body.len(),
            made.welcome.unwrap().len(),
            made.tree.len(),
            removal.commit.len(),
        );
        assert!(rows < 256 * 1024);
    }
}
