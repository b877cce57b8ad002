//! Parts, the view of a peer, and both together over a lossy link.

use super::*;

fn envelope(seed: u8, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    Stream::new([seed; 32]).fill(&mut bytes);
    bytes.into()
}

fn cut(seed: u8, len: usize) -> Vec<Data> {
    Cutter::new(envelope(seed, len), None, limits::UNIT_BYTES_SLOW).collect()
}

#[test]
fn an_envelope_comes_together_from_parts_in_any_order() {
    let carry = Some(Carry { age_s: 90, copies: 4 });
    for (len, unit, carry) in [
        (1, 256, None),
        (231, 256, None),
        (900, 256, carry),
        (1_067, 1024, None),
        (limits::ENVELOPE_BYTES, 1024, carry),
    ] {
        let whole = envelope(1, len);
        let mut cutter = Cutter::new(whole.clone(), carry, unit);
        assert_eq!(cutter.left(), len);
        let mut parts: Vec<_> = cutter.by_ref().collect();
        assert_eq!(cutter.left(), 0);
        for part in &parts {
            let frame = Frame::Data(part.clone());
            assert!(frame.encode().len() <= unit);
            assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }
        for (shift, doubled) in [(0, false), (1, true), (parts.len() / 2, true)] {
            parts.rotate_left(shift);
            let mut assembler = Assembler::new();
            let mut done = Vec::new();
            for part in &parts {
                done.extend(assembler.insert(part.clone()).unwrap());
                if doubled && done.is_empty() {
                    assert_eq!(assembler.insert(part.clone()), Ok(None));
                }
            }
            assert_eq!(done.len(), 1);
            assert_eq!((&done[0].bytes, done[0].carry), (&whole, carry));
            assert!(assembler.is_empty());
        }
    }
}

#[test]
fn units_of_two_sizes_complete_each_other() {
    let whole = envelope(1, 3_000);
    let mut assembler = Assembler::new();
    for part in Cutter::new(whole.clone(), None, limits::UNIT_BYTES).take(2) {
        assert_eq!(assembler.insert(part), Ok(None));
    }
    let slow = Cutter::new(whole.clone(), None, limits::UNIT_BYTES_SLOW).skip(8);
    let done: Vec<_> = slow.filter_map(|p| assembler.insert(p).unwrap()).collect();
    assert_eq!(done[0].bytes, whole);
}

#[test]
fn a_peer_that_breaks_the_rules_is_told_apart() {
    let mut assembler = Assembler::new();
    let mut insert = |data: &Data| assembler.insert(data.clone());
    let mut parts = cut(1, 1_000);
    let wrong = Data {
        key: [0; 8],
        ..cut(1, 40)[0].clone()
    };
    assert_eq!(insert(&wrong), Err(PartError::WrongKey));
    assert_eq!(insert(&parts[0]), Ok(None));
    let short = Data {
        last: true,
        ..parts[1].clone()
    };
    assert_eq!(insert(&short), Err(PartError::Contradiction));
    let late = parts.pop().unwrap();
    let after = Data {
        off: 2_000,
        last: false,
        ..late.clone()
    };
    assert_eq!(insert(&after), Ok(None));
    assert_eq!(insert(&late), Err(PartError::Contradiction));
    let beyond = Data {
        off: u32::MAX,
        ..late.clone()
    };
    assert_eq!(insert(&beyond), Err(PartError::TooLong));
    let mut swapped = cut(1, 1_000);
    swapped[1].bytes = swapped[2].bytes.clone();
    let results: Vec<_> = swapped.iter().map(insert).collect();
    assert_eq!(results.last(), Some(&Err(PartError::WrongKey)));
    let crumb = |n: u32| Data {
        off: n * 2,
        bytes: Bytes::from_static(b"x"),
        last: false,
        ..late.clone()
    };
    let mut assembler = Assembler::new();
    let results: Vec<_> = (0..300).map(|n| assembler.insert(crumb(n))).collect();
    assert_eq!(
        results[limits::PIECES_PER_ENVELOPE],
        Err(PartError::TooManyPieces)
    );
}

