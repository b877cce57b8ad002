//! Machines on a table: links without delay or loss, stores in memory, a clock that jumps from
//! deadline to deadline. What the simulator does to them lives in `scenarios`; here each rule has
//! one small story.

use super::*;
use crate::clinical::{Act, Body};
use crate::crypto::{KeyPair, Secret, kdf, x25519_public};
use crate::delivery::State;
use crate::directory::{
    AdminCert, DeviceCert, Name, Power, Role, Roles, RootCard, RoutingCert, Signed, ThreadKind, Window,
};
use crate::entry::Kind;
use crate::envelope::Class;
use crate::group::control::History;
use crate::group::mls::Suite;
use crate::id::{Key8, Org};
use crate::store::{Engine, Memory};
use crate::time::Wall;
use bytes::Bytes;

pub(super) const WALL: u64 = 1_800_000_000_000;

pub(super) struct Org1 {
    pub(super) root: KeyPair,
    pub(super) admin: KeyPair,
    pub(super) card: Bytes,
    pub(super) admin_cert: Bytes,
}

pub(super) fn window() -> Window {
    let now = (WALL / 60_000) as u32;
    Window {
        not_before_min: now - 1_000,
        not_after_min: now + 300_000,
    }
}

impl Org1 {
    pub(super) fn new() -> Org1 {
        Org1::of_seed(1)
    }

    pub(super) fn of_seed(n: u8) -> Org1 {
        let (root, admin) = (
            KeyPair::from_seed(&[n; 32]),
            KeyPair::from_seed(&[n.wrapping_add(1); 32]),
        );
        let card = RootCard::new(&root, Name::new("Org").unwrap());
        let cert = AdminCert {
            org: Org::of_root(&root.public()),
            serial: 1,
            admin_key: admin.public(),
            powers: Power::Enrol as u8 | Power::Revoke as u8,
            window: window(),
            sig: [0; 64],
        };
        let admin_cert = cert.signed_by(&root).encode();
        Org1 {
            card: card.encode(),
            root,
            admin,
            admin_cert,
        }
    }

    pub(super) fn identity(&self, n: u8, role: Option<Role>) -> Identity {
        let key = |what: &str| KeyPair::from_seed(&kdf(&[n; 8], what).0);
        let (org, issuer) = (
            Org::of_root(&self.root.public()),
            Key8::of_key(&self.admin.public()),
        );
        let routing = key("routing");
        let cert = RoutingCert {
            org,
            serial: u32::from(n),
            routing_key: routing.public(),
            quota: 1,
            window: window(),
            issuer,
            sig: [0; 64],
        };
        let routing_cert = cert.signed_by(&self.admin).encode();
        let member = role.map(|role| {
            let (device, inbox) = (key("device"), key("inbox"));
            let cert = DeviceCert {
                org,
                serial: u32::from(n),
                device_key: device.public(),
                seal_key: x25519_public(&Secret([n; 32])),
                inbox_key: inbox.public(),
                person: Person([n; 8]),
                roles: Roles::of(&[role]),
                window: window(),
                issuer,
                name: Name::new(&format!("Device {n}")).unwrap(),
                sig: [0; 64],
            };
            let cert = cert.signed_by(&self.admin).encode();
            MemberKeys {
                device,
                seal: Secret([n; 32]),
                inbox,
                cert,
            }
        });
        Identity {
            routing,
            routing_cert,
            member,
        }
    }
}

pub(super) struct Box1 {
    pub(super) machine: Machine,
    pub(super) store: Memory,
    pub(super) id: Identity,
    pub(super) part: Part,
    pub(super) generation: u64,
    pub(super) events: Vec<Event>,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) boxes: Vec<Box1>,
    /// (from, link) -> (to, link)
    pub(super) wires: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    pub(super) now_us: u64,
    pub(super) links: u32,
    pub(super) bytes: u64,
    /// Frames sent, with who gets them, while a tape is in.
    pub(super) tape: Option<Vec<(usize, Bytes)>>,
    /// Frames that will be lost: from whom, of which type.
    pub(super) lose: Vec<(usize, u8)>,
    /// Links are of streams.
    pub(super) streams: bool,
    /// What is under way while nothing arrives.
    pub(super) under_way: Option<Vec<(usize, Input)>>,
}

