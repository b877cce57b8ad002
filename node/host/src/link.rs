//! Between a transport and the machine: what a connection hands over and what it is given to send.
//!
//! A transport authenticates a peer, asks for a [`Link`], then moves bytes: it takes [`Unit`]s from
//! [`LinkReceiver::next`], tells by [`LinkSender::grant`] how much more the path takes, and hands whole
//! frames that arrived to [`LinkSender::received`]. Dropping the receiver ends the link. The machine sends
//! nothing but greetings and words about state without a grant, so a transport grants as its path drains
//! and never more than it can hold.

use aidmesh_core::envelope::Class;
use aidmesh_core::machine::input::LinkInfo;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// Frames of one link that wait for its transport; a transport that lets more pile up loses the link.
pub const UNITS_WAITING: usize = 1024;

/// Whole frames to send, at most a few KiB.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The frames.
    pub bytes: Bytes,
    /// How urgent: 0 before 4.
    pub class: Class,
}

/// What a transport tells the machine's thread.
#[derive(Debug)]
pub(crate) enum FromLink {
    Up {
        info: LinkInfo,
        units: mpsc::Sender<Unit>,
        number: oneshot::Sender<u32>,
    },
    Frames {
        link: u32,
        bytes: Bytes,
    },
    Grant {
        link: u32,
        bytes: u32,
    },
    Down {
        link: u32,
    },
}

/// Where transports announce their connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Links {
    pub(crate) calls: mpsc::Sender<FromLink>,
}

impl Links {
    /// A connection to an authenticated peer is usable. `None` once the node has stopped.
    pub async fn up(&self, info: LinkInfo) -> Option<(LinkSender, LinkReceiver)> {
        let (units, waiting) = mpsc::channel(UNITS_WAITING);
        let (number, given) = oneshot::channel();
        let up = FromLink::Up { info, units, number };
        self.calls.send(up).await.ok()?;
        let link = given.await.ok()?;
        let sender = LinkSender {
            link,
            calls: self.calls.clone(),
        };
        let receiver = LinkReceiver {
            link,
            calls: self.calls.clone(),
            waiting,
        };
        Some((sender, receiver))
    }
}

/// Tells the machine what happens on a link. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LinkSender {
    link: u32,
    calls: mpsc::Sender<FromLink>,
}

impl LinkSender {
    /// Whole frames that arrived. Waits while the machine is busy; `false` once the node has stopped.
    pub async fn received(&self, bytes: Bytes) -> bool {
        let link = self.link;
        self.calls.send(FromLink::Frames { link, bytes }).await.is_ok()
    }

    /// The path takes that many more bytes now.
    pub async fn grant(&self, bytes: u32) -> bool {
        let link = self.link;
        self.calls.send(FromLink::Grant { link, bytes }).await.is_ok()
    }
}

/// What the machine wants sent on a link. Dropping it ends the link.
#[derive(Debug)]
pub struct LinkReceiver {
    link: u32,
    calls: mpsc::Sender<FromLink>,
    waiting: mpsc::Receiver<Unit>,
}

impl LinkReceiver {
    /// The next unit, in the order of the machine. `None` when the machine wants the link closed.
    pub async fn next(&mut self) -> Option<Unit> {
        self.waiting.recv().await
    }
}

impl Drop for LinkReceiver {
    fn drop(&mut self) {
        let (link, calls) = (self.link, self.calls.clone());
        // the channel may be full and there may be no runtime left: a thread of the pool waits if it must
        if let Err(mpsc::error::TrySendError::Full(down)) = calls.try_send(FromLink::Down { link })
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { calls.send(down).await });
        }
    }
}
