//! Each gate holds at its limit, fails beyond it, and fails when nothing was measured.

use std::time::Duration;

use super::{MEANINGS, Measured, failure, judge, meaning};

fn good() -> Measured {
    Measured {
        send_to_stored: Some(Duration::from_millis(300)),
        false_claims: Some((0, 17)),
        secrets_found: Some(0),
        control: Some((12, 12)),
        tunnel_end_to_relay: Some(Duration::from_secs(4)),
        parts_sent_twice: Some(1),
        samples_equal: Some(true),
        original_equal: Some(true),
        ack_to_shown: Some(Duration::from_secs(2)),
        // 45 s and 1.25 times the 10 s that 160 kB take at 128 kbit/s
        whole_run: Some(Duration::from_millis(57_500)),
        memory_bytes: Some(300_000_000),
        original_bytes: 160_000,
        rate_bps: 128_000,
    }
}

fn failed(measured: &Measured) -> Vec<&'static str> {
    judge(measured)
        .iter()
        .filter(|gate| !gate.pass)
        .map(|gate| gate.id)
        .collect()
}

#[test]
fn all_hold_at_their_limits() {
    assert_eq!(failed(&good()), [""; 0]);
    let ids: Vec<_> = judge(&good()).iter().map(|gate| gate.id).collect();
    assert_eq!(
        ids,
        ["G1", "G2", "G3", "G3", "G4", "G6", "G7", "G7", "G8", "G10", "G10"]
    );
}

#[test]
fn each_fails_alone_beyond_its_limit() {
    let more = |duration: Option<Duration>| duration.map(|duration| duration + Duration::from_millis(1));
    let late = |pick: fn(&mut Measured) -> &mut Option<Duration>| {
        let mut measured = good();
        let duration = pick(&mut measured);
        *duration = more(*duration);
        measured
    };
    for (measured, gate) in [
        (late(|m| &mut m.send_to_stored), "G1"),
        (
            Measured {
                false_claims: Some((1, 17)),
                ..good()
            },
            "G2",
        ),
        (
            Measured {
                secrets_found: Some(1),
                ..good()
            },
            "G3",
        ),
        (
            Measured {
                control: Some((11, 12)),
                ..good()
            },
            "G3",
        ),
        (late(|m| &mut m.tunnel_end_to_relay), "G4"),
        (
            Measured {
                parts_sent_twice: Some(2),
                ..good()
            },
            "G6",
        ),
        (
            Measured {
                samples_equal: Some(false),
                ..good()
            },
            "G7",
        ),
        (
            Measured {
                original_equal: Some(false),
                ..good()
            },
            "G7",
        ),
        (late(|m| &mut m.ack_to_shown), "G8"),
        (late(|m| &mut m.whole_run), "G10"),
        (
            Measured {
                memory_bytes: Some(300_000_001),
                ..good()
            },
            "G10",
        ),
    ] {
        assert_eq!(failed(&measured), [gate], "{measured:?}");
    }
}

#[test]
fn what_was_not_measured_fails() {
    let nothing = judge(&Measured::default());
    assert!(nothing.iter().all(|gate| !gate.pass && gate.value.is_none()));
    assert_eq!(
        failed(&Measured {
            false_claims: Some((0, 0)),
            ..good()
        }),
        ["G2"],
        "no claim is no proof"
    );
    assert_eq!(
        failed(&Measured {
            control: Some((0, 0)),
            ..good()
        }),
        ["G3"],
        "no secret is no proof"
    );
    let json = serde_json::to_value(&nothing[0]).unwrap();
    assert!(json.get("value").is_none() && json["pass"] == false);
}

#[test]
fn a_failure_names_gate_value_limit_and_what_to_do() {
    let measured = Measured {
        ack_to_shown: Some(Duration::from_millis(4_100)),
        ..good()
    };
    let gates = judge(&measured);
    let gate = gates.iter().find(|gate| !gate.pass).unwrap();
    assert_eq!(
        failure(gate, 7),
        "RESULT   FAILED at G8: press to acknowledgement shown 4.1 s, limit 2 s.\n\
         What it means: the acknowledgement came back late; \
         the ambulance would not know in time that somebody acts.\n\
         Try: aidmesh demo --seed 7 --keep, then aidmesh explain AM-DEMO-08"
    );
    let gates = judge(&Measured::default());
    assert!(failure(&gates[0], 7).contains("FAILED at G1: send to stored shown was not measured"));
}

#[test]
fn every_gate_has_a_meaning() {
    for gate in judge(&good()) {
        let meaning = meaning(gate.id).unwrap();
        assert_eq!(meaning.code, format!("AM-DEMO-{:0>2}", &gate.id[1..]));
    }
    assert_eq!(MEANINGS.len(), 8);
}
