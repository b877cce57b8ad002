//! The state of the story: what happened so far, and the lines that follow from it by themselves.
//!
//! All waiting goes through [`Story::wait`]: while the script waits for anything, events come in, become
//! claims to be judged later, and words of delivery are shown the moment the node tells them. Each word is
//! shown once. The script never says a word of delivery by itself.
//!
//! Invariant: everything has a limit in time; a process that ends by itself ends the story.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aidmesh_netem::Profile;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::cast::{CastError, Process, Stage};
use super::claims::Claim;
use super::happening::{Followers, Happening, Stock};
use super::node::Node;
use super::prepare::{DR_K, ORGANISATION, Prepared};
use super::recording::{Recording, RecordingError};
use super::summary::Outage;
use super::transcript::{Line, Place, Transcript, millis};
use crate::api::types::{EventInfo, Fault, RecipientStatus};

/// Between two looks at whether something has come true.
const LOOK: Duration = Duration::from_millis(20);
/// Events and looks that are remembered; a story that brings more has gone astray.
const REMEMBERED_MAX: usize = 1 << 20;

/// Why the story did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokeOff {
    /// A process or command.
    #[error(transparent)]
    Cast(#[from] CastError),
    /// No ECG.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// A node refused.
    #[error("the {}'s node refused: {} ({})", .place.word(), .fault.what, .fault.code)]
    Refused {
        /// Whose.
        place: Place,
        /// What it said.
        fault: Fault,
    },
    /// Something did not come.
    #[error("{what} did not come within {limit_s} s")]
    Late {
        /// What.
        what: &'static str,
        /// Limit.
        limit_s: u64,
    },
    /// A node said something else than the story needs.
    #[error("{0}")]
    Odd(&'static str),
}

/// The case in the ambulance.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    /// Its thread.
    pub thread: String,
    /// Entry of the alert.
    pub alert: String,
    /// Entry of the ECG.
    pub ecg: String,
}

/// A word or a line that is shown once, when an event makes it true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub(super) enum Word {
    Stored,
    RelayTook,
    AtRelay,
    Alarm,
    Delivered,
    Seen,
    Acknowledged,
}

/// In the order in which they come true.
const WORDS: [Word; 7] = [
    Word::Stored,
    Word::RelayTook,
    Word::AtRelay,
    Word::Alarm,
    Word::Delivered,
    Word::Seen,
    Word::Acknowledged,
];

/// What was seen of the outside, in order.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Events of both nodes.
    pub events: Vec<(Place, EventInfo)>,
    /// Looks at the relay.
    pub looks: Vec<Stock>,
}

impl Log {
    /// The first event of a node that fits.
    pub(super) fn event(&self, place: Place, fits: impl Fn(&EventInfo) -> bool) -> Option<&EventInfo> {
        let of_place = self.events.iter().filter(|(from, _)| *from == place);
        of_place.map(|(_, event)| event).find(|event| fits(event))
    }

    /// The first word of this state about an entry, for Dr K's device.
    pub(super) fn delivery(&self, entry: &str, state: &str) -> Option<&RecipientStatus> {
        let event = self.event(Place::Ambulance, |event| {
            event.entry.as_deref() == Some(entry)
                && event
                    .recipient
                    .as_ref()
                    .is_some_and(|r| r.state == state && r.person == DR_K)
        });
        event.and_then(|event| event.recipient.as_ref())
    }

    /// Whether the hospital has opened an entry.
    pub(super) fn arrived(&self, entry: &str) -> bool {
        self.event(Place::Hospital, |event| {
            event.event == "arrived" && event.entry.as_deref() == Some(entry)
        })
        .is_some()
    }
}

/// The three processes.
#[derive(Debug)]
pub(super) struct Cast {
    /// `None` between its kill and its new start.
    pub relay: Option<Process>,
    /// Dr K's.
    pub hospital: Process,
    /// Medic A's.
    pub ambulance: Process,
}

impl Cast {
    fn check(&mut self) -> Result<(), CastError> {
        if let Some(relay) = &mut self.relay {
            relay.check()?;
        }
        self.hospital.check()?;
        self.ambulance.check()
    }

    /// Asks all of them to stop, one after the other.
    pub(super) async fn stop(&mut self) {
        self.ambulance.stop().await;
        self.hospital.stop().await;
        if let Some(relay) = &mut self.relay {
            relay.stop().await;
        }
    }

