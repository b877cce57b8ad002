//! The way to one relay: attempts, the connection that greets, the link that is up.
//!
//! At most [`ATTEMPTS`] handshakes at once. When one more is due the oldest that has heard nothing gives way,
//! except the very oldest, which keeps its full time: on a slow path answers come late. The first handshake
//! that completes ends all others and says the hello; while it greets and answers come nothing new starts.
//! The link before stays until the new one is up.

use super::{Shared, State};
use crate::uplink::attempt::{self, Resolver, Trouble};
use crate::uplink::closing::{Closing, on_purpose};
use crate::uplink::pace::{Counted, Liveness, Pace, Present};
use crate::uplink::pump::{Ended, Pump};
use crate::uplink::{ALPN, RelayAddress, short, tls};
use quinn::Connection;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

/// Handshakes at once.
const ATTEMPTS: usize = 4;
/// How often a connection is looked at while something waits.
const LOOK: Duration = Duration::from_millis(250);
/// How often otherwise.
const LOOK_IDLE: Duration = Duration::from_secs(5);

/// What a task of this path has come to.
enum News {
    Connected(Result<Connection, Trouble>),
    Greeted(Result<Option<Pump>, Trouble>),
    Ended(Ended),
}

/// A handshake under way.
struct Attempt {
    number: u64,
    heard: Arc<AtomicBool>,
    task: AbortHandle,
}

/// A connection that is greeting or up.
struct Held {
    connection: Connection,
    task: AbortHandle,
    since: Instant,
    live: Liveness,
}

impl Held {
    fn new(connection: Connection, task: AbortHandle) -> Held {
        let now = Instant::now();
        let live = Liveness::new(now, Counted::of(&connection));
        Held {
            connection,
            task,
            since: now,
            live,
        }
    }

    /// Looks whether answers come, and asks if `urge` and none came for a while.
    fn look(&mut self, now: Instant, urge: bool) -> Option<Instant> {
        let rtt = self.connection.rtt();
        self.live.observe(now, Counted::of(&self.connection));
        if urge && self.live.probe(now, rtt) {
            // a peer that takes no datagrams is judged by what else it acknowledges
            let _ = self.connection.send_datagram(bytes::Bytes::new());
        }
        self.live.silent_since(now, rtt)
    }
}

struct Path {
    shared: Arc<Shared>,
    relay: RelayAddress,
    config: quinn::ClientConfig,
    resolver: Arc<Resolver>,
    waiting: watch::Receiver<[u32; 5]>,
    pace: Pace,
    tasks: JoinSet<News>,
    attempts: BTreeMap<Id, Attempt>,
    attempts_made: u64,
    greeting: Option<Held>,
    up: Option<Held>,
    state: State,
}

/// Runs until the client is stopped or the node is gone.
pub(super) async fn run(shared: Arc<Shared>, relay: RelayAddress) {
    let (mut hello, mut stop) = (shared.hello.subscribe(), shared.stop.subscribe());
    let mut waiting = shared.waiting.clone();
    let mut path = Path::new(shared, relay);
    while let Some(look_at) = path.step(Instant::now()) {
        tokio::select! {
            Some(done) = path.tasks.join_next_with_id() => {
                if !path.on_done(done, Instant::now()) {
                    break;
                }
            }
            changed = waiting.changed() => if changed.is_err() {
                break;
            },
            changed = hello.changed() => match changed {
                Ok(()) => path.pace.reset(),
                Err(_) => break,
            },
            _ = stop.wait_for(|stop| *stop) => break,
            () = tokio::time::sleep_until(look_at.into()) => {}
        }
    }
    path.close().await;
}

impl Path {
    fn new(shared: Arc<Shared>, relay: RelayAddress) -> Path {
        let waiting = shared.waiting.clone();
        let config = tls::client_config(&shared.routing, relay.key, ALPN);
        let resolver = Arc::new(Resolver::new(&relay.address));
        Path {
            shared,
            relay,
            config,
            resolver,
            waiting,
            pace: Pace::default(),
            tasks: JoinSet::new(),
            attempts: BTreeMap::new(),
            attempts_made: 0,
            greeting: None,
            up: None,
            state: trying(Instant::now(), None),
        }
    }

