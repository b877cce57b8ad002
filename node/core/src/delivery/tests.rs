use super::words::Names;
use super::*;
use crate::clinical::Emergency;

pub(super) const K: Dev = Dev([1; 16]);
pub(super) const ED: Dev = Dev([2; 16]);
pub(super) const OTHER: Dev = Dev([3; 16]);
pub(super) const DR_K: Person = Person([1; 8]);
pub(super) const DR_M: Person = Person([2; 8]);
const RELAY: Key8 = Key8([7; 8]);
pub(super) const PREVIEW: Q = Some(Layer::PREVIEW);
pub(super) const LOSSLESS: Q = Some(Layer::LOSSLESS);

fn recipient(dev: Dev, person: Option<Person>, name: &str) -> Recipient {
    Recipient {
        dev,
        person,
        role: Some(2),
        name: name.into(),
        asked: true,
    }
}

pub(super) fn tracker(class: Class) -> Tracker {
    let recipients = vec![recipient(K, Some(DR_K), "Dr K"), recipient(ED, None, "ED North")];
    Tracker::new(class, class.ttl(), recipients)
}

fn stored(class: Class) -> Tracker {
    let mut t = tracker(class);
    t.apply(Evidence::Committed, at(0));
    t
}

/// `s` seconds after 14:00:00 of day 0.
pub(super) fn at(s: u64) -> Now {
    Now {
        mono: Instant(s * 1_000_000),
        wall: Wall((14 * 3600 + s) * 1000),
    }
}

fn view(t: &Tracker, dev: Dev) -> View {
    t.views().find(|(r, _)| r.dev == dev).unwrap().1.clone()
}

fn state(t: &Tracker, dev: Dev) -> State {
    view(t, dev).state.unwrap()
}

fn marks(t: &Tracker, dev: Dev) -> Vec<Mark> {
    view(t, dev).marks.into_iter().collect()
}

fn head(dev: Dev, layer: Q) -> Evidence {
    Evidence::Head {
        dev,
        inc: 1,
        opens: true,
        layer,
    }
}

pub(super) fn seen(dev: Dev, person: Person, q: Q) -> Evidence {
    Evidence::Seen { dev, person, q }
}

pub(super) fn ack(dev: Dev, person: Person, act: Act, q: Q, order: u64) -> Evidence {
    let order = Hlc(order);
    Evidence::Ack {
        dev,
        person,
        act,
        q,
        order,
    }
}

fn carried(n: u8, until_s: u64) -> Evidence {
    Evidence::CarryReceipt {
        carrier: Key8([n; 8]),
        expires: at(until_s).mono,
    }
}

fn relayed(q: Q) -> Evidence {
    Evidence::RelayReceipt {
        relay: RELAY,
        kept_until_min: 99,
        q,
    }
}

fn at_relay(q: Q) -> State {
    State::AtRelay {
        relay: RELAY,
        kept_until_min: 99,
        q,
    }
}

#[test]
fn row_stored_nothing_is_shown_before_the_batch_is_durable() {
    let mut t = tracker(Class::Alarm);
    assert_eq!(t.apply(head(K, PREVIEW), at(0)), []);
    assert_eq!(t.row(K), None);
    let changes = t.apply(Evidence::Committed, at(1));
    assert_eq!((changes.len(), changes[0].from), (2, None));
    assert_eq!(state(&t, K), State::Delivered(PREVIEW));
    assert_eq!(state(&t, ED), State::Stored);
}

#[test]
fn row_handed_over_counts_distinct_carriers_and_falls_back() {
    let mut t = stored(Class::Alarm);
    t.apply(carried(1, 40), at(5));
    t.apply(carried(1, 40), at(6));
    t.apply(carried(2, 50), at(7));
    assert_eq!((state(&t, K), view(&t, K).at), (State::HandedOver(2), at(5).wall));
    assert_eq!(t.next_deadline(), Some(at(40).mono));
    t.advance(at(40).mono);
    assert_eq!(state(&t, K), State::HandedOver(1));
    let lost = Evidence::CarryLost {
        carrier: Key8([2; 8]),
    };
    let changes = t.apply(lost, at(41));
    assert_eq!(
        (changes[0].from, changes[0].to),
        (Some(State::HandedOver(1)), Some(State::Stored))
    );
}

