//! From the machine to the plain data of the API: threads, entries, and who has an entry.
//!
//! Words of delivery, classes, layers and acts are those of the core's table; here they only get their
//! places. A recipient is always shown with the state that was *told*: for a question that is the machine's
//! state now, for an event the one it carries.

use super::faults::{self, Failure};
use super::lines;
use super::look::{Look, entry_id, hex8, thread_id};
use crate::api::types::{EntryInfo, LayerInfo, MemberInfo, RecipientStatus, Status, ThreadInfo};
use aidmesh_core::blob::Layer;
use aidmesh_core::clinical::{Act, Body, Emergency};
use aidmesh_core::delivery::words;
use aidmesh_core::delivery::{Mark, Proof, Recipient, State, Step, Tracker, View};
use aidmesh_core::directory::Roles;
use aidmesh_core::entry::Kind;
use aidmesh_core::id::{Dev, ThreadId};
use aidmesh_core::limits;
use aidmesh_core::machine::{EntryHead, EntryRef, EntryView, Stopped, ThreadView};
use aidmesh_core::ranges::Log;
use aidmesh_core::time::Wall;

/// Schema of [`Status`].
pub(super) const STATUS: &str = "aidmesh.status/1";

/// A thread with its members.
pub(super) fn thread(look: &Look<'_>, id: ThreadId, view: &ThreadView) -> ThreadInfo {
    let me = look.machine.certificate().map(|cert| cert.dev());
    let members = view.members.iter().map(|member| {
        let name = member.cert.as_ref().map(|cert| cert.name.as_str().to_owned());
        MemberInfo {
            person: name.unwrap_or_else(|| format!("device {}", hex8(&member.dev.0))),
            device8: hex8(&member.dev.0),
            role: member.role.name().into(),
            me: Some(member.dev) == me,
        }
    });
    let shown = look.machine.entry_heads(id).into_iter().filter(is_shown);
    ThreadInfo {
        thread: thread_id(id),
        name: view.title.clone(),
        kind: view.kind.map_or("", |kind| kind.name()).into(),
        members: members.collect(),
        entries: count(shown.count()),
        unsealed: count(view.unsealed),
        stopped: view.stopped.map(|why| stopped(why).into()),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Keys for members are entries of the machine, not of people.
pub(super) fn is_shown(head: &EntryHead) -> bool {
    head.kind != Kind::CtlKeys
}

/// Why a thread does not seal, in words.
pub(super) fn stopped(why: Stopped) -> &'static str {
    match why {
        Stopped::Incomplete => "not all of its keys have arrived yet",
        Stopped::WaitingForKeys => "its people changed, and no device has made the next keys yet",
        Stopped::Removed => "this device was removed",
        Stopped::Restored => "this device was restored; another member must add it again",
        _ => "a newer reason than this program knows",
    }
}

/// What an entry is, for programs.
pub(super) fn kind(kind: Kind) -> String {
    let known = match kind {
        Kind::Note => "note",
        Kind::EcgSnapshot => "ecg",
        Kind::VoiceNote => "voice",
        Kind::PhotoNote => "photo",
        Kind::Vitals => "vitals",
        Kind::Handover => "handover",
        Kind::Alert => "alert",
        Kind::Acknowledgement => "acknowledgement",
        Kind::Seen => "seen",
        Kind::Paged => "paged",
        Kind::Recall => "recall",
        Kind::Divert => "divert",
        Kind::Position => "position",
        Kind::SignOn => "sign_on",
        Kind::Roster => "roster",
        Kind::TriageTag => "triage_tag",
        Kind::Sighting => "sighting",
        Kind::RollCall => "roll_call",
        Kind::ResourceRequest => "resource_request",
        Kind::RoleTransfer => "role_transfer",
        Kind::Capacity => "capacity",
        Kind::CtlKeys => "keys",
        Kind::Unknown(n) => return format!("kind_{n}"),
    };
    known.into()
}

/// An entry that is open here; `None` if it is not.
pub(super) fn entry(look: &Look<'_>, thread: ThreadId, at: EntryRef) -> Result<Option<EntryInfo>, Failure> {
    let (Some(head), Some(view)) = (look.machine.entry_head(thread, at), look.entry(thread, at)?) else {
        return Ok(None);
    };
    let about = about(look, thread, &view.body);
    let what = match about {
        Some(about) => emergency(look, thread, about)?,
        None => None,
    };
    let act = match &view.body {
        Body::Acknowledgement(ack) => Some(words::act_id(ack.act).into()),
        _ => None,
    };
    Ok(Some(EntryInfo {
        entry: entry_id(thread, at),
        thread: thread_id(thread),
        thread_name: look.machine.title(thread).unwrap_or_default().into(),
        kind: kind(view.kind),
        class: words::class_word(view.class).into(),
        person: author(look, &view),
        device8: hex8(&view.author.0),
        at_ms: view.hlc.ms(),
        text: lines::text(&view, what),
        about: about.map(|at| entry_id(thread, at)),
        act,
        layers: layers(look, thread, at),
        mine: head.own,
        marks: marks(look, &head, &view),
    }))
}

/// Acts name the person who was signed on; all else is by the holder of the device.
fn author(look: &Look<'_>, view: &EntryView) -> String {
    let person = match &view.body {
        Body::Acknowledgement(ack) => ack.person,
        Body::Seen(seen) => seen.person,
        Body::SignOn(sign_on) => sign_on.person,
        _ => view.cert.person,
    };
    match person == view.cert.person {
        true => view.cert.name.as_str().to_owned(),
        false => look.person(person),
    }
}

/// The entry that a body is about, if it is open here.
fn about(look: &Look<'_>, thread: ThreadId, body: &Body) -> Option<EntryRef> {
    let hash = match body {
        Body::Alert(alert) => alert.refers?,
        Body::Acknowledgement(ack) => ack.entry,
        Body::Recall(recall) => recall.entry,
        Body::Seen(seen) => {
            let mut places = seen.ranges.0.iter().filter(|((_, log), _)| *log == Log::Content);
            let ((slot, _), set) = places.next()?;
            let (slot, seq) = (*slot, set.iter().next()?);
            return Some(EntryRef { slot, seq });
        }
        _ => return None,
    };
    let found = look.machine.entry_by_hash(thread, &hash);
    found.map(|head| head.at)
}

/// What an alert says, or an alert about the entry: it decides what *activated* means.
fn emergency(look: &Look<'_>, thread: ThreadId, at: EntryRef) -> Result<Option<Emergency>, Failure> {
    let Some(named) = look.machine.entry_head(thread, at) else {
        return Ok(None);
    };
    let heads = look.machine.entry_heads(thread).into_iter();
    let alerts = heads.filter(|head| head.kind == Kind::Alert);
    let alerts = alerts.filter(|head| named.kind != Kind::Alert || head.at == at);
    for head in alerts {
        let body = look.entry(thread, head.at)?.map(|view| view.body);
        if let Some(Body::Alert(alert)) = body
            && (head.at == at || alert.refers == Some(named.hash))
        {
            return Ok(Some(alert.what));
        }
    }
    Ok(None)
}

fn layers(look: &Look<'_>, thread: ThreadId, at: EntryRef) -> Vec<LayerInfo> {
    let layers = look.machine.layers(thread, at).into_iter();
    let shown = layers.map(|layer| LayerInfo {
        layer: words::layer_word(layer.layer).into(),
        name: layer
            .name
            .map_or_else(String::new, |name| name.as_str().to_owned()),
        bytes: layer.bytes,
        held: layer.held,
        total: layer.total,
        complete: layer.held == layer.total,
    });
    shown.collect()
}

fn marks(look: &Look<'_>, head: &EntryHead, view: &EntryView) -> Vec<String> {
    let ahead = view.hlc.ms() > head.stored.0.saturating_add(limits::HLC_AHEAD_MS);
    let behind = head.stored.0 > view.hlc.ms().saturating_add(limits::HLC_BEHIND_MS);
    let recalled = view.recalled.map(Mark::Recalled);
    let recalled = recalled.map(|mark| look.with_names(|names| words::mark_words(&mark, names)));
    let disputed = view
        .disputed
        .then(|| look.with_names(|names| words::mark_words(&Mark::Disputed, names)));
    let other = [
        (view.rewrapped, "rewrapped"),
        (!head.own && (ahead || behind), "clock suspect"),
    ];
    let other = other
        .into_iter()
        .filter(|(on, _)| *on)
        .map(|(_, mark)| mark.into());
    recalled.into_iter().chain(disputed).chain(other).collect()
}

/// Who has an own entry.
pub(super) fn status(look: &Look<'_>, thread: ThreadId, at: EntryRef) -> Result<Status, Failure> {
    let head = look.machine.entry_head(thread, at);
    let head = head.ok_or_else(|| faults::not_found("no such entry", &[]))?;
    let tracker = look
        .machine
        .tracker(thread, at)
        .ok_or_else(faults::not_followed)?;
    let mut recipients = Vec::new();
    for (recipient, view) in tracker.views() {
        recipients.extend(recipient_of(look, (thread, at), tracker, recipient, view)?);
    }
    Ok(Status {
        schema: STATUS.into(),
        entry: entry_id(thread, at),
        kind: kind(head.kind),
        class: words::class_word(head.class).into(),
        at_ms: head.stored.0,
        recipients,
    })
}

/// The state at one recipient as an event told it at `at_ms`.
pub(super) fn told(
    look: &Look<'_>,
    (thread, at): (ThreadId, EntryRef),
    dev: Dev,
    (state, marks): (State, &[Mark]),
    at_ms: u64,
) -> Result<Option<RecipientStatus>, Failure> {
    let Some(tracker) = look.machine.tracker(thread, at) else {
        return Ok(None);
    };
    let Some((recipient, now)) = tracker.views().find(|(r, _)| r.dev == dev) else {
        return Ok(None);
    };
    let since = match now.state == Some(state) {
        true => now.at,
        false => Wall(at_ms),
    };
    let view = View {
        state: Some(state),
        at: since,
        marks: marks.iter().copied().collect(),
    };
    recipient_of(look, (thread, at), tracker, recipient, &view)
}

fn recipient_of(
    look: &Look<'_>,
    (thread, at): (ThreadId, EntryRef),
    tracker: &Tracker,
    recipient: &Recipient,
    view: &View,
) -> Result<Option<RecipientStatus>, Failure> {
    let Some(state) = view.state else {
        return Ok(None);
    };
    let (by, act) = match state {
        State::Seen { person, .. } => (Some(person), None),
        State::Acknowledged { person, act, .. } => (Some(person), Some(act)),
        _ => (None, None),
    };
    let what = match act {
        Some(Act::Activated) => emergency(look, thread, at)?,
        _ => None,
    };
    // what was opened has its digest, since that stands in the entry itself
    let with_object = state.step() >= Step::Delivered && !look.machine.layers(thread, at).is_empty();
    let layer = state.q().or(with_object.then_some(Layer::DIGEST));
    let somebody = tracker.somebody_has_it();
    let (line, marks) = look.with_names(|names| {
        let line = words::recipient_line(recipient, view, somebody, what, names);
        let marks = view.marks.iter().map(|mark| words::mark_words(mark, names));
        (line, marks.collect())
    });
    let roles = recipient.role.map(Roles).into_iter().flat_map(Roles::iter);
    let roles: Vec<&str> = roles.map(|role| role.name()).collect();
    Ok(Some(RecipientStatus {
        person: recipient.name.clone(),
        device8: hex8(&recipient.dev.0),
        role: roles.join(", "),
        state: words::step_id(state.step()).into(),
        layer: layer.map(|layer| words::layer_word(layer).into()),
        since_ms: view.at.0,
        evidence: proof(tracker, recipient.dev, state).id().into(),
        act: act.map(|act| words::act_id(act).into()),
        by: by.map(|person| look.person(person)),
        marks,
        line,
    }))
}

/// A delivery that only an act implies is proven by the act, which the tracker knows; the rest follows from
/// the state that was told.
fn proof(tracker: &Tracker, dev: Dev, state: State) -> Proof {
    match state {
        State::Stored => Proof::Commit,
        State::HandedOver(_) => Proof::CarryReceipt,
        State::AtRelay { .. } => Proof::RelayReceipt,
        State::Delivered(_) => match tracker.proof(dev) {
            Some(Proof::Entry) => Proof::Entry,
            _ => Proof::Head,
        },
        State::Seen { .. } | State::Acknowledged { .. } => Proof::Entry,
    }
}
