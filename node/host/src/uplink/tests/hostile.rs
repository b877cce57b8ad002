//! Peers that break the rules: each loses its own connection, and nobody else anything.

use super::*;
use crate::uplink::closing::Closing;
use crate::uplink::tls;
use quinn::{Connection, ConnectionError, Endpoint, VarInt};

/// A client with a mind of its own. The endpoint keeps the connection going.
struct Raw {
    connection: Connection,
    _endpoint: Endpoint,
}

impl Raw {
    async fn connect(relay: &Relay, seed: u8) -> Raw {
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = tls::client_config(&key(seed), key(RELAY).public(), ALPN);
        let connecting = endpoint.connect_with(config, relay.address, tls::SERVER_NAME);
        let connection = within(connecting.unwrap()).await.unwrap();
        Raw {
            connection,
            _endpoint: endpoint,
        }
    }

    /// A stream of these bytes, ended if `end`.
    async fn say(&self, bytes: &[u8], end: bool) {
        let mut stream = within(self.connection.open_uni()).await.unwrap();
        // a relay that has heard enough may close in the middle of it
        let _ = within(stream.write_all(bytes)).await;
        if end {
            let _ = stream.finish();
        } else {
            std::mem::forget(stream);
        }
    }

    async fn hello(&self, relay: &Relay, seed: u8) {
        let hello = relay.org.hello(key(seed).public());
        self.say(&hello.encode(), true).await;
    }

    async fn closed(&self) -> VarInt {
        match within(self.connection.closed()).await {
            ConnectionError::ApplicationClosed(close) => close.error_code,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn what_is_not_a_hello_ends_the_connection_and_the_server_goes_on() {
    let relay = Relay::start();
    let mute = Raw::connect(&relay, 70).await;
    let not_a_certificate = Refusal::NotACertificate.code();
    let short = [1, 3, 1, 2, 3, 0];
    let long = vec![1; 100_000];
    let stolen = relay.org.hello(key(50).public()).encode();
    for (bytes, code) in [
        (&b""[..], Refusal::OtherVersion.code()),
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Refusal::OtherVersion.code()),
        (&short[..], not_a_certificate),
        (&long[..], not_a_certificate),
        (&stolen[..], Refusal::OtherKey.code()),
    ] {
        let raw = Raw::connect(&relay, 71).await;
        raw.say(bytes, true).await;
        assert_eq!(raw.closed().await, code);
    }
    let device = Device::start(50, &relay.org, relay.card());
    device.up().await;
    assert_eq!(relay.machine.links_seen(), 1);
    // whoever says nothing is not waited for
    assert_eq!(mute.closed().await, Closing::Late.code());
    assert_eq!(relay.server.counts().half_open, 0);
}

#[tokio::test]
async fn frames_without_form_end_the_connection_and_the_server_goes_on() {
    let relay = Relay::start();
    let device = Device::start(50, &relay.org, relay.card());
    device.up().await;
    let endless = [4, 0x81, 0x80, 0x04];
    let no_length = [4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let padded = [4, 0x80, 0x00];
    let whole = frame(Class::Text, 0, 100);
    let cut = &whole[..50];
    for (seed, (bytes, end)) in (80..).zip([
        (&endless[..], false),
        (&no_length[..], false),
        (&padded[..], false),
        (cut, true),
    ]) {
        let raw = Raw::connect(&relay, seed).await;
        raw.hello(&relay, seed).await;
        raw.say(bytes, end).await;
        assert_eq!(raw.closed().await, Closing::Violation.code(), "{bytes:?}");
    }
    assert_eq!(relay.server.counts().violations, 4);
    for n in 1..=4 {
        let received = relay.machine.wait(n, |link| link.down).await;
        assert_eq!(received, Vec::<Bytes>::new());
    }
    let up = device.machine.link(0).await;
    up.send(unit(Class::Alarm, 1, 10)).await;
    relay
        .machine
        .wait(0, |link| link.frames() == 1 && !link.down)
        .await;
}

#[tokio::test]
async fn more_streams_than_classes_and_broken_streams_end_the_connection() {
    let relay = Relay::start();
    let raw = Raw::connect(&relay, 80).await;
    raw.hello(&relay, 80).await;
    for n in 0..6 {
        raw.say(&frame(Class::Text, n, 10), true).await;
    }
    assert_eq!(raw.closed().await, Closing::Violation.code());

    let raw = Raw::connect(&relay, 81).await;
    raw.hello(&relay, 81).await;
    let mut stream = raw.connection.open_uni().await.unwrap();
    stream.write_all(&frame(Class::Text, 0, 10)).await.unwrap();
    stream.reset(VarInt::from_u32(1)).unwrap();
    assert_eq!(raw.closed().await, Closing::Violation.code());
}

#[tokio::test]
async fn a_peer_that_does_not_read_loses_the_link_and_memory_stays_bounded() {
    let relay = Relay::start();
    let raw = Raw::connect(&relay, 80).await;
    raw.hello(&relay, 80).await;
    let down = relay.machine.link(0).await;
    let units = down.units.clone().unwrap();
    drop(down);
    let mut taken = 0;
    while within(units.send(unit(Class::Text, taken, 1000))).await.is_ok() {
        taken += 1;
        assert!(taken < 10_000, "nobody reads and the transport takes all");
    }
    assert_eq!(raw.closed().await, Closing::Behind.code());
    relay.machine.wait(0, |link| link.down).await;
}

#[tokio::test]
async fn a_newer_connection_of_a_key_takes_the_place_of_the_older_one() {
    let relay = Relay::start();
    let first = Raw::connect(&relay, 80).await;
    first.hello(&relay, 80).await;
    relay.machine.wait(0, |link| !link.down).await;
    for n in 1..4 {
        let next = Raw::connect(&relay, 80).await;
        next.hello(&relay, 80).await;
        relay.machine.wait(n, |link| !link.down).await;
        relay.machine.wait(n - 1, |link| link.down).await;
        assert_eq!(relay.server.counts().links, 1);
        if n == 1 {
            assert_eq!(first.closed().await, Closing::Replaced.code());
        }
        std::mem::forget(next);
    }
    assert_eq!(relay.server.counts().replaced, 3);
}

#[tokio::test]
async fn an_unverified_connection_gets_no_link() {
    let relay = Relay::start();
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    // another protocol name
    let config = tls::client_config(&key(80), key(RELAY).public(), b"aidmesh-enrol/1");
    let connecting = endpoint.connect_with(config, relay.address, tls::SERVER_NAME);
    assert!(within(connecting.unwrap()).await.is_err());
    assert_eq!(relay.machine.links_seen(), 0);
}
