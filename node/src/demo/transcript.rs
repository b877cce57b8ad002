//! What the demo says: one table of wording, for people as lines, for programs as one object a line.
//!
//! The wording is the specification: `tests/demo/expected.txt` holds it with numbers masked, and a test
//! compares. A [`Line`] is made from what a node or the relay said, or from what the demo itself did to
//! the link; the numbers in it are measured. Times count from the start of the demo.
//!
//! With `--json` nothing but objects goes to standard output: `ready` once, an `event` for each line, and
//! `summary` last. A closed pipe is no fault of the story: what cannot be written is not written.

use std::io::Write;
use std::time::Duration;

use aidmesh_netem::Profile;
use serde::Serialize;
use serde_json::{Value, json};

/// Name and version of the objects that `--json` prints.
pub const SCHEMA: &str = "aidmesh.demo/1";

/// Who a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The relay process.
    Relay,
    /// Dr K's node.
    Hospital,
    /// Medic A's node.
    Ambulance,
    /// The emulated radio link.
    Link,
}

impl Place {
    /// Its word in the transcript.
    pub fn word(self) -> &'static str {
        match self {
            Place::Relay => "relay",
            Place::Hospital => "hospital",
            Place::Ambulance => "ambulance",
            Place::Link => "link",
        }
    }
}

/// Everything that the demo can say between its head and its last lines.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Line {
    RelayStarted,
    HospitalStarted {
        person: String,
        organisation: String,
    },
    AmbulanceStarted {
        person: String,
        organisation: String,
    },
    PathChecked {
        organisation: String,
        there_and_back: Duration,
    },
    Tunnel,
    NewCase {
        case: String,
        source: String,
        recorded: String,
    },
    Ecg {
        leads: usize,
        seconds: f64,
        file_bytes: u64,
        digest_bytes: usize,
    },
    Stored {
        organisation: String,
    },
    NotSent {
        no_link_since: Option<Duration>,
    },
    Screen {
        text: String,
    },
    StillNoLink {
        items: u64,
        for_: Duration,
        not_confirmed_from: Duration,
    },
    TunnelEnds,
    RelayTook {
        bytes: u64,
    },
    AtRelay {
        signed: Duration,
    },
    Alarm {
        person: String,
    },
    Delivered {
        person: String,
        layer: Option<String>,
    },
    Seen {
        person: String,
    },
    Underpass {
        held: u32,
        total: u32,
    },
    Back {
        next: u32,
    },
    RelayKilled {
        held: u32,
        total: u32,
    },
    RelayBack,
    OriginalArrived,
    Presses {
        person: String,
    },
    Acknowledged {
        person: String,
        layer: Option<String>,
        act: Option<String>,
    },
}

impl Line {
    /// Where it happened.
    pub fn place(&self) -> Place {
        match self {
            Line::RelayStarted | Line::RelayTook { .. } | Line::RelayKilled { .. } | Line::RelayBack => {
                Place::Relay
            }
            Line::HospitalStarted { .. }
            | Line::Alarm { .. }
            | Line::OriginalArrived
            | Line::Presses { .. } => Place::Hospital,
            Line::Tunnel | Line::TunnelEnds | Line::Underpass { .. } | Line::Back { .. } => Place::Link,
            _ => Place::Ambulance,
        }
    }

