//! A machine with its thread, its disk and its clock.
//!
//! [`Node::start`] opens a machine from a disk on a thread of its own and drives it: frames and grants of
//! transports ([`Links`]), commands of people ([`Handle::command`]), deadlines, and batches, which a second
//! thread writes ([`writer`]) so that a slow disk never keeps frames from being read. All that happened is
//! told in [`Feed`]s, numbered.
//!
//! * A command is answered when it is *stored*: its batch is durable. Not before.
//! * A store that fails ends the life of the machine: nothing more is told, links end, commands are refused
//!   with [`NodeError::CannotSave`]. A new machine is opened from the same disk, again and again with
//!   patience, so that a disk with room again works again.
//! * Reads ([`Handle::read`]) run on the machine's thread, between two inputs.
//!
//! Not here: sockets ([`crate::uplink`]), what commands mean to people, passphrases.

mod drive;
mod events;
mod hooks;
mod writer;

#[cfg(test)]
mod tests;

use crate::link::Links;
use crate::openings::Openings;
use crate::store::{Disk, StoreError};
use aidmesh_core::machine::Machine;
use aidmesh_core::machine::command::{Command, CommandError, Made};
use aidmesh_core::machine::open::{Identity, OpenError, Part};
use aidmesh_core::store::Read;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

pub use events::{Feed, Told};
pub use hooks::Hooks;

/// Calls that wait for the machine's thread.
const CALLS_WAITING: usize = 256;

/// What a node is started with.
pub struct Start {
    /// Member, relay or carrier.
    pub part: Part,
    /// Bytes kept for others at most.
    pub carry_bytes: u64,
    /// Keys and certificates.
    pub identity: Identity,
    /// Opens the store: once at the start, and again after it failed.
    pub disk: OpenDisk,
    /// How often this store was opened, counted outside it.
    pub openings: Arc<Openings>,
    /// Faults for the test of the tests; none in a product.
    pub hooks: Hooks,
}

/// Opens the disk of a node.
pub type OpenDisk = Box<dyn Fn() -> Result<Arc<dyn Disk>, StoreError> + Send>;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine does not open from this store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The operating system gives no randomness or no thread.
    #[error("the system refused {0}")]
    System(&'static str),
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The machine refused; nothing was changed.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The store does not take writes now: the command is not stored.
    #[error("the store cannot save")]
    CannotSave,
    /// The node is stopping.
    #[error("the node has stopped")]
    Stopped,
}

type Look = Box<dyn FnOnce(&Machine, &dyn Read) + Send>;

enum Call {
    Command(Command, oneshot::Sender<Result<Made, NodeError>>),
    Read(Look),
    Stop,
}

/// A running node. Dropping it stops it without waiting; [`Node::stop`] waits until all is written.
pub struct Node {
    handle: Handle,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What programs on this device may do with a node. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    calls: mpsc::Sender<Call>,
    links: Links,
    events: Arc<events::Log>,
    state: watch::Receiver<State>,
}

/// What is known of a node from outside its thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Own entries that nobody took yet, by class 0 to 4.
    pub waiting: [u32; 5],
    /// The store takes no writes now.
    pub cannot_save: bool,
    /// Links that are up.
    pub links: u32,
}

impl Node {
    /// Opens the machine and starts its threads. Waits until the machine is open.
    pub fn start(start: Start) -> Result<Node, StartError> {
        let (calls, called) = mpsc::channel(CALLS_WAITING);
        let (link_calls, link_called) = mpsc::channel(CALLS_WAITING);
        let (told, state) = watch::channel(State::default());
        let events = Arc::new(events::Log::default());
        let ports = drive::Ports {
            calls: called,
            links: link_called,
            events: events.clone(),
            state: told,
        };
        let (opened, open) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("machine".to_owned())
            .spawn(move || drive::run(start, ports, &opened))
            .map_err(|_| StartError::System("a thread"))?;
        match open.recv() {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return Err(why),
            Err(_) => return Err(StartError::System("a thread")),
        }
        let links = Links { calls: link_calls };
        let handle = Handle {
            calls,
            links,
            events,
            state,
        };
        Ok(Node {
            handle,
            thread: Some(thread),
        })
    }

    /// What others use it by.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends links, waits until every batch is written, closes the store.
    pub async fn stop(mut self) {
        // a full queue is drained by the machine's thread; a closed one has stopped already
        let _ = self.handle.calls.send(Call::Stop).await;
        if let Some(thread) = self.thread.take() {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.handle.calls.try_send(Call::Stop);
        }
    }
}

impl Handle {
    /// Gives a command. `Ok` means *stored*: what it wrote is durable on this device.
    pub async fn command(&self, command: Command) -> Result<Made, NodeError> {
        let (answer, answered) = oneshot::channel();
        let call = Call::Command(command, answer);
        self.calls.send(call).await.map_err(|_| NodeError::Stopped)?;
        answered.await.map_err(|_| NodeError::Stopped)?
    }

    /// Looks at the machine between two inputs. `look` should be short: frames wait meanwhile.
    pub async fn read<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Machine, &dyn Read) -> R + Send + 'static,
    ) -> Result<R, NodeError> {
        let (answer, answered) = oneshot::channel();
        let look: Look = Box::new(move |machine, store| {
            // the asker may have gone
            let _ = answer.send(look(machine, store));
        });
        self.calls
            .send(Call::Read(look))
            .await
            .map_err(|_| NodeError::Stopped)?;
        // while no machine is open the question is dropped unanswered
        answered.await.map_err(|_| match self.state.borrow().cannot_save {
            true => NodeError::CannotSave,
            false => NodeError::Stopped,
        })
    }

    /// Events with a number above `after`, those still remembered first.
    pub fn follow(&self, after: u64) -> Feed {
        self.events.follow(after)
    }

    /// Number of the newest event.
    pub fn newest(&self) -> u64 {
        self.events.newest()
    }

    /// Where transports announce connections.
    pub fn links(&self) -> Links {
        self.links.clone()
    }

    /// What waits, and whether the store takes writes; a value for each change.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }
}
