//! What a pipe promises, checked over random profiles and random traffic.
//!
//! Every property runs over `CASES` seeds; a failure names the seed, and that seed alone repeats it.

use super::{Cause, Fate, Outage, Pipe};
use crate::chance::Chance;
use crate::profile::Profile;

const CASES: u64 = 300;
const SENDS: usize = 200;

/// A simple link: 8 kbit/s, so that one byte takes one millisecond.
const SLOW: Profile = Profile {
    rate_bps: 8_000,
    one_way_us: 10_000,
    jitter_us: 0,
    loss_ppm: 0,
    duplicate_ppm: 0,
    reorder_ppm: 0,
    queue_bytes: 300,
    mtu: 200,
};

fn at(at_us: u64) -> Fate {
    Fate::Deliver {
        at_us,
        copy_at_us: None,
    }
}

fn random_profile(chance: &mut Chance) -> Profile {
    Profile {
        rate_bps: 1_000 + chance.up_to(1_000_000),
        one_way_us: chance.up_to(500_000),
        jitter_us: chance.up_to(100_000),
        loss_ppm: chance.up_to(300_000) as u32,
        duplicate_ppm: chance.up_to(200_000) as u32,
        reorder_ppm: chance.up_to(200_000) as u32,
        queue_bytes: chance.up_to(20_000),
        mtu: 200 + chance.up_to(1_300) as u32,
    }
}

struct Sent {
    now_us: u64,
    len: u32,
    fate: Fate,
}

/// Sends `SENDS` datagrams at random times, bursts among them, through two scheduled outages.
fn drive(profile: Profile, seed: u64) -> (Pipe, Vec<Sent>) {
    let mut chance = Chance::new(seed ^ 0x5eed);
    let mut pipe = Pipe::new(profile, seed);
    for _ in 0..2 {
        let from_us = chance.up_to(20_000_000);
        pipe.schedule(Outage {
            from_us,
            to_us: from_us + chance.up_to(3_000_000),
        });
    }
    let mut now_us = 0;
    let sent = (0..SENDS)
        .map(|_| {
            if chance.happens(500_000) {
                now_us += chance.up_to(400_000);
            }
            let len = chance.up_to(u64::from(profile.mtu) + 20) as u32;
            Sent {
                now_us,
                len,
                fate: pipe.send(now_us, len),
            }
        })
        .collect();
    (pipe, sent)
}

fn arrivals(sent: &[Sent]) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    for one in sent {
        if let Fate::Deliver { at_us, copy_at_us } = one.fate {
            all.push((at_us, u64::from(one.len)));
            all.extend(copy_at_us.map(|copy_us| (copy_us, u64::from(one.len))));
        }
    }
    all.sort_unstable();
    all
}

#[test]
fn bottleneck_serialises() {
    let mut pipe = Pipe::new(SLOW, 1);
    assert_eq!(pipe.send(0, 100), at(110_000));
    assert_eq!(pipe.send(0, 50), at(160_000));
    assert_eq!(pipe.backlog_bytes(0), 150);
    assert_eq!(pipe.backlog_bytes(100_000), 50);
    assert_eq!(pipe.send(1_000_000, 1), at(1_011_000));
}

#[test]
fn queue_drops_its_tail_and_recovers() {
    let mut pipe = Pipe::new(SLOW, 1);
    assert_eq!(pipe.send(0, 200), at(210_000));
    assert_eq!(pipe.send(0, 101), Fate::Dropped(Cause::QueueFull));
    assert_eq!(pipe.send(0, 100), at(310_000));
    assert_eq!(pipe.send(199_999, 101), Fate::Dropped(Cause::QueueFull));
    assert_eq!(pipe.send(200_000, 101), at(411_000));
}

#[test]
fn empty_datagrams_fill_the_queue_too() {
    let mut pipe = Pipe::new(SLOW, 1);
    let taken = (0..1_000)
        .filter(|_| pipe.send(0, 0) != Fate::Dropped(Cause::QueueFull))
        .count();
    assert_eq!(taken, 300);
}

