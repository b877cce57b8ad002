//! Control keys and control objects over restarts, and a commit that must not leave by halves.

use super::tests::*;
use super::*;
use crate::directory::Role;
use crate::envelope::Class;
use crate::group::control::Act;
use crate::group::mls::Suite;
use crate::id::{Handle, NodeId};
use crate::ranges::Log;

/// A table where the added member's slot comes before its founder's: its rows are read first.
fn member_before_founder() -> (Table, usize, usize, ThreadId) {
    for n in 2..200 {
        let org = Org1::new();
        let mut table = Table::default();
        let medic = table.seat(&org, 1, Part::Member, Some(Role::Paramedic));
        let doctor = table.seat(&org, n, Part::Member, Some(Role::Cardiologist));
        let thread = new_thread(&mut table, medic, Suite::Classical);
        table.add(medic, doctor, thread, Role::Cardiologist);
        let members = &table.boxes[medic].machine.threads[&thread].membership.members;
        let slot = |at| members[&table.dev(at)].slot;
        if slot(doctor) < slot(medic) {
            return (table, medic, doctor, thread);
        }
    }
    panic!("no such device");
}

#[test]
fn a_member_with_many_control_objects_is_itself_after_a_restart() {
    let (mut table, medic, doctor, thread) = member_before_founder();
    table.connect(medic, doctor);
    table.pass(10_000);
    let said = 2 * crate::limits::PARKED_PER_SLOT as u8;
    for n in 0..said {
        let act = Act::Bad {
            node: NodeId([n; 16]),
        };
        table
            .hack(doctor, thread, |thread, ctx| thread.put_op(ctx, act))
            .unwrap();
    }
    table.pass(10_000);
    table.reopen(doctor);
    table.connect(medic, doctor);
    table.pass(30_000);
    let state = &table.boxes[doctor].machine.threads[&thread];
    assert_eq!(state.stopped, None);
    let slot = state.membership.members[&table.dev(doctor)].slot;
    let own = state.have.get(slot, Log::Control).unwrap();
    assert!(own.len() >= u64::from(said), "{own:?}");
    let note = table.note(doctor, thread, "still here");
    table.pass(5_000);
    assert_eq!(table.text(medic, thread, note).as_deref(), Some("still here"));
}

#[test]
fn keys_are_told_newest_first_after_a_restart() {
    let (mut table, medic, _, _, thread) = two_and_a_relay();
    let org = Org1::new();
    for n in 10..16 {
        let nurse = table.seat(&org, n, Part::Member, Some(Role::Nurse));
        table.add(medic, nurse, thread, Role::Nurse);
        let dev = table.dev(nurse);
        table.command(medic, Command::Remove { thread, dev });
    }
    let told = |table: &Table| -> Vec<Handle> {
        let state = &table.boxes[medic].machine.threads[&thread];
        let keys = state.keys_to_meet_by(4).into_iter();
        keys.map(|key| key.handle()).collect()
    };
    let before = told(&table);
    let state = &table.boxes[medic].machine.threads[&thread];
    assert_eq!(state.ring.iter().count(), 7);
    assert_eq!(Some(before[0]), state.path_key(state.head));
    table.reopen(medic);
    assert_eq!(told(&table), before);
}

#[test]
fn a_full_outbox_does_not_hold_up_a_removal_or_its_key() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.hack(medic, thread, |thread, _| {
        let fill = (1u32..).map(|seq| (Class::Text, 1_000_000 + seq));
        thread.unsealed.extend(fill.take(crate::limits::OUTBOX_ENTRIES));
    });
    let class = Class::Text;
    let what = Outgoing::Note("one too many".into());
    let full = table.try_command(medic, Command::Send { thread, class, what });
    assert_eq!(full, Err(CommandError::Full("unsealed entries")));
    let nodes = |table: &Table| table.boxes[medic].machine.threads[&thread].nodes.len();
    let before = nodes(&table);
    let dev = table.dev(doctor);
    table.command(medic, Command::Remove { thread, dev });
    assert_eq!(nodes(&table), before + 1);
    let state = &table.boxes[medic].machine.threads[&thread];
    assert!(state.path_key(state.head).is_some());
    assert_eq!(state.stopped, None);
}

#[test]
fn a_full_ring_stops_a_removal_before_any_of_it_leaves() {
    let (mut table, medic, doctor, _, thread) = two_and_a_relay();
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.hack(medic, thread, |thread, _| {
        for n in 1..crate::limits::CONTROL_KEYS as u8 {
            thread.ring.insert(crate::crypto::Secret([n; 32]));
        }
    });
    let nodes = |table: &Table| table.boxes[medic].machine.threads[&thread].nodes.len();
    let before = nodes(&table);
    let dev = table.dev(doctor);
    table.command(medic, Command::Remove { thread, dev });
    assert_eq!(nodes(&table), before, "no node without its key");
}