#[test]
fn row_at_relay_and_back_to_the_state_below() {
    let mut t = stored(Class::Alarm);
    t.apply(carried(1, 40), at(5));
    t.apply(relayed(PREVIEW), at(6));
    assert_eq!(state(&t, K), at_relay(PREVIEW));
    t.apply(Evidence::RelayLost { relay: RELAY }, at(7));
    assert_eq!(state(&t, K), State::HandedOver(1));
    t.advance(at(40).mono);
    assert_eq!(state(&t, K), State::Stored);
}

#[test]
fn row_delivered_needs_the_own_head_of_that_device() {
    let mut t = stored(Class::Alarm);
    t.apply(head(OTHER, LOSSLESS), at(1));
    assert_eq!(state(&t, K), State::Stored);
    let parked = Evidence::Head {
        dev: K,
        inc: 1,
        opens: false,
        layer: LOSSLESS,
    };
    t.apply(parked, at(2));
    assert_eq!(
        (state(&t, K), marks(&t, K)),
        (State::Stored, vec![Mark::ThereNotReadable])
    );
    t.apply(head(K, None), at(3));
    assert_eq!((state(&t, K), marks(&t, K)), (State::Delivered(None), vec![]));
    assert_eq!(state(&t, ED), State::Stored);
}

#[test]
fn row_delivered_only_rises() {
    let mut t = stored(Class::Alarm);
    t.apply(head(K, LOSSLESS), at(3));
    assert_eq!(t.apply(head(K, PREVIEW), at(4)), []);
    t.apply(Evidence::RelayLost { relay: RELAY }, at(5));
    assert_eq!(
        (state(&t, K), view(&t, K).at),
        (State::Delivered(LOSSLESS), at(3).wall)
    );
    let further = Layer::from_u8(9).ok();
    t.apply(head(K, further), at(6));
    assert_eq!(state(&t, K), State::Delivered(Some(Layer::ORIGINAL)));
}

#[test]
fn row_seen_implies_delivered_on_its_own_device_only() {
    let mut t = stored(Class::Alarm);
    t.apply(seen(OTHER, DR_K, PREVIEW), at(9));
    let person = DR_K;
    assert_eq!(state(&t, K), State::Seen { person, q: PREVIEW });
    assert_eq!(state(&t, ED), State::Stored);
    assert_eq!(t.row(K).unwrap()[3], Cell::NotNeeded);
    t.apply(seen(K, DR_K, PREVIEW), at(10));
    assert_eq!(
        t.row(K).unwrap()[3],
        Cell::Done {
            at: at(10).wall,
            by: true
        }
    );
}

#[test]
fn somebody_else_on_a_named_device_proves_delivery_not_sight() {
    let mut t = stored(Class::Alarm);
    t.apply(ack(K, DR_M, Act::Accepted, PREVIEW, 1), at(9));
    assert_eq!(state(&t, K), State::Delivered(PREVIEW));
    t.apply(ack(ED, DR_M, Act::Accepted, PREVIEW, 1), at(9));
    assert_eq!(state(&t, ED).step(), Step::Acknowledged);
}

