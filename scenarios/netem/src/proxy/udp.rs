//! The sockets and the clock around the radio.
//!
//! Tasks: one listens to the clients and owns their table; one for each client listens to the target; one
//! courier sleeps until the next arrival and hands datagrams on. They meet in [`Shared`], whose lock is
//! never held across an await. Errors of a socket are what they are on a real link: a datagram that got
//! lost, or a port nobody listens on yet; the task goes on.
//!
//! The table of clients works like the one of a router at home: the address that has been silent for the
//! longest time makes room for a new one.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use super::radio::{Radio, Toward};

/// Client addresses that are remembered at once.
pub(super) const CLIENTS_MAX: usize = 256;
/// No UDP payload is longer.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Pause after an error of a socket, so that an error that stays does not use a processor up.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Where a datagram leaves the radio.
#[derive(Clone, Debug)]
pub(super) struct Exit {
    socket: Arc<UdpSocket>,
    /// `None` on a socket that is connected to the target.
    to: Option<SocketAddr>,
}

/// What the tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    radio: Mutex<Radio<Exit>>,
    started: Instant,
    /// Told whenever an earlier arrival may have come up.
    changed: Notify,
}

impl Shared {
    pub(super) fn new(radio: Radio<Exit>) -> Shared {
        Shared {
            radio: Mutex::new(radio),
            started: Instant::now(),
            changed: Notify::new(),
        }
    }

    /// Gives the radio and the microseconds since the start. A panic elsewhere leaves no half-made change.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Radio<Exit>, u64) -> R) -> R {
        let mut radio = self.radio.lock().unwrap_or_else(PoisonError::into_inner);
        let now_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        act(&mut radio, now_us)
    }

    fn send(&self, toward: Toward, exit: Exit, payload: &[u8]) {
        self.with(|radio, now_us| radio.send(now_us, toward, exit, payload));
        self.changed.notify_one();
    }
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Binds within the runtime of the caller.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Starts listener and courier.
pub(super) fn run(shared: Arc<Shared>, socket: UdpSocket, target: SocketAddr) -> [Task; 2] {
    let courier = tokio::spawn(courier(Arc::clone(&shared)));
    let listener = Listener {
        shared,
        socket: Arc::new(socket),
        target,
        clients: HashMap::new(),
    };
    [Task(courier), Task(tokio::spawn(listener.run()))]
}

async fn courier(shared: Arc<Shared>) {
    loop {
        let next_at_us = shared.with(|radio, _| radio.next_at_us());
        let wait = async {
            match next_at_us {
                Some(at_us) => tokio::time::sleep_until(shared.started + Duration::from_micros(at_us)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => {}
            () = shared.changed.notified() => {}
        }
        while let Some((exit, payload)) = shared.with(|radio, now_us| radio.due(now_us)) {
            // a full socket buffer or a closed port loses the datagram, as a network would
            let _lost = match exit.to {
                Some(to) => exit.socket.send_to(&payload, to).await,
                None => exit.socket.send(&payload).await,
            };
        }
    }
}

struct Listener {
    shared: Arc<Shared>,
    socket: Arc<UdpSocket>,
    target: SocketAddr,
    clients: HashMap<SocketAddr, Client>,
}

struct Client {
    socket: Arc<UdpSocket>,
    heard: Instant,
    _answers: Task,
}

impl Listener {
    async fn run(mut self) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let Ok((len, from)) = self.socket.recv_from(&mut buffer).await else {
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            };
            if let Ok(socket) = self.client(from) {
                self.shared
                    .send(Toward::Target, Exit { socket, to: None }, &buffer[..len]);
            }
        }
    }

    /// The socket toward the target of this client.
    fn client(&mut self, from: SocketAddr) -> io::Result<Arc<UdpSocket>> {
        if !self.clients.contains_key(&from) {
            let socket = Arc::new(connected(self.target)?);
            self.make_room();
            let exit = Exit {
                socket: Arc::clone(&self.socket),
                to: Some(from),
            };
            let answers = tokio::spawn(answers(Arc::clone(&self.shared), Arc::clone(&socket), exit));
            let client = Client {
                socket,
                heard: Instant::now(),
                _answers: Task(answers),
            };
            self.clients.insert(from, client);
        }
        let client = self
            .clients
            .get_mut(&from)
            .expect("inserted above if it was missing");
        client.heard = Instant::now();
        Ok(Arc::clone(&client.socket))
    }

    fn make_room(&mut self) {
        if self.clients.len() < CLIENTS_MAX {
            return;
        }
        let silent = self.clients.iter().min_by_key(|(_, client)| client.heard);
        if let Some(from) = silent.map(|(from, _)| *from) {
            self.clients.remove(&from);
        }
    }
}

async fn answers(shared: Arc<Shared>, socket: Arc<UdpSocket>, exit: Exit) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(len) => shared.send(Toward::Client, exit.clone(), &buffer[..len]),
            Err(_) => tokio::time::sleep(ERROR_PAUSE).await,
        }
    }
}

fn connected(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}
