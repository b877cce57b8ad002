//! Real sockets on the loopback. Nothing here fails because a machine is slow: what is asserted is order,
//! contents, counters, and that a rate is not exceeded, which a pause can only make truer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use super::udp::CLIENTS_MAX;
use super::{Proxy, radio::HEADERS_BYTES};
use crate::profile::Profile;

/// No loss, no jitter, short ways.
const CLEAN: Profile = Profile {
    rate_bps: 10_000_000,
    one_way_us: 1_000,
    jitter_us: 0,
    loss_ppm: 0,
    duplicate_ppm: 0,
    reorder_ppm: 0,
    queue_bytes: 1 << 20,
    mtu: 1_500,
};

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn socket() -> UdpSocket {
    UdpSocket::bind(anywhere()).await.unwrap()
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2_048];
    let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
    (buffer[..len].to_vec(), from)
}

struct Rig {
    proxy: Proxy,
    target: UdpSocket,
    client: UdpSocket,
}

async fn rig(profile: Profile, capture_bytes: u64) -> Rig {
    let target = socket().await;
    let address = target.local_addr().unwrap();
    let proxy = Proxy::udp_captured(anywhere(), address, profile, 7, capture_bytes).unwrap();
    let client = socket().await;
    client.connect(proxy.local_addr()).await.unwrap();
    Rig {
        proxy,
        target,
        client,
    }
}

