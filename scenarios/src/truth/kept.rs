//! What a relay signed for stays on its disk: until it is released, overtaken, or kept long enough.
//!
//! Nobody releases log items and chunks in this version, so none of them may end that way; an inbox
//! item is released by its owner.
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

const KEPT: &str = "kept as long as signed";
/// Bytes before the envelope in a row of a carried item: version, state, origin, organisation, age, three
/// sums.
const HEADER_BYTES: usize = 2 + 8 + 8 + 4 + 3 * 8;
/// Drift of a clock, in parts per million at most: nobody can keep time better than its crystal.
const DRIFT_PPM: u64 = 400;

/// A carried item that is not released.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    /// World time of its arrival.
    since_us: u64,
    /// For one device, which may release it.
    is_inbox: bool,
}

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
            let former = self.owed.remove(&at);
            match read_row(row) {
                // a newer head replaces the older ones of its slot
                Some(Row::Live(Place::Log { log: Log::Heads, .. })) => {}
                Some(Row::Live(place)) => {
                    let (since_us, is_inbox) = (world.now_us, place == Place::Inbox);
                    self.owed.insert(at, Owed { since_us, is_inbox });
                }
                Some(Row::Released) if former.is_none_or(|former| former.is_inbox) => {}
                Some(Row::Released) => {
                    let name = &world.hosts[host].name;
                    let what = format!("{name} released an item that nobody may release");
                    world.accuse(KEPT, what);
                }
                // else this rule would be blind and nobody would know
                None => world.accuse(KEPT, "a row of a carried item cannot be read".to_owned()),
            }
            return;
        }
        let Some(Owed { since_us, .. }) = self.owed.remove(&at) else {
            return;
        };
        let kept_ms = (world.now_us - since_us) / 1000;
        if kept_ms < RELAY_KEEP_MS - RELAY_KEEP_MS / 1_000_000 * DRIFT_PPM {
            let name = &world.hosts[host].name;
            let what = format!(
                "{name} deleted an item that nobody released, {} s after its arrival",
                kept_ms / 1000
            );
            world.accuse(KEPT, what);
        }
    }
}

/// A row of a carried item.
enum Row {
    Live(Place),
    /// A released item leaves its id.
    Released,
}

fn read_row(row: &Bytes) -> Option<Row> {
    match row.get(1)? {
        0 if row.len() > HEADER_BYTES => {
            let envelope = Envelope::decode(&row.slice(HEADER_BYTES..)).ok()?;
            Some(Row::Live(envelope.place))
        }
        1 => Some(Row::Released),
        _ => None,
    }
}
