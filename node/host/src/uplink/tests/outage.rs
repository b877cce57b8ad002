//! Paths that die and come back, through a forwarder that can swallow everything.

use super::*;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;
use tokio::net::UdpSocket;

/// Forwards datagrams to the relay and back, each sender through a socket of its own.
struct Forwarder {
    address: SocketAddr,
    state: Arc<Mutex<Swallows>>,
}

#[derive(Default)]
struct Swallows {
    all: bool,
    /// Senders whose binding is dead for good.
    dead: Vec<SocketAddr>,
    seen: Vec<SocketAddr>,
}

impl Forwarder {
    async fn start(to: SocketAddr) -> Forwarder {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = front.local_addr().unwrap();
        let state = Arc::new(Mutex::new(Swallows::default()));
        tokio::spawn(forward(front, to, state.clone()));
        Forwarder { address, state }
    }

    fn swallow(&self, all: bool) {
        self.state.lock().unwrap().all = all;
    }

    /// As a translator that forgets who was there: known senders are never heard again.
    fn forget_bindings(&self) {
        let mut state = self.state.lock().unwrap();
        state.dead = state.seen.clone();
    }

    fn senders(&self) -> usize {
        self.state.lock().unwrap().seen.len()
    }
}

impl Swallows {
    fn passes(&self, from: SocketAddr) -> bool {
        !self.all && !self.dead.contains(&from)
    }
}

async fn forward(front: Arc<UdpSocket>, to: SocketAddr, state: Arc<Mutex<Swallows>>) {
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((len, from)) = front.recv_from(&mut buffer).await else {
            continue;
        };
        let back = match backs.entry(from) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                state.lock().unwrap().seen.push(from);
                let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                back.connect(to).await.unwrap();
                tokio::spawn(backwards(back.clone(), front.clone(), from, state.clone()));
                new.insert(back)
            }
        };
        let alive = state.lock().unwrap().passes(from);
        if alive {
            let _ = back.send(&buffer[..len]).await;
        }
    }
}

async fn backwards(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    from: SocketAddr,
    state: Arc<Mutex<Swallows>>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok(len) = back.recv(&mut buffer).await else {
            // nobody listens just now
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let alive = state.lock().unwrap().passes(from);
        if alive {
            let _ = front.send_to(&buffer[..len], from).await;
        }
    }
}

const ALARM: [u32; 5] = [1, 0, 0, 0, 0];

#[tokio::test]
async fn a_waiting_alarm_gets_through_as_soon_as_the_path_is_back() {
    let relay = Relay::start();
    let tunnel = Forwarder::start(relay.address).await;
    let device = Device::start(50, &relay.org, card(tunnel.address));
    device.up().await;
    assert_eq!(tunnel.senders(), 1);
    tunnel.swallow(true);
    device.waiting.send_replace(ALARM);
    // it does not go on saying that it is connected, and tries beside the old connection
    device
        .state(|state| matches!(state, State::Trying { attempts: 3.., .. }))
        .await;
    assert!(tunnel.senders() >= 3);
    tunnel.swallow(false);
    device.up().await;
    let link = device.machine.link(1).await;
    device.machine.wait(0, |link| link.down).await;
    relay.machine.wait(0, |link| link.down).await;
    link.send(unit(Class::Alarm, 9, 100)).await;
    relay.machine.wait(1, |link| link.frames() == 1).await;
}

#[tokio::test]
async fn an_alarm_is_handed_over_although_bulk_fills_a_path_that_answers_nothing() {
    let relay = Relay::start();
    let tunnel = Forwarder::start(relay.address).await;
    let device = Device::start(50, &relay.org, card(tunnel.address));
    device.up().await;
    let up = device.machine.link(0).await;
    let first = within(device.machine.granted(0, 1)).await;
    tunnel.swallow(true);
    for n in 0..200 {
        up.send(unit(Class::Bulk, n, 1000)).await;
    }
    // an alarm of 14 units: all are taken, and QUIC sends all of them before it goes on with bulk
    let mut paid = 0;
    for n in 0..14 {
        let mut alarm = part(n);
        alarm.class = Class::Alarm;
        paid += alarm.bytes.len() as i64;
        up.send(alarm).await;
    }
    within(device.machine.granted(0, first + paid)).await;
    tunnel.swallow(false);
    let received = relay.machine.wait(0, |link| link.frames() == 214).await;
    let frames = received.iter().flat_map(aidmesh_core::wire::decode_all);
    let alarm = |frame: &_| matches!(frame, &Ok(Frame::Data(_)));
    let last = frames.enumerate().filter(|(_, frame)| alarm(frame)).last();
    let before = last.unwrap().0 - 13;
    assert!(
        before < 8,
        "{before} units of bulk came before the alarm was whole"
    );
}