    /// Does what is due and says when to look again.
    fn step(&mut self, now: Instant) -> Option<Instant> {
        let waiting = *self.waiting.borrow();
        let any = waiting.iter().any(|n| *n > 0);
        let present = self.look(now, any);
        if present == Present::Works {
            self.give_up_attempts();
        }
        let under_way = self.attempts.len();
        let mut due = self.pace.next(now, &waiting, present, under_way);
        if due.is_some_and(|due| due <= now) {
            self.attempt(now);
            due = self.pace.next(now, &waiting, present, self.attempts.len());
        }
        self.publish();
        let held = self.greeting.is_some() || self.up.is_some();
        let look = now + if any { LOOK } else { LOOK_IDLE };
        let far = now + Duration::from_secs(3600);
        Some(due.unwrap_or(far).min(if held { look } else { far }))
    }

    /// The state of the connection that counts: the one that greets, or the link.
    fn look(&mut self, now: Instant, urge: bool) -> Present {
        let link = self
            .up
            .as_mut()
            .map(|up| (up.look(now, urge), up.since, up.connection.rtt()));
        match link {
            Some((None, since, rtt)) => self.state = self.state.up(since, rtt),
            Some((Some(silent), ..)) if matches!(self.state, State::Up { .. }) => {
                self.state = trying(silent, Some(Trouble::NoAnswer));
            }
            _ => {}
        }
        let greeting = self.greeting.as_mut().map(|greeting| greeting.look(now, true));
        let both = [greeting, link.map(|(silent, ..)| silent)];
        if both.contains(&Some(None)) {
            Present::Works
        } else if both == [None, None] {
            Present::No
        } else {
            Present::Silent
        }
    }

    fn attempt(&mut self, now: Instant) {
        self.pace.started(now);
        if self.attempts.len() >= ATTEMPTS && !self.make_room() {
            return;
        }
        let heard = Arc::new(AtomicBool::new(false));
        let (resolver, config) = (self.resolver.clone(), self.config.clone());
        let connect = attempt::connect(resolver, config, heard.clone());
        let task = self.tasks.spawn(async { News::Connected(connect.await) });
        self.attempts_made += 1;
        let number = self.attempts_made;
        self.attempts.insert(task.id(), Attempt { number, heard, task });
        if let State::Trying { attempts, .. } = &mut self.state {
            *attempts = attempts.saturating_add(1);
        }
    }

    /// Ends the second oldest attempt of those that have heard nothing. `false` if there is none.
    fn make_room(&mut self) -> bool {
        let mut deaf: Vec<_> = self
            .attempts
            .iter()
            .filter(|(_, a)| !a.heard.load(Relaxed))
            .collect();
        deaf.sort_by_key(|(_, attempt)| attempt.number);
        let Some(id) = deaf.get(1).map(|(id, _)| **id) else {
            return false;
        };
        if let Some(attempt) = self.attempts.remove(&id) {
            attempt.task.abort();
        }
        true
    }

    fn give_up_attempts(&mut self) {
        for attempt in std::mem::take(&mut self.attempts).into_values() {
            attempt.task.abort();
        }
    }

    /// One of the tasks is done. `false` if the node is gone.
    fn on_done(&mut self, done: Result<(Id, News), JoinError>, now: Instant) -> bool {
        let (id, news) = match done {
            Ok(done) => done,
            Err(error) if error.is_cancelled() => return true,
            Err(error) => (error.id(), News::Connected(Err(Trouble::Lost))),
        };
        let known = self.attempts.remove(&id).is_some();
        let greeting = self.greeting.take_if(|held| held.task.id() == id);
        let up = self.up.take_if(|held| held.task.id() == id);
        match (news, greeting, up) {
            (News::Connected(Ok(connection)), ..) if known => self.say_hello(connection),
            (News::Connected(Err(why)), ..) => self.failed(why, now),
            (News::Greeted(Ok(Some(pump))), Some(held), _) => self.link_up(held.connection, pump, now),
            (News::Greeted(Ok(None)), ..) => return false,
            (News::Greeted(Err(why)), Some(_), _) => self.failed(why, now),
            (News::Ended(ended), _, Some(held)) => return self.link_down(&ended, held.since, now),
            // of connections that were given up
            _ => {}
        }
        true
    }

