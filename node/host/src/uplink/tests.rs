//! The uplink over real sockets on the loopback, with a machine that only notes what it is told.
//!
//! Timing never decides: everything is waited for with [`PATIENCE`], far beyond what it takes.

mod fake;
mod hostile;
mod outage;

use super::hello::tests::Organisation;
use super::*;
use crate::link::Unit;
use aidmesh_core::crypto::KeyPair;
use aidmesh_core::directory::What;
use aidmesh_core::envelope::Class;
use aidmesh_core::wire::{Data, Frame};
use bytes::Bytes;
use fake::{Machine, within};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(30);

const CLASSES: [Class; 5] = [
    Class::Alarm,
    Class::Clinical,
    Class::Text,
    Class::Voice,
    Class::Bulk,
];

fn key(n: u8) -> KeyPair {
    KeyPair::from_seed(&[n; 32])
}

/// A relay of one organisation, with its machine.
struct Relay {
    server: Server,
    machine: Machine,
    org: Organisation,
    gate: Arc<Gate>,
    address: SocketAddr,
}

/// Key of the relay of the tests.
const RELAY: u8 = 60;

impl Relay {
    fn start() -> Relay {
        Relay::at("127.0.0.1:0".parse().unwrap()).unwrap()
    }

    fn at(address: SocketAddr) -> Result<Relay, BindError> {
        let org = Organisation::new(1);
        let gate = Arc::new(org.gate());
        let machine = Machine::start();
        let config = ServerConfig {
            routing: key(RELAY),
            hello: org.hello(key(RELAY).public()),
            admit: gate.clone(),
            links: machine.links(),
        };
        let server = Server::bind(address, config)?;
        let address = server.local_addr().unwrap();
        Ok(Relay {
            server,
            machine,
            org,
            gate,
            address,
        })
    }

    fn card(&self) -> RelayAddress {
        card(self.address)
    }
}

fn card(address: SocketAddr) -> RelayAddress {
    RelayAddress {
        name: "Relay".into(),
        address: address.to_string(),
        key: key(RELAY).public(),
    }
}

/// A device with its machine.
struct Device {
    client: Client,
    machine: Machine,
    waiting: watch::Sender<[u32; 5]>,
}

impl Device {
    fn start(seed: u8, org: &Organisation, relay: RelayAddress) -> Device {
        let machine = Machine::start();
        let (waiting, seen) = watch::channel([0; 5]);
        let client = Client::start(ClientConfig {
            relays: vec![relay],
            routing: key(seed),
            hello: org.hello(key(seed).public()),
            links: machine.links(),
            waiting: seen,
        });
        Device {
            client,
            machine,
            waiting,
        }
    }

    /// Waits for a state of the only path.
    async fn state(&self, wanted: impl Fn(State) -> bool) -> State {
        let mut paths = self.client.paths();
        let found = within(paths.wait_for(|paths| wanted(paths[0].state))).await;
        found.unwrap()[0].state
    }

    async fn up(&self) {
        self.state(|state| matches!(state, State::Up { .. })).await;
    }
}

/// A frame that says which one it is; free of charge for the machine.
fn frame(class: Class, n: u32, len: usize) -> Bytes {
    let mut body = vec![class as u8];
    body.extend(n.to_le_bytes());
    body.resize(body.len() + len, n as u8);
    Frame::Receipt(body.into()).encode()
}

fn unit(class: Class, n: u32, len: usize) -> Unit {
    Unit {
        bytes: frame(class, n, len),
        class,
    }
}

/// Class and number of each frame, in the order of their arrival.
fn marks(received: &[Bytes]) -> Vec<(u8, u32)> {
    let frames = received.iter().flat_map(aidmesh_core::wire::decode_all);
    let marks = frames.map(|frame| match frame.unwrap() {
        Frame::Receipt(body) => {
            let n = u32::from_le_bytes(body[1..5].try_into().unwrap());
            assert!(body[5..].iter().all(|byte| *byte == n as u8));
            (body[0], n)
        }
        other => panic!("{other:?}"),
    });
    marks.collect()
}

#[tokio::test]
async fn units_arrive_whole_both_ways_and_in_order_of_their_class() {
    let relay = Relay::start();
    let device = Device::start(50, &relay.org, relay.card());
    device.up().await;
    let up = device.machine.link(0).await;
    let down = relay.machine.link(0).await;
    assert_eq!(up.info.peer, key(RELAY).public());
    assert_eq!(down.info.peer, key(50).public());
    assert_eq!(up.info.exporter, down.info.exporter);
    assert_ne!(up.info.exporter, [0; 32]);
    for n in 0..150u32 {
        for class in CLASSES {
            let len = if n == 100 {
                60_000
            } else {
                (n as usize * 37) % 1000
            };
            up.send(unit(class, n, len)).await;
            down.send(unit(class, n, len / 2)).await;
        }
    }
    for machine in [&relay.machine, &device.machine] {
        let received = machine.wait(0, |link| link.frames() == 150 * CLASSES.len()).await;
        let marks = marks(&received);
        for class in CLASSES {
            let of_class = marks.iter().filter(|mark| mark.0 == class as u8);
            assert!(of_class.map(|mark| mark.1).eq(0..150), "{class:?}");
        }
    }
}

