use super::*;
use crate::fault;
use std::fs;
use std::fs::Permissions;

fn states(checks: &[Check]) -> Vec<(&str, State)> {
    checks
        .iter()
        .map(|check| (check.name.as_str(), check.state))
        .collect()
}

fn relay(state: &str) -> RelayView {
    RelayView {
        name: "North-1".into(),
        address: "relay.example:7443".into(),
        key: "00".into(),
        state: state.into(),
        since_ms: 1_763_993_342_123,
        rtt_ms: (state == "up").then_some(41),
        why: (state != "up").then(|| "no answer".into()),
    }
}

fn view() -> NodeView {
    NodeView {
        schema: "aidmesh.node/1".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        organisation: "North".into(),
        person: "Medic A".into(),
        device8: "5be1d07a".into(),
        roles: Vec::new(),
        signed_on: true,
        lease_days: 21,
        waiting: [0; 5],
        relays: vec![relay("up")],
        fault: None,
    }
}

#[test]
fn whatever_is_not_fine_says_how_to_fix_it() {
    let odd = NodeView {
        version: "0.0.0".into(),
        lease_days: -1,
        relays: vec![relay("trying"), relay("refused")],
        fault: Some(fault::of("AM-STORE-03")),
        ..view()
    };
    let bare = NodeView {
        lease_days: 3,
        relays: Vec::new(),
        ..view()
    };
    let mut checks = of_view(&odd, 0);
    checks.extend(of_view(&bare, 0));
    checks.extend([
        clock(0),
        room(Ok(0)),
        room(Ok(FREE_BYTES_BAD)),
        room(Err(rustix::io::Errno::IO)),
    ]);
    checks.extend(folder(Path::new("/nowhere/at/all")));
    let found: Vec<(State, bool)> = checks.iter().map(|c| (c.state, c.fix.is_some())).collect();
    assert!(
        found.iter().all(|(state, fix)| (*state != State::Ok) == *fix),
        "{checks:?}"
    );
    assert_eq!(
        states(&of_view(&odd, 0)),
        [
            ("node", State::Warn),
            ("store", State::Bad),
            ("lease", State::Bad),
            ("relay North-1", State::Warn),
            ("relay North-1", State::Bad),
        ]
    );
    assert_eq!(
        states(&of_view(&bare, 0)),
        [
            ("node", State::Ok),
            ("lease", State::Warn),
            ("relay", State::Warn),
        ]
    );
}

#[test]
fn a_device_that_is_well_is_said_so() {
    let checks = of_view(&view(), 1_763_993_343_000);
    assert!(checks.iter().all(|check| check.state == State::Ok), "{checks:?}");
    assert_eq!(
        checks[2].found,
        "up since 14:09:02 UTC, 41 ms there and back, over UDP to relay.example:7443"
    );
    assert_eq!(clock(now_ms()).state, State::Ok);
    assert_eq!(room(Ok(FREE_BYTES_ODD)).state, State::Ok);
}

#[test]
fn a_folder_is_looked_at_from_outside() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("d");
    let first = |data: &Path| folder(data)[0].clone();
    assert_eq!(first(&data).state, State::Bad);
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
    assert!(first(&data).found.contains("not one of aidmesh"));
    fs::write(data.join("format"), "").unwrap();
    assert_eq!(
        states(&folder(&data))[..2],
        [("data folder", State::Ok), ("vault", State::Bad)]
    );
    fs::write(data.join("vault"), "").unwrap();
    assert_eq!(folder(&data)[1].state, State::Ok);
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    let open = first(&data);
    assert!(
        open.state == State::Warn && open.found.contains("755"),
        "{open:?}"
    );
}