impl Table {
    pub(super) fn now(&self) -> Now {
        Now {
            mono: Instant(self.now_us),
            wall: Wall(WALL + self.now_us / 1000),
        }
    }

    pub(super) fn seat(&mut self, org: &Org1, n: u8, part: Part, role: Option<Role>) -> usize {
        let id = org.identity(n, role);
        let cfg = Config {
            part,
            carry_bytes: 1 << 24,
            generation: 1,
        };
        let store = Memory::new();
        let machine = Machine::open(cfg, id.clone(), &store, [n; 32], self.now()).unwrap();
        self.boxes.push(Box1 {
            machine,
            store,
            id,
            part,
            generation: 1,
            events: vec![],
        });
        let at = self.boxes.len() - 1;
        self.drain(at);
        self.command(
            at,
            Command::Trust {
                root_card: org.card.clone(),
                own: true,
            },
        );
        self.command(
            at,
            Command::LearnAdmin {
                cert: org.admin_cert.clone(),
            },
        );
        if role.is_some() {
            self.command(
                at,
                Command::SignOn {
                    person: Person([n; 8]),
                },
            );
        }
        at
    }

    pub(super) fn command(&mut self, at: usize, c: Command) -> Made {
        self.try_command(at, c).unwrap()
    }

    pub(super) fn try_command(&mut self, at: usize, c: Command) -> Result<Made, CommandError> {
        let now = self.now();
        let b = &mut self.boxes[at];
        let made = b.machine.command(&b.store, now, c);
        self.drain(at);
        made
    }

    pub(super) fn input(&mut self, at: usize, input: Input) {
        let now = self.now();
        let b = &mut self.boxes[at];
        b.machine.handle(&b.store, now, input);
        self.drain(at);
    }

    pub(super) fn drain(&mut self, at: usize) {
        let mut queue = vec![];
        loop {
            let b = &mut self.boxes[at];
            match b.machine.poll() {
                Some(Output::Commit { ticket, batch }) => {
                    b.store.apply(&batch).unwrap();
                    let now = Now {
                        mono: Instant(self.now_us),
                        wall: Wall(WALL + self.now_us / 1000),
                    };
                    let b = &mut self.boxes[at];
                    b.machine.handle(&b.store, now, Input::Committed { ticket });
                }
                Some(Output::Transmit { link, bytes, .. }) => queue.push((link, bytes)),
                Some(Output::Event(event)) => b.events.push(event),
                Some(Output::Disconnect { link, .. }) => {
                    self.wires.remove(&(at, link));
                }
                None => break,
            }
        }
        for (link, bytes) in queue {
            self.bytes += bytes.len() as u64;
            if let Some(lost) = self.lose.iter().position(|l| *l == (at, bytes[0])) {
                self.lose.remove(lost);
                continue;
            }
            if let Some((to, theirs)) = self.wires.get(&(at, link)).copied() {
                if let Some(tape) = &mut self.tape {
                    tape.push((to, bytes.clone()));
                }
                let frame = Input::Frame { link: theirs, bytes };
                match &mut self.under_way {
                    Some(frames) => frames.push((to, frame)),
                    None => self.input(to, frame),
                }
            }
        }
    }

    /// From here nothing arrives.
    pub(super) fn silence(&mut self) {
        self.under_way = Some(vec![]);
    }

    /// All that is under way arrives.
    pub(super) fn end_silence(&mut self) {
        for (to, frame) in self.under_way.take().unwrap_or_default() {
            self.input(to, frame);
        }
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        self.connect_with(a, b, u32::MAX);
    }

    pub(super) fn connect_with(&mut self, a: usize, b: usize, bytes: u32) {
        self.links += 2;
        let (la, lb) = (LinkId(self.links), LinkId(self.links + 1));
        self.wires.insert((a, la), (b, lb));
        self.wires.insert((b, lb), (a, la));
        for (at, link, peer) in [(a, la, b), (b, lb, a)] {
            let peer = self.boxes[peer].id.routing.public();
            let info = LinkInfo {
                peer,
                exporter: [9; 32],
                mtu: 1200,
                thin: false,
                streams: self.streams,
            };
            self.input(at, Input::LinkUp { link, info });
        }
        for (at, link) in [(a, la), (b, lb)] {
            self.input(at, Input::Budget { link, bytes });
        }
    }