#[test]
fn row_acknowledged_keeps_the_layer_judged() {
    let mut t = stored(Class::Alarm);
    t.apply(ack(K, DR_K, Act::Activated, PREVIEW, 5), at(9));
    t.apply(head(K, LOSSLESS), at(10));
    let expected = State::Acknowledged {
        person: DR_K,
        act: Act::Activated,
        q: PREVIEW,
    };
    assert_eq!(state(&t, K), expected);
    assert_eq!(t.taken(), Some(expected));
    let [stored, handed, relay, delivered, seen, acked] = t.row(K).unwrap();
    assert_eq!(
        stored,
        Cell::Done {
            at: at(0).wall,
            by: false
        }
    );
    assert_eq!((handed, relay), (Cell::NotNeeded, Cell::NotNeeded));
    assert_eq!(
        delivered,
        Cell::Done {
            at: at(10).wall,
            by: false
        }
    );
    assert_eq!(
        seen,
        Cell::Done {
            at: at(9).wall,
            by: true
        }
    );
    assert_eq!(
        acked,
        Cell::Done {
            at: at(9).wall,
            by: false
        }
    );
}

#[test]
fn the_later_answer_of_a_person_stands_and_a_decline_wins_a_tie() {
    let mut t = stored(Class::Alarm);
    t.apply(ack(OTHER, DR_K, Act::Declined, None, 7), at(9));
    t.apply(ack(K, DR_K, Act::Accepted, None, 6), at(10));
    assert_eq!((marks(&t, K), t.taken()), (vec![Mark::Declined], None));
    t.apply(ack(K, DR_K, Act::Accepted, None, 7), at(11));
    assert_eq!(marks(&t, K), [Mark::Declined]);
    t.apply(head(K, LOSSLESS), at(12));
    t.apply(ack(K, DR_K, Act::Activated, None, 8), at(12));
    assert_eq!((marks(&t, K), t.taken()), (vec![], view(&t, K).state));
}

#[test]
fn a_later_answer_on_less_does_not_lower_what_was_delivered() {
    let mut t = stored(Class::Alarm);
    t.apply(ack(K, DR_M, Act::Acknowledged, LOSSLESS, 1), at(9));
    t.apply(ack(K, DR_M, Act::Activated, PREVIEW, 2), at(10));
    assert_eq!(state(&t, K), State::Delivered(LOSSLESS));
}

#[test]
fn row_stale_strikes_the_word_and_keeps_it() {
    let mut t = stored(Class::Alarm);
    t.apply(Evidence::Removed { dev: ED, inc: 1 }, at(2));
    assert_eq!(marks(&t, ED), []);
    t.apply(head(K, PREVIEW), at(3));
    t.apply(Evidence::Removed { dev: K, inc: 1 }, at(4));
    assert_eq!(state(&t, K), State::Delivered(PREVIEW));
    assert_eq!(marks(&t, K), [Mark::NoLongerOnDevice(at(4).wall)]);
    let again = Evidence::Head {
        dev: K,
        inc: 2,
        opens: true,
        layer: None,
    };
    t.apply(again, at(5));
    assert_eq!(marks(&t, K), []);
}

#[test]
fn row_recalled_marks_all_but_the_acknowledged() {
    let mut t = stored(Class::Alarm);
    t.apply(Evidence::Recalled { replaced: false }, at(20));
    t.apply(Evidence::Recalled { replaced: true }, at(21));
    let both = [Mark::Recalled(at(20).wall), Mark::Replaced(at(21).wall)];
    assert_eq!(marks(&t, K), both);
    t.apply(seen(K, DR_K, None), at(22));
    assert_eq!(marks(&t, K), both);
    t.apply(ack(K, DR_K, Act::Acknowledged, None, 1), at(23));
    assert_eq!(marks(&t, K), []);
    assert_eq!(t.recalled(), Some(at(20).wall));
}

