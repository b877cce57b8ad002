//! An organisation with its desk, its relay and its devices, made by their commands.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::child::{Process, wait_for};

const NODE: &str = env!("CARGO_BIN_EXE_aidmesh-under-test");
const RELAY: &str = env!("CARGO_BIN_EXE_aidmesh-relay-under-test");

/// The administrator's device.
pub(super) const DESK: &str = "desk";
/// Its holder, who is known for nothing else.
pub(super) const ADMINISTRATOR: &str = "Desk Officer Quill";
/// A paramedic's device, and the name in its certificate.
pub(super) const MEDIC: (&str, &str) = ("medic", "Medic Amberley");
/// A cardiologist's.
pub(super) const DOCTOR: (&str, &str) = ("doctor", "Dr Kestrel");
/// A nurse's.
pub(super) const NURSE: (&str, &str) = ("nurse", "Nurse Birchwood");
/// A patient's thread.
pub(super) const THREAD: &str = "Case 7K2-Juniper";

/// Everything below one temporary folder.
pub(super) struct World {
    folder: tempfile::TempDir,
    passphrase: String,
    listen: SocketAddr,
    admin: SocketAddr,
}

/// What a command that failed said.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Exit code.
    pub(super) exit: i32,
    /// The object `error` on standard error.
    pub(super) error: Value,
}

impl Refusal {
    /// Asserts exit code and code.
    #[track_caller]
    pub(super) fn is(self, exit: i32, code: &str) -> Refusal {
        let code_here = self.error["code"].as_str().unwrap_or_default();
        assert_eq!((self.exit, code_here), (exit, code), "{self:?}");
        for word in ["what", "means", "next"] {
            assert!(!self.text(word).is_empty(), "{word} is missing: {self:?}");
        }
        self
    }

    /// A text of the error.
    pub(super) fn text(&self, word: &str) -> &str {
        self.error[word].as_str().unwrap_or_default()
    }
}

impl World {
    /// An organisation with its desk and a relay that it uses; nothing runs.
    pub(super) fn new() -> World {
        let world = World::without_relay();
        let card = text(&world.call(DESK, &["org", "card"]), "card");
        let card = world.make_relay("relay", &card);
        world.call(DESK, &["org", "relay", &card]);
        world
    }

    fn without_relay() -> World {
        let folder = tempfile::Builder::new().prefix("aidmesh-").tempdir().unwrap();
        // free now; nothing reserves them
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let world = World {
            passphrase: format!("heron-lantern-{}", udp.local_addr().unwrap().port()),
            listen: udp.local_addr().unwrap(),
            admin: tcp.local_addr().unwrap(),
            folder,
        };
        write_secret(&world.passphrase_file(), &world.passphrase);
        let role = ["--role", "nurse"];
        let init = ["init", "--org", "Hospital Northgate", "--person", ADMINISTRATOR];
        world.call(DESK, &[init.as_slice(), role.as_slice()].concat());
        world
    }

    /// Makes a relay that listens where the relay of this world does, and gives its card.
    pub(super) fn make_relay(&self, name: &str, org_card: &str) -> String {
        let (listen, admin) = (self.listen.to_string(), self.admin.to_string());
        let mut command = self.relay_command(name, &["init", "--org", org_card, "--name", "North-1"]);
        command.args(["--listen", &listen, "--public", &listen, "--admin", &admin]);
        command.arg("--openings").arg(self.path(&format!("{name}-state")));
        command.arg("--key-file").arg(self.relay_key(name));
        text(&answer(&mut command), "card")
    }

    /// Lets a device in.
    pub(super) fn enrol(&self, (who, person): (&str, &str), role: &str) {
        let invite = text(&self.call(DESK, &["org", "invite", "--role", role]), "invite");
        let asked = self.call(who, &["init", "--invite", &invite, "--person", person]);
        let grant = self.call(DESK, &["org", "approve", &text(&asked, "request"), "--yes"]);
        self.call(who, &["init", "--grant", &text(&grant, "grant")]);
    }

    /// Something below the world's folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The count of openings of a device, which is no part of its data folder.
    pub(super) fn state(&self, who: &str) -> PathBuf {
        self.path(&format!("{who}-state"))
    }

    /// What opens the vaults.
    pub(super) fn passphrase(&self) -> &str {
        &self.passphrase
    }

    pub(super) fn passphrase_file(&self) -> PathBuf {
        self.path("passphrase")
    }

    /// What opens the folder of a relay.
    pub(super) fn relay_key(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.key"))
    }

    /// A command of a device.
    pub(super) fn command(&self, who: &str, args: &[&str]) -> Command {
        self.command_at(&self.path(who), &self.state(who), args)
    }

    /// A command on a data folder.
    pub(super) fn command_at(&self, data: &Path, state: &Path, args: &[&str]) -> Command {
        let mut command = program(NODE);
        command
            .args(args)
            .arg("--json")
            .arg("--data")
            .arg(data)
            .arg("--passphrase-file")
            .arg(self.passphrase_file())
            .env("AIDMESH_STATE_DIR", state);
        command
    }

