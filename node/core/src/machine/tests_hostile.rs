//! What peers, relays and members do who follow no rules: whatever it is, nothing is told that is
//! not durable, nothing authenticated changes, nobody else is stopped, and the store opens again.

use super::tests::*;
use super::*;
use crate::blob::{ChunkSize, Layer, Sealer};
use crate::clinical::{Body, CtlKey, CtlKeys, EcgSnapshot};
use crate::crypto::Secret;
use crate::delivery::State;
use crate::directory::Role;
use crate::entry::Kind;
use crate::envelope::{Class, Envelope, Place};
use crate::group::control::{Commit, Head, MadeBy, Object};
use crate::group::keys::ControlKey;
use crate::group::mls::{NodeState, SealPlace, Suite};
use crate::group::welcome::Welcome;
use crate::id::{Key8, MsgId, NodeId, OpId, Slot};
use crate::limits;
use crate::mailbox::proof::Burst;
use crate::ranges::{Log, Ranges};
use crate::store::{Batch, Engine, rows, table};
use crate::sync::Cutter;
use crate::wire::Frame;
use bytes::Bytes;

const DATA: u8 = 4;
const HAVE: u8 = 3;
const CERT: u8 = 5;

/// The frames that carry an envelope.
pub(super) fn data(envelope: Bytes) -> Bytes {
    let frames = Cutter::new(envelope, None, limits::UNIT_BYTES).map(|d| Frame::Data(d).encode());
    Bytes::from(frames.flatten().collect::<Vec<u8>>())
}

impl Table {
    /// The link of `at` to `peer`.
    fn link(&self, at: usize, peer: usize) -> LinkId {
        let found = self.wires.iter().find(|(k, v)| k.0 == at && v.0 == peer);
        found.map(|(k, _)| k.1).unwrap()
    }

    /// `at` gets bytes from `peer`.
    pub(super) fn feed(&mut self, at: usize, peer: usize, bytes: Bytes) {
        let link = self.link(at, peer);
        self.input(at, Input::Frame { link, bytes });
    }

