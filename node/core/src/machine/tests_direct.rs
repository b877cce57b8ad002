//! Entries for one member alone: who was meant gets them back, others neither see nor displace anything.

use super::tests::{Org1, Table};
use super::tests_hostile::data;
use super::*;
use crate::clinical::{CtlKey, CtlKeys, Emergency};
use crate::codec::Writer;
use crate::crypto::Secret;
use crate::delivery::State;
use crate::directory::{Role, ThreadKind};
use crate::entry::Entry;
use crate::envelope::{Class, Envelope, Place};
use crate::group::control::{Act, History, Why};
use crate::group::direct::{self, Content, HandedEntry, Recipient, Unsealed};
use crate::group::keys::ControlKey;
use crate::group::mls::Suite;
use crate::id::{NodeId, OpId, Slot};
use crate::limits;
use crate::machine::command::Outgoing;
use crate::machine::event::Stopped;
use crate::ranges::Log;
use bytes::Bytes;

/// Medic (founder), doctor, nurse, in a thread whose history begins with joining.
fn three() -> (Table, usize, usize, usize, ThreadId) {
    let org = Org1::new();
    let mut table = Table::default();
    let medic = table.seat(&org, 1, Part::Member, Some(Role::Paramedic));
    let doctor = table.seat(&org, 2, Part::Member, Some(Role::Cardiologist));
    let nurse = table.seat(&org, 4, Part::Member, Some(Role::Nurse));
    let create = Command::CreateThread {
        kind: ThreadKind::Patient,
        history: History::FromJoining,
        suite: Suite::Classical,
        title: "7K2".into(),
    };
    let thread = table.command(medic, create).thread.unwrap();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.add(medic, nurse, thread, Role::Nurse);
    link_all(&mut table, medic, doctor, nurse);
    table.pass(20_000);
    (table, medic, doctor, nurse, thread)
}

fn link_all(table: &mut Table, medic: usize, doctor: usize, nurse: usize) {
    for (a, b) in [(medic, doctor), (medic, nurse), (doctor, nurse)] {
        table.connect(a, b);
    }
}

fn recipient(table: &Table, at: usize) -> Recipient {
    use crate::directory::{DeviceCert, Signed};
    let member = table.boxes[at].id.member.as_ref().unwrap();
    Recipient::of(&DeviceCert::decode(&member.cert).unwrap())
}

/// A note, then a later joiner; then the doctor's store is lost and the doctor removed.
fn lost_by_the_doctor() -> (Table, [usize; 4], ThreadId, EntryRef) {
    let (mut table, medic, doctor, nurse, thread) = three();
    let note = table.note(medic, thread, "before the student came");
    table.pass(10_000);
    assert!(table.text(doctor, thread, note).is_some());
    let student = table.seat(&Org1::new(), 5, Part::Member, Some(Role::Nurse));
    table.add(medic, student, thread, Role::Nurse);
    table.connect(medic, student);
    table.connect(nurse, student);
    table.pass(10_000);
    table.boxes[doctor].store = crate::store::Memory::new();
    table.reopen(doctor);
    let org = Org1::new();
    let (root_card, cert) = (org.card, org.admin_cert);
    table.command(doctor, Command::Trust { root_card, own: true });
    table.command(doctor, Command::LearnAdmin { cert });
    let person = Person([2; 8]);
    table.command(doctor, Command::SignOn { person });
    link_all(&mut table, medic, doctor, nurse);
    table.pass(10_000);
    let dev = table.dev(doctor);
    table.command(medic, Command::Remove { thread, dev });
    table.pass(10_000);
    (table, [medic, doctor, nurse, student], thread, note)
}

/// Direct seals for a device that lie at another untaken.
fn waiting_for(table: &Table, at: usize, whom: usize) -> usize {
    let (b, inbox) = (&table.boxes[at], recipient(table, whom).inbox);
    let bytes = |id| b.machine.mailbox.bytes(&b.store, inbox, id).unwrap().unwrap();
    let items = b.machine.mailbox.items(inbox);
    let payloads = items.map(|held| Envelope::decode(&bytes(held.id)).unwrap().payload);
    payloads.filter(|payload| payload[0] == direct::TYPE).count()
}

