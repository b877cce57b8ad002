//! What a device says when its relay is gone, is another one, or does not let it in; what it keeps meanwhile.

use std::time::Instant;

use serde_json::Value;

use super::LAYER;
use super::child::{LIMIT, wait_for};
use super::world::{DESK, DOCTOR, MEDIC, THREAD, World, entry_of, states, text};
use crate::harness::Test;

pub(super) fn tests() -> Vec<Test> {
    vec![
        with_a_dead_relay_it_stays_stored_and_says_no_more(),
        a_relay_of_another_key_gets_nothing(),
        a_revoked_device_is_refused_with_the_reason(),
    ]
}

fn with_a_dead_relay_it_stays_stored_and_says_no_more() -> Test {
    Test::new(
        LAYER,
        "with_a_dead_relay_it_stays_stored_and_says_no_more",
        || {
            let world = pair();
            let desk = world.run(DESK);
            let doctor = world.run(DOCTOR.0);
            let medic = world.run(MEDIC.0);
            let relay = world.run_relay();
            world.found(MEDIC.0, DOCTOR.1);
            let first = world.note(MEDIC.0, "all is well");
            world.reached(MEDIC.0, &first, "delivered");
            relay.kill();

            let mut send = world.command(MEDIC.0, &["send", THREAD, "nobody hears"]);
            let begun = Instant::now();
            let output = send
                .args(["--wait", "delivered", "--timeout", "2s"])
                .output()
                .unwrap();
            assert!(begun.elapsed() < LIMIT);
            assert_eq!(output.status.code(), Some(3), "stored, not delivered in time");
            let said = super::world::objects(&output).pop().unwrap();
            assert_eq!(said["reached"], false, "{said}");
            assert_eq!(states(&said["status"]), ["stored"]);
            let way = way(&world, |way| way["state"] == "trying");
            assert!(way["why"].is_string(), "{way}");

            // the same word as long as nobody took it; then it goes on by itself
            let late = entry_of(&said);
            assert_eq!(states(&world.call(MEDIC.0, &["status", &late])), ["stored"]);
            let relay = world.run_relay();
            world.reached(MEDIC.0, &late, "delivered");
            for process in [medic, doctor, desk, relay] {
                assert!(process.stop().success());
            }
            Ok(())
        },
    )
}

fn a_relay_of_another_key_gets_nothing() -> Test {
    Test::new(LAYER, "a_relay_of_another_key_gets_nothing", || {
        let world = pair();
        let card = text(&world.call(DESK, &["org", "card"]), "card");
        world.make_relay("impostor", &card);
        let impostor = world.run_relay_of("impostor");
        let _medic = world.run(MEDIC.0);
        world.call(MEDIC.0, &["thread", "new", THREAD, "--kind", "patient"]);
        world.note(MEDIC.0, "for the agreed relay alone");
        let shown = way(&world, |way| way["state"] != "up" && way["why"].is_string());
        let why = text(&shown, "why");
        assert!(why.contains("not the relay") || why.contains("key"), "{shown}");
        assert!(!impostor.said().contains("link up"), "{}", impostor.said());
        Ok(())
    })
}

fn a_revoked_device_is_refused_with_the_reason() -> Test {
    Test::new(LAYER, "a_revoked_device_is_refused_with_the_reason", || {
        let world = pair();
        let _relay = world.run_relay();
        let _desk = world.run(DESK);
        let _doctor = world.run(DOCTOR.0);
        let medic = world.run(MEDIC.0);
        way(&world, |way| way["state"] == "up");
        world.call(DESK, &["org", "revoke", MEDIC.1, "--yes"]);
        let shown = way(&world, |way| way["state"] == "refused");
        let why = text(&shown, "why");
        assert!(why.contains("revoked"), "{why}");
        // what it has stays readable there, and it stays refused after a restart
        assert!(medic.stop().success());
        let _medic = world.run(MEDIC.0);
        let shown = way(&world, |way| way["state"] == "refused");
        assert!(text(&shown, "why").contains("revoked"), "{shown}");
        Ok(())
    })
}

/// A medic and a doctor; nothing runs.
fn pair() -> World {
    let world = World::new();
    world.enrol(MEDIC, "paramedic");
    world.enrol(DOCTOR, "cardiologist");
    world
}

/// Waits until the medic's way to the relay is so.
fn way(world: &World, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("a state of the way to the relay", || {
            last = world.get(MEDIC.0, "/v1/node")["relays"][0].clone();
            is_so(&last).then(|| last.clone())
        })
    }));
    found.unwrap_or_else(|_| panic!("the way is {last}"))
}
