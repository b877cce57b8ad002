//! A process that ends with the value that stands for it, by its id.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// States are waited for as long as this; a machine that needs longer is broken, not busy.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(25);

/// Asks again and again, until there is an answer.
pub(super) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(LOOK);
    }
}

/// A program that stays. It is our child and not waited for, so its id cannot belong to anybody else.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with standard output and error in `log`, which begins anew.
    pub(super) fn start(command: &mut Command, log: &Path) -> Process {
        let file = std::fs::File::create(log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Process {
            child: command.spawn().unwrap(),
            log: log.to_owned(),
        }
    }

    /// Waits until it said that it is ready.
    pub(super) fn ready(mut self) -> Process {
        wait_for("a process that is ready", || {
            let said = self.said();
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}: {said}");
            said.contains(r#""event":"ready""#).then_some(())
        });
        self
    }

    /// Its id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has said.
    pub(super) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Asks it to stop and waits for its end.
    pub(super) fn stop(mut self) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        wait_for("the end of a process", || self.child.try_wait().unwrap())
    }

    /// `kill -9`.
    pub(super) fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // an error says that it has ended already
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
