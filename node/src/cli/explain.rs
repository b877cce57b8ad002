//! `explain`: what a code means, from the one table of faults.

use super::Context;
use super::screen::Paint;
use crate::api::types::Fault;
use crate::config::nearest;
use crate::fault::{self, Exit, Known};
use clap::Args;
use serde_json::json;

/// `explain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  aidmesh explain AM-NODE-01\n  aidmesh explain")]
pub struct Explain {
    /// The code, as it stood before a message; without it all are listed.
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}

impl Explain {
    pub(super) fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        let screen = &mut context.screen;
        let Some(code) = self.code else {
            for known in fault::all() {
                screen.object(&object(&known));
            }
            let rows = fault::all().map(|known| vec![known.code.to_owned(), known.what.to_owned()]);
            screen.table("", &rows.collect::<Vec<_>>());
            return Ok(Exit::Fine);
        };
        let known = fault::known(&code).ok_or_else(|| {
            let codes: Vec<&str> = fault::all().map(|known| known.code).collect();
            let close = nearest(&code, &codes).map_or(String::new(), |c| format!("; did you mean {c}?"));
            let mut fault = fault::with("AM-USE-02", format_args!("{code:?}{close}"));
            fault.next = "See all codes: aidmesh explain".into();
            fault
        })?;
        screen.object(&object(&known));
        let head = screen.paint(Paint::Bold, known.code);
        screen.line(&format!("{head}: {}", known.what));
        screen.line(&format!("  What it means: {}", known.means));
        screen.line(&format!("  What to do:    {}", known.next));
        Ok(Exit::Fine)
    }
}

fn object(known: &Known) -> serde_json::Value {
    let Known {
        code,
        what,
        means,
        next,
        exit,
    } = known;
    json!({ "code": code, "what": what, "means": means, "next": next, "exit_code": *exit as u8 })
}
