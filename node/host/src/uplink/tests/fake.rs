//! A machine that notes what its links bring.

use super::PATIENCE;
use crate::link::{FromLink, Links, Unit};
use aidmesh_core::machine::input::LinkInfo;
use aidmesh_core::wire::decode_all;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Waits, but not for ever.
pub(super) async fn within<T>(what: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, what).await;
    done.expect("comes in time")
}

/// A link as the machine sees it.
#[derive(Clone)]
pub(super) struct Noted {
    pub(super) info: LinkInfo,
    pub(super) units: Option<mpsc::Sender<Unit>>,
    pub(super) received: Vec<Bytes>,
    pub(super) granted: i64,
    pub(super) down: bool,
}

impl Noted {
    pub(super) fn frames(&self) -> usize {
        self.received.iter().map(|group| decode_all(group).count()).sum()
    }

    pub(super) async fn send(&self, unit: Unit) {
        let units = self.units.as_ref().expect("link not closed here");
        within(units.send(unit)).await.expect("link up");
    }
}

pub(super) struct Machine {
    calls: mpsc::Sender<FromLink>,
    noted: watch::Sender<Vec<Noted>>,
    paused: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Machine {
    pub(super) fn start() -> Machine {
        // a short channel: a machine that does not read is felt by its peers
        let (calls, mut heard) = mpsc::channel(2);
        let noted = watch::Sender::new(vec![]);
        let paused = watch::Sender::new(false);
        let (notes, mut pause) = (noted.clone(), paused.subscribe());
        let task = tokio::spawn(async move {
            while let Some(call) = heard.recv().await {
                note(&notes, call);
                if pause.wait_for(|paused| !paused).await.is_err() {
                    break;
                }
            }
        });
        Machine {
            calls,
            noted,
            paused,
            task,
        }
    }

    pub(super) fn links(&self) -> Links {
        Links {
            calls: self.calls.clone(),
        }
    }

    pub(super) fn links_seen(&self) -> usize {
        self.noted.borrow().len()
    }

    /// The n-th link, once it is there.
    pub(super) async fn link(&self, n: usize) -> Noted {
        let mut seen = self.noted.subscribe();
        let all = within(seen.wait_for(|links| links.len() > n)).await.unwrap();
        all[n].clone()
    }

    /// What the n-th link has brought when it is as wanted.
    pub(super) async fn wait(&self, n: usize, wanted: impl Fn(&Noted) -> bool) -> Vec<Bytes> {
        let mut seen = self.noted.subscribe();
        let found = seen.wait_for(|links| links.get(n).is_some_and(&wanted));
        let found = tokio::time::timeout(PATIENCE, found).await;
        match found {
            Ok(links) => links.unwrap()[n].received.clone(),
            Err(_) => {
                let links = self.noted.borrow();
                let frames = links.get(n).map(|link| (link.frames(), link.down));
                panic!("link {n} of {}: frames and down: {frames:?}", links.len())
            }
        }
    }

    /// What was granted in all, once it is at least so much.
    pub(super) async fn granted(&self, n: usize, least: i64) -> i64 {
        let mut seen = self.noted.subscribe();
        let all = seen.wait_for(|links| links[n].granted >= least).await.unwrap();
        all[n].granted
    }

    pub(super) fn granted_now(&self, n: usize) -> i64 {
        self.noted.borrow()[n].granted
    }

    /// Stops reading, or goes on.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// Wants the n-th link closed.
    pub(super) fn disconnect(&self, n: usize) {
        self.noted.send_modify(|links| links[n].units = None);
    }

    /// The node is gone.
    pub(super) fn stop(&self) {
        self.task.abort();
        self.noted
            .send_modify(|links| links.iter_mut().for_each(|link| link.units = None));
    }
}

fn note(notes: &watch::Sender<Vec<Noted>>, call: FromLink) {
    notes.send_modify(|links| match call {
        FromLink::Up { info, units, number } => {
            let _ = number.send(links.len() as u32);
            links.push(Noted {
                info,
                units: Some(units),
                received: vec![],
                granted: 0,
                down: false,
            });
        }
        FromLink::Frames { link, bytes } => links[link as usize].received.push(bytes),
        FromLink::Grant { link, bytes } => links[link as usize].granted += i64::from(bytes),
        FromLink::Down { link } => {
            let link = &mut links[link as usize];
            link.down = true;
            link.units = None;
        }
    });
}
