use super::*;
use crate::id::{Object8, Slot};
use crate::ranges::Log;

fn keys(n: u8) -> KeyPair {
    KeyPair::from_seed(&[n; 32])
}

fn id(n: u8) -> MsgId {
    MsgId::of(&[n])
}

fn at(seq: u32) -> Place {
    let (slot, log) = (Slot([4; 4]), Log::Content);
    Place::Log { slot, log, seq }
}

fn chunk(index: u32) -> Place {
    let (object, layer) = (Object8([9; 8]), 1);
    Place::Chunk { object, layer, index }
}

fn sent() -> Vec<(MsgId, Place)> {
    vec![
        (id(3), at(5)),
        (id(1), at(6)),
        (id(2), at(9)),
        (id(4), chunk(0)),
        (id(5), chunk(7)),
    ]
}

/// One sample of each layout, from fixed seeds.
fn samples() -> Vec<(&'static str, Bytes)> {
    let (hk, rk) = (keys(1), keys(2));
    let handle = Handle::of_key(&hk.public());
    let routing = Key8([7; 8]);
    let (ranges, blobs) = (
        Named::all_of(&sent())[0].ranges.clone(),
        Named::all_of(&sent())[0].blobs.clone(),
    );
    vec![
        (
            "burst",
            Burst::make(routing, vec![id(1), id(2)], Some(&hk), &rk).wire,
        ),
        ("burst_inbox", Burst::make(routing, vec![id(1)], None, &rk).wire),
        (
            "relay_receipt",
            RelayReceipt::make(&sent(), handle, &rk, 29_900_000, 1_795_000_000_000)[0]
                .wire
                .clone(),
        ),
        (
            "relay_receipt_inbox",
            RelayReceipt::make(
                &[(id(1), Place::Inbox)],
                handle,
                &rk,
                29_900_000,
                1_795_000_000_000,
            )[0]
            .wire
            .clone(),
        ),
        (
            "carry_receipt",
            CarryReceipt::make(&sent(), handle, &rk, 1_795_000_000_000)[0]
                .wire
                .clone(),
        ),
        (
            "seq_receipt",
            SeqReceipt::make(handle, NodeId([5; 16]), NodeId([6; 16]), &rk, 1_795_000_000_000).wire,
        ),
        (
            "ack_release",
            AckVector::make(Ack::Release(ranges.clone(), blobs.clone()), &hk).wire,
        ),
        ("ack_purge", AckVector::make(Ack::Purge(ranges, blobs), &hk).wire),
        (
            "ack_taken",
            AckVector::make(Ack::Taken(vec![id(1), id(2)]), &hk).wire,
        ),
    ]
}

/// The layout of `bytes` decodes and its signatures hold.
fn accepted(bytes: &Bytes) -> bool {
    let (hk, rk) = (keys(1).public(), keys(2).public());
    match bytes.get(1) {
        Some(0xb1) => Burst::decode(bytes)
            .is_ok_and(|x| x.handle_proof.is_none_or(|p| p.0 == hk) && x.verify(&rk) && x.wire == *bytes),
        Some(0xe1) => RelayReceipt::decode(bytes).is_ok_and(|x| x.verify(&rk)),
        Some(0xe2) => CarryReceipt::decode(bytes).is_ok_and(|x| x.verify(&rk)),
        Some(0xe3) => SeqReceipt::decode(bytes).is_ok_and(|x| x.verify(&rk)),
        Some(0xe4) => AckVector::decode(bytes).is_ok_and(|x| x.verify()),
        _ => false,
    }
}

#[test]
fn layouts_equal_the_golden_vectors() {
    for (name, bytes) in samples() {
        crate::golden::check(name, &[(name, &bytes)]);
        assert!(accepted(&bytes), "{name}");
    }
}

#[test]
fn a_changed_byte_is_never_accepted() {
    let mut stream = crate::crypto::Stream::new([3; 32]);
    for (name, good) in samples() {
        for _ in 0..2_000 {
            let mut bad = good.to_vec();
            match stream.below(4) {
                0 => bad.truncate(stream.below(good.len() as u64) as usize),
                1 => bad.insert(stream.below(good.len() as u64) as usize, stream.below(256) as u8),
                _ => {
                    let at = stream.below(good.len() as u64) as usize;
                    bad[at] ^= 1 + stream.below(255) as u8;
                }
            }
            let bad = Bytes::from(bad);
            assert!(bad == good || !accepted(&bad), "{name}: {bad:?}");
        }
    }
}

#[test]
fn a_burst_with_a_borrowed_handle_key_is_not_accepted() {
    let mut bytes = Burst::make(Key8([7; 8]), vec![id(1)], Some(&keys(1)), &keys(2))
        .wire
        .to_vec();
    let own_sig = bytes.len() - 64;
    bytes[own_sig - 1] ^= 1;
    let sig = keys(2).sign(Domain::Burst, &bytes[..own_sig]);
    bytes[own_sig..].copy_from_slice(&sig);
    let burst = Burst::decode(&bytes.into()).unwrap();
    assert_eq!(burst.handle(), Some(Handle::of_key(&keys(1).public())));
    assert!(!burst.verify(&keys(2).public()));
}

