//! `aidmesh demo`: the whole promise in under a minute, and an exit code that says whether it held.
//!
//! A story that plays itself: an ambulance, a relay and a hospital as three processes of this program, each
//! with its own folder and real sockets, an emulated radio link between ambulance and relay. People are
//! played by [`script`], over the same local API as every program uses. What is shown comes from events of
//! the nodes ([`story`]); every word of delivery is compared with what was really on the disks ([`claims`]);
//! planted secrets are searched at the relay and on the link ([`canary`]); [`gates`] decide.
//!
//! Exit code 0 only if every gate holds, 1 if one does not or the story breaks off, 130 after Ctrl-C. No
//! process and, without `--keep`, no file survives.

mod canary;
mod cast;
mod claims;
mod ending;
pub mod gates;
mod happening;
mod node;
mod opened;
mod prepare;
mod recording;
mod script;
mod story;
mod summary;
pub mod transcript;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aidmesh_host::node::Hooks;
use aidmesh_netem::Profile;
use serde_json::json;
use tokio::time::Instant;

pub use cast::{Role, role};
/// The secret that a relay with a planted fault is given in clear.
pub use script::NOTE as PLANTED;

use crate::api::types::{Fault, NodeView};
use cast::Stage;
use node::Node;
use prepare::{DR_K, MEDIC_A, ORGANISATION, Prepared};
use recording::Recording;
use story::{BrokeOff, Cast, Opening, Story};
use transcript::{Line, Place, Transcript};

/// A process answers this soon after its start, or the demo has failed.
const START_MAX: Duration = Duration::from_secs(30);
/// Between two looks at a process that starts.
const LOOK: Duration = Duration::from_millis(20);
/// Exit code after Ctrl-C: 128 and SIGINT.
const INTERRUPTED: u8 = 130;

/// What can be said to `demo`. `--json` is a flag of the whole program.
#[derive(Clone, Debug, clap::Args)]
pub struct Flags {
    /// Send this ECG (DICOM or WFDB) instead of an invented one.
    #[arg(long, value_name = "FILE")]
    pub ecg: Option<PathBuf>,
    /// The emulated radio link.
    #[arg(long, value_enum, default_value_t = Radio::Tunnel)]
    pub link: Radio,
    /// Decides the invented ECG and the luck of the link.
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
    /// Leave all files in their temporary folder.
    #[arg(long)]
    pub keep: bool,
    /// End after RESULT, also on a terminal.
    #[arg(long)]
    pub exit: bool,
    /// End a process with kill -9 in mid-transfer and start it again.
    #[arg(long, value_enum, value_name = "WHICH")]
    pub kill: Option<Kill>,
    /// Objects instead of lines.
    #[arg(skip)]
    pub json: bool,
}

/// Links by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Radio {
    /// Mobile network, 128 kbit/s.
    Tunnel,
    /// Edge of a rural cell, 64 kbit/s.
    Rural,
}

impl Radio {
    fn profile(self) -> Profile {
        match self {
            Radio::Tunnel => Profile::TUNNEL,
            Radio::Rural => Profile::RURAL,
        }
    }
}

/// Processes that can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kill {
    /// The relay.
    Relay,
}

/// Runs the demo and gives its exit code. `out`: standard output, or what a test reads.
pub async fn run(flags: Flags, hooks: Hooks, out: Box<dyn Write + Send>) -> u8 {
    let transcript = Transcript::new(out, flags.json);
    tokio::select! {
        code = demo(&flags, &hooks, transcript) => code,
        () = crate::run::told_to_stop() => INTERRUPTED,
    }
}

async fn demo(flags: &Flags, hooks: &Hooks, mut transcript: Transcript) -> u8 {
    match open(flags, hooks, &mut transcript).await {
        Ok(opening) => {
            let mut story = Story::new(opening, transcript);
            let played = script::play(&mut story, flags.kill).await;
            let (ending, mut transcript) = ending::end(story, played, flags.seed).await;
            transcript.last(&ending.text);
            transcript.summary(&ending.summary);
            ending.summary.exit_code
        }
        Err(why) => {
            transcript.last(&format!("\n{}", ending::broken(&why, flags.seed)));
            transcript.summary(&json!({
                "type": "summary",
                "schema": transcript::SCHEMA,
                "version": env!("CARGO_PKG_VERSION"),
                "seed": flags.seed,
                "ok": false,
                "exit_code": 1,
                "broke_off": why.to_string(),
            }));
            1
        }
    }
}

