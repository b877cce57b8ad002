//! One link over one connection: moves units and frames until either end has had enough.
//!
//! Units of a class follow each other on one stream, so there are five streams each way and a more urgent one
//! goes first whenever a packet is filled. Not a stream for each object: the machine has cut objects into
//! units of at most 1 KiB that may arrive twice or never, and goes on where it was; a stream for each would
//! let a burst overtake the items it announces, and cost a header each.
//!
//! * Units are written one after the other, the most urgent first. QUIC takes [`SEND_WINDOW`] bytes beyond
//!   what was acknowledged, and for each step of urgency [`STEP`] more: bulk that fills the window does not
//!   keep an alarm from being handed over.
//! * The machine may spend [`GRANT`] bytes beyond what was written. Greetings and words about state cost
//!   nothing and are bounded by [`QUEUE_BYTES`] and the number of units: a peer that reads too slowly for
//!   them loses the link.
//! * When the machine wants the link closed, what waits is written first, for [`FLUSH`] at most: it may be
//!   the reason.
//! * A frame that breaks its layout ends the connection. Nothing else is judged here.

use super::closing::Closing;
use super::cut::{Cutter, paid_bytes};
use super::tls::{self, SEND_WINDOW};
use crate::link::{LinkReceiver, LinkSender, Links, UNITS_WAITING, Unit};
use aidmesh_core::machine::input::LinkInfo;
use bytes::{Buf, Bytes};
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::task::JoinSet;

/// Classes, and streams of data each way.
const CLASSES: usize = 5;
/// Largest unit that the machine makes of items.
const MTU: usize = 1200;
/// Bytes that the machine may send beyond what was handed to QUIC.
const GRANT: u32 = 16 * 1024;
/// More bytes in QUIC for a class than for the next one.
const STEP: u64 = 16 * 1024;
/// Bytes of units that wait to be written.
const QUEUE_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;
/// A peer that lets no stream be opened for so long is none of ours.
const OPEN: Duration = Duration::from_secs(10);

/// Time to send what waits when the machine has closed the link.
const FLUSH: Duration = Duration::from_secs(1);

/// Why a link ended.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// The connection did.
    Lost(ConnectionError),
    /// The peer broke this rule.
    Violation(&'static str),
    /// The peer reads too slowly.
    Behind,
    /// The machine wants it closed.
    Closed,
    /// The node has stopped.
    Stopped,
}

impl Ended {
    /// For logs: nothing that the peer wrote.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Ended::Lost(ConnectionError::ApplicationClosed(_)) => "closed by the peer",
            Ended::Lost(ConnectionError::LocallyClosed) => "closed here",
            Ended::Lost(ConnectionError::TimedOut) => "timed out",
            Ended::Lost(_) => "lost",
            Ended::Violation(rule) => rule,
            Ended::Behind => "the peer reads too slowly",
            Ended::Closed => "closed by the machine",
            Ended::Stopped => "the node has stopped",
        }
    }

    /// What the peer is told.
    fn closing(&self) -> Closing {
        match self {
            Ended::Violation(_) => Closing::Violation,
            Ended::Behind => Closing::Behind,
            Ended::Stopped => Closing::Stopping,
            Ended::Lost(_) | Ended::Closed => Closing::Done,
        }
    }
}

impl From<ConnectionError> for Ended {
    fn from(error: ConnectionError) -> Ended {
        Ended::Lost(error)
    }
}

/// A link that is up.
#[derive(Debug)]
pub(crate) struct Pump {
    connection: Connection,
    sender: LinkSender,
    receiver: LinkReceiver,
}

impl Pump {
    /// Announces the connection. `None` if the node has stopped or the connection is gone.
    pub(crate) async fn up(connection: &Connection, links: &Links) -> Option<Pump> {
        let info = LinkInfo {
            peer: tls::peer_key(connection)?,
            exporter: tls::exporter(connection)?,
            mtu: MTU,
            thin: false,
            streams: true,
        };
        let (sender, receiver) = links.up(info).await?;
        Some(Pump {
            connection: connection.clone(),
            sender,
            receiver,
        })
    }

    /// Runs the link to its end and closes the connection.
    pub(crate) async fn run(self) -> Ended {
        let Pump {
            connection,
            sender,
            receiver,
        } = self;
        let ended = tokio::select! {
            ended = read_all(&connection, &sender) => ended,
            ended = write_all(&connection, &sender, receiver) => ended,
        };
        ended.closing().close(&connection);
        ended
    }
}

/// Reads the peer's streams side by side.
async fn read_all(connection: &Connection, sender: &LinkSender) -> Ended {
    let mut readers = JoinSet::new();
    let mut streams = 0;
    loop {
        tokio::select! {
            opened = connection.accept_uni() => match opened {
                Ok(_) if streams == CLASSES => return Ended::Violation("more streams than classes"),
                Ok(stream) => {
                    streams += 1;
                    readers.spawn(read_one(stream, sender.clone()));
                }
                Err(error) => return error.into(),
            },
            Some(read) = readers.join_next() => match read {
                Ok(Ok(())) => {}
                Ok(Err(ended)) => return ended,
                Err(_) => return Ended::Violation("a reader failed"),
            },
        }
    }
}

