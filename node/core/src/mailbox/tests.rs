use super::*;
use crate::crypto::{KeyPair, Stream};
use crate::envelope::Ttl;
use crate::id::Object8;
use crate::store::{Engine, Memory};
use crate::time::Wall;

const MIN: u64 = 60_000;
const HOUR: u64 = 60 * MIN;

fn keys(n: u8) -> KeyPair {
    KeyPair::from_seed(&[n; 32])
}

fn rk(n: u8) -> Key8 {
    Key8([n; 8])
}

fn at(ms: u64) -> Now {
    Now {
        mono: Instant(ms * 1000),
        wall: Wall(1_795_000_000_000 + ms),
    }
}

/// Routing keys with even numbers are of one organisation, the others of another.
fn org_of(from: Key8) -> Org {
    Org([from.0[0] % 2; 8])
}

fn log(log: Log, seq: Seq) -> Place {
    let slot = Slot([4; 4]);
    Place::Log { slot, log, seq }
}

/// A mailbox over a store, with one thread whose handle key is `keys(1)`.
struct World {
    store: Memory,
    mailbox: Mailbox,
    config: Config,
    org_alone: bool,
}

impl World {
    fn new(role: Role, quota_bytes: u64) -> World {
        let (store, config) = (Memory::new(), Config { role, quota_bytes });
        let mailbox = Mailbox::load(&store, config).unwrap();
        World {
            store,
            mailbox,
            config,
            org_alone: true,
        }
    }

    fn relay() -> World {
        World::new(Role::Relay, limits::CARRY_BYTES_PHONE)
    }

    fn carrier() -> World {
        World::new(Role::Carrier, limits::CARRY_BYTES_PHONE)
    }

    fn restart(&mut self) {
        self.mailbox = Mailbox::load(&self.store, self.config).unwrap();
    }

    fn offer(&mut self, now: Now, from: Key8, e: &Envelope, age_s: u32) -> Verdict {
        let (item, hk) = (e.encode(), keys(1));
        let proof = (e.place != Place::Inbox).then_some(&hk);
        let burst = Burst::make(rk(0), vec![MsgId::of(&item)], proof, &keys(2));
        self.offer_with(now, from, e, &item, &burst, age_s)
    }

    fn offer_with(
        &mut self,
        now: Now,
        from: Key8,
        envelope: &Envelope,
        item: &Bytes,
        burst: &Burst,
        age_s: u32,
    ) -> Verdict {
        let mut batch = Batch::new();
        let offer = Offer {
            from,
            org: org_of(from),
            org_alone: self.org_alone,
            burst,
            item,
            envelope,
            age_s,
        };
        let verdict = self.mailbox.offer(now, offer, &mut batch);
        assert_eq!(batch.is_empty(), verdict != Verdict::Stored);
        self.store.apply(&batch).unwrap();
        verdict
    }

    fn release(&mut self, now: Now, ack: Ack, key: &KeyPair) -> usize {
        let mut batch = Batch::new();
        let gone = self.mailbox.release(now, &AckVector::make(ack, key), &mut batch);
        self.store.apply(&batch).unwrap();
        gone
    }

    fn expire(&mut self, now: Now) -> usize {
        let mut batch = Batch::new();
        let gone = self.mailbox.expire(now, &mut batch);
        self.store.apply(&batch).unwrap();
        gone
    }

    fn ids(&self) -> Vec<MsgId> {
        self.mailbox.items(thread()).map(|h| h.id).collect()
    }
}

fn thread() -> Handle {
    Handle::of_key(&keys(1).public())
}

fn item(class: Class, place: Place, payload: &[u8]) -> Envelope {
    Envelope {
        class,
        ttl: class.ttl(),
        handle: thread(),
        place,
        payload: Bytes::copy_from_slice(payload),
    }
}

fn text(seq: Seq) -> Envelope {
    item(Class::Text, log(Log::Content, seq), b"text")
}

fn head(seq: Seq, payload: &[u8]) -> Envelope {
    item(Class::Text, log(Log::Heads, seq), payload)
}