#[test]
fn partials_are_bounded_and_the_one_waiting_longest_goes() {
    let mut assembler = Assembler::new();
    let first = cut(0, 1_000);
    assert_eq!(assembler.insert(first[0].clone()), Ok(None));
    for seed in 1..=200 {
        assert_eq!(assembler.insert(cut(seed, 1_000)[0].clone()), Ok(None));
        let touched = assembler.insert(first[1].clone());
        assert_eq!(touched, Ok(None), "the first is not the one that waits longest");
    }
    assert_eq!(assembler.len(), limits::PARTS_PER_LINK);
    assert!(assembler.held_bytes() <= limits::PARTS_PER_LINK * 1_000);
    let done = first[2..]
        .iter()
        .filter_map(|p| assembler.insert(p.clone()).unwrap());
    assert_eq!(done.count(), 1);
}

#[test]
fn hostile_parts_stay_within_bounds() {
    let mut stream = Stream::new([8; 32]);
    let mut assembler = Assembler::new();
    let bytes = envelope(1, 2_000);
    for _ in 0..5_000 {
        let total = below(&mut stream, 70_000);
        let first = (below(&mut stream, 2) == 0).then_some(First { total, carry: None });
        let part = Data {
            key: [below(&mut stream, 90) as u8; 8],
            off: below(&mut stream, 4) * below(&mut stream, 20_000),
            first,
            last: below(&mut stream, 9) == 0,
            bytes: bytes.slice(..1 + below(&mut stream, 1_999) as usize),
        };
        assert!(!matches!(assembler.insert(part), Ok(Some(_))));
        assert!(assembler.len() <= limits::PARTS_PER_LINK);
        assert!(assembler.held_bytes() <= limits::PARTS_PER_LINK * limits::ENVELOPE_BYTES);
    }
}

#[test]
fn what_was_sent_is_owed_again_after_the_grace_time() {
    let slot = slots(1)[0];
    let (log, at) = (Log::Content, |ms| Instant(0).plus_ms(ms));
    let mine = Ranges([((slot, log), SeqSet::interval(1, 10))].into());
    let mut view = PeerView::new();
    assert!(!view.known());
    let theirs = Ranges([((slot, log), SeqSet::interval(1, 4))].into());
    assert!(view.on_have(have(1, theirs.clone()), at(0), GRACE_MS));
    (5..=9).for_each(|seq| view.sent(Place::Log { slot, log, seq }, at(100)));
    assert_eq!(view.owed(&mine, at(200), GRACE_MS).len(), 1);
    assert_eq!(view.owed(&mine, at(100 + GRACE_MS), GRACE_MS).len(), 6);
    let mut more = theirs.clone();
    (5..=8).for_each(|seq| {
        more.insert(slot, log, seq);
    });
    assert!(view.on_have(have(2, more), at(300), GRACE_MS));
    assert_eq!(view.owed(&mine, at(300), GRACE_MS).len(), 1);
    assert!(!view.on_have(have(1, theirs.clone()), at(300), GRACE_MS), "late");
    view.on_session();
    assert!(view.on_have(have(1, theirs), at(5_000), GRACE_MS));
    assert_eq!(view.owed(&mine, at(5_000), GRACE_MS).len(), 6);
    view.on_reset();
    assert_eq!(view.owed(&mine, at(5_000), GRACE_MS).len(), 10);
}

#[test]
fn chunks_are_owed_like_places() {
    let object = Object8([1; 8]);
    let mine = Blobs([((object, 0), Chunks::all_of(6)), ((object, 1), Chunks::all_of(3))].into());
    let mut theirs = have(1, Ranges::new());
    theirs.blobs.get_or_insert_default().insert(object, 0, 6, 2);
    let mut view = PeerView::new();
    view.on_have(theirs, Instant(0), GRACE_MS);
    let (layer, index) = (0, 0);
    view.sent(Place::Chunk { object, layer, index }, Instant(0));
    let owed = |max| view.owed_chunks(&mine, Instant(0), GRACE_MS, max);
    let expected = [(0, 1), (0, 3), (0, 4), (0, 5), (1, 0), (1, 1), (1, 2)].map(|(l, i)| (object, l, i));
    assert_eq!(owed(99), expected);
    assert_eq!(owed(5), expected[..5]);
}

