//! The relay's end: takes connections, judges who comes, gives each admitted key one link.
//!
//! Bounds: handshakes under way ([`HALF_OPEN`]; from half of that on a sender must show that it gets what is
//! sent to its address), time for handshake and hello ([`HANDSHAKE`]), links ([`CONNECTIONS`]), one for each
//! key. A new connection of a key ends the older one at once, since a device comes anew because its old path
//! is dead; the older link is down before the new one comes up.
//!
//! Each connection is a task of its own. Nothing that one of them does, and no panic in it, ends the loop
//! that accepts.

use super::closing::Closing;
use super::hello::{Admit, HELLO_BYTES, Hello, Refusal};
use super::pump::{Ended, Pump};
use super::{ALPN, short, tls};
use crate::link::Links;
use aidmesh_core::crypto::{KeyPair, Secret, kdf};
use aidmesh_core::limits;
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{
    Connection, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, Incoming, ReadToEndError,
};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

/// Handshakes and hellos under way.
const HALF_OPEN: usize = 256;
/// Time for handshake and hello.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Links at once: 4096, or what a machine holds, less some room for other transports.
pub const CONNECTIONS: usize = if limits::LINKS < 4096 + 16 {
    limits::LINKS - 16
} else {
    4096
};
/// How long [`Server::close`] waits for the last packets.
const CLOSING: Duration = Duration::from_secs(3);

/// What a server needs.
pub struct ServerConfig {
    /// The relay's routing key.
    pub routing: KeyPair,
    /// Its certificates, for the record of its clients.
    pub hello: Hello,
    /// Who is served.
    pub admit: Arc<dyn Admit>,
    /// The machine.
    pub links: Links,
}

/// What a server has seen since it was bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounts {
    /// Links now.
    pub links: u64,
    /// Handshakes and hellos under way now.
    pub half_open: u64,
    /// Connections that were admitted.
    pub admitted: u64,
    /// Connections that were refused with a reason.
    pub refused: u64,
    /// Handshakes that failed, were too late or too many.
    pub failed: u64,
    /// Links that a newer one of the same key replaced.
    pub replaced: u64,
    /// Peers that broke a rule of this transport.
    pub violations: u64,
}

/// No socket for the server.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub error: std::io::Error,
}

