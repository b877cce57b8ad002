//! What people can do with a running node, whichever way they ask.
//!
//! ```text
//!  api (HTTP) ──▶ Service ──▶ Handle ──▶ the machine's thread
//!                 threads, say, ecg: acts      look, show, lines: what is shown
//!                 find: what names mean        events: what is told
//!                 directory: cards go round    faults: how a refusal reads
//! ```
//!
//! * Every act answers only when it is *stored*: durable on this device. Not before, and nothing is
//!   retried here.
//! * Names are resolved on the machine's thread, in the look that precedes an act. Between look and act
//!   things may change; the machine judges again, and its rules are the ones that count.
//! * What is shown comes from the machine alone; nothing is remembered here but who this device is, so that
//!   it can say so while its store does not open.
//!
//! Not here: bytes of HTTP, sockets, who may ask.

mod directory;
mod ecg;
mod events;
mod faults;
mod find;
mod lines;
mod look;
mod outside;
mod say;
mod show;
mod threads;
mod when;

use crate::api::types::{NodeView, PersonInfo, RelayView};
use crate::device::Running;
use crate::fault;
use aidmesh_core::directory::{DeviceCert, What};
use aidmesh_core::group::mls::Suite;
use aidmesh_core::id::Key8;
use aidmesh_core::machine::command::{Command, Made};
use aidmesh_core::time::Wall;
use aidmesh_host::clock;
use aidmesh_host::node::{Handle, NodeError};
use aidmesh_host::uplink::{PathState, State};
use data_encoding::HEXLOWER;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

pub use events::News;
pub use faults::{Failure, body_too_large, inside, no_such_path, not_found, senseless, unfit, wrong_method};
pub use find::NAME_BYTES_MAX;
pub use look::DIRECTORY;
pub use outside::Outside;
pub use say::FileOut;

use look::{Around, Look};

/// Suite of every thread that people found.
const SUITE: Suite = Suite::XWing;

/// What a service is made of.
pub struct Setup {
    /// The node.
    pub handle: Handle,
    /// The ways to its relays.
    pub paths: watch::Receiver<Vec<PathState>>,
    /// Files of the device and its organisation.
    pub outside: Arc<dyn Outside>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    handle: Handle,
    paths: watch::Receiver<Vec<PathState>>,
    outside: Arc<dyn Outside>,
    /// Who this device is, for the times when its store does not open.
    who: Mutex<Option<Who>>,
}

/// What is said of this device.
#[derive(Clone, Debug)]
struct Who {
    organisation: String,
    person: String,
    cert: DeviceCert,
    signed_on: bool,
}

impl Service {
    /// A service over a running node.
    pub fn new(setup: Setup) -> Service {
        let Setup {
            handle,
            paths,
            outside,
        } = setup;
        let who = Mutex::new(None);
        Service {
            inner: Arc::new(Inner {
                handle,
                paths,
                outside,
                who,
            }),
        }
    }

    /// A service over a device that runs. It does not keep the device from being stopped.
    pub fn of(running: &Arc<Running>) -> Service {
        Service::new(Setup {
            handle: running.handle(),
            paths: running.paths(),
            outside: Arc::new(Arc::downgrade(running)),
        })
    }

    /// Keeps cards of devices going round until the node stops. To be spawned once.
    pub async fn keep_directory(self) {
        directory::run(self).await;
    }

    /// This device and its links.
    pub async fn node(&self) -> Result<NodeView, Failure> {
        let cannot_save = self.inner.handle.state().borrow().cannot_save;
        let looked = self.look(|look| Ok((who(look)?, look.machine.waiting()))).await;
        let (who, waiting) = match looked {
            Ok((who, waiting)) => {
                *self.who() = Some(who.clone());
                (who, waiting)
            }
            Err(why) => {
                let known = self.who().clone();
                (known.ok_or(why)?, self.inner.handle.state().borrow().waiting)
            }
        };
        let now = clock::wall();
        let left = i64::from(who.cert.window.not_after_min) - (now.0 / 60_000) as i64;
        let paths = self.inner.paths.borrow().clone();
        Ok(NodeView {
            schema: "aidmesh.node/1".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            organisation: who.organisation,
            person: who.person,
            device8: look::hex8(&who.cert.dev().0),
            roles: roles_of(&who.cert),
            signed_on: who.signed_on,
            lease_days: left.div_euclid(24 * 60),
            waiting,
            relays: paths.iter().map(|path| relay(path, now)).collect(),
            fault: cannot_save.then(|| fault::of("AM-STORE-02")),
        })
    }

