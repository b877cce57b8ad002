//! `--wait`: following an entry until its recipients have it, by events of the node.
//!
//! Nothing is concluded from an event alone: it only says when to look, and looking is asking for the
//! [`Status`]. The stream is opened before the first look, so that nothing can happen between them unseen.
//! If the stream ends, the next one goes on after its last event.
//!
//! What is reached ([`Goal::reached`]) is decided by evidence as the node reports it. *Delivered* means
//! every recipient, *seen* and *acknowledged* mean at least one person. A declined alert was seen; it is
//! not acknowledged, since somebody else has to act.
//!
//! The entry is stored before waiting begins: neither time that runs out nor Ctrl-C takes it back.

use super::Context;
use super::screen::clean;
use crate::api::types::{Fault, RecipientStatus, Status};
use crate::client::{Client, EventStream, segment};
use crate::fault::Exit;
use aidmesh_core::delivery::words;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// A look without an event, in case that one got lost with a connection.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest `--timeout`.
const TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// A state to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Every recipient's device checked and opened it.
    Delivered,
    /// A person has seen it.
    Seen,
    /// A person has acknowledged it, and did not decline.
    Acknowledged,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The state is reached.
    Reached,
    /// Time ran out.
    Late,
    /// Ctrl-C.
    Interrupted,
}

impl Goal {
    /// Whether these recipients are there. Nobody is nobody's delivery.
    pub fn reached(self, recipients: &[RecipientStatus]) -> bool {
        let at_least = |one: &RecipientStatus, step| place(&one.state) >= place(step);
        match self {
            Goal::Delivered => {
                !recipients.is_empty() && recipients.iter().all(|one| at_least(one, "delivered"))
            }
            Goal::Seen => recipients.iter().any(|one| at_least(one, "seen")),
            Goal::Acknowledged => recipients.iter().any(|one| {
                at_least(one, "acknowledged") && one.act.as_deref() != Some(words::text("act.declined"))
            }),
        }
    }
}

impl End {
    /// The exit code.
    pub fn exit(self) -> Exit {
        match self {
            End::Reached => Exit::Fine,
            End::Late => Exit::Queued,
            End::Interrupted => Exit::Interrupted,
        }
    }
}

/// Where a state stands among the six; a state of a newer node stands before all, so that it claims nothing.
fn place(state: &str) -> Option<usize> {
    let states = [
        "stored",
        "handed_over",
        "at_relay",
        "delivered",
        "seen",
        "acknowledged",
    ];
    states.iter().position(|known| *known == state)
}

/// Follows `entry` until the goal is reached, time runs out or somebody presses Ctrl-C.
///
/// # Errors
/// What the node says about the entry at the first look; later faults of the connection only delay.
pub async fn follow(
    context: &Context,
    node: &Client,
    entry: &str,
    goal: Goal,
) -> Result<(Status, End), Fault> {
    let until = Instant::now() + context.timeout;
    let path = format!("/v1/entries/{}/status", segment(entry));
    let events = node.events(None).await?;
    let mut status: Status = node.get(&path).await?;
    let bar = progress(context);
    let end = tokio::select! {
        biased;
        () = until_reached(node, events, &path, goal, &mut status, &bar) => End::Reached,
        () = sleep_until(until) => End::Late,
        _ = tokio::signal::ctrl_c() => End::Interrupted,
    };
    bar.finish_and_clear();
    Ok((status, end))
}

async fn until_reached(
    node: &Client,
    mut events: EventStream,
    path: &str,
    goal: Goal,
    status: &mut Status,
    bar: &ProgressBar,
) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !goal.reached(&status.recipients) {
        bar.set_message(clean(&lines(status)));
        tokio::select! {
            _ = look.tick() => events = again(node, events).await,
            more = concerns(&mut events, &status.entry) => if !more {
                look.tick().await;
                events = again(node, events).await;
            },
        }
        if let Ok(now) = node.get(path).await {
            *status = now;
        }
    }
}

/// `true` at the next event about the entry, `false` at the end of the stream.
async fn concerns(events: &mut EventStream, entry: &str) -> bool {
    while let Some(Ok(event)) = events.next().await {
        if event.entry.as_deref() == Some(entry) {
            return true;
        }
    }
    false
}

/// The same stream, or a new one after its last event if it ended.
async fn again(node: &Client, events: EventStream) -> EventStream {
    match events.ended() {
        true => node.events(events.last()).await.unwrap_or(events),
        false => events,
    }
}

fn progress(context: &Context) -> ProgressBar {
    if !context.screen.progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4}  {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// What is known of all recipients, in one line.
fn lines(status: &Status) -> String {
    let known: Vec<&str> = status.recipients.iter().map(|one| one.line.as_str()).collect();
    match known.is_empty() {
        true => words::text("line.stored").to_owned(),
        false => known.join("  "),
    }
}

/// Reads `500ms`, `30s`, `5m`, `1h`; a number alone is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| "a time is a number and ms, s, m or h".to_owned())?;
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("{unit:?} is none of ms, s, m, h")),
    };
    let time = number.checked_mul(unit_ms).map(Duration::from_millis);
    time.filter(|time| *time <= TIME_MAX)
        .ok_or_else(|| "at most 7 days".to_owned())
}