#[test]
fn row_not_confirmed_by_class_until_the_awaited_word() {
    for (class, seconds) in [(Class::Alarm, 60), (Class::Clinical, 300), (Class::Text, 3600)] {
        let mut t = stored(class);
        t.apply(Evidence::LeaseExpired { days: 3 }, at(1));
        assert_eq!(t.overdue(at(seconds - 1).mono), []);
        assert_eq!(t.overdue(at(seconds).mono), [K, ED]);
        t.advance(at(seconds - 1).mono);
        assert_eq!(t.next_deadline(), Some(at(seconds).mono));
        let changes = t.advance(at(seconds).mono);
        assert_eq!(changes[0].raised, [Mark::NotConfirmed]);
        t.apply(head(K, PREVIEW), at(seconds + 1));
        let text = class == Class::Text;
        assert_eq!(marks(&t, K).contains(&Mark::NotConfirmed), !text);
        let changes = t.apply(seen(K, DR_K, PREVIEW), at(seconds + 2));
        assert_eq!(changes[0].cleared.contains(&Mark::NotConfirmed), !text);
        assert_eq!(marks(&t, ED), [Mark::NotConfirmed, Mark::LeaseExpired(3)]);
    }
    let mut voice = stored(Class::Voice);
    voice.advance(at(3_000_000).mono);
    assert_eq!(voice.overdue(at(3_000_000).mono), []);
}

#[test]
fn who_is_not_asked_only_has_to_hold_it_and_who_comes_later_has_a_deadline_of_his_own() {
    let mut t = stored(Class::Alarm);
    let mut partner = recipient(OTHER, None, "Unit 9");
    partner.asked = false;
    t.add_recipient(partner, at(30).mono);
    assert_eq!(t.overdue(at(60).mono), [K, ED]);
    assert_eq!(t.overdue(at(90).mono), [K, ED, OTHER]);
    t.apply(head(OTHER, None), at(91));
    assert_eq!(
        (marks(&t, OTHER), t.row(OTHER).unwrap()[5]),
        (vec![], Cell::NotAsked)
    );
}

#[test]
fn row_expired_at_the_end_of_carriage_unless_delivered() {
    let mut t = stored(Class::Alarm);
    t.apply(head(K, None), at(1));
    let end = Class::Alarm.ttl().ms();
    t.advance(at(end / 1000).mono);
    assert!(marks(&t, ED).contains(&Mark::Expired(Wall(at(0).wall.0 + end))));
    assert_eq!(marks(&t, K), [Mark::NotConfirmed]);
}

#[test]
fn row_refused_until_it_is_taken_or_delivered() {
    let mut t = stored(Class::Bulk);
    let refused = Evidence::Refused {
        by: RELAY,
        class: Class::Bulk,
    };
    t.apply(refused, at(1));
    assert_eq!(marks(&t, K), [Mark::RefusedBy(RELAY, Class::Bulk)]);
    t.apply(head(K, None), at(2));
    assert_eq!(marks(&t, K), []);
    t.apply(relayed(None), at(3));
    assert_eq!(marks(&t, ED), []);
}

#[test]
fn row_disputed_shows_the_lowest_common_word() {
    let mut t = stored(Class::Alarm);
    t.apply(head(K, LOSSLESS), at(1));
    t.apply(seen(K, DR_K, PREVIEW), at(2));
    let disagree = |delivered, acts| Evidence::HeadsDisagree {
        dev: K,
        delivered,
        acts,
    };
    t.apply(disagree(Some(PREVIEW), true), at(3));
    assert_eq!(
        (state(&t, K).step(), marks(&t, K)),
        (Step::Seen, vec![Mark::Disputed])
    );
    t.apply(disagree(Some(LOSSLESS), false), at(4));
    assert_eq!(state(&t, K), State::Delivered(PREVIEW));
    t.apply(disagree(None, true), at(5));
    assert_eq!(
        (state(&t, K), marks(&t, K)),
        (State::Stored, vec![Mark::Disputed])
    );
    t.apply(head(ED, PREVIEW), at(6));
    assert_eq!(marks(&t, ED), []);
}

