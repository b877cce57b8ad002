//! Threads whose keys anybody makes: founders who are away or lost, halves that change on their own, and
//! turns.

use super::tests::*;
use super::tests_hostile::three;
use super::*;
use crate::clinical::{Body, CtlKey, CtlKeys};
use crate::crypto::Secret;
use crate::directory::Role;
use crate::entry::Kind;
use crate::envelope::Class;
use crate::group::control::{Act, Commit, MadeBy, Object, Why};
use crate::group::keys::ControlKey;
use crate::group::mls::Suite;
use crate::id::NodeId;

fn heads(table: &Table, who: &[usize], thread: ThreadId) -> Vec<NodeId> {
    let head = |at: &usize| table.boxes[*at].machine.view(thread).unwrap().head;
    let mut heads: Vec<NodeId> = who.iter().map(head).collect();
    heads.sort_unstable();
    heads.dedup();
    heads
}

fn is_calm(table: &Table, who: &[usize], thread: ThreadId) {
    assert_eq!(heads(table, who, thread).len(), 1);
    let members = |at: usize| table.boxes[at].machine.view(thread).unwrap().members.len();
    for at in who {
        let view = table.boxes[*at].machine.view(thread).unwrap();
        assert_eq!((view.stopped, view.unsealed), (None, 0), "at {at}");
        assert_eq!(view.members.len(), members(who[0]));
    }
}

#[test]
fn a_thread_goes_on_while_its_founder_is_away() {
    let (mut table, medic, doctor, nurse, thread) = three();
    table.cut(medic);
    let surgeon = table.seat(&Org1::new(), 9, Part::Member, Some(Role::Cardiologist));
    table.add(doctor, surgeon, thread, Role::Cardiologist);
    table.connect(doctor, surgeon);
    table.pass(10_000);
    let asked = table.note(surgeon, thread, "which access?");
    table.pass(5_000);
    assert_eq!(table.text(nurse, thread, asked).as_deref(), Some("which access?"));
    is_calm(&table, &[doctor, nurse, surgeon], thread);
    let dev = table.dev(nurse);
    table.command(doctor, Command::Remove { thread, dev });
    let after = table.note(doctor, thread, "without the nurse");
    table.pass(5_000);
    assert_eq!(table.text(nurse, thread, after), None);
    assert_eq!(
        table.text(surgeon, thread, after).as_deref(),
        Some("without the nurse")
    );
    // what the founder wrote alone is there for those whom it did not know
    let alone = table.note(medic, thread, "in the tunnel");
    table.connect(medic, doctor);
    table.pass(30_000);
    is_calm(&table, &[medic, doctor, surgeon], thread);
    for at in [doctor, surgeon] {
        assert_eq!(table.text(at, thread, alone).as_deref(), Some("in the tunnel"));
    }
    assert_eq!(
        table.text(medic, thread, after).as_deref(),
        Some("without the nurse")
    );
}

#[test]
fn two_halves_that_each_add_somebody_become_one_thread() {
    for restart in [false, true] {
        let (mut table, medic, doctor, nurse, thread) = three();
        for at in [medic, doctor, nurse] {
            table.cut(at);
        }
        let [left, right] = [9, 10].map(|n| table.seat(&Org1::new(), n, Part::Member, Some(Role::Nurse)));
        table.add(medic, left, thread, Role::Nurse);
        table.add(doctor, right, thread, Role::Nurse);
        table.connect(medic, left);
        table.connect(doctor, right);
        table.connect(doctor, nurse);
        table.pass(10_000);
        let of_left = table.note(left, thread, "left");
        let of_right = table.note(right, thread, "right");
        table.pass(10_000);
        assert_eq!(heads(&table, &[medic, doctor], thread).len(), 2, "a fork");
        if restart {
            for at in [medic, doctor, nurse, left, right] {
                table.cut(at);
                table.reopen(at);
            }
        }
        table.connect(medic, doctor);
        if restart {
            table.connect(medic, left);
            table.connect(doctor, right);
            table.connect(doctor, nurse);
        }
        table.connect(left, doctor);
        table.connect(right, medic);
        table.pass(200_000);
        let all = [medic, doctor, nurse, left, right];
        is_calm(&table, &all, thread);
        for at in all {
            assert_eq!(
                table.text(at, thread, of_left).as_deref(),
                Some("left"),
                "at {at}"
            );
            assert_eq!(
                table.text(at, thread, of_right).as_deref(),
                Some("right"),
                "at {at}"
            );
        }
    }
}