/// A server that runs until it is closed or dropped.
#[derive(Debug)]
pub struct Server {
    endpoint: Endpoint,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    hello: Hello,
    admit: Arc<dyn Admit>,
    links: Links,
    half_open: Arc<Semaphore>,
    table: Mutex<HashMap<[u8; 32], Taken>>,
    seats_given: AtomicU64,
    admitted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    replaced: AtomicU64,
    violations: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// The one connection of a key.
#[derive(Debug)]
struct Taken {
    number: u64,
    connection: Connection,
    /// Closes when its link is down.
    over: watch::Receiver<()>,
}

impl Server {
    /// Listens on `address` (port 0: any free one). Must be called inside a tokio runtime.
    pub fn bind(address: SocketAddr, config: ServerConfig) -> Result<Server, BindError> {
        let tls = tls::server_config(&config.routing, ALPN);
        let bound = listen(address, tls, &config.routing);
        let endpoint = bound.map_err(|error| BindError { address, error })?;
        let shared = Arc::new(Shared {
            hello: config.hello,
            admit: config.admit,
            links: config.links,
            half_open: Arc::new(Semaphore::new(HALF_OPEN)),
            table: Mutex::default(),
            seats_given: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            replaced: AtomicU64::new(0),
            violations: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(endpoint.clone(), shared.clone()));
        Ok(Server {
            endpoint,
            shared,
            accepting,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Numbers for metrics.
    pub fn counts(&self) -> ServerCounts {
        let shared = &self.shared;
        ServerCounts {
            links: shared.table().len() as u64,
            half_open: (HALF_OPEN - shared.half_open.available_permits()) as u64,
            admitted: shared.admitted.load(Relaxed),
            refused: shared.refused.load(Relaxed),
            failed: shared.failed.load(Relaxed),
            replaced: shared.replaced.load(Relaxed),
            violations: shared.violations.load(Relaxed),
        }
    }

    /// Ends the connection of a key, for instance a revoked one. It may come again and is judged anew.
    pub fn drop_peer(&self, peer: [u8; 32]) -> bool {
        let table = self.shared.table();
        let seat = table.get(&peer);
        seat.inspect(|taken| Closing::Dropped.close(&taken.connection))
            .is_some()
    }

    /// Says goodbye to everybody and frees the port.
    pub async fn close(mut self) {
        self.endpoint.set_server_config(None);
        Closing::Stopping.close_all(&self.endpoint);
        // the loop ends with its endpoint and then its connections have; at most CLOSING each
        let _ = tokio::time::timeout(CLOSING, &mut self.accepting).await;
        let _ = tokio::time::timeout(CLOSING, self.endpoint.wait_idle()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        Closing::Stopping.close_all(&self.endpoint);
        self.accepting.abort();
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, HashMap<[u8; 32], Taken>> {
        // the table changes by single insertions and removals: what a panic leaves is whole
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket whose stateless resets (RFC 9000 section 10.3) have the same key in every life of the relay and
/// answer whatever connection is named: a device that still speaks to a former life learns at once that it is
/// over.
fn listen(address: SocketAddr, tls: quinn::ServerConfig, routing: &KeyPair) -> std::io::Result<Endpoint> {
    let key = kdf(routing.seed().as_slice(), "stateless reset");
    let mut config = EndpointConfig::new(Arc::new(ResetKey(key)));
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
    config.cid_generator(move || Box::new(Numbers { seed, given: 0 }));
    let socket = std::net::UdpSocket::bind(address)?;
    let runtime = quinn::default_runtime().ok_or_else(|| std::io::Error::other("no runtime"))?;
    Endpoint::new(config, Some(tls), socket, runtime)
}

/// Connection IDs that nobody can guess and any endpoint takes for its own. Those that quinn makes carry a
/// mark of their endpoint, and a packet without the mark gets no reset.
struct Numbers {
    seed: [u8; 32],
    given: u64,
}

impl Numbers {
    const BYTES: usize = 8;
}

impl ConnectionIdGenerator for Numbers {
    fn generate_cid(&mut self) -> ConnectionId {
        self.given += 1;
        let id = blake3::keyed_hash(&self.seed, &self.given.to_le_bytes());
        ConnectionId::new(&id.as_bytes()[..Numbers::BYTES])
    }

    fn cid_len(&self) -> usize {
        Numbers::BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// BLAKE3 in keyed mode.
struct ResetKey(Secret);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(blake3::keyed_hash(self.0.as_bytes(), data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let wanted = blake3::keyed_hash(self.0.as_bytes(), data);
        let given = signature.try_into().map(blake3::Hash::from_bytes);
        // comparison of hashes takes constant time
        match given {
            Ok(given) if given == wanted => Ok(()),
            _ => Err(CryptoError),
        }
    }
}

async fn accept(endpoint: Endpoint, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = shared.half_open.clone().try_acquire_owned() else {
            shared.failed.fetch_add(1, Relaxed);
            incoming.refuse();
            continue;
        };
        let crowded = shared.half_open.available_permits() < HALF_OPEN / 2;
        if crowded && !incoming.remote_address_validated() {
            // an address that was not shown before may always be asked to
            let _ = incoming.retry();
            continue;
        }
        connections.spawn(serve(incoming, permit, shared.clone()));
    }
    while connections.join_next().await.is_some() {}
}

/// One connection from its first packet to its end.
async fn serve(incoming: Incoming, permit: OwnedSemaphorePermit, shared: Arc<Shared>) {
    let until = Instant::now() + HANDSHAKE;
    let connection = match timeout_at(until, incoming).await {
        Ok(Ok(connection)) => connection,
        failed => {
            shared.failed.fetch_add(1, Relaxed);
            tracing::debug!(late = failed.is_err(), "handshake failed");
            return;
        }
    };
    let Some(peer) = tls::peer_key(&connection) else {
        return Closing::Violation.close(&connection);
    };
    let judged = match timeout_at(until, judge(&connection, peer, &shared)).await {
        Ok(Ok(())) => Seat::take(&connection, peer, &shared),
        Ok(Err(not_served)) => Err(not_served),
        Err(_) => Err(NotServed::Late),
    };
    let (seat, older) = match judged {
        Ok(seat) => seat,
        Err(why) => return why.close(&connection, peer, &shared),
    };
    drop(permit);
    if let Some(older) = older {
        older.leave().await;
    }
    let ended = run(&connection, peer, &shared).await;
    drop(seat);
    let why = ended.map_or("hello not sent", |ended| ended.words());
    tracing::debug!(peer = %short(&peer), why, "link down");
}

/// Why a connection gets no link.
enum NotServed {
    Gone,
    Late,
    Refused(Refusal),
}

impl NotServed {
    fn close(self, connection: &Connection, peer: [u8; 32], shared: &Shared) {
        let count = match self {
            NotServed::Refused(refusal) => {
                tracing::info!(peer = %short(&peer), why = %refusal, "refused");
                connection.close(refusal.code(), refusal.to_string().as_bytes());
                &shared.refused
            }
            NotServed::Late => {
                Closing::Late.close(connection);
                &shared.failed
            }
            NotServed::Gone => &shared.failed,
        };
        count.fetch_add(1, Relaxed);
    }
}

async fn judge(connection: &Connection, peer: [u8; 32], shared: &Shared) -> Result<(), NotServed> {
    let mut stream = connection.accept_uni().await.map_err(|_| NotServed::Gone)?;
    let bytes = match stream.read_to_end(HELLO_BYTES).await {
        Ok(bytes) => bytes,
        Err(ReadToEndError::TooLong) => return Err(NotServed::Refused(Refusal::NotACertificate)),
        Err(ReadToEndError::Read(_)) => return Err(NotServed::Gone),
    };
    let judged = Hello::decode(&bytes).and_then(|hello| shared.admit.admit(peer, &hello));
    judged.map_err(NotServed::Refused)
}

/// Holds the place of a key until it is dropped.
struct Seat {
    shared: Arc<Shared>,
    peer: [u8; 32],
    number: u64,
    /// Tells who replaced it that its link is down.
    _over: watch::Sender<()>,
}

impl Seat {
    /// Takes the place of the key, and what was there before.
    fn take(
        connection: &Connection,
        peer: [u8; 32],
        shared: &Arc<Shared>,
    ) -> Result<(Seat, Option<Taken>), NotServed> {
        let (sender, over) = watch::channel(());
        let number = shared.seats_given.fetch_add(1, Relaxed);
        let taken = Taken {
            number,
            connection: connection.clone(),
            over,
        };
        let mut table = shared.table();
        if table.len() >= CONNECTIONS && !table.contains_key(&peer) {
            return Err(NotServed::Refused(Refusal::TooMany));
        }
        let older = table.insert(peer, taken);
        let seat = Seat {
            shared: shared.clone(),
            peer,
            number,
            _over: sender,
        };
        shared.admitted.fetch_add(1, Relaxed);
        shared.replaced.fetch_add(older.is_some().into(), Relaxed);
        Ok((seat, older))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.shared.table();
        if table
            .get(&self.peer)
            .is_some_and(|taken| taken.number == self.number)
        {
            table.remove(&self.peer);
        }
    }
}

impl Taken {
    /// Ends an older connection and waits until its link is down.
    async fn leave(mut self) {
        Closing::Replaced.close(&self.connection);
        // its task sees that at once; a busy machine is not waited for longer
        let _ = tokio::time::timeout(CLOSING, self.over.changed()).await;
    }
}

async fn run(connection: &Connection, peer: [u8; 32], shared: &Shared) -> Option<Ended> {
    let mut stream = connection.open_uni().await.ok()?;
    stream.write_all(&shared.hello.encode()).await.ok()?;
    // a stream that was just written to can be finished
    let _ = stream.finish();
    let Some(pump) = Pump::up(connection, &shared.links).await else {
        Closing::Stopping.close(connection);
        return Some(Ended::Stopped);
    };
    tracing::info!(peer = %short(&peer), "link up");
    let ended = pump.run().await;
    if let Ended::Violation(rule) = ended {
        shared.violations.fetch_add(1, Relaxed);
        tracing::info!(peer = %short(&peer), rule, "closed: rule broken");
    }
    Some(ended)
}
