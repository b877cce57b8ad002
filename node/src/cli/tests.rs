//! Whole commands, from words to exit code, against a node made of a few routes.

mod reference;

use super::*;
use crate::api::types::{EntryInfo, EventInfo, LayerInfo, Made, NewEcg, NewNote, RecipientStatus, Status};
use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::Value;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const ENTRY: &str = "3f9a01c2-5be1d07a-12";

/// What a command said.
#[derive(Debug)]
struct Said {
    exit: u8,
    out: String,
    err: String,
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A data folder in which `router` answers, until the test ends.
struct Place(tempfile::TempDir);

impl Place {
    fn without_node() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn serving(router: Router) -> Place {
        let place = Place::without_node();
        let path = socket_in(place.0.path());
        let (bound, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::UnixListener::bind(path).unwrap();
                bound.send(()).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        told.recv().unwrap();
        place
    }

    fn says(&self, words: &[&str]) -> Said {
        let (out, err) = (Buffer::default(), Buffer::default());
        let data = self.0.path().to_str().unwrap();
        let place = ["--data", data];
        let words = ["aidmesh"].iter().chain(words).chain(&place);
        let cli = Cli::try_parse_from(words).unwrap();
        let json = cli.all.json;
        let screen = Screen::into_buffers(Box::new(out.clone()), Box::new(err.clone()), json);
        let exit = perform(cli, screen, Default::default()) as u8;
        Said {
            exit,
            out: out.text(),
            err: err.text(),
        }
    }
}

fn made() -> Made {
    Made {
        thread: Some("3f9a01c2".repeat(4)),
        entries: vec![ENTRY.into()],
    }
}

fn recipient(person: &str, state: &str) -> RecipientStatus {
    RecipientStatus {
        person: person.into(),
        device8: "5be1d07a".into(),
        role: "cardiologist".into(),
        state: state.into(),
        layer: None,
        since_ms: 0,
        evidence: "head".into(),
        act: None,
        by: None,
        marks: Vec::new(),
        line: format!("{person} is {state}."),
    }
}

fn status(recipients: Vec<RecipientStatus>) -> Status {
    Status {
        schema: "aidmesh.status/1".into(),
        entry: ENTRY.into(),
        kind: "note".into(),
        class: "text".into(),
        at_ms: 1_763_993_342_123,
        recipients,
    }
}

fn entry() -> EntryInfo {
    EntryInfo {
        entry: ENTRY.into(),
        thread: "3f9a01c2".repeat(4),
        thread_name: "7K2".into(),
        kind: "ecg".into(),
        class: "clinical".into(),
        person: "Medic A".into(),
        device8: "5be1d07a".into(),
        at_ms: 1_763_993_342_123,
        text: "12-lead".into(),
        about: None,
        act: None,
        layers: Vec::new(),
        mine: false,
        marks: Vec::new(),
    }
}

fn original(name: &str, held: u32) -> LayerInfo {
    LayerInfo {
        layer: "original".into(),
        name: name.into(),
        bytes: 3,
        held,
        total: 14,
        complete: held == 14,
    }
}

fn event(number: u64) -> String {
    let event = EventInfo {
        number,
        at_ms: 0,
        event: "delivery".into(),
        thread: None,
        entry: Some(ENTRY.into()),
        recipient: None,
        layer: None,
        text: String::new(),
    };
    format!(
        "id: {number}\ndata: {}\n\n",
        serde_json::to_string(&event).unwrap()
    )
}

/// A node that takes a note; its entry has these states one after the other, with an event before each.
fn note_with_states(states: &[&str]) -> Router {
    let looks = Arc::new(AtomicUsize::new(0));
    let states: Vec<String> = states.iter().map(|s| (*s).to_owned()).collect();
    let status = get(move || {
        let look = looks.fetch_add(1, Ordering::Relaxed).min(states.len() - 1);
        let status = status(vec![recipient("Dr K", &states[look])]);
        async move { Json(status) }
    });
    let events = get(|| async { (1..9).map(event).collect::<String>() });
    Router::new()
        .route(
            "/v1/threads/7K2/notes",
            post(|_: Json<NewNote>| async { Json(made()) }),
        )
        .route("/v1/entries/{id}/status", status)
        .route("/v1/events", events)
}

#[test]
fn the_table_of_commands_is_sound_and_every_help_has_examples() {
    fn check(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        let after = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(after.contains("Example"), "{path} shows no example");
        assert!(command.get_about().is_some(), "{path} says nothing about itself");
        for inner in command.get_subcommands() {
            check(inner, &path);
        }
    }
    command().debug_assert();
    check(&command(), "");
}

#[test]
fn examples_can_be_said() {
    fn examples(command: &clap::Command, found: &mut Vec<String>) {
        let after = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let lines = after
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("aidmesh "));
        found.extend(lines.map(str::to_owned));
        command.get_subcommands().for_each(|inner| examples(inner, found));
    }
    let mut found = Vec::new();
    examples(&command(), &mut found);
    assert!(found.len() > 20, "{found:?}");
    for example in found {
        let said = example.split(['>', '<']).next().unwrap();
        // words in quotes are one word
        let pieces = said.split('"').enumerate();
        let words = pieces.flat_map(|(n, piece)| match n % 2 {
            0 => piece.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            _ => vec![piece.to_owned()],
        });
        let parsed = Cli::try_parse_from(words);
        assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for words in [
        &["nonsense"][..],
        &["--break", "blind"],
        &["send", "7K2"],
        &["send", "7K2", "x", "--wait", "soon"],
        &["send", "7K2", "x", "--timeout", "5 weeks"],
        &["ack", ENTRY, "--act", "maybe"],
        &["recall", ENTRY],
        &["ecg", "send", "7K2", "f", "--class", "bulk"],
        &["ecg", "draw", "f"],
        &["--passphrase", "secret", "inbox"],
    ] {
        let arguments = ["aidmesh"].iter().chain(words).map(|w| OsString::from(*w));
        let why = Cli::try_parse_from(arguments).unwrap_err();
        let (out, err) = (Buffer::default(), Buffer::default());
        let screen = Screen::into_buffers(Box::new(out.clone()), Box::new(err.clone()), true);
        assert_eq!(not_understood(&why, screen), Exit::Usage, "{words:?}");
        let error: Value = serde_json::from_str(&err.text()).unwrap();
        assert_eq!(error["error"]["code"], "AM-USE-01", "{words:?}");
        assert_eq!(out.text(), "", "{words:?}");
    }
    let place = Place::without_node();
    let said = place.says(&["inbox", "--wait", "seen"]);
    assert!(said.exit == 2 && said.err.starts_with("AM-USE-04"), "{said:?}");
}

#[test]
fn without_a_node_every_command_that_needs_one_says_so() {
    let place = Place::without_node();
    for words in [
        &["inbox"][..],
        &["status"],
        &["send", "7K2", "x"],
        &["thread", "list"],
        &["open", ENTRY, "--to", "."],
        &["ack", ENTRY],
        &["recall", ENTRY, "--why", "x"],
    ] {
        let said = place.says(words);
        let expected = "AM-NODE-01: no node runs here. Start it with: aidmesh run\n";
        assert_eq!(
            (said.exit, said.err.as_str(), said.out.as_str()),
            (1, expected, ""),
            "{words:?}"
        );
    }
    let said = place.says(&["inbox", "--json"]);
    let error: Value = serde_json::from_str(&said.err).unwrap();
    let fields: Vec<&str> = error["error"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(fields, ["code", "means", "next", "what"]);
}

#[test]
fn what_was_written_is_stored_and_nothing_more() {
    let place = Place::serving(note_with_states(&["delivered"]));
    let said = place.says(&["send", "7K2", "aspirin"]);
    assert_eq!(said.exit, 0);
    assert_eq!(said.out, format!("{ENTRY}  Stored here. Not sent yet.\n"));
    let said = place.says(&["send", "7K2", "aspirin", "--json"]);
    assert_eq!(serde_json::from_str::<Made>(&said.out).unwrap(), made());
}

#[test]
fn waiting_ends_when_the_state_is_there() {
    let states = ["stored", "at_relay", "delivered", "seen", "acknowledged"];
    for (goal, looks) in [("delivered", 3), ("seen", 4), ("acknowledged", 5)] {
        let place = Place::serving(note_with_states(&states));
        let said = place.says(&["send", "7K2", "x", "--json", "--wait", goal]);
        assert_eq!((said.exit, said.err.as_str()), (0, ""), "{goal}");
        let answer: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(answer["reached"], true);
        assert_eq!(answer["entries"][0], ENTRY);
        assert_eq!(answer["status"]["recipients"][0]["state"], states[looks - 1]);
    }
    let place = Place::serving(note_with_states(&["delivered"]));
    let said = place.says(&["status", ENTRY, "--wait", "delivered"]);
    assert!(
        said.exit == 0 && said.out.contains("Dr K is delivered."),
        "{said:?}"
    );
}

#[test]
fn time_that_runs_out_leaves_the_entry_stored_and_says_so() {
    let place = Place::serving(note_with_states(&["at_relay"]));
    let said = place.says(&["send", "7K2", "x", "--wait", "delivered", "--timeout", "200ms"]);
    assert_eq!(said.exit, 3);
    assert!(said.out.contains("Stored here. Not sent yet.") && said.out.contains("Dr K is at_relay."));
    assert!(
        said.err.contains("stays stored") && said.err.contains(ENTRY),
        "{said:?}"
    );
    let said = place.says(&[
        "send",
        "7K2",
        "x",
        "--wait",
        "seen",
        "--timeout",
        "200ms",
        "--json",
    ]);
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.exit, answer["reached"].as_bool()), (3, Some(false)));
}

#[test]
fn states_are_reached_by_evidence_for_those_who_count() {
    let of = |states: &[&str]| states.iter().map(|s| recipient("x", s)).collect::<Vec<_>>();
    let declined = RecipientStatus {
        act: Some("declined".into()),
        ..recipient("Dr K", "acknowledged")
    };
    for (goal, recipients, reached) in [
        (Goal::Delivered, of(&[]), false),
        (Goal::Delivered, of(&["delivered", "at_relay"]), false),
        (Goal::Delivered, of(&["delivered", "seen"]), true),
        (Goal::Delivered, of(&["teleported"]), false),
        (Goal::Seen, of(&["delivered", "delivered"]), false),
        (Goal::Seen, of(&["delivered", "seen"]), true),
        (Goal::Acknowledged, of(&["seen"]), false),
        (Goal::Acknowledged, of(&["stored", "acknowledged"]), true),
        (Goal::Acknowledged, vec![declined.clone()], false),
        (Goal::Seen, vec![declined], true),
    ] {
        assert_eq!(goal.reached(&recipients), reached, "{goal:?} {recipients:?}");
    }
}

#[test]
fn faults_of_the_node_decide_the_exit_code() {
    let several = fault::with("AM-USE-03", "7K2 (3f9a01c2), 7K2 (d4c3b2a1)");
    let revoked = fault::of("AM-ORG-05");
    let router = Router::new()
        .route(
            "/v1/threads/7K2",
            get(|| async { (StatusCode::CONFLICT, Json(several)) }),
        )
        .route(
            "/v1/threads/{id}/notes",
            post(|| async { (StatusCode::FORBIDDEN, Json(revoked)) }),
        );
    let place = Place::serving(router);
    let said = place.says(&["thread", "show", "7K2"]);
    assert!(
        said.exit == 2 && said.err.contains("7K2 (3f9a01c2), 7K2 (d4c3b2a1)"),
        "{said:?}"
    );
    assert_eq!(place.says(&["status", "7K2"]).exit, 2);
    let said = place.says(&["send", "7K2", "x"]);
    assert!(said.exit == 4 && said.err.starts_with("AM-ORG-05"), "{said:?}");
}

#[test]
fn texts_of_others_move_no_cursor() {
    let hostile = EntryInfo {
        text: "\u{1b}[2Jall is well\nDr K: yes".into(),
        person: "Dr \u{202e}K".into(),
        layers: vec![original("a", 9)],
        ..entry()
    };
    let place = Place::serving(Router::new().route("/v1/inbox", get(|| async { Json([hostile]) })));
    let said = place.says(&["inbox"]);
    assert_eq!(said.out.lines().count(), 1, "{said:?}");
    assert!(!said.out.contains(['\u{1b}', '\u{202e}']), "{said:?}");
    assert!(said.out.contains("original: 9 of 14 parts."), "{said:?}");
}

/// A node with one ECG of two files, and how often it was told that somebody saw it.
fn ecg_to_open(held: u32) -> (Router, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let told = seen.clone();
    let router = Router::new()
        .route(
            "/v1/entries/{id}",
            get(move || async move {
                let layers = vec![original("../rec.hea", 14), original("rec.mat", held)];
                Json(EntryInfo { layers, ..entry() })
            }),
        )
        .route("/v1/entries/{id}/files/0", get(|| async { "one" }))
        .route("/v1/entries/{id}/files/1", get(|| async { "two" }))
        .route(
            "/v1/entries/{id}/seen",
            post(move |body: Json<Value>| async move {
                assert_eq!(body.0["layer"], "original");
                told.fetch_add(1, Ordering::Relaxed);
                Json(made())
            }),
        );
    (router, seen)
}

#[test]
fn opened_files_lie_in_the_folder_and_their_author_learns_it() {
    let (router, seen) = ecg_to_open(14);
    let place = Place::serving(router);
    let to = place.0.path().join("out");
    let said = place.says(&["open", ENTRY, "--to", to.to_str().unwrap()]);
    assert_eq!((said.exit, seen.load(Ordering::Relaxed)), (0, 1), "{said:?}");
    assert_eq!(std::fs::read(to.join("rec.hea")).unwrap(), b"one");
    assert_eq!(std::fs::read(to.join("rec.mat")).unwrap(), b"two");
    let again = place.says(&["open", ENTRY, "--to", to.to_str().unwrap()]);
    assert!(again.exit == 2 && again.err.starts_with("AM-USE-06"), "{again:?}");
    let archive = place.0.path().join("archive");
    let said = place.says(&[
        "open",
        ENTRY,
        "--not-seen",
        "--json",
        "--to",
        archive.to_str().unwrap(),
    ]);
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&answer["seen"], answer["files"].as_array().unwrap().len()),
        (&false.into(), 2)
    );
    assert_eq!(
        seen.load(Ordering::Relaxed),
        1,
        "nobody saw what a script filed away"
    );
}

