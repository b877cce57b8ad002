use super::*;
use crate::blobs::{Blobs, Chunks};
use crate::directory::{Role, ThreadKind};
use crate::golden;
use crate::group::fixture::{self, Device, OWNER};
use crate::id::{Kid, NodeId, Object8};
use crate::ranges::{Log, Ranges};
use crate::time::Hlc;

const THREAD: ThreadId = ThreadId([7; 16]);

fn device() -> Device {
    Device::new(1, Role::Physician, OWNER)
}

fn add() -> Object {
    Object::Op(Op {
        counter: 4,
        act: fixture::add(&Device::new(2, Role::Nurse, OWNER), 1),
        past: Past::Numbers(vec![(Slot([1; 4]), 3), (Slot([2; 4]), 300)]),
    })
}

fn by_id() -> Object {
    let Object::Op(mut op) = add() else { unreachable!() };
    op.past = Past::Ops(vec![OpId([1; 16]), OpId([2; 16])]);
    Object::Op(op)
}

fn remove() -> Object {
    Object::Op(Op {
        counter: 5,
        act: fixture::remove(&Device::new(2, Role::Nurse, OWNER), 1, Why::Lost),
        past: Past::Numbers(vec![]),
    })
}

fn commit() -> Object {
    Object::Commit(Commit {
        parent: NodeId([2; 16]),
        author: device().slot(THREAD, 1),
        made_by: MadeBy::Founder,
        adds: vec![OpId([1; 16]), OpId([2; 16])],
        removes: vec![OpId([3; 16])],
        key: None,
        body: Bytes::from_static(b"mls bytes"),
    })
}

fn bound() -> Object {
    let Object::Commit(mut commit) = commit() else {
        unreachable!()
    };
    commit.made_by = MadeBy::Member;
    commit.key = Some([7; 32]);
    Object::Commit(commit)
}

#[test]
fn the_node_of_a_bound_commit_covers_its_header() {
    let Object::Commit(commit) = bound() else {
        unreachable!()
    };
    let mut others = vec![commit.clone(); 4];
    others[0].author = Slot([9; 4]);
    others[1].adds.pop();
    others[2].removes.clear();
    others[3].key = Some([8; 32]);
    for other in others {
        assert_ne!(other.node(b"mls"), commit.node(b"mls"));
    }
    assert_ne!(commit.node(b"mls"), commit.node(b"other"));
}

fn head() -> Object {
    let mut open = Ranges::new();
    for seq in [1, 2, 3, 7] {
        open.insert(Slot([5; 4]), Log::Content, seq);
    }
    let mut blobs = Blobs::new();
    blobs.0.insert((Object8([6; 8]), 2), Chunks::all_of(12));
    Object::Head(Head {
        counter: 9,
        slot: device().slot(THREAD, 1),
        seq: 3,
        chain: [4; 32],
        node: NodeId([2; 16]),
        hlc: Hlc(77),
        open,
        blobs,
        kids: vec![Kid([1; 4]), Kid([2; 4])],
    })
}

fn signed(object: &Object) -> Vec<u8> {
    let device = device();
    sign(object, THREAD, device.slot(THREAD, 1), &device.keys).unwrap()
}

fn open(bytes: &[u8]) -> Result<Verified, ControlError> {
    let device = device();
    Verified::open(bytes, THREAD, device.slot(THREAD, 1), &device.keys.public())
}

fn samples() -> Vec<(&'static str, Object)> {
    vec![
        ("control_op_add", add()),
        ("control_op_by_id", by_id()),
        ("control_op_remove", remove()),
        ("control_commit", commit()),
        ("control_commit_bound", bound()),
        ("control_head", head()),
        (
            "control_key_package",
            Object::KeyPackage(Bytes::from_static(b"key package")),
        ),
    ]
}

#[test]
fn layouts_have_not_changed() {
    for (name, object) in samples() {
        let bytes = signed(&object);
        golden::check(name, &[(name, &bytes)]);
        assert_eq!(peek(&bytes).as_ref(), Ok(&object));
        let verified = open(&bytes).unwrap();
        assert_eq!((verified.object(), verified.id()), (&object, OpId::of(&bytes)));
    }
    let genesis = fixture::genesis(&device(), ThreadKind::Patient);
    golden::check("control_genesis", &[("control_genesis", genesis_bytes())]);
    assert_eq!(Verified::genesis(&genesis_bytes()), Ok(genesis));
}

fn genesis_bytes() -> Vec<u8> {
    let verified = fixture::genesis(&device(), ThreadKind::Patient);
    sign(
        verified.object(),
        ThreadId::default(),
        Slot::default(),
        &device().keys,
    )
    .unwrap()
}