fn inbox(payload: &[u8]) -> Envelope {
    let handle = Handle::of_key(&keys(8).public());
    Envelope {
        handle,
        ..item(Class::Text, Place::Inbox, payload)
    }
}

fn chunk(index: u32, bytes: usize) -> Envelope {
    let (object, layer) = (Object8([9; 8]), 1);
    item(
        Class::Bulk,
        Place::Chunk { object, layer, index },
        &vec![7; bytes],
    )
}

fn refused(refusal: Refusal) -> Verdict {
    Verdict::Refused(refusal)
}

#[test]
fn items_are_served_by_class_then_arrival_and_only_once() {
    let mut w = World::relay();
    let alarm = item(Class::Alarm, log(Log::Content, 3), b"alarm");
    let all = [chunk(0, 10), text(1), text(2), alarm];
    for e in &all {
        assert_eq!(w.offer(at(0), rk(1), e, 0), Verdict::Stored);
        assert_eq!(w.offer(at(0), rk(1), e, 0), Verdict::Known);
    }
    assert_eq!(w.ids(), [all[3].id(), all[1].id(), all[2].id(), all[0].id()]);
    let bytes = w.mailbox.bytes(&w.store, thread(), all[1].id());
    assert_eq!(bytes, Ok(Some(all[1].encode())));
    let (ranges, blobs) = w.mailbox.have(thread());
    assert_eq!(ranges.len(), 3);
    assert_eq!(blobs.0[&(Object8([9; 8]), 1)].held(), 1);
    assert!(!blobs.complete(Object8([9; 8]), 1));
}

#[test]
fn garbage_at_a_place_does_not_keep_the_genuine_item_out() {
    let mut w = World::relay();
    let garbage = item(Class::Text, log(Log::Content, 1), b"garbage");
    assert_eq!(w.offer(at(0), rk(66), &garbage, 0), Verdict::Stored);
    assert_eq!(w.offer(at(1), rk(1), &text(1), 0), Verdict::Stored);
    assert_eq!(w.ids(), [garbage.id(), text(1).id()]);
    let bytes = w.mailbox.bytes(&w.store, thread(), text(1).id());
    assert_eq!(bytes, Ok(Some(text(1).encode())));
}

#[test]
fn an_item_needs_a_burst_that_names_it_and_the_proof_of_its_handle() {
    let mut w = World::relay();
    let (e, hk) = (text(1), keys(1));
    let bytes = e.encode();
    let other = Burst::make(rk(0), vec![text(2).id()], Some(&hk), &keys(2));
    assert_eq!(
        w.offer_with(at(0), rk(1), &e, &bytes, &other, 0),
        refused(Refusal::NotInBurst)
    );
    for proof in [None, Some(keys(3))] {
        let burst = Burst::make(rk(0), vec![e.id()], proof.as_ref(), &keys(2));
        let verdict = w.offer_with(at(0), rk(1), &e, &bytes, &burst, 0);
        assert_eq!(verdict, refused(Refusal::HandleProofMissing));
    }
    let burst = Burst::make(rk(0), vec![e.id()], Some(&hk), &keys(2));
    let verdict = w.offer_with(at(0), rk(1), &text(2), &bytes, &burst, 0);
    assert_eq!(verdict, refused(Refusal::Malformed));
    assert_eq!(w.offer(at(0), rk(1), &inbox(b"direct"), 0), Verdict::Stored);
    assert_eq!(w.mailbox.usage().items, 1);
}

#[test]
fn class_is_checked_by_size() {
    let mut w = World::relay();
    let big = item(Class::Alarm, log(Log::Content, 1), &[0; limits::ALARM_BYTES + 33]);
    assert_eq!(w.offer(at(0), rk(1), &big, 0), refused(Refusal::TooBigForClass));
    let full = item(Class::Alarm, log(Log::Content, 1), &[0; limits::ALARM_BYTES]);
    assert_eq!(w.offer(at(0), rk(1), &full, 0), Verdict::Stored);
}

