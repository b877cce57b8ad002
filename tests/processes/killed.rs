//! What a node called stored survives the node: killed in the middle of its work, again and again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::child::{Process, wait_for};
use super::world::{DOCTOR, MEDIC, THREAD, World, entry_of, objects, text};
use super::{LAYER, long};
use crate::harness::Test;

/// Times that the node is killed.
const ROUNDS: u64 = 8;
const ROUNDS_LONG: u64 = 60;
/// Notes of one round at most: in an hour a relay takes 256 KiB of them from a device (PROTOCOL, *Mailbox*).
const NOTES_MAX: usize = 6;
/// Steps of the moment at which it is killed, milliseconds.
const STEP_MS: u64 = 37;
const STEPS: u64 = 17;

pub(super) fn tests() -> Vec<Test> {
    vec![Test::new(
        LAYER,
        "a_killed_node_loses_nothing_that_it_called_stored",
        || {
            let world = World::new();
            world.enrol(MEDIC, "paramedic");
            world.enrol(DOCTOR, "cardiologist");
            let relay = world.run_relay();
            let desk = world.run(super::world::DESK);
            let doctor = world.run(DOCTOR.0);
            let mut medic = world.run(MEDIC.0);
            world.found(MEDIC.0, DOCTOR.1);

            let mut stored = BTreeMap::new();
            let rounds = if long() { ROUNDS_LONG } else { ROUNDS };
            for round in 0..rounds {
                let wait = Duration::from_millis(40 + round * 7 % STEPS * STEP_MS);
                let before = stored.len();
                write_until_killed(&world, medic, wait, round, &mut stored);
                medic = world.run(MEDIC.0);
                assert_all_there(&world, MEDIC.0, &stored);
                println!("round {round}: {} notes stored, all there", stored.len() - before);
            }
            assert!(stored.len() as u64 > rounds, "{} notes", stored.len());

            // what was stored goes on by itself, and arrives once
            wait_for("all notes at the doctor", || {
                let there = shown(&world, DOCTOR.0);
                let here = |entry: &String| there.iter().any(|one| one["entry"] == **entry);
                stored.keys().all(here).then_some(())
            });
            assert_all_there(&world, DOCTOR.0, &stored);
            for process in [medic, doctor, desk, relay] {
                assert!(process.stop().success());
            }
            Ok(())
        },
    )]
}

/// Sends notes while the node is killed. What the command line reported goes into `stored`.
fn write_until_killed(
    world: &World,
    node: Process,
    wait: Duration,
    round: u64,
    stored: &mut BTreeMap<String, String>,
) {
    let gone = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(wait);
            node.kill();
            gone.store(true, Ordering::Release);
        });
        for number in 0..NOTES_MAX {
            let note = format!("round {round} note {number}");
            let output = world.command(MEDIC.0, &["send", THREAD, &note]).output().unwrap();
            // an answer that is cut off says nothing; one that is whole says stored
            if let Some(made) = objects(&output).pop().filter(|_| output.status.success()) {
                let twice = stored.insert(entry_of(&made), note);
                assert_eq!(twice, None, "two notes have one id");
            } else if gone.load(Ordering::Acquire) {
                return;
            }
        }
    });
}

/// Every stored note is shown exactly once, under its id and with its text.
#[track_caller]
fn assert_all_there(world: &World, who: &str, stored: &BTreeMap<String, String>) {
    let shown = shown(world, who);
    for (entry, note) in stored {
        let by_id: Vec<_> = shown.iter().filter(|one| one["entry"] == **entry).collect();
        let texts = shown.iter().filter(|one| one["text"] == **note).count();
        assert_eq!((by_id.len(), texts), (1, 1), "{who}: {entry} {note}");
        assert_eq!(text(by_id[0], "text"), *note);
    }
}

/// All entries of the thread, more than a person is shown at once.
fn shown(world: &World, who: &str) -> Vec<serde_json::Value> {
    let thread = text(&threads(world, who), "thread");
    let (mut all, mut before) = (Vec::new(), String::new());
    loop {
        let page = world.get(who, &format!("/v1/threads/{thread}/entries?limit=1000{before}"));
        let page = page.as_array().unwrap();
        let Some(first) = page.first() else { return all };
        before = format!("&before={}", text(first, "entry"));
        all.extend(page.iter().cloned());
    }
}

fn threads(world: &World, who: &str) -> serde_json::Value {
    let threads = world.list(who, &["thread", "list"]);
    let mut named = threads.into_iter().filter(|thread| thread["name"] == THREAD);
    named.next().unwrap()
}
