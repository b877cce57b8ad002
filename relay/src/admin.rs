//! Health and metrics over HTTP, to programs on this machine.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 while the process runs |
//! | `/readyz` | 200 if items are taken: store open, key unlocked, listening. Else 503 and why |
//! | `/metrics` | sums for Prometheus |
//! | `/status` | the same sums as JSON, for `aidmesh-relay status` |
//!
//! Only a loopback address is served, and only questions that name one as their host: a web page that a
//! browser here has open must not get at it by a name of its own that leads here. Nothing can be changed.

use crate::metrics::{self, CLASSES, Snapshot};
use crate::trouble::{self, Trouble};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;

/// Name of the layout of `/status`.
pub const SCHEMA: &str = "aidmesh.relay_status/1";

/// Whoever knows how the relay is.
pub trait Watch: Send + Sync + 'static {
    /// How it is now.
    fn look(&self) -> impl Future<Output = Snapshot> + Send;
}

/// Listens for questions on a loopback address.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Trouble> {
    loopback(address)?;
    let bound = TcpListener::bind(address).await;
    bound.map_err(|why| Trouble::new(trouble::LISTEN, format_args!("{address}: {why}")))
}

/// Refuses an address that other machines can reach.
pub fn loopback(address: SocketAddr) -> Result<(), Trouble> {
    match address.ip().is_loopback() {
        true => Ok(()),
        false => Err(Trouble::new(trouble::NOT_LOOPBACK, address)),
    }
}

/// Answers questions until `stop` is done.
pub async fn serve<W: Watch>(
    listener: TcpListener,
    watch: Arc<W>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let answered = axum::serve(listener, router(watch));
    answered.with_graceful_shutdown(stop).await
}

fn router<W: Watch>(watch: Arc<W>) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready::<W>))
        .route("/metrics", get(sums::<W>))
        .route("/status", get(status::<W>))
        .with_state(watch)
        .layer(axum::middleware::from_fn(from_here))
}

async fn from_here(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    match is_loopback_host(host) {
        true => next.run(request).await,
        false => (StatusCode::FORBIDDEN, "for this machine only\n").into_response(),
    }
}

fn is_loopback_host(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    name == "localhost"
        || name
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

async fn ready<W: Watch>(State(watch): State<Arc<W>>) -> Response {
    match watch.look().await.not_ready {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn sums<W: Watch>(State(watch): State<Arc<W>>) -> Response {
    let text = metrics::text(&watch.look().await);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn status<W: Watch>(State(watch): State<Arc<W>>) -> Json<Value> {
    Json(status_of(&watch.look().await))
}

/// The JSON of `/status`. What is not known is absent.
fn status_of(now: &Snapshot) -> Value {
    let refused = now.admission.refused.iter();
    let refused: Map<String, Value> = refused.map(|(why, n)| (why.label().into(), json!(n))).collect();
    let mut status = json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "ready": now.not_ready.is_none(),
        "uptime_s": now.uptime_s,
        "links": now.links,
        "admitted": now.admission.admitted,
        "refused": refused,
        "store": {
            "commits": now.store.commits,
            "errors": now.store.errors,
            "disk_bytes": now.disk_bytes,
        },
    });
    if let Some(why) = now.not_ready {
        status["why"] = json!(why);
    }
    if let Some(age_s) = now.store.last_commit_age_s {
        status["store"]["last_commit_age_s"] = json!(age_s);
    }
    if let Some(holdings) = &now.holdings {
        let classes = CLASSES.iter().zip(holdings.usage.by_class);
        let classes: Map<String, Value> = classes
            .map(|(class, bytes)| ((*class).into(), json!(bytes)))
            .collect();
        status["kept"] = json!({
            "items": holdings.usage.items,
            "bytes": holdings.usage.bytes,
            "room_bytes": holdings.quota_bytes,
            "by_class": classes,
            "stored": holdings.tally.stored,
            "refused": holdings.tally.refused.iter().sum::<u64>(),
            "chunks_again": holdings.tally.chunks_again,
            "receipts": holdings.tally.receipts,
            "restored": holdings.restored,
        });
    }
    status
}

#[cfg(test)]
mod tests;