    /// People that are known here, one for each device.
    pub async fn people(&self) -> Result<Vec<PersonInfo>, Failure> {
        self.look(|look| {
            let own = look.own()?.dev();
            let directory = look.machine.directory();
            let others = directory.devices().filter(|cert| cert.dev() != own);
            let mut people = Vec::new();
            for cert in others {
                let key = Key8::of_key(&cert.device_key);
                if directory.revocation(cert.org, What::Device, key).is_some() {
                    continue;
                }
                let has_card = look.machine.can_add(look.store, cert.dev(), SUITE);
                people.push(PersonInfo {
                    person: cert.name.as_str().to_owned(),
                    device8: look::hex8(&cert.dev().0),
                    roles: roles_of(cert),
                    organisation: look.organisation(cert.org),
                    has_card: has_card.map_err(|why| faults::unreadable(&why))?,
                });
            }
            people.sort_by_key(|p| (p.person.to_lowercase(), p.device8.clone()));
            Ok(people)
        })
        .await
    }

    /// Reads the files of the organisation anew. Whether anything was new.
    pub async fn reload(&self) -> Result<bool, Failure> {
        self.inner.outside.reload().await
    }

    /// Looks at the machine between two inputs.
    async fn look<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Look<'_>) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        let around = self.around();
        let looked = self.inner.handle.read(move |machine, store| {
            let around = &around;
            look(&Look {
                machine,
                store,
                around,
            })
        });
        looked.await.map_err(faults::node)?
    }

    /// Gives a command; it is stored when this returns.
    async fn command(&self, command: Command) -> Result<Made, Failure> {
        self.inner.handle.command(command).await.map_err(faults::node)
    }

    fn around(&self) -> Around {
        let paths = self.inner.paths.borrow();
        let relays = paths
            .iter()
            .map(|path| (Key8::of_key(&path.relay.key), path.relay.name.clone()));
        Around {
            now: clock::wall(),
            relays: relays.collect(),
        }
    }

    /// Replaced as a whole, so a panic elsewhere leaves it right.
    fn who(&self) -> std::sync::MutexGuard<'_, Option<Who>> {
        self.inner.who.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn who(look: &Look<'_>) -> Result<Who, Failure> {
    let cert = look.own()?;
    let signed_on = look.machine.person();
    Ok(Who {
        organisation: look.organisation(cert.org),
        person: match signed_on {
            Some(person) => look.person(person),
            None => cert.name.as_str().to_owned(),
        },
        signed_on: signed_on.is_some(),
        cert,
    })
}

fn roles_of(cert: &DeviceCert) -> Vec<String> {
    cert.roles.iter().map(|role| role.name().to_owned()).collect()
}

fn relay(path: &PathState, now: Wall) -> RelayView {
    let ago = |since: Instant| now.0.saturating_sub(since.elapsed().as_millis() as u64);
    let (state, since, rtt_ms, why) = match path.state {
        State::Trying { since, why, .. } => ("trying", since, None, why.map(|why| why.to_string())),
        State::Up { since, rtt_ms } => ("up", since, Some(u64::from(rtt_ms)), None),
        State::Refused { why, since } => ("refused", since, None, Some(why.to_string())),
    };
    RelayView {
        name: path.relay.name.clone(),
        address: path.relay.address.clone(),
        key: HEXLOWER.encode(&Key8::of_key(&path.relay.key).0),
        state: state.into(),
        since_ms: ago(since),
        rtt_ms,
        why,
    }
}

/// A refusal of the machine that means that it is so already.
fn is_so_already(why: &NodeError) -> bool {
    use aidmesh_core::machine::command::CommandError;
    matches!(why, NodeError::Refused(CommandError::NoChange))
}

#[cfg(test)]
pub(crate) mod tests;
