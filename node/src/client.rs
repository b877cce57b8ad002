//! The way of a program on this device to its node: HTTP/1.1 and JSON over the Unix socket in the data
//! folder, and server-sent events.
//!
//! * One connection for each request: nothing is shared, so nothing can get out of step.
//! * Every answer is bounded in bytes and time; the node is trusted with secrets, not with memory.
//! * An answer of the API that is no success is a [`Fault`] and passed on as it is, so that a person reads
//!   the words of the program that knows what happened.
//! * [`EventStream`] remembers the number of its last event, so that a caller can follow on from there.
//!
//! It does *not* retry: whether a request that got no answer may be made again, only the caller knows.

mod events;

use crate::api::types::Fault;
use crate::fault;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

pub use events::EventStream;

/// Longest answer that is read.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Longest time to an answer. A commit waits for the disk, an ECG of 8 MiB for its encryption.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// The socket in a data folder.
pub fn socket_in(data: &Path) -> PathBuf {
    data.join("socket")
}

/// A segment of a path: titles may hold anything.
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            // a dot alone would be a step in a path
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A way to the node of one data folder.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Checks that a node listens at this socket.
    ///
    /// # Errors
    /// `AM-NODE-01` if none does.
    pub fn connect(path: &Path) -> Result<Client, Fault> {
        std::os::unix::net::UnixStream::connect(path).map_err(|why| no_way(&why))?;
        Ok(Client {
            socket: path.to_owned(),
        })
    }

    /// Reads.
    ///
    /// # Errors
    /// What the node answers, or `AM-NODE-01` to `-07`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        decoded(&self.answer(Method::GET, path, None).await?)
    }

    /// Writes.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, Fault> {
        let body = serde_json::to_vec(body).map_err(|why| fault::with("AM-NODE-08", why))?;
        decoded(&self.answer(Method::POST, path, Some(body.into())).await?)
    }

    /// Takes something away.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        decoded(&self.answer(Method::DELETE, path, None).await?)
    }

    /// Reads something that is not JSON.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn bytes(&self, path: &str) -> Result<Bytes, Fault> {
        self.answer(Method::GET, path, None).await
    }

    /// Follows what happens, after the event of this number, or from now on. Subscribed when it returns.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn events(&self, after: Option<u64>) -> Result<EventStream, Fault> {
        let mut request = Request::builder().header(ACCEPT, "text/event-stream");
        let mut path = "/v1/events".to_owned();
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
            path = format!("{path}?after={after}");
        }
        let sent = self.send(request.uri(path), Bytes::new());
        let response = timeout(ANSWER_TIME_MAX, sent).await.map_err(|_| late())??;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        Ok(EventStream::new(response.into_body(), after))
    }

    async fn answer(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Bytes, Fault> {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let whole = async {
            let response = self.send(request, body.unwrap_or_default()).await?;
            match response.status().is_success() {
                true => collected(response).await,
                false => Err(refusal(response).await),
            }
        };
        timeout(ANSWER_TIME_MAX, whole).await.map_err(|_| late())?
    }

    async fn send(
        &self,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> Result<Response<Incoming>, Fault> {
        let request = request.header(HOST, "localhost").body(Full::new(body));
        let request = request.map_err(|why| fault::with("AM-USE-01", why))?;
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|why| no_way(&why))?;
        let broken = |why: hyper::Error| fault::with("AM-NODE-04", why);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // ends with the body that the caller reads or drops; its error is the sender's or the body's too
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(broken)
    }
}

async fn collected(response: Response<Incoming>) -> Result<Bytes, Fault> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    let body = body.map_err(|why| match why.is::<http_body_util::LengthLimitError>() {
        true => fault::with("AM-NODE-07", format_args!("more than {ANSWER_BYTES_MAX} bytes")),
        false => fault::with("AM-NODE-04", why),
    })?;
    Ok(body.to_bytes())
}

/// What an answer says that is no success.
async fn refusal(response: Response<Incoming>) -> Fault {
    let status = response.status();
    let body = match collected(response).await {
        Ok(body) => body,
        Err(fault) => return fault,
    };
    #[derive(serde::Deserialize)]
    struct Wrapped {
        error: Fault,
    }
    let fault = serde_json::from_slice(&body)
        .or_else(|_| serde_json::from_slice(&body).map(|Wrapped { error }| error));
    fault.unwrap_or_else(|_| fault::with("AM-NODE-02", format_args!("it says {status}")))
}

/// An empty answer is an object without fields.
fn decoded<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|why| fault::with("AM-NODE-02", why))
}

fn no_way(why: &std::io::Error) -> Fault {
    match why.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory => {
            fault::of("AM-NODE-01")
        }
        ErrorKind::PermissionDenied => fault::of("AM-NODE-06"),
        ErrorKind::InvalidInput => fault::of("AM-STORE-14"),
        _ => fault::with("AM-NODE-04", why),
    }
}

fn late() -> Fault {
    fault::with("AM-NODE-03", format_args!("{} s", ANSWER_TIME_MAX.as_secs()))
}

#[cfg(test)]
mod tests;
