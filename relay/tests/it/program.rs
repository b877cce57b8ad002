//! The program with a folder of its own.

use crate::people::{Organisation, PATIENCE};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A data folder, and how to call the program on it.
pub(crate) struct Program {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Program {
    pub(crate) fn new() -> Program {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        Program {
            folder: tempfile::tempdir().unwrap(),
            port,
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aidmesh-relay"));
        command.arg("--data").arg(self.data()).args(words);
        for name in [
            "CREDENTIALS_DIRECTORY",
            "NOTIFY_SOCKET",
            "STATE_DIRECTORY",
            "WATCHDOG_USEC",
        ] {
            command.env_remove(name);
        }
        command.env("AIDMESH_LOG", "debug").stdin(Stdio::null());
        command
    }

    pub(crate) fn call(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// `init`, with the card as a file.
    pub(crate) fn init(&self, organisation: &Organisation) -> Value {
        let card = self.folder.path().join("org.card");
        std::fs::write(&card, card_text(organisation)).unwrap();
        let (listen, openings) = (
            format!("127.0.0.1:{}", self.port),
            self.folder.path().join("openings"),
        );
        let done = self.call(&[
            "init",
            "--json",
            "--name",
            "North-1",
            "--admin",
            "127.0.0.1:0",
            "--listen",
            &listen,
            "--org",
            card.to_str().unwrap(),
            "--openings",
            openings.to_str().unwrap(),
        ]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    /// Copies the data folder, as `tar` would.
    pub(crate) fn back_up(&self) {
        self.copy("data", "backup");
    }

    /// Puts the copy in place of the data folder.
    pub(crate) fn restore(&self) {
        std::fs::remove_dir_all(self.data()).unwrap();
        self.copy("backup", "data");
    }

    fn copy(&self, from: &str, to: &str) {
        let place = |name| self.folder.path().join(name);
        let done = Command::new("cp")
            .arg("-a")
            .args([place(from), place(to)])
            .status();
        assert!(done.unwrap().success());
    }

    /// `run`, once it is ready.
    pub(crate) fn run(&self) -> Running {
        self.started(self.command(&["run", "--json"]))
    }

    /// `run` with something else in its environment.
    pub(crate) fn run_with(&self, name: &str, value: &str) -> Running {
        let mut command = self.command(&["run", "--json"]);
        command.env("WATCHDOG_USEC", "400000").env(name, value);
        self.started(command)
    }

    /// `run` on a disk that has room for one more MiB in the store.
    pub(crate) fn run_on_a_full_disk(&self) -> Running {
        let files = std::fs::read_dir(self.data().join("store")).unwrap();
        let bytes = files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .max()
            .unwrap();
        let plain = self.command(&["run", "--json"]);
        let mut command = Command::new("sh");
        // a write beyond the limit is an error then, not the end of the process
        command.args(["-c", "trap '' XFSZ; ulimit -f $0; exec \"$@\""]);
        command
            .arg(((bytes >> 9) + 2048).to_string())
            .arg(plain.get_program())
            .args(plain.get_args());
        command.stdin(Stdio::null());
        self.started(command)
    }

    fn started(&self, mut command: Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (mut log, into) = (child.stderr.take().unwrap(), said.clone());
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = log.read(&mut chunk) {
                into.lock().unwrap().extend_from_slice(&chunk[..n]);
            }
        });
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let log = String::from_utf8_lossy(&said.lock().unwrap()).into_owned();
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("not ready: {line:?}\n{log}"));
        assert_eq!(ready["event"], "ready");
        let admin = ready["admin"].as_str().unwrap().parse().unwrap();
        Running {
            child,
            admin,
            said,
            printed: line,
            out,
        }
    }
}

pub(crate) fn card_text(organisation: &Organisation) -> String {
    format!(
        "AMO1:{}\n",
        BASE32_NOPAD.encode(&organisation.card.encode().unwrap())
    )
}

pub(crate) fn key_of(card: &Value) -> [u8; 32] {
    let key = HEXLOWER.decode(card["key"].as_str().unwrap().as_bytes()).unwrap();
    key.try_into().unwrap()
}

/// A relay that runs.
pub(crate) struct Running {
    child: Child,
    pub(crate) admin: SocketAddr,
    /// The log.
    pub(crate) said: Arc<Mutex<Vec<u8>>>,
    /// Standard output so far.
    pub(crate) printed: String,
    out: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Status line and body.
    pub(crate) fn get(&self, path: &str) -> (String, String) {
        let mut stream = std::net::TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let host = self.admin;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status").1).unwrap()
    }

    /// As a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit code, standard output and log.
    pub(crate) fn stop(self) -> (Option<i32>, String) {
        // our child and not waited for: its id cannot belong to anybody else
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.ended()
    }

    /// Waits for its end; the exit code, standard output and log.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not stop");
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        self.out.read_to_string(&mut self.printed).unwrap();
        let log = String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned();
        (status.code(), self.printed.clone() + &log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // a test that failed leaves nothing running
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
