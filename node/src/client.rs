//! Programs on this device speak to the node through its socket: HTTP/1.1 and JSON, one request a
//! connection, and server-sent events.

use std::path::{Path, PathBuf};
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use crate::api::types::{EventInfo, Fault};

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Longest line of an event.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// A way to the node on this device.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Events as they come; ends with the connection.
pub type Events = Pin<Box<dyn Stream<Item = EventInfo> + Send>>;

impl Client {
    /// Through this socket. Nothing is opened yet.
    pub fn connect(socket: &Path) -> Client {
        Client {
            socket: socket.to_path_buf(),
        }
    }

    /// Reads.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        decoded(&self.answer(Method::GET, path, Bytes::new()).await?)
    }

    /// Writes.
    pub async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Fault> {
        let body = serde_json::to_vec(body).map_err(|why| unclear(&why))?;
        decoded(&self.answer(Method::POST, path, body.into()).await?)
    }

    /// Reads something that is not JSON.
    pub async fn bytes(&self, path: &str) -> Result<Bytes, Fault> {
        self.answer(Method::GET, path, Bytes::new()).await
    }

    /// Follows the node, from the event after this one on.
    pub fn events(&self, after: Option<u64>) -> Events {
        let (told, events) = mpsc::channel(64);
        let client = self.clone();
        tokio::spawn(async move {
            let path = after.map_or_else(
                || "/v1/events".into(),
                |after| format!("/v1/events?after={after}"),
            );
            if let Ok(response) = client.request(Method::GET, &path, Bytes::new()).await {
                read_events(response.into_body(), told).await;
            }
        });
        Box::pin(ReceiverStream::new(events))
    }

    async fn answer(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Fault> {
        let response = self.request(method, path, body).await?;
        let good = response.status().is_success();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(|why| unclear(&why))?.to_bytes();
        match good {
            true => Ok(body),
            false => Err(serde_json::from_slice(&body)
                .map(|Refusal { error }| error)
                .unwrap_or_else(|why| unclear(&why))),
        }
    }

    async fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, Fault> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|_| no_node())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| no_node())?;
        tokio::spawn(async move {
            let _ended = connection.await;
        });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|why| unclear(&why))?;
        sender.send_request(request).await.map_err(|_| no_node())
    }
}

#[derive(serde::Deserialize)]
struct Refusal {
    error: Fault,
}

async fn read_events(mut body: Incoming, told: mpsc::Sender<EventInfo>) {
    let mut waiting = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        waiting.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            let Some(data) = line.strip_prefix(b"data:") else {
                continue;
            };
            if let Ok(event) = serde_json::from_slice(data)
                && told.send(event).await.is_err()
            {
                return;
            }
        }
        if waiting.len() > EVENT_BYTES_MAX {
            return;
        }
    }
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|why| unclear(&why))
}

fn no_node() -> Fault {
    Fault {
        code: "AM-NODE-01".into(),
        what: "no node runs here".into(),
        means: "nothing is sent or received by this device".into(),
        next: "Start it with: aidmesh run".into(),
    }
}

fn unclear(why: &dyn std::fmt::Display) -> Fault {
    Fault {
        code: "AM-NODE-02".into(),
        what: format!("the node gave an answer that is not understood: {why}"),
        means: "nothing is known of what was asked".into(),
        next: "Use the same version of all programs on this device".into(),
    }
}
