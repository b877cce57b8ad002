//! Bounds of the attempts, without an answer from anywhere.

use super::*;
use crate::link::Links;
use crate::uplink::hello::Hello;
use aidmesh_core::crypto::KeyPair;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// A path to a socket that never answers.
async fn path() -> (
    Path,
    UdpSocket,
    watch::Sender<[u32; 5]>,
    mpsc::Receiver<crate::link::FromLink>,
) {
    let deaf = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (waiting, seen) = watch::channel([1, 0, 0, 0, 0]);
    let (calls, machine) = mpsc::channel(8);
    let empty = bytes::Bytes::new();
    let shared = Arc::new(Shared {
        routing: KeyPair::from_seed(&[1; 32]),
        links: Links { calls },
        waiting: seen,
        hello: watch::Sender::new(Hello {
            routing: empty.clone(),
            admin: empty,
        }),
        paths: watch::Sender::new(vec![]),
        stop: watch::Sender::new(false),
    });
    let relay = RelayAddress {
        name: "relay".into(),
        address: deaf.local_addr().unwrap().to_string(),
        key: [7; 32],
    };
    (Path::new(shared, relay), deaf, waiting, machine)
}

#[tokio::test]
async fn there_are_never_more_than_four_attempts_and_the_first_keeps_its_time() {
    let (mut path, _deaf, _waiting, _machine) = path().await;
    for n in 1..=20 {
        path.attempt(Instant::now());
        assert_eq!(path.attempts.len(), n.min(ATTEMPTS));
        assert!(path.attempts.values().any(|attempt| attempt.number == 1));
        assert!(path.attempts.values().any(|attempt| attempt.number == n as u64));
    }
    assert_eq!(
        path.tasks.len() - path.attempts.len(),
        16,
        "given up, not yet seen as such"
    );
    while path.tasks.len() > path.attempts.len() {
        assert!(
            path.tasks
                .join_next()
                .await
                .unwrap()
                .is_err_and(|e| e.is_cancelled())
        );
    }
}

#[tokio::test]
async fn an_attempt_that_heard_something_does_not_give_way() {
    let (mut path, _deaf, _waiting, _machine) = path().await;
    for _ in 0..ATTEMPTS {
        path.attempt(Instant::now());
    }
    for attempt in path.attempts.values() {
        attempt.heard.store(true, Relaxed);
    }
    path.attempt(Instant::now());
    let mut numbers: Vec<u64> = path.attempts.values().map(|attempt| attempt.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[tokio::test]
async fn steps_start_attempts_by_the_clock_while_an_alarm_waits() {
    let (mut path, _deaf, waiting, _machine) = path().await;
    let start = Instant::now();
    let mut now = start;
    for _ in 0..10 {
        let next = path.step(now).unwrap();
        assert_eq!(next, now + Duration::from_millis(500));
        now = next;
    }
    assert_eq!(path.attempts_made, 10);
    waiting.send_replace([0; 5]);
    path.step(now);
    assert_eq!(path.attempts_made, 10, "nothing waits and some are under way");
}