#[test]
fn dropping_and_loading_gives_the_same_index() {
    let mut w = World::carrier();
    let mut stream = Stream::new([1; 32]);
    for n in 0..300u64 {
        let seq = 1 + stream.below(40) as u32;
        let payload = stream.array::<8>();
        let e = match stream.below(6) {
            0 => head(seq, &payload),
            1 => inbox(&payload),
            2 => chunk(seq, 30),
            3 => item(Class::Alarm, log(Log::Control, seq), &payload),
            _ => text(seq),
        };
        let now = at(n * 40_000);
        w.offer(now, rk(stream.below(7) as u8), &e, stream.below(9_000) as u32);
        if n % 50 == 49 {
            let mut ranges = Ranges::new();
            ranges.insert(Slot([4; 4]), Log::Content, seq);
            w.release(now, Ack::Release(ranges, Blobs::new()), &keys(1));
            w.expire(now);
        }
    }
    let before = w.mailbox.clone();
    w.restart();
    assert!(before.usage().items > 50);
    assert_eq!(w.mailbox.shelves, before.shelves);
    assert_eq!(w.mailbox.deadlines, before.deadlines);
    assert_eq!(
        (w.mailbox.usage(), &w.mailbox.shares, &w.mailbox.org_shares),
        (before.usage(), &before.shares, &before.org_shares)
    );
    assert_eq!(w.mailbox.next_order, before.next_order);
    let now = at(300 * 40_000);
    for held in before.items(thread()) {
        let age_s = before.age_s(now, thread(), held.id);
        assert_eq!(w.mailbox.age_s(now, thread(), held.id), age_s);
    }
    w.expire(Now {
        mono: Instant(u64::MAX),
        ..now
    });
    assert_eq!(w.mailbox.usage(), Usage::default());
    assert!(
        w.mailbox.shares.is_empty() && w.mailbox.org_shares.is_empty() && w.store.len() == 1,
        "only the clock is left"
    );
}

#[test]
fn a_row_that_does_not_read_is_left_out_and_deleted() {
    let mut w = World::relay();
    w.offer(at(0), rk(1), &text(1), 0);
    w.offer(at(0), rk(1), &text(2), 0);
    w.offer(at(0), rk(1), &text(3), 0);
    let mut batch = Batch::new();
    batch.put(table::carried(thread(), text(1).id()), &b"torn"[..]);
    batch.put(b"mshort".to_vec(), &b""[..]);
    let mut rotten = w
        .store
        .get(&table::carried(thread(), text(3).id()))
        .unwrap()
        .unwrap()
        .to_vec();
    *rotten.last_mut().unwrap() ^= 1;
    batch.put(table::carried(thread(), text(3).id()), rotten);
    w.store.apply(&batch).unwrap();
    w.restart();
    assert_eq!(w.ids(), [text(2).id()]);
    assert_eq!(w.expire(at(1)), 0);
    assert_eq!(w.store.get(b"mshort"), Ok(None));
    assert_eq!(w.mailbox.bytes(&w.store, thread(), text(1).id()), Ok(None));
}

#[test]
fn a_full_carrier_refuses_bulk_then_voice_then_text_and_alarms_last() {
    let mut w = World::new(Role::Relay, 200_000);
    let (mut filled, mut minute) = (Vec::new(), 0);
    for (class, percent) in [
        (Class::Bulk, 80),
        (Class::Voice, 95),
        (Class::Text, 98),
        (Class::Alarm, 100),
    ] {
        for n in 0.. {
            let seq = 1 + n + 10_000 * class as u32;
            let e = item(class, log(Log::Content, seq), &[0; 100]);
            minute += 1;
            let verdict = w.offer(at(minute * MIN), rk((n % 97) as u8), &e, 0);
            if verdict != Verdict::Stored {
                assert_eq!(verdict, refused(Refusal::Full { class }));
                break;
            }
        }
        let bytes = w.mailbox.usage().bytes;
        assert!(
            bytes <= 2_000 * percent && bytes + 260 > 2_000 * percent,
            "{class:?} {bytes}"
        );
        filled.push(w.mailbox.usage().by_class[class as usize] > 0);
    }
    assert_eq!(filled, [true; 4]);
}

