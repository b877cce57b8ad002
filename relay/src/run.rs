//! `aidmesh-relay run`: from an open folder to a running relay, and to a graceful end.
//!
//! Order of the start: folder, key, vault, count of openings; the node with its store; the organisations;
//! the door; sockets; *ready*. Order of the end: the door closes, links end, what was taken is written, the
//! store closes. What was signed for is on disk at every moment in between, so a kill loses nothing.
//!
//! A store that fails is not waited for: the relay says so, refuses, and ends with an error after a moment,
//! so that systemd starts it again and an operator sees it. systemd is told *ready*, *stopping*, and that
//! the machine still answers.

use crate::admission::Admission;
use crate::args::Run;
use crate::commands::{cards_of, fingerprint};
use crate::data::{self, Opened};
use crate::key_file::KeySource;
use crate::live::Live;
use crate::settings::Settings;
use crate::store_watch::StoreWatch;
use crate::trouble::{self, Trouble};
use crate::{Hooks, admin, certificate, log, say};
use aidmesh_core::directory::Signed;
use aidmesh_core::enrolment::OrgCard;
use aidmesh_core::id::Org;
use aidmesh_core::machine::command::Command;
use aidmesh_core::machine::event::Event;
use aidmesh_core::machine::open::{Identity, Part};
use aidmesh_host::clock;
use aidmesh_host::node::{Feed, Handle, Node, NodeError, Start, StartError};
use aidmesh_host::store;
use aidmesh_host::uplink::{BindError, Hello, Server, ServerConfig};
use sd_notify::NotifyState;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How often the door learns who is here.
const REFRESH: Duration = Duration::from_secs(1);
/// How long a port that is taken is asked for.
const PORT_PATIENCE: Duration = Duration::from_secs(5);
/// After the store failed: long enough to be seen as not ready, then the program ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where a relay that runs can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// UDP, for devices.
    pub listen: SocketAddr,
    /// HTTP, for this machine.
    pub admin: SocketAddr,
}

/// The command: until SIGTERM, SIGINT, or the store fails.
pub(crate) fn run(data: &Path, args: &Run, json: bool, hooks: Hooks) -> Result<(), Trouble> {
    log::start();
    let runtime = crate::runtime()?;
    let _inside = runtime.enter();
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return Err(Trouble::new(trouble::SYSTEM, "signals"));
    };
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let told = |settings: &Settings, opened: &Opened, ready: Ready| {
        match json {
            true => say(&format!("{}\n", ready_line(settings, ready))),
            false => say(&screen(data, settings, opened, ready)),
        }
        notify(&[NotifyState::Ready]);
    };
    let done = runtime.block_on(serve(data, args, hooks, told, stop));
    if json && done.is_ok() {
        say("{\"event\":\"stopped\"}\n");
    }
    done
}

/// A port that is taken is asked for again for a while: a client of this machine may hold it in passing.
async fn bind(listen: SocketAddr, config: impl Fn() -> ServerConfig) -> Result<Server, BindError> {
    let until = tokio::time::Instant::now() + PORT_PATIENCE;
    loop {
        match Server::bind(listen, config()) {
            Err(why)
                if why.error.kind() == std::io::ErrorKind::AddrInUse
                    && tokio::time::Instant::now() < until =>
            {
                tokio::time::sleep(PORT_PATIENCE / 20).await;
            }
            bound => return bound,
        }
    }
}

/// Runs the relay of a data folder until `stop` is done. `told` is called once it takes items. Needs a
/// runtime with several threads.
pub async fn serve(
    data: &Path,
    args: &Run,
    hooks: Hooks,
    told: impl FnOnce(&Settings, &Opened, Ready),
    stop: impl Future<Output = ()>,
) -> Result<(), Trouble> {
    let settings = Settings::load(data)?;
    let cards = cards_of(&settings)?;
    let listener = admin::listen(args.admin.unwrap_or(settings.admin)).await?;
    let source = KeySource::choose(args.key_file.as_deref(), settings.key_file.as_deref(), data);
    let opened = data::open(data, &settings, &source)?;
    let watch = Arc::new(StoreWatch::default());
    let node = start_node(&opened, &settings, watch.clone(), hooks).await?;
    let relay = Relay::open(node, &opened, &settings, &cards, watch, args.listen, listener).await;
    let relay = match relay {
        Ok(relay) => relay,
        Err((node, why)) => {
            node.stop().await;
            return Err(why);
        }
    };
    told(&settings, &opened, relay.ready);
    relay.run(stop).await
}