    pub(super) fn cut(&mut self, a: usize) {
        let wires: Vec<_> = self
            .wires
            .iter()
            .filter(|(k, v)| k.0 == a || v.0 == a)
            .map(|(k, _)| *k)
            .collect();
        for (at, link) in wires {
            self.wires.remove(&(at, link));
            self.input(at, Input::LinkDown { link });
        }
    }

    /// Lets time pass, deadline by deadline.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now_us + ms * 1000;
        for _ in 0..20_000 {
            let due = |b: &Box1| b.machine.next_wakeup().map(|(at, _)| at.0);
            let next = self
                .boxes
                .iter()
                .enumerate()
                .filter_map(|(i, b)| due(b).map(|at| (at, i)))
                .min();
            match next {
                Some((at, i)) if at <= end => {
                    self.now_us = self.now_us.max(at) + 1;
                    self.input(i, Input::Wake);
                }
                _ => break,
            }
        }
        self.now_us = self.now_us.max(end);
    }

    pub(super) fn reopen(&mut self, at: usize) {
        self.cut(at);
        let now = self.now();
        let b = &mut self.boxes[at];
        b.generation += 1;
        let cfg = Config {
            part: b.part,
            carry_bytes: 1 << 24,
            generation: b.generation,
        };
        let seed = [b.generation as u8 ^ 0x55; 32];
        b.machine = Machine::open(cfg, b.id.clone(), &b.store, seed, now).unwrap();
        self.drain(at);
    }

    pub(super) fn introduce(&mut self, whom: usize, to: usize, suite: Suite) {
        self.boxes[whom].events.clear();
        self.command(whom, Command::MakeCard { suite });
        let made = self.boxes[whom].events.iter().find_map(|e| match e {
            Event::CardMade { card } => Some(card.clone()),
            _ => None,
        });
        self.command(to, Command::LearnCard { card: made.unwrap() });
    }

    pub(super) fn dev(&self, at: usize) -> Dev {
        Dev::of_key(&self.boxes[at].id.member.as_ref().unwrap().device.public())
    }

    pub(super) fn add(&mut self, by: usize, whom: usize, thread: ThreadId, role: Role) {
        self.introduce(whom, by, Suite::Classical);
        let dev = self.dev(whom);
        self.command(by, Command::Add { thread, dev, role });
    }

    pub(super) fn note(&mut self, at: usize, thread: ThreadId, text: &str) -> EntryRef {
        let what = Outgoing::Note(text.into());
        self.command(
            at,
            Command::Send {
                thread,
                class: Class::Text,
                what,
            },
        )
        .entry
        .unwrap()
    }

    pub(super) fn text(&self, at: usize, thread: ThreadId, entry: EntryRef) -> Option<String> {
        let b = &self.boxes[at];
        match b.machine.entry(&b.store, thread, entry).unwrap()?.body {
            Body::Note(note) => Some(note.text),
            _ => None,
        }
    }

    pub(super) fn state(&self, at: usize, thread: ThreadId, entry: EntryRef, whom: usize) -> Option<State> {
        let dev = self.dev(whom);
        let all = self.boxes[at].machine.delivery(thread, entry);
        all.into_iter().find(|(d, ..)| *d == dev).map(|(_, s, _)| s)
    }

    pub(super) fn faults(&self) -> Vec<(usize, Event)> {
        let bad = |e: &Event| {
            matches!(
                e,
                Event::PeerMisbehaved { .. } | Event::Equivocation { .. } | Event::StoreFailed
            )
        };
        let all = self.boxes.iter().enumerate();
        all.flat_map(|(i, b)| b.events.iter().filter(|e| bad(e)).map(move |e| (i, e.clone())))
            .collect()
    }
}