#[test]
fn an_object_is_bound_to_its_thread_slot_and_author() {
    let device = device();
    let slot = device.slot(THREAD, 1);
    let key = device.keys.public();
    for (_, object) in samples() {
        let bytes = signed(&object);
        let other_thread = Verified::open(&bytes, ThreadId([8; 16]), slot, &key);
        assert_eq!(other_thread, Err(ControlError::BadSignature));
        let other_key = Verified::open(
            &bytes,
            THREAD,
            slot,
            &Device::new(2, Role::Nurse, OWNER).keys.public(),
        );
        assert_eq!(other_key, Err(ControlError::BadSignature));
        assert!(Verified::open(&bytes, THREAD, Slot([1; 4]), &key).is_err());
    }
    assert!(sign(&head(), THREAD, Slot([1; 4]), &device.keys).is_err());
}

#[test]
fn a_genesis_makes_one_thread_only() {
    let bytes = genesis_bytes();
    let verified = Verified::genesis(&bytes).unwrap();
    let (thread, slot, key) = (verified.thread(), verified.slot(), *verified.author());
    assert_eq!(
        Verified::open(&bytes, THREAD, slot, &key),
        Err(ControlError::WrongThread)
    );
    let elsewhere = Verified::open(&bytes, thread, Slot([1; 4]), &key);
    assert_eq!(elsewhere, Err(ControlError::WrongSlot));
    assert_eq!(
        Verified::open(&bytes, thread, slot, &[1; 32]),
        Err(ControlError::BadSignature)
    );
    assert!(Verified::genesis(&signed(&head())).is_err());
}

#[test]
fn an_op_has_one_encoding() {
    let good = signed(&remove());
    // kind, counter, t, dev, inc, then role: a Remove has none
    let role = 1 + 4 + 1 + 16 + 4;
    assert_eq!((good[role], good[role + 1]), (0, 0));
    let mut bad = good.clone();
    bad[role] = 3;
    assert_eq!(peek(&bad), Err(Malformed("unused field is set")));
    let mut bad = good.clone();
    bad[role + 1] = 2;
    assert!(peek(&bad).is_err());
    let mut acts = vec![
        Act::Bad {
            node: NodeId([1; 16]),
        },
        Act::Rejoin { kp: None },
        Act::Rejoin { kp: Some([1; 32]) },
        Act::Erase {
            target: [1; 16],
            reason: 3,
        },
    ];
    let nurse = Device::new(2, Role::Nurse, OWNER);
    acts.extend((0..=9).map(|n| fixture::remove(&nurse, 1, Why::from_u8(n))));
    for act in acts {
        let op = Object::Op(Op {
            counter: 1,
            act,
            past: Past::Ops(vec![]),
        });
        assert_eq!(peek(&signed(&op)), Ok(op));
    }
}

#[test]
fn what_others_would_refuse_is_not_signed() {
    let device = device();
    let refused = |object| sign(&object, THREAD, device.slot(THREAD, 1), &device.keys).is_err();
    let Object::Op(mut op) = add() else { panic!() };
    op.past = Past::Numbers(vec![(Slot([2; 4]), 300), (Slot([1; 4]), 3)]);
    assert!(refused(Object::Op(op.clone())));
    for unsorted in [[2, 1], [1, 1]] {
        op.past = Past::Ops(unsorted.map(|n| OpId([n; 16])).to_vec());
        assert!(refused(Object::Op(op.clone())));
    }
    op.past = Past::Ops(vec![]);
    op.counter = 0;
    assert!(refused(Object::Op(op)));
    let Object::Head(head) = head() else { panic!() };
    let mut control = head.clone();
    control.open.insert(Slot([5; 4]), Log::Control, 1);
    assert!(refused(Object::Head(control)));
    let mut wide = head;
    for n in 0..=limits::OBJECTS_PER_HEAD as u8 {
        wide.blobs.0.insert((Object8([n; 8]), 0), Chunks::all_of(1));
    }
    assert!(refused(Object::Head(wide)));
    assert!(refused(Object::KeyPackage(
        vec![0; limits::KEY_PACKAGE_BYTES + 1].into()
    )));
    assert!(refused(Object::KeyPackage(Bytes::new())));
    let Object::Commit(mut commit) = commit() else {
        panic!()
    };
    commit.body = vec![0; limits::CONTROL_BYTES].into();
    assert!(refused(Object::Commit(commit)));
}

#[test]
fn mutated_objects_are_never_believed() {
    let key = device().keys.public();
    let slot = Slot::of(THREAD, &key, 1);
    for (_, object) in samples() {
        golden::mutate(&signed(&object), 2000, |bad| {
            assert!(Verified::open(bad, THREAD, slot, &key).is_err());
        });
    }
    let genesis = genesis_bytes();
    let thread = ThreadId::of_genesis(&genesis);
    let slot = Slot::of(thread, &key, 1);
    golden::mutate(&genesis, 2000, |bad| {
        assert!(Verified::genesis(bad).is_err());
        assert!(Verified::open(bad, thread, slot, &key).is_err());
    });
}
