//! `thread`: founding, listing and changing threads.
//!
//! A thread is named by its title, or by the beginning of its id where titles are alike; the node decides
//! which is meant and lists the candidates if several are.

use super::Context;
use super::screen::{Paint, clean, moment, now_ms};
use crate::api::types::{EntryInfo, Fault, Made, NewThread, ThreadInfo, Whom};
use crate::client::{Client, segment};
use crate::fault::Exit;
use clap::{Args, Subcommand, value_parser};

/// `thread`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
    aidmesh thread new 7K2 --kind patient --to \"Dr K\"\n  \
    aidmesh thread list\n  \
    aidmesh thread show 7K2")]
pub enum Thread {
    /// Found a thread.
    New(New),
    /// Threads of this device.
    #[command(after_help = "Example:\n  aidmesh thread list --json")]
    List,
    /// Members and entries of a thread.
    Show(Show),
    /// Add a person: every device of theirs whose card is here.
    Add(Change),
    /// Remove a person. They read nothing that is written from then on.
    Remove(Change),
    /// Leave a thread. What is here stays readable here.
    Leave(Leave),
}

/// `thread new`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    aidmesh thread new 7K2 --kind patient --to \"Dr K\" --to 5be1d07a\n  \
    aidmesh thread new \"Bridge collapse\" --kind incident")]
pub struct New {
    /// Title that members read. Without a patient's name: members of other organisations read it too.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it is for.
    #[arg(long, value_enum, default_value_t = Kind::Patient)]
    pub kind: Kind,
    /// A member, by name or by the first 8 digits of the device; several times for several.
    #[arg(long, value_name = "PERSON")]
    pub to: Vec<String>,
}

/// What a thread is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A patient's care team.
    Patient,
    /// The channel of an incident.
    Incident,
    /// Standing line to a hospital.
    Hotline,
}

/// `thread show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  aidmesh thread show 7K2\n  aidmesh thread show 3f9a01c2 --last 20")]
pub struct Show {
    /// Title, or the beginning of the id.
    #[arg(value_name = "THREAD")]
    pub thread: String,
    /// Entries at most, the newest; 999 is the most.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u16).range(1..1000))]
    pub last: u16,
    /// Only entries that stand before this one.
    #[arg(long, value_name = "ENTRY")]
    pub before: Option<String>,
}

/// `thread leave`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  aidmesh thread leave 3f9a01c2")]
pub struct Leave {
    /// Title, or the beginning of the id.
    #[arg(value_name = "THREAD")]
    pub thread: String,
}

/// `thread add`, `thread remove`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  aidmesh thread add 7K2 \"Dr M\"\n  aidmesh thread remove 7K2 5be1d07a")]
pub struct Change {
    /// Title, or the beginning of the id.
    #[arg(value_name = "THREAD")]
    pub thread: String,
    /// Name of the person, or the first 8 digits of a device.
    #[arg(value_name = "PERSON")]
    pub person: String,
}

impl Thread {
    pub(super) async fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        let node = context.node()?;
        match self {
            Thread::New(new) => found(context, &node, new).await?,
            Thread::List => list(context, &node).await?,
            Thread::Show(which) => show(context, &node, &which).await?,
            Thread::Add(Change { thread, person }) => {
                let path = format!("/v1/threads/{}/members", segment(&thread));
                let made: Made = node
                    .post(
                        &path,
                        &Whom {
                            person: person.clone(),
                        },
                    )
                    .await?;
                changed(context, &made, &format!("{} is added.", clean(&person)));
            }
            Thread::Remove(Change { thread, person }) => {
                let path = format!("/v1/threads/{}/members/{}", segment(&thread), segment(&person));
                let made: Made = node.delete(&path).await?;
                changed(context, &made, &format!("{} is removed.", clean(&person)));
            }
            Thread::Leave(Leave { thread }) => {
                let path = format!("/v1/threads/{}/leave", segment(&thread));
                let made: Made = node.post(&path, &serde_json::json!({})).await?;
                changed(context, &made, &format!("{} is left.", clean(&thread)));
            }
        }
        Ok(Exit::Fine)
    }
}

