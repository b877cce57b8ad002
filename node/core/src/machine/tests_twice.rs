//! Members who sign two things for one place and show each to another half: both halves come to the same.

use super::tests::*;
use super::*;
use crate::directory::Role;
use crate::envelope::{Class, Envelope, Place};
use crate::group::control::{self, Act, Commit, Head, MadeBy, Object, Op, Why};
use crate::group::mls::Suite;
use crate::id::{NodeId, OpId, Slot};
use crate::limits;
use crate::ranges::Log;
use bytes::Bytes;

/// So many physicians in one thread, each linked to each.
pub(super) fn physicians(n: usize) -> (Table, Vec<usize>, ThreadId) {
    let org = Org1::new();
    let mut table = Table::default();
    let all: Vec<usize> = (1..=n as u8)
        .map(|n| table.seat(&org, n, Part::Member, Some(Role::Cardiologist)))
        .collect();
    let thread = new_thread(&mut table, all[0], Suite::Classical);
    for other in &all[1..] {
        table.add(all[0], *other, thread, Role::Cardiologist);
    }
    link(&mut table, &all);
    table.pass(60_000);
    (table, all, thread)
}

pub(super) fn link(table: &mut Table, all: &[usize]) {
    for (n, a) in all.iter().enumerate() {
        for b in &all[..n] {
            table.connect(*a, *b);
        }
    }
}

fn cut(table: &mut Table, all: &[usize]) {
    all.iter().for_each(|at| table.cut(*at));
}

/// What the object would be at the author's next place, sealed and signed; nothing of it is kept there.
pub(super) fn signed_aside(table: &mut Table, at: usize, thread: ThreadId, object: Object) -> Bytes {
    table.hack(at, thread, |t, ctx| {
        let (slot, _) = t.me(ctx.dev()).unwrap();
        let (log, seq) = match &object {
            Object::Head(head) => (Log::Heads, head.counter),
            _ => (Log::Control, ctx.counters(t.id).unwrap().control + 1),
        };
        let plaintext = control::sign(&object, t.id, slot, &ctx.member.device).unwrap();
        let handle = t.handle_now().unwrap();
        let class = Class::Text;
        Envelope {
            class,
            ttl: class.ttl(),
            handle,
            place: Place::Log { slot, log, seq },
            payload: t
                .ring
                .by_handle(handle)
                .unwrap()
                .seal((slot, log, seq), &plaintext),
        }
        .encode()
    })
}

/// A member gets an envelope, by whatever way.
pub(super) fn give(table: &mut Table, at: usize, thread: ThreadId, bytes: &Bytes) {
    let envelope = Envelope::decode(bytes).unwrap();
    table.hack(at, thread, |t, ctx| t.absorb(ctx, &envelope, bytes));
}

pub(super) fn next_op(table: &Table, at: usize, thread: ThreadId, act: Act) -> Object {
    let dev = table.dev(at);
    let t = table.thread(at, thread);
    let (slot, _) = t.me(dev).unwrap();
    let (counter, past) = t.membership.next_op(slot);
    Object::Op(Op { counter, act, past })
}

pub(super) fn removal(table: &Table, whom: usize, thread: ThreadId) -> Act {
    let (dev, t) = (table.dev(whom), table.thread(whom, thread));
    let (inc, as_of) = (t.me(dev).unwrap().1, t.vote);
    let why = Why::Unsaid;
    Act::Remove { dev, inc, why, as_of }
}

fn stand(table: &Table, at: usize, thread: ThreadId) -> (NodeId, Vec<Slot>) {
    let t = table.thread(at, thread);
    (t.head, t.membership.members.values().map(|m| m.slot).collect())
}

#[test]
fn two_ops_with_one_number_reach_both_halves() {
    for restart in [false, true] {
        let (mut table, all, thread) = physicians(5);
        let [left, right, other, victim, insider] = all[..] else {
            panic!("five")
        };
        cut(&mut table, &all);
        // to the right a harmless one, to the left a removal, at the same place
        let harmless = next_op(&table, insider, thread, Act::Rejoin { kp: None });
        let harmless = signed_aside(&mut table, insider, thread, harmless);
        give(&mut table, right, thread, &harmless);
        let act = removal(&table, victim, thread);
        let op = table.hack(insider, thread, |t, ctx| t.put_op(ctx, act).unwrap());
        table.connect(insider, left);
        table.pass(5_000);
        table.cut(insider);
        let has = |table: &Table, at: usize| {
            let ops = table.thread(at, thread).ops.as_ref().unwrap();
            ops.get(op).is_some()
        };
        assert!(has(&table, left) && !has(&table, right));
        link(&mut table, &[left, right, other]);
        table.pass(60_000);
        if restart {
            for at in [left, right] {
                table.cut(at);
                table.reopen(at);
            }
            link(&mut table, &[left, right, other]);
        }
        table.pass(300_000);
        assert!(has(&table, right), "asked for by its id");
        let expected = stand(&table, left, thread);
        assert_eq!(expected.1.len(), 4, "the removal counts");
        for at in [right, other] {
            assert_eq!(stand(&table, at, thread), expected, "at {at}");
        }
        let note = table.note(right, thread, "we are four");
        table.pass(10_000);
        assert_eq!(table.text(left, thread, note).as_deref(), Some("we are four"));
        assert_eq!(table.text(victim, thread, note), None);
    }
}

