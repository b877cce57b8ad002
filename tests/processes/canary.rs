//! Nothing that people wrote, nobody's name and no secret in the clear: not in what the programs tell at
//! their most talkative, not in a file of a data folder.

use std::path::{Path, PathBuf};

use super::LAYER;
use super::child::Process;
use super::world::{ADMINISTRATOR, DESK, DOCTOR, MEDIC, THREAD, World, entry_of};
use crate::harness::Test;

const NOTE: &str = "Canary-Pelargonium has chest pain";
const REASON: &str = "Canary-Wisteria was the wrong patient";

pub(super) fn tests() -> Vec<Test> {
    vec![Test::new(
        LAYER,
        "nothing_of_people_is_in_logs_or_folders_in_the_clear",
        || {
            let world = World::new();
            world.enrol(MEDIC, "paramedic");
            world.enrol(DOCTOR, "cardiologist");
            let relay = world.run_relay();
            let nodes = [DESK, MEDIC.0, DOCTOR.0].map(|who| world.run(who));
            work(&world);
            let [desk, medic, doctor] = nodes;
            // killed and started again, so that what a store writes at its start is searched too
            medic.kill();
            let medic = world.run(MEDIC.0);
            assert!(!world.entries(MEDIC.0).is_empty());
            let logs = [&relay, &desk, &medic, &doctor].map(Process::said);
            for process in [medic, doctor, desk, relay] {
                assert!(process.stop().success());
            }

            let secrets = secrets(&world);
            for log in &logs {
                assert!(log.contains(r#""event":"ready""#));
                assert_eq!(found(&without_answers(log), &secrets), None, "{log}");
            }
            let mut searched = 0;
            for folder in ["relay", "relay-state", DESK, MEDIC.0, DOCTOR.0] {
                for file in files(&world.path(folder)) {
                    let bytes = std::fs::read(&file).unwrap();
                    assert_eq!(found(&bytes, &secrets), None, "{}", file.display());
                    searched += bytes.len();
                }
            }
            assert!(searched > 100_000, "only {searched} bytes were there to search");

            // the search finds what is there
            let planted = format!("..{}..", NOTE.to_uppercase());
            assert_eq!(found(planted.as_bytes(), &secrets), Some(&*NOTE.to_lowercase()));
            Ok(())
        },
    )]
}

/// What people do in a day.
fn work(world: &World) {
    world.found(MEDIC.0, DOCTOR.1);
    let note = world.note(MEDIC.0, NOTE);
    world.arrived(DOCTOR.0, &note);
    let answer = world.call(DOCTOR.0, &["ack", &note, "--act", "accepted"]);
    world.arrived(MEDIC.0, &entry_of(&answer));
    world.reached(MEDIC.0, &note, "acknowledged");
    let recall = world.call(MEDIC.0, &["recall", &note, "--why", REASON]);
    world.arrived(DOCTOR.0, &entry_of(&recall));
    // mistakes are told with what was mistaken, to the person, not to the log
    world.refused(MEDIC.0, &["send", NOTE, REASON]);
    world.refused(MEDIC.0, &["thread", "add", THREAD, NOTE]);
}

fn secrets(world: &World) -> Vec<String> {
    let whole = [
        NOTE,
        REASON,
        MEDIC.1,
        DOCTOR.1,
        ADMINISTRATOR,
        THREAD,
        world.passphrase(),
    ];
    // and the words that nothing else has, lest a part of a text pass
    let words = [
        "pelargonium",
        "wisteria",
        "amberley",
        "kestrel",
        "quill",
        "juniper",
        "heron-lantern",
    ];
    let all = whole.iter().chain(&words);
    all.map(|secret| secret.to_lowercase()).collect()
}

/// A log without the objects on standard output, which are the answers to who started it.
fn without_answers(log: &str) -> Vec<u8> {
    let lines = log.lines().filter(|line| !line.starts_with('{'));
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

/// A secret that is in these bytes.
fn found<'a>(bytes: &[u8], secrets: &'a [String]) -> Option<&'a str> {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let mut secrets = secrets.iter().map(String::as_str);
    secrets.find(|secret| text.contains(secret))
}

/// All plain files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        match (kind.is_dir(), kind.is_file()) {
            (true, _) => found.extend(files(&entry.path())),
            (_, true) => found.push(entry.path()),
            _ => {}
        }
    }
    found
}