#[test]
fn a_member_that_lost_its_store_gets_back_what_a_later_joiner_may_not_read() {
    let (mut table, [medic, doctor, nurse, student], thread, note) = lost_by_the_doctor();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.pass(60_000);
    let said = Some("before the student came".to_owned());
    assert_eq!(table.text(doctor, thread, note), said);
    assert_eq!(table.text(student, thread, note), None);
    let arrived = |e: &Event| matches!(e, Event::Arrived { entry, rewrapped: true, .. } if *entry == note);
    assert!(table.boxes[doctor].events.iter().any(arrived));
    // opened, and nothing that others could fetch
    let state = table.thread(doctor, thread);
    assert!(state.open.contains(note.slot, Log::Content, note.seq));
    assert!(!state.have.contains(note.slot, Log::Content, note.seq));
    table.reopen(doctor);
    link_all(&mut table, medic, doctor, nurse);
    table.pass(30_000);
    assert_eq!(table.text(doctor, thread, note), said);
    let state = table.thread(doctor, thread);
    assert!(state.open.contains(note.slot, Log::Content, note.seq));
    assert!(!state.have.contains(note.slot, Log::Content, note.seq));
    let again = table.note(doctor, thread, "thank you");
    table.pass(10_000);
    for at in [medic, nurse, student] {
        assert_eq!(table.text(at, thread, again).as_deref(), Some("thank you"));
        assert_eq!(waiting_for(&table, at, doctor), 0);
    }
    let before = table.bytes;
    table.pass(600_000);
    assert!(table.bytes - before < 80_000, "{}", table.bytes - before);
    assert_eq!(table.faults(), []);
}

#[test]
fn nothing_is_sealed_for_a_device_that_is_no_member() {
    let (mut table, [medic, doctor, nurse, student], thread, note) = lost_by_the_doctor();
    table.tape = Some(vec![]);
    table.pass(300_000);
    table.cut(doctor);
    table.pass(300_000);
    assert_eq!(table.text(doctor, thread, note), None);
    assert_eq!(
        [medic, nurse, student].map(|at| waiting_for(&table, at, doctor)),
        [0; 3]
    );
    let inbox = recipient(&table, doctor).inbox;
    let tape = table.tape.take().unwrap();
    let named = |bytes: &Bytes| {
        bytes
            .windows(10)
            .any(|w| w[..8] == inbox.0 && w[8..] == [direct::TYPE, 1])
    };
    assert!(!tape.iter().any(|(to, bytes)| *to == doctor && named(bytes)));
}

/// An inbox item with any content, of any place that its author claims.
fn item(
    ctx: &mut Ctx<'_>,
    content: &Content,
    place: (ThreadId, Slot),
    (class, to): (Class, Recipient),
) -> Envelope {
    let payload = direct::seal(ctx.crypto, content, place, &ctx.member.device, &to).unwrap();
    Envelope {
        class,
        ttl: class.ttl(),
        handle: to.inbox,
        place: Place::Inbox,
        payload,
    }
}

/// An envelope with an entry that `by` claims to hand on to `to`, with a proof of nothing.
fn false_item(
    table: &mut Table,
    (by, to): (usize, usize),
    thread: ThreadId,
    (slot, seq): (Slot, u32),
    as_of: Option<Slot>,
) -> Bytes {
    let to = recipient(table, to);
    table.hack(by, thread, |t, ctx| {
        let (mine, _) = t.me(ctx.dev()).unwrap();
        let mut entry = Entry::decode(&note_bytes(t, ctx)).unwrap();
        entry.salt = [7; 16];
        let mut w = Writer::new();
        w.put(&[0; 32]).count(0).bytes(&[]).put(&entry.encode());
        let handed = HandedEntry {
            class: Class::Text,
            disputed: false,
            slot,
            seq,
            node: t.head,
            rewrap: w.finish(),
        };
        let content = Content::HandedOn(vec![handed]);
        let place = (t.id, as_of.unwrap_or(mine));
        item(ctx, &content, place, (Class::Text, to)).encode()
    })
}

