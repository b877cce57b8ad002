//! A device's end: keeps one link to each of its relays, whatever the network does.
//!
//! For each relay one task ([`path`]): it starts attempts as [`pace`](super::pace) tells, gives the first one
//! whose handshake is complete the word, brings its link up and then drops the link before. What the person
//! sees of it is a list of [`PathState`]s, and that says *up* only while answers come.

mod path;

use super::attempt::Trouble;
use super::hello::{Hello, Refusal};
use super::{RELAYS, RelayAddress};
use crate::link::Links;
use aidmesh_core::crypto::KeyPair;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a client needs.
pub struct ClientConfig {
    /// The relays, at most [`RELAYS`]; more are left out.
    pub relays: Vec<RelayAddress>,
    /// This device's routing key.
    pub routing: KeyPair,
    /// Its certificates.
    pub hello: Hello,
    /// The machine.
    pub links: Links,
    /// Own entries that nobody took yet, by class.
    pub waiting: watch::Receiver<[u32; 5]>,
}

/// What is known of the way to one relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathState {
    /// The relay.
    pub relay: RelayAddress,
    /// How it is.
    pub state: State,
}

/// See [`PathState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing gets through.
    Trying {
        /// Since when.
        since: Instant,
        /// Attempts since then.
        attempts: u32,
        /// Of the last attempt, or of the connection before; `None` until the first one failed.
        why: Option<Trouble>,
    },
    /// There is a link, and answers come.
    Up {
        /// Since when.
        since: Instant,
        /// Round trip in milliseconds.
        rtt_ms: u32,
    },
    /// The relay does not serve this device. It is asked again every minute.
    Refused {
        /// Its reason.
        why: Refusal,
        /// Since when.
        since: Instant,
    },
}

/// Links to all relays. They end when it is dropped.
pub struct Client {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<(RelayAddress, JoinHandle<()>)>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

struct Shared {
    routing: KeyPair,
    links: Links,
    waiting: watch::Receiver<[u32; 5]>,
    hello: watch::Sender<Hello>,
    paths: watch::Sender<Vec<PathState>>,
    stop: watch::Sender<bool>,
}

impl Client {
    /// Starts a task for each relay. Must be called inside a tokio runtime.
    pub fn start(config: ClientConfig) -> Client {
        let shared = Arc::new(Shared {
            routing: config.routing,
            links: config.links,
            waiting: config.waiting,
            hello: watch::Sender::new(config.hello),
            paths: watch::Sender::new(vec![]),
            stop: watch::Sender::new(false),
        });
        let client = Client {
            shared,
            tasks: Mutex::default(),
        };
        client.set_relays(config.relays);
        client
    }

    /// The state of each relay, now and whenever it changes.
    pub fn paths(&self) -> watch::Receiver<Vec<PathState>> {
        self.shared.paths.subscribe()
    }

    /// Other relays: links to those that stay are kept, unless they refused, then they are asked at once.
    pub fn set_relays(&self, mut relays: Vec<RelayAddress>) {
        if relays.len() > RELAYS {
            tracing::info!(
                relays = relays.len(),
                most = RELAYS,
                "too many relays, the first are used"
            );
            relays.truncate(RELAYS);
        }
        let mut tasks = self.tasks();
        tasks.retain(|(relay, task)| {
            let stays = relays.contains(relay);
            if !stays {
                task.abort();
            }
            stays
        });
        let added = relays
            .iter()
            .filter(|relay| tasks.iter().all(|(other, _)| other != *relay));
        let mut added: Vec<RelayAddress> = added.cloned().collect();
        added.dedup();
        self.shared.paths.send_modify(|paths| {
            paths.retain(|path| relays.contains(&path.relay));
            paths.extend(added.iter().cloned().map(PathState::new));
        });
        for relay in added {
            let task = tokio::spawn(path::run(self.shared.clone(), relay.clone()));
            tasks.push((relay, task));
        }
        drop(tasks);
        self.shared.hello.send_modify(|_| {});
    }

    /// Renewed certificates, for all connections from now on. Relays that refused are asked at once.
    pub fn set_hello(&self, hello: Hello) {
        self.shared.hello.send_replace(hello);
    }

    /// Says goodbye to the relays.
    pub async fn stop(self) {
        self.shared.stop.send_replace(true);
        let tasks: Vec<_> = self.tasks().drain(..).collect();
        for (_, task) in tasks {
            // it ends within a moment of its last packet
            let _ = tokio::time::timeout(Duration::from_secs(1), task).await;
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<(RelayAddress, JoinHandle<()>)>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for (_, task) in self.tasks().iter() {
            task.abort();
        }
    }
}

impl PathState {
    fn new(relay: RelayAddress) -> PathState {
        let state = State::Trying {
            since: Instant::now(),
            attempts: 0,
            why: None,
        };
        PathState { relay, state }
    }
}
