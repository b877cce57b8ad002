use super::*;
use crate::blobs::{Blobs, Chunks};
use crate::codec::Malformed;
use crate::crypto::{Secret, Stream, kdf};
use crate::envelope::Place;
use crate::id::{Handle, Object8, Slot};
use crate::limits;
use crate::ranges::{Log, Ranges, SeqSet};
use crate::time::Instant;
use crate::wire::{Carry, Data, First, Frame, ThreadMark};
use bytes::Bytes;

const GRACE_MS: u64 = 2_000;

fn slots(n: u8) -> Vec<Slot> {
    (0..n).map(|i| Slot([i, 7, 7, i])).collect()
}

fn below(stream: &mut Stream, n: u32) -> u32 {
    stream.below(u64::from(n)) as u32
}

/// Adds some random items to `ranges`.
fn grow(ranges: &mut Ranges, stream: &mut Stream, slots: &[Slot], items: u32) {
    for _ in 0..items {
        let slot = slots[below(stream, slots.len() as u32) as usize];
        let log = Log::ALL[below(stream, 3) as usize];
        let seq = 1 + below(stream, 400);
        let run = below(stream, 12);
        (seq..=seq + run).for_each(|n| {
            ranges.insert(slot, log, n);
        });
    }
}

fn grow_blobs(blobs: &mut Blobs, stream: &mut Stream, items: u32) {
    for _ in 0..items {
        let object = Object8([below(stream, 4) as u8; 8]);
        blobs.insert(object, below(stream, 3) as u8, 40, below(stream, 40));
    }
}

/// Resolves all parts and merges them.
fn read(bodies: &[Bytes], slots: Option<&[Slot]>, base: Option<&Have>) -> Result<Have, HaveError> {
    let mut all: Option<Have> = None;
    for body in bodies {
        assert!(body.len() <= limits::HAVE_BYTES);
        let part = HaveHead::decode(body)?.resolve(slots, base)?;
        match &mut all {
            Some(all) => all.merge(&part),
            None => all = Some(part),
        }
    }
    Ok(all.unwrap())
}

fn have(number: u32, ranges: Ranges) -> Have {
    Have::new(Subject::Thread(3), number, ranges)
}

#[test]
fn every_form_says_the_same() {
    for seed in 0..60 {
        let mut stream = Stream::new([seed; 32]);
        let list = slots(1 + seed % 13);
        let mut was = have(5, Ranges::new());
        grow(&mut was.ranges, &mut stream, &list, 40);
        if seed % 3 > 0 {
            grow_blobs(was.blobs.get_or_insert_default(), &mut stream, 30);
        }
        let mut is = Have {
            number: 9,
            ..was.clone()
        };
        grow(&mut is.ranges, &mut stream, &list, u32::from(seed % 5));
        if let Some(blobs) = &mut is.blobs {
            grow_blobs(blobs, &mut stream, u32::from(seed % 4));
        }
        for known in [None, Some(&list[..])] {
            for base in [None, Some(&was)] {
                let bodies = is.encode_all(known, base);
                assert_eq!(read(&bodies, Some(&list), base), Ok(is.clone()), "seed {seed}");
            }
        }
    }
}

#[test]
fn a_chain_of_deltas_stays_exact() {
    let mut stream = Stream::new([77; 32]);
    let list = slots(12);
    let mut mine = have(1, Ranges::new());
    let mut theirs: Option<Have> = None;
    for number in 1..200 {
        let base = mine.clone();
        mine.number = number;
        let items = below(&mut stream, 3);
        grow(&mut mine.ranges, &mut stream, &list, items);
        let bodies = mine.encode_all(Some(&list), theirs.as_ref().map(|_| &base));
        theirs = Some(read(&bodies, Some(&list), theirs.as_ref()).unwrap());
        assert_eq!(theirs.as_ref(), Some(&mine));
    }
}

#[test]
fn a_store_that_lost_items_says_so_in_full() {
    let list = slots(3);
    let mut was = have(1, Ranges::new());
    was.ranges
        .0
        .insert((list[0], Log::Content), SeqSet::interval(1, 90));
    let mut is = have(2, Ranges::new());
    is.ranges
        .0
        .insert((list[0], Log::Content), SeqSet::interval(3, 90));
    let body = &is.encode_all(Some(&list), Some(&was))[0];
    assert_eq!(HaveHead::decode(body).unwrap().base, None);
}

