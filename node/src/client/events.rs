//! Server-sent events, as far as the local API speaks them (HTML standard, section 9.2): `id`, `data`,
//! comments; an empty line ends an event. Other fields are passed over.
//!
//! A line and an event are bounded; what is longer, or is no [`EventInfo`], is a fault and ends the stream.

use crate::api::types::{EventInfo, Fault};
use crate::fault;
use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// Longest event, and most bytes that wait for the end of a line.
const EVENT_BYTES_MAX: usize = 64 << 10;

/// Events in the order of their numbers.
#[derive(Debug)]
pub struct EventStream {
    body: Option<Incoming>,
    lines: Lines,
    last: Option<u64>,
}

impl EventStream {
    pub(super) fn new(body: Incoming, after: Option<u64>) -> EventStream {
        EventStream {
            body: Some(body),
            lines: Lines::default(),
            last: after,
        }
    }

    /// The next event; `None` once the node ended the stream. After a fault nothing follows.
    pub async fn next(&mut self) -> Option<Result<EventInfo, Fault>> {
        loop {
            match self.lines.event() {
                Ok(None) => {}
                Ok(Some(event)) => {
                    self.last = Some(event.number);
                    return Some(Ok(event));
                }
                Err(fault) => {
                    self.body = None;
                    self.lines = Lines::default();
                    return Some(Err(fault));
                }
            }
            match self.body.as_mut()?.frame().await {
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.lines.held.extend_from_slice(bytes);
                    }
                }
                Some(Err(why)) => {
                    self.body = None;
                    return Some(Err(fault::with("AM-NODE-04", why)));
                }
                None => self.body = None,
            }
        }
    }

    /// Whether nothing follows.
    pub fn ended(&self) -> bool {
        self.body.is_none()
    }

    /// The number to follow on from, in a new stream.
    pub fn last(&self) -> Option<u64> {
        self.last
    }
}

/// Bytes that arrived, and the event that they have made so far.
#[derive(Debug, Default)]
struct Lines {
    held: BytesMut,
    data: String,
}

impl Lines {
    /// The next event that is complete.
    fn event(&mut self) -> Result<Option<EventInfo>, Fault> {
        let long = || fault::with("AM-NODE-02", "an event is too long");
        while let Some(end) = self.held.iter().position(|b| *b == b'\n') {
            let line = self.held.split_to(end);
            self.held.advance(1);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() && !self.data.is_empty() {
                let data = std::mem::take(&mut self.data);
                let event = serde_json::from_str(&data);
                return event.map(Some).map_err(|why| fault::with("AM-NODE-02", why));
            }
            let Some(value) = line.strip_prefix(b"data:") else {
                continue;
            };
            let value = std::str::from_utf8(value).map_err(|why| fault::with("AM-NODE-02", why))?;
            if self.data.len() + value.len() > EVENT_BYTES_MAX {
                return Err(long());
            }
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(value.strip_prefix(' ').unwrap_or(value));
        }
        match self.held.len() > EVENT_BYTES_MAX {
            true => Err(long()),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(number: u64) -> String {
        format!(r#"{{"number":{number},"at_ms":5,"event":"stored","text":"x"}}"#)
    }

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let text = format!(
            ": hello\r\nid: 7\r\nevent: stored\r\ndata: {}\r\n\r\ndata:{}\n\n: still here\n\nretry: 5\n",
            told(7),
            told(8)
        );
        for cut in 1..text.len() {
            let mut lines = Lines::default();
            let mut numbers = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                lines.held.extend_from_slice(piece);
                while let Some(event) = lines.event().unwrap() {
                    numbers.push(event.number);
                }
            }
            assert_eq!(numbers, [7, 8], "cut every {cut} bytes");
        }
    }

    #[test]
    fn data_in_several_lines_is_one_event() {
        let mut lines = Lines::default();
        let (head, tail) = (
            told(3).split_at(10).0.to_owned(),
            told(3).split_at(10).1.to_owned(),
        );
        lines
            .held
            .extend_from_slice(format!("data: {head}\ndata: {tail}\n\n").as_bytes());
        assert_eq!(lines.event().unwrap().unwrap().number, 3);
    }

    #[test]
    fn what_is_too_long_or_no_event_is_a_fault() {
        let long_line = "data: ".to_owned() + &"x".repeat(EVENT_BYTES_MAX + 1);
        let many_lines = "data: xxxxxxxxxxxxxxxx\n".repeat(EVENT_BYTES_MAX / 16 + 1);
        let not_ended = "x".repeat(EVENT_BYTES_MAX + 1);
        for text in [
            &long_line,
            &many_lines,
            &not_ended,
            "data: nothing\n\n",
            "data: \u{ff}{}\n\n",
        ] {
            let mut lines = Lines::default();
            lines.held.extend_from_slice(text.as_bytes());
            assert_eq!(lines.event().unwrap_err().code, "AM-NODE-02");
        }
        let mut lines = Lines::default();
        lines.held.extend_from_slice(b"data: \xff\n\n");
        assert_eq!(lines.event().unwrap_err().code, "AM-NODE-02");
    }
}
