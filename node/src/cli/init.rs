//! `init`: what can be said to make the data folder of a device and its identity.
//!
//! Three ways in, exactly one of which is chosen: found an organisation, ask to join one with its invite,
//! or finish joining with the grant that came back. The second prints a request and six words, and waits
//! for nobody unless the invite names a desk that answers online.

pub(super) mod act;

use crate::config::Flags;
use clap::{ArgGroup, Args};

/// `init`.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("way").required(true).args(["org", "invite", "grant"]),
    after_help = "Examples:\n  \
        aidmesh init --org \"Hospital North\" --person \"Dr K\" --role cardiologist\n  \
        aidmesh init --invite invite.txt --person \"Medic A\"\n  \
        aidmesh init --grant grant.txt"
)]
pub struct Init {
    /// Found an organisation of this name; this device is its desk.
    #[arg(long, value_name = "NAME")]
    pub org: Option<String>,
    /// Ask to join the organisation that made this invite.
    #[arg(long, value_name = "TEXT|FILE")]
    pub invite: Option<String>,
    /// Finish joining with the desk's answer.
    #[arg(long, value_name = "TEXT|FILE")]
    pub grant: Option<String>,
    /// Your name, as others read it.
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "grant",
        conflicts_with = "grant"
    )]
    pub person: Option<String>,
    /// Role: physician, cardiologist, paramedic, nurse, dispatcher, ...; several times for several.
    #[arg(long = "role", value_name = "ROLE", conflicts_with = "grant")]
    pub roles: Vec<String>,
    /// Name of this device, shown to others when one person has several.
    #[arg(long, value_name = "NAME", conflicts_with = "grant")]
    pub device: Option<String>,
    /// Settings that count from now on.
    #[command(flatten)]
    pub flags: Flags,
}

impl Init {
    /// The way that was chosen. Exactly one is, by the table of arguments.
    pub fn way(&self) -> Option<Way<'_>> {
        let found = self.org.as_deref().map(Way::Found);
        let ask = self.invite.as_deref().map(Way::Ask);
        let finish = self.grant.as_deref().map(Way::Finish);
        found.or(ask).or(finish)
    }
}

/// A way into an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'a> {
    /// Found one of this name.
    Found(&'a str),
    /// Ask with this invite, text or file.
    Ask(&'a str),
    /// Finish with this grant, text or file.
    Finish(&'a str),
}