#[test]
fn half_an_ecg_is_not_opened() {
    let (router, seen) = ecg_to_open(9);
    let place = Place::serving(router);
    let to = place.0.path().join("out");
    let said = place.says(&["open", ENTRY, "--to", to.to_str().unwrap()]);
    assert!(
        said.exit == 1 && said.err.contains("original: 9 of 14 parts."),
        "{said:?}"
    );
    assert!(!to.exists() && seen.load(Ordering::Relaxed) == 0);
}

#[test]
fn an_ecg_goes_out_whole_and_an_alarm_asks_a_role() {
    let taken = Arc::new(Mutex::new(Vec::<NewEcg>::new()));
    let list = taken.clone();
    let router = Router::new().route(
        "/v1/threads/{id}/ecgs",
        post(move |body: Json<NewEcg>| async move {
            list.lock().unwrap().push(body.0);
            Json(made())
        }),
    );
    let place = Place::serving(router);
    let file = place.0.path().join("ecg.dcm");
    let record =
        aidmesh_ecg::generate::generate(aidmesh_ecg::generate::Rhythm::InferiorStemi, 10, 7, 500, 10);
    std::fs::write(&file, aidmesh_ecg::dicom::write(&record).unwrap()).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(place.says(&["ecg", "send", "7K2", file]).exit, 0);
    assert_eq!(
        place
            .says(&["ecg", "send", "7K2", file, "--class", "alarm", "--what", "stemi"])
            .exit,
        0
    );
    let socket = socket_in(place.0.path());
    assert_eq!(
        place.says(&["ecg", "send", "7K2", socket.to_str().unwrap()]).exit,
        1
    );
    let taken = taken.lock().unwrap();
    assert_eq!((taken.len(), taken[0].files.len()), (2, 1));
    assert_eq!((taken[0].class.as_str(), &taken[0].alert), ("clinical", &None));
    let alert = taken[1].alert.as_ref().unwrap();
    assert_eq!(
        (taken[1].class.as_str(), alert.what.as_str(), alert.role.as_str()),
        ("alarm", "stemi", "cardiologist")
    );
}

