//! The command line of a relay: what can be said, with examples, and nothing of what is done.
//!
//! Secrets are never arguments: a key comes from a file or from a credential of systemd. Every command
//! takes `--data` and `--json`; what is not said comes from `relay.json` in the data folder.

use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// UDP port of relays.
pub const PORT: u16 = 7443;
/// Where health and metrics are served if nothing else is said.
pub const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);

/// Everything that can be said.
#[derive(Debug, Parser)]
#[command(
    name = "aidmesh-relay",
    version,
    about = "Keeps sealed items for ambulances and hospitals. Cannot read them.",
    after_help = "Examples:\n  \
        aidmesh-relay init --org hospital.card --listen 0.0.0.0:7443 --public relay.hospital.example:7443\n  \
        aidmesh-relay run\n  \
        aidmesh-relay status"
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
    /// The data folder. Else $STATE_DIRECTORY of systemd, else ~/.local/share/aidmesh-relay.
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// One JSON object a line, on standard output; errors on standard error.
    #[arg(long, global = true)]
    pub json: bool,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Make the key and the data folder of a new relay; print its card for invites.
    #[command(after_help = "Example:\n  \
        aidmesh-relay init --org hospital.card --public relay.hospital.example:7443 --name North-1")]
    Init(Init),
    /// Serve more organisations: from the next start their devices are let in.
    #[command(after_help = "Example:\n  aidmesh-relay trust fire-brigade.card")]
    Trust(Trust),
    /// Print this relay's card line.
    Card,
    /// Run, until SIGTERM or Ctrl-C.
    #[command(after_help = "Example:\n  aidmesh-relay run --data /var/lib/aidmesh-relay")]
    Run(Run),
    /// Ask the relay that runs here how it is.
    #[command(after_help = "Example:\n  aidmesh-relay status --json")]
    Status(Status),
}

/// `init`.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// Card of an organisation to serve, as text or as a file. May be given several times.
    #[arg(long = "org", value_name = "CARD", required = true, num_args = 1..)]
    pub orgs: Vec<String>,
    /// UDP address to listen on.
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from(([0, 0, 0, 0], PORT)))]
    pub listen: SocketAddr,
    /// How devices reach it, as in invites. Guessed from the network of this machine if not said.
    #[arg(long, value_name = "HOST:PORT")]
    pub public: Option<String>,
    /// Name to show, at most 40 bytes.
    #[arg(long, default_value = "relay")]
    pub name: String,
    /// File with the key that opens the data folder; made if it is not there, readable by its owner only.
    /// Else a credential `aidmesh-relay-key` of systemd, else DIR.key beside the data folder.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Folder for the count of starts, which must never be restored together with the data.
    #[arg(long, value_name = "DIR")]
    pub openings: Option<PathBuf>,
    /// Where health and metrics are served. A loopback address.
    #[arg(long, value_name = "ADDR", default_value_t = ADMIN)]
    pub admin: SocketAddr,
    /// Room for all items, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 8192)]
    #[arg(value_parser = clap::value_parser!(u64).range(16..=1 << 24))]
    pub room_mib: u64,
}

/// `trust`.
#[derive(Debug, clap::Args)]
pub struct Trust {
    /// Cards of organisations, as text or as files.
    #[arg(value_name = "CARD", required = true)]
    pub cards: Vec<String>,
}

/// `run`.
#[derive(Debug, Default, clap::Args)]
pub struct Run {
    /// Listen here instead of at the address of `init`.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Serve health and metrics here. A loopback address.
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// As for `init`.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// `status`.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Ask here instead of at the address of `init`.
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
}

#[cfg(test)]
mod tests;
