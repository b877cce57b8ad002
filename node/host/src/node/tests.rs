//! Nodes on disks in memory, joined by a wire of channels: what the driver owes the machine and people.

use super::*;
use crate::link::{LinkReceiver, LinkSender};
use crate::store::{Faults, Faulty, InMemory};
use aidmesh_core::crypto::{KeyPair, Secret, kdf};
use aidmesh_core::delivery::State as Word;
use aidmesh_core::directory::{
    AdminCert, DeviceCert, Name, Power, Role, Roles, RootCard, RoutingCert, Signed, ThreadKind, Window,
};
use aidmesh_core::envelope::Class;
use aidmesh_core::group::control::History;
use aidmesh_core::group::mls::Suite;
use aidmesh_core::id::{Dev, Key8, Org, Person, ThreadId};
use aidmesh_core::machine::command::{Card, EntryRef, Outgoing};
use aidmesh_core::machine::event::Event;
use aidmesh_core::machine::input::LinkInfo;
use aidmesh_core::machine::open::MemberKeys;
use bytes::Bytes;
use std::sync::Mutex;
use std::time::Duration;

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Cast {
    root: KeyPair,
    admin: KeyPair,
}

impl Cast {
    fn new() -> Cast {
        let key = |n| KeyPair::from_seed(&[n; 32]);
        Cast {
            root: key(1),
            admin: key(2),
        }
    }

    fn window() -> Window {
        let minute = u32::try_from(crate::clock::wall().0 / 60_000).unwrap();
        Window {
            not_before_min: minute - 10,
            not_after_min: minute + 10_000,
        }
    }

    fn identity(&self, n: u8, role: Option<Role>) -> Identity {
        let key = |what: &str| KeyPair::from_seed(&kdf(&[n; 8], what).0);
        let org = Org::of_root(&self.root.public());
        let issuer = Key8::of_key(&self.admin.public());
        let (routing, window, sig) = (key("routing"), Cast::window(), [0; 64]);
        let cert = RoutingCert {
            org,
            serial: u32::from(n),
            routing_key: routing.public(),
            quota: 1,
            window,
            issuer,
            sig,
        };
        let routing_cert = cert.signed_by(&self.admin).encode();
        let member = role.map(|role| {
            let (device, inbox) = (key("device"), key("inbox"));
            let cert = DeviceCert {
                org,
                serial: u32::from(n),
                device_key: device.public(),
                seal_key: [n; 32],
                inbox_key: inbox.public(),
                person: Person([n; 8]),
                roles: Roles::of(&[role]),
                window,
                issuer,
                name: Name::new(&format!("Device {n}")).unwrap(),
                sig,
            };
            MemberKeys {
                device,
                seal: Secret([n; 32]),
                inbox,
                cert: cert.signed_by(&self.admin).encode(),
            }
        });
        Identity {
            routing,
            routing_cert,
            member,
        }
    }

    async fn introduce(&self, node: &Handle, n: u8) {
        let card = RootCard::new(&self.root, Name::new("Org").unwrap());
        let admin = AdminCert {
            org: card.org(),
            serial: 1,
            admin_key: self.admin.public(),
            powers: Power::Enrol as u8,
            window: Cast::window(),
            sig: [0; 64],
        };
        let root_card = card.encode();
        node.command(Command::Trust { root_card, own: true })
            .await
            .unwrap();
        let cert = admin.signed_by(&self.root).encode();
        node.command(Command::LearnAdmin { cert }).await.unwrap();
        let person = Person([n; 8]);
        node.command(Command::SignOn { person }).await.unwrap();
    }
}

/// A disk that outlives its node.
fn keeps(disk: Arc<dyn Disk>) -> OpenDisk {
    Box::new(move || Ok(disk.clone()))
}

fn start(n: u8, part: Part, role: Option<Role>, disk: OpenDisk, hooks: Hooks) -> Node {
    let start = Start {
        part,
        carry_bytes: 1 << 24,
        identity: Cast::new().identity(n, role),
        disk,
        openings: Arc::new(Openings::volatile()),
        hooks,
    };
    Node::start(start).unwrap()
}

async fn member(n: u8, role: Role, hooks: Hooks) -> Node {
    let node = start(
        n,
        Part::Member,
        Some(role),
        keeps(Arc::new(InMemory::new())),
        hooks,
    );
    Cast::new().introduce(&node.handle(), n).await;
    node
}

/// Both ends of a wire that takes all it is given, until it is cut.
struct Wire(Vec<tokio::task::JoinHandle<()>>);

impl Wire {
    async fn between(a: (&Handle, u8), b: (&Handle, u8)) -> Wire {
        let up = async |node: &Handle, peer: u8| {
            let info = LinkInfo {
                peer: Cast::new().identity(peer, None).routing.public(),
                exporter: [7; 32],
                mtu: 1200,
                thin: false,
                streams: true,
            };
            node.links().up(info).await.unwrap()
        };
        let (to_a, from_a) = up(a.0, b.1).await;
        let (to_b, from_b) = up(b.0, a.1).await;
        let pump = |mut from: LinkReceiver, own: LinkSender, to: LinkSender| {
            tokio::spawn(async move {
                own.grant(1 << 20).await;
                while let Some(unit) = from.next().await {
                    to.received(unit.bytes).await;
                    own.grant(1 << 10).await;
                }
            })
        };
        Wire(vec![
            pump(from_a, to_a.clone(), to_b.clone()),
            pump(from_b, to_b, to_a),
        ])
    }