#[test]
fn a_view_is_bounded_and_never_believes_more_than_it_was_told() {
    let mut view = PeerView::new();
    let mut mine = Ranges::new();
    for slot in 0..100u8 {
        let odd: SeqSet = (0..250).map(|n| 2 * n + 1).collect();
        let said = Ranges([((Slot([slot; 4]), Log::Content), odd)].into());
        mine.0.extend(said.0.clone());
        view.on_have(have(1, said), Instant(0), GRACE_MS);
    }
    assert!(view.known() && view.last().is_none());
    let owed = view.owed(&mine, Instant(0), GRACE_MS);
    assert_eq!(
        owed.len(),
        mine.len() - (limits::RUNS_PER_VIEW / 250 * 250) as u64
    );
    (0..9_999).for_each(|index| {
        view.sent(
            Place::Chunk {
                object: Object8([0; 8]),
                layer: 0,
                index,
            },
            Instant(0),
        );
    });
    let chunks = Blobs([((Object8([0; 8]), 0), Chunks::all_of(8_000))].into());
    let owed = view.owed_chunks(&chunks, Instant(0), GRACE_MS, 9_999).len();
    assert_eq!(owed, 9_999 - limits::SENT_MARKS);
}

/// One side of a session, reduced to what it holds and believes.
struct Side {
    held: Ranges,
    view: PeerView,
    said: Option<Have>,
    number: u32,
    ask: bool,
    deaf: bool,
}

impl Side {
    fn have(&mut self, slots: &[Slot]) -> Vec<Bytes> {
        self.number += 1;
        let mut next = have(self.number, self.held.clone());
        next.ask_explicit = self.ask;
        let known = (!self.deaf).then_some(slots);
        let base = self.said.as_ref().filter(|_| !self.deaf);
        let bodies = next.encode_all(known, base);
        self.said = Some(next);
        bodies
    }

    fn hear(&mut self, body: &Bytes, slots: &[Slot], now: Instant) {
        let head = HaveHead::decode(body).unwrap();
        self.deaf = head.ask_explicit;
        self.ask = self.view.receive(&head, Some(slots), now, GRACE_MS).is_err();
    }
}

#[test]
fn two_sides_become_equal_over_a_link_that_loses_a_third() {
    for seed in 0..20 {
        let mut stream = Stream::new([seed; 32]);
        let list = slots(6);
        let mut sides = [(); 2].map(|()| {
            let mut held = Ranges::new();
            grow(&mut held, &mut stream, &list, 60);
            Side {
                held,
                view: PeerView::new(),
                said: None,
                number: 0,
                ask: false,
                deaf: false,
            }
        });
        let mut sent = 0;
        let equal = |sides: &[Side; 2]| sides[0].held == sides[1].held;
        let mut rounds = 0;
        while !equal(&sides) {
            rounds += 1;
            assert!(rounds < 60, "seed {seed}");
            let now = Instant(0).plus_ms(rounds * 1_000);
            for from in [0, 1] {
                let lost = |stream: &mut Stream| below(stream, 3) == 0;
                for body in sides[from].have(&list) {
                    if !lost(&mut stream) {
                        sides[1 - from].hear(&body, &list, now);
                    }
                }
                let owed = sides[from].view.owed(&sides[from].held, now, GRACE_MS);
                for ((slot, log), set) in &owed.0 {
                    for seq in set.iter() {
                        let (slot, log) = (*slot, *log);
                        sides[from].view.sent(Place::Log { slot, log, seq }, now);
                        sent += 1;
                        if !lost(&mut stream) {
                            sides[1 - from].held.insert(slot, log, seq);
                        }
                    }
                }
            }
        }
        assert!(sent < 6 * sides[0].held.len(), "seed {seed}: {sent} sent");
    }
}