    /// A member does what no machine of ours would do.
    pub(super) fn hack<T>(
        &mut self,
        at: usize,
        thread: ThreadId,
        act: impl FnOnce(&mut Thread, &mut Ctx<'_>) -> T,
    ) -> T {
        let now = self.now();
        let b = &mut self.boxes[at];
        b.machine.now = now;
        let store = &b.store;
        let machine = &mut b.machine;
        let done = with_thread!(machine, store, thread, |t, ctx| act(t, ctx)).unwrap();
        b.machine.finish(&b.store);
        self.drain(at);
        done
    }

    pub(super) fn thread(&self, at: usize, thread: ThreadId) -> &Thread {
        &self.boxes[at].machine.threads[&thread]
    }

    fn stopped(&self, at: usize, thread: ThreadId) -> Option<Stopped> {
        self.boxes[at].machine.view(thread).unwrap().stopped
    }

    pub(super) fn own_slot(&self, at: usize, thread: ThreadId) -> Slot {
        self.thread(at, thread).me(self.dev(at)).unwrap().0
    }

    pub(super) fn prefix(&self, at: usize, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        let all = rows(&self.boxes[at].store, prefix).unwrap();
        all.into_iter()
            .map(|(k, v)| (Bytes::from(k.to_vec()), v))
            .collect()
    }
}

/// Medic (founder), doctor, nurse, all linked with each other.
pub(super) fn three() -> (Table, usize, usize, usize, ThreadId) {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    let nurse = table.seat(&Org1::new(), 4, Part::Member, Some(Role::Nurse));
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.add(medic, nurse, thread, Role::Nurse);
    table.connect(medic, doctor);
    table.connect(medic, nurse);
    table.connect(doctor, nurse);
    table.pass(20_000);
    (table, medic, doctor, nurse, thread)
}

/// An ECG with one layer, sealed under a key that its author chose.
fn ecg(table: &mut Table, at: usize, thread: ThreadId, bytes: &[u8]) -> EntryRef {
    table.hack(at, thread, |t, ctx| {
        let mut sealer = Sealer::new(Secret([5; 32]));
        let layer = Layer::from_u8(3).unwrap();
        let chunks = sealer.layer(layer, None, ChunkSize::LARGEST, bytes).unwrap();
        let manifest = sealer.finish().unwrap();
        for (index, chunk) in (0u32..).zip(chunks) {
            let key = table::chunk(t.id, manifest.object(), 3, index);
            ctx.batch().put(key, Bytes::from(chunk));
        }
        t.own_chunks(&manifest);
        let body = Body::EcgSnapshot(EcgSnapshot {
            recorded: None,
            digest: Bytes::from_static(b"digest"),
            manifest,
            format: "dicom".into(),
            summary: None,
        });
        t.say(ctx, Class::Clinical, &body, Kind::EcgSnapshot).unwrap()
    })
}

/// What must not change by unauthenticated bytes.
fn truth(table: &Table, at: usize) -> (Vec<ThreadView>, Vec<(Bytes, Bytes)>, u64) {
    let machine = &table.boxes[at].machine;
    let views = machine.threads().into_iter().map(|id| {
        let view = machine.view(id).unwrap();
        ThreadView { parked: 0, ..view }
    });
    let kept = [b'e', b'p', b'n', b't', b'c', b'v', b'q'];
    let rows = kept.iter().flat_map(|t| table.prefix(at, &[*t]));
    (views.collect(), rows.collect(), machine.usage().items)
}

/// Frames of each type and to each machine, the rarer types first.
fn recorded() -> (Table, [usize; 3], Vec<Vec<Bytes>>) {
    let (mut table, medic, doctor, relay, thread) = two_and_a_relay();
    table.tape = Some(vec![]);
    table.connect(medic, relay);
    table.connect(doctor, relay);
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.pass(10_000);
    ecg(&mut table, medic, thread, &[3; 2500]);
    table.note(doctor, thread, "seen");
    table.pass(10_000);
    table.connect(medic, doctor);
    table.note(medic, thread, "on the way");
    table.pass(30_000);
    let tape = table.tape.take().unwrap();
    let at = [medic, doctor, relay];
    let frames = at.map(|at| {
        let mut of_type = BTreeMap::<u8, Vec<Bytes>>::new();
        for (_, bytes) in tape.iter().filter(|(to, b)| *to == at && b.len() < 1_500) {
            let some = of_type.entry(bytes[0]).or_default();
            if some.len() < if bytes[0] == DATA { 48 } else { 12 } {
                some.push(bytes.clone());
            }
        }
        of_type.into_values().flatten().collect()
    });
    (table, at, frames.into())
}

/// A copy with one to three bytes changed; sometimes of the envelope inside, under a fitting key.
fn mutated(rng: &mut crate::crypto::Stream, good: &Bytes) -> Bytes {
    let whole = crate::wire::decode_all(good).filter_map(Result::ok).next();
    let inner = match whole {
        Some(Frame::Data(d)) if d.last && d.off == 0 && rng.below(4) > 0 => Some(d.bytes),
        _ => None,
    };
    let mut bytes = inner.as_ref().unwrap_or(good).to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len() as u64) as usize;
        match rng.below(8) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes.insert(at, rng.below(256) as u8),
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5) as usize],
            _ => bytes[at] ^= 1 << rng.below(8),
        }
    }
    if inner.is_some() {
        return data(bytes.into());
    }
    bytes.into()
}

fn check_bounds(machine: &Machine, link: LinkId) {
    let Some(session) = machine.sessions.get(&link) else {
        return;
    };
    assert!(session.assembler.held_bytes() <= limits::PARTS_PER_LINK * limits::ENVELOPE_BYTES);
    assert!(session.followed.len() <= limits::THREADS * 4);
    assert!(session.announced.len() <= limits::ITEMS_PER_BURST * 4);
    assert!(session.queue.len() < 10_000);
    for thread in machine.threads.values() {
        assert!(thread.parked.places().count() <= limits::PARKED_PER_THREAD);
    }
}

