//! Deletion: which nodes lose their secrets when, and that these are gone.

use super::tests::*;
use super::tests_hostile::three;
use super::*;
use crate::directory::Role;
use crate::envelope::{Class, Envelope};
use crate::group::mls::{NodeState, SealPlace};
use crate::group::welcome::Welcome;
use crate::id::{NodeId, Slot};
use crate::mailbox::envelope_of_row;
use crate::store::{Memory, rows};

const MINUTE: u64 = 60_000;

/// Nodes that the device holds, with whether a commit could follow from each.
fn held(table: &Table, at: usize, thread: ThreadId) -> Vec<(NodeId, bool)> {
    let nodes = table.thread(at, thread).nodes.iter();
    nodes.map(|(node, state)| (*node, state.can_commit())).collect()
}

/// Nodes of which the store has any row.
fn stored(store: &Memory, thread: ThreadId) -> BTreeSet<NodeId> {
    let all = rows(store, &table::nodes_all(thread)).unwrap();
    let node = |key: &[u8]| NodeId::from_prefix(&key[17..]).unwrap();
    all.iter().map(|(key, _)| node(key)).collect()
}

fn head(table: &Table, at: usize, thread: ThreadId) -> NodeId {
    table.thread(at, thread).head
}

/// A node as whoever has a copy of the store has it.
fn stolen(store: &Memory, thread: ThreadId, node: NodeId) -> Option<NodeState> {
    NodeState::load(&store.clone(), thread, node).unwrap()
}

#[test]
fn nodes_go_once_everybody_stands_below_and_what_was_under_way_had_its_time() {
    let (mut table, medic, doctor, nurse, thread) = three();
    table.pass(8 * MINUTE);
    let all = [medic, doctor, nurse];
    let newest = head(&table, medic, thread);
    let commits = |table: &Table| {
        held(table, medic, thread)
            .into_iter()
            .filter(|(_, can)| *can)
            .count()
    };
    assert_eq!(commits(&table), 3, "all may still go to another branch");
    table.pass(4 * MINUTE);
    // the founder made three, the doctor was welcomed to the second, the nurse to the third
    for (at, count) in [(medic, 3), (doctor, 2), (nurse, 1)] {
        let held = held(&table, at, thread);
        assert_eq!(held.len(), count, "at {at}");
        assert!(held.iter().all(|(node, commits)| *commits == (*node == newest)));
    }
    // what one device counted before it is switched off counts after
    table.pass(80 * MINUTE);
    table.reopen(medic);
    table.connect(medic, doctor);
    table.connect(medic, nurse);
    table.pass(30 * MINUTE);
    assert_eq!(held(&table, medic, thread).len(), 3, "less than two hours");
    table.pass(30 * MINUTE);
    for at in all {
        assert_eq!(held(&table, at, thread), [(newest, true)], "at {at}");
        assert_eq!(stored(&table.boxes[at].store, thread), [newest].into(), "at {at}");
    }
    table.reopen(medic);
    table.connect(medic, doctor);
    table.connect(medic, nurse);
    let note = table.note(medic, thread, "as before");
    table.pass(MINUTE);
    assert_eq!(table.text(nurse, thread, note).as_deref(), Some("as before"));
    assert_eq!(held(&table, medic, thread), [(newest, true)]);
    assert_eq!(table.faults(), []);
}

#[test]
fn a_member_that_is_away_can_go_on_from_where_it_stands() {
    let (mut table, medic, doctor, nurse, thread) = three();
    table.pass(MINUTE);
    let parent = head(&table, medic, thread);
    table.cut(doctor);
    let surgeon = table.seat(&Org1::new(), 9, Part::Member, Some(Role::Cardiologist));
    table.add(medic, surgeon, thread, Role::Cardiologist);
    table.connect(medic, surgeon);
    table.pass(5 * 60 * MINUTE);
    for at in [medic, nurse] {
        assert!(held(&table, at, thread).contains(&(parent, true)), "at {at}");
    }
    // he took somebody in too: that branch is read
    let student = table.seat(&Org1::new(), 10, Part::Member, Some(Role::Cardiologist));
    table.add(doctor, student, thread, Role::Cardiologist);
    table.connect(doctor, student);
    table.pass(MINUTE);
    let alone = table.note(student, thread, "alone");
    table.pass(MINUTE);
    table.connect(doctor, medic);
    table.pass(10 * MINUTE);
    for at in [medic, nurse, surgeon, doctor] {
        assert_eq!(table.text(at, thread, alone).as_deref(), Some("alone"), "at {at}");
        let newest = head(&table, at, thread);
        let of_parent = held(&table, at, thread).into_iter().find(|(n, _)| *n == parent);
        assert!(of_parent.is_none_or(|(_, commits)| !commits), "at {at}");
        assert!(held(&table, at, thread).contains(&(newest, true)));
    }
    table.pass(3 * 60 * MINUTE);
    for at in [medic, nurse, surgeon, doctor, student] {
        let newest = head(&table, at, thread);
        assert_eq!(stored(&table.boxes[at].store, thread), [newest].into(), "at {at}");
    }
}