async fn found(context: &mut Context, node: &Client, new: New) -> Result<(), Fault> {
    let kind = match new.kind {
        Kind::Patient => "patient",
        Kind::Incident => "incident",
        Kind::Hotline => "hotline",
    };
    let name = clean(&new.name);
    let thread = NewThread {
        name: new.name,
        kind: kind.into(),
        to: new.to,
    };
    let made: Made = node.post("/v1/threads", &thread).await?;
    let id = made.thread.clone().unwrap_or_default();
    changed(
        context,
        &made,
        &format!("{}  {name} ({kind}) is founded.", short(&clean(&id))),
    );
    Ok(())
}

/// What was done here; others learn it when a link appears.
fn changed(context: &mut Context, made: &Made, what: &str) {
    context.screen.object(made);
    context
        .screen
        .line(&format!("{what} Others learn it when a link appears."));
}

async fn list(context: &mut Context, node: &Client) -> Result<(), Fault> {
    let threads: Vec<ThreadInfo> = node.get("/v1/threads").await?;
    for thread in &threads {
        context.screen.object(thread);
    }
    if threads.is_empty() {
        context.screen.line("No thread here yet: aidmesh thread new NAME");
    }
    let rows = threads.iter().map(|thread| {
        let others: Vec<&str> = thread
            .members
            .iter()
            .filter(|m| !m.me)
            .map(|m| m.person.as_str())
            .collect();
        let waits = match (thread.unsealed, &thread.stopped) {
            (_, Some(why)) => format!("stopped: {why}"),
            (0, None) => String::new(),
            (n, None) => format!("{n} not sealed yet"),
        };
        vec![
            short(&thread.thread).to_owned(),
            thread.name.clone(),
            thread.kind.clone(),
            format!("{} entries", thread.entries),
            others.join(", "),
            waits,
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    context.screen.table("", &rows);
    Ok(())
}

async fn show(context: &mut Context, node: &Client, which: &Show) -> Result<(), Fault> {
    let (name, last) = (segment(&which.thread), usize::from(which.last));
    let thread: ThreadInfo = node.get(&format!("/v1/threads/{name}")).await?;
    // one more than is shown tells that there are more
    let mut path = format!(
        "/v1/threads/{}/entries?limit={}",
        segment(&thread.thread),
        last + 1
    );
    if let Some(before) = &which.before {
        path.push_str(&format!("&before={}", segment(before)));
    }
    let mut entries: Vec<EntryInfo> = node.get(&path).await?;
    let earlier = entries.len() > last;
    entries.drain(..entries.len().saturating_sub(last));
    context
        .screen
        .object(&serde_json::json!({ "thread": thread, "entries": entries, "earlier": earlier }));
    let head = format!("{}  {} ({})", short(&thread.thread), thread.name, thread.kind);
    let head = context.screen.paint(Paint::Bold, &clean(&head));
    context.screen.line(&head);
    if let Some(why) = &thread.stopped {
        let why = format!("Nothing is sealed here now: {}", clean(why));
        let why = context.screen.paint(Paint::Bad, &why);
        context.screen.line(&why);
    }
    let members = thread.members.iter().map(|member| {
        let me = if member.me { "this device" } else { "" };
        let cells = [&member.person, &member.role, &member.device8];
        let mut row = cells.map(Clone::clone).to_vec();
        row.push(me.to_owned());
        row
    });
    context.screen.table("  ", &members.collect::<Vec<_>>());
    if earlier {
        context.screen.line("Earlier entries are not shown: --last N");
    }
    let now = now_ms();
    let rows: Vec<Vec<String>> = entries.iter().map(|entry| entry_row(entry, now)).collect();
    context.screen.table("", &rows);
    Ok(())
}

/// Cells of an entry: id, time, author, kind, text, remarks.
pub(super) fn entry_row(entry: &EntryInfo, now_ms: u64) -> Vec<String> {
    vec![
        entry.entry.clone(),
        moment(entry.at_ms, now_ms),
        entry.person.clone(),
        entry.kind.clone(),
        entry.text.clone(),
        entry.marks.join(", "),
    ]
}

/// The first 8 digits of an id.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}
