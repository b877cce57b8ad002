//! The API over a real socket, asked by the client that the command line uses.

use super::*;
use crate::api::types::*;
use crate::client::{Client, EventStream, segment};
use crate::service::tests::cast::{DOCTOR, MEDIC, NURSE};
use crate::service::tests::nodes::{Running, until};
use aidmesh_ecg::generate::{Rhythm, generate};
use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// A node with its API.
struct Served {
    running: Running,
    client: Client,
    folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    fn over(running: Running) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = Socket::bind(&path).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let service = running.service.clone();
        let task = tokio::spawn(socket.serve(service, async move {
            let _ = stopped.await;
        }));
        Served {
            client: Client::connect(&path).unwrap(),
            running,
            folder,
            stop: Some(stop),
            task,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    async fn found(&self, name: &str, to: &[&str]) -> Result<String, Fault> {
        let new = NewThread {
            name: name.into(),
            kind: "patient".into(),
            to: to.iter().map(|to| (*to).into()).collect(),
        };
        let made: Made = self.client.post("/v1/threads", &new).await?;
        Ok(made.thread.unwrap())
    }

    async fn note(&self, thread: &str, text: &str) -> String {
        let new = NewNote { text: text.into() };
        let path = format!("/v1/threads/{}/notes", segment(thread));
        let made: Made = self.client.post(&path, &new).await.unwrap();
        made.entries[0].clone()
    }

    async fn inbox(&self) -> Vec<EntryInfo> {
        self.client.get("/v1/inbox").await.unwrap()
    }

    async fn status(&self, entry: &str) -> Status {
        let path = format!("/v1/entries/{entry}/status");
        self.client.get(&path).await.unwrap()
    }

    async fn state(&self, entry: &str) -> String {
        self.status(entry).await.recipients[0].state.clone()
    }

    /// Status and fault of a request as it stands.
    async fn raw(&self, request: &str) -> (u16, Fault) {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let length = body.len();
        let whole = format!(
            "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(whole.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
        (status, serde_json::from_value(body["error"].clone()).unwrap())
    }
}

/// Medic and doctor, who know each other, over a relay.
async fn pair() -> (Served, Served, Running) {
    let relay = Running::relay().await;
    let medic = Running::member(MEDIC).await;
    let doctor = Running::member(DOCTOR).await;
    medic.learn(&doctor).await;
    medic.connect(&relay).await;
    doctor.connect(&relay).await;
    (Served::over(medic), Served::over(doctor), relay)
}

fn dicom() -> Vec<u8> {
    let record = generate(Rhythm::InferiorStemi, 10, 3, 250, 10);
    aidmesh_ecg::dicom::write(&record).unwrap()
}

fn ecg(bytes: &[u8], class: &str, role: &str) -> NewEcg {
    NewEcg {
        files: vec![FileData {
            name: "Ruhe-EKG ä.dcm".into(),
            bytes: BASE64.encode(bytes),
        }],
        class: class.into(),
        alert: Some(NewAlert {
            what: "stemi".into(),
            role: role.into(),
            text: "man, 58".into(),
        }),
    }
}

async fn next(events: &mut EventStream) -> EventInfo {
    let next = tokio::time::timeout(std::time::Duration::from_secs(30), events.next());
    next.await.expect("an event comes").unwrap().unwrap()
}

/// Medic and doctor in a thread in which an ECG and its alert have arrived whole.
struct Sent {
    medic: Served,
    doctor: Served,
    _relay: Running,
    ecg: String,
    alert: String,
    bytes: Vec<u8>,
}

async fn sent() -> Sent {
    let (medic, doctor, relay) = pair().await;
    let thread = medic.found("7K2", &["Dr K"]).await.unwrap();
    let bytes = dicom();
    let new = ecg(&bytes, "alarm", "cardiologist");
    let made: Made = medic.client.post("/v1/threads/7k2/ecgs", &new).await.unwrap();
    assert_eq!(made.thread, Some(thread));
    let [ecg, alert] = <[String; 2]>::try_from(made.entries).unwrap();
    until("the ECG and the alert arrive", async || {
        doctor.inbox().await.len() == 2
    })
    .await;
    let path = format!("/v1/entries/{ecg}");
    until("every part is there", async || {
        let info: EntryInfo = doctor.client.get(&path).await.unwrap();
        info.layers[0].complete
    })
    .await;
    Sent {
        medic,
        doctor,
        _relay: relay,
        ecg,
        alert,
        bytes,
    }
}

#[tokio::test]
async fn an_ecg_arrives_with_its_alert_and_every_byte() {
    let all = sent().await;
    let kinds: Vec<String> = all.doctor.inbox().await.into_iter().map(|e| e.kind).collect();
    assert_eq!(kinds, ["alert", "ecg"], "newest first");
    let entry = async |id: &str| -> EntryInfo {
        let path = format!("/v1/entries/{id}");
        all.doctor.client.get(&path).await.unwrap()
    };
    let rung = entry(&all.alert).await;
    assert_eq!((&*rung.class, rung.about.as_deref()), ("alarm", Some(&*all.ecg)));
    assert_eq!(rung.text, "STEMI alert to cardiologist: man, 58");
    let info = entry(&all.ecg).await;
    assert_eq!((&*info.class, &*info.person), ("alarm", "Medic A"));
    let said = "invented 12-lead ECG, 10.0 s, rate";
    assert!(info.text.starts_with(said), "{}", info.text);
    let measured = "in II, III, aVF; suspected, not a diagnosis";
    assert!(info.text.ends_with(measured), "{}", info.text);
    let [layer] = <[LayerInfo; 1]>::try_from(info.layers).unwrap();
    assert_eq!((&*layer.layer, &*layer.name), ("original", "Ruhe-EKG ä.dcm"));
    let path = format!("/v1/entries/{}/files/0", all.ecg);
    let file = all.doctor.client.bytes(&path).await.unwrap();
    assert_eq!(file, all.bytes, "byte for byte the same");
}

#[tokio::test]
async fn what_people_do_is_said_once_and_heard() {
    let all = sent().await;
    let (medic, doctor, ecg) = (&all.medic, &all.doctor, &all.ecg);
    let seen = async || -> Made {
        let path = format!("/v1/entries/{ecg}/seen");
        doctor.client.post(&path, &json!({})).await.unwrap()
    };
    assert_eq!(seen().await.entries.len(), 1);
    assert_eq!(seen().await.entries.len(), 0, "it was said already");
    until("the medic hears of it", async || medic.state(ecg).await == "seen").await;
    let act = json!({"act": "activated"});
    let path = format!("/v1/entries/{ecg}/ack");
    let _: Made = doctor.client.post(&path, &act).await.unwrap();
    until("it is acknowledged", async || {
        medic.state(ecg).await == "acknowledged"
    })
    .await;
    let recipients = medic.status(ecg).await.recipients;
    let [recipient] = <[RecipientStatus; 1]>::try_from(recipients).unwrap();
    assert_eq!(recipient.by.as_deref(), Some("Dr K"));
    let proof = (&*recipient.evidence, recipient.layer.as_deref());
    assert_eq!(proof, ("entry", Some("original")));
    let line = recipient.line;
    assert!(line.ends_with(": cath lab activated."), "{line}");
}

#[tokio::test]
async fn what_was_taken_back_stays_and_says_so() {
    let all = sent().await;
    let why = json!({"why": "wrong patient"});
    let path = format!("/v1/entries/{}/recall", all.alert);
    let foreign = all.doctor.client.post::<_, Made>(&path, &why).await;
    let foreign = foreign.unwrap_err();
    assert_eq!((&*foreign.code, foreign.exit() as u8), ("AM-THREAD-04", 4));
    let _: Made = all.medic.client.post(&path, &why).await.unwrap();
    until("the doctor sees that it was taken back", async || {
        let inbox = all.doctor.inbox().await;
        let taken = |e: &EntryInfo| e.entry == all.alert && e.marks == ["recalled"];
        inbox.iter().any(taken)
    })
    .await;
    let kinds = async |query: &str| -> Vec<String> {
        let path = format!("/v1/threads/7K2/entries{query}");
        let all: Vec<EntryInfo> = all.medic.client.get(&path).await.unwrap();
        all.into_iter().map(|entry| entry.kind).collect()
    };
    assert_eq!(kinds("").await, ["ecg", "alert", "recall"]);
    assert_eq!(kinds("?limit=2").await, ["alert", "recall"]);
    assert_eq!(kinds(&format!("?limit=1&before={}", all.alert)).await, ["ecg"]);
    let path = format!("/v1/entries/{}/seen", all.alert);
    let _: Made = all.doctor.client.post(&path, &json!({})).await.unwrap();
    until("the medic has what the doctor saw", async || {
        kinds("").await == ["ecg", "alert", "recall", "seen"]
    })
    .await;
    assert_eq!(
        kinds("?acts=false").await,
        ["ecg", "alert", "recall"],
        "without acts"
    );
}

#[tokio::test]
async fn what_is_no_ecg_or_has_an_impossible_alert_stores_nothing() {
    let medic = Served::over(Running::member(MEDIC).await);
    medic.found("7K2", &[]).await.unwrap();
    let post = async |new: NewEcg| {
        let made: Result<Made, Fault> = medic.client.post("/v1/threads/7K2/ecgs", &new).await;
        made.unwrap_err()
    };
    let bytes = dicom();
    let good = || ecg(&bytes, "alarm", "cardiologist");
    assert_eq!(
        post(ecg(b"no ecg", "alarm", "cardiologist")).await.code,
        "AM-ECG-01"
    );
    assert_eq!(
        post(ecg(&bytes[..9_000], "clinical", "nurse")).await.code,
        "AM-ECG-05"
    );
    let none = NewEcg {
        files: vec![],
        ..good()
    };
    assert_eq!(post(none).await.code, "AM-ECG-01");
    let role = post(ecg(&bytes, "alarm", "king")).await;
    assert!(
        role.code == "AM-USE-01" && role.what.contains("cardiologist"),
        "{role:?}"
    );
    assert_eq!(post(ecg(&bytes, "bulk", "cardiologist")).await.code, "AM-USE-01");
    let mut long = good();
    long.alert.as_mut().unwrap().text = "x".repeat(257);
    assert_eq!(post(long).await.code, "AM-USE-05");
    let mut path = good();
    path.files[0].name = "../../etc/passwd".into();
    assert_eq!(post(path).await.code, "AM-USE-05");
    let mut base64 = good();
    base64.files[0].bytes = "*".into();
    assert_eq!(post(base64).await.code, "AM-USE-01");
    let mut many = good();
    many.files = (0..13).map(|_| good().files.remove(0)).collect();
    assert_eq!(post(many).await.code, "AM-ECG-03");
    let entries: Vec<EntryInfo> = medic.client.get("/v1/threads/7K2/entries").await.unwrap();
    assert_eq!(entries, [], "nothing was stored");
}

#[tokio::test]
async fn people_are_added_removed_and_leave() {
    let (medic, doctor, relay) = pair().await;
    let nurse = Running::member(NURSE).await;
    medic.running.learn(&nurse).await;
    nurse.connect(&relay).await;
    let nurse = Served::over(nurse);
    let unknown = medic.found("7K2", &["Dr Who"]).await.unwrap_err();
    assert_eq!(unknown.code, "AM-USE-02");
    assert_eq!(medic.client.get::<Value>("/v1/threads").await.unwrap(), json!([]));
    medic.found("7K2", &["RN Becker"]).await.unwrap();
    let whom = json!({"person": "dr k"});
    let members = "/v1/threads/7K2/members";
    let _: Made = medic.client.post(members, &whom).await.unwrap();
    let twice = medic.client.post::<_, Made>(members, &whom).await.unwrap_err();
    assert_eq!(twice.code, "AM-THREAD-02");
    let count = async |served: &Served| {
        let threads: Vec<ThreadInfo> = served.client.get("/v1/threads").await.unwrap();
        threads.first().map_or(0, |thread| thread.members.len())
    };
    for served in [&medic, &doctor, &nurse] {
        until("all three are there", async || count(served).await == 3).await;
    }
    let info: ThreadInfo = nurse.client.get("/v1/threads/7k2").await.unwrap();
    let of = |name: &str| info.members.iter().find(|m| m.person == name).unwrap();
    assert_eq!((&*of("Dr K").role, of("Dr K").me), ("cardiologist", false));
    assert!(of("RN Becker").me && info.kind == "patient");
    let path = format!("{members}/{}", segment("Dr K"));
    let forbidden = nurse.client.delete::<Made>(&path).await.unwrap_err();
    assert_eq!((&*forbidden.code, forbidden.exit() as u8), ("AM-THREAD-01", 4));
    let _: Made = doctor
        .client
        .post("/v1/threads/7K2/leave", &json!({}))
        .await
        .unwrap();
    until("the doctor is gone", async || count(&medic).await == 2).await;
    let path = format!("{members}/{}", segment("RN Becker"));
    let _: Made = medic.client.delete(&path).await.unwrap();
    until("the nurse is gone", async || count(&medic).await == 1).await;
    let people: Vec<PersonInfo> = medic.client.get("/v1/people").await.unwrap();
    let names: Vec<&str> = people.iter().map(|p| &*p.person).collect();
    assert_eq!(names, ["Dr K", "RN Becker"]);
    assert!(
        people
            .iter()
            .all(|p| p.has_card && p.organisation == "Hospital North")
    );
}

#[tokio::test]
async fn the_node_tells_who_it_is_and_what_waits() {
    let medic = Running::member(MEDIC).await;
    let doctor = Running::member(DOCTOR).await;
    medic.learn(&doctor).await;
    let medic = Served::over(medic);
    medic.found("7K2", &["Dr K"]).await.unwrap();
    let entry = medic.note("7K2", "aspirin 300 mg").await;
    let view: NodeView = medic.client.get("/v1/node").await.unwrap();
    assert_eq!(view.schema, "aidmesh.node/1");
    assert_eq!(
        (&*view.organisation, &*view.person),
        ("Hospital North", "Medic A")
    );
    assert_eq!((view.roles, view.signed_on), (vec!["paramedic".to_owned()], true));
    assert_eq!((view.waiting, view.lease_days), ([0, 0, 1, 0, 0], 10));
    assert_eq!((view.fault, view.relays), (None, vec![]));
    let status = medic.status(&entry).await;
    assert_eq!((&*status.schema, &*status.kind), ("aidmesh.status/1", "note"));
    assert_eq!(status.recipients[0].line, "Stored here. Not sent yet.");
    let reloaded: Reloaded = medic.client.post("/v1/org/reload", &json!({})).await.unwrap();
    assert!(!reloaded.changed);
    medic
        .running
        .files
        .changed
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let reloaded: Reloaded = medic.client.post("/v1/org/reload", &json!({})).await.unwrap();
    assert!(reloaded.changed);
}

#[tokio::test]
async fn events_are_numbered_and_go_on_after_the_last_one() {
    let medic = Running::member(MEDIC).await;
    let doctor = Running::member(DOCTOR).await;
    medic.learn(&doctor).await;
    let medic = Served::over(medic);
    medic.found("7K2", &["Dr K"]).await.unwrap();
    let mut events = medic.client.events(None).await.unwrap();
    let first = medic.note("7K2", "first").await;
    let told = loop {
        let event = next(&mut events).await;
        if event.event == "delivery" {
            break event;
        }
    };
    assert_eq!(told.entry.as_deref(), Some(&*first));
    let recipient = told.recipient.unwrap();
    assert_eq!((&*recipient.person, &*recipient.state), ("Dr K", "stored"));
    let last = events.last().unwrap();
    drop(events);
    let second = medic.note("7K2", "second").await;
    let mut resumed = medic.client.events(Some(last)).await.unwrap();
    let mut numbers = vec![last];
    loop {
        let event = next(&mut resumed).await;
        if event.event != "waiting" {
            assert!(event.number > *numbers.last().unwrap(), "each once and in order");
            numbers.push(event.number);
        }
        assert_ne!(event.entry.as_deref(), Some(&*first), "nothing is told twice");
        if event.event == "delivery" && event.entry.as_deref() == Some(&*second) {
            break;
        }
    }
    // a number of another run of the node: everything of this run is told
    let mut all = medic.client.events(Some(1 << 40)).await.unwrap();
    assert!(next(&mut all).await.number < last);
    let (status, fault) = medic.raw("GET /v1/events?after=soon").await;
    assert_eq!((status, &*fault.code), (400, "AM-USE-01"));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_words() {
    let medic = Served::over(Running::member(MEDIC).await);
    medic.found("7K2", &[]).await.unwrap();
    let own = medic.note("7K2", "aspirin").await;
    let long = "x".repeat(300);
    let ack = format!("POST /v1/entries/{own}/ack\n\n{{\"act\":\"acknowledged\"}}");
    let recall = format!("POST /v1/entries/{own}/recall\n\n{{\"why\":\" \"}}");
    let file = format!("GET /v1/entries/{own}/files/0");
    let cases = [
        ("GET /v2/node", 404, "AM-USE-01"),
        ("GET /", 404, "AM-USE-01"),
        ("DELETE /v1/node", 405, "AM-USE-01"),
        ("GET /v1/threads/nothing", 404, "AM-USE-02"),
        ("GET /v1/threads/%FF", 400, "AM-USE-01"),
        ("GET /v1/entries/00000000-00000000-1", 404, "AM-USE-02"),
        ("GET /v1/entries/00000000-00000000-1/status", 404, "AM-USE-02"),
        ("GET /v1/inbox?limit=many", 400, "AM-USE-01"),
        ("POST /v1/threads\n\n{\"name\":", 400, "AM-USE-01"),
        ("POST /v1/threads\n\n{\"name\":\"a\"}", 400, "AM-USE-01"),
        (
            "POST /v1/threads\n\n{\"name\":\"a\",\"kind\":\"party\"}",
            400,
            "AM-USE-01",
        ),
        (
            "POST /v1/threads\n\n{\"name\":\"@directory\",\"kind\":\"patient\"}",
            422,
            "AM-USE-05",
        ),
        (
            "POST /v1/threads\n\n{\"name\":\" \",\"kind\":\"patient\"}",
            422,
            "AM-USE-05",
        ),
        ("POST /v1/threads/7K2/notes\n\n{\"text\":\" \"}", 422, "AM-USE-05"),
        (
            "POST /v1/threads/7K2/members\n\n{\"person\":\"Medic A\"}",
            409,
            "AM-THREAD-02",
        ),
        (&ack, 409, "AM-THREAD-02"),
        (&recall, 422, "AM-USE-05"),
        (&file, 404, "AM-USE-02"),
        (&format!("GET /v1/threads/{long}"), 422, "AM-USE-05"),
        (
            &format!("GET /v1/inbox?limit=1&x={}", long.repeat(4)),
            422,
            "AM-USE-05",
        ),
    ];
    for (request, status, code) in cases {
        let (answered, fault) = medic.raw(request).await;
        assert_eq!((answered, &*fault.code), (status, code), "{request}: {fault:?}");
        assert!(!fault.means.is_empty() && !fault.next.is_empty());
    }
    let secret = "POST /v1/threads/7K2/notes\n\n{\"text\": \"Mrs Smith\" \"}";
    let (_, fault) = medic.raw(secret).await;
    assert!(!format!("{fault:?}").contains("Smith"), "{fault:?}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_below_is_read() {
    let medic = Served::over(Running::member(MEDIC).await);
    medic.found("7K2", &[]).await.unwrap();
    let padded = |bytes: usize| {
        format!(
            "POST /v1/threads/7K2/notes\n\n{{\"text\":\"{}\"}}",
            "x".repeat(bytes)
        )
    };
    // long for a note, and read
    let (status, fault) = medic.raw(&padded(BODY_BYTES_MAX - 100)).await;
    assert_eq!((status, &*fault.code), (422, "AM-USE-05"));
    let (status, fault) = medic.raw(&padded(BODY_BYTES_MAX)).await;
    assert_eq!((status, &*fault.code), (413, "AM-USE-05"));
    let (status, _) = medic.raw(&padded(2 * BODY_BYTES_MAX)).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn closing_ends_streams_and_takes_the_socket_away() {
    let mut medic = Served::over(Running::member(MEDIC).await);
    let mut events = medic.client.events(None).await.unwrap();
    medic.stop.take().unwrap().send(()).unwrap();
    assert!(events.next().await.is_none(), "the stream ends");
    medic.task.await.unwrap();
    assert!(!medic.folder.path().join("socket").exists());
    // the node itself goes on, and another API can be opened over it
    let again = Served::over(medic.running);
    let _: NodeView = again.client.get("/v1/node").await.unwrap();
    let Served { running, client, .. } = again;
    running.stop().await;
    let fault = client.get::<Value>("/v1/threads").await.unwrap_err();
    assert_eq!(fault.code, "AM-NODE-04");
    let view: NodeView = client.get("/v1/node").await.unwrap();
    assert_eq!(view.person, "Medic A", "it still says who it is");
}

const PAGE: &str = include_str!("../../../docs/reference/api.md");

#[tokio::test]
async fn every_route_of_the_reference_is_served() {
    let medic = Served::over(Running::member(MEDIC).await);
    let quoted = PAGE.split('`').skip(1).step_by(2);
    let routes = quoted.filter(|text| {
        let methods = ["GET /", "POST /", "DELETE /"];
        methods.iter().any(|method| text.starts_with(method))
    });
    let routes: std::collections::BTreeSet<&str> = routes.collect();
    assert_eq!(routes.len(), 20, "{routes:?}");
    for route in routes.into_iter().filter(|route| !route.ends_with("/events")) {
        let path = route
            .replace("{id}", "nothing")
            .replace("{person}", "nobody")
            .replace("{n}", "0");
        let mut stream = UnixStream::connect(medic.socket()).await.unwrap();
        let request = format!("{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        for none in ["the API has no such path", "does not take this method"] {
            assert!(!answer.contains(none), "{route}: {answer}");
        }
    }
}

#[test]
fn the_examples_of_the_reference_have_the_fields_of_the_types() {
    let fences: Vec<&str> = PAGE.split("```json\n").skip(1).collect();
    let examples = fences.iter().map(|rest| rest.split("```").next().unwrap());
    let [ecg, status, event, error] = <[&str; 4]>::try_from(examples.collect::<Vec<_>>()).unwrap();
    let same = |text: &str, read: Value| {
        assert_eq!(read, serde_json::from_str::<Value>(text).unwrap(), "{text}");
    };
    let value = |read: Result<Value, serde_json::Error>| read.unwrap();
    same(
        ecg,
        value(serde_json::from_str::<NewEcg>(ecg).and_then(serde_json::to_value)),
    );
    same(
        status,
        value(serde_json::from_str::<Status>(status).and_then(serde_json::to_value)),
    );
    same(
        event,
        value(serde_json::from_str::<EventInfo>(event).and_then(serde_json::to_value)),
    );
    let error: Value = serde_json::from_str(error).unwrap();
    let fault: Fault = serde_json::from_value(error["error"].clone()).unwrap();
    let known = crate::fault::known(&fault.code).unwrap();
    assert_eq!((&*fault.means, &*fault.next), (known.means, known.next));
}