#[test]
fn a_blob_of_one_thread_cannot_be_overwritten_from_another() {
    let (mut table, medic, doctor, _, one) = two_and_a_relay();
    let two = new_thread(&mut table, medic, Suite::Classical);
    table.add(medic, doctor, one, Role::Cardiologist);
    table.add(medic, doctor, two, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(10_000);
    let genuine = ecg(&mut table, medic, one, &[1; 3000]);
    table.pass(10_000);
    ecg(&mut table, medic, two, &[2; 3000]);
    table.pass(10_000);
    let b = &table.boxes[doctor];
    let layer = b.machine.layer(&b.store, one, genuine, 3).unwrap();
    assert_eq!(layer, Some(Bytes::from(vec![1; 3000])));
}

#[test]
fn garbage_at_a_place_keeps_nothing_genuine_from_the_relay() {
    garbage_at_a_place(false);
    garbage_at_a_place(true);
}

fn garbage_at_a_place(streams: bool) {
    let (mut table, medic, doctor, relay, thread) = two_and_a_relay();
    table.streams = streams;
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(10_000);
    table.cut(doctor);
    table.connect(doctor, relay);
    table.pass(5_000);
    let slot = table.own_slot(medic, thread);
    let seq = table.hack(medic, thread, |t, ctx| ctx.counters(t.id).unwrap().content + 1);
    // the doctor's device holds the handle key, and fills the place of what the medic says next
    let key = table
        .thread(doctor, thread)
        .ring
        .iter()
        .next_back()
        .unwrap()
        .clone();
    let log = Log::Content;
    let junk = Envelope {
        class: Class::Text,
        ttl: Class::Text.ttl(),
        handle: key.handle(),
        place: Place::Log { slot, log, seq },
        payload: Bytes::from(vec![0xaa; 300]),
    };
    let junk = junk.encode();
    let id = &table.boxes[doctor].id;
    let cert = Key8::from_prefix(blake3::hash(&id.routing_cert).as_bytes()).unwrap();
    let hk = Some(key.handle_pair());
    let burst = Burst::make(cert, vec![MsgId::of(&junk)], hk, &id.routing);
    let kept = table.boxes[relay].machine.usage().items;
    table.feed(relay, doctor, Frame::Burst(burst.bytes().clone()).encode());
    table.feed(relay, doctor, data(junk));
    assert_eq!(table.boxes[relay].machine.usage().items, kept + 1);
    table.cut(doctor);
    let note = table.note(medic, thread, "genuine");
    table.connect(medic, relay);
    table.pass(30_000);
    let state = table.state(medic, thread, note, doctor);
    assert!(matches!(state, Some(State::AtRelay { .. })), "{state:?}");
    table.cut(medic);
    table.connect(doctor, relay);
    table.pass(30_000);
    assert_eq!(table.text(doctor, thread, note).as_deref(), Some("genuine"));
    table.connect(medic, relay);
    table.pass(30_000);
    let state = table.state(medic, thread, note, doctor);
    assert_eq!(state, Some(State::Delivered(None)));
}

#[test]
fn changed_frames_change_nothing_that_was_authenticated() {
    let copies = match std::env::var_os("AIDMESH_LONG") {
        Some(_) => 100_000,
        None => 10_000,
    };
    let (mut table, machines, frames) = recorded();
    for (at, frames) in machines.into_iter().zip(frames) {
        assert!(frames.len() > 10);
        let before = truth(&table, at);
        let neighbour = if at == machines[2] {
            machines[0]
        } else {
            machines[2]
        };
        let peer = table.boxes[neighbour].id.routing.public();
        let mut rng = crate::crypto::Stream::new([at as u8; 32]);
        for n in 0..copies {
            let link = LinkId(9_000);
            if !table.boxes[at].machine.sessions.contains_key(&link) {
                // the neighbour that said most of it says it again, on a new link
                let info = LinkInfo {
                    peer,
                    exporter: [9; 32],
                    mtu: 1200,
                    thin: false,
                    streams: false,
                };
                table.input(at, Input::LinkUp { link, info });
                table.input(at, Input::Budget { link, bytes: 1 << 20 });
                for bytes in frames.iter().filter(|b| b[0] < HAVE || b[0] == CERT) {
                    let bytes = bytes.clone();
                    table.input(at, Input::Frame { link, bytes });
                }
            }
            let bytes = mutated(&mut rng, &frames[n % frames.len()]);
            table.input(at, Input::Frame { link, bytes });
            if n % 500 == 0 {
                table.boxes[at].events.clear();
                check_bounds(&table.boxes[at].machine, link);
            }
        }
        assert!(!table.boxes[at].machine.poisoned);
        let after = truth(&table, at);
        assert_eq!(before.0, after.0);
        assert_eq!(before.2, after.2);
        assert!(before.1 == after.1, "a row changed");
    }
}

#[test]
fn a_founder_who_tells_too_many_keys_does_not_keep_the_store_from_opening() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(10_000);
    let ck = Secret([7; 32]);
    let kid = ControlKey::new(ck.clone()).kid();
    for round in 0..3u8 {
        let key = |n: u8| CtlKey {
            kid,
            ck: ck.clone(),
            made_by: OpId([round * 64 + n; 16]),
        };
        let keys = (0..limits::CONTROL_KEYS as u8).map(key).collect();
        let body = Body::CtlKeys(CtlKeys { keys });
        table.hack(medic, thread, |t, ctx| {
            t.say(ctx, Class::Text, &body, Kind::CtlKeys).unwrap();
        });
        table.pass(5_000);
    }
    table.reopen(doctor);
    table.connect(medic, doctor);
    let note = table.note(doctor, thread, "still here");
    table.pass(10_000);
    assert_eq!(table.text(medic, thread, note).as_deref(), Some("still here"));
}

