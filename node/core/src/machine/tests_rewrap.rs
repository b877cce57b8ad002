//! Entries that members hand on: what is proven counts, what a liar made does not, and neither costs
//! more than what is held.

use super::tests::{Org1, Table};
use super::tests_hostile::{data, three};
use super::*;
use crate::directory::Role;
use crate::envelope::{Class, Envelope, Place};
use crate::group::control::Object;
use crate::group::mls::SealPlace;
use crate::id::Slot;
use crate::ranges::Log;
use crate::store::table;
use bytes::Bytes;

/// A rewrap that `by` seals at a place of somebody else, with a proof of nothing.
fn false_rewrap(table: &mut Table, by: usize, thread: ThreadId, (slot, seq): (Slot, u32)) -> Bytes {
    table.hack(by, thread, |t, ctx| {
        let (node, handle) = (t.head, t.handle_now().unwrap());
        let place = SealPlace {
            class: Class::Text,
            slot,
            seq,
            node,
        };
        let plaintext = [&[0u8; 34][..], b"not what the medic wrote"].concat();
        let state = t.nodes.get_mut(&node).unwrap();
        let payload = state
            .seal(ctx.crypto, &ctx.member.device, &place, 1, &plaintext)
            .unwrap();
        let log = Log::Content;
        let envelope = Envelope {
            class: Class::Text,
            ttl: Class::Text.ttl(),
            handle,
            place: Place::Log { slot, log, seq },
            payload,
        };
        envelope.encode()
    })
}

#[test]
fn the_genuine_entry_takes_the_place_of_a_false_rewrap() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let slot = table.own_slot(medic, thread);
    let seq = table.hack(medic, thread, |t, ctx| ctx.counters(t.id).unwrap().content + 1);
    let envelope = false_rewrap(&mut table, nurse, thread, (slot, seq));
    table.feed(doctor, nurse, data(envelope));
    table.cut(doctor);
    let note = table.note(medic, thread, "what the medic wrote");
    table.pass(1);
    let genuine = table::envelope(thread, slot, Log::Content as u8, seq);
    let genuine = table.prefix(medic, &genuine).pop().unwrap().1;
    table.connect(doctor, nurse);
    table.feed(doctor, nurse, data(genuine));
    assert_eq!(
        table.text(doctor, thread, note).as_deref(),
        Some("what the medic wrote")
    );
    let items = &table.thread(doctor, thread).items;
    assert!(items.contains_key(&(Log::Content as u8, slot, seq)));
    assert!(!items.contains_key(&(crate::thread::REWRAP, slot, seq)));
    assert_eq!(table.prefix(doctor, &table::rewrap(thread, slot, seq)), []);
}

#[test]
fn what_was_reached_is_handed_on_though_later_entries_died_with_their_author() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let said = ["one", "two"].map(|text| table.note(doctor, thread, text));
    table.pass(10_000);
    table.cut(doctor);
    table.note(doctor, thread, "never arrives");
    let slot = table.own_slot(doctor, thread);
    let head = table.hack(doctor, thread, |t, ctx| {
        t.seal_waiting(ctx).unwrap();
        t.sign_head(ctx).unwrap();
        let counter = t.have.get(slot, Log::Heads).unwrap().max();
        let row = table::envelope(t.id, slot, Log::Heads as u8, counter);
        ctx.get(&row).unwrap().unwrap()
    });
    table.feed(medic, nurse, data(head));
    assert_eq!(table.thread(medic, thread).heads[&slot].head.seq, 3);
    table.reopen(medic);
    table.connect(medic, nurse);
    let late = table.seat(&Org1::new(), 5, Part::Member, Some(Role::Nurse));
    table.add(medic, late, thread, Role::Nurse);
    table.connect(medic, late);
    table.pass(60_000);
    let read = said.map(|entry| table.text(late, thread, entry));
    assert_eq!(read, [Some("one".to_owned()), Some("two".to_owned())]);
}

#[test]
fn a_head_of_any_number_costs_no_more_than_what_is_held() {
    let (mut table, medic, doctor, _, thread) = three();
    let said = table.note(doctor, thread, "one");
    table.pass(10_000);
    let slot = table.own_slot(doctor, thread);
    table.hack(doctor, thread, |t, ctx| {
        let mut counters = ctx.counters(t.id).unwrap();
        counters.head += 1;
        ctx.set_counters(t.id, &counters);
        let mut head = t.heads[&slot].head.clone();
        (head.counter, head.seq) = (counters.head, u32::MAX);
        let handle = t.handle_now().unwrap();
        t.put_control(ctx, slot, handle, Class::Text, Object::Head(head))
            .unwrap();
    });
    table.pass(10_000);
    assert_eq!(table.thread(medic, thread).heads[&slot].head.seq, u32::MAX);
    let late = table.seat(&Org1::new(), 5, Part::Member, Some(Role::Nurse));
    table.add(medic, late, thread, Role::Nurse);
    table.connect(medic, late);
    table.pass(60_000);
    assert_eq!(table.text(late, thread, said).as_deref(), Some("one"));
}

#[test]
fn nobody_tells_a_device_what_it_writes() {
    let (mut table, medic, doctor, nurse, thread) = three();
    table.note(medic, thread, "first");
    table.pass(10_000);
    let slot = table.own_slot(medic, thread);
    let envelope = false_rewrap(&mut table, nurse, thread, (slot, 2));
    for victim in [medic, doctor] {
        table.feed(victim, nurse, data(envelope.clone()));
    }
    table.pass(10_000);
    assert_eq!(table.thread(medic, thread).heads[&slot].head.seq, 1);
    let note = table.note(medic, thread, "second");
    table.pass(60_000);
    for at in [medic, doctor] {
        assert_eq!(table.text(at, thread, note).as_deref(), Some("second"));
        assert!(table.thread(at, thread).disputed.is_empty());
    }
}

#[test]
fn a_false_rewrap_does_not_keep_the_genuine_one_out() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let said = table.note(doctor, thread, "what the doctor wrote");
    table.pass(10_000);
    let late = table.seat(&Org1::new(), 5, Part::Member, Some(Role::Nurse));
    table.add(medic, late, thread, Role::Nurse);
    table.connect(nurse, late);
    table.pass(1_000);
    let envelope = false_rewrap(&mut table, nurse, thread, (said.slot, said.seq));
    table.feed(late, nurse, data(envelope));
    table.connect(medic, late);
    table.pass(120_000);
    let text = table.text(late, thread, said);
    assert_eq!(text.as_deref(), Some("what the doctor wrote"));
}