#[test]
fn too_long_takes_no_time() {
    let mut pipe = Pipe::new(SLOW, 1);
    assert_eq!(pipe.send(0, 201), Fate::Dropped(Cause::TooLong));
    assert_eq!(pipe.send(0, 1), at(11_000));
}

#[test]
fn outages_swallow_what_is_on_the_air() {
    let mut pipe = Pipe::new(SLOW, 1);
    pipe.schedule(Outage {
        from_us: 100_000,
        to_us: 400_000,
    });
    let off_the_air = pipe.send(0, 100);
    assert_eq!(off_the_air, at(110_000), "its time ends as the outage begins");
    assert_eq!(
        pipe.send(0, 10),
        Fate::Dropped(Cause::Down),
        "still waiting when it begins"
    );
    assert_eq!(
        pipe.send(150_000, 10),
        Fate::Dropped(Cause::Down),
        "handed over within it"
    );
    assert!(!pipe.is_up(399_999) && pipe.is_up(400_000));
    assert_eq!(pipe.send(400_000, 10), at(420_000));
    pipe.down();
    assert_eq!(pipe.send(500_000, 10), Fate::Dropped(Cause::Down));
    pipe.up();
    assert_eq!(pipe.send(500_000, 10), at(520_000));
}

#[test]
fn a_copy_takes_its_own_time() {
    let twice = Profile {
        duplicate_ppm: 1_000_000,
        ..SLOW
    };
    let mut pipe = Pipe::new(twice, 1);
    let copied = Fate::Deliver {
        at_us: 110_000,
        copy_at_us: Some(210_000),
    };
    assert_eq!(pipe.send(0, 100), copied);
    assert_eq!(pipe.backlog_bytes(0), 200);

    let mut cut = Pipe::new(twice, 1);
    cut.schedule(Outage {
        from_us: 150_000,
        to_us: 400_000,
    });
    assert_eq!(cut.send(0, 100), at(110_000), "the copy is lost in the outage");
    let mut full = Pipe::new(
        Profile {
            queue_bytes: 150,
            ..twice
        },
        1,
    );
    assert_eq!(full.send(0, 100), at(110_000), "the copy finds no room");
}

#[test]
fn an_earlier_time_counts_as_the_last_one() {
    let mut pipe = Pipe::new(SLOW, 1);
    assert_eq!(pipe.backlog_bytes(1_000_000), 0);
    assert_eq!(pipe.send(0, 1), at(1_011_000));
}

#[test]
fn rate_is_never_exceeded() {
    for seed in 0..CASES {
        let profile = random_profile(&mut Chance::new(seed));
        let all = arrivals(&drive(profile, seed).1);
        // Delays differ between datagrams by at most `spread`, so a window of arrivals can hold what the
        // bottleneck sent in that window made longer by `spread`, and one datagram cut by its start.
        let spread_us = profile.jitter_us + profile.hold_us_max();
        for first in 0..all.len() {
            let mut bits = 0;
            for &(at_us, len) in &all[first..] {
                bits += len * 8;
                let window_us = at_us - all[first].0 + spread_us;
                let most = profile.rate_bps * window_us / 1_000_000 + u64::from(profile.mtu) * 8 + 8;
                assert!(
                    bits <= most,
                    "seed {seed}: {bits} bits in {window_us} us, at most {most}"
                );
            }
        }
    }
}

#[test]
fn exact_rate_without_jitter() {
    for seed in 0..CASES {
        let mut profile = random_profile(&mut Chance::new(seed));
        (profile.jitter_us, profile.reorder_ppm) = (0, 0);
        let all = arrivals(&drive(profile, seed).1);
        for pair in all.windows(2) {
            let gap_us = pair[1].0 - pair[0].0;
            assert!(
                gap_us >= profile.serialise_us(pair[1].1 as u32),
                "seed {seed}: {pair:?}"
            );
        }
    }
}