#[test]
fn one_organisation_of_several_leaves_room_for_the_others() {
    let mut w = World::new(Role::Relay, 400_000);
    w.org_alone = false;
    // devices of the first organisation, each within its own share and rate
    let fill = |w: &mut World, class: Class, from_min: u64| {
        let mut verdicts = (0..).map(|n| {
            let place = log(Log::Content, 1 + n + 10_000 * class as u32);
            let e = item(class, place, &[0; 800]);
            w.offer(at((from_min + u64::from(n)) * MIN), rk(2 * (n % 20) as u8), &e, 0)
        });
        verdicts.find(|v| *v != Verdict::Stored)
    };
    assert_eq!(fill(&mut w, Class::Text, 0), Some(refused(Refusal::OrgShareFull)));
    assert!(w.mailbox.usage().bytes <= 200_000 && w.mailbox.usage().bytes > 198_000);
    assert_eq!(
        fill(&mut w, Class::Alarm, 500),
        Some(refused(Refusal::OrgShareFull))
    );
    assert!(w.mailbox.usage().bytes <= 300_000 && w.mailbox.usage().bytes > 298_000);
    let by_org: Vec<(Org, u64)> = w.mailbox.by_org().collect();
    assert_eq!(by_org, [(org_of(rk(0)), w.mailbox.usage().bytes)]);
    let (now, e) = (at(1000 * MIN), text(9));
    w.restart();
    assert_eq!(w.offer(now, rk(2), &e, 0), refused(Refusal::OrgShareFull));
    assert_eq!(
        w.mailbox.tally().refused[usize::from(Refusal::OrgShareFull.code())],
        1
    );
    assert_eq!(w.offer(now, rk(1), &e, 0), Verdict::Stored);
    assert_eq!(w.mailbox.tally().stored, 1);
    // where one organisation is served it may have all
    w.org_alone = true;
    assert_eq!(w.offer(now, rk(2), &text(10), 0), Verdict::Stored);
}

#[test]
fn one_origin_fills_only_its_share() {
    let mut w = World::new(Role::Relay, 400_000);
    let mut verdicts = (0..).map(|n| w.offer(at(0), rk(1), &chunk(n, 1000), 0));
    let last = verdicts.find(|v| *v != Verdict::Stored);
    assert_eq!(last, Some(refused(Refusal::ShareFull)));
    assert!(w.mailbox.usage().bytes <= 100_000);
    assert_eq!(w.offer(at(0), rk(2), &chunk(5_000, 1000), 0), Verdict::Stored);
}

#[test]
fn rates_delay_and_say_for_how_long() {
    let mut w = World::relay();
    let alarm = |n| item(Class::Alarm, log(Log::Content, n), b"alarm");
    for n in 1..=limits::BUCKET_URGENT_ITEMS_PER_MIN {
        assert_eq!(w.offer(at(0), rk(1), &alarm(n), 0), Verdict::Stored);
    }
    let retry_ms = 1000;
    assert_eq!(
        w.offer(at(0), rk(1), &alarm(99), 0),
        refused(Refusal::RateLimited { retry_ms })
    );
    assert_eq!(w.offer(at(0), rk(2), &alarm(99), 0), Verdict::Stored);
    assert_eq!(
        w.offer(at(999), rk(1), &alarm(98), 0),
        refused(Refusal::RateLimited { retry_ms: 1 })
    );
    assert_eq!(w.offer(at(1000), rk(1), &alarm(98), 0), Verdict::Stored);

    let stored = |w: &mut World, class, from| {
        let place = |n| log(Log::Control, n + 1000 * u32::from(from));
        let all = (1..200).map(|n| w.offer(at(0), rk(from), &item(class, place(n), &[0; 32_000]), 0));
        all.filter(|v| *v == Verdict::Stored).count() as u64 * 32_016
    };
    let clinical = stored(&mut w, Class::Text, 3);
    assert!(clinical <= limits::BUCKET_CLINICAL_BYTES_PER_H && clinical > 200_000);
    let bulk = stored(&mut w, Class::Bulk, 4);
    assert!(bulk <= limits::BUCKET_BYTES_PER_H && bulk > 4_000_000);
    let late = item(Class::Text, log(Log::Control, 9_999), &[0; 32_000]);
    assert_eq!(w.offer(at(HOUR), rk(3), &late, 0), Verdict::Stored);
}

