//! Each word against evidence that bears it out, and against evidence that just fails to.

use super::{Claim, Evidence, RelayLook};
use crate::api::types::{EntryInfo, RecipientStatus};

const ECG: &str = "00112233-44556677-1";

fn claim(state: &str, layer: Option<&str>, at_ms: u64) -> Claim {
    Claim {
        entry: ECG.into(),
        recipient: RecipientStatus {
            person: "Dr K".into(),
            device8: "0a0b0c0d".into(),
            role: "cardiologist".into(),
            state: state.into(),
            layer: layer.map(Into::into),
            since_ms: at_ms,
            evidence: String::new(),
            act: None,
            by: None,
            marks: vec![],
            line: String::new(),
        },
        at_ms,
        shown_at_ms: at_ms,
    }
}

fn act(kind: &str, act: Option<&str>, at_ms: u64) -> EntryInfo {
    EntryInfo {
        entry: "00112233-8899aabb-1".into(),
        thread: String::new(),
        thread_name: String::new(),
        kind: kind.into(),
        class: "clinical".into(),
        person: "Dr K".into(),
        device8: "0a0b0c0d".into(),
        at_ms,
        text: String::new(),
        about: Some(ECG.into()),
        act: act.map(Into::into),
        layers: vec![],
        mine: true,
        marks: vec![],
    }
}

fn truth(evidence: &Evidence, claim: &Claim) -> bool {
    let judged = evidence.judge(claim);
    assert_eq!(judged.truth, judged.why.is_none());
    judged.truth
}

#[test]
fn stored_is_read_back_and_not_older_than_it_is() {
    let mut evidence = Evidence::default();
    assert!(!truth(&evidence, &claim("stored", None, 100)));
    evidence.stored.insert(ECG.into(), 100);
    assert!(truth(&evidence, &claim("stored", None, 100)));
    assert!(!truth(&evidence, &claim("stored", None, 99)));
}

#[test]
fn at_relay_is_seen_there_at_the_first_look_after_the_word() {
    let look = |at_ms, stored| RelayLook { at_ms, stored };
    let mut evidence = Evidence::default();
    evidence.relay_before.insert(ECG.into(), 5);
    assert!(!truth(&evidence, &claim("at_relay", None, 100)), "nobody looked");
    evidence.relay = vec![look(90, 6)];
    assert!(
        !truth(&evidence, &claim("at_relay", None, 100)),
        "nobody looked after it"
    );
    evidence.relay = vec![look(90, 5), look(100, 5), look(150, 6)];
    assert!(
        !truth(&evidence, &claim("at_relay", None, 100)),
        "the relay had it later"
    );
    evidence.relay = vec![look(90, 5), look(100, 6)];
    assert!(truth(&evidence, &claim("at_relay", None, 100)));
}

#[test]
fn delivered_is_opened_there_before_with_its_layer() {
    let mut evidence = Evidence::default();
    assert!(!truth(&evidence, &claim("delivered", Some("digest"), 100)));
    evidence.arrived.insert(ECG.into(), 100);
    assert!(truth(&evidence, &claim("delivered", Some("digest"), 100)));
    assert!(truth(&evidence, &claim("delivered", None, 101)));
    assert!(!truth(&evidence, &claim("delivered", Some("digest"), 99)));
    assert!(!truth(&evidence, &claim("delivered", Some("original"), 200)));
    evidence.layers.insert((ECG.into(), "original".into()), 150);
    assert!(truth(&evidence, &claim("delivered", Some("original"), 200)));
    assert!(!truth(&evidence, &claim("delivered", Some("original"), 149)));
}

#[test]
fn acts_are_signed_over_there_by_that_person_before() {
    let mut evidence = Evidence::default();
    assert!(!truth(&evidence, &claim("seen", None, 100)));
    evidence.hospital = vec![act("seen", None, 100)];
    assert!(truth(&evidence, &claim("seen", None, 100)));
    assert!(!truth(&evidence, &claim("seen", None, 99)));
    assert!(!truth(&evidence, &claim("acknowledged", None, 100)));

    let mut acknowledged = claim("acknowledged", Some("original"), 100);
    acknowledged.recipient.act = Some("activated".into());
    acknowledged.recipient.by = Some("Dr K".into());
    evidence.hospital = vec![act("acknowledgement", Some("activated"), 90)];
    assert!(truth(&evidence, &acknowledged));
    evidence.hospital = vec![act("acknowledgement", Some("declined"), 90)];
    assert!(!truth(&evidence, &acknowledged));
    evidence.hospital = vec![EntryInfo {
        person: "Dr M".into(),
        ..act("acknowledgement", Some("activated"), 90)
    }];
    assert!(!truth(&evidence, &acknowledged));
    evidence.hospital = vec![EntryInfo {
        mine: false,
        ..act("acknowledgement", Some("activated"), 90)
    }];
    assert!(
        !truth(&evidence, &acknowledged),
        "only what the hospital says of itself counts"
    );
    evidence.hospital = vec![EntryInfo {
        about: Some("x".into()),
        ..act("acknowledgement", Some("activated"), 90)
    }];
    assert!(!truth(&evidence, &acknowledged));
}

#[test]
fn unknown_words_are_false() {
    let mut evidence = Evidence::default();
    evidence.stored.insert(ECG.into(), 1);
    evidence.arrived.insert(ECG.into(), 1);
    assert!(!truth(&evidence, &claim("read", None, 100)));
}

#[test]
fn the_verdict_carries_times_since_the_start() {
    let mut evidence = Evidence {
        started_ms: 1_000,
        ..Evidence::default()
    };
    evidence.stored.insert(ECG.into(), 1_100);
    let judged = evidence.judge(&claim("stored", None, 1_150));
    assert_eq!(
        (judged.at_ms, judged.evidence, judged.truth),
        (150, "commit", true)
    );
    let json = serde_json::to_value(&judged).unwrap();
    assert!(json.get("why").is_none() && json.get("layer").is_none());
}
