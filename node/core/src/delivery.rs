//! Who has it: the six states of one entry per recipient, from evidence only (DETAILS section 4).
//!
//! [`Tracker`] is a pure fold over [`Evidence`] that is *verified and durable here*, in any order;
//! after a restart the same evidence gives the same words, so nothing here is stored. All is a join
//! except where the table falls back: [`Evidence::CarryLost`] and [`Evidence::RelayLost`].
//!
//! Readings of the table, settled here:
//! * The awaited word that clears *not confirmed*: for classes 0 and 1 to a recipient who is asked,
//!   *seen* or *acknowledged* by a person, a decline included; else and for class 2, *delivered*.
//! * A recipient with a name takes only the acts of that person, on any device; a role or board
//!   takes the acts of anybody on its device. An act proves *delivered* on its own device only.
//! * Two answers of one person: the later by its own clock stands; at one moment a decline stands.
//! * *Recalled* is a mark on every word but *acknowledged*; [`Tracker::recalled`] tells it always.
//!
//! Not here: verifying, which layers a head completes ([`crate::blob`]), escalation.

use crate::blob::Layer;
use crate::clinical::Act;
use crate::envelope::{Class, Ttl};
use crate::id::{Dev, Incarnation, Key8, Person};
use crate::limits;
use crate::time::{Hlc, Instant, Now, Wall};
use std::cmp::Reverse;
use std::collections::btree_map::Range;
use std::collections::{BTreeMap, BTreeSet};

mod proof;
pub mod words;

pub use proof::Proof;

/// Layer qualifier: everything up to this layer. `None`: the entry without an object, or no layer yet.
pub type Q = Option<Layer>;

/// The six columns, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Step {
    Stored,
    HandedOver,
    AtRelay,
    Delivered,
    Seen,
    Acknowledged,
}

impl Step {
    /// All columns, weakest first.
    pub const ALL: [Step; 6] = [
        Step::Stored,
        Step::HandedOver,
        Step::AtRelay,
        Step::Delivered,
        Step::Seen,
        Step::Acknowledged,
    ];
}

/// The strongest proven word for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Durable on this device.
    Stored,
    /// So many distinct carriers signed for all parts up to the preview. A hint.
    HandedOver(u32),
    /// A relay signed for it.
    AtRelay {
        /// The relay's routing key.
        relay: Key8,
        /// Until when it keeps it, minutes since the Unix epoch, by its word.
        kept_until_min: u32,
        /// Layers that it holds.
        q: Q,
    },
    /// The recipient's signed head covers it: opened there.
    Delivered(Q),
    /// Rendered to this person for at least 1 s.
    Seen {
        /// Who.
        person: Person,
        /// Layer rendered.
        q: Q,
    },
    /// Answered by this person.
    Acknowledged {
        /// Who.
        person: Person,
        /// How.
        act: Act,
        /// Layer judged, for ever.
        q: Q,
    },
}

impl State {
    /// Its column.
    pub fn step(&self) -> Step {
        match self {
            State::Stored => Step::Stored,
            State::HandedOver(_) => Step::HandedOver,
            State::AtRelay { .. } => Step::AtRelay,
            State::Delivered(_) => Step::Delivered,
            State::Seen { .. } => Step::Seen,
            State::Acknowledged { .. } => Step::Acknowledged,
        }
    }

    /// Its layer qualifier.
    pub fn q(&self) -> Q {
        match *self {
            State::Stored | State::HandedOver(_) => None,
            State::AtRelay { q, .. } | State::Delivered(q) => q,
            State::Seen { q, .. } | State::Acknowledged { q, .. } => q,
        }
    }
}

/// What is said beside a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// The awaited word did not come in time.
    NotConfirmed,
    /// The recipient's device holds it and cannot open it yet.
    ThereNotReadable,
    /// A person declined.
    Declined,
    /// Strangers no longer carry it, since this time; still stored here.
    Expired(Wall),
    /// Its author took it back.
    Recalled(Wall),
    /// Its author put another entry in its place.
    Replaced(Wall),
    /// This relay or carrier refused the class and has not taken it since.
    RefusedBy(Key8, Class),
    /// The device was removed, or lost what it held; the word stays.
    NoLongerOnDevice(Wall),
    /// The device signed two heads that disagree; the lowest common word is shown.
    Disputed,
    /// Written when the author's lease had been expired for so many days.
    LeaseExpired(u16),
    /// An overtaken step; only in a [`Cell`].
    NotNeeded,
}

