//! Random evidence against a reference that does not fold: it only asks the list of all evidence
//! so far, so it cannot share a mistake of the fold.

use super::tests::{DR_K, DR_M, ED, K, LOSSLESS, OTHER, PREVIEW, ack, at, seen, tracker};
use super::*;
use crate::crypto::Stream;

fn truth(all: &[(Evidence, Now)], now: Instant, r: &Recipient) -> Option<(Step, u32, Q)> {
    let has = |f: &dyn Fn(&Evidence) -> bool| all.iter().any(|(e, _)| f(e));
    if !has(&|e| *e == Evidence::Committed) {
        return None;
    }
    let acts_void =
        |d: Dev| has(&|e| matches!(e, Evidence::HeadsDisagree { dev, acts: false, .. } if *dev == d));
    let mine = |d: Dev, p: Person| {
        if r.person.is_some() {
            r.person == Some(p)
        } else {
            r.dev == d
        }
    };
    let acts = all.iter().filter_map(|(e, _)| match *e {
        Evidence::Ack {
            dev,
            person,
            act,
            q,
            order,
        } => Some((dev, person, q, Some((act, order)))),
        Evidence::Seen { dev, person, q } => Some((dev, person, q, None)),
        _ => None,
    });
    let acts: Vec<_> = acts.filter(|a| !acts_void(a.0)).collect();
    let answers: Vec<_> = acts.iter().filter(|a| a.3.is_some() && mine(a.0, a.1)).collect();
    // each order number is given to one answer only, so the latest of a person is one
    let latest = |a: &&&(Dev, Person, Q, Option<(Act, Hlc)>)| {
        answers
            .iter()
            .all(|b| b.1 != a.1 || b.3.unwrap().1 <= a.3.unwrap().1)
    };
    let declined = |a: &(Dev, Person, Q, Option<(Act, Hlc)>)| a.3.unwrap().0 == Act::Declined;
    if let Some(best) = answers
        .iter()
        .filter(latest)
        .max_by_key(|a| (!declined(a), a.3.unwrap().1))
    {
        return Some((Step::Acknowledged, 0, best.2));
    }
    if let Some(q) = acts.iter().filter(|a| mine(a.0, a.1)).map(|a| a.2).max() {
        return Some((Step::Seen, 0, q));
    }
    let caps = all.iter().filter_map(|(e, _)| match *e {
        Evidence::HeadsDisagree { dev, delivered, .. } if dev == r.dev => Some(delivered),
        _ => None,
    });
    let cap = caps.min();
    let heads = all.iter().filter_map(|(e, _)| match *e {
        Evidence::Head {
            dev,
            opens: true,
            layer,
            ..
        } if dev == r.dev => Some(layer),
        _ => None,
    });
    let head = heads.max().and_then(|q| Some(q).min(cap.unwrap_or(Some(q))));
    let implied = acts.iter().filter(|a| a.0 == r.dev).map(|a| a.2).max();
    if let Some(q) = head.max(implied) {
        return Some((Step::Delivered, 0, q));
    }
    on_the_way(all, now)
}

fn on_the_way(all: &[(Evidence, Now)], now: Instant) -> Option<(Step, u32, Q)> {
    let (mut relays, mut carriers) = (BTreeMap::new(), BTreeMap::new());
    for (e, _) in all {
        match *e {
            Evidence::RelayReceipt { relay, q, .. } => relays.entry(relay).or_insert_with(Vec::new).push(q),
            Evidence::RelayLost { relay } => drop(relays.remove(&relay)),
            Evidence::CarryReceipt { carrier, expires } => {
                carriers.entry(carrier).or_insert_with(Vec::new).push(expires);
            }
            Evidence::CarryLost { carrier } => drop(carriers.remove(&carrier)),
            _ => {}
        }
    }
    let live = carriers.values().filter(|e| e.iter().any(|e| *e > now)).count() as u32;
    match relays.into_values().flatten().max() {
        Some(q) => Some((Step::AtRelay, 0, q)),
        None if live > 0 => Some((Step::HandedOver, live, None)),
        None => Some((Step::Stored, 0, None)),
    }
}