#[test]
fn one_member_alone_cannot_stop_another_by_claiming_what_it_never_wrote() {
    let (mut table, medic, doctor, nurse, thread) = three();
    let mine = table.own_slot(medic, thread);
    table.hack(nurse, thread, |t, ctx| {
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
            node: t.head,
            hlc: *ctx.hlc,
            open,
            blobs: Default::default(),
            kids: vec![],
        };
        let handle = t.handle_now().unwrap();
        t.put_control(ctx, slot, handle, Class::Text, Object::Head(head))
            .unwrap();
    });
    table.pass(10_000);
    assert_eq!(table.stopped(medic, thread), None);
    let note = table.note(medic, thread, "goes on");
    table.pass(10_000);
    assert_eq!(table.text(doctor, thread, note).as_deref(), Some("goes on"));
}

#[test]
fn a_welcome_that_no_commit_makes_leads_nowhere() {
    let (mut table, _, doctor, nurse, thread) = three();
    table.boxes[doctor].events.clear();
    let suite = Suite::Classical;
    table.command(doctor, Command::MakeCard { suite });
    let card = table.boxes[doctor].events.iter().find_map(|e| match e {
        Event::CardMade { card } => Some(card.key_package.clone()),
        _ => None,
    });
    let payload = table.hack(nurse, thread, |t, ctx| {
        let group: [u8; 8] = t.id.0[..8].try_into().unwrap();
        let (device, cert) = (&ctx.member.device, &ctx.member.cert);
        let state = NodeState::create(ctx.crypto, suite, &group, device, cert).unwrap();
        let mut made = state.commit(ctx.crypto, device, &[card.unwrap()], &[]).unwrap();
        let node = NodeId([7; 16]);
        let slot = Slot::of(t.id, &device.public(), 1);
        let place = SealPlace {
            class: Class::Text,
            slot,
            seq: 0,
            node,
        };
        let ck = Secret([9; 32]);
        let key = CtlKey {
            kid: ControlKey::new(ck.clone()).kid(),
            ck,
            made_by: OpId([9; 16]),
        };
        let keys = Body::CtlKeys(CtlKeys { keys: vec![key] }).encode().unwrap();
        let keys = made.child.seal(ctx.crypto, device, &place, 0, &keys).unwrap();
        let welcome = Welcome {
            node,
            parent: t.head,
            genesis_hash: t.genesis_hash,
            slot,
            welcome: made.welcome.unwrap(),
            tree: made.tree,
            keys,
        };
        welcome.encode()
    });
    let inbox = &table.boxes[doctor].id.member.as_ref().unwrap().inbox;
    let envelope = Envelope {
        class: Class::Text,
        ttl: Class::Text.ttl(),
        handle: Handle::of_key(&inbox.public()),
        place: Place::Inbox,
        payload,
    };
    let stands = |t: &Table| {
        let state = t.thread(doctor, thread);
        (state.head, state.vote, state.handle_now(), state.stopped)
    };
    let before = stands(&table);
    table.feed(doctor, nurse, data(envelope.encode()));
    assert_eq!(stands(&table), before);
    table.reopen(doctor);
    table.connect(doctor, nurse);
    table.pass(10_000);
    assert_eq!(stands(&table), before);
    let note = table.note(doctor, thread, "nowhere else");
    table.pass(10_000);
    assert_eq!(table.text(nurse, thread, note).as_deref(), Some("nowhere else"));
}