#[test]
fn floods_of_evidence_stay_bounded() {
    let mut t = stored(Class::Alarm);
    for n in 0..300u32 {
        let mut id = [0u8; 16];
        id[..4].copy_from_slice(&n.to_le_bytes());
        let (key, dev) = (Key8::from_prefix(&id).unwrap(), Dev(id));
        let person = Person::from_prefix(&id).unwrap();
        let expires = at(999).mono;
        t.apply(
            Evidence::CarryReceipt {
                carrier: key,
                expires,
            },
            at(1),
        );
        t.apply(
            Evidence::Refused {
                by: key,
                class: Class::Bulk,
            },
            at(1),
        );
        t.apply(
            Evidence::RelayReceipt {
                relay: key,
                kept_until_min: 1,
                q: None,
            },
            at(1),
        );
        t.apply(seen(dev, person, None), at(1));
        t.apply(ack(ED, person, Act::Accepted, None, 1), at(1));
        t.add_recipient(recipient(dev, None, ""), at(1).mono);
    }
    assert_eq!(
        (t.carriers.len(), t.relays.len()),
        (limits::CARRIERS_PER_ENTRY, limits::RELAYS_PER_ENTRY)
    );
    assert_eq!(
        (t.facts.len(), t.recipients.len()),
        (2 * limits::MEMBERS, limits::MEMBERS)
    );
    assert!(t.refused.len() <= limits::RELAYS_PER_ENTRY && t.facts[&ED].answers.len() <= limits::MEMBERS);
}

fn clock(wall: Wall) -> String {
    let minutes = wall.0 / 60_000;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

fn name(person: Person) -> String {
    if person == DR_K {
        "Dr K".into()
    } else {
        "Dr M".into()
    }
}

fn names() -> Names<'static> {
    Names {
        time: &clock,
        person: &name,
        key: &|_| "relay".into(),
    }
}

fn line(t: &Tracker, next: Option<&str>) -> String {
    words::status_line(t, Some(Emergency::Stemi), next, &names()).unwrap()
}

#[test]
fn the_line_of_a_case_has_the_words_of_the_specification() {
    let mut t = Tracker::new(Class::Alarm, Ttl(3), vec![recipient(K, Some(DR_K), "Dr K")]);
    assert_eq!(words::status_line(&t, None, None, &names()), None);
    t.apply(Evidence::Committed, at(4 * 60));
    assert_eq!(line(&t, None), "Stored here. Not sent yet.");
    t.apply(carried(1, 9999), at(6 * 60));
    assert_eq!(line(&t, None), "With 1 carrier since 14:06. Not confirmed.");
    t.apply(carried(2, 9999), at(7 * 60));
    assert_eq!(line(&t, None), "With 2 carriers since 14:06. Not confirmed.");
    t.apply(relayed(PREVIEW), at(9 * 60));
    assert_eq!(line(&t, None), "At relay 14:09. Nobody has it yet.");
    t.apply(head(K, PREVIEW), at(10 * 60));
    assert_eq!(line(&t, None), "On Dr K's device (preview) 14:10. Not seen yet.");
    t.apply(seen(K, DR_K, PREVIEW), at(10 * 60));
    assert_eq!(line(&t, None), "Seen by Dr K 14:10.");
    let mut declined = t.clone();
    t.apply(ack(K, DR_K, Act::Activated, LOSSLESS, 1), at(11 * 60));
    assert_eq!(line(&t, None), "Acknowledged by Dr K 14:11: cath lab activated.");
    declined.apply(ack(K, DR_K, Act::Declined, LOSSLESS, 1), at(11 * 60));
    assert_eq!(line(&declined, None), "Declined by Dr K 14:11.");
    assert_eq!(
        line(&declined, Some("Dr M")),
        "Declined by Dr K 14:11. Now ringing: Dr M."
    );
}

#[test]
fn an_answer_on_a_preview_says_so() {
    let mut t = Tracker::new(Class::Alarm, Ttl(3), vec![recipient(K, Some(DR_K), "Dr K")]);
    t.apply(Evidence::Committed, at(0));
    t.apply(ack(K, DR_K, Act::Activated, PREVIEW, 1), at(60));
    t.apply(head(K, LOSSLESS), at(120));
    assert_eq!(
        line(&t, None),
        "Acknowledged on preview by Dr K 14:01: cath lab activated."
    );
}

