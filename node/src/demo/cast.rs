//! The three processes, their folders, and that none of them survives the demo.
//!
//! Each is this very program again: the relay through a hidden command, the nodes through `run`. A process
//! leads its own process group, so that Ctrl-C reaches the demo alone, which then ends what it started, by
//! process id, and takes the folder away. What a process prints goes into a file beside its folder.
//!
//! Commands that prepare the story run the same way and are waited for, with a limit.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getppid, kill_process, kill_process_group};

use super::transcript::Place;

/// Hidden word before the arguments of each process, with the id of the demo behind it.
const CHILD: &str = "__child";
/// Hidden command of this program that is the relay.
pub(super) const RELAY: &str = "__relay";
/// How often a process is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(10);
/// A preparing command that takes longer has failed.
const COMMAND_MAX: Duration = Duration::from_secs(60);
/// A process that was asked to stop is killed after this.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Most of a process's output that is read back.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// What a process is asked to be, after its hidden words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// This program, with these arguments; its name is the first.
    Program(Vec<OsString>),
    /// The relay, likewise.
    Relay(Vec<OsString>),
}

/// Takes the hidden words off the arguments of a process, before anything else is made of them. A process
/// that the demo started ends with the demo, however that ends; if it has ended already, this never returns.
pub fn role(mut arguments: Vec<OsString>) -> Role {
    if arguments.get(1).is_some_and(|word| word == CHILD) {
        let hidden: Vec<OsString> = arguments.drain(1..arguments.len().min(3)).collect();
        let parent = hidden.get(1).and_then(|id| id.to_str()?.parse().ok());
        end_with(parent.and_then(Pid::from_raw));
    }
    if arguments.get(1).is_some_and(|word| word == RELAY) {
        arguments.remove(1);
        return Role::Relay(arguments);
    }
    Role::Program(arguments)
}

/// Where the system cannot promise it, the demo's own end of its processes has to do.
fn end_with(parent: Option<Pid>) {
    #[cfg(target_os = "linux")]
    let _promised = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if getppid() != parent {
        std::process::exit(1);
    }
}

/// Why a process did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum CastError {
    /// No folder, no program.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A command failed.
    #[error("`{command}` ended with {status}: {said}")]
    Command {
        /// Without secrets: they are never arguments.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it said on standard error.
        said: String,
    },
    /// A command printed something else than an object.
    #[error("`{0}` did not answer with an object")]
    Answer(String),
    /// A process of the story ended by itself.
    #[error("the {} ended by itself: {said}", .place.word())]
    Ended {
        /// Which.
        place: Place,
        /// The end of what it said.
        said: String,
    },
}

/// Where everything lies.
#[derive(Debug)]
pub(super) struct Stage {
    /// `None` once it is kept.
    folder: Option<tempfile::TempDir>,
    path: PathBuf,
    program: PathBuf,
    before: Vec<OsString>,
}

