//! Devices whose store was put back to an earlier state, or is one of another time.

use super::tests::*;
use super::*;
use crate::delivery::State;
use crate::directory::Role;
use crate::envelope::Class;
use crate::group::control::{Head, Object};
use crate::id::NodeId;
use crate::ranges::{Log, Ranges};
use crate::store::Memory;

/// A doctor whose store was put back, and who then wrote: the number was given before, to a note that
/// reached the medic.
fn written_twice() -> (Table, usize, usize, ThreadId, EntryRef) {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(5_000);
    let old = table.boxes[doctor].store.clone();
    table.reopen(doctor);
    table.connect(medic, doctor);
    let forgotten = table.note(doctor, thread, "forgotten");
    table.pass(5_000);
    table.boxes[doctor].store = old;
    table.reopen(doctor);
    let again = table.note(doctor, thread, "written after the restore");
    assert_eq!(again, forgotten);
    (table, medic, doctor, thread, again)
}

#[test]
fn a_restored_store_seals_nothing() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(5_000);
    let old = table.boxes[medic].store.clone();
    table.reopen(medic);
    table.connect(medic, doctor);
    table.note(medic, thread, "forgotten");
    table.pass(5_000);
    table.boxes[medic].store = old;
    table.reopen(medic);
    table.connect(medic, doctor);
    table.note(medic, thread, "must not take the place of the forgotten one");
    table.pass(30_000);
    let view = table.boxes[medic].machine.view(thread).unwrap();
    assert_eq!((view.stopped, view.unsealed), (Some(Stopped::Restored), 1));
    assert!(
        !table
            .faults()
            .iter()
            .any(|(_, e)| matches!(e, Event::Equivocation { .. }))
    );
}

#[test]
fn what_a_restored_store_could_not_send_goes_out_in_its_next_life() {
    let (mut table, medic, doctor, thread, from) = written_twice();
    table.connect(medic, doctor);
    table.pass(30_000);
    let dev = table.dev(doctor);
    table.command(medic, Command::Remove { thread, dev });
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.boxes[doctor].events.clear();
    table.pass(200_000);
    let moved = table.boxes[doctor].events.iter().find_map(|e| match e {
        Event::Moved { from: f, to, .. } if *f == from => Some(*to),
        _ => None,
    });
    let to = moved.unwrap();
    for at in [medic, doctor] {
        let text = |entry| table.text(at, thread, entry);
        assert_eq!(text(to).as_deref(), Some("written after the restore"));
        assert_eq!(text(from).as_deref(), Some("forgotten"));
    }
    assert_eq!(
        table.state(doctor, thread, to, medic),
        Some(State::Delivered(None))
    );
    assert_eq!(table.faults(), []);
}

#[test]
fn a_device_restored_again_after_its_removal_tells_no_more_than_before() {
    let (mut table, medic, doctor, thread, again) = written_twice();
    table.connect(medic, doctor);
    let dev = table.dev(doctor);
    table.command(medic, Command::Remove { thread, dev });
    table.pass(30_000);
    let view = table.boxes[doctor].machine.view(thread).unwrap();
    assert_eq!(view.stopped, Some(Stopped::Removed));
    let removed = table.boxes[doctor].store.clone();
    table.reopen(doctor);
    assert_eq!(table.state(doctor, thread, again, medic), Some(State::Stored));
    table.boxes[doctor].store = removed;
    table.reopen(doctor);
    table.connect(medic, doctor);
    table.pass(30_000);
    // the medic signed for the forgotten one
    assert_eq!(table.state(doctor, thread, again, medic), Some(State::Stored));
}

#[test]
fn a_store_rolled_back_behind_our_back_stops_at_the_first_signed_word_of_it() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(5_000);
    let old = table.boxes[medic].store.clone();
    table.note(medic, thread, "forgotten");
    table.pass(5_000);
    // a copy of the same run: the count kept outside cannot tell
    table.boxes[medic].store = old;
    table.reopen(medic);
    table.connect(medic, doctor);
    table.pass(5_000);
    table.note(medic, thread, "must wait");
    table.pass(5_000);
    let view = table.boxes[medic].machine.view(thread).unwrap();
    assert_eq!((view.stopped, view.unsealed), (Some(Stopped::Restored), 1));
}

#[test]
fn a_relay_that_lost_its_disk_is_not_believed_any_longer() {
    let (mut table, medic, doctor, relay, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, relay);
    table.pass(10_000);
    let entry = table.note(medic, thread, "kept there");
    table.pass(10_000);
    assert!(matches!(
        table.state(medic, thread, entry, doctor),
        Some(State::AtRelay { .. })
    ));
    table.reopen(relay);
    table.connect(medic, relay);
    table.pass(10_000);
    assert!(matches!(
        table.state(medic, thread, entry, doctor),
        Some(State::AtRelay { .. })
    ));
    let told = |table: &Table| {
        let lost = |e: &&Event| {
            matches!(
                e,
                Event::Delivery {
                    state: State::Stored,
                    ..
                }
            )
        };
        table.boxes[medic].events.iter().filter(lost).count()
    };
    let before = told(&table);
    let org = Org1::new();
    table.boxes[relay].store = Memory::new();
    table.reopen(relay);
    table.command(
        relay,
        Command::Trust {
            root_card: org.card.clone(),
            own: true,
        },
    );
    table.command(
        relay,
        Command::LearnAdmin {
            cert: org.admin_cert.clone(),
        },
    );
    table.connect(medic, relay);
    table.pass(30_000);
    assert!(told(&table) > before, "the word fell back");
    assert!(
        matches!(
            table.state(medic, thread, entry, doctor),
            Some(State::AtRelay { .. })
        ),
        "sent again"
    );
    table.cut(medic);
    table.connect(doctor, relay);
    table.pass(10_000);
    assert_eq!(table.text(doctor, thread, entry).as_deref(), Some("kept there"));
}

#[test]
fn a_head_on_a_node_that_is_not_here_tells_that_a_store_was_rolled_back() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(5_000);
    let members = &table.boxes[medic].machine.threads[&thread].membership.members;
    let mine = members[&table.dev(medic)].slot;
    table.hack(doctor, thread, |t, ctx| {
        let (slot, _) = t.me(ctx.dev()).unwrap();
        let mut counters = ctx.counters(t.id).unwrap();
        counters.head += 1;
        ctx.set_counters(t.id, &counters);
        let mut open = Ranges::new();
        open.insert(mine, Log::Content, 1_000);
        let head = Head {
            counter: counters.head,
            slot,
            seq: 0,
            chain: [0; 32],
            // the commit that leads there is lost with the rest
            node: NodeId([9; 16]),
            hlc: *ctx.hlc,
            open,
            blobs: Default::default(),
            kids: vec![],
        };
        let handle = t.handle_now().unwrap();
        t.put_control(ctx, slot, handle, Class::Text, Object::Head(head))
            .unwrap();
    });
    table.pass(5_000);
    let state = &table.boxes[medic].machine.threads[&thread];
    assert_eq!((state.stopped, state.ahead.len()), (Some(Stopped::Restored), 1));
}
