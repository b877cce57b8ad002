//! Whoever joins late opens what was sent before; whoever was removed opens nothing that came after.
//!
//! The removed device is not trusted to stay away: everything that the relay holds is handed to it, the way
//! an accomplice at the relay could. The same capture goes to a member that was offline the same way, by the
//! same code: it opens all of it, so the capture is whole and the way works.

use std::ops::ControlFlow;
use std::path::Path;

use aidmesh::device::{Device, How};
use aidmesh_core::id::ThreadId;
use aidmesh_core::limits::UNIT_BYTES;
use aidmesh_core::machine::Machine;
use aidmesh_core::machine::input::LinkInfo;
use aidmesh_core::mailbox::envelope_of_row;
use aidmesh_core::store::table;
use aidmesh_core::sync::Cutter;
use aidmesh_core::wire::{Frame, Hello, decode_all};
use aidmesh_ecg::generate::{Rhythm, generate};
use aidmesh_host::folder::Folder;
use aidmesh_host::link::Links;
use aidmesh_host::store;
use aidmesh_host::vault::{Unlock, Vault};
use aidmesh_relay::key_file::KeySource;
use bytes::Bytes;

use super::LAYER;
use super::child::wait_for;
use super::world::{DESK, DOCTOR, MEDIC, NURSE, THREAD, World, entry_of, runtime};
use crate::harness::Test;

/// Items may come in any order: what one rests on may come after it.
const ROUNDS: usize = 3;

pub(super) fn tests() -> Vec<Test> {
    vec![Test::new(
        LAYER,
        "a_late_joiner_opens_what_was_sent_before_and_a_removed_device_nothing_after",
        || {
            let world = World::new();
            for (who, role) in [(MEDIC, "paramedic"), (DOCTOR, "cardiologist"), (NURSE, "nurse")] {
                world.enrol(who, role);
            }
            let before = joined_late(&world);
            let after = written_after_a_removal(&world);
            let items = items_at_relay(&world);
            assert!(items.len() > 10, "{} items at the relay", items.len());

            let nurse = fed(&world, NURSE.0, &items);
            assert_eq!(nurse.members, 2, "it has read of its removal");
            assert!(before.iter().all(|entry| nurse.has(entry)), "{nurse:?}");
            assert!(!after.iter().any(|entry| nurse.has(entry)), "{nurse:?}");
            assert_eq!(
                nurse.objects,
                [true],
                "the first ECG is whole; no second is known"
            );

            let doctor = fed(&world, DOCTOR.0, &items);
            assert_eq!(doctor.members, 2);
            let mut all = before.iter().chain(&after);
            assert!(all.all(|entry| doctor.has(entry)), "{doctor:?}");
            assert_eq!(
                doctor.objects,
                [true, true],
                "a member opens all of the same capture"
            );
            Ok(())
        },
    )]
}

/// The nurse is added after an ECG was sent, and opens it. Gives what was written until then.
fn joined_late(world: &World) -> Vec<String> {
    let _relay = world.run_relay();
    let _nodes = [DESK, MEDIC.0, DOCTOR.0, NURSE.0].map(|who| world.run(who));
    let file = recording(world, "first", 7);
    world.found(MEDIC.0, DOCTOR.1);
    let note = world.note(MEDIC.0, "pain for an hour");
    let ecg = world.call(MEDIC.0, &["ecg", "send", THREAD, &file, "--class", "alarm"]);
    let ecg = entry_of(&ecg);
    world.arrived(DOCTOR.0, &ecg);
    world.when_known(MEDIC.0, &["thread", "add", THREAD, NURSE.1]);
    world.arrived(NURSE.0, &note);
    world.arrived(NURSE.0, &ecg);

    let folder = world.path("opened");
    let to = folder.to_str().unwrap();
    let opened = world.call(NURSE.0, &["open", &ecg, "--to", to]);
    assert_eq!(opened["seen"], true);
    let copy = opened["files"][0].as_str().unwrap();
    assert_eq!(std::fs::read(copy).unwrap(), std::fs::read(&file).unwrap());
    let thanks = world.note(NURSE.0, "on my way");
    world.arrived(MEDIC.0, &thanks);
    world.arrived(DOCTOR.0, &thanks);
    vec![note, ecg, thanks]
}

/// The nurse's device is away while it is removed and others go on. The doctor's is away for the last part.
fn written_after_a_removal(world: &World) -> Vec<String> {
    let _relay = world.run_relay();
    let _medic = world.run(MEDIC.0);
    let first = {
        let _doctor = world.run(DOCTOR.0);
        world.call(MEDIC.0, &["thread", "remove", THREAD, NURSE.1]);
        wait_for("the removal at the doctor's device", || {
            let shown = world.get(DOCTOR.0, "/v1/threads");
            let threads = shown.as_array().unwrap().iter();
            let thread = { threads }.find(|thread| thread["name"] == THREAD)?;
            let members = thread["members"].as_array().unwrap().len();
            (members == 2).then_some(())
        });
        let first = world.note(DOCTOR.0, "the patient's name is Hyacinth");
        world.arrived(MEDIC.0, &first);
        first
    };
    let file = recording(world, "second", 8);
    let second = world.note(MEDIC.0, "arriving in five minutes");
    let ecg = world.call(MEDIC.0, &["ecg", "send", THREAD, &file, "--class", "alarm"]);
    let ecg = entry_of(&ecg);
    world.reached(MEDIC.0, &second, "at_relay");
    // the relay's word is about the whole of it
    wait_for("the relay's receipt for all layers", || {
        let status = world.reached(MEDIC.0, &ecg, "at_relay");
        let mut recipients = status["recipients"].as_array().unwrap().iter();
        recipients.all(|one| one["layer"] == "original").then_some(())
    });
    vec![first, second, ecg]
}