#[test]
fn a_member_that_stands_on_two_branches_cannot_keep_the_halves_apart() {
    let (mut table, all, thread) = physicians(5);
    let insider = all[4];
    let halves = [[all[0], all[1]], [all[2], all[3]]];
    cut(&mut table, &all);
    let newcomers = [7, 8].map(|n| table.seat(&Org1::new(), n, Part::Member, Some(Role::Nurse)));
    for (half, newcomer) in halves.iter().zip(newcomers) {
        link(&mut table, half);
        table.add(half[0], newcomer, thread, Role::Nurse);
        table.connect(half[0], newcomer);
    }
    table.pass(20_000);
    // the insider shows each half a head with the same number on that half's node
    let dev = table.dev(insider);
    let nodes = halves.map(|half| table.thread(half[0], thread).head);
    assert_ne!(nodes[0], nodes[1]);
    let t = table.thread(insider, thread);
    let (slot, _) = t.me(dev).unwrap();
    let old = t.heads[&slot].head.clone();
    for (half, node) in halves.iter().zip(nodes) {
        let head = Head {
            counter: old.counter + 1,
            node,
            ..old.clone()
        };
        let head = signed_aside(&mut table, insider, thread, Object::Head(head));
        for at in half {
            give(&mut table, *at, thread, &head);
            assert_eq!(table.thread(*at, thread).heads[&slot].head.node, node);
        }
    }
    let both: Vec<usize> = halves.concat().into_iter().chain(newcomers).collect();
    for at in &both {
        // nobody remembers what another one lacked, and would send it unasked
        table.cut(*at);
        table.reopen(*at);
    }
    link(&mut table, &both);
    table.pass(20_000);
    let apart = stand(&table, all[0], thread).0 != stand(&table, all[2], thread).0;
    assert!(apart, "each half believes that the insider stands with it");
    table.pass(600_000);
    let expected = stand(&table, all[0], thread);
    for at in &both {
        assert_eq!(stand(&table, *at, thread), expected, "at {at}");
    }
    assert_eq!(expected.1.len(), 7);
    let note = table.note(all[2], thread, "one again");
    table.pass(30_000);
    assert_eq!(table.text(all[0], thread, note).as_deref(), Some("one again"));
}

#[test]
fn what_does_not_exist_is_asked_for_less_and_less() {
    let (mut table, all, thread) = physicians(3);
    let insider = all[2];
    let Object::Op(mut op) = next_op(&table, insider, thread, Act::Rejoin { kp: None }) else {
        panic!("an op")
    };
    op.past = control::Past::Ops(vec![OpId([9; 16])]);
    table.hack(insider, thread, |t, ctx| {
        let (slot, _) = t.me(ctx.dev()).unwrap();
        let handle = t.handle_now().unwrap();
        t.put_control(ctx, slot, handle, Class::Text, Object::Op(op))
            .unwrap();
    });
    table.pass(10_000);
    table.tape = Some(Vec::new());
    table.pass(3_600_000);
    let tape = table.tape.take().unwrap();
    let bytes: usize = tape.iter().map(|(_, bytes)| bytes.len()).sum();
    let frames = tape.len();
    assert!(
        frames > 0 && bytes < 20_000,
        "{frames} frames, {bytes} bytes in an hour"
    );
    let note = table.note(all[0], thread, "goes on");
    table.pass(10_000);
    assert_eq!(table.text(all[1], thread, note).as_deref(), Some("goes on"));
}

#[test]
fn a_flood_of_second_objects_is_kept_within_bounds() {
    let (mut table, all, thread) = physicians(3);
    let (at, insider) = (all[0], all[2]);
    table.cut(insider);
    for n in 0..3 * limits::SECONDS_PER_SLOT as u8 {
        let object = next_op(
            &table,
            insider,
            thread,
            Act::Bad {
                node: NodeId([n; 16]),
            },
        );
        let bytes = signed_aside(&mut table, insider, thread, object);
        give(&mut table, at, thread, &bytes);
    }
    let t = table.thread(at, thread);
    assert_eq!(t.membership.equivocal.len(), 1);
    let (_, ids) = t.membership.equivocal.first_key_value().unwrap();
    assert_eq!(ids.len(), 1 + limits::SECONDS_PER_SLOT);
    let expected = stand(&table, at, thread);
    table.cut(at);
    table.reopen(at);
    assert_eq!(stand(&table, at, thread), expected);
    let again = table.thread(at, thread).membership.equivocal.len();
    assert_eq!(again, 1, "all of them are there after a restart");
}

