//! What an administrator, an operator and a medic do before the story begins, done by their commands.
//!
//! The organisation with its first device, the relay that serves it, the invite and the second device: all
//! by the command line that everybody uses, each in its own data folder. The relay tells devices the
//! address of the emulated link; only the hospital, which has a cable, goes to the relay directly.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aidmesh_netem::Profile;
use aidmesh_netem::proxy::{CAPTURE_BYTES, Proxy};
use data_encoding::HEXLOWER;
use serde_json::Value;

use super::cast::{CastError, Process, RELAY, Stage, free_ports};
use super::transcript::Place;

/// The organisation of the story.
pub(super) const ORGANISATION: &str = "Hospital North";
/// Its cardiologist.
pub(super) const DR_K: &str = "Dr K (cardiology)";
/// The medic.
pub(super) const MEDIC_A: &str = "Medic A (Unit 12)";
/// The role that an alert asks.
pub(super) const CARDIOLOGIST: &str = "cardiologist";
const PARAMEDIC: &str = "paramedic";
/// The cast, ready to be started.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The radio link between ambulance and relay.
    pub proxy: Proxy,
    /// Where the relay serves its metrics.
    pub relay_admin: SocketAddr,
    passphrase: PathBuf,
    /// The key that opens the relay's folder.
    pub(super) relay_key: PathBuf,
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.map(OsString::from).to_vec()
}

impl Prepared {
    /// Does all of it; needs the runtime for the link.
    pub(super) async fn new(stage: &Stage, profile: Profile, seed: u64) -> Result<Prepared, CastError> {
        let (udp, tcp) = free_ports()?;
        let system = |what| move |source| CastError::System { what, source };
        let proxy = Proxy::udp_captured(loopback(0), loopback(udp), profile, seed, CAPTURE_BYTES)
            .map_err(system("the link cannot be emulated"))?;
        let prepared = Prepared {
            relay_admin: loopback(tcp),
            passphrase: stage.path().join("passphrase"),
            relay_key: stage.path().join("relay.key"),
            proxy,
        };
        write_passphrase(&prepared.passphrase).map_err(system("no file for the passphrase"))?;
        let card = prepared.found_organisation(stage).await?;
        let relay_card = prepared.make_relay(stage, &card, loopback(udp)).await?;
        prepared.use_relay(stage, &relay_card, loopback(udp)).await?;
        prepared.enrol_ambulance(stage).await?;
        Ok(prepared)
    }

    async fn found_organisation(&self, stage: &Stage) -> Result<String, CastError> {
        let place = Place::Hospital;
        let init = [
            "init",
            "--org",
            ORGANISATION,
            "--person",
            DR_K,
            "--role",
            CARDIOLOGIST,
        ];
        stage.call(place, &self.node(stage, place, &words(init))).await?;
        let said = stage
            .call(place, &self.node(stage, place, &words(["org", "card"])))
            .await?;
        field(&said, "card")
    }

    async fn make_relay(&self, stage: &Stage, card: &str, listen: SocketAddr) -> Result<String, CastError> {
        let mut args = words(["init", "--org", card, "--name", "North-1"]);
        args.extend(words(["--listen", &listen.to_string()]));
        args.extend(words(["--public", &self.proxy.local_addr().to_string()]));
        args.extend(words(["--admin", &self.relay_admin.to_string()]));
        args.extend(["--openings".into(), stage.state(Place::Relay).into_os_string()]);
        args.extend(["--key-file".into(), self.relay_key.clone().into_os_string()]);
        let said = stage.call(Place::Relay, &self.relay(stage, &args)).await?;
        field(&said, "card")
    }

    async fn use_relay(&self, stage: &Stage, card: &str, direct: SocketAddr) -> Result<(), CastError> {
        let place = Place::Hospital;
        let args = words(["org", "relay", card, "--here", &direct.to_string()]);
        stage.call(place, &self.node(stage, place, &args)).await?;
        Ok(())
    }

    async fn enrol_ambulance(&self, stage: &Stage) -> Result<(), CastError> {
        let (hospital, ambulance) = (Place::Hospital, Place::Ambulance);
        let invite = words(["org", "invite", "--role", PARAMEDIC]);
        let invite = stage.call(hospital, &self.node(stage, hospital, &invite)).await?;
        let invite = field(&invite, "invite")?;
        let join = words(["init", "--invite", &invite, "--person", MEDIC_A]);
        let request = stage.call(ambulance, &self.node(stage, ambulance, &join)).await?;
        let request = field(&request, "request")?;
        let approve = words(["org", "approve", &request, "--yes"]);
        let grant = stage
            .call(hospital, &self.node(stage, hospital, &approve))
            .await?;
        let grant = field(&grant, "grant")?;
        let finish = words(["init", "--grant", &grant]);
        stage
            .call(ambulance, &self.node(stage, ambulance, &finish))
            .await?;
        Ok(())
    }

    /// Starts the relay, or starts it again.
    pub(super) fn start_relay(&self, stage: &Stage) -> Result<Process, CastError> {
        stage.start(Place::Relay, &self.relay(stage, &words(["run"])))
    }

    /// Starts a node.
    pub(super) fn start_node(&self, stage: &Stage, place: Place) -> Result<Process, CastError> {
        stage.start(place, &self.node(stage, place, &words(["run"])))
    }

    fn node(&self, stage: &Stage, place: Place, args: &[OsString]) -> Vec<OsString> {
        let mut all = args.to_vec();
        all.extend(["--data".into(), stage.data(place).into_os_string()]);
        all.extend([
            "--passphrase-file".into(),
            self.passphrase.clone().into_os_string(),
        ]);
        all.push("--json".into());
        all
    }

    fn relay(&self, stage: &Stage, args: &[OsString]) -> Vec<OsString> {
        let mut all = vec![RELAY.into()];
        all.extend(args.iter().cloned());
        all.extend(["--data".into(), stage.data(Place::Relay).into_os_string()]);
        all.push("--json".into());
        all
    }
}

/// Where a node listens for programs on its device.
pub(super) fn socket(stage: &Stage, place: Place) -> PathBuf {
    stage.data(place).join("socket")
}

/// 128 random bits, in a file that only this user reads. The folders are gone with the demo.
fn write_passphrase(path: &Path) -> io::Result<()> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", HEXLOWER.encode(&random))
}

fn field(said: &Value, name: &str) -> Result<String, CastError> {
    let text = said.get(name).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| CastError::Answer(format!("the command that gives {name}")))
}