#[test]
fn an_inbox_has_a_rate_and_a_limit_of_what_is_unread() {
    let mut w = World::relay();
    let mut sent = Vec::new();
    for hour in 0..5u64 {
        for n in 0..9u8 {
            let payload = [&[hour as u8, n][..], &[0; 32_000]].concat();
            let e = inbox(&payload);
            let verdict = w.offer(at(hour * HOUR), rk(1), &e, 0);
            match verdict {
                Verdict::Stored => sent.push(e.id()),
                Verdict::Refused(Refusal::RateLimited { .. }) => assert!(n == 8 && hour < 3),
                other => assert!(other == refused(Refusal::InboxLimit) && hour >= 3),
            }
        }
    }
    assert_eq!(sent.len(), 32);
    let now = at(6 * HOUR);
    let key = keys(8);
    assert_eq!(
        w.release(now, Ack::Taken(sent[..5].to_vec()), &keys(9)),
        0,
        "another key"
    );
    assert_eq!(w.release(now, Ack::Taken(sent[..5].to_vec()), &key), 5);
    assert_eq!(w.offer(now, rk(1), &inbox(&[1; 32_000]), 0), Verdict::Stored);
}

#[test]
fn one_origin_writes_to_few_inboxes_in_an_hour() {
    let mut w = World::relay();
    let mut to = |n: u32, ms| {
        let handle = Handle::from_prefix(&[n.to_le_bytes(); 2].concat()).unwrap();
        w.offer(
            at(ms),
            rk(1),
            &Envelope {
                handle,
                ..inbox(&[1; 200])
            },
            0,
        )
    };
    for n in 0..limits::INBOXES_PER_ORIGIN as u32 {
        assert_eq!(to(n, 0), Verdict::Stored);
    }
    assert_eq!(to(5_000, 0), refused(Refusal::RateLimited { retry_ms: MIN }));
    assert_eq!(to(5_000, MIN), Verdict::Stored);
}

#[test]
fn what_all_have_goes_and_does_not_come_back() {
    let mut w = World::carrier();
    for e in [text(1), text(2), chunk(0, 9), head(3, b"old"), head(9, b"newer")] {
        w.offer(at(0), rk(e.payload[0]), &e, 0);
    }
    let (mut ranges, mut blobs) = (Ranges::new(), Blobs::new());
    ranges.insert(Slot([4; 4]), Log::Content, 1);
    ranges.insert(Slot([4; 4]), Log::Heads, 4);
    blobs.insert(Object8([9; 8]), 1, 4, 0);
    let release = Ack::Release(ranges.clone(), blobs.clone());
    assert_eq!(w.release(at(1), release.clone(), &keys(3)), 0, "another handle");
    assert_eq!(w.release(at(1), release, &keys(1)), 3);
    assert_eq!(w.ids(), [text(2).id(), head(9, b"newer").id()]);
    w.restart();
    assert_eq!(w.offer(at(2), rk(5), &text(1), 0), Verdict::Known);
    assert!(!w.mailbox.holds(thread(), text(1).id()));
    assert_eq!(w.mailbox.bytes(&w.store, thread(), text(1).id()), Ok(None));
}

#[test]
fn one_purge_deletes_nothing_however_often_it_comes() {
    let mut w = World::relay();
    w.offer(at(0), rk(1), &text(1), 0);
    let (ranges, blobs) = w.mailbox.have(thread());
    for _ in 0..3 {
        let purge = Ack::Purge(ranges.clone(), blobs.clone());
        assert_eq!(w.release(at(1), purge, &keys(1)), 0);
    }
    assert_eq!(w.ids(), [text(1).id()]);
}

#[test]
fn a_forged_release_deletes_nothing() {
    let mut w = World::relay();
    w.offer(at(0), rk(1), &text(1), 0);
    let taken = Ack::Taken(vec![text(1).id()]);
    assert_eq!(w.release(at(1), taken, &keys(1)), 0, "taken is for inbox items");
    let (ranges, blobs) = w.mailbox.have(thread());
    let mut bytes = AckVector::make(Ack::Release(ranges, blobs), &keys(1))
        .bytes()
        .to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = AckVector::decode(&bytes.into()).unwrap();
    assert_eq!(w.mailbox.release(at(1), &forged, &mut Batch::new()), 0);
}