    /// Those that run.
    pub(super) fn running(&self) -> impl Iterator<Item = &Process> {
        self.relay.iter().chain([&self.hospital, &self.ambulance])
    }
}

/// Times that the summary needs.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The alert was handed to the node.
    pub sent: Option<Instant>,
    /// The tunnel ended.
    pub tunnel_end: Option<Instant>,
    /// Dr K pressed.
    pub pressed: Option<Instant>,
    /// The original was complete at the hospital.
    pub original: Option<Instant>,
    /// When each word was shown.
    pub shown: BTreeMap<Word, Instant>,
}

/// Everything that the script works with. Dropping it ends the processes.
pub(super) struct Story {
    /// Beginning of the demo, for times in the transcript.
    pub started: Instant,
    /// The same, ms since 1970.
    pub started_ms: u64,
    /// Where it is told.
    pub transcript: Transcript,
    /// The link's profile.
    pub profile: Profile,
    /// The ECG.
    pub recording: Recording,
    /// The processes.
    pub cast: Cast,
    /// The link and how processes are started.
    pub prepared: Prepared,
    /// The folder; dropped last.
    pub stage: Stage,
    /// Dr K's node.
    pub hospital: Node,
    /// Medic A's node.
    pub ambulance: Node,
    /// What was seen.
    pub log: Log,
    /// Words that the ambulance's node told.
    pub claims: Vec<Claim>,
    /// Items that the relay had taken when an entry was first heard of.
    pub relay_before: BTreeMap<String, u64>,
    /// The case, once it is there.
    pub case: Option<Case>,
    /// Times.
    pub marks: Marks,
    /// Times without link, ms since the start.
    pub outages: Vec<Outage>,
    happenings: mpsc::Receiver<Happening>,
    _followers: Followers,
}

/// What [`Story::new`] takes.
#[allow(missing_docs)]
pub(super) struct Opening {
    pub started: Instant,
    pub started_ms: u64,
    pub profile: Profile,
    pub recording: Recording,
    pub cast: Cast,
    pub prepared: Prepared,
    pub stage: Stage,
    pub hospital: Node,
    pub ambulance: Node,
    pub happenings: (mpsc::Receiver<Happening>, Followers),
}

impl Story {
    /// Nothing has happened yet.
    pub(super) fn new(opening: Opening, transcript: Transcript) -> Story {
        let (happenings, followers) = opening.happenings;
        Story {
            started: opening.started,
            started_ms: opening.started_ms,
            transcript,
            profile: opening.profile,
            recording: opening.recording,
            cast: opening.cast,
            prepared: opening.prepared,
            stage: opening.stage,
            hospital: opening.hospital,
            ambulance: opening.ambulance,
            log: Log::default(),
            claims: Vec::new(),
            relay_before: BTreeMap::new(),
            case: None,
            marks: Marks::default(),
            outages: Vec::new(),
            happenings,
            _followers: followers,
        }
    }

    /// Time since the start.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time of day of a node as time since the start.
    pub(super) fn since_start(&self, wall_ms: u64) -> Duration {
        Duration::from_millis(wall_ms.saturating_sub(self.started_ms))
    }

    /// Tells a line now.
    pub(super) fn say(&mut self, line: &Line) {
        let at = self.now();
        self.transcript.say(at, line);
    }

    /// Waits until something is true of what was seen; the story goes on meanwhile.
    pub(super) async fn wait<T>(
        &mut self,
        what: &'static str,
        limit: Duration,
        mut come: impl FnMut(&Story) -> Option<T>,
    ) -> Result<T, BrokeOff> {
        let until = Instant::now() + limit;
        loop {
            if let Some(value) = come(self) {
                return Ok(value);
            }
            if Instant::now() >= until {
                return Err(BrokeOff::Late {
                    what,
                    limit_s: limit.as_secs(),
                });
            }
            self.go_on(until).await?;
        }
    }

    /// Lets the story go on until a moment.
    pub(super) async fn pause_until(&mut self, moment: Instant) -> Result<(), BrokeOff> {
        while Instant::now() < moment {
            self.go_on(moment).await?;
        }
        Ok(())
    }

    /// Lets the story go on for a while.
    pub(super) async fn pause(&mut self, duration: Duration) -> Result<(), BrokeOff> {
        self.pause_until(Instant::now() + duration).await
    }