/// What was verified and is durable here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The batch with entry, audit and chunks is durable.
    Committed,
    /// A carrier signed for all parts up to the preview.
    CarryReceipt {
        /// Its routing key.
        carrier: Key8,
        /// When the bundle's ttl minus its age ends, on this device's monotonic time.
        expires: Instant,
    },
    /// That receipt no longer stands.
    CarryLost {
        /// Its routing key.
        carrier: Key8,
    },
    /// A relay's receipt covers the envelope and the chunks, and its digest recomputes.
    RelayReceipt {
        /// Its routing key.
        relay: Key8,
        /// Minutes since the Unix epoch.
        kept_until_min: u32,
        /// Layers complete up to here.
        q: Q,
    },
    /// RESET, expiry or a smaller signed frontier of that relay.
    RelayLost {
        /// Its routing key.
        relay: Key8,
    },
    /// The device's own signed head; not a second-hand HAVE.
    Head {
        /// Whose.
        dev: Dev,
        /// Which life of it.
        inc: Incarnation,
        /// Its `open` covers the entry; false: it holds the envelope and has not opened it.
        opens: bool,
        /// Layers complete up to here.
        layer: Q,
    },
    /// Two heads of the device disagree.
    HeadsDisagree {
        /// Whose.
        dev: Dev,
        /// What *both* heads deliver; `None` if one of them does not open the entry.
        delivered: Option<Q>,
        /// Whether both cover the person's acts from this device.
        acts: bool,
    },
    /// A `Seen` entry under a signed head.
    Seen {
        /// On which device.
        dev: Dev,
        /// Who.
        person: Person,
        /// Layer rendered.
        q: Q,
    },
    /// An `Acknowledgement` entry.
    Ack {
        /// On which device.
        dev: Dev,
        /// Who.
        person: Person,
        /// How.
        act: Act,
        /// Layer judged.
        q: Q,
        /// Clock of that entry; orders the answers of one person, nothing else.
        order: Hlc,
    },
    /// This life of the device was removed or revoked, or a later life's head lacks the entry.
    Removed {
        /// Whose.
        dev: Dev,
        /// The life that ended.
        inc: Incarnation,
    },
    /// The author's own recall entry.
    Recalled {
        /// It names a replacement.
        replaced: bool,
    },
    /// A relay or carrier refused it.
    Refused {
        /// Its routing key.
        by: Key8,
        /// The class refused.
        class: Class,
    },
    /// The entry was written under an expired lease.
    LeaseExpired {
        /// Days since.
        days: u16,
    },
}

/// To whom an entry is addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The device.
    pub dev: Dev,
    /// The person addressed; `None` for a role or a board.
    pub person: Option<Person>,
    /// Role bits addressed.
    pub role: Option<u16>,
    /// How the screen calls the recipient. Never logged.
    pub name: String,
    /// Whether an answer is asked for.
    pub asked: bool,
}

/// What is shown for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct View {
    /// `None` before the entry is stored.
    pub state: Option<State>,
    /// When that word was reached, by this device's clock.
    pub at: Wall,
    /// Sorted.
    pub marks: BTreeSet<Mark>,
}

impl View {
    fn step(&self) -> Step {
        self.state.map_or(Step::Stored, |s| s.step())
    }
}

/// One of the six cells of a recipient's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Reached at this time; `by`: no later than it, implied by a stronger word.
    Done {
        /// When.
        at: Wall,
        /// Implied.
        by: bool,
    },
    /// Not reached.
    NotYet,
    /// Overtaken without evidence of its own.
    NotNeeded,
    /// No answer is asked of this recipient.
    NotAsked,
}

/// What evidence or time changed for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose row.
    pub recipient: Dev,
    /// Word before.
    pub from: Option<State>,
    /// Word now.
    pub to: Option<State>,
    /// Marks that are new.
    pub raised: Vec<Mark>,
    /// Marks that went.
    pub cleared: Vec<Mark>,
}

type Reached = (Q, Reverse<Wall>);
type Answer = (Hlc, bool, Reverse<Q>, Reverse<Wall>, u8);

#[derive(Clone, Debug, Default)]
struct Facts {
    head: Option<Reached>,
    parked: bool,
    inc_open: Incarnation,
    removed: Option<(Incarnation, Reverse<Wall>)>,
    dispute: Option<(Option<Q>, bool)>,
    /// What any act on this device ever implied; a later answer on less does not lower it.
    acted: Option<Reached>,
    seen: BTreeMap<Person, Reached>,
    answers: BTreeMap<Person, Answer>,
}

