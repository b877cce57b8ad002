//! What the node tells, as it happens: events of the machine in their order, and between them changes of
//! what the machine does not number (paths to relays, what waits).
//!
//! * A number that is missing was told of something hidden, or forgotten before it was read.
//! * A delivery carries the word that was told, not a later one.
//! * An event whose details cannot be read any more (the store failed meanwhile) is told without them.
//! * Numbers begin anew with each run of the node: a number that was not reached yet is one of another run,
//!   and everything of this run is told.

use super::look::{DIRECTORY, Look, entry_id, thread_id};
use super::{Failure, Service, show};
use crate::api::types::EventInfo;
use aidmesh_core::blob::Layer;
use aidmesh_core::delivery::words;
use aidmesh_core::id::ThreadId;
use aidmesh_core::machine::{EntryRef, Event};
use aidmesh_host::clock;
use aidmesh_host::node::{Feed, State, Told};
use aidmesh_host::uplink::PathState;
use tokio::sync::watch;

/// Follows a node.
pub struct News {
    service: Service,
    feed: Feed,
    paths: Option<watch::Receiver<Vec<PathState>>>,
    state: Option<watch::Receiver<State>>,
    waiting: [u32; 5],
    last: u64,
}

impl Service {
    /// What happens from now on, or after the event with this number.
    pub fn follow(&self, after: Option<u64>) -> News {
        let handle = &self.inner.handle;
        let newest = handle.newest();
        let after = after.map_or(newest, |after| if after > newest { 0 } else { after });
        let mut paths = self.inner.paths.clone();
        paths.mark_unchanged();
        let mut state = handle.state();
        let waiting = state.borrow_and_update().waiting;
        News {
            service: self.clone(),
            feed: handle.follow(after),
            paths: Some(paths),
            state: Some(state),
            waiting,
            last: after,
        }
    }
}

enum Next {
    Told(Option<Told>),
    Paths(bool),
    State(bool),
}

impl News {
    /// The next event, and whether its number is its own (or that of the one before). `None` once the node
    /// has stopped.
    pub async fn next(&mut self) -> Option<(EventInfo, bool)> {
        loop {
            let next = tokio::select! {
                biased;
                told = self.feed.next() => Next::Told(told),
                alive = changed(&mut self.paths) => Next::Paths(alive),
                alive = changed(&mut self.state) => Next::State(alive),
            };
            match next {
                Next::Told(None) => return None,
                Next::Told(Some(told)) => {
                    self.last = told.number;
                    if let Some(info) = self.machine_event(told).await {
                        return Some((info, true));
                    }
                }
                Next::Paths(false) => self.paths = None,
                Next::State(false) => self.state = None,
                Next::Paths(true) => return Some((self.plain("relay", self.paths_text()), false)),
                Next::State(true) => {
                    let now = self.state.as_mut().map(|state| state.borrow_and_update().waiting);
                    let now = now.unwrap_or_default();
                    if std::mem::replace(&mut self.waiting, now) != now {
                        return Some((self.plain("waiting", waiting_text(now)), false));
                    }
                }
            }
        }
    }

    async fn machine_event(&self, told: Told) -> Option<EventInfo> {
        let (number, at_ms) = (told.number, told.at_ms);
        let bare = match &told.event {
            Event::StoreFailed => Some(blank(number, at_ms, "store_failed", "This device cannot save.")),
            _ => None,
        };
        if bare.is_some() {
            return bare;
        }
        let event = told.event.clone();
        let looked = self
            .service
            .look(move |look| info(look, number, at_ms, event))
            .await;
        looked.unwrap_or_else(|_| without_details(told))
    }

    fn plain(&self, event: &str, text: String) -> EventInfo {
        blank(self.last, clock::wall().0, event, &text)
    }

    fn paths_text(&self) -> String {
        let around = clock::wall();
        let paths = self.service.inner.paths.borrow();
        let lines = paths.iter().map(|path| {
            let view = super::relay(path, around);
            match view.why {
                Some(why) => format!("{}: {} ({why})", view.name, view.state),
                None => format!("{}: {}", view.name, view.state),
            }
        });
        lines.collect::<Vec<_>>().join(", ")
    }
}