    /// Its name for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Line::RelayStarted | Line::HospitalStarted { .. } | Line::AmbulanceStarted { .. } => "started",
            Line::PathChecked { .. } => "path",
            Line::Tunnel | Line::Underpass { .. } => "link_down",
            Line::TunnelEnds | Line::Back { .. } => "link_up",
            Line::NewCase { .. } => "case",
            Line::Ecg { .. } => "ecg",
            Line::NotSent { .. } | Line::StillNoLink { .. } | Line::Screen { .. } => "screen",
            Line::RelayTook { .. } => "relay_took",
            Line::RelayKilled { .. } => "killed",
            Line::RelayBack => "restarted",
            Line::Alarm { .. } => "alarm",
            Line::OriginalArrived => "original",
            Line::Presses { .. } => "press",
            _ => "state",
        }
    }

    /// The word of delivery that it claims, as in the local API.
    pub fn state(&self) -> Option<&'static str> {
        match self {
            Line::Stored { .. } => Some("stored"),
            Line::AtRelay { .. } => Some("at_relay"),
            Line::Delivered { .. } => Some("delivered"),
            Line::Seen { .. } => Some("seen"),
            Line::Acknowledged { .. } => Some("acknowledged"),
            _ => None,
        }
    }

    fn person(&self) -> Option<&str> {
        match self {
            Line::Delivered { person, .. } | Line::Seen { person } | Line::Acknowledged { person, .. } => {
                Some(person)
            }
            _ => None,
        }
    }

    fn layer(&self) -> Option<&str> {
        match self {
            Line::Delivered { layer, .. } | Line::Acknowledged { layer, .. } => layer.as_deref(),
            _ => None,
        }
    }

    /// Its text, without time and place.
    pub fn text(&self) -> String {
        match self {
            Line::RelayStarted => "started. It holds no keys.".into(),
            Line::HospitalStarted { person, organisation } => format!(
                "started. {} is signed on as on-call cardiologist, {organisation}.",
                short(person)
            ),
            Line::AmbulanceStarted { person, organisation } => format!(
                "started. {} is signed on, {}. Joined the hotline to {organisation}.",
                short(person),
                unit(person)
            ),
            Line::PathChecked {
                organisation,
                there_and_back,
            } => format!(
                "path to {organisation} checked end to end: {:.2} s there and back.",
                there_and_back.as_secs_f64()
            ),
            Line::NewCase {
                case,
                source,
                recorded,
            } => {
                format!("new case {case}. 12-lead read from {source}, {recorded}.")
            }
            Line::Ecg {
                leads,
                seconds,
                file_bytes,
                digest_bytes,
            } => format!(
                "{leads} leads, {seconds:.1} s: file {} B, digest {digest_bytes} B.",
                grouped(*file_bytes)
            ),
            Line::Screen { text } => format!("screen says: {text}"),
            Line::OriginalArrived => "original ECG file arrived, byte for byte the same.".into(),
            Line::Alarm { person } => {
                format!(
                    "alarm sounds. {} reads the alert and the digest of the ECG.",
                    short(person)
                )
            }
            Line::Presses { person } => {
                format!("{} presses: Acknowledge, activate cath lab.", short(person))
            }
            Line::RelayTook { bytes } => format!(
                "took the alert and its first {} B, wrote them to disk, signed for them.",
                grouped(*bytes)
            ),
            Line::RelayKilled { held, total } => {
                format!("KILLED (kill -9) with {held} of {total} parts of the original file across.")
            }
            Line::RelayBack => "started again in the same folder.".into(),
            _ => self.text_of_link_and_states(),
        }
    }

    fn text_of_link_and_states(&self) -> String {
        match self {
            Line::Tunnel => "TUNNEL. From here nothing gets through.".into(),
            Line::TunnelEnds => "tunnel ends.".into(),
            Line::Underpass { held, total } => {
                format!("UNDERPASS. Cut again with {held} of {total} parts of the original file across.")
            }
            Line::Back { next } => {
                format!("back. Transfer goes on at part {next}; no part is sent twice.")
            }
            Line::Stored { organisation } => {
                format!("STEMI alert to: on-call cardiologist, {organisation}.   STORED on this device")
            }
            Line::NotSent { no_link_since } => {
                let no_link = no_link_since.map_or(String::new(), |since| {
                    format!("No link since {:.1} s. ", since.as_secs_f64())
                });
                format!("screen says: Not sent yet. {no_link}Will go when a link appears.")
            }
            Line::StillNoLink {
                items,
                for_,
                not_confirmed_from,
            } => format!(
                "still no link. {items} items wait here. Screen says: Not sent yet, {} s. \
                 Not confirmed from {:.1} s on.",
                for_.as_secs(),
                not_confirmed_from.as_secs_f64()
            ),
            Line::AtRelay { signed } => {
                format!("AT RELAY (signed by the relay at {:.1} s)", signed.as_secs_f64())
            }
            Line::Delivered { person, layer } => {
                let layer = layer.as_ref().map_or(String::new(), |layer| format!(": {layer}"));
                format!(
                    "DELIVERED to {}'s device{layer} (signed by that device)",
                    short(person)
                )
            }
            Line::Seen { person } => format!("SEEN by {} (played by the demo)", short(person)),
            Line::Acknowledged { person, layer, act } => {
                let layer = layer
                    .as_ref()
                    .map_or(String::new(), |layer| format!(" on {layer}"));
                let act = match act.as_deref() {
                    Some("activated") => " Cath lab activated.",
                    _ => "",
                };
                format!("ACKNOWLEDGED by {}{layer}.{act}", short(person))
            }
            _ => String::new(),
        }
    }
}

