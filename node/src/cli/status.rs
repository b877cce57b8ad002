//! `status`: who has what, in the words of the core's one table and from evidence only.
//!
//! The node says each line; this only lays them out. Without an argument: the device, its relays, and the
//! newest own entries of all threads.

use super::screen::{Paint, Screen, clean, moment, now_ms};
use super::{Context, wait, write};
use crate::api::types::{EntryInfo, Fault, NodeView, Status as EntryStatus, ThreadInfo};
use crate::client::{Client, segment};
use crate::fault::Exit;
use aidmesh_core::delivery::words;
use clap::Args;

/// Own entries that are shown at most, the newest.
const ENTRIES_MAX: usize = 20;
/// Kinds of entries that only answer others, or carry cards.
const ANSWERS: [&str; 3] = ["acknowledgement", "seen", "roster"];

/// `status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    aidmesh status\n  \
    aidmesh status 7K2\n  \
    aidmesh status 3f9a01c2-5be1d07a-12 --json\n  \
    aidmesh status 3f9a01c2-5be1d07a-12 --wait acknowledged --timeout 5m")]
pub struct Status {
    /// A thread by its title or the beginning of its id, or an entry by its id or unique beginning.
    /// Without: your newest entries in all threads.
    #[arg(value_name = "THREAD|ENTRY")]
    pub what: Option<String>,
}

impl Status {
    pub(super) async fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        let node = context.node()?;
        let Some(what) = self.what else {
            let view: NodeView = node.get("/v1/node").await?;
            device(&mut context.screen, &view);
            return of_threads(context, &node).await;
        };
        // an entry's id begins like its thread's: what has a second part can only be an entry
        let thread = node
            .get::<ThreadInfo>(&format!("/v1/threads/{}", segment(&what)))
            .await;
        match thread {
            Ok(thread) if context.wait.is_none() => {
                of_thread(context, &node, &thread).await?;
                Ok(Exit::Fine)
            }
            Err(fault) if fault.code == "AM-USE-03" => Err(fault),
            _ => of_entry(context, &node, &what).await,
        }
    }
}

async fn of_entry(context: &mut Context, node: &Client, entry: &str) -> Result<Exit, Fault> {
    let (status, end) = match context.wait {
        Some(goal) => wait::follow(context, node, entry, goal).await?,
        None => {
            let path = format!("/v1/entries/{}/status", segment(entry));
            (node.get(&path).await?, wait::End::Reached)
        }
    };
    context.screen.object(&status);
    print(&mut context.screen, &status);
    write::say_end(context, &status.entry, end);
    Ok(end.exit())
}

async fn of_threads(context: &mut Context, node: &Client) -> Result<Exit, Fault> {
    let threads: Vec<ThreadInfo> = node.get("/v1/threads").await?;
    let mut own = Vec::new();
    for thread in &threads {
        own.extend(own_entries(node, thread).await?);
    }
    own.sort_by_key(|entry| entry.at_ms);
    let older = own.len().saturating_sub(ENTRIES_MAX);
    if own.is_empty() {
        context.screen.line("Nothing was sent from here yet.");
    }
    for entry in &own[older..] {
        one(context, node, entry).await?;
    }
    if older > 0 {
        let rest = format!("{older} older entries: aidmesh status THREAD");
        context.screen.line(&rest);
    }
    Ok(Exit::Fine)
}

async fn of_thread(context: &mut Context, node: &Client, thread: &ThreadInfo) -> Result<(), Fault> {
    if let Some(why) = &thread.stopped {
        let line = format!("Nothing is sealed in this thread now: {}", clean(why));
        let line = context.screen.paint(Paint::Bad, &line);
        context.screen.line(&line);
    }
    let own = own_entries(node, thread).await?;
    if own.is_empty() {
        context
            .screen
            .line("Nothing was sent to this thread from here yet.");
    }
    for entry in &own {
        one(context, node, entry).await?;
    }
    Ok(())
}

async fn own_entries(node: &Client, thread: &ThreadInfo) -> Result<Vec<EntryInfo>, Fault> {
    let path = format!("/v1/threads/{}/entries", segment(&thread.thread));
    let mut entries: Vec<EntryInfo> = node.get(&path).await?;
    entries.retain(|entry| entry.mine && !ANSWERS.contains(&entry.kind.as_str()));
    Ok(entries)
}

async fn one(context: &mut Context, node: &Client, entry: &EntryInfo) -> Result<(), Fault> {
    let path = format!("/v1/entries/{}/status", segment(&entry.entry));
    let status: EntryStatus = node.get(&path).await?;
    context.screen.object(&status);
    print(&mut context.screen, &status);
    Ok(())
}

/// An entry and a line for each recipient.
pub(super) fn print(screen: &mut Screen, status: &EntryStatus) {
    if screen.json() {
        return;
    }
    let now = now_ms();
    let stored = words::text("state.stored");
    let head = format!(
        "{}  {} ({})  {stored} {}",
        clean(&status.entry),
        clean(&status.kind),
        clean(&status.class),
        moment(status.at_ms, now)
    );
    let head = screen.paint(Paint::Bold, &head);
    screen.line(&head);
    if status.recipients.is_empty() {
        screen.line(&format!("  {}", words::text("line.stored")));
    }
    let rows = status.recipients.iter().map(|one| {
        let marks = one.marks.join(", ");
        [&one.person, &one.role, &one.device8, &one.line, &marks]
            .map(Clone::clone)
            .to_vec()
    });
    screen.table("  ", &rows.collect::<Vec<_>>());
}

/// The device and its links.
fn device(screen: &mut Screen, view: &NodeView) {
    if screen.json() {
        return;
    }
    let who = match view.signed_on {
        true => clean(&view.person),
        false => "nobody is signed on".to_owned(),
    };
    let line = format!(
        "{}, {who}, device {}",
        clean(&view.organisation),
        clean(&view.device8)
    );
    let line = screen.paint(Paint::Bold, &line);
    screen.line(&line);
    let now = now_ms();
    let rows = view.relays.iter().map(|relay| {
        let since = moment(relay.since_ms, now);
        let state = match (relay.state.as_str(), relay.rtt_ms) {
            ("up", Some(rtt)) => format!("up since {since}, {rtt} ms there and back"),
            ("up", None) => format!("up since {since}"),
            _ => format!(
                "NO LINK since {since}: {}",
                relay.why.as_deref().unwrap_or(&relay.state)
            ),
        };
        vec!["relay".into(), relay.name.clone(), state]
    });
    screen.table("  ", &rows.collect::<Vec<_>>());
    let waiting: u32 = view.waiting.iter().sum();
    if waiting > 0 {
        let line = format!("  {waiting} items wait here.");
        let line = screen.paint(Paint::Odd, &line);
        screen.line(&line);
    }
    if let Some(fault) = &view.fault {
        let line = screen.paint(Paint::Bad, &clean(&fault.line()));
        screen.line(&line);
    }
}