/// Somebody records the wire and takes the device later: of a demoted node it learns no child, of a dropped
/// one nothing.
#[test]
fn a_copy_of_the_store_has_no_deleted_secret() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let parent = head(&table, medic, thread);
    let place = SealPlace {
        class: Class::Text,
        slot: Slot([7; 4]),
        seq: 1,
        node: parent,
    };
    // a commit and a message that never arrived
    let (sibling, sealed) = table.hack(nurse, thread, |t, ctx| {
        let mut state = t.nodes[&parent].clone();
        let keys = &ctx.member.device;
        let made = state.commit(ctx.crypto, keys, &[], &[]).unwrap();
        let sealed = state.seal(ctx.crypto, keys, &place, 0, b"recorded").unwrap();
        (made.commit, sealed)
    });
    let copy = |table: &Table| table.boxes[medic].store.clone();
    let crypto = Crypto::new([3; 32]);
    let before = copy(&table);
    let surgeon = table.seat(&Org1::new(), 9, Part::Member, Some(Role::Cardiologist));
    table.add(doctor, surgeon, thread, Role::Cardiologist);
    table.connect(doctor, surgeon);
    table.pass(12 * MINUTE);
    let demoted = copy(&table);
    table.pass(150 * MINUTE);
    let dropped = copy(&table);
    let opens = |store: &Memory| {
        stored(store, thread).into_iter().any(|node| {
            let mut state = stolen(store, thread, node).unwrap();
            state.open(&crypto, &place, &sealed).is_ok()
        })
    };
    let derives = |store: &Memory| {
        stored(store, thread).into_iter().any(|node| {
            stolen(store, thread, node)
                .unwrap()
                .process(&crypto, &sibling)
                .is_ok()
        })
    };
    assert_eq!((derives(&before), opens(&before)), (true, true));
    assert_eq!((derives(&demoted), opens(&demoted)), (false, true));
    assert_eq!((derives(&dropped), opens(&dropped)), (false, false));
    assert!(stolen(&dropped, thread, parent).is_none() && !stored(&dropped, thread).contains(&parent));
}

#[test]
fn a_welcome_does_not_bring_a_dropped_node_back() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    let welcomes = rows(&table.boxes[medic].store, &table::carried_all()).unwrap();
    let welcomes = welcomes.iter().filter_map(|(_, row)| envelope_of_row(row));
    let welcomes = welcomes.filter_map(|bytes| Welcome::decode(&Envelope::decode(&bytes).ok()?.payload).ok());
    let packages = KeyPackages::load(&table.boxes[doctor].store).unwrap();
    let crypto = Crypto::new([3; 32]);
    let mut joined = welcomes.filter_map(|w| {
        let state = packages.join(&crypto, &w.welcome, &w.tree).ok()?;
        Some((w, state))
    });
    let (welcome, state) = joined
        .next()
        .expect("the founder carries what it wrote to others");
    table.connect(medic, doctor);
    let nurse = table.seat(&Org1::new(), 4, Part::Member, Some(Role::Nurse));
    table.add(medic, nurse, thread, Role::Nurse);
    table.connect(medic, nurse);
    table.pass(MINUTE);
    assert!(table.thread(doctor, thread).nodes.contains_key(&welcome.node));
    table.pass(150 * MINUTE);
    assert!(!table.thread(doctor, thread).nodes.contains_key(&welcome.node));
    table.reopen(doctor);
    table.hack(doctor, thread, |t, ctx| assert!(t.welcomed(ctx, &welcome, state)));
    table.pass(MINUTE);
    assert!(!table.thread(doctor, thread).nodes.contains_key(&welcome.node));
    assert_eq!(stored(&table.boxes[doctor].store, thread).len(), 1);
}

/// Two remove each other: one removal turns out void, and the other branch is the one that counts.
#[test]
fn whoever_was_removed_may_turn_out_to_be_a_member() {
    let (mut table, medic, doctor, nurse, thread) = three();
    table.pass(MINUTE);
    let parent = head(&table, medic, thread);
    table.cut(medic);
    let (dev, other) = (table.dev(medic), table.dev(doctor));
    table.command(doctor, Command::Remove { thread, dev });
    table.command(medic, Command::Remove { thread, dev: other });
    table.pass(3 * 60 * MINUTE);
    let members = |at: usize| table.boxes[at].machine.view(thread).unwrap().members.len();
    assert_eq!([members(doctor), members(medic)], [2, 2]);
    for at in [medic, doctor, nurse] {
        assert!(held(&table, at, thread).contains(&(parent, true)), "at {at}");
    }
}

#[test]
fn nobody_is_waited_for_longer_than_a_day() {
    let (mut table, medic, doctor, nurse, thread) = three();
    table.pass(MINUTE);
    let parent = head(&table, medic, thread);
    table.cut(doctor);
    // one is removed, one is away: neither will ever sign for what follows
    let surgeon = table.seat(&Org1::new(), 9, Part::Member, Some(Role::Cardiologist));
    table.add(medic, surgeon, thread, Role::Cardiologist);
    let dev = table.dev(nurse);
    table.command(medic, Command::Remove { thread, dev });
    table.connect(medic, surgeon);
    let has = |table: &Table, commits: bool| held(table, medic, thread).contains(&(parent, commits));
    table.pass(12 * 60 * MINUTE);
    // a reboot: the monotonic clock begins anew, what was counted stays
    let uptime_us = std::mem::take(&mut table.now_us);
    table.reopen(medic);
    table.reopen(surgeon);
    table.connect(medic, surgeon);
    table.pass(11 * 60 * MINUTE);
    assert!(has(&table, true), "less than a day");
    table.pass(2 * 60 * MINUTE);
    assert!(uptime_us > 0 && has(&table, false), "demoted");
    table.pass(6 * 24 * 60 * MINUTE);
    assert!(has(&table, false), "a message may still come");
    table.pass(26 * 60 * MINUTE);
    let newest = head(&table, medic, thread);
    for at in [medic, surgeon] {
        assert_eq!(stored(&table.boxes[at].store, thread), [newest].into(), "at {at}");
    }
}