pub(super) fn new_thread(table: &mut Table, founder: usize, suite: Suite) -> ThreadId {
    let c = Command::CreateThread {
        kind: ThreadKind::Patient,
        history: History::All,
        suite,
        title: "7K2".into(),
    };
    table.command(founder, c).thread.unwrap()
}

pub(super) fn two_and_a_relay() -> (Table, usize, usize, usize, ThreadId) {
    let org = Org1::new();
    let mut table = Table::default();
    let medic = table.seat(&org, 1, Part::Member, Some(Role::Paramedic));
    let doctor = table.seat(&org, 2, Part::Member, Some(Role::Cardiologist));
    let relay = table.seat(&org, 3, Part::Relay, None);
    let thread = new_thread(&mut table, medic, Suite::Classical);
    (table, medic, doctor, relay, thread)
}

#[test]
fn a_note_goes_to_a_neighbour_and_comes_back_as_delivered() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(5_000);
    let entry = table.note(medic, thread, "aspirin 300 mg");
    assert_eq!(table.state(medic, thread, entry, doctor), Some(State::Stored));
    table.pass(10_000);
    assert_eq!(
        table.text(doctor, thread, entry).as_deref(),
        Some("aspirin 300 mg")
    );
    assert_eq!(
        table.state(medic, thread, entry, doctor),
        Some(State::Delivered(None))
    );
    assert_eq!(table.faults(), []);
}