    async fn go_on(&mut self, until: Instant) -> Result<(), BrokeOff> {
        let look = (Instant::now() + LOOK).min(until);
        tokio::select! {
            happening = self.happenings.recv() => {
                if let Some(happening) = happening {
                    self.take(happening);
                } else {
                    tokio::time::sleep_until(look).await;
                }
            }
            () = tokio::time::sleep_until(look) => self.cast.check()?,
        }
        if self.log.events.len() + self.log.looks.len() > REMEMBERED_MAX {
            return Err(BrokeOff::Odd("the nodes tell more events than a story can have"));
        }
        Ok(())
    }

    fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Event(place, event) => {
                if place == Place::Ambulance {
                    self.claim(&event);
                }
                self.log.events.push((place, *event));
            }
            Happening::Relay(stock) => self.log.looks.push(stock),
        }
        self.tell();
    }

    fn claim(&mut self, event: &EventInfo) {
        let Some(entry) = &event.entry else { return };
        let stored = self.log.looks.last().map_or(0, |stock| stock.stored);
        self.relay_before.entry(entry.clone()).or_insert(stored);
        if let Some(recipient) = event.recipient.clone() {
            self.claims.push(Claim {
                entry: entry.clone(),
                recipient,
                at_ms: event.at_ms,
                shown_at_ms: millis(self.now()),
            });
        }
    }

    /// Shows what has come true and was not shown yet.
    pub(super) fn tell(&mut self) {
        let shown: BTreeSet<Word> = self.marks.shown.keys().copied().collect();
        for word in WORDS.into_iter().filter(|word| !shown.contains(word)) {
            if let Some(line) = self.line(word) {
                self.say(&line);
                self.marks.shown.insert(word, Instant::now());
            }
        }
    }

    fn line(&self, word: Word) -> Option<Line> {
        let case = self.case.as_ref()?;
        let person = || DR_K.to_string();
        match word {
            Word::Stored => self.log.delivery(&case.alert, "stored").map(|_| Line::Stored {
                organisation: ORGANISATION.into(),
            }),
            Word::RelayTook => self.relay_took(),
            Word::AtRelay => {
                let recipient = self.log.delivery(&case.alert, "at_relay")?;
                self.marks.shown.get(&Word::RelayTook)?;
                let signed = self.since_start(recipient.since_ms);
                Some(Line::AtRelay { signed })
            }
            Word::Alarm => {
                let both = self.log.arrived(&case.alert) && self.log.arrived(&case.ecg);
                both.then(|| Line::Alarm { person: person() })
            }
            Word::Delivered => self
                .log
                .delivery(&case.ecg, "delivered")
                .map(|recipient| Line::Delivered {
                    person: recipient.person.clone(),
                    layer: recipient.layer.clone(),
                }),
            Word::Seen => self.log.delivery(&case.ecg, "seen").map(|recipient| Line::Seen {
                person: recipient.by.clone().unwrap_or_else(person),
            }),
            Word::Acknowledged => {
                self.log
                    .delivery(&case.ecg, "acknowledged")
                    .map(|recipient| Line::Acknowledged {
                        person: recipient.by.clone().unwrap_or_else(person),
                        layer: recipient.layer.clone(),
                        act: recipient.act.clone(),
                    })
            }
        }
    }

    /// The first look after the tunnel that shows more than the last one in it.
    fn relay_took(&self) -> Option<Line> {
        let (before, _) = self.relay_around(self.marks.tunnel_end?)?;
        let mut after = self.log.looks.iter().filter(|stock| stock.at > before.at);
        let first = after.find(|stock| stock.bytes > before.bytes)?;
        Some(Line::RelayTook {
            bytes: first.bytes - before.bytes,
        })
    }

    /// The last look before a moment, and the first after it that shows more items.
    pub(super) fn relay_around(&self, moment: Instant) -> Option<(Stock, Stock)> {
        let before = *self.log.looks.iter().rfind(|stock| stock.at <= moment)?;
        let mut after = self.log.looks.iter().filter(|stock| stock.at > moment);
        let first = after.find(|stock| stock.stored > before.stored)?;
        Some((before, *first))
    }

    /// Takes the link away, or gives it back.
    pub(super) fn link(&mut self, name: &'static str, up: bool) {
        let now = millis(self.now());
        if up {
            self.prepared.proxy.up();
            if let Some(outage) = self.outages.iter_mut().rfind(|outage| outage.name == name) {
                outage.to_ms = Some(now);
            }
        } else {
            self.prepared.proxy.down();
            self.outages.push(Outage {
                name,
                from_ms: now,
                to_ms: None,
            });
        }
    }
}
