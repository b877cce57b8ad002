//! Where the log goes: lines on standard error, which systemd takes into its journal.
//!
//! Level INFO, or what `AIDMESH_LOG` names. Colour only on a terminal and without `NO_COLOR`. At INFO and
//! above lines have no names, no addresses of peers, and keys cut to 8 digits.

use std::io::{IsTerminal, stderr};
use tracing::level_filters::LevelFilter;

/// Starts the log. A program that has one already keeps it.
pub(crate) fn start() {
    let level = std::env::var("AIDMESH_LOG")
        .ok()
        .and_then(|level| level.parse().ok());
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_writer(stderr)
        .with_ansi(colour)
        .with_target(false)
        .with_max_level(level.unwrap_or(LevelFilter::INFO));
    let _ = log.try_init();
}
