//! `run`: what can be said to start the node of a data folder.
//!
//! It stays until SIGTERM or Ctrl-C, and says on its first line that it takes commands.

mod act;

use crate::config::Flags;
use clap::Args;

/// `run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    aidmesh run\n  \
    aidmesh run --data /var/lib/aidmesh --passphrase-file /run/secrets/aidmesh\n  \
    aidmesh run --relay \"North-1 relay.example.org:7443 KEY\"")]
pub struct Run {
    /// Settings of this run.
    #[command(flatten)]
    pub flags: Flags,
}
