//! What a host reads of a machine: words with their proof, layers, what waits, what was taken back.

use super::tests::{Org1, Table, WALL, two_and_a_relay};
use super::*;
use crate::blob::Layer;
use crate::clinical::Act;
use crate::delivery::words::{Names, recipient_line, step_id};
use crate::delivery::{Proof, Step};
use crate::directory::{Role, ThreadKind};
use crate::entry::Kind;
use crate::envelope::Class;
use crate::time::Wall;
use bytes::Bytes;

fn send(table: &mut Table, at: usize, thread: ThreadId, class: Class, what: Outgoing) -> EntryRef {
    let made = table.command(at, Command::Send { thread, class, what });
    made.entry.unwrap()
}

fn ecg(table: &mut Table, at: usize, thread: ThreadId) -> EntryRef {
    let layers = vec![LayerData {
        layer: 4,
        name: "ecg.dcm".into(),
        bytes: Bytes::from(vec![7; 5_000]),
    }];
    let what = Outgoing::Ecg {
        recorded_ms: None,
        digest: Bytes::from_static(b"digest"),
        format: "DICOM".into(),
        layers,
    };
    send(table, at, thread, Class::Clinical, what)
}

/// Word, proof and line of the only recipient.
fn shown(table: &Table, at: usize, thread: ThreadId, entry: EntryRef) -> (&'static str, Proof, String) {
    let tracker = table.boxes[at].machine.tracker(thread, entry).unwrap();
    let (recipient, view) = tracker.views().next().unwrap();
    let names = Names {
        time: &|_| "14:09".into(),
        person: &|_| "Dr K".into(),
        key: &|_| "North-1".into(),
    };
    let somebody = tracker.somebody_has_it();
    let line = recipient_line(recipient, view, somebody, None, &names);
    let proof = tracker.proof(recipient.dev).unwrap();
    (step_id(view.state.unwrap().step()), proof, line)
}

fn waiting(table: &Table, at: usize) -> [u32; 5] {
    table.boxes[at].machine.waiting()
}

#[test]
fn each_word_of_an_ecg_has_its_proof_and_what_is_with_nobody_waits() {
    let (mut table, medic, doctor, relay, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    let entry = ecg(&mut table, medic, thread);
    assert_eq!(
        shown(&table, medic, thread, entry),
        ("stored", Proof::Commit, "Stored here. Not sent yet.".into())
    );
    assert_eq!(waiting(&table, medic), [0, 1, 0, 0, 0]);
    table.connect(medic, relay);
    table.pass(30_000);
    let line = "At relay 14:09. Nobody has it yet.".into();
    assert_eq!(
        shown(&table, medic, thread, entry),
        ("at_relay", Proof::RelayReceipt, line)
    );
    assert_eq!(waiting(&table, medic), [0; 5]);
    table.cut(medic);
    table.connect(doctor, relay);
    table.pass(30_000);
    table.connect(medic, relay);
    table.pass(30_000);
    let line = "On Device 2's device (original) 14:09. Not seen yet.".into();
    assert_eq!(
        shown(&table, medic, thread, entry),
        ("delivered", Proof::Head, line)
    );
    let judged = table.boxes[doctor].machine.quality(thread, entry);
    assert_eq!(judged, Some(Layer::ORIGINAL));
    table.cut(doctor);
    let ack = Outgoing::Ack {
        entry,
        act: Act::Activated,
        layer: judged.map(Layer::to_u8),
    };
    send(&mut table, doctor, thread, Class::Text, ack);
    assert_eq!(waiting(&table, doctor), [0, 0, 1, 0, 0], "an act waits too");
    table.connect(doctor, relay);
    table.pass(30_000);
    assert_eq!(waiting(&table, doctor), [0; 5]);
    let line = "Acknowledged by Dr K 14:09: team activated.".into();
    assert_eq!(
        shown(&table, medic, thread, entry),
        ("acknowledged", Proof::Entry, line)
    );
    assert_eq!(table.faults(), []);
}

#[test]
fn what_waits_is_the_same_after_a_restart_and_falls_back_with_the_relay() {
    let (mut table, medic, doctor, relay, thread) = two_and_a_relay();
    let alone = table.note(medic, thread, "to nobody yet");
    assert_eq!(waiting(&table, medic), [0; 5], "nobody is to have it");
    table.add(medic, doctor, thread, Role::Cardiologist);
    assert_eq!(waiting(&table, medic), [0, 0, 1, 0, 0], "now somebody is");
    table.note(medic, thread, "second");
    table.reopen(medic);
    assert_eq!(waiting(&table, medic), [0, 0, 2, 0, 0]);
    table.connect(medic, relay);
    table.pass(20_000);
    assert_eq!(waiting(&table, medic), [0; 5]);
    table.reopen(medic);
    assert_eq!(waiting(&table, medic), [0; 5], "receipts are kept");
    // another relay on the same key, whose disk is empty
    table.cut(relay);
    table.boxes[relay].store = crate::store::Memory::new();
    table.boxes[relay].generation = 8;
    table.reopen(relay);
    let (root_card, cert) = (Org1::new().card, Org1::new().admin_cert);
    table.command(relay, Command::Trust { root_card, own: true });
    table.command(relay, Command::LearnAdmin { cert });
    let word = table.state(medic, thread, alone, doctor).unwrap().step();
    assert_eq!(word, Step::AtRelay);
    table.lose.extend([(medic, 0x04); 64]);
    table.connect(medic, relay);
    table.pass(1_000);
    let word = table.state(medic, thread, alone, doctor).unwrap().step();
    assert_eq!(word, Step::Stored);
    assert_eq!(waiting(&table, medic), [0, 0, 2, 0, 0], "they wait again");
}

#[test]
fn layers_tell_what_is_held() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(5_000);
    // the entry arrives, its chunks do not
    let entry = ecg(&mut table, medic, thread);
    let own = table.boxes[medic].machine.layers(thread, entry);
    assert_eq!(own.len(), 1);
    assert_eq!((own[0].bytes, own[0].held, own[0].total), (5_000, 5, 5));
    assert_eq!(own[0].name.as_ref().unwrap().as_str(), "ecg.dcm");
    table.pass(20_000);
    let theirs = table.boxes[doctor].machine.layers(thread, entry);
    assert_eq!(theirs, own);
    let note = table.note(medic, thread, "no object");
    assert_eq!(table.boxes[medic].machine.layers(thread, note), vec![]);
    assert_eq!(table.boxes[medic].machine.quality(thread, note), None);
}

