//! Stories of a relay process on loopback.

use crate::people::{Device, Organisation, PATIENCE, name_of, wait_for};
use crate::program::{Program, card_text, key_of};
use aidmesh_core::delivery::State as Word;
use aidmesh_core::directory::Role;
use aidmesh_core::id::{Handle, Key8};
use aidmesh_core::machine::command::{Command, EntryRef};
use aidmesh_core::machine::event::Event;
use aidmesh_host::uplink::{PathState, Refusal, State};
use data_encoding::HEXLOWER;
use std::path::Path;

const TEXT: &str = "aspirin 300 mg given, chest pain since noon";

fn at_relay(entry: EntryRef) -> impl FnMut(&Event) -> Option<()> {
    move |event| {
        let is =
            matches!(event, Event::Delivery { entry: e, state: Word::AtRelay { .. }, .. } if *e == entry);
        is.then_some(())
    }
}

/// An entry waits at the relay through a kill and a restart; its words come back; nothing of it, of its
/// people and of their keys is in what the relay stores, logs, prints or measures.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_waits_at_a_relay_that_is_killed_and_cannot_read_it() {
    let (north, program) = (Organisation::new("Hospital North", 1), Program::new());
    let card = program.init(&north);
    let (key, address) = (key_of(&card), card["address"].as_str().unwrap());
    let relay = program.run();
    let mut medic = Device::new(&north, 11, Role::Paramedic, key).await;
    let mut doctor = Device::new(&north, 12, Role::Physician, key).await;
    let thread = medic.thread_with(&doctor, Role::Physician).await;
    let mut feed = medic.handle.follow(0);
    let entry = medic.note(thread, TEXT).await;
    let _paths = medic.call(address, key);
    wait_for(&mut feed, at_relay(entry)).await;
    medic.hang_up();
    let status = relay.status();
    assert!(status["kept"]["receipts"].as_u64().unwrap() > 0, "{status}");
    let items = status["kept"]["items"].as_u64().unwrap();
    assert!(
        items > 2
            && relay
                .get("/metrics")
                .1
                .contains(&format!("aidmesh_relay_items {items}\n"))
    );
    relay.kill();

    let relay = program.run();
    assert_eq!(relay.status()["kept"]["items"], items);
    assert_eq!(relay.status()["kept"]["restored"], false);
    let mut arrivals = doctor.handle.follow(0);
    let _paths = doctor.call(address, key);
    let arrived = |event: &Event| match event {
        Event::Arrived { entry, .. } => Some(*entry),
        _ => None,
    };
    assert_eq!(wait_for(&mut arrivals, arrived).await, entry);
    let _paths = medic.call(address, key);
    wait_for(&mut feed, |event| {
        let is = matches!(event, Event::Delivery { entry: e, state: Word::Delivered(_), .. } if *e == entry);
        is.then_some(())
    })
    .await;

    let told = [relay.get("/metrics").1, relay.get("/status").1].concat();
    let (code, said) = relay.stop();
    assert_eq!(code, Some(0));
    assert!(
        said.contains("{\"event\":\"stopped\"}") && said.contains("stopped"),
        "{said}"
    );
    for device in [medic, doctor] {
        nothing_is_told_of(&device, &program, &said, &told);
        device.stop().await;
    }
    // the search finds what is there
    assert!(told.contains("aidmesh_relay_items") && said.contains("link up"));
    let public = card["key"].as_str().unwrap().as_bytes();
    assert!(found(&program.data(), public).is_some());
}

/// `said` was logged and printed, `told` was measured.
fn nothing_is_told_of(device: &Device, program: &Program, said: &str, told: &str) {
    let member = device.identity.member.as_ref().unwrap();
    let (inbox, routing) = (member.inbox.public(), device.identity.routing.public());
    let secrets = [
        TEXT,
        &name_of(device.n),
        &HEXLOWER.encode(&routing),
        &HEXLOWER.encode(&inbox),
    ];
    for secret in secrets {
        assert!(
            !said.contains(secret) && !told.contains(secret),
            "{secret} in\n{said}\n{told}"
        );
        assert_eq!(found(&program.data(), secret.as_bytes()), None, "{secret}");
    }
    // the organisation's name stands on its card in the folder; a title of three letters is there by chance
    for name in ["Hospital North", "7K2"] {
        assert!(
            !said.contains(name) && !told.contains(name),
            "{name} in\n{said}\n{told}"
        );
    }
    // of ids, a log has 8 digits at most and a metric none but the organisation's
    let ids = [Handle::of_key(&inbox).0, Key8::of_key(&routing).0];
    for id in ids.map(|id| HEXLOWER.encode(&id)) {
        assert!(!said.contains(&id), "{id} in\n{said}");
        assert!(!told.contains(&id[..8]), "{id} in\n{told}");
    }
}