async fn start_node(
    opened: &Opened,
    settings: &Settings,
    watch: Arc<StoreWatch>,
    hooks: Hooks,
) -> Result<Node, Trouble> {
    let (engine, path, keys) = (
        opened.folder.engine(),
        opened.folder.store_path(),
        opened.keys.clone(),
    );
    let start = Start {
        part: Part::Relay,
        carry_bytes: settings.room_bytes,
        identity: Identity {
            routing: opened.routing.clone(),
            routing_cert: certificate::self_signed(&opened.routing).into(),
            member: None,
        },
        disk: Box::new(move || Ok(watch.over(store::open(engine, &path, keys.clone())?))),
        openings: opened.openings.clone(),
        hooks,
    };
    // a large store takes a while
    let started = tokio::task::spawn_blocking(move || Node::start(start)).await;
    let started = started.map_err(|why| Trouble::new(trouble::SYSTEM, why))?;
    started.map_err(|why| match why {
        StartError::System(_) => Trouble::new(trouble::SYSTEM, why),
        why => Trouble::new(trouble::STORE, why),
    })
}

/// A relay that runs.
struct Relay {
    node: Node,
    live: Arc<Live>,
    server: Server,
    ready: Ready,
    events: Feed,
    health: tokio::task::JoinHandle<std::io::Result<()>>,
    end_health: tokio::sync::oneshot::Sender<()>,
}

impl Relay {
    async fn open(
        node: Node,
        opened: &Opened,
        settings: &Settings,
        cards: &BTreeMap<Org, OrgCard>,
        watch: Arc<StoreWatch>,
        listen: Option<SocketAddr>,
        listener: TcpListener,
    ) -> Result<Relay, (Node, Trouble)> {
        let handle = node.handle();
        let events = handle.follow(handle.newest());
        let opening = async {
            let door = teach(&handle, settings, cards).await?;
            let live = Live::new(handle.clone(), door, watch, opened.folder.store_path());
            let live = Arc::new(live);
            let config = || ServerConfig {
                routing: opened.routing.clone(),
                hello: Hello {
                    routing: certificate::self_signed(&opened.routing).into(),
                    admin: Default::default(),
                },
                admit: live.clone(),
                links: handle.links(),
            };
            let server = bind(listen.unwrap_or(settings.listen), config).await;
            let server = server.map_err(|why| Trouble::new(trouble::LISTEN, why))?;
            let addresses = server
                .local_addr()
                .and_then(|listen| Ok((listen, listener.local_addr()?)));
            let (listen, admin) = addresses.map_err(|why| Trouble::new(trouble::SYSTEM, why))?;
            Ok((live, server, Ready { listen, admin }))
        };
        let (live, server, ready) = match opening.await {
            Ok(parts) => parts,
            Err(why) => return Err((node, why)),
        };
        let (end_health, ended) = tokio::sync::oneshot::channel();
        let health = tokio::spawn(admin::serve(listener, live.clone(), async {
            let _ = ended.await;
        }));
        live.ready();
        Ok(Relay {
            node,
            live,
            server,
            ready,
            events,
            health,
            end_health,
        })
    }

    async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), Trouble> {
        let mut state = self.live.node.state();
        let failed = async move { state.wait_for(|state| state.cannot_save).await.is_ok() };
        tokio::pin!(stop, failed);
        let mut refresh = tokio::time::interval(REFRESH);
        let mut alive = watchdog();
        let done = loop {
            tokio::select! {
                () = &mut stop => break Ok(()),
                _ = &mut failed => break Err(Trouble::new(trouble::STORE, "")),
                _ = refresh.tick() => self.refresh().await,
                told = self.events.next() => match told {
                    Some(told) => self.event(&told.event).await,
                    None => break Err(Trouble::new(trouble::STORE, "the machine has ended")),
                },
                _ = alive.tick() => if self.live.answers().await {
                    notify(&[NotifyState::Watchdog]);
                },
            }
        };
        self.end(done.as_ref().err()).await;
        done
    }

    /// Who is here, and what the transport has seen.
    async fn refresh(&self) {
        let counts = self.server.counts();
        *self.live.transport.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        // a machine that does not answer is not ready, which its health tells
        if let Ok(peers) = self.live.node.read(|machine, _| machine.peers()).await {
            self.live.door.refresh(&peers);
        }
    }

    async fn event(&self, event: &Event) {
        if !matches!(event, Event::Revoked { .. }) {
            return;
        }
        let directory = self
            .live
            .node
            .read(|machine, _| machine.directory().clone())
            .await;
        let gone = directory.map(|directory| self.live.door.renew(&directory, clock::wall()));
        for key in gone.into_iter().flatten() {
            tracing::info!("a device was revoked; its link ends");
            self.server.drop_peer(key);
        }
    }

    /// Links end first: a device that is sent away looks for another way at once, one that is refused waits.
    async fn end(self, failed: Option<&Trouble>) {
        let why = failed.map_or("stopping", |trouble| trouble.code.what);
        self.live.close(why);
        match failed {
            None => tracing::info!("stopping: links end, what was taken is written"),
            Some(_) => tracing::warn!("{why}; the relay ends"),
        }
        notify(&[NotifyState::Stopping, NotifyState::Status(why)]);
        self.server.close().await;
        if failed.is_some() {
            tokio::time::sleep(LAST_WORDS).await;
        }
        self.node.stop().await;
        let _ = self.end_health.send(());
        // a question that takes long is not waited for
        let _ = tokio::time::timeout(LAST_WORDS, self.health).await;
        tracing::info!("stopped");
    }
}