#[test]
fn a_thread_outlives_its_founder() {
    let (mut table, medic, doctor, nurse, thread) = three();
    table.cut(medic);
    table.connect(doctor, nurse);
    let dev = table.dev(medic);
    table.command(doctor, Command::Remove { thread, dev });
    table.pass(10_000);
    is_calm(&table, &[doctor, nurse], thread);
    let note = table.note(doctor, thread, "we go on");
    table.pass(5_000);
    assert_eq!(table.text(nurse, thread, note).as_deref(), Some("we go on"));
}

#[test]
fn what_its_author_did_not_commit_one_other_does() {
    let (mut table, medic, doctor, nurse, thread) = three();
    table.connect(medic, doctor);
    let dev = table.dev(nurse);
    // the op alone leaves: its author's device ended in between
    table.hack(doctor, thread, |t, ctx| {
        let inc = t.membership.members[&dev].inc;
        let act = Act::Remove {
            dev,
            inc,
            why: Why::Unsaid,
            as_of: t.vote,
        };
        t.put_op(ctx, act).unwrap();
    });
    table.cut(doctor);
    table.connect(medic, nurse);
    let commits = |table: &Table| table.thread(medic, thread).commits.len();
    let before = commits(&table);
    table.connect(doctor, medic);
    table.pass(30_000);
    is_calm(&table, &[medic, doctor], thread);
    assert_eq!(commits(&table), before + 1);
    let note = table.note(medic, thread, "without her");
    table.pass(5_000);
    assert_eq!(table.text(doctor, thread, note).as_deref(), Some("without her"));
    assert_eq!(table.text(nurse, thread, note), None);
}

#[test]
fn x_wing_heals_the_same_way() {
    let org = Org1::new();
    let mut table = Table::default();
    let medic = table.seat(&org, 1, Part::Member, Some(Role::Paramedic));
    let doctor = table.seat(&org, 2, Part::Member, Some(Role::Cardiologist));
    let thread = new_thread(&mut table, medic, Suite::XWing);
    let add = |table: &mut Table, by: usize, whom: usize| {
        table.introduce(whom, by, Suite::XWing);
        let (dev, role) = (table.dev(whom), Role::Cardiologist);
        table.command(by, Command::Add { thread, dev, role });
        table.connect(by, whom);
    };
    add(&mut table, medic, doctor);
    table.pass(10_000);
    table.cut(medic);
    let [left, right] = [3, 4].map(|n| table.seat(&org, n, Part::Member, Some(Role::Cardiologist)));
    add(&mut table, medic, left);
    add(&mut table, doctor, right);
    table.pass(10_000);
    let note = table.note(left, thread, "post-quantum");
    table.connect(medic, doctor);
    table.connect(left, doctor);
    table.connect(right, medic);
    table.pass(200_000);
    is_calm(&table, &[medic, doctor, left, right], thread);
    assert_eq!(table.text(right, thread, note).as_deref(), Some("post-quantum"));
}

#[test]
fn commits_of_junk_stop_nobody() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let surgeon = table.seat(&Org1::new(), 9, Part::Member, Some(Role::Cardiologist));
    table.add(nurse, surgeon, thread, Role::Cardiologist);
    table.pass(10_000);
    let dev = table.dev(surgeon);
    table.hack(nurse, thread, |t, ctx| {
        let (inc, as_of) = (t.membership.members[&dev].inc, t.vote);
        let why = Why::Unsaid;
        let removal = t.put_op(ctx, Act::Remove { dev, inc, why, as_of }).unwrap();
        for n in 0..20u8 {
            let commit = Commit {
                parent: t.head,
                author: t.me(ctx.dev()).unwrap().0,
                made_by: MadeBy::Member,
                adds: vec![],
                removes: vec![removal],
                key: Some([n; 32]),
                // one literal segment
                body: [&[5u8][..], b"junk", &[n]].concat().into(),
            };
            let (author, handle) = (commit.author, t.handle_now().unwrap());
            t.put_control(ctx, author, handle, Class::Text, Object::Commit(commit))
                .unwrap();
        }
    });
    table.pass(60_000);
    let junk = table.thread(doctor, thread).refused.len();
    assert!(junk > 0, "the junk was looked at");
    is_calm(&table, &[medic, doctor], thread);
    let note = table.note(medic, thread, "still here");
    table.pass(5_000);
    assert_eq!(table.text(doctor, thread, note).as_deref(), Some("still here"));
    let dev = table.dev(nurse);
    table.command(medic, Command::Remove { thread, dev });
    table.pass(20_000);
    is_calm(&table, &[medic, doctor], thread);
    assert_eq!(table.boxes[medic].machine.view(thread).unwrap().members.len(), 2);
}

