//! Readable lines: what an event means to a person who follows a run. Legend: `docs/reference/simulator.md`.
//!
//! One line for each event that somebody would want to see; frames and batches are not told. Words of
//! delivery stand in capitals and come from the one table of the product.

use crate::net::HostId;
use crate::world::World;
use aidmesh_core::delivery::words;
use aidmesh_core::delivery::{Mark, State};
use aidmesh_core::id::{Dev, ThreadId};
use aidmesh_core::machine::command::EntryRef;
use aidmesh_core::machine::event::Event;

/// The line of an event, if it is worth one.
pub(crate) fn line(world: &World, host: HostId, event: &Event) -> Option<String> {
    Some(match event {
        Event::ThreadReady { thread } => format!("joined thread {thread}"),
        Event::MembersChanged { thread } => {
            let machine = world.hosts[host].machine.as_ref();
            let members = machine
                .and_then(|m| m.view(*thread))
                .map_or(0, |v| v.members.len());
            format!("thread {thread} has {members} members")
        }
        Event::Arrived {
            thread,
            entry,
            author,
            rewrapped,
            clock_suspect,
            ..
        } => {
            let how = if *rewrapped {
                ", handed on by another member"
            } else {
                ""
            };
            let clock = if *clock_suspect {
                ", its clock is far off"
            } else {
                ""
            };
            let what = title(world, *thread, *entry);
            format!("opened {what} of {}{how}{clock}", name(world, *author))
        }
        Event::LayerArrived { thread, entry, layer } => {
            let what = title(world, *thread, *entry);
            format!("has the {} of {what}, complete and equal", layer_name(*layer))
        }
        Event::Delivery {
            thread,
            entry,
            dev,
            state,
            marks,
        } => word(world, &title(world, *thread, *entry), *dev, state, marks),
        Event::Moved { from, to, .. } => {
            format!(
                "entry {}/{} goes on as {}/{}",
                from.slot, from.seq, to.slot, to.seq
            )
        }
        Event::SendingStopped { thread, why } => format!("seals nothing in thread {thread}: {why:?}"),
        Event::SendingResumed { thread } => format!("seals again in thread {thread}"),
        Event::Equivocation { slot, seq, .. } => format!("two authentic entries at {slot}/{seq}"),
        Event::PeerMisbehaved { rule, .. } => format!("refused bytes of a peer: {rule}"),
        Event::Refused { why, .. } => format!("a carrier refused an item: {why}"),
        Event::Revoked { key } => format!("key {key} is revoked"),
        Event::StoreFailed => "could not save; starts again from its store".to_owned(),
        Event::Stored { .. } | Event::CardMade { .. } => return None,
    })
}

fn word(world: &World, what: &str, dev: Dev, state: &State, marks: &[Mark]) -> String {
    let to = name(world, dev);
    let step = words::step_word(state.step()).to_uppercase();
    let layer = state
        .q()
        .map(|q| format!(" ({})", words::layer_word(q)))
        .unwrap_or_default();
    let detail = match state {
        State::HandedOver(n) => format!(", {n} carriers"),
        State::Acknowledged { act, .. } => format!(" ({})", words::act_word(*act, None)),
        State::Stored | State::AtRelay { .. } | State::Delivered(_) | State::Seen { .. } => String::new(),
    };
    let marks: String = marks
        .iter()
        .map(|mark| format!(", {}", mark_word(mark)))
        .collect();
    format!("{what} for {to}: {step}{layer}{detail}{marks}")
}

fn mark_word(mark: &Mark) -> &'static str {
    match mark {
        Mark::NotConfirmed => "not confirmed",
        Mark::ThereNotReadable => "there, not readable yet",
        Mark::Declined => "declined",
        Mark::Expired(_) => "expired",
        Mark::Recalled(_) => "recalled",
        Mark::Replaced(_) => "replaced",
        Mark::RefusedBy(..) => "refused",
        Mark::NoLongerOnDevice(_) => "no longer on that device",
        Mark::Disputed => "disputed",
        Mark::LeaseExpired(_) => "lease expired",
        Mark::NotNeeded => "not needed",
    }
}

fn layer_name(layer: u8) -> &'static str {
    aidmesh_core::blob::Layer::from_u8(layer).map_or("layer", words::layer_word)
}

/// What an entry is called: the name that a scenario gave it, else its place.
fn title(world: &World, thread: ThreadId, entry: EntryRef) -> String {
    let key = (thread, entry.slot, entry.seq);
    match world.titles.get(&key) {
        Some(title) => title.clone(),
        None => format!("entry {}/{}", entry.slot, entry.seq),
    }
}

fn name(world: &World, dev: Dev) -> String {
    let host = world.hosts.iter().find(|h| h.dev() == Some(dev));
    host.map_or_else(|| dev.to_string(), |h| h.name.clone())
}