#[tokio::test]
async fn a_dead_binding_is_left_behind_by_a_new_socket() {
    let relay = Relay::start();
    let translator = Forwarder::start(relay.address).await;
    let device = Device::start(50, &relay.org, card(translator.address));
    device.up().await;
    translator.forget_bindings();
    device.waiting.send_replace(ALARM);
    let link = device.machine.link(1).await;
    device.up().await;
    link.send(unit(Class::Alarm, 9, 100)).await;
    relay.machine.wait(1, |link| link.frames() == 1).await;
    // one key, one link
    relay.machine.wait(0, |link| link.down).await;
    assert_eq!(relay.server.counts().links, 1);
}

#[tokio::test]
async fn a_working_link_is_kept_however_long_an_alarm_waits() {
    let relay = Relay::start();
    let path = Forwarder::start(relay.address).await;
    let device = Device::start(50, &relay.org, card(path.address));
    device.up().await;
    // the relay is there and does not take it
    device.waiting.send_replace(ALARM);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(device.machine.links_seen(), 1);
    assert_eq!(path.senders(), 1);
    device.up().await;
}

#[tokio::test]
async fn a_device_that_starts_in_a_tunnel_connects_at_its_end() {
    let relay = Relay::start();
    let tunnel = Forwarder::start(relay.address).await;
    tunnel.swallow(true);
    let device = Device::start(50, &relay.org, card(tunnel.address));
    device.waiting.send_replace([0, 0, 1, 0, 0]);
    device
        .state(|state| matches!(state, State::Trying { attempts: 2.., .. }))
        .await;
    assert_eq!(relay.machine.links_seen(), 0);
    tunnel.swallow(false);
    device.up().await;
    relay.machine.link(0).await;
}

#[tokio::test]
async fn a_device_finds_its_relay_again_after_a_restart() {
    let relay = Relay::start();
    let address = relay.address;
    let device = Device::start(50, &relay.org, relay.card());
    device.up().await;
    let Relay { server, machine, .. } = relay;
    within(server.close()).await;
    machine.wait(0, |link| link.down).await;
    device
        .state(|state| matches!(state, State::Trying { why: Some(_), .. }))
        .await;
    device.waiting.send_replace(ALARM);
    let again = within(async {
        loop {
            match Relay::at(address) {
                Ok(relay) => break relay,
                // the port is free when the last connection is over
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await;
    device.up().await;
    again.machine.link(0).await;
}

#[tokio::test]
async fn a_relay_is_found_by_name() {
    let relay = Relay::start();
    let mut card = relay.card();
    card.address = format!("localhost:{}", relay.address.port());
    let device = Device::start(50, &relay.org, card.clone());
    device.up().await;
    card.address = "no-such-relay.invalid:1".into();
    device.client.set_relays(vec![card]);
    device
        .state(|state| {
            matches!(
                state,
                State::Trying {
                    why: Some(Trouble::NameNotFound),
                    ..
                }
            )
        })
        .await;
}

#[tokio::test]
async fn a_quiet_device_learns_from_the_next_life_of_a_relay_that_the_last_one_is_over() {
    // a runtime that is shut down sends no goodbye, as a process that was killed
    let life = tokio::runtime::Runtime::new().unwrap();
    let relay = life.spawn(async { Relay::start() }).await.unwrap();
    let (org, address) = (Organisation::new(1), relay.address);
    let device = Device::start(50, &org, card(address));
    device.up().await;
    let shut = move || life.shutdown_timeout(PATIENCE);
    tokio::task::spawn_blocking(shut).await.unwrap();
    drop(relay);
    let next = Relay::at(address).unwrap();
    // nothing waits, so only the answer to a keep-alive tells it; silence would be named "no answer"
    let lost = Some(Trouble::Lost);
    device
        .state(|state| matches!(state, State::Trying { why, .. } if why == lost))
        .await;
    next.machine.link(0).await;
    device.machine.wait(0, |link| link.down).await;
    device.up().await;
}