#[test]
fn the_line_of_a_case_is_about_the_worst_recipient() {
    let mut t = stored(Class::Alarm);
    t.apply(relayed(None), at(60));
    t.apply(ack(K, DR_K, Act::Accepted, None, 1), at(120));
    assert_eq!(line(&t, None), "At relay 14:01. ED North does not have it yet.");
    t.apply(head(ED, None), at(180));
    assert_eq!(line(&t, None), "On ED North's device 14:03. Not seen yet.");
    t.apply(seen(ED, DR_M, None), at(240));
    assert_eq!(line(&t, None), "Acknowledged by Dr K 14:02: accepted.");
}

#[test]
fn the_line_of_a_recall_tells_who_does_not_know() {
    let mut recall = stored(Class::Alarm);
    recall.apply(head(K, None), at(1));
    let line = |t: &Tracker| words::recall_line(t, &names()).unwrap();
    assert_eq!(
        line(&recall),
        "Recalled at 14:00. 1 of 2 devices know. ED North: not yet told."
    );
    recall.apply(head(ED, None), at(1));
    assert_eq!(line(&recall), "Recalled at 14:00. All 2 devices know.");
}

#[test]
fn marks_and_cells_have_the_words_of_the_specification() {
    let t = Wall(at(34 * 60).wall.0);
    for (mark, words) in [
        (Mark::ThereNotReadable, "there, not readable yet"),
        (Mark::Declined, "declined"),
        (Mark::Expired(t), "expired 14:34, still stored here"),
        (Mark::Recalled(t), "recalled"),
        (Mark::Replaced(t), "replaced by 14:34"),
        (
            Mark::RefusedBy(RELAY, Class::Bulk),
            "refused: relay full (class bulk)",
        ),
        (Mark::LeaseExpired(3), "lease expired 3 d"),
        (Mark::NotConfirmed, "NOT CONFIRMED"),
        (Mark::NoLongerOnDevice(t), "no longer on this device"),
        (Mark::Disputed, "disputed"),
        (Mark::NotNeeded, "not needed"),
    ] {
        assert_eq!(words::mark_words(&mark, &names()), words);
    }
    assert_eq!(
        words::cell_words(&Cell::Done { at: t, by: true }, &names()),
        "by 14:34"
    );
    let columns = Step::ALL.map(words::step_word);
    let expected = [
        "stored",
        "handed over",
        "at relay",
        "delivered",
        "seen",
        "acknowledged",
    ];
    assert_eq!(columns, expected);
}

#[test]
fn the_table_is_sorted_complete_and_never_says_that_all_is_well() {
    assert!(words::TABLE.windows(2).all(|w| w[0].0 < w[1].0));
    assert!(
        words::TABLE
            .iter()
            .all(|(_, text)| !text.to_lowercase().contains("normal"))
    );
    let source = include_str!("words.rs");
    assert!(!source.to_lowercase().contains("normal"));
    let (_, code) = source.split_once("];").unwrap();
    let quoted = code.split('"').skip(1).step_by(2);
    for key in quoted.filter(|s| s.contains('.') && !s.contains(' ')) {
        assert_ne!(
            words::text(Box::leak(key.to_owned().into_boxed_str())),
            key,
            "no text for {key}"
        );
    }
}

#[test]
fn a_name_that_looks_like_a_placeholder_stays_a_name() {
    let values = [("name", "{time}"), ("time", "14:00")];
    assert_eq!(
        words::fill("line.delivered", &values),
        "On {time}'s device 14:00. Not seen yet."
    );
    assert_eq!(
        words::fill("mark.expired", &[]),
        "expired {time}, still stored here"
    );
}
