//! Stories of a relay process on loopback.

use crate::people::{Device, Organisation, PATIENCE, name_of, wait_for};
use crate::program::{Program, card_text, key_of};
use aidmesh_core::delivery::State as Word;
use aidmesh_core::directory::Role;
use aidmesh_core::id::{Handle, Key8};
use aidmesh_core::machine::command::{Command, EntryRef};
use aidmesh_core::machine::event::Event;
use aidmesh_host::uplink::{Refusal, State};
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

    let (metrics, status) = (relay.get("/metrics").1, relay.get("/status").1);
    let (code, said) = relay.stop();
    assert_eq!(code, Some(0));
    assert!(
        said.contains("{\"event\":\"stopped\"}") && said.contains("stopped"),
        "{said}"
    );
    // of ids, a log has 8 digits at most and a metric none but the organisation's
    for device in [&medic, &doctor] {
        let inbox = device.identity.member.as_ref().unwrap().inbox.public();
        let ids = [
            Handle::of_key(&inbox).0,
            Key8::of_key(&device.identity.routing.public()).0,
        ];
        for id in ids.map(|id| HEXLOWER.encode(&id)) {
            assert!(!said.contains(&id), "{id} in\n{said}");
            assert!(!metrics.contains(&id[..8]) && !status.contains(&id[..8]), "{id}");
        }
    }
    let seen = said + &metrics + &status;
    let clear: Vec<Vec<u8>> = vec![
        TEXT.into(),
        name_of(11).into(),
        name_of(12).into(),
        "Hospital North".into(),
        b"7K2".to_vec(),
        HEXLOWER.encode(&medic.identity.routing.public()).into(),
        HEXLOWER.encode(&doctor.identity.routing.public()).into(),
        HEXLOWER
            .encode(&doctor.identity.member.as_ref().unwrap().inbox.public())
            .into(),
    ];
    for secret in &clear {
        let text = String::from_utf8_lossy(secret);
        assert!(!seen.contains(&*text), "{text} in\n{seen}");
        // the organisation's name stands on its card, which is public
        if text != "Hospital North" && text != "7K2" {
            assert_eq!(found(&program.data(), secret), None, "{text}");
        }
    }
    // the search finds what is there
    assert!(seen.contains("aidmesh_relay_items"));
    assert!(found(&program.data(), card["key"].as_str().unwrap().as_bytes()).is_some());
    for device in [medic, doctor] {
        device.stop().await;
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

/// A device of another organisation is told why it is not let in; so is one that is revoked while it is here.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_the_revoked_are_refused_with_the_reason() {
    let (north, south, program) = (
        Organisation::new("North", 1),
        Organisation::new("South", 2),
        Program::new(),
    );
    let card = program.init(&north);
    let (key, address) = (key_of(&card), card["address"].as_str().unwrap().to_owned());
    let relay = program.run();
    let refused = async |device: &mut Device| {
        let mut paths = device.call(&address, key);
        let told =
            paths.wait_for(|paths| matches!(paths.first().map(|p| p.state), Some(State::Refused { .. })));
        let told = tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
        match told[0].state {
            State::Refused { why, .. } => why,
            other => panic!("{other:?}"),
        }
    };
    let mut stranger = Device::new(&south, 21, Role::Paramedic, key).await;
    assert_eq!(refused(&mut stranger).await, Refusal::Organisation);
    stranger.hang_up();

    // a device of the organisation brings the revocation of another one, which is here
    let mut lost = Device::new(&north, 22, Role::Paramedic, key).await;
    let mut paths = lost.call(&address, key);
    let up = paths.wait_for(|paths| matches!(paths.first().map(|p| p.state), Some(State::Up { .. })));
    tokio::time::timeout(PATIENCE, up).await.unwrap().unwrap();
    let mut medic = Device::new(&north, 23, Role::Paramedic, key).await;
    let revocation = north.revocation(lost.identity.routing.public()).into();
    medic
        .handle
        .command(Command::Revoke { revocation })
        .await
        .unwrap();
    let _paths = medic.call(&address, key);
    let told = paths.wait_for(|paths| {
        matches!(
            paths.first().map(|p| p.state),
            Some(State::Refused {
                why: Refusal::Revoked,
                ..
            })
        )
    });
    tokio::time::timeout(PATIENCE, told)
        .await
        .expect("its link ends and it is refused")
        .unwrap();

    let metrics = relay.get("/metrics").1;
    assert!(
        metrics.contains("aidmesh_relay_refused_total{reason=\"not_served\"} "),
        "{metrics}"
    );
    assert!(
        !metrics.contains("reason=\"not_served\"} 0") && !metrics.contains("reason=\"revoked\"} 0"),
        "{metrics}"
    );
    assert_eq!(relay.stop().0, Some(0));

    // from the next start after `trust` the stranger is served
    let other = program.folder.path().join("south.card");
    std::fs::write(&other, card_text(&south)).unwrap();
    assert!(program.call(&["trust", other.to_str().unwrap()]).status.success());
    let relay = program.run();
    let mut paths = stranger.call(&address, key);
    let up = paths.wait_for(|paths| matches!(paths.first().map(|p| p.state), Some(State::Up { .. })));
    tokio::time::timeout(PATIENCE, up).await.unwrap().unwrap();
    assert_eq!(relay.stop().0, Some(0));
    for device in [stranger, lost, medic] {
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
