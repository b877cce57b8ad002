//! Commands that write an entry: `send`, `ack`, `recall`, and what all of them say afterwards.
//!
//! The node answers when the entry is on its disk, so what is said is *stored* and nothing more, unless
//! `--wait` saw more.

use super::screen::{Paint, clean};
use super::wait::{self, End};
use super::{Context, is_stdin, status};
use crate::api::types::{Fault, Made, NewAck, NewNote, NewRecall};
use crate::client::{Client, segment};
use crate::fault::{self, Exit};
use aidmesh_core::delivery::words;
use aidmesh_core::limits;
use clap::Args;
use serde::Serialize;
use std::io::Read;

/// `send`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    aidmesh send 7K2 \"Aspirin 300 mg given.\"\n  \
    aidmesh send 7K2 \"Which access?\" --wait delivered --timeout 2m\n  \
    aidmesh send 7K2 - < note.txt")]
pub struct Send {
    /// Title of the thread, or the beginning of its id.
    #[arg(value_name = "THREAD")]
    pub thread: String,
    /// The text; - reads it from standard input.
    pub text: String,
}

/// `ack`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    aidmesh ack 3f9a01c2-5be1d07a-12\n  \
    aidmesh ack 3f9a01c2-5be1d07a-12 --act activated")]
pub struct Ack {
    /// Id of the entry, or its unique beginning.
    #[arg(value_name = "ENTRY")]
    pub entry: String,
    /// What you do about it.
    #[arg(long, value_enum, default_value_t = Act::Acknowledged)]
    pub act: Act,
}

/// Acts of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Act {
    /// You have it.
    Acknowledged,
    /// You take the patient.
    Accepted,
    /// You do not; somebody else has to.
    Declined,
    /// The team is called.
    Activated,
}

/// `recall`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  aidmesh recall 3f9a01c2-5be1d07a-12 --why \"wrong patient\"")]
pub struct Recall {
    /// Id of your entry, or its unique beginning.
    #[arg(value_name = "ENTRY")]
    pub entry: String,
    /// Reason, which recipients read.
    #[arg(long, value_name = "TEXT")]
    pub why: String,
}

impl Send {
    pub(super) async fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        let node = context.node()?;
        let text = match is_stdin(self.text.as_ref()) {
            true => piped()?,
            false => self.text,
        };
        let path = format!("/v1/threads/{}/notes", segment(&self.thread));
        let made = node.post(&path, &NewNote { text }).await?;
        stored(context, &node, made).await
    }
}

impl Ack {
    pub(super) async fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        let node = context.node()?;
        let path = format!("/v1/entries/{}/ack", segment(&self.entry));
        let act = match self.act {
            Act::Acknowledged => "acknowledged",
            Act::Accepted => "accepted",
            Act::Declined => "declined",
            Act::Activated => "activated",
        };
        let made = node.post(&path, &NewAck { act: act.into() }).await?;
        stored(context, &node, made).await
    }
}

impl Recall {
    pub(super) async fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        let node = context.node()?;
        let path = format!("/v1/entries/{}/recall", segment(&self.entry));
        let made = node.post(&path, &NewRecall { why: self.why }).await?;
        stored(context, &node, made).await
    }
}

/// Standard input as a note; longer ones are refused before they are sent.
fn piped() -> Result<String, Fault> {
    let mut text = String::new();
    let input = std::io::stdin().take(limits::NOTE_BYTES as u64 + 1);
    let read = { input }.read_to_string(&mut text);
    read.map_err(|why| fault::with("AM-USE-07", why))?;
    if text.len() > limits::NOTE_BYTES {
        let how = format_args!("a note has at most {} bytes", limits::NOTE_BYTES);
        return Err(fault::with("AM-USE-05", how));
    }
    Ok(text.trim_end().to_owned())
}

#[derive(Serialize)]
struct Waited {
    #[serde(flatten)]
    made: Made,
    waited_for: wait::Goal,
    reached: bool,
    status: Option<crate::api::types::Status>,
}

/// Says what was stored, and waits if that was asked for.
pub(super) async fn stored(context: &mut Context, node: &Client, made: Made) -> Result<Exit, Fault> {
    let entry = made.entries.first().cloned();
    for entry in &made.entries {
        let line = format!("{}  {}", clean(entry), words::text("line.stored"));
        context.screen.line(&line);
    }
    let (Some(goal), Some(entry)) = (context.wait, entry) else {
        context.screen.object(&made);
        return Ok(Exit::Fine);
    };
    let followed = wait::follow(context, node, &entry, goal).await;
    let (status, end) = match followed {
        Ok((status, end)) => (Some(status), end),
        // it is stored whatever becomes of the waiting: say so before saying why
        Err(fault) => {
            context.screen.object(&made);
            return Err(fault);
        }
    };
    if let Some(status) = &status {
        status::print(&mut context.screen, status);
    }
    context.screen.object(&Waited {
        made,
        waited_for: goal,
        reached: end == End::Reached,
        status,
    });
    say_end(context, &entry, end);
    Ok(end.exit())
}

/// What a person should know when waiting ended without the state.
pub(super) fn say_end(context: &mut Context, entry: &str, end: End) {
    if context.screen.json() {
        return;
    }
    let why = match end {
        End::Reached => return,
        End::Late => "Not there in time.",
        End::Interrupted => "Stopped waiting.",
    };
    let why = context.screen.paint(Paint::Odd, why);
    let rest = format!(
        "{why} It stays stored on this device and goes on by itself. See: aidmesh status {}",
        clean(entry)
    );
    context.screen.aside(&rest);
}
