//! What peers, relays and members do who follow no rules: whatever it is, nothing is told that is
//! not durable, nothing authenticated changes, nobody else is stopped, and the store opens again.

use super::tests::*;
use super::*;
use crate::blob::{ChunkSize, Layer, Sealer};
use crate::clinical::{Body, EcgSnapshot};
use crate::crypto::Secret;
use crate::directory::Role;
use crate::entry::Kind;
use crate::envelope::Class;
use crate::group::mls::Suite;
use crate::store::table;
use bytes::Bytes;

impl Table {
    /// A member does what no machine of ours would do.
    fn hack<T>(
        &mut self,
        at: usize,
        thread: ThreadId,
        act: impl FnOnce(&mut Thread, &mut Ctx<'_>) -> T,
    ) -> T {
        let now = self.now();
        let b = &mut self.boxes[at];
        b.machine.now = now;
        let store = &b.store;
        let machine = &mut b.machine;
        let done = with_thread!(machine, store, thread, |t, ctx| act(t, ctx)).unwrap();
        b.machine.finish(&b.store);
        self.drain(at);
        done
    }
}

/// An ECG with one layer, sealed under a key that its author chose.
fn ecg(table: &mut Table, at: usize, thread: ThreadId, bytes: &[u8]) -> EntryRef {
    table.hack(at, thread, |t, ctx| {
        let mut sealer = Sealer::new(Secret([5; 32]));
        let layer = Layer::from_u8(3).unwrap();
        let chunks = sealer.layer(layer, None, ChunkSize::LARGEST, bytes).unwrap();
        let manifest = sealer.finish().unwrap();
        for (index, chunk) in (0u32..).zip(chunks) {
            let key = table::chunk(t.id, manifest.object(), 3, index);
            ctx.batch().put(key, Bytes::from(chunk));
        }
        t.own_chunks(&manifest);
        let body = Body::EcgSnapshot(EcgSnapshot {
            recorded: None,
            digest: Bytes::from_static(b"digest"),
            manifest,
            format: "dicom".into(),
            summary: None,
        });
        t.say(ctx, Class::Clinical, &body, Kind::EcgSnapshot).unwrap()
    })
}

#[test]
fn a_blob_of_one_thread_cannot_be_overwritten_from_another() {
    let (mut table, medic, doctor, _, one) = two_and_a_relay();
    let two = new_thread(&mut table, medic, Suite::Classical);
    table.add(medic, doctor, one, Role::Cardiologist);
    table.add(medic, doctor, two, Role::Cardiologist);
    table.connect(medic, doctor);
    table.pass(10_000);
    let genuine = ecg(&mut table, medic, one, &[1; 3000]);
    table.pass(10_000);
    ecg(&mut table, medic, two, &[2; 3000]);
    table.pass(10_000);
    let b = &table.boxes[doctor];
    let layer = b.machine.layer(&b.store, one, genuine, 3).unwrap();
    assert_eq!(layer, Some(Bytes::from(vec![1; 3000])));
}