#[test]
fn random_bytes_after_a_good_start_are_total() {
    let mut stream = crate::crypto::Stream::new([4; 32]);
    for (_, good) in samples() {
        for _ in 0..2_000 {
            let mut bytes = good[..2 + stream.below(20) as usize].to_vec();
            let mut tail = vec![0; stream.below(300) as usize];
            stream.fill(&mut tail);
            bytes.extend(tail);
            assert!(!accepted(&bytes.into()));
        }
    }
}

#[test]
fn a_receipt_covers_what_was_sent() {
    let (relay, handle) = (keys(2), Handle([1; 8]));
    let receipts = RelayReceipt::make(&sent()[..4], handle, &relay, 0, 0);
    let read = RelayReceipt::decode(receipts[0].bytes()).unwrap();
    assert_eq!((receipts.len(), &read), (1, &receipts[0]));
    let covered = read.covers(&relay.public(), &sent()).unwrap();
    assert_eq!(covered, [id(3), id(1), id(2), id(4)]);
    assert!(!read.named.blobs.complete(Object8([9; 8]), 1));
}

#[test]
fn a_lying_receipt_covers_nothing() {
    let (relay, handle) = (keys(2), Handle([1; 8]));
    let mut other = sent();
    other[1].0 = id(77);
    let lie = &RelayReceipt::make(&other, handle, &relay, 0, 0)[0];
    assert_eq!(
        lie.covers(&relay.public(), &sent()),
        None,
        "another envelope at a place"
    );
    let more = &RelayReceipt::make(&[sent(), vec![(id(8), at(10))]].concat(), handle, &relay, 0, 0)[0];
    assert_eq!(more.covers(&relay.public(), &sent()), None, "a place never sent");
    let mut wide = Named::all_of(&sent())[0].clone();
    wide.ranges.insert(Slot([4; 4]), Log::Content, 7);
    assert_eq!(
        wide.covers(&sent()),
        None,
        "digest of the sent ones, one place more"
    );
    assert_eq!(Named::cut(&Ranges::new(), &Blobs::new()).covers(&sent()), None);
}

#[test]
fn a_receipt_of_another_key_covers_nothing() {
    let (relay, handle) = (keys(2), Handle([1; 8]));
    let receipt = &RelayReceipt::make(&sent(), handle, &keys(3), 0, 0)[0];
    assert_eq!(receipt.covers(&relay.public(), &sent()), None);
    let mut unsigned = RelayReceipt::make(&sent(), handle, &relay, 0, 0)[0].wire.to_vec();
    let n = unsigned.len();
    unsigned[n - 64..].fill(0);
    let unsigned = RelayReceipt::decode(&unsigned.into()).unwrap();
    assert_eq!(unsigned.covers(&relay.public(), &sent()), None);
    let carry = &CarryReceipt::make(&sent(), handle, &relay, 0)[0];
    assert!(carry.covers(&relay.public(), &sent()).is_some());
    assert_eq!(carry.covers(&keys(3).public(), &sent()), None);
}

#[test]
fn inbox_items_are_covered_together_or_alone() {
    let inbox = [
        (id(1), Place::Inbox),
        (id(2), Place::Inbox),
        (id(3), Place::Inbox),
    ];
    assert_eq!(Named::all_of(&inbox)[0].covers(&inbox).unwrap().len(), 3);
    assert_eq!(Named::all_of(&inbox[1..2])[0].covers(&inbox), Some(vec![id(2)]));
    assert_eq!(Named::all_of(&inbox[1..])[0].covers(&inbox), None);
}

#[test]
fn what_does_not_fit_goes_into_a_further_receipt() {
    let items: Vec<_> = (0..700u32)
        .map(|n| (MsgId::of(&n.to_le_bytes()), at(1 + n * 2)))
        .chain((0..600).map(|n| (MsgId::of(&[n as u8, 1, (n >> 8) as u8]), chunk(n * 2))))
        .chain([(id(1), Place::Inbox)])
        .collect();
    let names = Named::all_of(&items);
    let covered: Vec<MsgId> = names.iter().flat_map(|n| n.covers(&items).unwrap()).collect();
    assert_eq!(covered.len(), items.len());
    assert!(names.len() <= 5, "{}", names.len());
}

#[test]
fn an_ack_vector_needs_the_key_of_its_handle() {
    let mut bytes = AckVector::make(Ack::Taken(vec![id(1)]), &keys(1)).wire.to_vec();
    bytes[2] ^= 1;
    assert!(AckVector::decode(&bytes.into()).is_err());
}
