//! One question to a known key, and its answer: a connection that serves nothing else.
//!
//! Enrolment asks the desk of an administrator this way: the same handshake as an uplink ([`super::tls`])
//! under a protocol name of its own, then one stream. The question is all bytes up to its end, the answer
//! likewise. An asker that has the whole answer closes with *done*: only then is it delivered. What question
//! and answer mean is not known here.
//!
//! * The asker trusts one key and no name; it waits for the answer, which may be a person's.
//! * The listener knows which key asks, proven by its signature, and nothing else about it. Strangers can
//!   therefore open connections: at most [`ASKERS`] at once, each with 10 s to say what it wants.
//! * A connection that waits keeps nobody else from asking.

use super::attempt::{PATIENCE, Resolver, Trouble, connect};
use super::closing::Closing;
use super::server::BindError;
use super::tls;
use aidmesh_core::crypto::KeyPair;
use quinn::{Connection, ConnectionError, Endpoint, Incoming, RecvStream, SendStream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Connections at a listener at once.
pub const ASKERS: usize = 32;
/// How long an answer may take until the asker closes, and the last packets of a listener.
const DELIVERY: Duration = Duration::from_secs(10);

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no network, or nobody there.
    #[error("no answer")]
    NoAnswer,
    /// The name has no address.
    #[error("name not found")]
    NameNotFound,
    /// Somebody else answers.
    #[error("another key answers there than the one that is expected")]
    OtherKey,
    /// What answers does not speak this protocol.
    #[error("nobody listens there for this")]
    NotListening,
    /// The connection was there and broke before the answer came.
    #[error("connection lost")]
    Lost,
    /// The answer did not come in time.
    #[error("no answer in time")]
    Late,
    /// The answer is longer than may be.
    #[error("the answer is too long")]
    TooLong,
}

impl AskError {
    /// Whether asking again may help.
    pub fn may_pass(self) -> bool {
        matches!(self, AskError::NoAnswer | AskError::NameNotFound | AskError::Lost)
    }

    fn of(trouble: Trouble) -> AskError {
        match trouble {
            Trouble::NoAnswer | Trouble::NoSocket => AskError::NoAnswer,
            Trouble::NameNotFound => AskError::NameNotFound,
            Trouble::OtherKey => AskError::OtherKey,
            Trouble::NotARelay => AskError::NotListening,
            Trouble::Stopping | Trouble::Replaced | Trouble::Lost | Trouble::Refused(_) => AskError::Lost,
        }
    }
}

/// Whom to ask.
#[derive(Clone, Copy, Debug)]
pub struct Whom<'a> {
    /// `host:port`.
    pub address: &'a str,
    /// The routing key that must answer.
    pub key: [u8; 32],
    /// Name of the protocol (RFC 7301).
    pub alpn: &'a [u8],
}

/// Asks once, and waits for the answer, of at most `answer_bytes`, until `patience` is over.
pub async fn ask(
    own: &KeyPair,
    whom: Whom<'_>,
    question: &[u8],
    answer_bytes: usize,
    patience: Duration,
) -> Result<Vec<u8>, AskError> {
    let config = tls::client_config(own, whom.key, whom.alpn);
    let resolver = Arc::new(Resolver::new(whom.address));
    let connection = connect(resolver, config, Arc::new(AtomicBool::new(false)))
        .await
        .map_err(AskError::of)?;
    let exchange = async {
        let (mut out, mut back) = connection.open_bi().await.map_err(|_| AskError::Lost)?;
        out.write_all(question).await.map_err(|_| AskError::Lost)?;
        out.finish().map_err(|_| AskError::Lost)?;
        match back.read_to_end(answer_bytes).await {
            Ok(answer) => Ok(answer),
            Err(quinn::ReadToEndError::TooLong) => Err(AskError::TooLong),
            Err(quinn::ReadToEndError::Read(_)) => Err(AskError::Lost),
        }
    };
    let answer = timeout(patience, exchange).await.unwrap_or(Err(AskError::Late));
    match &answer {
        Ok(_) => Closing::Done.close(&connection),
        Err(AskError::TooLong) => Closing::Violation.close(&connection),
        Err(_) => Closing::Stopping.close(&connection),
    }
    answer
}

/// Where questions come in, until it is dropped.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    questions: mpsc::Receiver<Question>,
    accepting: JoinHandle<()>,
}

/// A question that waits for its answer.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub bytes: Vec<u8>,
    /// The key that asks.
    pub from: [u8; 32],
    connection: Connection,
    back: SendStream,
}

impl Listener {
    /// Listens on `address` for questions of at most `question_bytes`.
    pub fn bind(
        address: SocketAddr,
        own: &KeyPair,
        alpn: &[u8],
        question_bytes: usize,
    ) -> Result<Listener, BindError> {
        let config = tls::server_config(own, alpn);
        let endpoint = Endpoint::server(config, address).map_err(|error| BindError { address, error })?;
        let (to, questions) = mpsc::channel(ASKERS);
        let accepting = tokio::spawn(accept_all(endpoint.clone(), to, question_bytes));
        Ok(Listener {
            endpoint,
            questions,
            accepting,
        })
    }

    /// Where it listens.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.endpoint.local_addr().ok()
    }

    /// The next question whose asker still waits.
    pub async fn next(&mut self) -> Option<Question> {
        loop {
            let question = self.questions.recv().await?;
            if question.waits() {
                return Some(question);
            }
        }
    }

    /// Ends it; the last packets go out first.
    pub async fn close(self) {
        Closing::Stopping.close_all(&self.endpoint);
        let _ = timeout(DELIVERY, self.endpoint.wait_idle()).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
        Closing::Stopping.close_all(&self.endpoint);
    }
}

impl Question {
    /// Whether the asker is still there.
    pub fn waits(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    /// Answers. Whether the asker said that it has the whole answer.
    pub async fn answer(mut self, answer: &[u8]) -> bool {
        let delivery = async {
            self.back.write_all(answer).await.ok()?;
            self.back.finish().ok()?;
            // bytes that the other side's system has acknowledged need not have reached the asker
            match self.connection.closed().await {
                ConnectionError::ApplicationClosed(close) => Some(close.error_code == Closing::Done.code()),
                _ => None,
            }
        };
        timeout(DELIVERY, delivery).await == Ok(Some(true))
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        Closing::Done.close(&self.connection);
    }
}

async fn accept_all(endpoint: Endpoint, to: mpsc::Sender<Question>, question_bytes: usize) {
    let seats = Arc::new(Semaphore::new(ASKERS));
    while let Some(incoming) = endpoint.accept().await {
        let Ok(seat) = seats.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let to = to.clone();
        tokio::spawn(async move {
            if let Ok(Some(question)) = timeout(PATIENCE, listen(incoming, question_bytes)).await {
                let connection = question.connection.clone();
                if to.send(question).await.is_ok() {
                    connection.closed().await;
                }
            }
            drop(seat);
        });
    }
}

async fn listen(incoming: Incoming, question_bytes: usize) -> Option<Question> {
    let connection = incoming.await.ok()?;
    let from = tls::peer_key(&connection)?;
    let (back, mut stream): (SendStream, RecvStream) = connection.accept_bi().await.ok()?;
    let bytes = stream.read_to_end(question_bytes).await.ok();
    let Some(bytes) = bytes else {
        Closing::Violation.close(&connection);
        return None;
    };
    Some(Question {
        bytes,
        from,
        connection,
        back,
    })
}

#[cfg(test)]
mod tests;
