//! The machine: inputs in, outputs out, nothing else.
//!
//! Contract for the host:
//!
//! * Give it one input or command, then drain [`Machine::poll`] to `None`, then the next.
//! * Apply each [`Output::Commit`] atomically and durably, in order, and answer `Committed` or
//!   `CommitFailed`. Reads of the store show at most what was confirmed or is in flight.
//! * Call it with [`Input::Wake`] when [`Machine::next_wakeup`] has come.
//! * After [`Event::StoreFailed`] throw it away and open a new one from the store.
//!
//! It never fails on a peer's bytes: they are charged to the peer as [`Event::PeerMisbehaved`].

pub mod command;
mod commands;
pub(crate) mod ctx;
pub mod event;
mod greet;
mod holdings;
pub mod input;
pub mod insider;
pub mod open;
pub mod output;
mod plan;
mod queue;
mod receive;
mod session;
pub(crate) mod tx;
mod views;

use crate::crypto::Stream;
use crate::directory::Directory;
use crate::group::mls::{Crypto, KeyPackages};
use crate::id::{Dev, Handle, Person, ThreadId};
use crate::mailbox::{self, Mailbox};
use crate::store::{Read, ReadError, table};
use crate::sync::PeerView;
use crate::thread::Thread;
use crate::time::{Hlc, Instant, Now};
use ctx::Ctx;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tx::{Effect, Tx};

pub use command::{Card, Command, CommandError, EntryRef, LayerData, Made, Outgoing};
pub use event::{Event, Stopped};
pub use holdings::Holdings;
pub use input::{Input, LinkId, LinkInfo};
pub use open::{Config, Flaws, Identity, MemberKeys, OpenError, Part};
pub use output::{Output, Why};
pub use views::{EntryHead, EntryView, LayerView, MemberView, NodeView, Standing, ThreadView};

use session::Session;

/// See the module.
pub struct Machine {
    cfg: Config,
    id: Identity,
    flaws: Flaws,
    crypto: Crypto,
    rng: Stream,
    dir: Directory,
    packages: KeyPackages,
    threads: BTreeMap<ThreadId, Thread>,
    mailbox: Mailbox,
    sessions: BTreeMap<LinkId, Session>,
    /// What a neighbour was believed to hold when its link went down.
    remembered: BTreeMap<([u8; 32], ThreadId), PeerView>,
    tx: Tx,
    out: VecDeque<Output>,
    hlc: Hlc,
    person: Option<Person>,
    poisoned: bool,
    /// This store is behind what it signed: everybody who opens a mailbox here is told so, once.
    reset: Option<BTreeSet<([u8; 32], Handle)>>,
    /// Routing keys of the own relays.
    pinned: BTreeSet<[u8; 32]>,
    now: Now,
    commands: u64,
}

/// What a machine's parts need to work on a thread: the context, and the thread apart from the rest.
macro_rules! with_thread {
    ($machine:ident, $store:expr, $id:expr, |$thread:ident, $ctx:ident| $body:expr) => {{
        match ($machine.threads.get_mut(&$id), $machine.id.member.as_ref()) {
            (Some($thread), Some(member)) => {
                let mut ctx = $crate::machine::ctx::Ctx {
                    now: $machine.now,
                    store: $store,
                    tx: &mut $machine.tx,
                    crypto: &$machine.crypto,
                    rng: &mut $machine.rng,
                    member,
                    dir: &$machine.dir,
                    hlc: &mut $machine.hlc,
                    flaws: $machine.flaws,
                };
                let $ctx = &mut ctx;
                Some($body)
            }
            _ => None,
        }
    }};
}
pub(crate) use with_thread;

impl Machine {
    /// Opens a machine on its store. `seed` is fresh entropy of the operating system each time.
    pub fn open(
        cfg: Config,
        id: Identity,
        store: &dyn Read,
        seed: [u8; 32],
        now: Now,
    ) -> Result<Machine, OpenError> {
        Machine::open_with(cfg, id, store, seed, now, Flaws::default())
    }

