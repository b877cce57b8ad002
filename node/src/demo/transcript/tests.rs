//! The wording: every line that exists, against the transcript that the project promises.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aidmesh_netem::Profile;
use serde_json::{Value, json};

use super::{Line, Transcript, grouped, head, link_words, masked, short};

/// What stands in the specification; the same file is compared with a real run.
const EXPECTED: &str = include_str!("../../../../tests/demo/expected.txt");

/// Keeps what is written.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn secs(secs: f64) -> Duration {
    Duration::from_secs_f64(secs)
}

fn dr_k() -> String {
    "Dr K (cardiology)".into()
}

fn north() -> String {
    "Hospital North".into()
}

/// A whole run, with the numbers of the specification.
fn run() -> Vec<(f64, Line)> {
    let mut run = into_the_tunnel();
    run.extend(out_of_it());
    run
}

fn into_the_tunnel() -> Vec<(f64, Line)> {
    let (person, organisation) = (dr_k, north);
    vec![
        (0.1, Line::RelayStarted),
        (
            0.2,
            Line::HospitalStarted {
                person: person(),
                organisation: organisation(),
            },
        ),
        (
            0.2,
            Line::AmbulanceStarted {
                person: "Medic A (Unit 12)".into(),
                organisation: organisation(),
            },
        ),
        (
            1.9,
            Line::PathChecked {
                organisation: organisation(),
                there_and_back: secs(0.41),
            },
        ),
        (3.0, Line::Tunnel),
        (
            4.0,
            Line::NewCase {
                case: "7K2: man, 58".into(),
                source: "monitor file".into(),
                recorded: "recorded 41 s ago".into(),
            },
        ),
        (
            4.4,
            Line::Ecg {
                leads: 12,
                seconds: 10.0,
                file_bytes: 143_308,
                digest_bytes: 94,
            },
        ),
        (
            4.5,
            Line::Stored {
                organisation: organisation(),
            },
        ),
        (
            4.5,
            Line::NotSent {
                no_link_since: Some(secs(3.0)),
            },
        ),
        (
            10.0,
            Line::StillNoLink {
                items: 5,
                for_: secs(6.0),
                not_confirmed_from: secs(64.5),
            },
        ),
        (15.0, Line::TunnelEnds),
    ]
}

fn out_of_it() -> Vec<(f64, Line)> {
    let person = dr_k;
    let layer = |layer: &str| Some(layer.to_string());
    vec![
        (15.5, Line::RelayTook { bytes: 996 }),
        (15.8, Line::AtRelay { signed: secs(15.5) }),
        (15.9, Line::Alarm { person: person() }),
        (
            16.3,
            Line::Delivered {
                person: person(),
                layer: layer("digest"),
            },
        ),
        (17.2, Line::Seen { person: person() }),
        (17.3, Line::Underpass { held: 60, total: 140 }),
        (20.3, Line::Back { next: 61 }),
        (32.8, Line::OriginalArrived),
        (33.8, Line::Presses { person: person() }),
        (
            34.2,
            Line::Acknowledged {
                person: person(),
                layer: layer("original"),
                act: Some("activated".into()),
            },
        ),
    ]
}

#[test]
fn the_wording_is_the_one_that_is_promised() {
    let sink = Sink::default();
    let mut transcript = Transcript::new(Box::new(sink.clone()), false);
    transcript.head(&head(&Profile::TUNNEL, false, None));
    for (at, line) in run() {
        transcript.say(secs(at), &line);
    }
    transcript.last(
        "\nCHECK    17 status lines compared with what was really on the disks: 17 true, 0 false.\n\
         CHECK    12 planted secrets searched in 214 kB the relay stored or passed on: \
         0 found (control: 12).\n\
         RESULT   OK. Tunnel end to digest at the hospital 0.9 s. Alert to acknowledgement 29.7 s, \
         13.5 s of it without link.",
    );
    assert_eq!(masked(&sink.text()), EXPECTED);
}