#[test]
fn first_in_first_out_unless_reordered() {
    let mut overtaken = 0;
    for seed in 0..CASES {
        let reordering = random_profile(&mut Chance::new(seed));
        let orderly = Profile {
            reorder_ppm: 0,
            ..reordering
        };
        assert_eq!(overtakes(&drive(orderly, seed).1), 0, "seed {seed}");
        overtaken += overtakes(&drive(reordering, seed).1);
    }
    assert!(overtaken > 0, "reordering never happened");
}

fn overtakes(sent: &[Sent]) -> usize {
    let order: Vec<u64> = sent
        .iter()
        .filter_map(|one| match one.fate {
            Fate::Deliver { at_us, .. } => Some(at_us),
            Fate::Dropped(_) => None,
        })
        .collect();
    order.windows(2).filter(|pair| pair[1] < pair[0]).count()
}

#[test]
fn same_seed_same_fates_other_seed_other_fates() {
    let fates = |seed| {
        drive(Profile::TUNNEL, seed)
            .1
            .into_iter()
            .map(|one| one.fate)
            .collect::<Vec<_>>()
    };
    assert_eq!(fates(5), fates(5));
    assert_ne!(fates(5), fates(6));
}

#[test]
fn chance_does_not_depend_on_what_happened_before() {
    let lossy = Profile {
        loss_ppm: 200_000,
        ..SLOW
    };
    let (mut idle, mut congested) = (Pipe::new(lossy, 9), Pipe::new(lossy, 9));
    for n in 0..200 {
        let calm = idle.send(n * 1_000_000, 100);
        match congested.send(n * 20_000, 100) {
            Fate::Dropped(Cause::Loss) => assert_eq!(calm, Fate::Dropped(Cause::Loss)),
            Fate::Deliver { .. } => assert!(matches!(calm, Fate::Deliver { .. })),
            Fate::Dropped(why) => assert_eq!(why, Cause::QueueFull),
        }
    }
}

#[test]
fn loss_is_about_what_the_profile_says() {
    let mut pipe = Pipe::new(
        Profile {
            loss_ppm: 50_000,
            ..Profile::LAN
        },
        3,
    );
    for n in 0..100_000 {
        pipe.send(n * 1_000, 100);
    }
    let lost = pipe.counters().loss.datagrams;
    assert!((4_700..=5_300).contains(&lost), "{lost} of 100 000 lost at 5 %");
}

#[test]
fn counters_add_up_and_nothing_arrives_early() {
    for seed in 0..CASES {
        let profile = random_profile(&mut Chance::new(seed));
        let (pipe, sent) = drive(profile, seed);
        let seen = pipe.counters();
        let parts = [
            seen.delivered,
            seen.too_long,
            seen.down,
            seen.queue_full,
            seen.loss,
        ];
        assert_eq!(
            seen.offered.datagrams,
            parts.iter().map(|part| part.datagrams).sum::<u64>()
        );
        assert_eq!(
            seen.offered.bytes,
            parts.iter().map(|part| part.bytes).sum::<u64>()
        );
        assert_eq!(
            seen.offered.bytes,
            sent.iter().map(|one| u64::from(one.len)).sum::<u64>()
        );
        let carried = arrivals(&sent).iter().map(|(_, len)| len).sum::<u64>();
        assert_eq!(seen.delivered.bytes + seen.copies.bytes, carried, "seed {seed}");
        for one in &sent {
            if let Fate::Deliver { at_us, .. } = one.fate {
                let least = one.now_us + profile.serialise_us(one.len) + profile.one_way_us;
                assert!(at_us >= least, "seed {seed}");
            }
        }
    }
}

#[test]
fn names_are_found() {
    for (name, profile) in Profile::NAMED {
        assert_eq!(Profile::named(name), Some(profile));
        let room = profile.queue_bytes >= u64::from(profile.mtu);
        assert!(room, "{name}: the queue must hold a full datagram behind none");
    }
    assert_eq!(Profile::named("carrier-pigeon"), None);
}
