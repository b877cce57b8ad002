//! One attempt to reach a relay: name, socket, handshake, hello.
//!
//! Each attempt has sockets of its own, so that a binding in an address translator that died does not matter.
//! All addresses of a name are tried, each a little after the one before ([`STAGGER`]); the first complete
//! handshake counts. The hello is a step of its own ([`greet`]), since only one of several attempts may say
//! it: the relay keeps the connection that said it last.
//!
//! Looking up a name can take long without a network and cannot be given up, so there is at most one look-up
//! for a relay at a time ([`Resolver`]); meanwhile attempts use the addresses known before.

use super::closing::{Closing, on_purpose};
use super::hello::{HELLO_BYTES, Hello, Refusal};
use super::pump::Pump;
use super::tls::{self, SERVER_NAME};
use crate::link::Links;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, TransportErrorCode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Time for a handshake, and for a hello.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Between the addresses of one name (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;
/// How long an attempt waits for fresh addresses when it knows older ones.
const FRESH: Duration = Duration::from_millis(300);

/// Why there is no connection to a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No network, no route, or nobody there.
    #[error("no answer")]
    NoAnswer,
    /// The name has no address, or no network was there to ask.
    #[error("name not found")]
    NameNotFound,
    /// Somebody answers who is not this relay.
    #[error("the relay has another key than the one on its card")]
    OtherKey,
    /// Somebody answers who does not speak this protocol.
    #[error("no relay of Aidmesh answers there")]
    NotARelay,
    /// The system gave no socket.
    #[error("no socket")]
    NoSocket,
    /// The relay is being stopped.
    #[error("the relay is stopping")]
    Stopping,
    /// Another connection with this device's key took the place of this one.
    #[error("replaced by another connection of this device")]
    Replaced,
    /// The connection was there and broke, or the relay ended it.
    #[error("connection lost")]
    Lost,
    /// The relay refused to serve this device.
    #[error("refused: {0}")]
    Refused(Refusal),
}

impl Trouble {
    /// Of a connection that was there.
    pub(crate) fn of_end(error: &ConnectionError) -> Trouble {
        let ConnectionError::ApplicationClosed(close) = error else {
            return Trouble::Lost;
        };
        let code = close.error_code;
        match Refusal::read(code, &close.reason) {
            Some(refusal) => Trouble::Refused(refusal),
            None if code == Closing::Stopping.code() => Trouble::Stopping,
            None if code == Closing::Replaced.code() => Trouble::Replaced,
            None => Trouble::Lost,
        }
    }

    fn of_handshake(error: &ConnectionError) -> Trouble {
        // alerts of RFC 8446 section 6 with which this side ends a handshake with a key that is not pinned
        const ACCESS_DENIED: u8 = 49;
        match error {
            ConnectionError::TransportError(e) if e.code == TransportErrorCode::crypto(ACCESS_DENIED) => {
                Trouble::OtherKey
            }
            ConnectionError::TransportError(_) | ConnectionError::VersionMismatch => Trouble::NotARelay,
            ConnectionError::ConnectionClosed(close)
                if close.error_code != TransportErrorCode::CONNECTION_REFUSED =>
            {
                Trouble::NotARelay
            }
            error if on_purpose(error) => Trouble::of_end(error),
            _ => Trouble::NoAnswer,
        }
    }
}

/// Addresses of one relay.
#[derive(Debug)]
pub(crate) struct Resolver {
    /// `host:port`.
    address: String,
    /// What the last look-up that ended has found, and whether one is under way.
    known: watch::Sender<Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    addresses: Vec<SocketAddr>,
    asking: bool,
}

impl Resolver {
    pub(crate) fn new(address: &str) -> Resolver {
        let mut known = Known::default();
        known.addresses.extend(address.parse::<SocketAddr>());
        Resolver {
            address: address.to_owned(),
            known: watch::Sender::new(known),
        }
    }