/// The file below `folder` that holds these bytes.
fn found(folder: &Path, what: &[u8]) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let hit = match path.is_dir() {
            true => found(&path, what),
            false => {
                let bytes = std::fs::read(&path).unwrap();
                bytes.windows(what.len()).any(|at| at == what).then_some(path)
            }
        };
        if hit.is_some() {
            return hit;
        }
    }
    None
}

type Paths = tokio::sync::watch::Receiver<Vec<PathState>>;

/// Waits until the way to the relay is so.
async fn path(paths: &mut Paths, mut so: impl FnMut(State) -> bool) {
    let so = paths.wait_for(|paths| paths.first().is_some_and(|path| so(path.state)));
    tokio::time::timeout(PATIENCE, so)
        .await
        .expect("it happens")
        .unwrap();
}

fn up(state: State) -> bool {
    matches!(state, State::Up { .. })
}

fn refused(reason: Refusal) -> impl FnMut(State) -> bool {
    move |state| matches!(state, State::Refused { why, .. } if why == reason)
}

/// A device of another organisation is told why it is not let in, until its card is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_with_the_reason_until_its_card_is_there() {
    let (north, south) = (Organisation::new("North", 1), Organisation::new("South", 2));
    let program = Program::new();
    let card = program.init(&north);
    let (key, address) = (key_of(&card), card["address"].as_str().unwrap());
    let relay = program.run();
    let mut stranger = Device::new(&south, 21, Role::Paramedic, key).await;
    path(&mut stranger.call(address, key), refused(Refusal::Organisation)).await;
    stranger.hang_up();
    let metrics = relay.get("/metrics").1;
    assert!(metrics.contains("aidmesh_relay_refused_total{reason=\"not_served\"} "));
    assert!(!metrics.contains("reason=\"not_served\"} 0"), "{metrics}");
    assert_eq!(relay.stop().0, Some(0));
    let other = program.folder.path().join("south.card");
    std::fs::write(&other, card_text(&south)).unwrap();
    let done = program.call(&["trust", other.to_str().unwrap()]);
    assert!(done.status.success());
    let relay = program.run();
    path(&mut stranger.call(address, key), up).await;
    assert_eq!(relay.stop().0, Some(0));
    stranger.stop().await;
}

/// A revocation that one device brings ends the link of another one, which does not get in again.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_device_is_sent_away_while_it_is_there() {
    let (north, program) = (Organisation::new("North", 1), Program::new());
    let card = program.init(&north);
    let (key, address) = (key_of(&card), card["address"].as_str().unwrap());
    let relay = program.run();
    let mut lost = Device::new(&north, 22, Role::Paramedic, key).await;
    let mut paths = lost.call(address, key);
    path(&mut paths, up).await;
    let mut medic = Device::new(&north, 23, Role::Paramedic, key).await;
    let revocation = north.revocation(lost.identity.routing.public()).into();
    medic
        .handle
        .command(Command::Revoke { revocation })
        .await
        .unwrap();
    let mut others = medic.call(address, key);
    path(&mut paths, refused(Refusal::Revoked)).await;
    path(&mut others, up).await;
    assert!(!relay.get("/metrics").1.contains("reason=\"revoked\"} 0"));
    assert_eq!(relay.stop().0, Some(0));
    for device in [lost, medic] {
        device.stop().await;
    }
}

/// A backup lacks what was signed for since. The relay says so, the word falls back, the item comes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_relay_says_so_and_is_given_again_what_it_lacks() {
    let (north, program) = (Organisation::new("North", 1), Program::new());
    let card = program.init(&north);
    let (key, address) = (key_of(&card), card["address"].as_str().unwrap());
    let mut medic = Device::new(&north, 41, Role::Paramedic, key).await;
    let doctor = Device::new(&north, 42, Role::Physician, key).await;
    let thread = medic.thread_with(&doctor, Role::Physician).await;
    let mut feed = medic.handle.follow(0);
    let _paths = medic.call(address, key);
    let relay = program.run();
    let first = medic.note(thread, "before the backup").await;
    wait_for(&mut feed, at_relay(first)).await;
    assert_eq!(relay.stop().0, Some(0));
    program.back_up();
    let relay = program.run();
    let second = medic.note(thread, "after the backup").await;
    wait_for(&mut feed, at_relay(second)).await;
    let items = relay.status()["kept"]["items"].as_u64().unwrap();
    assert_eq!(relay.stop().0, Some(0));
    program.restore();
    let mut feed = medic.handle.follow(medic.handle.newest());
    let relay = program.run();
    assert_eq!(relay.status()["kept"]["restored"], true);
    wait_for(&mut feed, |event| {
        let is = matches!(event, Event::Delivery { entry: e, state: Word::Stored, .. } if *e == second);
        is.then_some(())
    })
    .await;
    wait_for(&mut feed, at_relay(second)).await;
    assert!(relay.status()["kept"]["items"].as_u64().unwrap() >= items);
    assert_eq!(relay.stop().0, Some(0));
    let relay = program.run();
    assert_eq!(relay.status()["kept"]["restored"], false);
    assert_eq!(relay.stop().0, Some(0));
    for device in [medic, doctor] {
        device.stop().await;
    }
}