/// The bytes of some sealed note that is here.
fn note_bytes(t: &Thread, ctx: &Ctx<'_>) -> Bytes {
    let notes = t
        .entries
        .iter()
        .filter(|(_, m)| m.kind == crate::entry::Kind::Note);
    let mut sealed = notes.filter(|(_, m)| m.node != NodeId::default());
    let (at, _) = sealed.next().unwrap();
    let row = ctx
        .get(&crate::store::table::entry(t.id, at.slot, at.seq))
        .unwrap();
    crate::thread::read_entry_row(&row.unwrap()).unwrap().1
}

#[test]
fn a_false_item_displaces_nothing_and_is_never_shown() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let first = table.note(medic, thread, "first");
    table.pass(10_000);
    let (slot, seq) = (first.slot, first.seq);
    let told = |table: &Table| table.boxes[doctor].events.len();
    // at a place that is proven, in a slot that is not its maker's, at a place that nobody wrote at
    let before = told(&table);
    let displacing = false_item(&mut table, (nurse, doctor), thread, (slot, seq), None);
    let foreign = false_item(&mut table, (nurse, doctor), thread, (slot, seq + 1), Some(slot));
    for item in [displacing, foreign] {
        table.feed(doctor, nurse, data(item));
    }
    assert_eq!(table.text(doctor, thread, first).as_deref(), Some("first"));
    assert_eq!(table.thread(doctor, thread).unproven.len(), 0);
    let ahead = false_item(&mut table, (nurse, doctor), thread, (slot, seq + 1), None);
    table.feed(doctor, nurse, data(ahead));
    let next = EntryRef { slot, seq: seq + 1 };
    assert_eq!(table.thread(doctor, thread).unproven.len(), 1);
    assert!(
        !table
            .thread(doctor, thread)
            .open
            .contains(slot, Log::Content, seq + 1)
    );
    let shown = |table: &Table| {
        let b = &table.boxes[doctor];
        b.machine.entry(&b.store, thread, next).unwrap().is_some()
    };
    assert!(!shown(&table));
    assert_eq!(told(&table), before);
    table.reopen(doctor);
    assert!(!shown(&table));
    link_all(&mut table, medic, doctor, nurse);
    let second = table.note(medic, thread, "second");
    table.pass(10_000);
    assert_eq!(second, next);
    assert_eq!(table.text(doctor, thread, second).as_deref(), Some("second"));
    let state = table.thread(doctor, thread);
    assert!(state.disputed.is_empty() && state.unproven.is_empty());
    assert_eq!(table.faults(), []);
}

#[test]
fn an_item_of_a_thread_that_is_not_here_yet_stays_where_it_lies() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let first = table.note(medic, thread, "first");
    table.pass(10_000);
    let student = table.seat(&Org1::new(), 5, Part::Member, Some(Role::Nurse));
    table.connect(nurse, student);
    let item = false_item(
        &mut table,
        (nurse, student),
        thread,
        (first.slot, first.seq + 1),
        None,
    );
    let envelope = Envelope::decode(&item).unwrap();
    table.hack(nurse, thread, |_, ctx| ctx.tx.inbox.push(envelope));
    table.pass(60_000);
    assert_eq!(waiting_for(&table, nurse, student), 1);
    table.add(medic, student, thread, Role::Nurse);
    table.connect(medic, student);
    table.pass(120_000);
    assert_eq!(waiting_for(&table, nurse, student), 0);
    assert_eq!(table.thread(student, thread).unproven.len(), 1);
    let _ = doctor;
    assert_eq!(table.faults(), []);
}

