use super::*;
use std::collections::BTreeSet;

fn pseudo(seed: u64) -> impl FnMut(u32) -> u32 {
    let mut stream = crate::crypto::Stream::new([seed as u8; 32]);
    move |n| stream.below(u64::from(n)) as u32
}

#[test]
fn sets_agree_with_a_plain_set() {
    for seed in 0..50 {
        let mut below = pseudo(seed);
        let (mut a, mut b) = (SeqSet::new(), SeqSet::new());
        let (mut ra, mut rb) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..below(120) {
            let (x, y) = (1 + below(60), 1 + below(60));
            assert_eq!(a.insert(x), ra.insert(x));
            b.insert(y);
            rb.insert(y);
        }
        assert_eq!(
            a.iter().collect::<Vec<_>>(),
            ra.iter().copied().collect::<Vec<_>>()
        );
        assert_eq!(a.len() as usize, ra.len());
        let minus: Vec<_> = ra.difference(&rb).copied().collect();
        assert_eq!(a.minus(&b).iter().collect::<Vec<_>>(), minus);
        let mut union = a.clone();
        union.extend(&b);
        assert_eq!(
            union.iter().collect::<Vec<_>>(),
            ra.union(&rb).copied().collect::<Vec<_>>()
        );
        assert!(union.covers(&a) && union.covers(&b));
        assert!((1..=60).all(|n| a.contains(n) == ra.contains(&n)));
        if !a.is_empty() {
            let mut w = Writer::new();
            a.write(&mut w);
            assert_eq!(SeqSet::read(&mut Reader::new(&w.0)), Ok(a));
        }
    }
}

#[test]
fn the_largest_number_is_a_member_like_any_other() {
    let mut s = SeqSet::interval(u32::MAX - 1, u32::MAX);
    assert!(!s.insert(u32::MAX));
    assert!(SeqSet::interval(1, u32::MAX).minus(&s).max() == u32::MAX - 2);
    s.insert(1);
    assert_eq!(s.len(), 3);
}

#[test]
fn hostile_ranges_are_refused() {
    for bad in [
        &[0, 0, 0][..],
        &[1, 0, 1, 1, 1],
        &[1, 5, 1, 0, 1],
        &[1, 5, 1, 1, 0],
        &[1, 5, 0xff, 0x7f],
    ] {
        assert!(SeqSet::read(&mut Reader::new(bad)).is_err(), "{bad:?}");
    }
    let twice = [2u8, 1, 1, 1, 1, 0, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 0];
    assert!(Ranges::read(&mut Reader::new(&twice)).is_err());
}

#[test]
fn only_the_newest_head_lives() {
    let slot = Slot([1; 4]);
    let mut held = Ranges::new();
    assert!(held.insert(slot, Log::Heads, 5));
    assert!(!held.insert(slot, Log::Heads, 4));
    assert!(held.contains(slot, Log::Heads, 4));
    let mut other = Ranges::new();
    other.insert(slot, Log::Heads, 6);
    assert!(held.minus(&other).is_empty());
    assert_eq!(other.minus(&held).len(), 1);
}