#[test]
fn a_newer_head_replaces_only_older_ones_of_its_origin() {
    let mut w = World::relay();
    assert_eq!(w.offer(at(0), rk(1), &head(5, b"a"), 0), Verdict::Stored);
    assert_eq!(w.offer(at(0), rk(1), &head(6, b"b"), 0), Verdict::Stored);
    assert_eq!(w.ids(), [head(6, b"b").id()]);
    assert_eq!(
        w.offer(at(0), rk(1), &head(4, b"c"), 0),
        refused(Refusal::Overtaken)
    );
    for n in 0..20 {
        let garbage = head(u32::MAX, &[n; 9]);
        w.offer(at(0), rk(66), &garbage, 0);
        assert!(
            w.ids().contains(&head(6, b"b").id()),
            "garbage of one former member"
        );
    }
    assert_eq!(w.ids().len(), limits::CARRIED_HEADS_PER_SLOT);
    assert_eq!(w.offer(at(0), rk(1), &head(7, b"d"), 0), Verdict::Stored);
    assert!(w.ids().contains(&head(7, b"d").id()) && !w.ids().contains(&head(6, b"b").id()));
    assert_eq!(w.ids().len(), limits::CARRIED_HEADS_PER_SLOT);
    let rows = w.store.rows().filter(|(k, _)| k[0] == b'm').count();
    assert_eq!(rows, w.ids().len());
}

#[test]
fn the_age_adds_up_and_ends_carriage() {
    let mut w = World::carrier();
    let e = Envelope {
        ttl: Ttl(2),
        ..text(1)
    };
    assert_eq!(w.offer(at(0), rk(1), &e, 3600), refused(Refusal::Expired));
    assert_eq!(w.offer(at(0), rk(1), &e, 3000), Verdict::Stored);
    assert_eq!(w.mailbox.age_s(at(9 * MIN), thread(), e.id()), 3540);
    assert_eq!(w.mailbox.keeps_ms(at(9 * MIN), thread(), e.id()), MIN);
    assert_eq!(w.mailbox.next_expiry(), Some(at(10 * MIN).mono));
    assert_eq!(w.expire(at(10 * MIN - 1)), 0);
    assert_eq!(w.expire(at(10 * MIN)), 1);
    assert_eq!((w.mailbox.next_expiry(), w.ids()), (None, vec![]));

    let mut relay = World::relay();
    assert_eq!(relay.offer(at(0), rk(1), &e, 3600), Verdict::Stored);
    assert_eq!(relay.expire(at(limits::RELAY_KEEP_MS - 1)), 0);
    assert_eq!(relay.expire(at(limits::RELAY_KEEP_MS)), 1);
}

#[test]
fn a_jumping_wall_clock_neither_deletes_early_nor_keeps_for_ever() {
    let e = Envelope {
        ttl: Ttl(2),
        ..text(1)
    };
    let (y1970, y2026, y2100) = (0, 1_795_000_000_000, 4_102_444_800_000);
    for (before, after) in [(y2026, y2100), (y2026, y1970), (y1970, y2026), (y2100, y1970)] {
        for restart in [false, true] {
            let mut w = World::carrier();
            let now = |ms: u64, wall| Now {
                mono: Instant(ms * 1000),
                wall: Wall(wall + ms),
            };
            assert_eq!(w.offer(now(HOUR, before), rk(1), &e, 0), Verdict::Stored);
            if restart {
                w.restart();
                assert_eq!(w.mailbox.next_expiry(), Some(Instant(0)));
            }
            assert_eq!(w.expire(now(2 * HOUR - 1, after)), 0);
            assert_eq!(w.mailbox.age_s(now(2 * HOUR - 1, after), thread(), e.id()), 3599);
            assert_eq!(w.expire(now(2 * HOUR, before)), 1);
        }
    }
}

