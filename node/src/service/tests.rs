//! What is shown and what names mean, on machines on a table.

pub(crate) mod cast;
pub(crate) mod nodes;
mod table;

use super::look::{entry_id, hex8, thread_id};
use super::*;
use crate::api::types::RecipientStatus;
use aidmesh_core::clinical::{Act, Emergency};
use aidmesh_core::delivery::State as Word;
use aidmesh_core::directory::{Role, ThreadKind};
use aidmesh_core::envelope::Class;
use aidmesh_core::group::control::History;
use aidmesh_core::id::ThreadId;
use aidmesh_core::machine::command::Outgoing;
use aidmesh_core::machine::{EntryRef, Event};
use cast::{DOCTOR, Device, MEDIC, NURSE, RELAY, member};
use table::Table;

fn found(table: &mut Table, at: usize, title: &str) -> ThreadId {
    let command = Command::CreateThread {
        kind: ThreadKind::Patient,
        history: History::All,
        suite: SUITE,
        title: title.into(),
    };
    table.command(at, command).thread.unwrap()
}

fn note(table: &mut Table, at: usize, thread: ThreadId, text: &str) -> EntryRef {
    table.send(at, thread, Class::Text, Outgoing::Note(text.into()))
}

/// Medic and doctor in one thread, a relay, no links.
fn case() -> (Table, usize, usize, usize, ThreadId) {
    let mut table = Table::default();
    let seats = [MEDIC, DOCTOR, RELAY].map(|device| table.seat(device));
    let [medic, doctor, relay] = seats;
    let thread = found(&mut table, medic, "7K2");
    table.add(medic, doctor, thread);
    (table, medic, doctor, relay, thread)
}

fn only(table: &Table, at: usize, thread: ThreadId, entry: EntryRef) -> RecipientStatus {
    let status = table.look(at, |look| show::status(look, thread, entry)).unwrap();
    assert_eq!(status.schema, "aidmesh.status/1");
    assert_eq!(status.entry, entry_id(thread, entry));
    let [recipient] = <[_; 1]>::try_from(status.recipients).unwrap();
    assert_eq!(
        (recipient.person.as_str(), recipient.role.as_str()),
        ("Dr K", "cardiologist")
    );
    assert_eq!(recipient.device8, hex8(&DOCTOR.dev().0));
    recipient
}

/// State, evidence, layer and line.
fn shown(recipient: &RecipientStatus) -> (&str, &str, Option<&str>, &str) {
    let layer = recipient.layer.as_deref();
    (&recipient.state, &recipient.evidence, layer, &recipient.line)
}

#[test]
fn every_state_of_an_ecg_is_shown_with_its_evidence() {
    let (mut table, medic, doctor, relay, thread) = case();
    let ecg = table.ecg(medic, thread, 5_000);
    let alert = Outgoing::Alert {
        what: Emergency::Stemi,
        role: Role::Cardiologist,
        text: "man, 58".into(),
        about: Some(ecg),
    };
    table.send(medic, thread, Class::Alarm, alert);
    let here = only(&table, medic, thread, ecg);
    let expected = ("stored", "commit", None, "Stored here. Not sent yet.");
    assert_eq!(shown(&here), expected);
    assert_eq!(here.since_ms, table::WALL);

    table.connect(medic, relay);
    table.pass(30);
    let there = only(&table, medic, thread, ecg);
    let line = "At relay 08:00 UTC. Nobody has it yet.";
    assert_eq!(
        shown(&there),
        ("at_relay", "relay_receipt", Some("original"), line)
    );

    table.cut(medic);
    table.connect(doctor, relay);
    table.pass(30);
    assert_eq!(only(&table, medic, thread, ecg), there, "nothing was heard");
    table.connect(medic, relay);
    table.pass(30);
    let line = "On Dr K's device (original) 08:00 UTC. Not seen yet.";
    let opened = only(&table, medic, thread, ecg);
    assert_eq!(shown(&opened), ("delivered", "head", Some("original"), line));

    let layer = Some(4);
    table.send(doctor, thread, Class::Text, Outgoing::Seen { entry: ecg, layer });
    table.pass(10);
    let seen = only(&table, medic, thread, ecg);
    assert_eq!(
        shown(&seen),
        ("seen", "entry", Some("original"), "Seen by Dr K 08:01 UTC.")
    );
    assert_eq!((seen.by.as_deref(), seen.act.as_deref()), (Some("Dr K"), None));

    let act = Act::Activated;
    let what = Outgoing::Ack {
        entry: ecg,
        act,
        layer,
    };
    table.send(doctor, thread, Class::Text, what);
    table.pass(10);
    let acted = only(&table, medic, thread, ecg);
    let line = "Acknowledged by Dr K 08:01 UTC: cath lab activated.";
    assert_eq!(shown(&acted), ("acknowledged", "entry", Some("original"), line));
    assert_eq!(
        (acted.by.as_deref(), acted.act.as_deref()),
        (Some("Dr K"), Some("activated"))
    );
}

