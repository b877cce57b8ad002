//! What a relay signed for stays on its disk: until it is released, overtaken, or kept long enough.
//!
//! Long enough is [`RELAY_KEEP_MS`] of *true* time after arrival, whatever the relay's wall clock shows.

use super::Truth;
use crate::net::HostId;
use crate::world::World;
use aidmesh_core::envelope::{Envelope, Place};
use aidmesh_core::limits::RELAY_KEEP_MS;
use aidmesh_core::machine::open::Part;
use aidmesh_core::ranges::Log;
use bytes::Bytes;

/// Bytes before the envelope in a row of a carried item: version, state, origin, age, three sums.
const HEADER_BYTES: usize = 2 + 8 + 4 + 3 * 8;
/// Drift of a clock, in parts per million at most: nobody can keep time better than its crystal.
const DRIFT_PPM: u64 = 400;

impl Truth {
    /// A relay writes or deletes a row of a carried item.
    pub(super) fn on_carried_row(
        &mut self,
        world: &mut World,
        host: HostId,
        key: &[u8],
        value: Option<&Bytes>,
    ) {
        if world.hosts[host].part != Part::Relay {
            return;
        }
        let at = (host, key.to_vec());
        if let Some(row) = value {
            // a released item leaves its id; a newer head replaces the older ones of its slot
            match is_owed(row) {
                true => self.owed.insert(at, world.now_us),
                false => self.owed.remove(&at),
            };
            return;
        }
        let Some(since_us) = self.owed.remove(&at) else {
            return;
        };
        let kept_ms = (world.now_us - since_us) / 1000;
        if kept_ms < RELAY_KEEP_MS - RELAY_KEEP_MS / 1_000_000 * DRIFT_PPM {
            let name = &world.hosts[host].name;
            let what = format!(
                "{name} deleted an item that nobody released, {} s after its arrival",
                kept_ms / 1000
            );
            world.accuse("kept as long as signed", what);
        }
    }
}

/// Live, and not a head.
fn is_owed(row: &Bytes) -> bool {
    if row.len() <= HEADER_BYTES || row[1] != 0 {
        return false;
    }
    let envelope = Envelope::decode(&row.slice(HEADER_BYTES..));
    envelope.is_ok_and(|e| !matches!(e.place, Place::Log { log: Log::Heads, .. }))
}
