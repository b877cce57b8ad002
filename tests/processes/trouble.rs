//! What the command line says when something is wrong with this device: the code, the exit code, the words,
//! and that nothing is lost by it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::LAYER;
use super::child::Process;
use super::world::{MEDIC, THREAD, World, answer, text, write_secret};
use crate::harness::Test;

pub(super) fn tests() -> Vec<Test> {
    vec![
        without_a_node_commands_say_how_to_start_it(),
        a_wrong_passphrase_opens_nothing_and_breaks_nothing(),
        a_desk_that_could_pass_no_card_on_is_not_founded(),
        a_second_process_is_told_who_has_the_folder(),
        what_cannot_be_sent_leaves_nothing_behind(),
        a_folder_that_cannot_be_written_is_left_alone(),
        a_damaged_vault_is_said_and_a_backup_helps(),
        a_copied_folder_says_so_and_seals_nothing(),
    ]
}

fn without_a_node_commands_say_how_to_start_it() -> Test {
    Test::new(LAYER, "without_a_node_commands_say_how_to_start_it", || {
        let world = World::new();
        world.enrol(MEDIC, "paramedic");
        let commands: [&[&str]; 7] = [
            &["send", THREAD, "x"],
            &["inbox"],
            &["status"],
            &["thread", "list"],
            &["thread", "new", THREAD],
            &["ack", "3f9a01c2-5be1d07a-12"],
            &["recall", "3f9a01c2-5be1d07a-12", "--why", "x"],
        ];
        for command in commands {
            let refusal = world.refused(MEDIC.0, command).is(1, "AM-NODE-01");
            assert_eq!(refusal.text("what"), "no node runs here", "{command:?}");
            assert_eq!(refusal.text("next"), "Start it with: aidmesh run");
        }
        let mut plain = world.command(MEDIC.0, &["inbox"]);
        let said = without_json(&mut plain).output().unwrap();
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        let words = "AM-NODE-01: no node runs here. Start it with: aidmesh run\n";
        assert_eq!(said, words);
        Ok(())
    })
}

fn a_wrong_passphrase_opens_nothing_and_breaks_nothing() -> Test {
    Test::new(
        LAYER,
        "a_wrong_passphrase_opens_nothing_and_breaks_nothing",
        || {
            let world = alone();
            let wrong = world.path("wrong");
            write_secret(&wrong, "heron-lantern");
            let right = world.passphrase_file();
            let kept = world.path("kept");
            std::fs::rename(&right, &kept).unwrap();
            std::fs::copy(&wrong, &right).unwrap();
            world.refused(MEDIC.0, &["run"]).is(1, "AM-STORE-06");
            std::fs::rename(&kept, &right).unwrap();
            assert_whole(&world);
            Ok(())
        },
    )
}