#[test]
fn what_is_late_is_marked_and_only_the_author_follows() {
    let (mut table, medic, doctor, relay, thread) = case();
    let entry = note(&mut table, medic, thread, "aspirin");
    table.pass(3_601);
    assert_eq!(only(&table, medic, thread, entry).marks, ["NOT CONFIRMED"]);
    table.connect(medic, relay);
    table.connect(doctor, relay);
    table.pass(30);
    assert!(only(&table, medic, thread, entry).marks.is_empty());
    let foreign = table.look(doctor, |look| show::status(look, thread, entry));
    let foreign = foreign.unwrap_err();
    assert_eq!((foreign.status, &*foreign.fault.code), (403, "AM-THREAD-04"));
}

#[test]
fn an_event_shows_the_word_that_was_told_and_not_a_later_one() {
    let (mut table, medic, doctor, _, thread) = case();
    let entry = note(&mut table, medic, thread, "aspirin");
    table.connect(medic, doctor);
    table.pass(10);
    assert_eq!(only(&table, medic, thread, entry).state, "delivered");
    let told = |state| {
        let event = Event::Delivery {
            thread,
            entry,
            dev: DOCTOR.dev(),
            state,
            marks: vec![],
        };
        let info = table.look(medic, |look| events::info(look, 7, 1_000, event));
        info.unwrap().unwrap()
    };
    let first = told(Word::Stored);
    let recipient = first.recipient.unwrap();
    assert_eq!(
        (&*recipient.state, &*recipient.evidence, recipient.since_ms),
        ("stored", "commit", 1_000)
    );
    assert_eq!((first.number, &*first.event), (7, "delivery"));
    assert_eq!(first.entry, Some(entry_id(thread, entry)));
    assert_eq!(first.text, "Stored here. Not sent yet.");
    let now = told(Word::Delivered(None)).recipient.unwrap();
    assert_eq!(now, only(&table, medic, thread, entry));
}

#[test]
fn entries_name_people_what_they_are_about_and_what_was_taken_back() {
    let (mut table, medic, doctor, _, thread) = case();
    table.connect(medic, doctor);
    table.pass(10);
    let entry = note(&mut table, medic, thread, "wrong patient");
    table.pass(10);
    let why = "other bed".to_owned();
    let recall = table.send(medic, thread, Class::Alarm, Outgoing::Recall { entry, why });
    let act = Act::Declined;
    let layer = None;
    let ack = table.send(doctor, thread, Class::Text, Outgoing::Ack { entry, act, layer });
    table.pass(10);
    let info = |at: usize, entry| {
        let info = table.look(at, |look| show::entry(look, thread, entry));
        info.unwrap().unwrap()
    };
    let theirs = info(doctor, entry);
    assert_eq!(theirs.person, "Medic A");
    assert_eq!(theirs.device8, hex8(&MEDIC.dev().0));
    assert_eq!((&*theirs.kind, &*theirs.class), ("note", "text"));
    assert_eq!((&*theirs.text, &*theirs.thread_name), ("wrong patient", "7K2"));
    assert!(!theirs.mine && info(medic, entry).mine);
    assert_eq!(theirs.marks, ["recalled"]);
    let recall = info(doctor, recall);
    assert_eq!((&*recall.kind, &*recall.text), ("recall", "recalled: other bed"));
    assert_eq!(
        (&*recall.class, recall.about),
        ("alarm", Some(entry_id(thread, entry)))
    );
    let ack = info(medic, ack);
    assert_eq!(
        (&*ack.kind, ack.act.as_deref(), &*ack.person),
        ("acknowledgement", Some("declined"), "Dr K")
    );
    assert_eq!(ack.about, Some(entry_id(thread, entry)));
}

#[test]
fn threads_are_found_by_id_title_and_beginning_and_never_guessed() {
    let mut table = Table::default();
    let medic = table.seat(MEDIC);
    let first = found(&mut table, medic, "7K2");
    let second = found(&mut table, medic, "Ward 3");
    let third = found(&mut table, medic, "ward 3");
    let hidden = found(&mut table, medic, DIRECTORY);
    let find = |name: &str| table.look(medic, |look| find::thread(look, name).map(|(id, _)| id));
    let whole = thread_id(first);
    for name in ["7K2", "7k2", " 7k2 ", &whole, &whole.to_uppercase(), &whole[..8]] {
        assert_eq!(find(name), Ok(first), "{name}");
    }
    assert_eq!(find(&thread_id(third)), Ok(third));
    let several = find("WARD 3").unwrap_err();
    assert_eq!((several.status, &*several.fault.code), (409, "AM-USE-03"));
    let (a, b) = (hex8(&second.0), hex8(&third.0));
    assert!(several.fault.what.contains(&a) && several.fault.what.contains(&b));
    for name in [DIRECTORY, &thread_id(hidden), &thread_id(hidden)[..8], "7K", ""] {
        let missing = find(name).unwrap_err();
        assert!(matches!(missing.status, 404 | 422), "{name}: {missing:?}");
    }
    let named_as_an_id = found(&mut table, medic, &whole[..8]);
    let titled = table.look(medic, |look| find::thread(look, &whole[..8]).map(|(id, _)| id));
    assert_eq!(titled, Ok(named_as_an_id), "a title goes before a beginning");
}