#[test]
#[expect(clippy::print_stdout, reason = "the sizes are the result")]
fn a_changed_slot_costs_about_three_bytes() {
    let list = slots(12);
    let mut was = have(1, Ranges::new());
    for slot in &list {
        was.ranges
            .0
            .insert((*slot, Log::Content), SeqSet::interval(1, 833));
        was.ranges
            .0
            .insert((*slot, Log::Control), SeqSet::interval(1, 20));
        was.ranges.insert(*slot, Log::Heads, 50);
    }
    let mut is = Have {
        number: 2,
        ..was.clone()
    };
    let same = is.encode_all(Some(&list), Some(&was))[0].len();
    for slot in [2, 3, 9] {
        is.ranges.insert(list[slot], Log::Content, 834);
    }
    let three = is.encode_all(Some(&list), Some(&was))[0].len();
    println!("delta HAVE: unchanged {same} B, 3 changed logs {three} B");
    let slots_digest = 4;
    assert!(same <= 6 && three <= same + slots_digest + 3 * 3);
}

#[test]
fn what_cannot_be_resolved_is_asked_for_explicitly() {
    let (ours, theirs) = (slots(5), slots(6));
    let mut mine = have(4, Ranges::new());
    mine.ranges.insert(ours[1], Log::Content, 1);
    mine.ranges.insert(ours[2], Log::Content, 5);
    mine.ranges.insert(ours[3], Log::Content, 5);
    mine.ranges.insert(ours[4], Log::Content, 5);
    mine.logs = Logs::CONTENT;
    let implicit = mine.encode_all(Some(&ours), None);
    assert_eq!(read(&implicit, Some(&theirs), None), Err(HaveError::UnknownSlots));
    assert_eq!(read(&implicit, None, None), Err(HaveError::UnknownSlots));
    let mut next = Have {
        number: 5,
        ask_explicit: true,
        ..mine.clone()
    };
    next.ranges.insert(ours[1], Log::Content, 2);
    let delta = next.encode_all(Some(&ours), Some(&mine));
    assert_eq!(read(&delta, Some(&ours), None), Err(HaveError::UnknownBase));
    let older = Have {
        number: 3,
        ..mine.clone()
    };
    assert_eq!(
        read(&delta, Some(&ours), Some(&older)),
        Err(HaveError::UnknownBase)
    );
    let got = read(&next.encode_all(None, None), Some(&theirs), None);
    assert_eq!(got, Ok(next));
}

#[test]
fn what_does_not_fit_is_said_in_parts() {
    let mut stream = Stream::new([9; 32]);
    let list = slots(128);
    let mut big = have(7, Ranges::new());
    big.subject = Subject::Handle(Handle([3; 8]));
    grow(&mut big.ranges, &mut stream, &list, 9_000);
    let blobs = big.blobs.get_or_insert_default();
    for n in 0..700u32 {
        let object = [n.to_le_bytes(), [1; 4]].concat();
        blobs
            .0
            .insert((Object8::from_prefix(&object).unwrap(), 0), Chunks::all_of(9));
    }
    let bodies = big.encode_all(Some(&list), None);
    assert!(bodies.len() > 3);
    assert_eq!(read(&bodies, None, None), Ok(big.clone()));
    let mut view = PeerView::new();
    for body in &bodies {
        let head = HaveHead::decode(body).unwrap();
        assert_eq!(view.receive(&head, None, Instant(0), GRACE_MS), Ok(true));
    }
    assert_eq!(view.last(), Some(&big));
}

#[test]
fn a_delta_on_a_base_with_a_lost_part_never_says_too_much() {
    let list = slots(128);
    let mut unknown = 0;
    for seed in 0..20 {
        let mut stream = Stream::new([seed; 32]);
        let mut was = have(1, Ranges::new());
        grow(&mut was.ranges, &mut stream, &list, 9_000);
        let mut is = Have {
            number: 2,
            ..was.clone()
        };
        grow(&mut is.ranges, &mut stream, &list, 20);
        let parts = was.encode_all(None, None);
        assert!(parts.len() > 1);
        let known = read(&parts[..1], None, None).unwrap();
        match read(&is.encode_all(Some(&list), Some(&was)), Some(&list), Some(&known)) {
            Ok(got) => assert!(got.ranges.minus(&is.ranges).is_empty()),
            Err(error) => {
                assert_eq!(error, HaveError::UnknownBase);
                unknown += 1;
            }
        }
    }
    assert!(unknown > 0);
}

#[test]
fn logs_not_spoken_of_are_left_alone() {
    let list = slots(4);
    let mut all = have(1, Ranges::new());
    all.ranges.insert(list[0], Log::Content, 1);
    all.ranges.insert(list[0], Log::Control, 1);
    let mut content = have(2, all.ranges.clone());
    content.logs = Logs::CONTENT;
    let body = content.encode_all(Some(&list), None).remove(0);
    let mut view = PeerView::new();
    view.on_have(all.clone(), Instant(0), GRACE_MS);
    let head = HaveHead::decode(&body).unwrap();
    let said = head.resolve(Some(&list), None).unwrap();
    assert_eq!(said.ranges.get(list[0], Log::Control), None);
    assert_eq!(view.receive(&head, Some(&list), Instant(0), GRACE_MS), Ok(true));
    assert!(view.owed(&all.ranges, Instant(0), GRACE_MS).is_empty());
}