/// Hands the frames of one stream to the machine, as fast as it takes them.
async fn read_one(mut stream: RecvStream, sender: LinkSender) -> Result<(), Ended> {
    let mut cutter = Cutter::default();
    while let Some(chunk) = stream.read_chunk(READ_BYTES, true).await.map_err(read_error)? {
        cutter.push(&chunk.bytes);
        while let Some(group) = cutter.next().map_err(|rule| Ended::Violation(rule.0))? {
            if !sender.received(group).await {
                return Err(Ended::Stopped);
            }
        }
    }
    match cutter.is_empty() {
        true => Ok(()),
        false => Err(Ended::Violation("stream ends inside a frame")),
    }
}

fn read_error(error: ReadError) -> Ended {
    match error {
        ReadError::ConnectionLost(error) => Ended::Lost(error),
        _ => Ended::Violation("stream reset"),
    }
}

/// Writes what the machine wants sent, the most urgent first.
async fn write_all(connection: &Connection, sender: &LinkSender, mut receiver: LinkReceiver) -> Ended {
    let mut streams = match tokio::time::timeout(OPEN, open_streams(connection)).await {
        Ok(Ok(streams)) => streams,
        Ok(Err(error)) => return error.into(),
        Err(_) => return Ended::Violation("no stream may be opened"),
    };
    if !sender.grant(GRANT).await {
        return Ended::Stopped;
    }
    let mut queues = Queues::default();
    let mut window = SEND_WINDOW;
    loop {
        let Some((class, front)) = queues.front() else {
            match receiver.next().await {
                Some(unit) => queues.push(unit),
                None => break,
            }
            continue;
        };
        let wanted = SEND_WINDOW + (CLASSES - 1 - class) as u64 * STEP;
        if wanted != window {
            connection.set_send_window(wanted);
            window = wanted;
        }
        // a write that is given up has taken nothing
        let written = tokio::select! {
            biased;
            unit = receiver.next() => match unit {
                Some(unit) => {
                    queues.push(unit);
                    None
                }
                None => break,
            },
            written = streams[class].write(front) => Some(written),
        };
        match written {
            Some(Ok(bytes)) => {
                let paid = queues.written(class, bytes);
                if paid > 0 && !sender.grant(paid).await {
                    return Ended::Stopped;
                }
            }
            Some(Err(quinn::WriteError::ConnectionLost(error))) => return error.into(),
            Some(Err(_)) => return Ended::Violation("stream stopped"),
            None if queues.too_long() => return Ended::Behind,
            None => {}
        }
    }
    // what cannot be sent in that time is lost with the link, as the machine expects
    let _ = tokio::time::timeout(FLUSH, flush(streams, queues)).await;
    Ended::Closed
}

/// Writes what is left and waits until the peer has it.
async fn flush(mut streams: Vec<SendStream>, mut queues: Queues) -> Result<(), quinn::WriteError> {
    while let Some((class, front)) = queues.front() {
        let bytes = streams[class].write(front).await?;
        queues.written(class, bytes);
    }
    for stream in &mut streams {
        // a stream that can be written to can be finished
        let _ = stream.finish();
        let _ = stream.stopped().await;
    }
    Ok(())
}

async fn open_streams(connection: &Connection) -> Result<Vec<SendStream>, ConnectionError> {
    let mut streams = Vec::with_capacity(CLASSES);
    for class in 0..CLASSES {
        let stream = connection.open_uni().await?;
        // a stream that was just opened is not closed, and that is the only error
        let _ = stream.set_priority((CLASSES - class) as i32);
        streams.push(stream);
    }
    Ok(streams)
}

/// What waits to be written, by class.
#[derive(Debug, Default)]
struct Queues {
    classes: [VecDeque<Waiting>; CLASSES],
    units: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    left: Bytes,
    paid: u32,
}

impl Queues {
    fn push(&mut self, unit: Unit) {
        if unit.bytes.is_empty() {
            return;
        }
        self.units += 1;
        self.bytes += unit.bytes.len();
        let paid = u32::try_from(paid_bytes(&unit.bytes)).expect("units are a few KiB");
        let left = unit.bytes;
        self.classes[unit.class as usize].push_back(Waiting { left, paid });
    }

    /// The most urgent bytes, with their class.
    fn front(&self) -> Option<(usize, &[u8])> {
        let waiting = |(class, queue): (usize, &'_ VecDeque<Waiting>)| queue.front().map(|_| class);
        let class = self.classes.iter().enumerate().find_map(waiting)?;
        Some((class, &self.classes[class].front()?.left))
    }

    /// The first bytes of a class went out. Returns what was paid for a unit that is done with them.
    fn written(&mut self, class: usize, bytes: usize) -> u32 {
        self.bytes -= bytes;
        let Some(first) = self.classes[class].front_mut() else {
            return 0;
        };
        first.left.advance(bytes);
        if !first.left.is_empty() {
            return 0;
        }
        let paid = first.paid;
        self.classes[class].pop_front();
        self.units -= 1;
        paid
    }

    fn too_long(&self) -> bool {
        self.units > UNITS_WAITING || self.bytes > QUEUE_BYTES
    }
}