#[test]
fn entries_are_found_by_id_and_by_the_beginning_of_one() {
    let mut table = Table::default();
    let medic = table.seat(MEDIC);
    let thread = found(&mut table, medic, "7K2");
    let all: Vec<EntryRef> = (0..12)
        .map(|n| note(&mut table, medic, thread, &n.to_string()))
        .collect();
    let find = |name: &str| table.look(medic, |look| find::entry(look, name));
    for at in &all {
        let whole = entry_id(thread, *at);
        assert_eq!(find(&whole), Ok((thread, *at)));
        assert_eq!(find(&whole.to_uppercase()), Ok((thread, *at)));
    }
    let first = entry_id(thread, all[0]);
    let stem = first.trim_end_matches('1');
    assert_eq!(find(&first), Ok((thread, all[0])), "1 is not the beginning of 10");
    let several = find(stem).unwrap_err();
    assert_eq!((several.status, &*several.fault.code), (409, "AM-USE-03"));
    for name in [&format!("{stem}13"), "abc", "zzzzzzzz-00000000-1", "----"] {
        assert_eq!(find(name).unwrap_err().status, 404, "{name}");
    }
}

#[test]
fn people_are_found_by_their_whole_name_or_device() {
    let certs = |devices: &[Device]| {
        let certs = devices.iter().map(|device| {
            use aidmesh_core::directory::Signed;
            let cert = device.identity(table::WALL).member.unwrap().cert;
            DeviceCert::decode(&cert).unwrap()
        });
        certs.collect::<Vec<_>>()
    };
    let phone = Device {
        n: 12,
        person: 2,
        ..DOCTOR
    };
    let other = member(13, "dr k", Role::Physician);
    let all = [MEDIC, DOCTOR, phone, NURSE];
    let find = |name: &str| find::person(certs(&all), name);
    let both = find("DR K").unwrap();
    let devices: Vec<_> = both.devices.keys().copied().collect();
    let mut expected = [DOCTOR.dev(), phone.dev()];
    expected.sort();
    assert_eq!(devices, expected, "a person is all of his devices");
    let one = find(&hex8(&phone.dev().0)).unwrap();
    assert_eq!(one.devices.into_keys().collect::<Vec<_>>(), [phone.dev()]);
    for name in ["Dr", "K", "Medic", &hex8(&MEDIC.dev().0)[..7]] {
        let missing = find(name).unwrap_err();
        assert_eq!((missing.status, &*missing.fault.code), (404, "AM-USE-02"));
        assert!(missing.fault.what.contains("RN Becker"), "{missing:?}");
    }
    let several = find::person(certs(&[DOCTOR, other]), "Dr K").unwrap_err();
    assert_eq!((several.status, &*several.fault.code), (409, "AM-USE-03"));
    assert!(several.fault.what.contains(&hex8(&other.dev().0)));
}

#[test]
fn hidden_threads_tell_nothing() {
    let mut table = Table::default();
    let medic = table.seat(MEDIC);
    let seen = found(&mut table, medic, "7K2");
    let hidden = found(&mut table, medic, DIRECTORY);
    let entry = note(&mut table, medic, hidden, "cards");
    let info = |event| table.look(medic, |look| events::info(look, 1, 1, event)).unwrap();
    assert_eq!(info(Event::ThreadReady { thread: hidden }), None);
    let arrived = |thread| Event::LayerArrived {
        thread,
        entry,
        layer: 4,
    };
    assert_eq!(info(arrived(hidden)), None);
    assert_eq!(info(arrived(seen)).unwrap().layer.as_deref(), Some("original"));
    let listed = table.look(medic, |look| look.threads());
    assert_eq!(listed.len(), 1);
    let found = table.look(medic, |look| find::entry(look, &entry_id(hidden, entry)));
    assert_eq!(found.unwrap_err().status, 404);
}

#[test]
fn the_strongest_role_that_may_be_given_is_given() {
    use aidmesh_core::directory::Roles;
    use threads::role_for;
    let kind = ThreadKind::Patient;
    let many = Roles::of(&[Role::Nurse, Role::Cardiologist, Role::ItAdmin]);
    assert_eq!(role_for(Role::Paramedic, kind, many), Some(Role::Cardiologist));
    let desk = Roles::of(&[Role::Gateway, Role::ItAdmin]);
    assert_eq!(role_for(Role::Nurse, kind, desk), Some(Role::Gateway));
    assert_eq!(role_for(Role::Responder, kind, many), None);
    assert_eq!(role_for(Role::Physician, kind, Roles::of(&[Role::Auditor])), None);
}