#[test]
fn an_entry_without_a_complete_layer_is_judged_on_its_digest() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(5_000);
    table.cut(medic);
    let entry = ecg(&mut table, medic, thread);
    // a link that takes the entry and little more
    table.connect_with(medic, doctor, 3_500);
    table.pass(2_000);
    let machine = &table.boxes[doctor].machine;
    let layers = machine.layers(thread, entry);
    assert_eq!(layers.len(), 1, "the entry is there");
    assert!(layers[0].held < layers[0].total, "{layers:?}");
    assert_eq!(machine.quality(thread, entry), Some(Layer::DIGEST));
    table.cut(medic);
    table.connect(medic, doctor);
    table.pass(20_000);
    let machine = &table.boxes[doctor].machine;
    assert_eq!(machine.quality(thread, entry), Some(Layer::ORIGINAL));
}

#[test]
fn a_thread_and_its_entries_name_people_and_what_was_taken_back() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(5_000);
    let entry = table.note(medic, thread, "wrong patient");
    table.pass(5_000);
    let recall = Outgoing::Recall {
        entry,
        why: "other patient".into(),
    };
    send(&mut table, medic, thread, Class::Alarm, recall);
    table.pass(5_000);
    let b = &table.boxes[doctor];
    let view = b.machine.view(thread).unwrap();
    assert_eq!(view.kind, Some(ThreadKind::Patient));
    assert_eq!(view.creator, Some(table.dev(medic)));
    let names = view
        .members
        .iter()
        .map(|m| m.cert.as_ref().unwrap().name.as_str());
    let names: BTreeSet<&str> = names.collect();
    assert_eq!(names, BTreeSet::from(["Device 1", "Device 2"]));
    let shown = b.machine.entry(&b.store, thread, entry).unwrap().unwrap();
    assert_eq!(shown.cert.name.as_str(), "Device 1");
    let recalled = shown.recalled.expect("its author took it back");
    assert!(recalled > Wall(WALL), "{recalled:?}");
    let heads = b.machine.entry_heads(thread);
    let kinds: Vec<(Kind, bool)> = heads.iter().map(|h| (h.kind, h.own)).collect();
    assert!(kinds.contains(&(Kind::Recall, false)), "{kinds:?}");
    let head = heads.iter().find(|h| h.at == entry).unwrap();
    assert_eq!((head.hash, head.class), (shown.hash, Class::Text));
    assert!(head.stored >= Wall(WALL));
}

#[test]
fn an_ecg_that_is_refused_leaves_no_chunks() {
    let (mut table, medic, _, _, thread) = two_and_a_relay();
    let layers = vec![LayerData {
        layer: 4,
        name: "ecg.dcm".into(),
        bytes: Bytes::from(vec![7; 5_000]),
    }];
    let what = Outgoing::Ecg {
        recorded_ms: None,
        digest: Bytes::from(vec![1; crate::limits::DIGEST_BYTES + 1]),
        format: "DICOM".into(),
        layers,
    };
    let class = Class::Clinical;
    assert!(
        table
            .try_command(medic, Command::Send { thread, class, what })
            .is_err()
    );
    // the next batch has nothing of it
    table.note(medic, thread, "aspirin 300 mg");
    let medic = &table.boxes[medic];
    assert!(medic.machine.threads[&thread].blobs.0.is_empty());
    let mut chunks = 0;
    let chunk = crate::store::table::chunk(thread, crate::id::Object8([0; 8]), 4, 0);
    let table_of_chunks = &chunk[..1];
    let count = &mut |_: &[u8], _: &[u8]| {
        chunks += 1;
        std::ops::ControlFlow::Continue(())
    };
    medic.store.scan(table_of_chunks, count).unwrap();
    assert_eq!(chunks, 0);
}
