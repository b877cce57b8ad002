//! New leaves: for a member that cannot use the newest node, and for all when the suite changes.

use super::command::{Command, CommandError};
use super::tests::Table;
use super::tests_hostile::three;
use super::*;
use crate::group::control::Act;
use crate::group::mls::{NodeState, Suite};
use crate::id::NodeId;
use crate::store::table;

/// The member's keys of the newest node are of no use to it, as if its author had sealed them wrongly.
fn strand(table: &mut Table, at: usize, thread: ThreadId) -> (NodeId, NodeState) {
    table.hack(at, thread, |t, ctx| {
        let node = t.head;
        let state = t.nodes.remove(&node).unwrap();
        t.refused.insert(node);
        t.settle(ctx);
        assert_eq!(t.head, node, "others stand there, so the thread goes on from it");
        assert!(!t.holds(node));
        (node, state)
    })
}

fn suite(table: &Table, at: usize, thread: ThreadId) -> Option<Suite> {
    let t = table.thread(at, thread);
    assert_eq!(t.head, t.vote);
    t.nodes.get(&t.head).and_then(|node| node.suite())
}

fn chat(table: &mut Table, by: &[usize], thread: ThreadId, ms: u64) {
    let each = ms / by.len() as u64;
    for at in by {
        table.note(*at, thread, "on we go");
        table.pass(each);
    }
}

#[test]
fn a_member_that_cannot_use_the_newest_node_gets_a_new_leaf() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let (lost, _) = strand(&mut table, nurse, thread);
    let missed = table.note(medic, thread, "while the nurse was without keys");
    chat(&mut table, &[medic, doctor, medic, doctor], thread, 60_000);
    assert_eq!(table.thread(nurse, thread).head, lost);
    assert_eq!(table.text(nurse, thread, missed), None);
    table.pass(600_000);
    let head = table.thread(nurse, thread).head;
    assert_ne!(head, lost);
    for at in [medic, doctor, nurse] {
        let t = table.thread(at, thread);
        assert_eq!((t.head, t.vote), (head, head));
        assert_eq!(t.membership.members.len(), 3);
    }
    let text = table.text(nurse, thread, missed);
    assert_eq!(text.as_deref(), Some("while the nurse was without keys"));
    let back = table.note(nurse, thread, "back");
    table.pass(10_000);
    assert_eq!(table.text(doctor, thread, back).as_deref(), Some("back"));
    table.reopen(nurse);
    assert_eq!(table.thread(nurse, thread).head, head);
}

#[test]
fn a_request_is_taken_back_when_the_keys_come_after_all() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let (lost, state) = strand(&mut table, nurse, thread);
    chat(&mut table, &[medic, doctor, medic, doctor], thread, 60_000);
    table.cut(medic);
    table.cut(doctor);
    table.pass(200_000);
    let asks = |table: &Table, at: usize| {
        let t = table.thread(at, thread);
        t.membership.rejoins.values().any(|r| r.kp.is_some())
    };
    assert!(asks(&table, nurse));
    table.hack(nurse, thread, |t, ctx| {
        t.refused.remove(&lost);
        t.nodes.insert(lost, state);
        t.settle(ctx);
    });
    assert!(!asks(&table, nurse));
    table.connect(medic, nurse);
    table.connect(doctor, nurse);
    table.pass(100_000);
    assert!(!asks(&table, medic));
    assert_eq!(table.thread(medic, thread).head, lost, "nobody had to commit");
}

#[test]
fn a_thread_goes_on_with_another_suite_when_all_have_answered() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let all = [medic, doctor, nurse];
    assert_eq!(suite(&table, medic, thread), Some(Suite::Classical));
    table.cut(nurse);
    let ask = |suite| Command::Refound { thread, suite };
    table.command(doctor, ask(Some(Suite::XWing)));
    table.connect(medic, doctor);
    table.pass(120_000);
    let between = table.note(medic, thread, "still on the old keys");
    table.pass(10_000);
    assert_eq!(suite(&table, medic, thread), Some(Suite::Classical));
    assert_eq!(
        table.text(doctor, thread, between).as_deref(),
        Some("still on the old keys")
    );
    table.connect(medic, nurse);
    table.connect(doctor, nurse);
    table.pass(120_000);
    for at in all {
        assert_eq!(suite(&table, at, thread), Some(Suite::XWing));
        assert_eq!(
            table.text(at, thread, between).as_deref(),
            Some("still on the old keys")
        );
    }
    for at in all {
        let note = table.note(at, thread, "on the new keys");
        table.pass(10_000);
        for reader in all {
            assert_eq!(
                table.text(reader, thread, note).as_deref(),
                Some("on the new keys")
            );
        }
    }
    for none in [Suite::XWing, Suite::Classical] {
        let again = table.try_command(medic, ask(Some(none)));
        assert_eq!(again.unwrap_err(), CommandError::NoChange);
    }
    // a member that asks for a weaker one all the same is answered by nobody
    table.hack(nurse, thread, |t, ctx| {
        let suite = Suite::Classical.to_u16();
        t.put_op(ctx, Act::Refound { suite }).unwrap();
    });
    table.pass(120_000);
    assert_eq!(suite(&table, medic, thread), Some(Suite::XWing));
    table.reopen(nurse);
    assert_eq!(suite(&table, nurse, thread), Some(Suite::XWing));
}

#[test]
fn a_half_cannot_found_for_the_rest_and_a_request_can_be_taken_back() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let head = table.thread(medic, thread).head;
    table.cut(nurse);
    table.connect(medic, doctor);
    let ask = |suite| Command::Refound { thread, suite };
    let none = table.try_command(doctor, ask(None));
    assert_eq!(none.unwrap_err(), CommandError::NoChange);
    table.command(doctor, ask(Some(Suite::XWing)));
    table.pass(3_600_000);
    assert_eq!(table.thread(medic, thread).head, head);
    table.command(doctor, ask(None));
    table.pass(10_000);
    table.connect(medic, nurse);
    table.pass(120_000);
    for at in [medic, doctor, nurse] {
        assert_eq!(table.thread(at, thread).head, head);
        assert!(!table.thread(at, thread).asks_refound(table.dev(doctor)));
    }
}

#[test]
fn who_may_not_ask_yet_fills_no_store_with_key_packages() {
    let (mut table, medic, doctor, nurse, thread) = three();
    strand(&mut table, nurse, thread);
    chat(&mut table, &[medic, doctor, medic, doctor], thread, 60_000);
    // without a key that no removed device holds nothing may be written
    let makers = table.hack(nurse, thread, |t, _| std::mem::take(&mut t.makers));
    table.cut(nurse);
    let packages = |table: &Table| table.prefix(nurse, &table::key_package_row(&[])).len();
    let before = packages(&table);
    table.pass(7_200_000);
    assert_eq!(packages(&table), before);
    table.hack(nurse, thread, |t, _| t.makers = makers);
    table.pass(7_200_000);
    let asked = packages(&table) - before;
    assert!(asked > 0, "it may ask now");
    table.pass(7_200_000);
    assert_eq!(packages(&table) - before, asked, "one request is out");
}