    fn say_hello(&mut self, connection: Connection) {
        self.give_up_attempts();
        if let Some(older) = self.greeting.take() {
            older.task.abort();
            Closing::Done.close(&older.connection);
        }
        let hello = self.shared.hello.borrow().clone();
        let greet = attempt::greet(connection.clone(), hello, self.shared.links.clone());
        let task = self.tasks.spawn(async { News::Greeted(greet.await) });
        self.greeting = Some(Held::new(connection, task));
    }

    fn link_up(&mut self, connection: Connection, pump: Pump, now: Instant) {
        self.pace.up();
        if let Some(older) = self.up.take() {
            Closing::Done.close(&older.connection);
        }
        self.state = self.state.up(now, connection.rtt());
        tracing::info!(relay = %short(&self.relay.key), "link up");
        let task = self.tasks.spawn(async { News::Ended(pump.run().await) });
        self.up = Some(Held::new(connection, task));
    }

    fn link_down(&mut self, ended: &Ended, since: Instant, now: Instant) -> bool {
        let (why, purpose) = match ended {
            Ended::Stopped => return false,
            Ended::Lost(error) => (Trouble::of_end(error), on_purpose(error)),
            Ended::Violation(_) | Ended::Behind | Ended::Closed => (Trouble::Lost, true),
        };
        tracing::info!(relay = %short(&self.relay.key), why = ended.words(), "link down");
        self.pace.ended(now, now - since, purpose);
        if matches!(self.state, State::Up { .. }) {
            self.state = trying(now, None);
        }
        self.failed(why, now);
        true
    }

    fn failed(&mut self, why: Trouble, now: Instant) {
        if let Trouble::Refused(why) = why {
            self.pace.refused(now);
            self.give_up_attempts();
            self.state = match self.state {
                State::Refused { since, .. } => State::Refused { why, since },
                _ => State::Refused { why, since: now },
            };
            return;
        }
        match &mut self.state {
            State::Trying { why: last, .. } => *last = Some(why),
            State::Refused { .. } => self.state = trying(now, Some(why)),
            State::Up { .. } => {}
        }
        if self.attempts.is_empty() {
            self.pace.failed(now, jitter());
        }
    }

    fn publish(&self) {
        self.shared.paths.send_if_modified(|paths| {
            let own = paths.iter_mut().find(|path| path.relay == self.relay);
            own.is_some_and(|path| std::mem::replace(&mut path.state, self.state) != self.state)
        });
    }

    /// Closes what is open and waits a moment for the last packets.
    async fn close(mut self) {
        self.tasks.abort_all();
        let held = self.greeting.take().into_iter().chain(self.up.take());
        for held in held {
            Closing::Done.close(&held.connection);
        }
        while self.tasks.join_next().await.is_some() {}
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl State {
    /// Up since `since`, or since before.
    fn up(self, since: Instant, rtt: Duration) -> State {
        let rtt_ms = u32::try_from(rtt.as_millis()).unwrap_or(u32::MAX);
        match self {
            // a new number each time is no news
            State::Up { since, rtt_ms: last } if last.abs_diff(rtt_ms) <= last / 4 + 5 => {
                State::Up { since, rtt_ms: last }
            }
            State::Up { since, .. } => State::Up { since, rtt_ms },
            _ => State::Up { since, rtt_ms },
        }
    }
}

fn trying(since: Instant, why: Option<Trouble>) -> State {
    State::Trying {
        since,
        attempts: 0,
        why,
    }
}

/// Spreads the attempts of many devices whose relay came back.
fn jitter() -> u8 {
    let mut byte = [0];
    // without the system's randomness all wait alike
    let _ = getrandom::fill(&mut byte);
    byte[0]
}

#[cfg(test)]
mod tests;