#[test]
fn an_ecg_is_looked_at_without_a_node() {
    let place = Place::without_node();
    let at = |name: &str| place.0.path().join(name).to_str().unwrap().to_owned();
    let record =
        aidmesh_ecg::generate::generate(aidmesh_ecg::generate::Rhythm::InferiorStemi, 10, 7, 500, 10);
    std::fs::write(at("ecg.dcm"), aidmesh_ecg::dicom::write(&record).unwrap()).unwrap();
    let said = place.says(&["ecg", "info", &at("ecg.dcm"), "--json"]);
    let info: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&info["format"], &info["rate_hz"], &info["duration_ms"]),
        (&"DICOM".into(), &500.0.into(), &10_000.0.into())
    );
    let text = "meets ST-elevation thresholds in II, III, aVF; suspected, not a diagnosis";
    assert_eq!(info["measured"]["st"], text);
    let said = place.says(&["ecg", "info", &at("ecg.dcm")]);
    assert!(
        said.out.contains(text) && said.out.contains("Invented, not a patient's."),
        "{said:?}"
    );
    for (name, magic) in [("page.svg", &b"<"[..]), ("page.PNG", b"\x89PNG")] {
        let said = place.says(&["ecg", "draw", &at("ecg.dcm"), "--out", &at(name)]);
        assert_eq!(said.exit, 0, "{said:?}");
        assert!(std::fs::read(at(name)).unwrap().starts_with(magic));
    }
    let said = place.says(&["ecg", "draw", &at("ecg.dcm"), "--out", &at("page.gif")]);
    assert!(said.exit == 1 && said.err.starts_with("AM-ECG-07"), "{said:?}");
    std::fs::write(at("letter.pdf"), "not an ECG").unwrap();
    let said = place.says(&["ecg", "info", &at("letter.pdf")]);
    assert!(
        said.exit == 1 && said.err.starts_with("AM-ECG-01") && said.out.is_empty(),
        "{said:?}"
    );
}