#[test]
fn columns_stand_under_each_other() {
    let sink = Sink::default();
    let mut transcript = Transcript::new(Box::new(sink.clone()), false);
    transcript.say(secs(0.1), &Line::RelayStarted);
    transcript.say(secs(10.04), &Line::TunnelEnds);
    assert_eq!(
        sink.text(),
        "  0.1 s   relay      started. It holds no keys.\n 10.0 s   link       tunnel ends.\n"
    );
}

#[test]
fn as_objects_there_is_nothing_but_objects() {
    let sink = Sink::default();
    let mut transcript = Transcript::new(Box::new(sink.clone()), true);
    transcript.head("words for people");
    transcript.ready(secs(0.3), json!({"link": "127.0.0.1:1"}));
    for (at, line) in run() {
        transcript.say(secs(at), &line);
    }
    transcript.last("words for people");
    transcript.summary(&json!({"type": "summary"}));
    let objects: Vec<Value> = sink
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), run().len() + 2);
    assert_eq!(
        objects[0],
        json!({
            "type": "ready", "schema": "aidmesh.demo/1", "t_ms": 300, "link": "127.0.0.1:1",
        })
    );
    let last = objects.len() - 1;
    assert_eq!(objects[last]["type"], "summary");
    assert_eq!(
        objects[last - 1],
        json!({
            "type": "event", "t_ms": 34_200, "where": "ambulance", "kind": "state", "state": "acknowledged",
            "person": "Dr K", "layer": "original",
            "text": "ACKNOWLEDGED by Dr K on original. Cath lab activated.",
        })
    );
    for object in &objects[1..last] {
        assert_eq!(object["type"], "event");
        assert!(["relay", "hospital", "ambulance", "link"].contains(&object["where"].as_str().unwrap()));
        assert!(!object["text"].as_str().unwrap().is_empty());
        assert!(object.as_object().unwrap().values().all(|value| !value.is_null()));
    }
}

#[test]
fn other_ways_of_a_run_have_words_too() {
    for (line, text) in [
        (
            Line::RelayKilled { held: 70, total: 140 },
            "KILLED (kill -9) with 70 of 140 parts of the original file across.",
        ),
        (Line::RelayBack, "started again in the same folder."),
        (
            Line::NotSent { no_link_since: None },
            "screen says: Not sent yet. Will go when a link appears.",
        ),
        (
            Line::Acknowledged {
                person: "Dr K".into(),
                layer: None,
                act: Some("acknowledged".into()),
            },
            "ACKNOWLEDGED by Dr K.",
        ),
        (
            Line::Delivered {
                person: "Dr K".into(),
                layer: None,
            },
            "DELIVERED to Dr K's device (signed by that device)",
        ),
    ] {
        assert_eq!(line.text(), text);
    }
    let own = head(&Profile::SAT, true, Some("/tmp/x"));
    assert!(own.contains("the ECG is yours") && own.contains("All files lie in /tmp/x and stay there."));
}

#[test]
fn numbers_read_well() {
    assert_eq!(grouped(0), "0");
    assert_eq!(grouped(996), "996");
    assert_eq!(grouped(143_308), "143 308");
    assert_eq!(grouped(1_000_000), "1 000 000");
    assert_eq!(link_words(&Profile::TUNNEL), "128 kbit/s, 150 ms, 2 % loss");
    assert_eq!(link_words(&Profile::SAT), "2.4 kbit/s, 600 ms, 1 % loss");
    assert_eq!(link_words(&Profile::LORA), "0.98 kbit/s, 50 ms, 5 % loss");
    assert_eq!(short("Dr K (cardiology)"), "Dr K");
    assert_eq!(short("Dr K"), "Dr K");
}

#[test]
fn masking_hides_numbers_and_nothing_else() {
    assert_eq!(masked(" 10.0 s   link  x"), "  # s   link  x\n");
    assert_eq!(masked("  9.9 s   link  x"), "  # s   link  x\n");
    assert_eq!(masked("file 1 143 308 B, 2 %."), "file # B, # %.\n");
    assert_eq!(masked("7K2 a\n\nb. 3"), "  #K# a\n\nb. #\n");
}
