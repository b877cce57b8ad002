//! `org`: what can be said at the desk of an organisation.
//!
//! Every command works on the data folder of an administrator alone; a node that runs there is told to read
//! it again. Texts may be carried as text or as files, whichever a person gives.

mod act;

use clap::{Args, Subcommand};

/// `org`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
    aidmesh org invite --role paramedic\n  \
    aidmesh org approve request.txt\n  \
    aidmesh org card > hospital-north.card")]
pub enum Org {
    /// Make an invite for one device: text and QR code.
    Invite(Invite),
    /// Let a device in that asked with an invite, after its six words were compared.
    Approve(Approve),
    /// Print the organisation's card, for other organisations and relays.
    #[command(after_help = "Example:\n  aidmesh org card > hospital-north.card")]
    Card,
    /// Use a relay: invites and grants name it from now on.
    Relay(Relay),
    /// Trust another organisation by its card.
    Trust(Trust),
    /// Take a device out of the organisation for ever.
    Revoke(Revoke),
    /// Devices of the organisation.
    #[command(after_help = "Example:\n  aidmesh org list --json")]
    List,
}

/// `org invite`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    aidmesh org invite --role paramedic\n  \
    aidmesh org invite --role cardiologist --role physician --listen 0.0.0.0:7444\n  \
    aidmesh org invite --role nurse --svg invite.svg")]
pub struct Invite {
    /// Role that may be asked for; several times for several.
    #[arg(long = "role", value_name = "ROLE", required = true)]
    pub roles: Vec<String>,
    /// Answer the device online at this address, until it was let in or Ctrl-C.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<std::net::SocketAddr>,
    /// Address under which others reach that, host:port; else the one of --listen.
    #[arg(long, value_name = "HOST:PORT", requires = "listen")]
    pub public: Option<String>,
    /// How long it can be used: 30m, 24h.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = super::wait::duration)]
    pub valid: std::time::Duration,
    /// Write the QR code to this file.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<std::path::PathBuf>,
}

/// `org approve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  aidmesh org approve request.txt > grant.txt\n  aidmesh org approve AMR1:..."
)]
pub struct Approve {
    /// The request, as text or as a file.
    #[arg(value_name = "TEXT|FILE")]
    pub request: String,
    /// The six words were compared already: do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// `org relay`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  aidmesh org relay \"North-1 relay.example.org:7443 KEY\"")]
pub struct Relay {
    /// The line that `aidmesh-relay card` prints.
    #[arg(value_name = "CARD")]
    pub card: String,
    /// Address under which this device itself reaches it, if that is another one.
    #[arg(long, value_name = "HOST:PORT")]
    pub here: Option<String>,
}

/// `org trust`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  aidmesh org trust city-hospital.card")]
pub struct Trust {
    /// The card, as text or as a file.
    #[arg(value_name = "TEXT|FILE")]
    pub card: String,
}

/// `org revoke`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  aidmesh org revoke 5be1d07a")]
pub struct Revoke {
    /// Name of the holder, or the first 8 digits of the device.
    #[arg(value_name = "DEVICE")]
    pub device: String,
    /// Do not ask: it cannot be undone.
    #[arg(long)]
    pub yes: bool,
}