fn recording(world: &World, name: &str, seed: u64) -> String {
    let path = world.path(&format!("{name}.dcm"));
    let record = generate(Rhythm::InferiorStemi, 10, seed, 500, 10);
    std::fs::write(&path, aidmesh_ecg::dicom::write(&record).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Every sealed item that the relay holds.
fn items_at_relay(world: &World) -> Vec<Bytes> {
    let folder = Folder::open(&world.path("relay")).unwrap();
    let key = KeySource::File(world.relay_key("relay")).read().unwrap();
    let vault = Vault::open(&folder.vault_path(), &Unlock::KeyFile(key)).unwrap();
    let disk = store::open(folder.engine(), &folder.store_path(), vault.record_keys()).unwrap();
    let mut items = Vec::new();
    let visit = &mut |_: &[u8], row: &[u8]| {
        items.extend(envelope_of_row(&Bytes::copy_from_slice(row)));
        ControlFlow::Continue(())
    };
    disk.scan(&table::carried_all(), visit).unwrap();
    items
}

/// What a device knows of [`THREAD`] after it was handed a capture.
#[derive(Debug)]
struct Known {
    members: usize,
    entries: Vec<String>,
    /// For each object: all of its layers are complete.
    objects: Vec<bool>,
}

impl Known {
    /// Whether this entry is open. `entry` is `THREAD8-SLOT8-NUMBER`.
    fn has(&self, entry: &str) -> bool {
        self.entries.iter().any(|open| open == entry)
    }

    fn of(machine: &Machine) -> Known {
        let named = |thread: &ThreadId| machine.title(*thread) == Some(THREAD);
        let thread = machine.threads().into_iter().find(named).unwrap();
        let refs = machine.entries(thread);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let thread8 = hex(&thread.0[..4]);
        let name = |at: &aidmesh_core::machine::command::EntryRef| {
            format!("{thread8}-{}-{}", &hex(&at.slot.0)[..8], at.seq)
        };
        let layers = refs.iter().map(|at| machine.layers(thread, *at));
        let objects = layers.filter(|layers| !layers.is_empty());
        Known {
            members: machine.view(thread).unwrap().members.len(),
            entries: refs.iter().map(name).collect(),
            objects: objects.map(|all| all.iter().all(|l| l.held == l.total)).collect(),
        }
    }
}

/// Opens a device's folder without relays and hands it all items.
fn fed(world: &World, who: &str, items: &[Bytes]) -> Known {
    runtime().block_on(async {
        let running = opened(&world.path(who), &world.state(who), world.passphrase());
        let how = How {
            relays: Some(vec![]),
            ..How::default()
        };
        let running = running.start(how).await.unwrap();
        for _ in 0..ROUNDS {
            for item in items {
                hand_over(&running.handle().links(), item).await;
            }
        }
        let known = running
            .handle()
            .read(|machine, _| Known::of(machine))
            .await
            .unwrap();
        running.stop().await;
        known
    })
}

fn opened(data: &Path, state: &Path, passphrase: &str) -> Device {
    let unlock = Unlock::Passphrase(zeroize::Zeroizing::new(passphrase.to_owned()));
    let device = Device::open(data, state, &unlock).unwrap();
    assert_eq!(device.restored(), None);
    device
}

/// One item over a link of its own. A greeting behind it is answered after the item was taken.
async fn hand_over(links: &Links, item: &Bytes) {
    let info = LinkInfo {
        peer: [9; 32],
        exporter: [9; 32],
        mtu: UNIT_BYTES,
        thin: false,
        streams: true,
    };
    let (sender, mut receiver) = links.up(info).await.unwrap();
    for part in Cutter::new(item.clone(), None, UNIT_BYTES) {
        assert!(sender.received(Frame::Data(part).encode()).await);
    }
    let hello = Hello {
        caps: 0,
        nonce: [7; 8],
        ms: 0,
        set: 0,
        root: [0; 16],
    };
    assert!(sender.received(Frame::Hello(hello).encode()).await);
    let mut greetings = 0;
    while greetings < 2 {
        let unit = receiver.next().await.expect("an answer to the greeting");
        let frames = decode_all(&unit.bytes).map(Result::unwrap);
        greetings += frames.filter(|frame| matches!(frame, Frame::Hello(_))).count();
    }
}