/// From *delivered* on only two heads that disagree lower a word; a newer answer has its own layer.
fn fell(before: &[View], t: &Tracker, e: &Evidence) -> bool {
    let held = before.iter().zip(t.views()).all(|(old, (_, new))| {
        let same = old.step() == Step::Delivered && new.step() == Step::Delivered;
        let lower = same && old.state.map(|s| s.q()) > new.state.map(|s| s.q());
        old.step() < Step::Delivered || (new.step() >= old.step() && !lower)
    });
    !held && !matches!(e, Evidence::HeadsDisagree { .. })
}

fn random_evidence(random: &mut Stream, order: u64) -> Evidence {
    let dev = [K, ED, OTHER][random.below(3) as usize];
    let person = [DR_K, DR_M][random.below(2) as usize];
    let key = Key8([random.below(3) as u8; 8]);
    let q = |n| [None, Some(Layer::DIGEST), PREVIEW, LOSSLESS][n as usize];
    let act = Act::from_u8(1 + random.below(4) as u8).unwrap();
    let layer = q(random.below(4));
    match random.below(30) {
        0..=4 => Evidence::Committed,
        5..=7 => Evidence::CarryReceipt {
            carrier: key,
            expires: at(random.below(200)).mono,
        },
        8 => Evidence::CarryLost { carrier: key },
        9..=11 => Evidence::RelayReceipt {
            relay: key,
            kept_until_min: random.below(3) as u32,
            q: layer,
        },
        12 => Evidence::RelayLost { relay: key },
        13..=17 => Evidence::Head {
            dev,
            inc: random.below(3) as u32,
            opens: random.below(3) > 0,
            layer,
        },
        18 => Evidence::HeadsDisagree {
            dev,
            delivered: (random.below(3) > 0).then_some(layer),
            acts: random.below(2) > 0,
        },
        19..=22 => seen(dev, person, layer),
        23..=24 => ack(dev, person, act, layer, order),
        25 => Evidence::Removed {
            dev,
            inc: random.below(3) as u32,
        },
        26 => Evidence::Recalled {
            replaced: random.below(2) > 0,
        },
        27..=28 => Evidence::Refused {
            by: key,
            class: Class::Bulk,
        },
        _ => Evidence::LeaseExpired {
            days: random.below(9) as u16,
        },
    }
}

fn stream(seed: u64) -> Stream {
    let mut bytes = [0u8; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Stream::new(bytes)
}

#[test]
fn no_word_ever_exceeds_its_evidence() {
    for seed in 0..4000u64 {
        let mut random = stream(seed);
        let (mut t, mut all) = (tracker(Class::Alarm), Vec::new());
        for i in 0..1 + random.below(14) {
            let (e, now) = (random_evidence(&mut random, i), at(i * 10));
            all.push((e, now));
            let before: Vec<_> = t.views().map(|(_, view)| view.clone()).collect();
            t.apply(e, now);
            assert!(!fell(&before, &t, &e), "seed {seed}: {all:?}");
            for (r, view) in t.views() {
                let shown = view.state.map(|s| {
                    let n = if let State::HandedOver(n) = s { n } else { 0 };
                    (s.step(), n, s.q())
                });
                assert_eq!(shown, truth(&all, now.mono, r), "seed {seed}: {all:?}");
            }
        }
    }
}

#[test]
fn evidence_in_any_order_and_repeated_gives_the_same_words() {
    for seed in 0..500u64 {
        let mut random = stream(seed);
        let falls = |e: &Evidence| matches!(e, Evidence::CarryLost { .. } | Evidence::RelayLost { .. });
        let mut all: Vec<_> = (0..12)
            .map(|i| (random_evidence(&mut random, i / 2), at(i * 7)))
            .filter(|(e, _)| !falls(e))
            .collect();
        let run = |all: &[(Evidence, Now)]| {
            let mut t = tracker(Class::Alarm);
            all.iter().for_each(|(e, now)| drop(t.apply(*e, *now)));
            t.advance(at(100).mono);
            let rows: Vec<_> = t.views().map(|(r, v)| (v.clone(), t.row(r.dev))).collect();
            (rows, t.taken(), t.recalled(), t.next_deadline())
        };
        let first = run(&all);
        for _ in 0..6 {
            let (a, b) = (random.below(all.len() as u64), random.below(all.len() as u64));
            all.swap(a as usize, b as usize);
            all.push(all[a as usize]);
            assert_eq!(run(&all), first, "seed {seed}: {all:?}");
        }
    }
}
