//! What the radio promises, without a clock and without a socket.

use super::{FLIGHTS_MAX, HEADERS_BYTES, Radio, Toward};
use crate::pipe::Outage;
use crate::profile::Profile;

/// 8 kbit/s, so that one byte takes one millisecond; 10 ms more on the way; room for 1000 B.
const SLOW: Profile = Profile {
    rate_bps: 8_000,
    one_way_us: 10_000,
    jitter_us: 0,
    loss_ppm: 0,
    duplicate_ppm: 0,
    reorder_ppm: 0,
    queue_bytes: 1_000,
    mtu: 500,
};

fn arrived(radio: &mut Radio<u8>, now_us: u64) -> Vec<(u8, Vec<u8>)> {
    std::iter::from_fn(|| radio.due(now_us))
        .map(|(exit, payload)| (exit, payload.to_vec()))
        .collect()
}

#[test]
fn headers_are_charged_and_order_is_kept() {
    let mut radio = Radio::new(SLOW, 1, 0);
    radio.send(0, Toward::Target, 7, &[1; 72]);
    radio.send(0, Toward::Target, 8, &[2; 22]);
    let first_us = u64::from(72 + HEADERS_BYTES) * 1_000 + 10_000;
    assert_eq!(radio.next_at_us(), Some(first_us));
    assert_eq!(arrived(&mut radio, first_us - 1), []);
    assert_eq!(arrived(&mut radio, first_us), [(7, vec![1; 72])]);
    assert_eq!(arrived(&mut radio, first_us + 50_000), [(8, vec![2; 22])]);
    let counted = radio.counters().to_target;
    assert_eq!((counted.handed.datagrams, counted.handed.bytes), (2, 150));
    assert_eq!(radio.counters().to_client.told.offered.datagrams, 0);
}

#[test]
fn directions_do_not_share_air_but_clients_do() {
    let mut radio = Radio::new(SLOW, 1, 0);
    radio.send(0, Toward::Target, 1, &[0; 72]);
    radio.send(0, Toward::Client, 2, &[0; 72]);
    radio.send(0, Toward::Target, 3, &[0; 72]);
    assert_eq!(arrived(&mut radio, 110_000).len(), 2);
    assert_eq!(arrived(&mut radio, 209_999).len(), 0);
    assert_eq!(arrived(&mut radio, 210_000), [(3, vec![0; 72])]);
}

#[test]
fn a_tunnel_loses_what_was_on_its_way_and_what_is_sent_into_it() {
    let mut radio = Radio::new(SLOW, 1, 1 << 20);
    radio.send(0, Toward::Target, 1, &[1; 10]);
    radio.send(0, Toward::Client, 1, &[2; 10]);
    radio.down();
    radio.down();
    radio.send(1_000, Toward::Target, 1, &[3; 10]);
    assert_eq!(radio.next_at_us(), None);
    radio.up();
    radio.send(1_000_000, Toward::Target, 1, &[4; 10]);
    assert_eq!(arrived(&mut radio, 2_000_000), [(1, vec![4; 10])]);
    let passed = radio.counters();
    assert_eq!(passed.to_target.cut.datagrams, 1);
    assert_eq!(passed.to_client.cut.datagrams, 1);
    assert_eq!(passed.to_target.told.down.datagrams, 1);
    assert_eq!(passed.to_target.dropped(), 2);
    let captured = radio.captured();
    assert_eq!(
        captured.to_target.len(),
        2,
        "what was sent into the tunnel was never on the air"
    );
}

#[test]
fn a_planned_outage_holds_in_both_directions() {
    let mut radio = Radio::new(SLOW, 1, 0);
    radio.schedule(Outage {
        from_us: 0,
        to_us: 500_000,
    });
    radio.send(0, Toward::Target, 1, &[0; 10]);
    radio.send(0, Toward::Client, 1, &[0; 10]);
    radio.send(600_000, Toward::Client, 1, &[9; 10]);
    assert_eq!(arrived(&mut radio, 1_000_000), [(1, vec![9; 10])]);
}

#[test]
fn every_datagram_is_accounted_for() {
    let rough = Profile {
        loss_ppm: 200_000,
        duplicate_ppm: 100_000,
        reorder_ppm: 100_000,
        jitter_us: 30_000,
        ..SLOW
    };
    for seed in 0..50 {
        let mut radio = Radio::new(rough, seed, 1 << 20);
        let mut came = 0;
        for step in 0..400u64 {
            let now_us = step * 40_000;
            if step % 100 == 50 {
                radio.down();
            }
            if step % 100 == 60 {
                radio.up();
            }
            radio.send(now_us, Toward::Target, 0, &[step as u8; 12]);
            came += arrived(&mut radio, now_us).len() as u64;
        }
        came += arrived(&mut radio, u64::MAX).len() as u64;
        let counted = radio.counters().to_target;
        let sent = counted.told.offered.datagrams + counted.told.copies.datagrams;
        assert_eq!(sent, 400 + counted.told.copies.datagrams);
        assert_eq!(came, counted.handed.datagrams, "seed {seed}");
        assert_eq!(came + counted.dropped(), sent, "seed {seed}");
        assert!(counted.told.loss.datagrams > 0, "seed {seed}");
        let on_air = counted.told.delivered.datagrams + counted.told.loss.datagrams;
        assert_eq!(radio.captured().to_target.len() as u64, on_air, "seed {seed}");
    }
}

#[test]
fn bounds_drop_and_count() {
    let endless = Profile {
        rate_bps: 1_000_000_000_000,
        queue_bytes: u64::MAX / 2,
        ..SLOW
    };
    let mut radio = Radio::new(endless, 1, 100);
    for _ in 0..FLIGHTS_MAX + 5 {
        radio.send(0, Toward::Client, 0, &[0; 30]);
    }
    assert_eq!(radio.counters().to_client.overrun.datagrams, 5);
    let captured = radio.captured();
    assert_eq!((captured.to_client.len(), captured.bytes), (3, 90));
    assert_eq!(captured.missed, FLIGHTS_MAX as u64 + 2);
}