/// Waits until the proxy has judged so many datagrams toward the target.
async fn offered(proxy: &Proxy, datagrams: u64) {
    while proxy.counters().to_target.told.offered.datagrams < datagrams {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn there_and_back_in_order() {
    let rig = rig(CLEAN, 0).await;
    for number in 0..20u8 {
        rig.client.send(&[number; 50]).await.unwrap();
    }
    for number in 0..20u8 {
        let (payload, from) = receive(&rig.target).await;
        assert_eq!(payload, [number; 50]);
        rig.target.send_to(&[number, 1], from).await.unwrap();
    }
    for number in 0..20u8 {
        assert_eq!(receive(&rig.client).await.0, [number, 1]);
    }
    let passed = rig.proxy.counters();
    assert_eq!(passed.to_target.handed.datagrams, 20);
    assert_eq!(passed.to_client.handed.bytes, 20 * (2 + u64::from(HEADERS_BYTES)));
    assert_eq!(passed.to_target.dropped() + passed.to_client.dropped(), 0);
    assert_eq!(
        rig.proxy.captured().bytes,
        0,
        "nothing is kept that nobody asked for"
    );
}

#[tokio::test]
async fn the_rate_is_not_exceeded() {
    let slow = Profile {
        rate_bps: 80_000,
        ..CLEAN
    };
    let rig = rig(slow, 0).await;
    let begun = Instant::now();
    for number in 0..10u8 {
        rig.client.send(&[number; 172]).await.unwrap();
    }
    for number in 0..10u8 {
        assert_eq!(receive(&rig.target).await.0[0], number);
    }
    let bits = 10 * (172 + u128::from(HEADERS_BYTES)) * 8;
    assert!(bits * 1_000_000 <= begun.elapsed().as_micros() * 80_000);
    assert_eq!(rig.proxy.counters().to_target.handed.bytes, 2_000);
}

#[tokio::test]
async fn losses_are_counted_and_only_the_rest_arrives() {
    let lossy = Profile {
        loss_ppm: 300_000,
        ..CLEAN
    };
    let rig = rig(lossy, 1 << 20).await;
    for number in 0..100u8 {
        rig.client.send(&[number]).await.unwrap();
        // one by one, so that no socket buffer overflows: each meets the chance of its number
        offered(&rig.proxy, u64::from(number) + 1).await;
    }
    let told = rig.proxy.counters().to_target.told;
    assert!((10..60).contains(&told.loss.datagrams), "{told:?}");
    assert_eq!(told.delivered.datagrams + told.loss.datagrams, 100);
    let mut last = None;
    for _ in 0..told.delivered.datagrams {
        let number = receive(&rig.target).await.0[0];
        assert!(last < Some(number), "in order");
        last = Some(number);
    }
    assert_eq!(
        rig.proxy.captured().to_target.len(),
        100,
        "lost ones were on the air too"
    );
}

#[tokio::test]
async fn nothing_gets_through_a_tunnel_and_everything_after_it() {
    let rig = rig(CLEAN, 0).await;
    rig.client.send(b"before").await.unwrap();
    let (_, from) = receive(&rig.target).await;
    rig.proxy.down();
    for number in 0..5u8 {
        rig.client.send(&[number]).await.unwrap();
        rig.target.send_to(&[number], from).await.unwrap();
    }
    offered(&rig.proxy, 6).await;
    while rig.proxy.counters().to_client.told.offered.datagrams < 5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    rig.proxy.up();
    rig.client.send(b"after").await.unwrap();
    assert_eq!(receive(&rig.target).await.0, b"after");
    rig.target.send_to(b"answer", from).await.unwrap();
    assert_eq!(receive(&rig.client).await.0, b"answer");
    let passed = rig.proxy.counters();
    assert_eq!(passed.to_target.told.down.datagrams, 5);
    assert_eq!(passed.to_client.told.down.datagrams, 5);
}

#[tokio::test]
async fn two_clients_are_two_for_the_target_and_share_the_radio() {
    let rig = rig(CLEAN, 0).await;
    let other = socket().await;
    other.connect(rig.proxy.local_addr()).await.unwrap();
    rig.client.send(b"one").await.unwrap();
    let (first, from_first) = receive(&rig.target).await;
    other.send(b"two").await.unwrap();
    let (second, from_second) = receive(&rig.target).await;
    assert_eq!((&first[..], &second[..]), (&b"one"[..], &b"two"[..]));
    assert_ne!(from_first, from_second);
    rig.target.send_to(b"for two", from_second).await.unwrap();
    rig.target.send_to(b"for one", from_first).await.unwrap();
    assert_eq!(receive(&rig.client).await.0, b"for one");
    assert_eq!(receive(&other).await.0, b"for two");
    assert_eq!(rig.proxy.counters().to_target.told.offered.datagrams, 2);
}

#[tokio::test]
async fn the_capture_holds_the_bytes_of_both_directions() {
    let rig = rig(CLEAN, 20).await;
    rig.client.send(b"twelve bytes").await.unwrap();
    let (_, from) = receive(&rig.target).await;
    rig.target.send_to(b"eight by", from).await.unwrap();
    assert_eq!(receive(&rig.client).await.0, b"eight by");
    rig.client.send(b"x").await.unwrap();
    receive(&rig.target).await;
    let captured = rig.proxy.captured();
    assert_eq!(&captured.to_target[0][..], b"twelve bytes");
    assert_eq!(&captured.to_client[0][..], b"eight by");
    assert_eq!((captured.bytes, captured.missed), (20, 1));
}

#[tokio::test]
async fn datagrams_beyond_the_mtu_are_lost() {
    let rig = rig(CLEAN, 0).await;
    rig.client.send(&[0; 1_473]).await.unwrap();
    rig.client.send(&[1; 1_472]).await.unwrap();
    assert_eq!(receive(&rig.target).await.0, [1; 1_472]);
    assert_eq!(rig.proxy.counters().to_target.told.too_long.datagrams, 1);
}

#[tokio::test]
async fn many_clients_come_and_go() {
    let rig = rig(CLEAN, 0).await;
    for number in 0..CLIENTS_MAX + 20 {
        let client = socket().await;
        client
            .send_to(&number.to_be_bytes(), rig.proxy.local_addr())
            .await
            .unwrap();
        assert_eq!(receive(&rig.target).await.0, number.to_be_bytes());
    }
    rig.client.send(b"still there").await.unwrap();
    assert_eq!(receive(&rig.target).await.0, b"still there");
}

#[tokio::test]
async fn the_port_is_free_after_drop() {
    let rig = rig(CLEAN, 0).await;
    rig.client.send(b"hello").await.unwrap();
    receive(&rig.target).await;
    let address = rig.proxy.local_addr();
    drop(rig.proxy);
    while UdpSocket::bind(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