#[test]
fn an_ecg_waits_at_a_relay_that_cannot_read_it() {
    let (mut table, medic, doctor, relay, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    let original = Bytes::from_iter((0..20_000u32).map(|n| ((n * n) >> 3) as u8));
    let layers = vec![LayerData {
        layer: 4,
        name: "ecg.dcm".into(),
        bytes: original.clone(),
    }];
    let digest = Bytes::from_static(b"digest");
    let what = Outgoing::Ecg {
        recorded_ms: Some(WALL),
        digest,
        format: "dicom".into(),
        layers,
    };
    let made = table.command(
        medic,
        Command::Send {
            thread,
            class: Class::Clinical,
            what,
        },
    );
    let entry = made.entry.unwrap();
    table.connect(medic, relay);
    table.pass(30_000);
    let state = table.state(medic, thread, entry, doctor);
    assert!(
        matches!(state, Some(State::AtRelay { q: Some(q), .. }) if q.to_u8() == 4),
        "{state:?}"
    );
    table.cut(medic);
    table.connect(doctor, relay);
    table.pass(30_000);
    let b = &table.boxes[doctor];
    assert_eq!(
        b.machine.layer(&b.store, thread, entry, 4).unwrap(),
        Some(original)
    );
    let ack = Outgoing::Ack {
        entry,
        act: Act::Activated,
        layer: Some(4),
    };
    table.command(
        doctor,
        Command::Send {
            thread,
            class: Class::Alarm,
            what: ack,
        },
    );
    table.connect(medic, relay);
    table.pass(30_000);
    let state = table.state(medic, thread, entry, doctor);
    assert!(
        matches!(
            state,
            Some(State::Acknowledged {
                act: Act::Activated,
                ..
            })
        ),
        "{state:?}"
    );
    assert_eq!(table.faults(), []);
    assert!(!on_disk(&table.boxes[relay].store, b"7K2"));
}

/// X-Wing cards of about 3 kB reach a member by the relay, are learned there and serve to add.
#[test]
fn cards_in_a_roster_are_learned_and_added() {
    let (mut table, medic, doctor, relay, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    let org = Org1::new();
    let nurses = [9, 10].map(|n| table.seat(&org, n, Part::Member, Some(Role::Nurse)));
    let cards = nurses.map(|nurse| {
        table.command(nurse, Command::MakeCard { suite: Suite::XWing });
        let made = table.boxes[nurse].events.iter().find_map(|e| match e {
            Event::CardMade { card } => Some(card.clone()),
            _ => None,
        });
        made.unwrap()
    });
    assert!(cards.iter().all(|card| card.key_package.len() > 2_000));
    let send = |class, cards: &[Card]| Command::Send {
        thread,
        class,
        what: Outgoing::Roster(cards.to_vec()),
    };
    let long = table.try_command(medic, send(Class::Alarm, &cards));
    assert_eq!(long, Err(CommandError::Invalid("too long for an alarm")));
    assert!(table.try_command(medic, send(Class::Text, &[])).is_err());
    let entry = table.command(medic, send(Class::Text, &cards)).entry.unwrap();
    table.connect(medic, relay);
    table.connect(doctor, relay);
    table.pass(30_000);
    let b = &table.boxes[doctor];
    let told = |e: &Event| matches!(e, Event::Arrived { entry: at, kind: Kind::Roster, .. } if *at == entry);
    assert!(b.events.iter().any(told));
    let body = b.machine.entry(&b.store, thread, entry).unwrap().unwrap().body;
    let Body::Roster(roster) = body else {
        panic!("{body:?}")
    };
    assert_eq!(roster.cards, cards);
    let create = Command::CreateThread {
        kind: ThreadKind::Patient,
        history: History::All,
        suite: Suite::XWing,
        title: "7K3".into(),
    };
    let case = table.command(doctor, create).thread.unwrap();
    let add = Command::Add {
        thread: case,
        dev: table.dev(nurses[0]),
        role: Role::Nurse,
    };
    assert_eq!(
        table.try_command(doctor, add.clone()),
        Err(CommandError::UnknownDevice)
    );
    for card in roster.cards {
        table.command(doctor, Command::LearnCard { card });
    }
    table.command(doctor, add);
    assert_eq!(table.faults(), []);
}

fn on_disk(store: &Memory, secret: &[u8]) -> bool {
    store
        .rows()
        .any(|(_, row)| row.windows(secret.len()).any(|w| w == secret))
}

#[test]
fn a_late_joiner_reads_what_was_said_before() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    let early: Vec<EntryRef> = (0..5)
        .map(|n| table.note(medic, thread, &format!("early {n}")))
        .collect();
    let org = Org1::new();
    let nurse = table.seat(&org, 4, Part::Member, Some(Role::Nurse));
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(10_000);
    table.add(medic, nurse, thread, Role::Nurse);
    table.connect(medic, nurse);
    table.pass(120_000);
    for (n, entry) in early.into_iter().enumerate() {
        assert_eq!(table.text(nurse, thread, entry), Some(format!("early {n}")));
    }
    let arrived = table.boxes[nurse]
        .events
        .iter()
        .filter(|e| matches!(e, Event::Arrived { rewrapped: true, .. }));
    assert_eq!(arrived.count(), 5);
    assert_eq!(table.faults(), []);
}

#[test]
fn a_removed_device_opens_nothing_sealed_later() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(5_000);
    let before = table.note(medic, thread, "before");
    table.pass(5_000);
    let dev = table.dev(doctor);
    table.command(medic, Command::Remove { thread, dev });
    let after = table.note(medic, thread, "after");
    table.pass(60_000);
    assert_eq!(table.text(doctor, thread, before).as_deref(), Some("before"));
    assert_eq!(table.text(doctor, thread, after), None);
    let view = table.boxes[medic].machine.view(thread).unwrap();
    assert_eq!((view.members.len(), view.stopped), (1, None));
}

#[test]
fn a_forbidden_removal_is_refused_and_writes_nothing() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    let nurse = table.seat(&Org1::new(), 4, Part::Member, Some(Role::Nurse));
    for (who, role) in [(doctor, Role::Cardiologist), (nurse, Role::Nurse)] {
        table.add(medic, who, thread, role);
        table.connect(medic, who);
    }
    table.pass(10_000);
    let stored = table.boxes[nurse].store.clone();
    let dev = table.dev(doctor);
    let answer = table.try_command(nurse, Command::Remove { thread, dev });
    assert_eq!(answer.err(), Some(CommandError::Forbidden));
    assert_eq!(table.boxes[nurse].store, stored);
    let dev = table.dev(nurse);
    table.command(doctor, Command::Remove { thread, dev });
    table.pass(10_000);
    let view = table.boxes[medic].machine.view(thread).unwrap();
    assert_eq!((view.members.len(), view.stopped), (2, None));
}