#[tokio::test]
async fn an_alarm_overtakes_bulk_that_is_under_way() {
    let relay = Relay::start();
    let device = Device::start(50, &relay.org, relay.card());
    device.up().await;
    let up = device.machine.link(0).await;
    relay.machine.link(0).await;
    relay.machine.pause(true);
    for n in 0..1000 {
        up.send(unit(Class::Bulk, n, 1000)).await;
    }
    let first = within(device.machine.granted(0, 1)).await;
    let mut alarm = part(0);
    alarm.class = Class::Alarm;
    let paid = alarm.bytes.len() as i64;
    up.send(alarm).await;
    // bulk fills all that lies before the machine, and the alarm is handed over nevertheless
    within(device.machine.granted(0, first + paid)).await;
    relay.machine.pause(false);
    let received = relay.machine.wait(0, |link| link.frames() == 1001).await;
    let mut frames = received.iter().flat_map(aidmesh_core::wire::decode_all);
    let at = frames
        .position(|frame| matches!(frame, Ok(Frame::Data(_))))
        .unwrap();
    assert!(at < 400, "the alarm came after {at} units of bulk");
}

fn part(n: u32) -> Unit {
    let data = Data {
        key: [1; 8],
        off: n + 1,
        first: None,
        last: false,
        bytes: vec![n as u8; 900].into(),
    };
    Unit {
        bytes: Frame::Data(data).encode(),
        class: Class::Bulk,
    }
}

#[tokio::test]
async fn what_is_granted_is_what_was_written_and_never_more() {
    const MOST: i64 = 32 * 1024;
    let relay = Relay::start();
    let device = Device::start(50, &relay.org, relay.card());
    device.up().await;
    let up = device.machine.link(0).await;
    let (mut sent, mut spent) = (0, 0i64);
    while sent < 400 {
        let next = part(sent);
        let len = next.bytes.len() as i64;
        let granted = within(device.machine.granted(0, spent + len)).await;
        assert!(granted - spent <= MOST, "{granted} granted, {spent} spent");
        up.send(next).await;
        // words about state are not paid for and must not add to the grant
        up.send(unit(Class::Text, sent, 300)).await;
        spent += len;
        sent += 1;
    }
    relay.machine.wait(0, |link| link.frames() == 800).await;
    let first = within(device.machine.granted(0, spent + 1)).await;
    let all = device.machine.granted_now(0) - spent;
    assert!(first - spent <= MOST && all <= MOST, "{all} left");
}

#[tokio::test]
async fn a_link_that_the_machine_closes_says_its_last_words() {
    let relay = Relay::start();
    let device = Device::start(50, &relay.org, relay.card());
    device.up().await;
    device.machine.link(0).await;
    let down = relay.machine.link(0).await;
    down.send(unit(Class::Alarm, 7, 100)).await;
    drop(down);
    relay.machine.disconnect(0);
    let received = device.machine.wait(0, |link| link.down).await;
    assert_eq!(marks(&received), [(0, 7)]);
    // and the device comes again
    relay.machine.link(1).await;
}

#[tokio::test]
async fn a_relay_with_another_key_gets_no_link() {
    let relay = Relay::start();
    let mut card = relay.card();
    card.key = key(61).public();
    let device = Device::start(50, &relay.org, card);
    let other = |state| {
        matches!(
            state,
            State::Trying {
                why: Some(Trouble::OtherKey),
                ..
            }
        )
    };
    device.state(other).await;
    assert_eq!(relay.machine.links_seen(), 0);
    assert_eq!(device.machine.links_seen(), 0);
}

#[tokio::test]
async fn a_device_of_an_unknown_organisation_is_told_so() {
    let relay = Relay::start();
    let device = Device::start(50, &Organisation::new(2), relay.card());
    let state = device.state(|state| matches!(state, State::Refused { .. })).await;
    let State::Refused { why, .. } = state else {
        unreachable!()
    };
    assert_eq!(why.to_string(), "organisation not trusted");
    assert_eq!(relay.machine.links_seen(), 0);
    assert_eq!(relay.server.counts().refused, 1);
    // the organisation is trusted now and the device asks again because something changed
    relay.gate.trust(&Organisation::new(2).card());
    device
        .client
        .set_hello(Organisation::new(2).hello(key(50).public()));
    device.up().await;
}

#[tokio::test]
async fn a_revoked_device_loses_its_link_and_is_refused() {
    let relay = Relay::start();
    let device = Device::start(50, &relay.org, relay.card());
    device.up().await;
    let peer = key(50).public();
    relay.gate.revoke(&relay.org.revocation(peer, What::Routing));
    assert!(relay.server.drop_peer(peer));
    assert!(!relay.server.drop_peer(key(51).public()));
    let refused = |state| {
        matches!(
            state,
            State::Refused {
                why: Refusal::Revoked,
                ..
            }
        )
    };
    device.state(refused).await;
    relay.machine.wait(0, |link| link.down).await;
    device.machine.wait(0, |link| link.down).await;
}

#[tokio::test]
async fn relays_come_and_go_by_configuration() {
    let relay = Relay::start();
    let device = Device::start(50, &relay.org, relay.card());
    device.up().await;
    device.client.set_relays(vec![]);
    relay.machine.wait(0, |link| link.down).await;
    assert_eq!(*device.client.paths().borrow(), []);
    device.client.set_relays(vec![relay.card(), relay.card()]);
    device.up().await;
    assert_eq!(device.client.paths().borrow().len(), 1);
    device.client.set_relays(vec![relay.card()]);
    device.machine.wait(1, |link| !link.down).await;
    within(device.client.stop()).await;
    relay.machine.wait(1, |link| link.down).await;
}

#[tokio::test]
async fn both_ends_let_go_when_their_node_stops() {
    let relay = Relay::start();
    let device = Device::start(50, &relay.org, relay.card());
    device.up().await;
    device.machine.stop();
    relay.machine.wait(0, |link| link.down).await;
    let other = Device::start(51, &relay.org, relay.card());
    other.up().await;
    relay.machine.stop();
    other.machine.wait(0, |link| link.down).await;
}
