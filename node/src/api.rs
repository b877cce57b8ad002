//! The local API: HTTP/1.1 and JSON over a Unix socket in the data folder, events by SSE with resume.
//!
//! * The socket has mode 0600 in a folder of mode 0700, and each connection's user is asked for
//!   (`SO_PEERCRED`): this node's own or root, nobody else. That is the whole authentication of this socket;
//!   [`router`] knows nothing of it, so that a listener with sessions can serve the same routes.
//! * Bounded before it is believed: bodies ([`BODY_BYTES_MAX`]), names in paths and queries, listings.
//! * Every refusal is `{"error": Fault}` with the status of whose turn it is; what a library would say in
//!   words of its own is said in these.
//! * A write answers 200 when it is stored, not before.
//!
//! Routes and examples: `docs/reference/api.md`. Not here: what people may do (`service`).

mod ask;
mod events;
mod peers;
mod routes;
pub mod types;

use crate::service::Service;
use axum::Router;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

pub use peers::Listener;

/// Longest body of a request: an ECG of 8 MiB in base64, and its names.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// How long requests may take that run when the API closes.
const CLOSING: Duration = Duration::from_secs(3);

/// Every route over a service. `closing` turns true when streams of events are to end.
pub fn router(service: Service, closing: watch::Receiver<bool>) -> Router {
    routes::router(routes::App { service, closing })
}

/// The socket of a node.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    listener: Listener,
}

impl Socket {
    /// Binds the socket at `path`, instead of one that a dead node left. Whoever calls holds the lock of the
    /// data folder, so a socket that is there belongs to nobody who lives.
    pub fn bind(path: &Path) -> io::Result<Socket> {
        let listener = Listener::bind(path)?;
        let path = path.to_path_buf();
        Ok(Socket { path, listener })
    }

    /// Serves until `stop` is done, then lets requests end that run, and takes the socket away.
    pub async fn serve(self, service: Service, stop: impl Future<Output = ()> + Send + 'static) {
        let (close, closing) = watch::channel(false);
        let mut closed = closing.clone();
        let router = router(service, closing);
        let stopped = async move {
            stop.await;
            // streams of events end at once, or they would keep the server
            let _ = close.send(true);
        };
        let server = axum::serve(self.listener, router).with_graceful_shutdown(stopped);
        let too_long = async move {
            let _ = closed.wait_for(|closed| *closed).await;
            tokio::time::sleep(CLOSING).await;
        };
        tokio::select! {
            ended = server => {
                if let Err(why) = ended {
                    tracing::warn!(kind = ?why.kind(), "the local API ended");
                }
            }
            () = too_long => tracing::info!("requests did not end when the local API closed"),
        }
        // the next node replaces it if this fails
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests;