impl Stage {
    /// A new folder, readable by this user only. `before`: arguments before those of each process.
    pub(super) fn new(keep: bool, before: Vec<OsString>) -> Result<Stage, CastError> {
        let system = |what| move |source| CastError::System { what, source };
        let program = std::env::current_exe().map_err(system("this program cannot be found"))?;
        let folder = tempfile::Builder::new()
            .prefix("aidmesh-demo-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(system("no temporary folder"))?;
        let path = folder.path().to_path_buf();
        let folder = match keep {
            true => {
                let _kept = folder.keep();
                None
            }
            false => Some(folder),
        };
        Ok(Stage {
            folder,
            path,
            program,
            before,
        })
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it stays.
    pub(super) fn kept(&self) -> bool {
        self.folder.is_none()
    }

    /// Data folder of one process.
    pub(super) fn data(&self, place: Place) -> PathBuf {
        self.path.join(place.word())
    }

    /// Folder of the count of openings of one process, which is no part of its data folder.
    pub(super) fn state(&self, place: Place) -> PathBuf {
        self.path.join(format!("{}-state", place.word()))
    }

    /// What one process printed.
    pub(super) fn log(&self, place: Place) -> PathBuf {
        self.path.join(format!("{}.log", place.word()))
    }

    fn command(&self, place: Place, args: &[OsString]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.before)
            .args([CHILD.into(), std::process::id().to_string()])
            .args(args)
            .current_dir(&self.path)
            .env("AIDMESH_STATE_DIR", self.state(place))
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    /// Runs a command to its end and gives the last object that it printed.
    pub(super) async fn call(&self, place: Place, args: &[OsString]) -> Result<serde_json::Value, CastError> {
        let system = |source| CastError::System {
            what: "a command cannot be started",
            source,
        };
        let shown = || {
            args.iter()
                .map(|arg| arg.to_string_lossy())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let (out, err) = (self.path.join("call.out"), self.path.join("call.err"));
        let mut command = self.command(place, args);
        command.stdout(File::create(&out).map_err(system)?);
        command.stderr(File::create(&err).map_err(system)?);
        let mut process = Process::start(place, &mut command, err.clone())?;
        let status = process.wait(COMMAND_MAX).await;
        match status {
            Some(status) if status.success() => {}
            other => {
                return Err(CastError::Command {
                    command: shown(),
                    status: other.map_or_else(|| "no end in sight".into(), |status| status.to_string()),
                    said: end_of(&err),
                });
            }
        }
        let text = read_back(&out).map_err(system)?;
        let last = text
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok());
        last.ok_or_else(|| CastError::Answer(shown()))
    }

    /// Starts a process that stays.
    pub(super) fn start(&self, place: Place, args: &[OsString]) -> Result<Process, CastError> {
        let log = self.log(place);
        let append = || File::options().create(true).append(true).open(&log);
        let system = |source| CastError::System {
            what: "a process cannot be started",
            source,
        };
        let mut command = self.command(place, args);
        command
            .stdout(append().map_err(system)?)
            .stderr(append().map_err(system)?);
        Process::start(place, &mut command, log.clone())
    }
}

/// A process that ends with this value.
#[derive(Debug)]
pub(super) struct Process {
    place: Place,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    fn start(place: Place, command: &mut Command, log: PathBuf) -> Result<Process, CastError> {
        let child = command.spawn().map_err(|source| CastError::System {
            what: "a process cannot be started",
            source,
        })?;
        Ok(Process {
            place,
            child,
            log,
            ended: None,
        })
    }

    /// Process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), CastError> {
        match self.look() {
            None => Ok(()),
            Some(_) => Err(CastError::Ended {
                place: self.place,
                said: end_of(&self.log),
            }),
        }
    }

    fn look(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Waits for its end.
    pub(super) async fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.look() {
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Asks it to stop, and kills it if it does not.
    pub(super) async fn stop(&mut self) {
        if let (None, Some(pid)) = (self.look(), self.pid()) {
            let _gone = kill_process(pid, Signal::TERM);
            let _late = self.wait(STOP_MAX).await;
        }
    }

    /// `kill -9`, and gone when this returns.
    pub(super) fn kill(mut self) {
        self.end();
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }

    /// The process is our child and not waited for yet, so its id cannot belong to anybody else.
    fn end(&mut self) {
        if self.look().is_some() {
            return;
        }
        if let Some(pid) = self.pid() {
            let _gone = kill_process_group(pid, Signal::KILL);
        }
        let _gone = self.child.kill();
        self.ended = self.child.wait().ok();
    }

    /// Forgets the peak of its memory: unlocking takes much, once.
    pub(super) fn forget_peak(&self) {
        // 5 resets the peak resident set size (proc(5), clear_refs)
        let _not_linux = std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5");
    }

    /// Peak of its memory in bytes; `None` where /proc does not tell.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        peak_bytes(&std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn peak_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

fn read_back(path: &Path) -> io::Result<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    File::open(path)?.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last line that a process said.
fn end_of(log: &Path) -> String {
    let text = read_back(log).unwrap_or_default();
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(
        || "it said nothing".into(),
        |line| line.trim().chars().take(400).collect(),
    )
}

/// Two free ports of the loopback: UDP and TCP. Nothing reserves them; they are used at once.
pub(super) fn free_ports() -> Result<(u16, u16), CastError> {
    let system = |source| CastError::System {
        what: "no free port",
        source,
    };
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").map_err(system)?;
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").map_err(system)?;
    let udp = udp.local_addr().map_err(system)?.port();
    let tcp = tcp.local_addr().map_err(system)?.port();
    Ok((udp, tcp))
}

#[cfg(test)]
mod tests;