impl Facts {
    fn acts_count(&self) -> bool {
        self.dispute.is_none_or(|(_, acts)| acts)
    }

    /// Quality opened on this device, since when, and whether only an act implies it.
    fn delivered(&self) -> Option<(Q, Wall, bool)> {
        let head = match (self.head, self.dispute) {
            (Some((q, at)), Some((common, _))) => common.map(|common| (q.min(common), at)),
            (head, _) => head,
        };
        let act = self.acted.filter(|_| self.acts_count());
        match (head, act) {
            (Some(h), Some(a)) if a.0 > h.0 => Some((a.0, a.1.0, true)),
            (Some(h), _) => Some((h.0, h.1.0, false)),
            (None, a) => a.map(|a| (a.0, a.1.0, true)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Carried {
    since: Wall,
    expires: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Relayed {
    since: Wall,
    kept_until_min: u32,
    q: Q,
}

/// The fold of one entry.
#[derive(Clone, Debug)]
pub struct Tracker {
    class: Class,
    ttl: Ttl,
    now: Instant,
    recipients: Vec<(Recipient, Instant, View)>,
    committed: Option<Now>,
    carriers: BTreeMap<Key8, Carried>,
    relays: BTreeMap<Key8, Relayed>,
    refused: BTreeMap<Key8, Class>,
    facts: BTreeMap<Dev, Facts>,
    recalled: Option<Wall>,
    replaced: Option<Wall>,
    lease_days: Option<u16>,
}

impl Tracker {
    /// An entry of this class that nobody has yet. `ttl` limits carriage by strangers.
    pub fn new(class: Class, ttl: Ttl, recipients: Vec<Recipient>) -> Tracker {
        let mut tracker = Tracker {
            class,
            ttl,
            now: Instant(0),
            recipients: Vec::new(),
            committed: None,
            carriers: BTreeMap::new(),
            relays: BTreeMap::new(),
            refused: BTreeMap::new(),
            facts: BTreeMap::new(),
            recalled: None,
            replaced: None,
            lease_days: None,
        };
        for recipient in recipients {
            tracker.add_recipient(recipient, Instant(0));
        }
        tracker
    }

    /// A further recipient, e.g. the next step of a ladder; its deadline counts from `now`.
    /// A known device and what exceeds [`limits::MEMBERS`] are ignored.
    pub fn add_recipient(&mut self, recipient: Recipient, now: Instant) -> Vec<Change> {
        let known = self.recipients.iter().any(|(r, ..)| r.dev == recipient.dev);
        if !known && self.recipients.len() < limits::MEMBERS {
            self.recipients.push((recipient, now, View::default()));
        }
        self.advance(now)
    }

    /// Takes evidence that became durable at `at`.
    pub fn apply(&mut self, evidence: Evidence, at: Now) -> Vec<Change> {
        match evidence {
            Evidence::Committed => {
                let first = self.committed.filter(|first| first.mono <= at.mono);
                self.committed = first.or(Some(at));
            }
            Evidence::CarryReceipt { carrier, expires } => self.carry(carrier, expires, at.wall),
            Evidence::CarryLost { carrier } => drop(self.carriers.remove(&carrier)),
            Evidence::RelayReceipt {
                relay,
                kept_until_min,
                q,
            } => self.relay(relay, kept_until_min, q, at.wall),
            Evidence::RelayLost { relay } => drop(self.relays.remove(&relay)),
            Evidence::Recalled { replaced } => {
                let slot = if replaced {
                    &mut self.replaced
                } else {
                    &mut self.recalled
                };
                *slot = Some(slot.map_or(at.wall, |first| first.min(at.wall)));
            }
            Evidence::Refused { by, class } => {
                if self.refused.len() < limits::RELAYS_PER_ENTRY || self.refused.contains_key(&by) {
                    let worst = self.refused.entry(by).or_insert(class);
                    *worst = class.min(*worst);
                }
            }
            Evidence::LeaseExpired { days } => self.lease_days = self.lease_days.max(Some(days)),
            Evidence::Head { dev, .. }
            | Evidence::HeadsDisagree { dev, .. }
            | Evidence::Seen { dev, .. }
            | Evidence::Ack { dev, .. }
            | Evidence::Removed { dev, .. } => self.fact(dev, evidence, Reverse(at.wall)),
        }
        self.advance(at.mono)
    }

    fn carry(&mut self, carrier: Key8, expires: Instant, since: Wall) {
        if self.carriers.len() < limits::CARRIERS_PER_ENTRY || self.carriers.contains_key(&carrier) {
            let new = Carried { since, expires };
            let kept = self.carriers.entry(carrier).or_insert(new);
            kept.since = kept.since.min(since);
            kept.expires = kept.expires.max(expires);
        }
    }

    fn relay(&mut self, relay: Key8, kept_until_min: u32, q: Q, since: Wall) {
        if self.relays.len() < limits::RELAYS_PER_ENTRY || self.relays.contains_key(&relay) {
            let new = Relayed {
                since,
                kept_until_min,
                q,
            };
            let kept = self.relays.entry(relay).or_insert(new);
            (kept.q, Reverse(kept.since)) = (kept.q, Reverse(kept.since)).max((q, Reverse(since)));
            kept.kept_until_min = kept.kept_until_min.max(kept_until_min);
        }
    }

    fn fact(&mut self, dev: Dev, evidence: Evidence, at: Reverse<Wall>) {
        if self.facts.len() >= 2 * limits::MEMBERS && !self.facts.contains_key(&dev) {
            return;
        }
        let facts = self.facts.entry(dev).or_default();
        match evidence {
            Evidence::Head {
                inc,
                opens: true,
                layer,
                ..
            } => {
                facts.head = facts.head.max(Some((quality(layer), at)));
                facts.inc_open = facts.inc_open.max(inc);
            }
            Evidence::Head { .. } => facts.parked = true,
            Evidence::HeadsDisagree { delivered, acts, .. } => {
                let new = (delivered.map(quality), acts);
                let old = facts.dispute.unwrap_or(new);
                facts.dispute = Some((old.0.min(new.0), old.1 && new.1));
            }
            Evidence::Seen { person, q, .. } => {
                let new = (quality(q), at);
                facts.acted = facts.acted.max(Some(new));
                if facts.seen.len() < limits::MEMBERS || facts.seen.contains_key(&person) {
                    let best = facts.seen.entry(person).or_insert(new);
                    *best = new.max(*best);
                }
            }
            Evidence::Ack {
                person,
                act,
                q,
                order,
                ..
            } => {
                facts.acted = facts.acted.max(Some((quality(q), at)));
                let declined = act == Act::Declined;
                let new = (order, declined, Reverse(quality(q)), at, act as u8);
                if facts.answers.len() < limits::MEMBERS || facts.answers.contains_key(&person) {
                    let best = facts.answers.entry(person).or_insert(new);
                    *best = new.max(*best);
                }
            }
            Evidence::Removed { inc, .. } => facts.removed = facts.removed.max(Some((inc, at))),
            _ => {}
        }
    }

    /// Lets time pass: receipts expire, deadlines come. `now` never goes back.
    pub fn advance(&mut self, now: Instant) -> Vec<Change> {
        self.now = self.now.max(now);
        let views: Vec<View> = (0..self.recipients.len()).map(|i| self.view(i)).collect();
        let mut changes = Vec::new();
        for ((recipient, _, shown), view) in self.recipients.iter_mut().zip(views) {
            if shown.state != view.state || shown.marks != view.marks {
                changes.push(Change {
                    recipient: recipient.dev,
                    from: shown.state,
                    to: view.state,
                    raised: view.marks.difference(&shown.marks).copied().collect(),
                    cleared: shown.marks.difference(&view.marks).copied().collect(),
                });
            }
            *shown = view;
        }
        changes
    }

    /// All recipients with what is shown for them, as of the last [`Tracker::advance`] or
    /// [`Tracker::apply`].
    pub fn views(&self) -> impl Iterator<Item = (&Recipient, &View)> + Clone {
        self.recipients.iter().map(|(r, _, view)| (r, view))
    }

    /// Recipients whose awaited word is late at `now`.
    pub fn overdue(&self, now: Instant) -> Vec<Dev> {
        let late = |i: &usize| {
            let missing = !self.confirmed(*i, &self.recipients[*i].2);
            missing && self.deadline(*i).is_some_and(|at| at <= now)
        };
        let late = (0..self.recipients.len()).filter(late);
        late.map(|i| self.recipients[i].0.dev).collect()
    }

    /// When to call [`Tracker::advance`] next, at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        let waiting = (0..self.recipients.len()).filter(|i| !self.confirmed(*i, &self.recipients[*i].2));
        let undelivered = self.recipients.iter().any(|(.., v)| v.step() < Step::Delivered);
        let expiries = self.carriers.values().map(|c| c.expires).chain(self.ttl_end());
        expiries
            .filter(|_| undelivered)
            .chain(waiting.filter_map(|i| self.deadline(i)))
            .filter(|at| *at > self.now)
            .min()
    }

    /// The best answer of anybody that is not a decline: *somebody has it*.
    pub fn taken(&self) -> Option<State> {
        self.answer_of(None).map(|(state, ..)| state).filter(|s| {
            !matches!(
                s,
                State::Acknowledged {
                    act: Act::Declined,
                    ..
                }
            )
        })
    }

    /// When its author took it back or replaced it, shown beside every word.
    pub fn recalled(&self) -> Option<Wall> {
        self.recalled.into_iter().chain(self.replaced).min()
    }

    /// The six cells of a recipient's row; `None` for an unknown device or before it is stored.
    pub fn row(&self, dev: Dev) -> Option<[Cell; 6]> {
        let stored = self.committed?.wall;
        let (recipient, _, view) = self.recipients.iter().find(|(r, ..)| r.dev == dev)?;
        let step = view.step();
        let exact = |at: Option<Wall>, own: Step| match at {
            Some(at) => Cell::Done { at, by: false },
            None if step > own => Cell::NotNeeded,
            None => Cell::NotYet,
        };
        let delivered = self.facts.get(&dev).and_then(Facts::delivered);
        let seen = self.seen_by(recipient);
        let seen = seen.map(|(_, at, _)| Cell::Done { at, by: false });
        let relayed = self.best_relay().map(|(_, r)| r.since);
        Some([
            Cell::Done {
                at: stored,
                by: false,
            },
            exact(self.live_carriers().map(|c| c.since).min(), Step::HandedOver),
            exact(relayed, Step::AtRelay),
            delivered.map_or(exact(None, Step::Delivered), |(_, at, by)| Cell::Done { at, by }),
            match seen {
                None if step == Step::Acknowledged => Cell::Done {
                    at: view.at,
                    by: true,
                },
                seen => seen.unwrap_or(Cell::NotYet),
            },
            match step {
                Step::Acknowledged => Cell::Done {
                    at: view.at,
                    by: false,
                },
                _ if recipient.asked => Cell::NotYet,
                _ => Cell::NotAsked,
            },
        ])
    }

    fn view(&self, i: usize) -> View {
        let Some(committed) = self.committed else {
            return View::default();
        };
        let recipient = &self.recipients[i].0;
        let facts = self.facts.get(&recipient.dev);
        let acted = self
            .answer_of(Some(recipient))
            .or_else(|| self.seen_by(recipient));
        let delivered = || {
            let (q, at, _) = facts.and_then(Facts::delivered)?;
            Some((State::Delivered(q), at, recipient.dev))
        };
        let (state, at, source) = acted
            .or_else(delivered)
            .unwrap_or_else(|| self.on_the_way(committed.wall, recipient.dev));
        let mut view = View {
            state: Some(state),
            at,
            marks: BTreeSet::new(),
        };
        self.mark(i, source, &mut view);
        view
    }

    fn on_the_way(&self, stored: Wall, dev: Dev) -> (State, Wall, Dev) {
        if let Some((relay, r)) = self.best_relay() {
            let kept_until_min = r.kept_until_min;
            let state = State::AtRelay {
                relay,
                kept_until_min,
                q: r.q,
            };
            return (state, r.since, dev);
        }
        match self.live_carriers().map(|c| c.since).min() {
            Some(since) => (State::HandedOver(self.live_carriers().count() as u32), since, dev),
            None => (State::Stored, stored, dev),
        }
    }

    fn mark(&self, i: usize, source: Dev, view: &mut View) {
        let (step, facts) = (view.step(), self.facts.get(&self.recipients[i].0.dev));
        let late = self.deadline(i).is_some_and(|at| at <= self.now) && !self.confirmed(i, view);
        let declined = matches!(
            view.state,
            Some(State::Acknowledged {
                act: Act::Declined,
                ..
            })
        );
        let disputed = [Some(&self.recipients[i].0.dev), Some(&source)];
        let disputed = disputed.into_iter().flatten().filter_map(|d| self.facts.get(d));
        let marks = &mut view.marks;
        marks.extend(late.then_some(Mark::NotConfirmed));
        marks.extend(declined.then_some(Mark::Declined));
        marks.extend(disputed.filter_map(|f| f.dispute.map(|_| Mark::Disputed)));
        marks.extend(self.lease_days.map(Mark::LeaseExpired));
        if let Some(facts) = facts.filter(|f| f.delivered().is_some()) {
            let gone = facts.removed.filter(|(inc, _)| *inc >= facts.inc_open);
            marks.extend(gone.map(|(_, at)| Mark::NoLongerOnDevice(at.0)));
        }
        if step < Step::Acknowledged {
            marks.extend(self.recalled.map(Mark::Recalled));
            marks.extend(self.replaced.map(Mark::Replaced));
        }
        if step < Step::Delivered {
            marks.extend(facts.filter(|f| f.parked).map(|_| Mark::ThereNotReadable));
            let expired = self.ttl_end().is_some_and(|end| end <= self.now);
            let stored = self.committed.filter(|_| expired);
            marks.extend(stored.map(|c| Mark::Expired(Wall(c.wall.0.saturating_add(self.ttl.ms())))));
            let took = |by: &Key8| self.relays.contains_key(by) || self.carries(by);
            let refused = self.refused.iter().filter(|(by, _)| !took(by));
            marks.extend(refused.map(|(by, class)| Mark::RefusedBy(*by, *class)));
        }
    }

    fn deadline(&self, i: usize) -> Option<Instant> {
        let ms = limits::NOT_CONFIRMED_MS.get(self.class as usize)?;
        Some(self.committed?.mono.max(self.recipients[i].1).plus_ms(*ms))
    }

    fn confirmed(&self, i: usize, view: &View) -> bool {
        let awaited = match self.class {
            Class::Alarm | Class::Clinical if self.recipients[i].0.asked => Step::Seen,
            _ => Step::Delivered,
        };
        view.step() >= awaited
    }

    fn ttl_end(&self) -> Option<Instant> {
        Some(self.committed?.mono.plus_ms(self.ttl.ms()))
    }

    fn live_carriers(&self) -> impl Iterator<Item = &Carried> {
        self.carriers.values().filter(|c| c.expires > self.now)
    }

    fn carries(&self, by: &Key8) -> bool {
        self.carriers.get(by).is_some_and(|c| c.expires > self.now)
    }

    fn best_relay(&self) -> Option<(Key8, &Relayed)> {
        let best = |(key, r): &(&Key8, &Relayed)| (r.q, r.kept_until_min, Reverse(**key));
        self.relays.iter().max_by_key(best).map(|(key, r)| (*key, r))
    }

    /// Seen by whom the recipient stands for.
    fn seen_by(&self, recipient: &Recipient) -> Option<(State, Wall, Dev)> {
        let acting = self.acting(Some(recipient));
        let all = acting
            .flat_map(|(dev, f)| people(&f.seen, recipient.person).map(move |(p, seen)| (*seen, *p, *dev)));
        let ((q, at), person, dev) = all.max()?;
        Some((State::Seen { person, q }, at.0, dev))
    }

    /// Answered by whom the recipient stands for, or by anybody.
    fn answer_of(&self, recipient: Option<&Recipient>) -> Option<(State, Wall, Dev)> {
        let mut latest: BTreeMap<Person, (Answer, Dev)> = BTreeMap::new();
        for (dev, facts) in self.acting(recipient) {
            for (person, answer) in people(&facts.answers, recipient.and_then(|r| r.person)) {
                let best = latest.entry(*person).or_insert((*answer, *dev));
                *best = (*answer, *dev).max(*best);
            }
        }
        let best = |(person, (answer, _)): &(Person, (Answer, Dev))| (!answer.1, *answer, *person);
        let (person, (answer, dev)) = latest.into_iter().max_by_key(best)?;
        let act = Act::from_u8(answer.4).ok()?;
        let q = answer.2.0;
        Some((State::Acknowledged { person, act, q }, answer.3.0, dev))
    }

    /// Devices whose acts can count for a recipient: of a person all, of a role or board its own.
    fn acting(&self, recipient: Option<&Recipient>) -> impl Iterator<Item = (&Dev, &Facts)> {
        let all = match recipient {
            Some(r) if r.person.is_none() => self.facts.range(r.dev..=r.dev),
            _ => self.facts.range(..),
        };
        all.filter(|(_, facts)| facts.acts_count())
    }
}

fn people<T>(acts: &BTreeMap<Person, T>, named: Option<Person>) -> Range<'_, Person, T> {
    match named {
        Some(person) => acts.range(person..=person),
        None => acts.range(..),
    }
}

fn quality(q: Q) -> Q {
    q.map(Layer::quality)
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