/// Medic and doctor removed the nurse. The doctor does not hold the key of that commit, and so cannot
/// sign a head on its node: the newest that the medic knows is older.
fn lost_a_key() -> (Table, [usize; 3], ThreadId, OpId) {
    let (mut table, medic, doctor, nurse, thread) = three();
    let dev = table.dev(nurse);
    table.command(medic, Command::Remove { thread, dev });
    table.pass(10_000);
    let commits = table.thread(doctor, thread).commits.values();
    let rotating: Vec<OpId> = commits
        .filter(|c| !c.header.removes.is_empty())
        .map(|c| *c.ops.first().unwrap())
        .collect();
    let [made_by] = rotating[..] else {
        panic!("one removal")
    };
    let slot = table.thread(doctor, thread).me(table.dev(doctor)).unwrap().0;
    let kid = table.hack(doctor, thread, |t, ctx| {
        let handle = t.makers.remove(&made_by).unwrap();
        let key = t.ring.by_handle(handle).unwrap();
        let (kid, ck) = (key.kid(), key.secret().clone());
        assert!(t.ring.forget(&ck));
        t.settle(ctx);
        kid
    });
    table.hack(medic, thread, |t, ctx| {
        let head = &mut t.heads.get_mut(&slot).unwrap().head;
        head.kids.retain(|listed| *listed != kid);
        t.rewrap_due = Some(ctx.now.mono);
    });
    (table, [medic, doctor, nurse], thread, made_by)
}

#[test]
fn a_control_key_that_a_member_does_not_list_is_told_to_it_alone() {
    let (mut table, [medic, doctor, nurse], thread, made_by) = lost_a_key();
    // the commit that removed the nurse is not on the doctor's path: what it says is under the key before
    let lists = |t: &Thread| t.makers.contains_key(&made_by);
    assert!(!lists(table.thread(doctor, thread)));
    table.pass(120_000);
    assert!(lists(table.thread(doctor, thread)));
    assert_eq!(waiting_for(&table, medic, doctor), 0);
    let note = table.note(medic, thread, "goes on");
    let back = table.note(doctor, thread, "yes");
    table.pass(60_000);
    assert_eq!(table.text(doctor, thread, note).as_deref(), Some("goes on"));
    assert_eq!(table.text(medic, thread, back).as_deref(), Some("yes"));
    assert_eq!(table.text(nurse, thread, note), None);
    assert!(!lists(table.thread(nurse, thread)), "she was removed");
    assert_eq!(waiting_for(&table, medic, nurse), 0);
}

#[test]
fn a_told_key_counts_only_if_its_commit_is_here_and_names_it() {
    let (mut table, [medic, doctor, _], thread, made_by) = lost_a_key();
    table.cut(doctor);
    let keys = |made_by, ck: [u8; 32]| {
        let ck = Secret(ck);
        let kid = ControlKey::new(ck.clone()).kid();
        let keys = vec![CtlKey { kid, ck, made_by }];
        CtlKeys { keys }
    };
    let genesis = table.thread(doctor, thread).genesis_op;
    let author = table.dev(medic);
    let before = table.thread(doctor, thread).ring.kids();
    let tell = |table: &mut Table, keys| table.hack(doctor, thread, |t, ctx| t.keys_told(ctx, author, keys));
    assert!(
        tell(&mut table, keys(made_by, [1; 32])),
        "taken, and not believed"
    );
    assert!(tell(&mut table, keys(genesis, [2; 32])), "is held already");
    assert!(!tell(&mut table, keys(OpId([3; 16]), [3; 32])), "comes again");
    assert_eq!(table.thread(doctor, thread).ring.kids(), before);
    assert!(!table.thread(doctor, thread).makers.contains_key(&made_by));
}

