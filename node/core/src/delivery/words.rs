//! The words of delivery: ONE table for page, command line, API, phone and docs (SCREENS B1, B2).
//!
//! A text has placeholders in braces; [`fill`] puts values in, once, so a name that looks like a
//! placeholder stays a name. Times, names and keys are formatted by the caller through [`Names`],
//! since the core knows no time zone and no directory. Meaning may not weaken: a line claims the
//! word of its state and nothing more, and no line says that all is well.

use super::{Cell, Mark, Recipient, State, Step, Tracker, View};
use crate::blob::Layer;
use crate::clinical::{Act, Emergency};
use crate::envelope::Class;
use crate::id::{Key8, Person};
use crate::time::Wall;

/// Key and English text, sorted by key.
pub const TABLE: [(&str, &str); 56] = [
    ("act.accepted", "accepted"),
    ("act.acknowledged", "acknowledged"),
    ("act.activated", "team activated"),
    ("act.activated.stemi", "cath lab activated"),
    ("act.activated.stroke", "stroke team activated"),
    ("act.activated.trauma", "trauma team activated"),
    ("act.declined", "declined"),
    ("cell.by", "by {time}"),
    ("cell.not_asked", "not asked"),
    ("cell.not_needed", "not needed"),
    ("cell.waiting", "waiting"),
    ("class.0", "alarm"),
    ("class.1", "clinical"),
    ("class.2", "text"),
    ("class.3", "voice"),
    ("class.4", "bulk"),
    (
        "detail.at_relay",
        "At relay: relay \"{relay}\" signed at {time}. It cannot read this.",
    ),
    (
        "detail.delivered",
        "Delivered: {device} checked and opened it at {time}.",
    ),
    (
        "detail.delivered.q",
        "Delivered: {device} checked and opened the {layer} at {time}.",
    ),
    (
        "detail.handed_over",
        "Handed over: {names} carry a sealed copy. This is a hint, not proof.",
    ),
    (
        "detail.handed_over.one",
        "Handed over: {names} carries a sealed copy. This is a hint, not proof.",
    ),
    ("detail.parts", "{layer}: {held} of {total} parts."),
    ("line.accepted", "Acknowledged{on} by {person} {time}: {act}."),
    ("line.acknowledged", "Acknowledged{on} by {person} {time}."),
    ("line.at_relay", "At relay {time}. Nobody has it yet."),
    (
        "line.at_relay.others",
        "At relay {time}. {name} does not have it yet.",
    ),
    ("line.declined", "Declined{on} by {person} {time}."),
    (
        "line.declined.next",
        "Declined{on} by {person} {time}. Now ringing: {next}.",
    ),
    ("line.delivered", "On {name}'s device {time}. Not seen yet."),
    (
        "line.delivered.q",
        "On {name}'s device ({layer}) {time}. Not seen yet.",
    ),
    (
        "line.handed_over",
        "With {n} carriers since {time}. Not confirmed.",
    ),
    (
        "line.handed_over.one",
        "With 1 carrier since {time}. Not confirmed.",
    ),
    ("line.on", " on {layer}"),
    ("line.seen", "Seen by {person} {time}."),
    ("line.stored", "Stored here. Not sent yet."),
    ("mark.declined", "declined"),
    ("mark.disputed", "disputed"),
    ("mark.expired", "expired {time}, still stored here"),
    ("mark.lease_expired", "lease expired {days} d"),
    ("mark.no_longer", "no longer on this device"),
    ("mark.not_confirmed", "NOT CONFIRMED"),
    ("mark.not_confirmed.anyone", "NOT CONFIRMED BY ANYONE"),
    ("mark.not_readable", "there, not readable yet"),
    ("mark.recalled", "recalled"),
    ("mark.refused", "refused: {by} full (class {class})"),
    ("mark.replaced", "replaced by {time}"),
    ("recall.line", "Recalled at {time}. {n} of {of} devices know."),
    ("recall.line.all", "Recalled at {time}. All {of} devices know."),
    ("recall.missing", "{name}: not yet told."),
    ("state.acknowledged", "acknowledged"),
    ("state.at_relay", "at relay"),
    ("state.delivered", "delivered"),
    ("state.handed_over", "handed over"),
    ("state.seen", "seen"),
    ("state.stored", "stored"),
    ("state.until", "until {time}"),
];