/// The head of the transcript.
pub fn head(link: &Profile, own_file: bool, kept_in: Option<&str>) -> String {
    let invented = match own_file {
        false => "Patient, people and ECG are invented.",
        true => "Patient and people are invented; the ECG is yours.",
    };
    let files = match kept_in {
        None => "All files lie in a temporary folder and go away at the end (--keep).".into(),
        Some(folder) => format!("All files lie in {folder} and stay there."),
    };
    format!(
        "Aidmesh demo: a 12-lead ECG goes from an ambulance, through a tunnel, over a relay that\n\
         cannot read it, to the cardiologist on call. Three separate programs run on this machine.\n\
         The radio link is emulated: {}. {invented}\n\
         Not a medical device. {files}\n\n  time    where      what happened",
        link_words(link)
    )
}

/// Rate, delay and loss of a link in words.
pub fn link_words(link: &Profile) -> String {
    let kbit = match link.rate_bps {
        rate if rate % 1_000 == 0 => format!("{}", rate / 1_000),
        rate => format!("{:.2}", rate as f64 / 1_000.0)
            .trim_end_matches('0')
            .to_string(),
    };
    let loss = f64::from(link.loss_ppm) / 10_000.0;
    format!("{kbit} kbit/s, {} ms, {loss} % loss", link.one_way_us / 1_000)
}

/// `143308` as `143 308`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `Dr K (cardiology)` as `Dr K`.
pub fn short(person: &str) -> &str {
    person.split(" (").next().unwrap_or(person)
}

/// `Medic A (Unit 12)` as `Unit 12`.
fn unit(person: &str) -> &str {
    let inner = person.split_once(" (").map_or("", |(_, inner)| inner);
    inner.trim_end_matches(')')
}

/// Replaces each number by `#`, groups of thousands and decimals included, and the spaces before a time.
pub fn masked(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = match line.trim_start() {
            trimmed if trimmed.starts_with(|c: char| c.is_ascii_digit()) => format!("  {trimmed}"),
            _ => line.to_string(),
        };
        let chars: Vec<char> = line.chars().collect();
        let mut at = 0;
        while at < chars.len() {
            if !chars[at].is_ascii_digit() {
                out.push(chars[at]);
                at += 1;
                continue;
            }
            at = number_end(&chars, at);
            out.push('#');
        }
        out.push('\n');
    }
    out
}

fn number_end(chars: &[char], from: usize) -> usize {
    let digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let mut at = from;
    loop {
        while digit(at) {
            at += 1;
        }
        let joined = matches!(chars.get(at), Some(' ' | '.')) && digit(at + 1);
        if !joined {
            return at;
        }
        at += 1;
    }
}

/// Where the story is told.
pub struct Transcript {
    out: Box<dyn Write + Send>,
    json: bool,
}

impl Transcript {
    /// To `out`, as objects or as lines.
    pub fn new(out: Box<dyn Write + Send>, json: bool) -> Transcript {
        Transcript { out, json }
    }

    /// The head; nothing as objects.
    pub fn head(&mut self, text: &str) {
        if !self.json {
            self.write(text);
        }
    }

    /// The one `ready` object; nothing as lines. `facts` is an object.
    pub fn ready(&mut self, at: Duration, facts: Value) {
        if self.json {
            let mut object = json!({"type": "ready", "schema": SCHEMA, "t_ms": millis(at)});
            if let (Some(object), Value::Object(facts)) = (object.as_object_mut(), facts) {
                object.extend(facts);
            }
            self.object(&object);
        }
    }

    /// One thing that happened.
    pub fn say(&mut self, at: Duration, line: &Line) {
        if self.json {
            let mut object = json!({
                "type": "event",
                "t_ms": millis(at),
                "where": line.place(),
                "kind": line.kind(),
                "text": line.text(),
            });
            for (key, value) in [
                ("state", line.state()),
                ("person", line.person().map(short)),
                ("layer", line.layer()),
            ] {
                if let Some(value) = value {
                    object[key] = value.into();
                }
            }
            self.object(&object);
        } else {
            let (place, text) = (line.place().word(), line.text());
            self.write(&format!("{:>5.1} s   {place:<11}{text}", at.as_secs_f64()));
        }
    }

    /// The last lines; nothing as objects.
    pub fn last(&mut self, text: &str) {
        if !self.json {
            self.write(text);
        }
    }

    /// The `summary` object; nothing as lines.
    pub fn summary(&mut self, summary: &impl Serialize) {
        if self.json {
            match serde_json::to_value(summary) {
                Ok(object) => self.object(&object),
                Err(_) => self.object(&json!({"type": "summary", "schema": SCHEMA, "ok": false})),
            }
        }
    }

    fn object(&mut self, object: &Value) {
        self.write(&object.to_string());
    }

    fn write(&mut self, text: &str) {
        let _closed = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