    /// Addresses to try now: fresh ones if they come soon, else those of before.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, Trouble> {
        if let Ok(address) = self.address.parse() {
            return Ok(vec![address]);
        }
        let mut known = self.known.subscribe();
        self.ask();
        let older = !known.borrow().addresses.is_empty();
        let wait = if older { FRESH } else { PATIENCE };
        // ended or not: what is known then is used
        let _ = tokio::time::timeout(wait, known.wait_for(|known| !known.asking)).await;
        let found = known.borrow().addresses.clone();
        match found.is_empty() {
            true => Err(Trouble::NameNotFound),
            false => Ok(found),
        }
    }

    /// Looks the name up, unless that is under way.
    fn ask(&self) {
        let begin = self
            .known
            .send_if_modified(|known| !std::mem::replace(&mut known.asking, true));
        if !begin {
            return;
        }
        let (known, address) = (self.known.clone(), self.address.clone());
        tokio::spawn(async move {
            let found = tokio::net::lookup_host(&address).await;
            known.send_modify(|known| {
                known.asking = false;
                if let Ok(found) = found {
                    known.addresses = found.take(ADDRESSES).collect();
                }
            });
        });
    }
}

/// Connects to the relay. `heard` becomes true with the first answer from there.
pub(crate) async fn connect(
    resolver: Arc<Resolver>,
    config: ClientConfig,
    heard: Arc<AtomicBool>,
) -> Result<Connection, Trouble> {
    let race = async {
        let addresses = resolver.addresses().await?;
        let mut runners = JoinSet::new();
        for (n, address) in (0..).zip(addresses) {
            let (config, heard) = (config.clone(), heard.clone());
            runners.spawn(async move {
                tokio::time::sleep(STAGGER * n).await;
                handshake(address, config, &heard).await
            });
        }
        let mut trouble = Trouble::NoAnswer;
        while let Some(done) = runners.join_next().await {
            match done {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(why)) => trouble = why,
                Err(_) => {}
            }
        }
        Err(trouble)
    };
    match tokio::time::timeout(PATIENCE, race).await {
        Ok(done) => done,
        Err(_) => Err(Trouble::NoAnswer),
    }
}

async fn handshake(
    address: SocketAddr,
    config: ClientConfig,
    heard: &AtomicBool,
) -> Result<Connection, Trouble> {
    let any = match address.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let endpoint = Endpoint::client(SocketAddr::new(any, 0)).map_err(|_| Trouble::NoSocket)?;
    let connecting = endpoint.connect_with(config, address, SERVER_NAME);
    let mut connecting = connecting.map_err(|_| Trouble::NoAnswer)?;
    if connecting.handshake_data().await.is_ok() {
        heard.store(true, Relaxed);
    }
    connecting.await.map_err(|error| Trouble::of_handshake(&error))
}

/// Says the hello and waits for the relay's: then the relay serves this device, and the link comes up.
/// `Ok(None)`: the node has stopped.
pub(crate) async fn greet(
    connection: Connection,
    hello: Hello,
    links: Links,
) -> Result<Option<Pump>, Trouble> {
    let exchange = async {
        let mut stream = connection.open_uni().await?;
        // if these fail the connection is closed, and the next step says why
        let _ = stream.write_all(&hello.encode()).await;
        let _ = stream.finish();
        let mut answer = connection.accept_uni().await?;
        Ok(answer.read_to_end(HELLO_BYTES).await)
    };
    let answer = match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(Trouble::of_end(&error)),
        Err(_) => {
            Closing::Late.close(&connection);
            return Err(Trouble::NoAnswer);
        }
    };
    if answer.ok().and_then(|bytes| Hello::decode(&bytes).ok()).is_none() {
        if let Some(error) = connection.close_reason() {
            return Err(Trouble::of_end(&error));
        }
        // the relay is known by its key; that it shows no certificate is for the record
        let relay = tls::peer_key(&connection).map(|key| super::short(&key));
        tracing::info!(?relay, "the relay shows no certificate");
    }
    Ok(Pump::up(&connection, &links).await)
}