/// How the caller writes what the core only has as a number or key.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// A time of day.
    pub time: &'a dyn Fn(Wall) -> String,
    /// A person.
    pub person: &'a dyn Fn(Person) -> String,
    /// A relay or carrier.
    pub key: &'a dyn Fn(Key8) -> String,
}

/// The text of a key; the key itself if it is not in the table.
pub fn text(key: &'static str) -> &'static str {
    let at = TABLE.binary_search_by_key(&key, |(k, _)| k);
    at.map_or(key, |at| TABLE[at].1)
}

/// The text of a key with its placeholders replaced. An unknown placeholder stays.
pub fn fill(key: &'static str, values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = text(key);
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let value = after.split_once('}').and_then(|(name, tail)| {
            let (_, value) = values.iter().find(|(n, _)| *n == name)?;
            Some((*value, tail))
        });
        match value {
            Some((value, tail)) => {
                out.push_str(value);
                rest = tail;
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out + rest
}

/// The key of a column.
fn step_key(step: Step) -> &'static str {
    match step {
        Step::Stored => "state.stored",
        Step::HandedOver => "state.handed_over",
        Step::AtRelay => "state.at_relay",
        Step::Delivered => "state.delivered",
        Step::Seen => "state.seen",
        Step::Acknowledged => "state.acknowledged",
    }
}

/// The word of a column.
pub fn step_word(step: Step) -> &'static str {
    text(step_key(step))
}

/// The name of a column for programs: the end of its key, such as `at_relay`.
pub fn step_id(step: Step) -> &'static str {
    last(step_key(step))
}

/// The word of a state.
pub fn state_word(state: &State) -> &'static str {
    step_word(state.step())
}

/// The word of a layer.
pub fn layer_word(layer: Layer) -> &'static str {
    layer.name()
}

/// The word of a class.
pub fn class_word(class: Class) -> &'static str {
    text(["class.0", "class.1", "class.2", "class.3", "class.4"][class as usize])
}

/// The name of an act for programs: the end of its key.
pub fn act_id(act: Act) -> &'static str {
    last(act_key(act, None))
}

fn last(key: &'static str) -> &'static str {
    key.rsplit_once('.').map_or(key, |(_, last)| last)
}

/// The word of an act; what was activated depends on what the alert was about.
pub fn act_word(act: Act, what: Option<Emergency>) -> &'static str {
    text(act_key(act, what))
}

fn act_key(act: Act, what: Option<Emergency>) -> &'static str {
    match (act, what) {
        (Act::Acknowledged, _) => "act.acknowledged",
        (Act::Accepted, _) => "act.accepted",
        (Act::Declined, _) => "act.declined",
        (Act::Activated, Some(Emergency::Stemi)) => "act.activated.stemi",
        (Act::Activated, Some(Emergency::Stroke)) => "act.activated.stroke",
        (Act::Activated, Some(Emergency::Trauma)) => "act.activated.trauma",
        (Act::Activated, _) => "act.activated",
    }
}

/// The words of a mark.
pub fn mark_words(mark: &Mark, names: &Names<'_>) -> String {
    let timed = |key, at: &Wall| fill(key, &[("time", &(names.time)(*at))]);
    match mark {
        Mark::NotConfirmed => text("mark.not_confirmed").into(),
        Mark::ThereNotReadable => text("mark.not_readable").into(),
        Mark::Declined => text("mark.declined").into(),
        Mark::Expired(at) => timed("mark.expired", at),
        Mark::Recalled(_) => text("mark.recalled").into(),
        Mark::Replaced(at) => timed("mark.replaced", at),
        Mark::RefusedBy(by, class) => {
            let values = [("by", &*(names.key)(*by)), ("class", class_word(*class))];
            fill("mark.refused", &values)
        }
        Mark::NoLongerOnDevice(_) => text("mark.no_longer").into(),
        Mark::Disputed => text("mark.disputed").into(),
        Mark::LeaseExpired(days) => fill("mark.lease_expired", &[("days", &days.to_string())]),
        Mark::NotNeeded => text("cell.not_needed").into(),
    }
}

/// The words below a cell's sign.
pub fn cell_words(cell: &Cell, names: &Names<'_>) -> String {
    match cell {
        Cell::Done { at, by: false } => (names.time)(*at),
        Cell::Done { at, by: true } => fill("cell.by", &[("time", &(names.time)(*at))]),
        Cell::NotYet => text("cell.waiting").into(),
        Cell::NotNeeded => text("cell.not_needed").into(),
        Cell::NotAsked => text("cell.not_asked").into(),
    }
}

