//! `config`: writing a file of settings, and what is used and why.

use super::Context;
use super::screen::clean;
use crate::api::types::Fault;
use crate::config::{self, Flags};
use crate::fault::Exit;
use clap::{Args, Subcommand};
use serde_json::{Map, json};

/// `config`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  aidmesh config init\n  aidmesh config show --origin")]
pub enum Config {
    /// Write config.toml into the data folder, every key with a comment.
    #[command(after_help = "Example:\n  aidmesh config init --data /var/lib/aidmesh")]
    Init,
    /// Settings as they are used.
    Show(Show),
}

/// `config show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  aidmesh config show\n  aidmesh config show --origin --engine redb")]
pub struct Show {
    /// Say where each value comes from.
    #[arg(long)]
    pub origin: bool,
    /// Flags as other commands take them.
    #[command(flatten)]
    pub flags: Flags,
}

impl Config {
    pub(super) fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        match self {
            Config::Init => {
                let path = config::write_new(&context.data)?;
                context.screen.line(&path.display().to_string());
                context.screen.object(&json!({ "path": path }));
            }
            Config::Show(show) => {
                let environment = |name: &str| std::env::var(name).ok();
                let config = config::Config::load(&context.data, &environment, &show.flags)?;
                let mut object = Map::new();
                let mut rows = Vec::new();
                for (name, value, origin) in config.rows() {
                    let origin = if show.origin {
                        format!("# {}", origin.words())
                    } else {
                        String::new()
                    };
                    // JSON of strings, numbers and lists reads like TOML
                    let line = if value.is_null() {
                        format!("# {name} is not set")
                    } else {
                        format!("{name} = {value}")
                    };
                    rows.push(vec![clean(&line), origin.clone()]);
                    let entry = match show.origin {
                        true => json!({ "value": value, "origin": origin.trim_start_matches("# ") }),
                        false => json!(value),
                    };
                    object.insert(name.into(), entry);
                }
                context.screen.object(&object);
                context.screen.table("", &rows);
            }
        }
        Ok(Exit::Fine)
    }
}
