//! What happens while the story runs, in one queue: events of both nodes and looks at the relay.
//!
//! A node is followed by server-sent events; after a broken connection it is followed from the last number
//! on, so nothing is missed and nothing is told twice. The relay has no events: its metrics are read several
//! times a second. The time of a look is that of its beginning, so that what it shows was there *then or
//! later*, never only before.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::node::Node;
use super::transcript::Place;
use crate::api::types::EventInfo;

/// Happenings that wait to be told; followers wait while it is full.
const WAITING: usize = 1_024;
/// Between two looks at the relay.
const LOOK: Duration = Duration::from_millis(50);
/// Before a node is followed again.
const AGAIN: Duration = Duration::from_millis(100);
/// Most of an answer of the relay that is read.
const METRICS_BYTES_MAX: u64 = 1 << 20;
/// Items that the relay took since its start.
const STORED: &str = "aidmesh_relay_items_stored_total";
/// Bytes that it keeps of alarms and of clinical items.
const BYTES: [&str; 2] = [
    "aidmesh_relay_class_bytes{class=\"alarm\"}",
    "aidmesh_relay_class_bytes{class=\"clinical\"}",
];
/// Parts of files that came once more although they were in the store, since its start.
const PARTS_AGAIN: &str = "aidmesh_relay_chunks_again_total";

/// Something happened.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// A node said so.
    Event(Place, Box<EventInfo>),
    /// The relay's store at a moment.
    Relay(Stock),
}

/// The relay's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stock {
    /// When the look began.
    pub at: Instant,
    /// The same, ms since 1970.
    pub at_ms: u64,
    /// Items taken, over all lives of the process.
    pub stored: u64,
    /// Bytes kept.
    pub bytes: u64,
    /// Parts of files that came again, over all lives.
    pub again: Option<u64>,
}

/// A counter that begins at zero with each life of a process, added up over its lives.
#[derive(Clone, Copy, Debug, Default)]
struct Lives {
    before: u64,
    last: u64,
}

impl Lives {
    fn add(&mut self, now: u64) -> u64 {
        if now < self.last {
            self.before += self.last;
        }
        self.last = now;
        self.before + now
    }
}

/// Followers that stop when this is dropped.
#[derive(Debug)]
pub(super) struct Followers(Vec<JoinHandle<()>>);

impl Drop for Followers {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Follows both nodes and the relay.
pub(super) fn follow(
    hospital: Node,
    ambulance: Node,
    relay: SocketAddr,
) -> (mpsc::Receiver<Happening>, Followers) {
    let (told, happenings) = mpsc::channel(WAITING);
    let tasks = vec![
        tokio::spawn(follow_node(Place::Hospital, hospital, told.clone())),
        tokio::spawn(follow_node(Place::Ambulance, ambulance, told.clone())),
        tokio::spawn(look_at_relay(relay, told)),
    ];
    (happenings, Followers(tasks))
}

async fn follow_node(place: Place, node: Node, told: mpsc::Sender<Happening>) {
    let mut last = None;
    loop {
        if let Ok(mut events) = node.events(last).await {
            while let Some(Ok(event)) = events.next().await {
                last = Some(event.number);
                if told.send(Happening::Event(place, Box::new(event))).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn look_at_relay(relay: SocketAddr, told: mpsc::Sender<Happening>) {
    let (mut stored, mut again) = (Lives::default(), Lives::default());
    loop {
        if let Some(mut stock) = look(relay).await {
            stock.stored = stored.add(stock.stored);
            stock.again = stock.again.map(|parts| again.add(parts));
            if told.send(Happening::Relay(stock)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Looks at the relay now, at this life of it; `None` while it does not answer.
pub(super) async fn look(relay: SocketAddr) -> Option<Stock> {
    let (at, at_ms) = (Instant::now(), wall_ms());
    let text = metrics(relay).await.ok()?;
    Some(Stock {
        at,
        at_ms,
        stored: metric(&text, STORED)?,
        bytes: metric(&text, BYTES[0])? + metric(&text, BYTES[1])?,
        again: metric(&text, PARTS_AGAIN),
    })
}

async fn metrics(relay: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(relay).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {relay}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(METRICS_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The sum of all samples of a metric in the text format of Prometheus; `None` if there is none.
fn metric(text: &str, name: &str) -> Option<u64> {
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(labelled) => labelled.split_once('}')?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.split_whitespace().next()?.parse::<f64>().ok()
    });
    samples
        .fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
        .map(|sum| sum as u64)
}

/// This machine's clock, ms since 1970.
pub(super) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