#[test]
fn evidence_of_two_words_at_one_place_is_bounded_and_survives_a_restart() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(10_000);
    let said = table.note(doctor, thread, "which?");
    table.pass(10_000);
    for n in 0..2 * limits::SECONDS_PER_SLOT as u8 {
        let envelope = table.hack(doctor, thread, |t, ctx| {
            let before = ctx.counters(t.id).unwrap();
            let (slot, _) = t.me(ctx.dev()).unwrap();
            let handle = t.handle_now().unwrap();
            let package = Object::KeyPackage(Bytes::from(vec![n; 300]));
            t.put_control(ctx, slot, handle, Class::Text, package).unwrap();
            ctx.set_counters(t.id, &before);
            let row = table::envelope(t.id, slot, Log::Control as u8, before.control + 1);
            ctx.get(&row).unwrap().unwrap()
        });
        table.feed(medic, doctor, data(envelope));
    }
    let disputed = |t: &Table| {
        let b = &t.boxes[medic];
        b.machine.entry(&b.store, thread, said).unwrap().unwrap().disputed
    };
    assert!(disputed(&table));
    let kept = |t: &Table| {
        t.prefix(medic, &[table::second(thread, MsgId::default())[0]])
            .len()
    };
    assert_eq!(kept(&table), limits::SECONDS_PER_SLOT);
    table.reopen(medic);
    assert!(disputed(&table));
}

#[test]
fn nothing_leaves_while_its_batch_is_in_flight() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.tape = Some(vec![]);
    table.pass(20_000);
    let tape = table.tape.take().unwrap();
    let have = tape.iter().rev().find(|(to, b)| *to == medic && b[0] == HAVE);
    let bytes = have.unwrap().1.clone();
    let (now, link) = (table.now(), table.link(medic, doctor));
    let b = &mut table.boxes[medic];
    let what = Outgoing::Note("not durable".into());
    let send = Command::Send {
        thread,
        class: Class::Text,
        what,
    };
    b.machine.command(&b.store, now, send).unwrap();
    let mut held = vec![];
    // the disk is slow: nothing is confirmed, and the peer says again what it has
    for _ in 0..2 {
        let frame = Input::Frame {
            link,
            bytes: bytes.clone(),
        };
        b.machine.handle(&b.store, now, frame);
        while let Some(out) = b.machine.poll() {
            match out {
                Output::Commit { ticket, batch } => {
                    // a read may show it, but it is not durable
                    b.store.apply(&batch).unwrap();
                    held.push(ticket);
                }
                Output::Transmit { bytes, .. } => assert_ne!(bytes[0], DATA, "told before it was durable"),
                _ => {}
            }
        }
    }
    assert!(!held.is_empty());
    for ticket in held {
        table.input(medic, Input::Committed { ticket });
    }
    table.pass(5_000);
    assert_eq!(table.boxes[doctor].machine.entries(thread).len(), 1);
}

#[test]
fn own_welcomes_are_not_refused_by_the_own_quota() {
    let (mut table, medic, ..) = two_and_a_relay();
    let now = table.now();
    let b = &mut table.boxes[medic];
    b.machine.now = now;
    for n in 0..30u8 {
        b.machine.tx.inbox.push(Envelope {
            class: Class::Text,
            ttl: Class::Text.ttl(),
            handle: Handle([9; 8]),
            place: Place::Inbox,
            payload: Bytes::from(vec![n; 60_000]),
        });
    }
    b.machine.finish(&b.store);
    table.drain(medic);
    assert_eq!(table.boxes[medic].machine.usage().items, 30);
}

#[test]
fn an_alarm_that_no_carrier_would_take_is_refused_at_once() {
    let (mut table, medic, ..) = two_and_a_relay();
    let thread = table.boxes[medic].machine.threads()[0];
    let what = Outgoing::Note("x".repeat(2_000));
    let class = Class::Alarm;
    let made = table.try_command(medic, Command::Send { thread, class, what });
    assert!(matches!(made, Err(CommandError::Invalid(_))), "{made:?}");
    assert_eq!(table.boxes[medic].machine.view(thread).unwrap().unsealed, 0);
}