    /// For the simulator's own test: a machine with planted bugs.
    pub fn open_with(
        cfg: Config,
        id: Identity,
        store: &dyn Read,
        seed: [u8; 32],
        now: Now,
        flaws: Flaws,
    ) -> Result<Machine, OpenError> {
        check_identity(&cfg, &id)?;
        let schema = store.get(&table::schema())?;
        let schema = match schema {
            Some(row) => {
                let row = <[u8; 4]>::try_from(&row[..]).map_err(|_| OpenError::Damaged("schema row"))?;
                u32::from_le_bytes(row)
            }
            None => table::SCHEMA,
        };
        if schema > table::SCHEMA {
            return Err(OpenError::TooNew(schema, table::SCHEMA));
        }
        let role = match cfg.part {
            Part::Relay => mailbox::Role::Relay,
            Part::Member | Part::Carrier => mailbox::Role::Carrier,
        };
        let kept = mailbox::Config {
            role,
            quota_bytes: cfg.carry_bytes,
        };
        let mut machine = Machine {
            crypto: Crypto::new(*Stream::new(seed).secret().as_bytes()),
            rng: Stream::new(crate::crypto::kdf(&seed, "machine").0),
            dir: Directory::load(store).map_err(|_| OpenError::Damaged("directory"))?,
            packages: KeyPackages::load(store)?,
            threads: BTreeMap::new(),
            mailbox: Mailbox::load(store, kept)?,
            sessions: BTreeMap::new(),
            remembered: BTreeMap::new(),
            tx: Tx::default(),
            out: VecDeque::new(),
            hlc: Hlc::default(),
            person: None,
            poisoned: false,
            reset: None,
            pinned: BTreeSet::new(),
            now,
            commands: 0,
            cfg,
            id,
            flaws,
        };
        machine.load_own(store)?;
        machine.finish(store);
        Ok(machine)
    }

    /// Rows of the machine itself, then its threads. A store that is behind the count kept outside
    /// was restored or rebuilt: its threads must not be written to in the old places (N4).
    fn load_own(&mut self, store: &dyn Read) -> Result<(), OpenError> {
        let row = store.get(&table::own("generation"))?;
        let last = match &row {
            Some(row) => u64::from_le_bytes(
                <[u8; 8]>::try_from(&row[..]).map_err(|_| OpenError::Damaged("generation row"))?,
            ),
            None => 0,
        };
        // equal: the last opening wrote its row and ended before the host counted it
        let restored = last + 1 != self.cfg.generation && last != self.cfg.generation;
        self.tx
            .batch
            .put(table::schema(), table::SCHEMA.to_le_bytes().to_vec());
        self.tx.batch.put(
            table::own("generation"),
            self.cfg.generation.to_le_bytes().to_vec(),
        );
        let person = store.get(&table::own("person"))?;
        self.person = person.as_deref().and_then(Person::from_prefix);
        if self.id.member.is_none() {
            self.reset = restored.then(BTreeSet::new);
            return Ok(());
        }
        if restored && !self.flaws.seq_reused_after_rebuild {
            // an old Welcome must not bring this device back into a life that it does not remember
            for (key, _) in crate::store::rows(store, &table::key_package_row(&[]))? {
                self.tx.batch.delete(key);
            }
            self.packages = KeyPackages::load(&crate::store::Memory::new())?;
        }
        for (key, row) in crate::store::rows(store, &table::thread_all())? {
            let id = key
                .get(1..)
                .and_then(ThreadId::from_prefix)
                .ok_or(OpenError::Damaged("thread key"))?;
            let member = self.id.member.as_ref().expect("checked above");
            let mut ctx = Ctx {
                now: self.now,
                store,
                tx: &mut self.tx,
                crypto: &self.crypto,
                rng: &mut self.rng,
                member,
                dir: &self.dir,
                hlc: &mut self.hlc,
                flaws: self.flaws,
            };
            let mut thread = Thread::load(&mut ctx, id, &row)?;
            if restored && !self.flaws.seq_reused_after_rebuild {
                thread.set_stale(&mut ctx);
            }
            self.threads.insert(id, thread);
        }
        Ok(())
    }