    fn relay_command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = program(RELAY);
        command
            .args(args)
            .arg("--json")
            .arg("--data")
            .arg(self.path(name));
        command
    }

    /// The object that a command answers.
    #[track_caller]
    pub(super) fn call(&self, who: &str, args: &[&str]) -> Value {
        answer(&mut self.command(who, args))
    }

    /// The objects that a command lists.
    #[track_caller]
    pub(super) fn list(&self, who: &str, args: &[&str]) -> Vec<Value> {
        objects(&done(&mut self.command(who, args)))
    }

    /// What a command says that has to fail.
    #[track_caller]
    pub(super) fn refused(&self, who: &str, args: &[&str]) -> Refusal {
        refusal(&mut self.command(who, args))
    }

    /// Starts a device, which is ready then.
    pub(super) fn run(&self, who: &str) -> Process {
        let log = self.path(&format!("{who}.log"));
        Process::start(&mut self.command(who, &["run", "-vv"]), &log).ready()
    }

    /// Starts the relay.
    pub(super) fn run_relay(&self) -> Process {
        self.run_relay_of("relay")
    }

    /// Starts a relay of that name.
    pub(super) fn run_relay_of(&self, name: &str) -> Process {
        let log = self.path(&format!("{name}.log"));
        let mut command = self.relay_command(name, &["run"]);
        Process::start(command.env("AIDMESH_LOG", "debug"), &log).ready()
    }

    /// Founds [`THREAD`] with one person, once that person's card has arrived.
    pub(super) fn found(&self, who: &str, with: &str) {
        self.when_known(who, &["thread", "new", THREAD, "--kind", "patient", "--to", with]);
    }

    /// Says it again until the card of the person in it has arrived.
    pub(super) fn when_known(&self, who: &str, args: &[&str]) {
        wait_for("a card", || {
            let output = self.command(who, args).output().unwrap();
            if output.status.success() {
                return Some(());
            }
            let refusal = refusal_of(&output);
            let code = refusal.text("code");
            assert!(["AM-ORG-13", "AM-USE-02"].contains(&code), "{refusal:?}");
            None
        });
    }

    /// Sends a note and gives its id.
    #[track_caller]
    pub(super) fn note(&self, who: &str, note: &str) -> String {
        entry_of(&self.call(who, &["send", THREAD, note]))
    }

    /// Entries of [`THREAD`] as a device shows them; none before it knows the thread.
    pub(super) fn entries(&self, who: &str) -> Vec<Value> {
        let output = self.command(who, &["thread", "show", THREAD]).output().unwrap();
        if !output.status.success() {
            refusal_of(&output).is(2, "AM-USE-02");
            return vec![];
        }
        let shown = objects(&output).pop().unwrap();
        shown["entries"].as_array().unwrap().clone()
    }

    /// Waits until a device shows an entry and each of its layers is complete.
    pub(super) fn arrived(&self, who: &str, entry: &str) -> Value {
        wait_for(&format!("{entry} at {who}"), || {
            let entries = self.entries(who);
            entries
                .into_iter()
                .find(|shown| shown["entry"] == entry && is_complete(shown))
        })
    }

    /// Waits until every recipient of an own entry is in this state.
    pub(super) fn reached(&self, who: &str, entry: &str, state: &str) -> Value {
        wait_for(&format!("{entry} {state}"), || {
            let status = self.call(who, &["status", entry]);
            let states = states(&status);
            (!states.is_empty() && states.iter().all(|now| now == state)).then_some(status)
        })
    }

    /// Asks the local API, as another program on the device would.
    pub(super) fn get(&self, who: &str, path: &str) -> Value {
        let client = aidmesh::client::Client::connect(&self.path(who).join("socket")).unwrap();
        runtime().block_on(client.get(path)).unwrap()
    }
}

/// States of the recipients in an answer of `status`.
pub(super) fn states(status: &Value) -> Vec<String> {
    let recipients = status["recipients"].as_array().unwrap().iter();
    recipients.map(|one| text(one, "state")).collect()
}

/// All layers of an entry are here.
pub(super) fn is_complete(entry: &Value) -> bool {
    let layers = entry["layers"].as_array().unwrap();
    layers.iter().all(|layer| layer["complete"] == true)
}

/// The first entry of an answer to something that wrote.
#[track_caller]
pub(super) fn entry_of(made: &Value) -> String {
    made["entries"][0].as_str().unwrap().to_owned()
}

/// A field.
#[track_caller]
pub(super) fn text(object: &Value, name: &str) -> String {
    let text = object[name].as_str();
    text.unwrap_or_else(|| panic!("no {name} in {object}")).to_owned()
}

/// For what is asynchronous.
pub(super) fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// A file that only this user reads.
pub(super) fn write_secret(path: &Path, secret: &str) {
    let mut options = std::fs::File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    std::io::Write::write_all(&mut file, secret.as_bytes()).unwrap();
}

fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    for variable in [
        "AIDMESH_DATA",
        "AIDMESH_STATE_DIR",
        "CREDENTIALS_DIRECTORY",
        "RUST_LOG",
    ] {
        command.env_remove(variable);
    }
    command
}

#[track_caller]
fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let args: Vec<OsString> = command.get_args().map(ToOwned::to_owned).collect();
    assert!(output.status.success(), "{args:?}: {} {said}", output.status);
    output
}

/// The last object that a command prints.
#[track_caller]
pub(super) fn answer(command: &mut Command) -> Value {
    objects(&done(command))
        .pop()
        .expect("an object on standard output")
}

/// What a command says that has to fail.
#[track_caller]
fn refusal(command: &mut Command) -> Refusal {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "it was done: {output:?}");
    refusal_of(&output)
}

#[track_caller]
fn refusal_of(output: &Output) -> Refusal {
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    let object: Value = serde_json::from_str(last).unwrap_or_else(|why| panic!("{why}: {said}"));
    Refusal {
        exit: output.status.code().unwrap_or(-1),
        error: object["error"].clone(),
    }
}

/// What a command printed, an object a line.
pub(super) fn objects(output: &Output) -> Vec<Value> {
    let printed = String::from_utf8_lossy(&output.stdout);
    let lines = printed.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}