    fn cut(self) {
        self.0.into_iter().for_each(|pump| pump.abort());
    }
}

/// Waits for an event, or fails.
async fn wait_for<T>(feed: &mut Feed, mut what: impl FnMut(&Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let told = feed.next().await.expect("the node goes on");
            if let Some(found) = what(&told.event) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it happens")
}

async fn card(node: &Handle) -> Card {
    let mut feed = node.follow(node.newest());
    let suite = Suite::Classical;
    node.command(Command::MakeCard { suite }).await.unwrap();
    wait_for(&mut feed, |event| match event {
        Event::CardMade { card } => Some(card.clone()),
        _ => None,
    })
    .await
}

async fn thread_with(node: &Handle, other: &Handle, n: u8) -> ThreadId {
    let create = Command::CreateThread {
        kind: ThreadKind::Patient,
        history: History::All,
        suite: Suite::Classical,
        title: "7K2".to_owned(),
    };
    let thread = node.command(create).await.unwrap().thread.unwrap();
    let card = card(other).await;
    node.command(Command::LearnCard { card }).await.unwrap();
    let dev = Dev::of_key(
        &Cast::new()
            .identity(n, Some(Role::Physician))
            .member
            .unwrap()
            .device
            .public(),
    );
    let role = Role::Physician;
    node.command(Command::Add { thread, dev, role }).await.unwrap();
    thread
}

async fn note(node: &Handle, thread: ThreadId, text: &str) -> Result<EntryRef, NodeError> {
    let (class, what) = (Class::Text, Outgoing::Note(text.to_owned()));
    let made = node.command(Command::Send { thread, class, what }).await?;
    Ok(made.entry.expect("a note is an entry"))
}

fn delivered(event: &Event) -> Option<EntryRef> {
    match event {
        Event::Delivery {
            entry,
            state: Word::Delivered(_),
            ..
        } => Some(*entry),
        _ => None,
    }
}

#[tokio::test]
async fn a_note_crosses_a_relay_and_its_word_comes_back() {
    let medic = member(1, Role::Paramedic, Hooks::default()).await;
    let doctor = member(2, Role::Physician, Hooks::default()).await;
    let relay = start(
        3,
        Part::Relay,
        None,
        keeps(Arc::new(InMemory::new())),
        Hooks::default(),
    );
    let (a, b, r) = (medic.handle(), doctor.handle(), relay.handle());
    let cast = Cast::new();
    let root_card = RootCard::new(&cast.root, Name::new("Org").unwrap()).encode();
    r.command(Command::Trust { root_card, own: true }).await.unwrap();
    let seen = a
        .read(|machine, _| machine.directory().admins().next().map(|c| c.encode()))
        .await;
    r.command(Command::LearnAdmin {
        cert: seen.unwrap().unwrap(),
    })
    .await
    .unwrap();
    let thread = thread_with(&a, &b, 2).await;
    let mut feed = a.follow(a.newest());
    let entry = note(&a, thread, "aspirin 300 mg").await.unwrap();
    let first = Wire::between((&a, 1), (&r, 3)).await;
    let at_relay = |event: &Event| {
        let is =
            matches!(event, Event::Delivery { entry: e, state: Word::AtRelay { .. }, .. } if *e == entry);
        is.then_some(())
    };
    wait_for(&mut feed, at_relay).await;
    first.cut();
    let _second = Wire::between((&b, 2), (&r, 3)).await;
    let mut arrivals = b.follow(0);
    wait_for(&mut arrivals, |event| {
        matches!(event, Event::Arrived { .. }).then_some(())
    })
    .await;
    let _third = Wire::between((&a, 1), (&r, 3)).await;
    assert_eq!(wait_for(&mut feed, delivered).await, entry);
    for node in [medic, doctor, relay] {
        node.stop().await;
    }
}

#[tokio::test]
async fn what_was_answered_as_stored_is_there_after_a_stop() {
    let disk: Arc<dyn Disk> = Arc::new(InMemory::new());
    let openings = Arc::new(Openings::volatile());
    let again = || Start {
        part: Part::Member,
        carry_bytes: 1 << 24,
        identity: Cast::new().identity(1, Some(Role::Paramedic)),
        disk: keeps(disk.clone()),
        openings: openings.clone(),
        hooks: Hooks::default(),
    };
    let node = Node::start(again()).unwrap();
    Cast::new().introduce(&node.handle(), 1).await;
    let create = Command::CreateThread {
        kind: ThreadKind::Patient,
        history: History::All,
        suite: Suite::Classical,
        title: "7K2".to_owned(),
    };
    let thread = node.handle().command(create).await.unwrap().thread.unwrap();
    let entry = note(&node.handle(), thread, "kept").await.unwrap();
    let gone = node.handle();
    node.stop().await;
    assert_eq!(note(&gone, thread, "too late").await, Err(NodeError::Stopped));
    let node = Node::start(again()).unwrap();
    let view = node
        .handle()
        .read(move |machine, store| machine.entry(store, thread, entry))
        .await;
    assert!(view.unwrap().unwrap().is_some());
    let stopped = node
        .handle()
        .read(move |machine, _| machine.view(thread).unwrap().stopped)
        .await;
    assert_eq!(stopped.unwrap(), None, "an orderly stop is no restored store");
    node.stop().await;
}

#[tokio::test]
async fn a_disk_that_fails_is_told_and_a_disk_with_room_again_works_again() {
    let inner: Arc<dyn Disk> = Arc::new(InMemory::new());
    let disks = Mutex::new(0);
    let open = {
        let inner = inner.clone();
        move || -> Result<Arc<dyn Disk>, StoreError> {
            let mut opened = disks.lock().unwrap();
            *opened += 1;
            let faults = Faults {
                broken_from_apply: (*opened == 1).then_some(6),
                ..Faults::default()
            };
            Ok(Arc::new(Faulty::new(inner.clone(), faults)))
        }
    };
    let node = start(
        1,
        Part::Member,
        Some(Role::Paramedic),
        Box::new(open),
        Hooks::default(),
    );
    let handle = node.handle();
    Cast::new().introduce(&handle, 1).await;
    let create = || Command::CreateThread {
        kind: ThreadKind::Patient,
        history: History::All,
        suite: Suite::Classical,
        title: "7K2".to_owned(),
    };
    let mut feed = handle.follow(0);
    let mut refused = false;
    for _ in 0..8 {
        refused |= handle.command(create()).await == Err(NodeError::CannotSave);
    }
    assert!(refused);
    wait_for(&mut feed, |event| {
        matches!(event, Event::StoreFailed).then_some(())
    })
    .await;
    let mut state = handle.state();
    let works = state.wait_for(|state| !state.cannot_save);
    tokio::time::timeout(PATIENCE, works).await.unwrap().unwrap();
    assert!(handle.command(create()).await.is_ok());
    node.stop().await;
}

#[tokio::test]
async fn a_feed_resumes_where_it_was_left() {
    let node = member(1, Role::Paramedic, Hooks::default()).await;
    let handle = node.handle();
    let newest = handle.newest();
    assert!(newest >= 3);
    let mut feed = handle.follow(newest - 1);
    assert_eq!(feed.next().await.unwrap().number, newest);
    node.stop().await;
    drop(handle);
    assert_eq!(
        tokio::time::timeout(PATIENCE, feed.next())
            .await
            .unwrap()
            .map(|t| t.number),
        None
    );
}

#[tokio::test]
async fn a_planted_early_word_is_shown_and_a_product_shows_none() {
    for (hooks, shown) in [
        (Hooks::default(), false),
        (
            Hooks {
                word_before_evidence: true,
                ..Hooks::default()
            },
            true,
        ),
    ] {
        let medic = member(1, Role::Paramedic, hooks).await;
        let doctor = member(2, Role::Physician, Hooks::default()).await;
        let (a, b) = (medic.handle(), doctor.handle());
        let thread = thread_with(&a, &b, 2).await;
        note(&a, thread, "never leaves").await.unwrap();
        let newest = a.newest();
        let mut feed = a.follow(0);
        let mut words = 0;
        loop {
            let told = feed.next().await.unwrap();
            words += usize::from(delivered(&told.event).is_some());
            if told.number == newest {
                break;
            }
        }
        assert_eq!(words > 0, shown);
        medic.stop().await;
        doctor.stop().await;
    }
}

#[tokio::test]
async fn a_planted_plaintext_reaches_the_rows_of_the_relay() {
    let canary = Bytes::from_static(b"canary in clear");
    let hooks = Hooks {
        in_clear: Some(canary.clone()),
        ..Hooks::default()
    };
    let medic = member(1, Role::Paramedic, hooks).await;
    let disk: Arc<dyn Disk> = Arc::new(InMemory::new());
    let relay = start(3, Part::Relay, None, keeps(disk.clone()), Hooks::default());
    let (a, r) = (medic.handle(), relay.handle());
    let cast = Cast::new();
    let root_card = RootCard::new(&cast.root, Name::new("Org").unwrap()).encode();
    r.command(Command::Trust { root_card, own: true }).await.unwrap();
    let admin = a
        .read(|machine, _| machine.directory().admins().next().map(|c| c.encode()))
        .await;
    let cert = admin.unwrap().unwrap();
    r.command(Command::LearnAdmin { cert }).await.unwrap();
    let _wire = Wire::between((&a, 1), (&r, 3)).await;
    let found = || {
        let mut found = false;
        let look = &mut |_: &[u8], value: &[u8]| {
            found |= value.windows(canary.len()).any(|w| w == &canary[..]);
            std::ops::ControlFlow::Continue(())
        };
        disk.scan(&[], look).unwrap();
        found
    };
    let there = async {
        while !found() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.unwrap();
    medic.stop().await;
    relay.stop().await;
}