/// Prepares and starts everything up to two nodes that answer.
async fn open(flags: &Flags, hooks: &Hooks, transcript: &mut Transcript) -> Result<Opening, BrokeOff> {
    let (started, started_ms) = (Instant::now(), happening::wall_ms());
    let profile = flags.link.profile();
    let recording = match &flags.ecg {
        Some(path) => Recording::from_file(path)?,
        None => Recording::invented(flags.seed, started_ms)?,
    };
    let stage = Stage::new(flags.keep, hooks.arguments.clone())?;
    let kept_in = stage.kept().then(|| stage.path().display().to_string());
    transcript.head(&transcript::head(
        &profile,
        recording.own_file,
        kept_in.as_deref(),
    ));
    let prepared = Prepared::new(&stage, profile, flags.seed).await?;

    let mut relay = prepared.start_relay(&stage)?;
    let late = |what| BrokeOff::Late {
        what,
        limit_s: START_MAX.as_secs(),
    };
    let until = Instant::now() + START_MAX;
    while happening::look(prepared.relay_admin).await.is_none() {
        relay.check()?;
        if Instant::now() >= until {
            return Err(late("the start of the relay"));
        }
        tokio::time::sleep(LOOK).await;
    }
    transcript.say(started.elapsed(), &Line::RelayStarted);
    let (hospital, at_hospital) = start_node(&stage, &prepared, Place::Hospital).await?;
    let (person, organisation) = (DR_K.into(), ORGANISATION.into());
    transcript.say(started.elapsed(), &Line::HospitalStarted { person, organisation });
    let (ambulance, at_ambulance) = start_node(&stage, &prepared, Place::Ambulance).await?;
    for process in [&relay, &hospital, &ambulance] {
        process.forget_peak();
    }
    transcript.ready(started.elapsed(), addresses(&stage, &prepared));
    let happenings = happening::follow(at_hospital.clone(), at_ambulance.clone(), prepared.relay_admin);
    Ok(Opening {
        started,
        started_ms,
        profile,
        recording,
        cast: Cast {
            relay: Some(relay),
            hospital,
            ambulance,
        },
        prepared,
        stage,
        hospital: at_hospital,
        ambulance: at_ambulance,
        happenings,
    })
}

/// Starts a node and waits until it answers, and says that the right person is signed on.
async fn start_node(
    stage: &Stage,
    prepared: &Prepared,
    place: Place,
) -> Result<(cast::Process, Node), BrokeOff> {
    let mut process = prepared.start_node(stage, place)?;
    let socket = prepare::socket(stage, place);
    let person = if place == Place::Hospital { DR_K } else { MEDIC_A };
    let until = Instant::now() + START_MAX;
    loop {
        process.check()?;
        match answering(&socket).await {
            Ok((node, view)) if view.signed_on && view.person == person => return Ok((process, node)),
            _ if Instant::now() >= until => {
                return Err(BrokeOff::Late {
                    what: "a node with its person signed on",
                    limit_s: START_MAX.as_secs(),
                });
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

async fn answering(socket: &Path) -> Result<(Node, NodeView), Fault> {
    let node = Node::at(socket)?;
    let view = node.view().await?;
    Ok((node, view))
}

fn addresses(stage: &Stage, prepared: &Prepared) -> serde_json::Value {
    json!({
        "link": prepared.proxy.local_addr(),
        "relay_metrics": prepared.relay_admin,
        "sockets": {
            "hospital": prepare::socket(stage, Place::Hospital),
            "ambulance": prepare::socket(stage, Place::Ambulance),
        },
    })
}

#[cfg(test)]
mod tests;