/// Medic, nurse, surgeon in touch and waiting for keys: the doctor said that the nurse is removed, and went.
fn waiting_for_keys() -> (Table, [usize; 4], ThreadId) {
    let (mut table, medic, doctor, nurse, thread) = three();
    let surgeon = table.seat(&Org1::new(), 9, Part::Member, Some(Role::Cardiologist));
    table.add(medic, surgeon, thread, Role::Cardiologist);
    table.connect(medic, surgeon);
    table.pass(20_000);
    for at in [medic, nurse] {
        table.note(at, thread, "earlier");
    }
    table.pass(10_000);
    let dev = table.dev(nurse);
    table.hack(doctor, thread, |t, ctx| {
        let inc = t.membership.members[&dev].inc;
        let (why, as_of) = (Why::Unsaid, t.vote);
        t.put_op(ctx, Act::Remove { dev, inc, why, as_of }).unwrap();
    });
    table.cut(doctor);
    let view = table.boxes[medic].machine.view(thread).unwrap();
    assert_eq!(view.stopped, Some(Stopped::WaitingForKeys));
    (table, [medic, doctor, nurse, surgeon], thread)
}

fn alert(table: &mut Table, at: usize, thread: ThreadId) -> EntryRef {
    let what = Outgoing::Alert {
        what: Emergency::Stemi,
        role: Role::Cardiologist,
        text: "inferior STEMI, 20 min".into(),
        about: None,
    };
    let class = Class::Alarm;
    let sent = table.command(at, Command::Send { thread, class, what });
    sent.entry.unwrap()
}

/// Bytes of an entry that says it is an alert.
fn alert_bytes(t: &Thread, ctx: &Ctx<'_>) -> Bytes {
    let mut entry = Entry::decode(&note_bytes(t, ctx)).unwrap();
    entry.kind = crate::entry::Kind::Alert;
    entry.encode()
}

fn arrivals(table: &Table, at: usize, entry: EntryRef) -> usize {
    let is_it = |e: &&Event| matches!(e, Event::Arrived { entry: e, .. } if *e == entry);
    table.boxes[at].events.iter().filter(is_it).count()
}

fn has(table: &Table, at: usize, thread: ThreadId, entry: EntryRef) -> bool {
    let b = &table.boxes[at];
    b.machine.entry(&b.store, thread, entry).unwrap().is_some()
}

#[test]
fn an_alarm_does_not_wait_for_keys() {
    for restart in [false, true] {
        let (mut table, [medic, doctor, nurse, surgeon], thread) = waiting_for_keys();
        let alarm = alert(&mut table, medic, thread);
        table.pass(1_000);
        assert!(table.thread(medic, thread).entries[&alarm].node == NodeId::default());
        assert!(has(&table, surgeon, thread, alarm), "at once");
        assert_eq!(arrivals(&table, surgeon, alarm), 1);
        assert_eq!(waiting_for(&table, medic, doctor), 1, "for when it is back");
        if restart {
            for at in [medic, surgeon] {
                table.cut(at);
                table.reopen(at);
            }
            assert!(has(&table, surgeon, thread, alarm));
            assert_eq!(table.thread(medic, thread).told_alarms.len(), 1);
            table.connect(medic, surgeon);
            table.connect(medic, nurse);
            table.pass(1_000);
            assert_eq!(waiting_for(&table, medic, surgeon), 0, "told once");
        }
        table.connect(doctor, medic);
        table.pass(60_000);
        let node = table.thread(medic, thread).entries[&alarm].node;
        for at in [doctor, surgeon] {
            assert_eq!(
                table.thread(at, thread).entries[&alarm].node,
                node,
                "sealed since"
            );
            assert_eq!(
                table.state(medic, thread, alarm, at),
                Some(State::Delivered(None))
            );
            assert_eq!(arrivals(&table, at, alarm), 1, "shown once, at {at}");
        }
        assert!(table.thread(medic, thread).told_alarms.is_empty());
        assert!(!has(&table, nurse, thread, alarm));
        assert_eq!(waiting_for(&table, medic, nurse), 0);
        assert_eq!(table.faults(), []);
    }
}