#[test]
fn everything_is_there_again_after_a_restart() {
    let (mut table, medic, doctor, relay, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, relay);
    table.connect(doctor, relay);
    table.pass(10_000);
    let first = table.note(medic, thread, "one");
    let answer = table.note(doctor, thread, "two");
    table.pass(20_000);
    let views = [medic, doctor].map(|at| table.boxes[at].machine.view(thread).unwrap());
    let states =
        [(medic, first, doctor), (doctor, answer, medic)].map(|(a, e, w)| table.state(a, thread, e, w));
    for at in [medic, doctor, relay] {
        table.reopen(at);
    }
    for (at, view) in [medic, doctor].into_iter().zip(views) {
        assert_eq!(table.boxes[at].machine.view(thread).unwrap(), view);
    }
    let again =
        [(medic, first, doctor), (doctor, answer, medic)].map(|(a, e, w)| table.state(a, thread, e, w));
    assert_eq!(again, states);
    assert_eq!(states[0], Some(State::Delivered(None)));
    table.connect(medic, doctor);
    let third = table.note(medic, thread, "three");
    table.pass(20_000);
    assert_eq!(table.text(doctor, thread, third).as_deref(), Some("three"));
    assert_eq!(table.faults(), []);
}

#[test]
fn x_wing_is_the_same_story() {
    let org = Org1::new();
    let mut table = Table::default();
    let medic = table.seat(&org, 1, Part::Member, Some(Role::Paramedic));
    let doctor = table.seat(&org, 2, Part::Member, Some(Role::Cardiologist));
    let thread = new_thread(&mut table, medic, Suite::XWing);
    table.introduce(doctor, medic, Suite::XWing);
    let dev = table.dev(doctor);
    table.command(
        medic,
        Command::Add {
            thread,
            dev,
            role: Role::Cardiologist,
        },
    );
    table.connect(medic, doctor);
    table.pass(5_000);
    let entry = table.note(doctor, thread, "which access?");
    table.pass(5_000);
    assert_eq!(table.text(medic, thread, entry).as_deref(), Some("which access?"));
    let arrived = |e: &Event| matches!(e, Event::Arrived { kind: Kind::Note, .. });
    assert!(table.boxes[medic].events.iter().any(arrived));
}

#[test]
fn what_a_pinned_relay_signs_counts_though_no_organisation_vouches_for_it() {
    let (org, stranger) = (Org1::new(), Org1::of_seed(9));
    let mut table = Table::default();
    let medic = table.seat(&org, 1, Part::Member, Some(Role::Paramedic));
    let doctor = table.seat(&org, 2, Part::Member, Some(Role::Cardiologist));
    let relay = table.seat(&stranger, 3, Part::Relay, None);
    let (root_card, cert) = (org.card.clone(), org.admin_cert.clone());
    table.command(
        relay,
        Command::Trust {
            root_card,
            own: false,
        },
    );
    table.command(relay, Command::LearnAdmin { cert });
    let thread = new_thread(&mut table, medic, Suite::Classical);
    table.add(medic, doctor, thread, Role::Cardiologist);
    let entry = table.note(medic, thread, "to the relay");
    table.connect(medic, relay);
    table.pass(20_000);
    assert_eq!(table.state(medic, thread, entry, doctor), Some(State::Stored));
    let keys = [table.boxes[relay].id.routing.public()].into();
    table.cut(medic);
    table.command(medic, Command::PinRelays { keys });
    table.connect(medic, relay);
    table.pass(20_000);
    assert!(matches!(
        table.state(medic, thread, entry, doctor),
        Some(State::AtRelay { .. })
    ));
}

#[test]
fn a_link_is_quiet_when_nothing_is_new() {
    let (mut table, medic, doctor, relay, thread) = two_and_a_relay();
    let early = table.note(medic, thread, "before the doctor joined");
    table.connect(medic, relay);
    table.pass(10_000);
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, doctor);
    table.connect(doctor, relay);
    table.pass(300_000);
    assert!(table.text(doctor, thread, early).is_some());
    let before = table.bytes;
    table.pass(600_000);
    let per_minute = (table.bytes - before) / 10 / 3;
    assert!(per_minute <= 1_200, "{per_minute} B a minute and link");
}
