//! What is known of a running relay: asked by health, metrics and status, told by those who work.
//!
//! Also its door ([`Admit`]): it translates what [`Admission`] decides for the transport, and lets the
//! machine learn a new administrator before it hears the first device certified by him.

use crate::admin::Watch;
use crate::admission::{Admission, Refusal};
use crate::metrics::{Snapshot, TransportCounts};
use crate::store_watch::StoreWatch;
use aidmesh_core::machine::command::Command;
use aidmesh_host::clock;
use aidmesh_host::node::Handle;
use aidmesh_host::uplink::{self, Admit, Hello, ServerCounts};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a machine may take to answer a question about itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// See the module.
pub(crate) struct Live {
    pub(crate) node: Handle,
    pub(crate) door: Admission,
    pub(crate) store: Arc<StoreWatch>,
    pub(crate) store_path: PathBuf,
    pub(crate) started: Instant,
    pub(crate) transport: Mutex<ServerCounts>,
    not_ready: Mutex<Option<&'static str>>,
}

impl Live {
    pub(crate) fn new(node: Handle, door: Admission, store: Arc<StoreWatch>, store_path: PathBuf) -> Live {
        Live {
            node,
            door,
            store,
            store_path,
            started: Instant::now(),
            transport: Mutex::default(),
            not_ready: Mutex::new(Some("starting")),
        }
    }

    /// From now on items are taken.
    pub(crate) fn ready(&self) {
        self.tell(None);
    }

    /// From now on nothing is taken, for this reason.
    pub(crate) fn close(&self, why: &'static str) {
        self.door.close();
        self.tell(Some(why));
    }

    /// The machine answers, which also means that its thread is alive.
    pub(crate) async fn answers(&self) -> bool {
        let answer = tokio::time::timeout(PATIENCE, self.node.read(|_, _| ())).await;
        matches!(answer, Ok(Ok(())))
    }

    fn tell(&self, why: Option<&'static str>) {
        *self.not_ready.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

impl Watch for Live {
    async fn look(&self) -> Snapshot {
        let asked = tokio::time::timeout(PATIENCE, self.node.read(|machine, _| machine.holdings())).await;
        let holdings = asked.ok().and_then(Result::ok);
        let told = *self.not_ready.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = holdings.is_none().then_some("the machine does not answer");
        let counts = *self.transport.lock().unwrap_or_else(PoisonError::into_inner);
        let files = std::fs::read_dir(&self.store_path)
            .into_iter()
            .flatten()
            .flatten();
        let bytes = files.filter_map(|file| Some(file.metadata().ok()?.len()));
        Snapshot {
            not_ready: told.or(silent),
            uptime_s: self.started.elapsed().as_secs(),
            holdings,
            links: self.node.state().borrow().links,
            admission: self.door.counts(),
            transport: TransportCounts {
                failed: counts.failed,
                replaced: counts.replaced,
                violations: counts.violations,
            },
            store: self.store.counts(),
            disk_bytes: bytes.sum(),
        }
    }
}

impl Admit for Live {
    fn admit(&self, peer: [u8; 32], hello: &Hello) -> Result<(), uplink::Refusal> {
        let judged = self.door.judge(peer, &hello.routing, &hello.admin, clock::wall());
        let admitted = judged.map_err(refusal)?;
        let Some(admin) = admitted.new_admin else {
            return Ok(());
        };
        // once for each administrator: the machine must know him before it hears the device
        let cert = admin.into();
        let learned = tokio::task::block_in_place(|| {
            let learned = self.node.command(Command::LearnAdmin { cert });
            tokio::runtime::Handle::current().block_on(learned)
        });
        match learned {
            Ok(_) => Ok(()),
            Err(_) => Err(refusal(Refusal::Closed)),
        }
    }
}

/// In the fewer words that travel to the device.
fn refusal(why: Refusal) -> uplink::Refusal {
    match why {
        Refusal::NotServed => uplink::Refusal::Organisation,
        Refusal::Revoked | Refusal::RevokedAdministrator => uplink::Refusal::Revoked,
        Refusal::OtherKey => uplink::Refusal::OtherKey,
        Refusal::FullOrganisation | Refusal::Closed => uplink::Refusal::TooMany,
        Refusal::NoCertificate
        | Refusal::UnknownAdministrator
        | Refusal::BadSignature
        | Refusal::NotAllowed => uplink::Refusal::NotACertificate,
    }
}