#[test]
fn commits_that_are_ground_out_win_against_no_removal_and_stop_nobody() {
    let (mut table, all, thread) = physicians(5);
    let [guardian, doctor, nurse, tablet, insider] = all[..] else {
        panic!("five")
    };
    cut(&mut table, &all);
    link(&mut table, &[guardian, doctor, nurse]);
    let dev = table.dev(insider);
    table.command(guardian, Command::Remove { thread, dev });
    table.pass(20_000);
    let whom = table.dev(tablet);
    let (now, b) = (table.now(), &mut table.boxes[insider]);
    let (tries, publish) = (2_000, 200);
    let lie = insider::Lie::Grind {
        thread,
        whom,
        tries,
        publish,
    };
    let ground = b.machine.lie(&b.store, now, &lie).unwrap();
    table.drain(insider);
    assert_eq!(ground.len(), publish);
    for at in [guardian, doctor, nurse] {
        table.connect(insider, at);
    }
    table.pass(120_000);
    let t = table.thread(doctor, thread);
    assert!(
        ground.iter().all(|node| t.commits.contains_key(node)),
        "they were looked at"
    );
    assert!(t.refused.len() <= limits::SIDE_NODES + publish && t.nodes.len() < 10);
    for at in [guardian, doctor, nurse] {
        let view = table.boxes[at].machine.view(thread).unwrap();
        assert_eq!(
            (view.stopped, view.members.len()),
            (None, 3),
            "without insider and tablet"
        );
        let on_path: Vec<NodeId> = table.thread(at, thread).climb(view.head).collect();
        assert!(!ground.iter().any(|node| on_path.contains(node)));
    }
    let note = table.note(guardian, thread, "goes on");
    table.pass(10_000);
    assert_eq!(table.text(nurse, thread, note).as_deref(), Some("goes on"));
    assert_eq!(table.text(insider, thread, note), None);
}

#[test]
fn commits_that_name_nothing_here_are_few() {
    let (mut table, all, thread) = physicians(3);
    let (at, insider) = (all[0], all[2]);
    table.cut(insider);
    let slot = table.thread(insider, thread).me(table.dev(insider)).unwrap().0;
    for n in 0..2 * limits::UNROOTED_PER_SLOT as u32 {
        let op = OpId([n as u8 + 1; 16]);
        let commit = Commit {
            parent: NodeId([9; 16]),
            author: slot,
            made_by: MadeBy::Member,
            adds: vec![],
            removes: vec![op],
            key: Some([n as u8; 32]),
            body: vec![1, n as u8].into(),
        };
        table.hack(insider, thread, |t, ctx| {
            let handle = t.handle_now().unwrap();
            let object = Object::Commit(commit);
            t.put_control(ctx, slot, handle, Class::Text, object).unwrap();
        });
    }
    table.connect(insider, at);
    table.pass(60_000);
    let t = table.thread(at, thread);
    assert_eq!(t.unrooted.len(), limits::UNROOTED_PER_SLOT);
    assert_eq!(t.commits.len(), 2 + limits::UNROOTED_PER_SLOT);
    let note = table.note(at, thread, "goes on");
    table.pass(10_000);
    assert_eq!(table.text(all[1], thread, note).as_deref(), Some("goes on"));
}

#[test]
fn a_commit_that_is_signed_twice_is_one_commit() {
    let (mut table, all, thread) = physicians(4);
    let [doctor, nurse, insider, victim] = all[..] else {
        panic!("four")
    };
    // the newest key is of a commit of the insider
    let dev = table.dev(victim);
    table.command(insider, Command::Remove { thread, dev });
    table.pass(20_000);
    let node = table.thread(insider, thread).head;
    // the same words under another signature make a control object with another id
    for at in [doctor, nurse] {
        table.hack(at, thread, |t, ctx| {
            let header = t.commits[&node].header.clone();
            t.learn_commit(ctx, OpId([7; 16]), header);
            t.settle(ctx);
        });
    }
    let note = table.note(doctor, thread, "goes on");
    table.pass(10_000);
    assert_eq!(table.text(nurse, thread, note).as_deref(), Some("goes on"));
    assert_eq!(table.thread(doctor, thread).head, node);
}