/// Waits for a change; a source that ended or is missing never changes again.
async fn changed<T>(source: &mut Option<watch::Receiver<T>>) -> bool {
    match source {
        Some(source) => source.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

fn waiting_text(waiting: [u32; 5]) -> String {
    let classes = aidmesh_core::envelope::Class::ALL.into_iter().zip(waiting);
    let some: Vec<String> = classes
        .filter(|(_, n)| *n > 0)
        .map(|(class, n)| format!("{n} {}", words::class_word(class)))
        .collect();
    match some.is_empty() {
        true => "Nothing waits here.".into(),
        false => format!("Waiting here: {}.", some.join(", ")),
    }
}

fn blank(number: u64, at_ms: u64, event: &str, text: &str) -> EventInfo {
    EventInfo {
        number,
        at_ms,
        event: event.into(),
        thread: None,
        entry: None,
        recipient: None,
        layer: None,
        text: text.into(),
    }
}

/// What is left of an event while no machine is open. Of threads nothing is told: which are hidden is not
/// known now.
fn without_details(told: Told) -> Option<EventInfo> {
    let (event, text) = match told.event {
        Event::Stored { .. } => ("stored", words::text("state.stored")),
        Event::Revoked { .. } => ("revoked", "A key was revoked."),
        _ => return None,
    };
    Some(blank(told.number, told.at_ms, event, text))
}

/// The event for people; `None` if it is hidden or only for the log.
pub(super) fn info(
    look: &Look<'_>,
    number: u64,
    at_ms: u64,
    event: Event,
) -> Result<Option<EventInfo>, Failure> {
    let Some((name, thread, entry)) = place(&event) else {
        return Ok(None);
    };
    let title = thread.map(|id| look.machine.title(id));
    let hidden = matches!(title, Some(None | Some(DIRECTORY)));
    if hidden {
        return Ok(None);
    }
    let mut info = blank(number, at_ms, name, "");
    info.thread = thread.map(thread_id);
    info.entry = thread.zip(entry).map(|(id, at)| entry_id(id, at));
    info.text = match event {
        Event::Stored { .. } => words::text("state.stored").into(),
        Event::ThreadReady { .. } => format!("Thread {}.", title.flatten().unwrap_or_default()),
        Event::MembersChanged { thread } => members_text(look, thread),
        Event::Arrived { thread, entry, .. } => arrived_text(look, thread, entry)?,
        Event::LayerArrived { layer, .. } => {
            let word = Layer::from_u8(layer).map_or("layer", words::layer_word);
            info.layer = Some(word.into());
            format!("{word} is complete.")
        }
        Event::Moved { thread, to, .. } => {
            format!("It is now {}.", entry_id(thread, to))
        }
        Event::Delivery {
            thread,
            entry,
            dev,
            state,
            marks,
        } => {
            info.recipient = show::told(look, (thread, entry), dev, (state, &marks), at_ms)?;
            let line = info.recipient.as_ref().map(|recipient| recipient.line.clone());
            line.unwrap_or_default()
        }
        Event::SendingStopped { why, .. } => {
            format!("Nothing is sealed now: {}.", show::stopped(why))
        }
        Event::SendingResumed { .. } => "Sealing goes on.".into(),
        Event::Equivocation { .. } => crate::fault::of("AM-LOG-04").line(),
        Event::Refused { by, why } => {
            let by = look.with_names(|names| (names.key)(by));
            format!("{by} refuses: {why}.")
        }
        Event::Revoked { .. } => "A key was revoked.".into(),
        Event::CardMade { .. } | Event::PeerMisbehaved { .. } | Event::StoreFailed => return Ok(None),
    };
    Ok(Some(info))
}

/// Name, thread and entry of an event that people may see.
fn place(event: &Event) -> Option<(&'static str, Option<ThreadId>, Option<EntryRef>)> {
    Some(match event {
        Event::Stored { .. } => ("stored", None, None),
        Event::ThreadReady { thread } => ("thread", Some(*thread), None),
        Event::MembersChanged { thread } => ("members", Some(*thread), None),
        Event::Arrived { thread, entry, .. } => ("arrived", Some(*thread), Some(*entry)),
        Event::LayerArrived { thread, entry, .. } => ("layer", Some(*thread), Some(*entry)),
        Event::Moved { thread, from, .. } => ("moved", Some(*thread), Some(*from)),
        Event::Delivery { thread, entry, .. } => ("delivery", Some(*thread), Some(*entry)),
        Event::SendingStopped { thread, .. } => ("stopped", Some(*thread), None),
        Event::SendingResumed { thread } => ("resumed", Some(*thread), None),
        Event::Equivocation { thread, slot, seq } => {
            let at = EntryRef {
                slot: *slot,
                seq: *seq,
            };
            ("equivocation", Some(*thread), Some(at))
        }
        Event::Refused { .. } => ("refused", None, None),
        Event::Revoked { .. } => ("revoked", None, None),
        Event::CardMade { .. } | Event::PeerMisbehaved { .. } | Event::StoreFailed => return None,
    })
}

fn members_text(look: &Look<'_>, thread: ThreadId) -> String {
    let Some(view) = look.machine.view(thread) else {
        return String::new();
    };
    let names = view.members.iter().filter_map(|member| member.cert.as_ref());
    let mut names: Vec<&str> = names.map(|cert| cert.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    format!("Members: {}.", names.join(", "))
}

fn arrived_text(look: &Look<'_>, thread: ThreadId, at: EntryRef) -> Result<String, Failure> {
    let entry = show::entry(look, thread, at)?;
    Ok(entry.map_or_else(String::new, |entry| format!("{}: {}", entry.person, entry.text)))
}