/// Tells the machine whom this relay serves, and builds its door.
async fn teach(
    node: &Handle,
    settings: &Settings,
    cards: &BTreeMap<Org, OrgCard>,
) -> Result<Admission, Trouble> {
    let learned = |why: NodeError| match why {
        NodeError::Refused(why) => Trouble::new(trouble::CARD, why),
        NodeError::CannotSave => Trouble::new(trouble::STORE, ""),
        why => Trouble::new(trouble::STORE, why),
    };
    for card in cards.values() {
        let root_card = card.root.encode();
        let trust = Command::Trust {
            root_card,
            own: false,
        };
        node.command(trust).await.map_err(learned)?;
        for admin in &card.admins {
            let cert = admin.encode();
            match node.command(Command::LearnAdmin { cert }).await {
                // revoked since the card was printed: his devices are refused, the others served
                Err(NodeError::Refused(why)) => tracing::warn!(%why, "an administrator on a card"),
                other => drop(other.map_err(learned)?),
            }
        }
    }
    let directory = node
        .read(|machine, _| machine.directory().clone())
        .await
        .map_err(learned)?;
    let served = cards.keys().copied().collect();
    Ok(Admission::new(served, settings.limits, &directory))
}

/// Ticks at half the time that systemd waits for a sign of life; never if it does not.
fn watchdog() -> tokio::time::Interval {
    let asked = sd_notify::watchdog_enabled();
    let every = asked.map_or(Duration::from_secs(365 * 86_400), |limit| limit / 2);
    let first = tokio::time::Instant::now() + every;
    tokio::time::interval_at(first, every.max(Duration::from_millis(100)))
}

/// Without systemd there is nobody to tell.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(state) {
        tracing::debug!(%why, "systemd is not told");
    }
}

fn ready_line(settings: &Settings, ready: Ready) -> serde_json::Value {
    json!({
        "event": "ready",
        "version": env!("CARGO_PKG_VERSION"),
        "listen": ready.listen,
        "admin": ready.admin,
        "key": settings.key,
        "orgs": settings.orgs.len(),
    })
}

/// One screen: what runs where, for whom, and what is not set up.
fn screen(data: &Path, settings: &Settings, opened: &Opened, ready: Ready) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "aidmesh-relay {}: {}",
        env!("CARGO_PKG_VERSION"),
        settings.name
    );
    let _ = writeln!(out, "  fingerprint {}", fingerprint(&opened.routing.public()));
    let _ = writeln!(out, "  data        {}", data.display());
    let _ = writeln!(
        out,
        "  listens     {} (UDP), reached at {}",
        ready.listen, settings.public
    );
    let _ = writeln!(out, "  health      http://{}/readyz, /metrics", ready.admin);
    for card in cards_of(settings).into_iter().flatten().map(|(_, card)| card) {
        let _ = writeln!(out, "  serves      {}", card.root.name.as_str());
    }
    if let Some(why) = opened.restored() {
        let _ = writeln!(
            out,
            "  RESTORED    {why}: devices are told, and send again what is missing"
        );
    }
    if sd_notify::watchdog_enabled().is_none() {
        let _ = writeln!(
            out,
            "  not set up  watchdog: the unit file is in docs/how-to/run-a-relay.md"
        );
    }
    if KeySource::choose(None, settings.key_file.as_deref(), data)
        .noted()
        .is_some()
    {
        let _ = writeln!(
            out,
            "  not set up  key as a credential: the key lies in a file on this disk"
        );
    }
    let _ = writeln!(out, "Takes items. Stop with Ctrl-C or SIGTERM.");
    out
}