#[test]
fn the_commit_that_removes_somebody_cannot_be_told_as_another() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let dev = table.dev(nurse);
    let parent = table.thread(medic, thread).head;
    table.cut(nurse);
    table.command(medic, Command::Remove { thread, dev });
    table.pass(10_000);
    let removal = table.thread(medic, thread).head;
    let genuine = table.thread(medic, thread).commits[&removal].header.clone();
    // the same bytes as her own commit, with a key of hers; she may still write under the key before
    table.connect(nurse, doctor);
    table.connect(nurse, medic);
    table.hack(nurse, thread, |t, ctx| {
        let author = *t.own_slots.first().unwrap();
        let key = Some([9; 32]);
        let commit = Commit {
            author,
            key,
            ..genuine
        };
        let handle = t.path_key(parent).unwrap();
        t.put_control(ctx, author, handle, Class::Text, Object::Commit(commit))
            .unwrap();
    });
    table.pass(10_000);
    for restart in [false, true] {
        if restart {
            for at in [medic, doctor] {
                table.reopen(at);
            }
            table.connect(medic, doctor);
            table.connect(nurse, doctor);
            table.pass(10_000);
        }
        is_calm(&table, &[medic, doctor], thread);
        assert_eq!(heads(&table, &[medic], thread), [removal]);
        for at in [medic, doctor] {
            let state = table.thread(at, thread);
            let hers = state.commits.iter().find(|(_, c)| c.header.key == Some([9; 32]));
            assert!(hers.is_some_and(|(node, _)| !state.nodes.contains_key(node)));
        }
        let note = table.note(medic, thread, "not for her");
        table.pass(10_000);
        assert_eq!(table.text(doctor, thread, note).as_deref(), Some("not for her"));
        assert_eq!(table.text(nurse, thread, note), None);
    }
}

#[test]
fn a_key_that_its_commit_does_not_name_is_nobodys() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let surgeon = table.seat(&Org1::new(), 9, Part::Member, Some(Role::Cardiologist));
    table.add(medic, surgeon, thread, Role::Cardiologist);
    table.connect(medic, surgeon);
    table.pass(10_000);
    let dev = table.dev(surgeon);
    table.command(medic, Command::Remove { thread, dev });
    table.pass(10_000);
    let genuine = table.thread(doctor, thread).handle_now();
    let made_by = table
        .thread(doctor, thread)
        .commits
        .values()
        .find(|c| !c.header.removes.is_empty());
    let made_by = *made_by.unwrap().ops.first().unwrap();
    // the doctor has the commit, the genuine key has not come yet
    table.hack(doctor, thread, |t, _| t.makers.remove(&made_by));
    let tell = |table: &mut Table, ck: Secret| {
        let kid = ControlKey::new(ck.clone()).kid();
        let body = Body::CtlKeys(CtlKeys {
            keys: vec![CtlKey { kid, ck, made_by }],
        });
        table.hack(nurse, thread, |t, ctx| {
            t.say(ctx, Class::Text, &body, Kind::CtlKeys).unwrap();
        });
        table.pass(5_000);
    };
    for n in 0..10u8 {
        tell(&mut table, Secret([n; 32]));
    }
    let state = table.thread(doctor, thread);
    assert_eq!(state.makers.get(&made_by), None, "made up");
    assert_eq!(state.ring.kids().len(), 2);
    // it comes, from whoever has it
    let ring = &table.thread(nurse, thread).ring;
    let ck = ring.by_handle(genuine.unwrap()).unwrap().secret().clone();
    tell(&mut table, ck);
    assert_eq!(table.thread(doctor, thread).handle_now(), genuine);
    is_calm(&table, &[medic, doctor, nurse], thread);
}
