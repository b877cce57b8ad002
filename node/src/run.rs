//! A device that runs: node, links, local API, and cards that go round, until it is told to stop.
//!
//! The order at the start: machine, relays, socket; only then it says *ready*, so that whoever waits for that
//! word finds the socket. At the end the other way round: nobody new is let in, then links end, then all is
//! written.

use crate::api::Socket;
use crate::device::{Device, DeviceError, How, Running};
use crate::service::Service;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often it looks whether its card is old.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Why a device does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The socket of its API.
    #[error("the socket in the data folder: {0}")]
    Socket(std::io::ErrorKind),
}

/// Starts a device and serves until `stop` is done. `ready` is called once the socket answers.
pub async fn run(
    device: Device,
    how: How,
    ready: impl FnOnce(&Running),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let socket = Socket::bind(&device.folder().socket_path()).map_err(|why| RunError::Socket(why.kind()))?;
    let running = Arc::new(device.start(how).await?);
    let service = Service::of(&running);
    let cards = tokio::spawn(service.clone().keep_directory());
    let fresh = tokio::spawn(keep_card_fresh(Arc::downgrade(&running)));
    ready(&running);
    socket.serve(service, stop).await;
    cards.abort();
    fresh.abort();
    if let Ok(running) = Arc::try_unwrap(running).map_err(|_| tracing::info!("somebody still asks")) {
        running.stop().await;
    }
    Ok(())
}

/// A new own card in time, however long the device runs.
async fn keep_card_fresh(running: Weak<Running>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(running) = running.upgrade() else { return };
        if let Err(why) = running.make_card(&running.handle()).await {
            tracing::info!(%why, "no new card");
        }
    }
}

/// SIGTERM, Ctrl-C or a closed terminal; never where signals cannot be had.
pub async fn told_to_stop() {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