fn a_desk_that_could_pass_no_card_on_is_not_founded() -> Test {
    Test::new(LAYER, "a_desk_that_could_pass_no_card_on_is_not_founded", || {
        let world = World::new();
        let found = ["init", "--org", "Hospital South", "--person", "Dr M", "--role"];
        let with = |roles: &[&'static str]| [found.as_slice(), roles].concat();
        for role in ["it-admin", "auditor"] {
            let refusal = world.refused("south", &with(&[role])).is(2, "AM-USE-01");
            assert!(refusal.text("what").contains(role), "{refusal:?}");
            assert!(!world.path("south").exists(), "nothing was made");
        }
        world.call("south", &with(&["it-admin", "--role", "nurse"]));
        Ok(())
    })
}

fn a_second_process_is_told_who_has_the_folder() -> Test {
    Test::new(LAYER, "a_second_process_is_told_who_has_the_folder", || {
        let world = alone();
        let first = world.run(MEDIC.0);
        let said = world.refused(MEDIC.0, &["run"]).is(1, "AM-STORE-07");
        let named = format!("process {} ", first.id());
        assert!(said.text("what").contains(&named), "{said:?}");
        world.note(MEDIC.0, "the first goes on");
        assert!(first.stop().success());
        assert_whole(&world);
        Ok(())
    })
}

fn what_cannot_be_sent_leaves_nothing_behind() -> Test {
    Test::new(LAYER, "what_cannot_be_sent_leaves_nothing_behind", || {
        let world = alone();
        let _node = world.run(MEDIC.0);
        let before = world.entries(MEDIC.0);
        let letter = world.path("letter.pdf");
        std::fs::write(&letter, b"%PDF-1.7 no ECG").unwrap();
        let letter = letter.to_str().unwrap();
        let send = |thread, file| world.refused(MEDIC.0, &["ecg", "send", thread, file]);
        send(THREAD, letter).is(1, "AM-ECG-01");
        send(THREAD, "/nowhere/ecg.dcm").is(1, "AM-ECG-04");
        let unknown = world
            .refused(MEDIC.0, &["send", "Case 8", "x"])
            .is(2, "AM-USE-02");
        assert!(
            unknown.text("what").contains(THREAD),
            "it lists what there is: {unknown:?}"
        );
        world
            .refused(MEDIC.0, &["status", "ffffffff-00000000-1"])
            .is(2, "AM-USE-02");
        let nobody = ["thread", "add", THREAD, "Nobody"];
        world.refused(MEDIC.0, &nobody).is(2, "AM-USE-02");
        assert_eq!(world.entries(MEDIC.0), before);
        Ok(())
    })
}

fn a_folder_that_cannot_be_written_is_left_alone() -> Test {
    Test::new(LAYER, "a_folder_that_cannot_be_written_is_left_alone", || {
        if rustix::process::geteuid().is_root() {
            println!("not checked: rights of folders do not bind root");
            return Ok(());
        }
        let world = alone();
        let data = world.path(MEDIC.0);
        let set = |mode| std::fs::set_permissions(&data, PermissionsExt::from_mode(mode)).unwrap();
        set(0o500);
        let refusal = world.refused(MEDIC.0, &["run"]);
        set(0o700);
        refusal.is(1, "AM-STORE-04");
        assert_whole(&world);
        Ok(())
    })
}

fn a_damaged_vault_is_said_and_a_backup_helps() -> Test {
    Test::new(LAYER, "a_damaged_vault_is_said_and_a_backup_helps", || {
        let world = alone();
        let vault = world.path(MEDIC.0).join("vault");
        let whole = std::fs::read(&vault).unwrap();
        let places = [0, whole.len() / 3, whole.len() / 2, whole.len() - 1];
        for place in places {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            std::fs::write(&vault, &damaged).unwrap();
            let refusal = world.refused(MEDIC.0, &["run"]).is(1, "AM-STORE-13");
            let what = refusal.text("what");
            assert_eq!(what.matches("the vault is damaged").count(), 1, "{what}");
        }
        std::fs::write(&vault, &whole).unwrap();
        assert_whole(&world);
        Ok(())
    })
}

fn a_copied_folder_says_so_and_seals_nothing() -> Test {
    Test::new(LAYER, "a_copied_folder_says_so_and_seals_nothing", || {
        let world = alone();
        let copy = world.path("copy");
        let status = Command::new("cp")
            .arg("-a")
            .args([&world.path(MEDIC.0), &copy])
            .status();
        assert!(status.unwrap().success());
        let state = world.state(MEDIC.0);
        let node = run_at(&world, &copy, &state);
        let said = node.said();
        assert!(
            said.contains("AM-STORE-08: this data folder was restored or copied"),
            "{said}"
        );
        let at_copy = |args: &[&str]| answer(&mut world.command_at(&copy, &state, args));
        let shown = at_copy(&["thread", "show", THREAD]);
        assert_eq!(texts(&shown), ["before all"], "what was there can be read");
        assert!(shown["thread"]["stopped"].is_string(), "{shown}");
        // it is stored and waits for its seal
        at_copy(&["send", THREAD, "from the copy"]);
        let shown = at_copy(&["thread", "show", THREAD]);
        assert!(shown["thread"]["unsealed"].as_u64() > Some(0), "{shown}");
        assert!(node.stop().success());
        Ok(())
    })
}

/// A device with one thread and one note, and nobody else; nothing runs.
fn alone() -> World {
    let world = World::new();
    world.enrol(MEDIC, "paramedic");
    let node = world.run(MEDIC.0);
    world.call(MEDIC.0, &["thread", "new", THREAD, "--kind", "patient"]);
    world.note(MEDIC.0, "before all");
    assert!(node.stop().success());
    world
}

/// The device opens with its passphrase and has what it had.
fn assert_whole(world: &World) {
    let node = world.run(MEDIC.0);
    let shown = world.call(MEDIC.0, &["thread", "show", THREAD]);
    assert_eq!(texts(&shown)[0], "before all");
    world.note(MEDIC.0, "and it goes on");
    assert!(node.stop().success());
}

fn texts(shown: &Value) -> Vec<String> {
    let entries = shown["entries"].as_array().unwrap().iter();
    entries.map(|entry| text(entry, "text")).collect()
}

fn run_at(world: &World, data: &Path, state: &Path) -> Process {
    let log = world.path("copy.log");
    Process::start(&mut world.command_at(data, state, &["run"]), &log).ready()
}

fn without_json(command: &mut Command) -> Command {
    let mut plain = Command::new(command.get_program());
    plain.args(command.get_args().filter(|word| *word != "--json"));
    plain
}