#[test]
fn a_reboot_counts_time_since_boot_for_expiry_and_a_sane_wall_for_age() {
    let e = Envelope {
        ttl: Ttl(2),
        ..text(1)
    };
    let mut w = World::carrier();
    let start = Now {
        mono: Instant(HOUR * 1000),
        wall: Wall(1_795_000_000_000),
    };
    w.offer(start, rk(1), &e, 0);
    let boot = |ms: u64, wall_ms| Now {
        mono: Instant(ms * 1000),
        wall: Wall(start.wall.0 + wall_ms),
    };
    // off for two hours: older than its ttl when handed on, not yet deleted
    w.restart();
    let now = boot(20 * MIN, 2 * HOUR);
    assert_eq!(w.expire(now), 0);
    assert_eq!(w.mailbox.age_s(now, thread(), e.id()), 7200);
    // off again, with a wall clock that is years wrong: counts the time since boot only
    w.restart();
    let now = boot(15 * MIN, 40 * 365 * 24 * HOUR);
    assert_eq!(w.expire(now), 0);
    assert_eq!(w.mailbox.age_s(now, thread(), e.id()), 7200 + 15 * 60);
    // 20 + 15 + 25 minutes switched on are its hour
    assert_eq!(w.expire(boot(40 * MIN - 1, 0)), 0);
    assert_eq!(w.expire(boot(40 * MIN, 0)), 1);
}

#[test]
fn a_step_of_the_wall_clock_while_running_makes_nothing_older() {
    let mut w = World::carrier();
    w.offer(at(0), rk(1), &text(1), 0);
    w.restart();
    w.expire(at(MIN));
    let wall = Wall(at(HOUR).wall.0);
    let now = Now { wall, ..at(2 * MIN) };
    w.expire(now);
    assert_eq!(w.mailbox.age_s(now, thread(), text(1).id()), 120);
}

#[test]
fn items_expire_even_if_the_clock_of_holding_was_lost() {
    let e = Envelope {
        ttl: Ttl(2),
        ..text(1)
    };
    let mut w = World::carrier();
    w.offer(at(0), rk(1), &inbox(b"first"), 0);
    w.offer(at(9 * HOUR), rk(1), &e, 0);
    let mut batch = Batch::new();
    batch.delete(table::own(CLOCK_ROW));
    w.store.apply(&batch).unwrap();
    w.restart();
    assert_eq!(w.expire(at(0)), 0);
    assert_eq!(w.expire(at(HOUR)), 1);
}

#[test]
fn holding_is_saved_while_nothing_happens() {
    let e = Envelope {
        ttl: Ttl(2),
        ..text(1)
    };
    let mut w = World::carrier();
    w.offer(at(0), rk(1), &e, 0);
    (1..=59).for_each(|minute| assert_eq!(w.expire(at(minute * MIN)), 0));
    w.restart();
    assert_eq!(
        w.expire(Now {
            mono: Instant(0),
            wall: Wall(0)
        }),
        0
    );
    assert_eq!(w.mailbox.keeps_ms(Now::default(), thread(), e.id()), MIN);
}

#[test]
fn bytes_of_rows_may_be_anything() {
    let mut stream = Stream::new([6; 32]);
    let mut w = World::relay();
    w.offer(at(0), rk(1), &text(1), 0);
    let key = table::carried(thread(), text(1).id());
    let good = w.store.get(&key).unwrap().unwrap();
    for _ in 0..2_000 {
        let mut row = good.to_vec();
        let n = stream.below(row.len() as u64 + 1) as usize;
        match stream.below(2) {
            0 => row.truncate(n),
            _ => row[n.min(good.len() - 1)] ^= 1 + stream.below(255) as u8,
        }
        let mut batch = Batch::new();
        batch.put(key.clone(), row.clone());
        batch.put(table::own(CLOCK_ROW), row);
        w.store.apply(&batch).unwrap();
        w.restart();
        let mut store = w.store.clone();
        let mut batch = Batch::new();
        w.mailbox.expire(at(stream.below(HOUR)), &mut batch);
        store.apply(&batch).unwrap();
        assert!(w.mailbox.usage().items <= 1);
    }
}