#[test]
fn codes_and_settings_are_told_without_a_node() {
    let place = Place::without_node();
    let said = place.says(&["explain", "am-store-06", "--json"]);
    let known: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&known["code"], &known["exit_code"]),
        (&"AM-STORE-06".into(), &1.into())
    );
    let said = place.says(&["explain"]);
    assert_eq!(said.out.lines().count(), fault::all().count());
    let said = place.says(&["explain", "AM-STORE-6"]);
    assert!(
        said.exit == 2 && said.err.contains("did you mean AM-STORE-06?"),
        "{said:?}"
    );
    assert_eq!(place.says(&["config", "init"]).exit, 0);
    assert_eq!(place.says(&["config", "init"]).exit, 1);
    let said = place.says(&["config", "show", "--origin", "--json", "--engine", "redb"]);
    let shown: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        shown["engine"],
        serde_json::json!({"value": "redb", "origin": "flag --engine"})
    );
    let said = place.says(&["completions", "bash"]);
    assert!(
        said.exit == 0 && said.out.contains("_aidmesh"),
        "{}",
        said.out.len()
    );
}

#[test]
fn the_data_folder_is_where_people_expect_it() {
    let with = |flag: Option<&str>, variables: &[(&str, &str)]| {
        let environment = |name: &str| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| OsString::from(value))
        };
        data_folder(flag.map(Path::new), &environment)
    };
    let all = [("AIDMESH_DATA", "/a"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")];
    assert_eq!(with(Some("/f"), &all), Some("/f".into()));
    assert_eq!(with(None, &all), Some("/a".into()));
    assert_eq!(with(None, &all[1..]), Some("/x/aidmesh".into()));
    assert_eq!(with(None, &all[2..]), Some("/h/.local/share/aidmesh".into()));
    assert_eq!(
        with(None, &[("XDG_DATA_HOME", "x"), ("HOME", "/h")]),
        Some("/h/.local/share/aidmesh".into())
    );
    assert_eq!(with(None, &[("AIDMESH_DATA", "")]), None);
}

#[test]
fn times_are_numbers_with_a_unit() {
    let ms = |text| wait::duration(text).map(|time| time.as_millis());
    assert_eq!(ms("500ms"), Ok(500));
    assert_eq!(ms("30s"), ms("30"));
    assert_eq!(ms("5m"), Ok(300_000));
    assert_eq!(ms("1h"), Ok(3_600_000));
    for text in ["", "s", "-5s", "5d", "1.5h", "8000h", "18446744073709551615h"] {
        assert!(ms(text).is_err(), "{text}");
    }
}

#[test]
fn one_way_into_an_organisation_is_chosen() {
    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        init: init::Init,
    }
    let parse = |words: &[&str]| Line::try_parse_from(["x"].iter().chain(words));
    let way = |words: &[&str]| format!("{:?}", parse(words).unwrap().init.way().unwrap());
    assert_eq!(
        way(&["--org", "North", "--person", "Dr K", "--role", "nurse"]),
        "Found(\"North\")"
    );
    assert_eq!(
        way(&["--invite", "AM1:x", "--person", "Medic A"]),
        "Ask(\"AM1:x\")"
    );
    assert_eq!(way(&["--grant", "g.txt"]), "Finish(\"g.txt\")");
    for words in [
        &[][..],
        &["--org", "N", "--invite", "i", "--person", "p"],
        &["--org", "N"],
        &["--grant", "g", "--person", "p"],
    ] {
        assert!(parse(words).is_err(), "{words:?}");
    }
}