#[test]
fn other_things_wait_for_keys_and_alarms_of_strangers_are_not_shown() {
    let (mut table, [medic, doctor, nurse, surgeon], thread) = waiting_for_keys();
    let note = table.note(medic, thread, "no hurry");
    table.pass(1_000);
    assert!(!has(&table, surgeon, thread, note));
    // the nurse was removed; the surgeon knows
    let to = recipient(&table, surgeon);
    let told = |table: &mut Table, by: usize, class: Class, seq: u32| {
        table.hack(by, thread, |t, ctx| {
            let entry = alert_bytes(t, ctx);
            let content = Content::Unsealed(Unsealed { class, seq, entry });
            let (mine, inc) = t.me(ctx.dev()).unwrap_or((*t.own_slots.first().unwrap(), 1));
            assert_eq!(inc, 1);
            let item = item(ctx, &content, (t.id, mine), (class, to));
            ctx.tx.inbox.push(item);
            EntryRef { slot: mine, seq }
        })
    };
    table.connect(nurse, surgeon);
    let hers = told(&mut table, nurse, Class::Alarm, 7);
    let late = told(&mut table, medic, Class::Text, 70);
    table.pass(1_000);
    assert!(!has(&table, surgeon, thread, hers));
    assert!(!has(&table, surgeon, thread, late), "not an alarm");
    // a member floods
    for seq in 100..100 + 2 * limits::DIRECT_ALARMS as u32 {
        told(&mut table, medic, Class::Alarm, seq);
    }
    table.pass(1_000);
    let state = table.thread(surgeon, thread);
    let kept = state.entries.values().filter(|m| m.node == NodeId::default());
    assert_eq!(kept.count(), limits::DIRECT_ALARMS);
    let _ = doctor;
}

#[test]
fn what_an_author_seals_takes_the_place_of_what_it_told() {
    let (mut table, [medic, _, _, surgeon], thread) = waiting_for_keys();
    let to = recipient(&table, surgeon);
    let next = table.hack(medic, thread, |t, ctx| {
        let (mine, _) = t.me(ctx.dev()).unwrap();
        let seq = t.open.get(mine, Log::Content).map_or(0, |r| r.max()) + 1;
        let entry = alert_bytes(t, ctx);
        let class = Class::Alarm;
        let content = Content::Unsealed(Unsealed { class, seq, entry });
        let item = item(ctx, &content, (t.id, mine), (class, to));
        ctx.tx.inbox.push(item);
        EntryRef { slot: mine, seq }
    });
    table.pass(1_000);
    assert!(has(&table, surgeon, thread, next));
    let note = table.note(medic, thread, "something else");
    assert_eq!(note, next);
    table.pass(60_000);
    assert_eq!(
        table.text(surgeon, thread, note).as_deref(),
        Some("something else")
    );
    assert!(table.thread(surgeon, thread).disputed.contains(&next.slot));
}

#[test]
fn junk_at_the_place_of_an_alarm_gives_way_to_it() {
    let (mut table, [medic, _, nurse, surgeon], thread) = waiting_for_keys();
    let (slot, next) = {
        let t = table.thread(medic, thread);
        let (slot, _) = t.me(table.dev(medic)).unwrap();
        (slot, t.open.get(slot, Log::Content).map_or(0, |r| r.max()) + 1)
    };
    // who is removed says what stands there, and proves nothing
    let meta = table.hack(surgeon, thread, |t, _| {
        let at = EntryRef { slot, seq: next };
        let mut meta = t.entries.values().next().unwrap().clone();
        (meta.rewrapped, meta.verified, meta.proof) = (true, false, None);
        t.entries.insert(at, meta);
        t.unproven.insert(at);
        t.entries[&at].verified
    });
    assert!(!meta);
    let alarm = alert(&mut table, medic, thread);
    assert_eq!((alarm.slot, alarm.seq), (slot, next));
    table.pass(1_000);
    assert!(has(&table, surgeon, thread, alarm));
    assert_eq!(arrivals(&table, surgeon, alarm), 1);
    let _ = nurse;
}