#[test]
fn errors_have_a_code_and_an_exit_code() {
    let (north, program) = (Organisation::new("North", 1), Program::new());
    let failed = |words: &[&str]| {
        let done = program.call(words);
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, text) = failed(&["status", "--admin", "127.0.0.1:9"]);
    assert!(
        code == Some(1) && text.starts_with("AM-RELAY-01: no relay runs here"),
        "{text}"
    );
    let (code, text) = failed(&["run"]);
    assert!(code == Some(1) && text.starts_with("AM-RELAY-03: "), "{text}");
    let (code, text) = failed(&["init", "--org", "nonsense"]);
    assert!(code == Some(1) && text.starts_with("AM-RELAY-05: "), "{text}");
    assert_eq!(failed(&["run", "--break", "blind"]).0, Some(2));
    program.init(&north);
    let (code, text) = failed(&["run", "--admin", "0.0.0.0:0"]);
    assert!(code == Some(2) && text.starts_with("AM-RELAY-06: "), "{text}");
    let (code, text) = failed(&["--json", "status"]);
    let error: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(
        code == Some(1) && error["error"]["code"] == "AM-RELAY-01",
        "{text}"
    );
    // one relay a folder, one a port
    let relay = program.run();
    let (code, text) = failed(&["run"]);
    assert!(
        code == Some(1) && text.starts_with("AM-RELAY-09: ") && text.contains("process"),
        "{text}"
    );
    let (code, text) = failed(&["init", "--org", &card_text(&north)]);
    assert!(code == Some(1) && text.starts_with("AM-RELAY-02: "), "{text}");
    let line = String::from_utf8(program.call(&["card"]).stdout).unwrap();
    assert!(
        line.starts_with("North-1 127.0.0.1:") && line.ends_with('\n'),
        "{line}"
    );
    let admin = relay.admin.to_string();
    let status = program.call(&["status", "--admin", &admin]);
    assert!(status.status.success() && status.stdout.starts_with(b"Relay "));
    assert_eq!(relay.stop().0, Some(0));
}

/// What cannot be kept is not signed for: the relay says that it is not ready, and ends with an error. What
/// it signed for before is there again once the disk has room.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_on_a_full_disk_says_so_and_ends() {
    let (north, program) = (Organisation::new("North", 1), Program::new());
    let card = program.init(&north);
    let (key, address) = (key_of(&card), card["address"].as_str().unwrap());
    let relay = program.run();
    assert_eq!(relay.stop().0, Some(0));
    let relay = program.run_on_a_full_disk();
    assert_eq!(relay.get("/readyz").1, "ready\n");
    let mut medic = Device::new(&north, 31, Role::Paramedic, key).await;
    let doctor = Device::new(&north, 32, Role::Physician, key).await;
    let thread = medic.thread_with(&doctor, Role::Physician).await;
    let _paths = medic.call(address, key);
    let admin = relay.admin;
    let not_ready = tokio::task::spawn_blocking(move || {
        let began = std::time::Instant::now();
        loop {
            let (line, body) = relay.get("/readyz");
            // a busy computer may be slow to answer before the disk is full
            if !line.contains(" 200 ") && body != "the machine does not answer\n" {
                return (line, body, relay);
            }
            assert!(began.elapsed() < PATIENCE, "still ready");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let mut sent = 0;
    while !not_ready.is_finished() && sent < 400 {
        medic.long_note(thread).await;
        sent += 1;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let (line, body, relay) = not_ready.await.unwrap();
    assert_eq!(
        (line.as_str(), body.as_str()),
        ("HTTP/1.1 503 Service Unavailable", "the store cannot save\n")
    );
    assert!(relay.get("/healthz").0.contains(" 200 "), "{admin}");
    let (code, said) = relay.ended();
    assert!(
        code == Some(1) && said.contains("AM-RELAY-08") && !said.contains("refused"),
        "{code:?} {said}"
    );
    let relay = program.run();
    assert!(relay.status()["kept"]["items"].as_u64().unwrap() > 0);
    assert_eq!(relay.stop().0, Some(0));
    for device in [medic, doctor] {
        device.stop().await;
    }
}

#[test]
fn systemd_is_told_ready_alive_and_stopping() {
    let (north, program) = (Organisation::new("North", 1), Program::new());
    program.init(&north);
    let path = program.folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut told = [0; 256];
        let n = socket.recv(&mut told).unwrap();
        String::from_utf8_lossy(&told[..n]).trim().to_owned()
    };
    let relay = program.run_with("NOTIFY_SOCKET", path.to_str().unwrap());
    assert_eq!(next(), "READY=1");
    assert_eq!([next(), next()], ["WATCHDOG=1", "WATCHDOG=1"]);
    assert_eq!(relay.stop().0, Some(0));
    let last = std::iter::repeat_with(next).find(|told| told != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1\nSTATUS=stopping"));
}