/// Two holders of 12 logs, 10 000 entries in all, of which each lacks some.
fn islands(random: bool) -> (Vec<Slot>, [Have; 2]) {
    let (list, mut stream) = (slots(12), Stream::new([12; 32]));
    let all = |i: u32| 833 + u32::from(i < 4);
    let mut lost: [Ranges; 2] = Default::default();
    for n in 0..100u32 {
        let (side, i, seq) = match (random, n / 25) {
            (true, _) => {
                let i = below(&mut stream, 12);
                (n as usize % 2, i, 1 + below(&mut stream, all(i)))
            }
            (false, part) => (part as usize % 2, 3 * part, all(3 * part) - n % 25),
        };
        lost[side].insert(list[i as usize], Log::Content, seq);
    }
    let sides = lost.map(|lost| {
        let whole = (0..12u32).map(|i| {
            let key = (list[i as usize], Log::Content);
            (key, SeqSet::interval(1, all(i)))
        });
        let mut have = have(1, Ranges(whole.collect()).minus(&lost));
        have.logs = Logs::CONTENT;
        have
    });
    (list, sides)
}

#[test]
#[expect(clippy::print_stdout, reason = "the sizes are the result")]
fn first_contact_after_a_partition_costs_what_was_promised() {
    for (random, budget) in [(false, 120), (true, 450)] {
        let (list, sides) = islands(random);
        let bytes = sides.each_ref().map(|have| {
            let bodies = have.encode_all(Some(&list), None);
            assert_eq!(read(&bodies, Some(&list), None).as_ref(), Ok(have));
            bodies
                .iter()
                .map(|b| Frame::Have(b.clone()).encode().len())
                .sum::<usize>()
        });
        let missing = sides[0].ranges.minus(&sides[1].ranges).len();
        println!("10 000 entries, 12 devices, random {random}: {missing} one way, HAVE {bytes:?} B");
        assert!(bytes[0] + bytes[1] <= budget);
    }
}

#[test]
fn haves_match_the_golden_vectors() {
    let list = slots(3);
    let mut full = have(300, Ranges::new());
    full.ranges
        .0
        .insert((list[0], Log::Content), SeqSet::interval(1, 833));
    full.ranges
        .0
        .insert((list[1], Log::Content), [4, 5, 9, 10, 12].into_iter().collect());
    full.ranges.insert(list[0], Log::Control, 1);
    full.ranges.insert(list[2], Log::Heads, 40);
    full.blobs
        .get_or_insert_default()
        .insert(Object8([6; 8]), 1, 14, 2);
    let mut next = Have {
        number: 301,
        ..full.clone()
    };
    next.ranges.insert(list[1], Log::Content, 13);
    let content = Have {
        logs: Logs::CONTENT,
        open: true,
        ask_explicit: true,
        subject: Subject::Handle(Handle([8; 8])),
        blobs: None,
        ..full.clone()
    };
    let one = |mut bodies: Vec<Bytes>| bodies.remove(0);
    let vectors = [
        ("implicit", one(full.encode_all(Some(&list), None))),
        ("explicit", one(full.encode_all(None, None))),
        ("implicit_delta", one(next.encode_all(Some(&list), Some(&full)))),
        ("explicit_delta", one(next.encode_all(None, Some(&full)))),
        ("open_content_ask", one(content.encode_all(None, None))),
    ];
    let vectors = vectors.each_ref().map(|(name, body)| (*name, &body[..]));
    crate::golden::check("haves", &vectors);
}

#[test]
fn mutated_haves_never_panic() {
    let mut stream = Stream::new([2; 32]);
    let list = slots(12);
    let mut was = have(5, Ranges::new());
    grow(&mut was.ranges, &mut stream, &list, 30);
    grow_blobs(was.blobs.get_or_insert_default(), &mut stream, 30);
    let mut is = Have {
        number: 6,
        ..was.clone()
    };
    grow(&mut is.ranges, &mut stream, &list, 3);
    let forms = [
        (None, None),
        (Some(&list[..]), None),
        (None, Some(&was)),
        (Some(&list[..]), Some(&was)),
    ];
    let forms = forms.map(|(slots, base)| is.encode_all(slots, base).remove(0));
    let mut resolved = 0;
    for round in 0..5_000 {
        let mut bytes = forms[round % 4].to_vec();
        for _ in 0..=below(&mut stream, 3) {
            let at = below(&mut stream, bytes.len() as u32) as usize;
            bytes[at] = below(&mut stream, 256) as u8;
        }
        bytes.truncate(bytes.len() - below(&mut stream, 2) as usize);
        let Ok(head) = HaveHead::decode(&bytes.into()) else {
            continue;
        };
        if let Ok(have) = head.resolve(Some(&list), Some(&was)) {
            resolved += 1;
            let mut view = PeerView::remembered(was.clone());
            view.on_have(have, Instant(0), GRACE_MS);
            view.owed(&is.ranges, Instant(0), GRACE_MS);
        }
    }
    assert!(resolved > 100);
}