#[test]
fn a_batch_does_not_show_its_rows() {
    let mut batch = Batch::new();
    batch.put(b"key".to_vec(), b"a patient's name".to_vec());
    let shown = format!("{batch:?}");
    assert!(!shown.contains("110") && !shown.contains("patient"), "{shown}");
}

#[test]
fn a_receipt_of_a_key_that_nobody_certified_is_no_relay() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    let (ours, theirs) = (Org1::new(), Org1::of_seed(77));
    let stranger = table.seat(&theirs, 9, Part::Relay, None);
    let root_card = ours.card.clone();
    table.command(
        stranger,
        Command::Trust {
            root_card,
            own: false,
        },
    );
    let cert = ours.admin_cert.clone();
    table.command(stranger, Command::LearnAdmin { cert });
    table.add(medic, doctor, thread, Role::Cardiologist);
    let note = table.note(medic, thread, "who keeps this?");
    table.connect(medic, stranger);
    table.pass(30_000);
    assert_eq!(table.state(medic, thread, note, doctor), Some(State::Stored));
}

#[test]
fn a_lost_certificate_or_welcome_is_said_again() {
    for kind in [CERT, DATA] {
        let (mut table, medic, doctor, relay, thread) = two_and_a_relay();
        table.add(medic, doctor, thread, Role::Cardiologist);
        if kind == CERT {
            table.lose = vec![(relay, CERT); 2];
        }
        table.connect(medic, relay);
        table.pass(60_000);
        table.cut(medic);
        if kind == DATA {
            table.lose = vec![(relay, DATA); 4];
        }
        table.connect(doctor, relay);
        table.pass(60_000);
        table.cut(doctor);
        let note = table.note(medic, thread, "through a bad link");
        if kind == CERT {
            table.lose = vec![(relay, CERT); 2];
        }
        table.connect(medic, relay);
        table.pass(60_000);
        let state = table.state(medic, thread, note, doctor);
        assert!(matches!(state, Some(State::AtRelay { .. })), "{state:?}");
        table.connect(doctor, relay);
        table.pass(30_000);
        assert_eq!(
            table.text(doctor, thread, note).as_deref(),
            Some("through a bad link")
        );
    }
}

#[test]
fn a_lost_greeting_or_list_of_threads_is_said_again() {
    const HELLO: u8 = 1;
    const THREADS: u8 = 2;
    for kind in [HELLO, THREADS] {
        let (mut table, medic, doctor, _, thread) = two_and_a_relay();
        table.add(medic, doctor, thread, Role::Cardiologist);
        table.connect(medic, doctor);
        table.pass(10_000);
        table.cut(medic);
        table.lose = vec![(medic, kind); 2];
        table.connect(medic, doctor);
        table.pass(1_000);
        let note = table.note(medic, thread, "on a bad link");
        table.pass(60_000);
        assert_eq!(table.text(doctor, thread, note).as_deref(), Some("on a bad link"));
        assert_eq!(table.lose, []);
    }
}

#[test]
fn commits_that_cannot_be_built_take_little_memory() {
    let (mut table, medic, _, nurse, thread) = three();
    let before = table.thread(medic, thread).commits.len();
    for n in 0..2 * limits::UNBUILT_PER_SLOT as u8 {
        table.hack(nurse, thread, |t, ctx| {
            let (author, _) = t.me(ctx.dev()).unwrap();
            let handle = t.handle_now().unwrap();
            let parent = t.head;
            // key packages that nobody has
            let body = [&[0u8][..], &[n; 32]].concat().into();
            let commit = Commit {
                parent,
                author,
                made_by: MadeBy::Member,
                adds: vec![OpId([n; 16])],
                removes: vec![],
                key: None,
                body,
            };
            t.put_control(ctx, author, handle, Class::Text, Object::Commit(commit))
                .unwrap();
        });
    }
    table.pass(10_000);
    let t = table.thread(medic, thread);
    assert_eq!(
        (t.unbuilt.len(), t.commits.len()),
        (limits::UNBUILT_PER_SLOT, before)
    );
    assert_eq!(table.stopped(medic, thread), None);
}