/// The line of a case: the worst recipient that is not confirmed or declined, in words; if there is
/// none, the best word. `None` before the entry is stored or without recipients.
/// `what`: of the alert; `next`: who rings now after a decline.
pub fn status_line(
    tracker: &Tracker,
    what: Option<Emergency>,
    next: Option<&str>,
    names: &Names<'_>,
) -> Option<String> {
    let stored = || tracker.views().filter(|(_, view)| view.state.is_some());
    let step = |(_, view): &(&Recipient, &View)| view.step();
    let open = stored().filter(|(recipient, view)| {
        let answered = if recipient.asked {
            Step::Seen
        } else {
            Step::Delivered
        };
        view.step() < answered || view.marks.contains(&Mark::Declined)
    });
    // an answer is asked of some and not of others: the former are the ones a case waits for
    let asked = open
        .clone()
        .filter(|(recipient, _)| recipient.asked)
        .min_by_key(step);
    let worst = asked.or_else(|| open.min_by_key(step));
    let (recipient, view) = worst.or_else(|| stored().max_by_key(step))?;
    let somebody = tracker.somebody_has_it();
    Some(line(recipient, view, somebody, what, next, names))
}

/// The line of one recipient with the word in `view`; empty before the entry is stored.
/// `somebody`: whether any recipient has it.
pub fn recipient_line(
    recipient: &Recipient,
    view: &View,
    somebody: bool,
    what: Option<Emergency>,
    names: &Names<'_>,
) -> String {
    line(recipient, view, somebody, what, None, names)
}

/// The line of one recipient; `somebody`: whether any recipient has it.
fn line(
    recipient: &Recipient,
    view: &View,
    somebody: bool,
    what: Option<Emergency>,
    next: Option<&str>,
    names: &Names<'_>,
) -> String {
    let Some(state) = view.state else {
        return String::new();
    };
    let layer = state.q().map(layer_word);
    // an answer on less than every sample says so for ever
    let judged = state.q().filter(|q| *q < Layer::LOSSLESS).map(layer_word);
    let on = judged.map_or(String::new(), |l| fill("line.on", &[("layer", l)]));
    let (time, n) = (
        (names.time)(view.at),
        if let State::HandedOver(n) = state { n } else { 0 },
    );
    let person = match state {
        State::Seen { person, .. } | State::Acknowledged { person, .. } => (names.person)(person),
        _ => String::new(),
    };
    let act = match state {
        State::Acknowledged { act, .. } => act_word(act, what),
        _ => "",
    };
    let key = match state {
        State::Stored => "line.stored",
        State::HandedOver(1) => "line.handed_over.one",
        State::HandedOver(_) => "line.handed_over",
        State::AtRelay { .. } if somebody => "line.at_relay.others",
        State::AtRelay { .. } => "line.at_relay",
        State::Delivered(None) => "line.delivered",
        State::Delivered(Some(_)) => "line.delivered.q",
        State::Seen { .. } => "line.seen",
        State::Acknowledged {
            act: Act::Acknowledged,
            ..
        } => "line.acknowledged",
        State::Acknowledged {
            act: Act::Declined, ..
        } if next.is_some() => "line.declined.next",
        State::Acknowledged {
            act: Act::Declined, ..
        } => "line.declined",
        State::Acknowledged { .. } => "line.accepted",
    };
    let values = [
        ("time", time.as_str()),
        ("n", &n.to_string()),
        ("name", &recipient.name),
        ("person", &person),
        ("layer", layer.unwrap_or_default()),
        ("on", &on),
        ("act", act),
        ("next", next.unwrap_or_default()),
    ];
    fill(key, &values)
}

/// The line of a recall, from the tracker of the recall entry: who knows it and who does not.
/// `None` before it is stored.
pub fn recall_line(recall: &Tracker, names: &Names<'_>) -> Option<String> {
    let at = recall.committed?.wall;
    let told = |(_, view): &(&Recipient, &View)| view.step() >= Step::Delivered;
    let (n, of) = (recall.views().filter(told).count(), recall.views().count());
    let key = if n == of { "recall.line.all" } else { "recall.line" };
    let (n, of) = (n.to_string(), of.to_string());
    let mut out = fill(key, &[("time", &(names.time)(at)), ("n", &n), ("of", &of)]);
    for (recipient, _) in recall.views().filter(|v| !told(v)) {
        out.push(' ');
        out.push_str(&fill("recall.missing", &[("name", &recipient.name)]));
    }
    Some(out)
}