#[test]
fn hostile_haves_are_refused() {
    let list = slots(1);
    for (bad, rule) in [
        (&[1, 0xe0, 1, 0][..], "speaks of no log"),
        (&[1, 2, 1, 2, 0], "base not before"),
        (&[1, 2, 1, 0, 0], "base not before"),
        (&[1, 0xc0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0], "log not spoken of"),
        (&[1, 0, 1, 0, 0], "trailing bytes"),
    ] {
        let got = HaveHead::decode(&Bytes::from_static(bad))
            .map_err(HaveError::from)
            .and_then(|head| head.resolve(Some(&list), None));
        assert_eq!(got, Err(HaveError::Malformed(Malformed(rule))), "{bad:?}");
    }
    assert!(HaveHead::decode(&vec![1; limits::HAVE_BYTES + 1].into()).is_err());
}

#[test]
fn peers_find_shared_threads_and_strangers_find_none() {
    let key = |n: u8| kdf(&[n], "tag");
    let (a, b) = ([1; 8], [2; 8]);
    let ours: Vec<(Secret, [u8; 8])> = [1, 2, 3, 4].map(|n| (key(n), [n; 8])).to_vec();
    let theirs = [(key(9), [9; 8]), (key(4), [4; 8]), (key(2), [0; 8])];
    let (mine, yours) = (ThreadList::new(&ours, &a, &b), ThreadList::new(&theirs, &b, &a));
    let shared = mine.shared(yours.marks());
    assert_eq!(
        shared.iter().map(|s| (s.own, s.same)).collect::<Vec<_>>(),
        [(1, false), (3, true)]
    );
    for s in &shared {
        assert_eq!(theirs[yours.own(s.theirs).unwrap()].0, ours[s.own].0);
        assert_eq!(mine.own(s.ours), Some(s.own));
    }
    assert_eq!(mine.own(0), None);
    assert_eq!(mine.own(5), None);
    let later = ThreadList::new(&ours, &a, &[3; 8]);
    assert!(later.shared(mine.marks()).is_empty());
    assert!(
        mine.shared(&[ThreadMark {
            tag: [0; 8],
            digest: [1; 8]
        }])
        .is_empty()
    );
    let golden = mine
        .marks()
        .iter()
        .flat_map(|m| [m.tag, m.digest])
        .collect::<Vec<_>>()
        .concat();
    let mut ranges = Ranges::new();
    grow(&mut ranges, &mut Stream::new([4; 32]), &slots(3), 9);
    let digest = threads::digest(&ranges, &Blobs::new());
    let root = threads::root(&a, &ours);
    crate::golden::check(
        "threads",
        &[("marks", &golden[..]), ("digest", &digest), ("root", &root)],
    );
}

#[test]
fn roots_agree_in_any_order_and_only_over_the_same_items() {
    let key = |n: u8| kdf(&[n], "tag");
    let (one, two) = ((key(1), [1; 8]), (key(2), [2; 8]));
    let root = |nonce, list: &[_]| threads::root(&[nonce; 8], list);
    assert_eq!(
        root(1, &[one.clone(), two.clone()]),
        root(1, &[two.clone(), one.clone()])
    );
    assert_ne!(
        root(1, &[one.clone(), two.clone()]),
        root(2, &[one.clone(), two.clone()])
    );
    assert_ne!(
        root(1, &[one.clone(), two.clone()]),
        root(1, &[one, (two.0, [3; 8])])
    );
}

#[test]
fn the_digest_sees_every_hole_and_chunk() {
    let list = slots(1);
    let mut ranges = Ranges::new();
    (1..2_000).for_each(|n| {
        ranges.insert(list[0], Log::Content, n * 2);
    });
    let mut blobs = Blobs::new();
    (0..2_000).for_each(|n| {
        blobs.insert(Object8([1; 8]), 0, 8_000, n * 2);
    });
    let digest = threads::digest(&ranges, &blobs);
    let mut more = ranges.clone();
    more.insert(list[0], Log::Content, 3_001);
    assert_ne!(threads::digest(&more, &blobs), digest);
    blobs.insert(Object8([1; 8]), 0, 8_000, 3_001);
    assert_ne!(threads::digest(&ranges, &blobs), digest);
}

mod transfer;
