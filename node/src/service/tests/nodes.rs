//! Nodes with their threads and disks in memory, joined by wires of channels.

use super::cast::{Device, RELAY};
use crate::service::{Failure, Outside, Service, Setup};
use aidmesh_core::group::mls::Suite;
use aidmesh_core::machine::Event;
use aidmesh_core::machine::command::{Card, Command};
use aidmesh_core::machine::input::LinkInfo;
use aidmesh_core::machine::open::Part;
use aidmesh_host::clock;
use aidmesh_host::link::{LinkReceiver, LinkSender};
use aidmesh_host::node::{Hooks, Node, Start};
use aidmesh_host::openings::Openings;
use aidmesh_host::store::{Disk, InMemory};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Longer than anything here takes; what takes so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it is so, or fails.
pub(crate) async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let wait = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, wait).await;
    done.unwrap_or_else(|_| panic!("it did not come to it that {what}"));
}

/// Files that a test writes.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) card: std::sync::OnceLock<Card>,
    pub(crate) changed: AtomicBool,
}

impl Outside for Files {
    fn reload(&self) -> Pin<Box<dyn Future<Output = Result<bool, Failure>> + Send + '_>> {
        Box::pin(async { Ok(self.changed.swap(false, Ordering::Relaxed)) })
    }

    fn own_card(&self) -> Option<Card> {
        self.card.get().cloned()
    }
}

pub(crate) struct Running {
    device: Device,
    node: Node,
    pub(crate) service: Service,
    pub(crate) files: Arc<Files>,
}

impl Running {
    pub(crate) async fn relay() -> Running {
        Running::start(RELAY, Arc::new(InMemory::new())).await
    }

    pub(crate) async fn member(device: Device) -> Running {
        Running::on(device, Arc::new(InMemory::new())).await
    }

    /// A member with its own card.
    pub(crate) async fn on(device: Device, disk: Arc<dyn Disk>) -> Running {
        let running = Running::start(device, disk).await;
        let handle = running.node.handle();
        let mut feed = handle.follow(handle.newest());
        let suite = Suite::XWing;
        handle.command(Command::MakeCard { suite }).await.unwrap();
        while let Some(told) = feed.next().await {
            if let Event::CardMade { card } = told.event {
                running.files.card.set(card).unwrap();
                break;
            }
        }
        running
    }

    async fn start(device: Device, disk: Arc<dyn Disk>) -> Running {
        let now = clock::wall().0;
        let part = match device.role {
            Some(_) => Part::Member,
            None => Part::Relay,
        };
        let node = Node::start(Start {
            part,
            carry_bytes: 1 << 24,
            identity: device.identity(now),
            disk: Box::new(move || Ok(disk.clone())),
            openings: Arc::new(Openings::volatile()),
            hooks: Hooks::default(),
        })
        .unwrap();
        for command in device.told_first(now) {
            node.handle().command(command).await.unwrap();
        }
        let files = Arc::new(Files::default());
        let service = Service::new(Setup {
            handle: node.handle(),
            paths: watch::channel(vec![]).1,
            outside: files.clone(),
        });
        Running {
            device,
            node,
            service,
            files,
        }
    }

    pub(crate) fn card(&self) -> Card {
        self.files.card.get().cloned().unwrap()
    }

    pub(crate) async fn learn(&self, other: &Running) {
        let card = other.card();
        let learn = Command::LearnCard { card };
        self.node.handle().command(learn).await.unwrap();
    }

    /// A wire that takes all that it is given, as long as both live.
    pub(crate) async fn connect(&self, other: &Running) {
        let up = async |here: &Running, there: &Running| {
            let info = LinkInfo {
                peer: there.device.identity(1 << 40).routing.public(),
                exporter: [7; 32],
                mtu: 1200,
                thin: false,
                streams: true,
            };
            here.node.handle().links().up(info).await.unwrap()
        };
        let (to_a, from_a) = up(self, other).await;
        let (to_b, from_b) = up(other, self).await;
        let pump = |mut from: LinkReceiver, own: LinkSender, to: LinkSender| {
            tokio::spawn(async move {
                own.grant(1 << 20).await;
                while let Some(unit) = from.next().await {
                    let bytes = unit.bytes.len() as u32;
                    to.received(unit.bytes).await;
                    own.grant(bytes).await;
                }
            });
        };
        pump(from_a, to_a.clone(), to_b.clone());
        pump(from_b, to_b, to_a);
    }

    pub(crate) async fn stop(self) {
        self.node.stop().await;
    }
}