    /// Takes one input. Total: a peer's bytes never make it fail.
    pub fn handle(&mut self, store: &dyn Read, now: Now, input: Input) {
        if self.poisoned {
            return;
        }
        self.now = now;
        let result = match input {
            Input::LinkUp { link, info } => self.link_up(link, info),
            Input::LinkDown { link } => {
                self.forget_link(link);
                Ok(())
            }
            Input::Frame { link, bytes } => self.frames(store, link, &bytes),
            Input::Budget { link, bytes } => {
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.credit = session.credit.saturating_add(u64::from(bytes));
                }
                self.fill(store, link)
            }
            Input::Committed { ticket } => {
                let effects = self.tx.committed(ticket);
                self.run(store, effects)
            }
            Input::CommitFailed { .. } => {
                self.poison();
                Ok(())
            }
            Input::Wake => self.wake(store),
        };
        if result.is_err() {
            self.poison();
        }
        self.finish(store);
    }

    /// Takes one command. It is *stored* when `Event::Stored` names its number.
    pub fn command(&mut self, store: &dyn Read, now: Now, c: Command) -> Result<Made, CommandError> {
        if self.poisoned {
            return Err(CommandError::Poisoned);
        }
        self.now = now;
        let result = self.execute(store, c);
        if matches!(result, Err(CommandError::Read(_))) {
            self.poison();
        }
        self.finish(store);
        result
    }

    /// The next output, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call with [`Input::Wake`], and why.
    pub fn next_wakeup(&self) -> Option<(Instant, Why)> {
        if self.poisoned {
            return None;
        }
        let sessions = self.sessions.values().filter_map(Session::deadline);
        let threads = self.threads.values().flat_map(|t| {
            let head = t.head_due.map(|at| (at, Why::Head));
            let rewrap = t.rewrap_due.map(|at| (at, Why::Rewrap));
            let commit = t.commit_due.into_iter().chain(t.rejoin_due).min();
            let commit = commit.map(|at| (at, Why::Commit));
            let forget = t.forget_due.map(|at| (at, Why::Forget));
            let late = t.tracker_deadline().map(|at| (at, Why::NotConfirmed));
            [head, rewrap, commit, forget, late].into_iter().flatten()
        });
        let expiry = self.mailbox.next_expiry().map(|at| (at, Why::Expiry));
        sessions.chain(threads).chain(expiry).min()
    }

    /// The link is gone; what its peer was believed to hold is kept for the next one.
    fn forget_link(&mut self, link: LinkId) {
        let Some(session) = self.sessions.remove(&link) else {
            return;
        };
        for (thread, shared) in session.shared {
            while self.remembered.len() >= crate::limits::PEERS_REMEMBERED {
                self.remembered.pop_first();
            }
            self.remembered.insert((session.info.peer, thread), shared.view);
        }
    }

    fn poison(&mut self) {
        self.poisoned = true;
        self.out.clear();
        self.sessions.clear();
        self.out.push_back(Output::Event(Event::StoreFailed));
    }

    /// What is due by time.
    fn wake(&mut self, store: &dyn Read) -> Result<(), ReadError> {
        let mono = self.now.mono;
        let ids: Vec<ThreadId> = self.threads.keys().copied().collect();
        let rewraps = |t: &Thread| t.rewrap_due.is_some_and(|at| at <= mono);
        if self.threads.values().any(rewraps) {
            self.tx.unread = self.own_held().into_iter().map(|(inbox, ..)| inbox).collect();
        }
        for id in ids {
            with_thread!(self, store, id, |thread, ctx| {
                if thread.head_due.is_some_and(|at| at <= mono) {
                    fatal(thread.sign_head(ctx))?;
                }
                if thread.rewrap_due.is_some_and(|at| at <= mono) {
                    fatal(thread.rewrap(ctx))?;
                }
                thread.advance_trackers(ctx);
                thread.settle(ctx);
                Ok::<(), ReadError>(())
            })
            .unwrap_or(Ok(()))?;
            self.rejoin(store, id);
        }
        let kept = self.mailbox_now();
        if self.mailbox.next_expiry().is_some_and(|at| at <= kept.mono) {
            self.mailbox.expire(kept, &mut self.tx.batch);
        }
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        for link in links {
            self.wake_session(store, link)?;
        }
        Ok(())
    }

    /// The clock of the mailbox; a planted bug lets it follow the wall.
    fn mailbox_now(&self) -> Now {
        if self.flaws.ttl_by_wall_clock {
            return Now {
                mono: Instant(self.now.wall.0.saturating_mul(1000)),
                wall: self.now.wall,
            };
        }
        self.now
    }

    /// Ends every input: seals what may leave, closes the batch, lets effects happen whose batch is
    /// durable.
    fn finish(&mut self, store: &dyn Read) {
        if self.poisoned {
            return;
        }
        if self.seal_ready(store).is_err() {
            return self.poison();
        }
        self.own_inbox_items();
        // effects may cause effects
        loop {
            let (batch, effects) = self.tx.flush(self.flaws);
            if let Some((ticket, batch)) = batch {
                self.out.push_back(Output::Commit { ticket, batch });
            }
            if effects.is_empty() {
                return;
            }
            if self.run(store, effects).is_err() {
                return self.poison();
            }
        }
    }

    /// Seals entries of threads that somebody in reach can take.
    fn seal_ready(&mut self, store: &dyn Read) -> Result<(), ReadError> {
        let waiting = self.threads.values().filter(|t| !t.unsealed.is_empty());
        let ids: Vec<ThreadId> = waiting.map(|t| t.id).collect();
        for id in ids {
            if !self.sessions.values().any(|s| s.reaches(id)) {
                continue;
            }
            with_thread!(self, store, id, |thread, ctx| fatal(
                thread.seal_waiting(ctx).map(|_| ())
            ))
            .unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// Effects whose batch is durable.
    fn run(&mut self, store: &dyn Read, effects: Vec<Effect>) -> Result<(), ReadError> {
        for effect in effects {
            match effect {
                Effect::Event(event) => self.out.push_back(Output::Event(event)),
                Effect::Transmit(link, bytes, class) => {
                    if self.sessions.contains_key(&link) {
                        self.out.push_back(Output::Transmit { link, bytes, class });
                    }
                }
                Effect::Offer(thread) => self.offer_thread(store, thread)?,
                Effect::Push(handle, from) => self.push_handle(store, handle, from)?,
                Effect::Rumour => self.tell_revocations(),
                Effect::OpenBoxes => {
                    let links: Vec<LinkId> = self.sessions.keys().copied().collect();
                    for link in links {
                        if self.sessions.get(&link).is_some_and(|s| s.hello.is_some()) {
                            self.open_boxes(link);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn dev(&self) -> Option<Dev> {
        self.id.member.as_ref().map(|m| Dev::of_key(&m.device.public()))
    }

    fn inbox(&self) -> Option<Handle> {
        self.id.member.as_ref().map(|m| Handle::of_key(&m.inbox.public()))
    }
}

/// A store that cannot be read ends the machine; any other refusal of an automatic act is none.
fn fatal(result: Result<(), CommandError>) -> Result<(), ReadError> {
    match result {
        Err(CommandError::Read(e)) => Err(e),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn check_identity(cfg: &Config, id: &Identity) -> Result<(), OpenError> {
    use crate::directory::{DeviceCert, RoutingCert, Signed};
    let routing = RoutingCert::decode(&id.routing_cert).map_err(|_| OpenError::Identity("routing cert"))?;
    if routing.routing_key != id.routing.public() {
        return Err(OpenError::Identity("routing certificate of another key"));
    }
    match (&id.member, cfg.part) {
        (Some(member), Part::Member) => {
            let cert = DeviceCert::decode(&member.cert).map_err(|_| OpenError::Identity("device cert"))?;
            if cert.device_key != member.device.public() || cert.inbox_key != member.inbox.public() {
                return Err(OpenError::Identity("device certificate of another key"));
            }
            Ok(())
        }
        (None, Part::Relay | Part::Carrier) => Ok(()),
        (Some(_), _) => Err(OpenError::Identity("a carrier has no keys of a member")),
        (None, _) => Err(OpenError::Identity("a member needs its keys")),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_braid;
#[cfg(test)]
mod tests_direct;
#[cfg(test)]
mod tests_forget;
#[cfg(test)]
mod tests_hostile;
#[cfg(test)]
mod tests_keys;
#[cfg(test)]
mod tests_order;
#[cfg(test)]
mod tests_rejoin;
#[cfg(test)]
mod tests_restored;
#[cfg(test)]
mod tests_rewrap;
#[cfg(test)]
mod tests_streams;
#[cfg(test)]
mod tests_twice;
#[cfg(test)]
mod tests_views;
