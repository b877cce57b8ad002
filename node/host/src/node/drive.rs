//! The machine's thread: one input, then all outputs, then the next.

use super::events::Log;
use super::hooks::{Forgetfuls, Hooks};
use super::writer::{Writer, Written};
use super::{Call, NodeError, Start, StartError, State};
use crate::clock;
use crate::link::{FromLink, Unit};
use crate::store::Disk;
use aidmesh_core::machine::Machine;
use aidmesh_core::machine::command::Made;
use aidmesh_core::machine::event::Event;
use aidmesh_core::machine::input::{Input, LinkId, LinkInfo};
use aidmesh_core::machine::open::{Config, Identity};
use aidmesh_core::machine::output::Output;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How long a store that failed is left alone.
const REOPEN_AFTER: Duration = Duration::from_secs(5);
/// The longest sleep: a clock that was set, or a machine that slept, is noticed by then.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// The ends that the thread holds.
pub(super) struct Ports {
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) links: mpsc::Receiver<FromLink>,
    pub(super) events: Arc<Log>,
    pub(super) state: watch::Sender<State>,
}

/// Body of the thread: lives of the machine, one after the other, until it is told to stop.
pub(super) fn run(start: Start, mut ports: Ports, opened: &SyncSender<Result<(), StartError>>) {
    live_on(&start, &mut ports, opened);
    ports.events.end();
}

fn live_on(start: &Start, ports: &mut Ports, opened: &SyncSender<Result<(), StartError>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let Ok(runtime) = runtime else {
        let _ = opened.send(Err(StartError::System("a runtime")));
        return;
    };
    let mut next_link = 0;
    let mut first = true;
    loop {
        let life = Life::open(start, next_link);
        let mut life = match life {
            Ok(life) => life,
            Err(why) if first => {
                let _ = opened.send(Err(why));
                return;
            }
            Err(why) => {
                tracing::warn!(%why, "the store does not open again");
                match runtime.block_on(ports.refuse_for(REOPEN_AFTER)) {
                    After::Stop => return,
                    After::Reopen => continue,
                }
            }
        };
        if std::mem::take(&mut first) {
            let _ = opened.send(Ok(()));
        }
        let after = runtime.block_on(life.live(ports));
        next_link = life.next_link;
        // waits for the writer; the store is closed when no life holds it
        drop(life);
        if after == After::Stop {
            return;
        }
        ports.state.send_modify(|state| state.cannot_save = true);
        if runtime.block_on(ports.refuse_for(REOPEN_AFTER)) == After::Stop {
            return;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Stop,
    Reopen,
}

impl Ports {
    /// No machine is open: everything is refused for a while.
    async fn refuse_for(&mut self, how_long: Duration) -> After {
        let until = tokio::time::sleep(how_long);
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return After::Reopen,
                call = self.calls.recv() => match call {
                    None | Some(Call::Stop) => return After::Stop,
                    Some(Call::Command(_, answer)) => {
                        let _ = answer.send(Err(NodeError::CannotSave));
                    }
                    Some(Call::Read(_)) => {}
                },
                // a link that comes up gets no number and ends
                _ = self.links.recv() => {}
            }
        }
    }
}

/// One life of the machine.
struct Life {
    machine: Machine,
    disk: Arc<dyn Disk>,
    writer: Writer,
    written: mpsc::UnboundedReceiver<Written>,
    links: BTreeMap<LinkId, Peer>,
    /// Commands that wait until they are stored.
    pending: BTreeMap<u64, (Made, oneshot::Sender<Result<Made, NodeError>>)>,
    next_link: u32,
    failed: bool,
    identity: Identity,
    hooks: Hooks,
    forgetful: Forgetfuls,
}

struct Peer {
    units: mpsc::Sender<Unit>,
    key: [u8; 32],
}

impl Life {
    fn open(start: &Start, next_link: u32) -> Result<Life, StartError> {
        let generation = start.openings.next();
        let cfg = Config {
            part: start.part,
            carry_bytes: start.carry_bytes,
            generation,
        };
        let disk = (start.disk)()?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| StartError::System("randomness"))?;
        let identity = start.identity.clone();
        let machine = Machine::open(cfg, identity, &*disk, seed, clock::now());
        let machine = machine.map_err(StartError::Open)?;
        let (told, written) = mpsc::unbounded_channel();
        let writer = Writer::start(disk.clone(), start.openings.clone(), generation, told)
            .map_err(|_| StartError::System("a thread"))?;
        Ok(Life {
            machine,
            disk,
            writer,
            written,
            links: BTreeMap::new(),
            pending: BTreeMap::new(),
            next_link,
            failed: false,
            identity: start.identity.clone(),
            hooks: start.hooks.clone(),
            forgetful: Forgetfuls::new(),
        })
    }

    async fn live(&mut self, ports: &mut Ports) -> After {
        self.drain(ports);
        loop {
            if self.failed {
                return After::Reopen;
            }
            let sleep = self.machine.next_wakeup().map(|(at, _)| clock::until(at));
            let sleep = tokio::time::sleep(sleep.unwrap_or(SLEEP_MAX).min(SLEEP_MAX));
            tokio::select! {
                biased;
                Some(written) = self.written.recv() => self.written(written),
                call = ports.calls.recv() => match call {
                    None | Some(Call::Stop) => return self.end(ports).await,
                    Some(call) => self.call(call),
                },
                from = ports.links.recv() => match from {
                    None => return self.end(ports).await,
                    Some(from) => self.on_link(from),
                },
                () = sleep => self.give(Input::Wake),
            }
            self.drain(ports);
        }
    }

    /// Links end, what was taken is written, then it stops.
    async fn end(&mut self, ports: &mut Ports) -> After {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.links.remove(&link);
            self.give(Input::LinkDown { link });
            self.drain(ports);
        }
        while !self.pending.is_empty() && !self.failed {
            let Some(written) = self.written.recv().await else {
                break;
            };
            self.written(written);
            self.drain(ports);
        }
        After::Stop
    }

    fn give(&mut self, input: Input) {
        self.machine.handle(&*self.disk, clock::now(), input);
    }

    fn written(&mut self, written: Written) {
        match written {
            Written::Durable(ticket) => self.give(Input::Committed { ticket }),
            Written::Failed(ticket) => self.give(Input::CommitFailed { ticket }),
        }
    }

    fn call(&mut self, call: Call) {
        match call {
            Call::Command(command, answer) => {
                match self.machine.command(&*self.disk, clock::now(), command) {
                    Ok(made) => {
                        self.pending.insert(made.command, (made, answer));
                    }
                    Err(why) => {
                        let _ = answer.send(Err(why.into()));
                    }
                }
            }
            Call::Read(look) => look(&self.machine, &*self.disk),
            Call::Stop => {}
        }
    }

    fn on_link(&mut self, from: FromLink) {
        match from {
            FromLink::Up { info, units, number } => self.link_up(info, units, number),
            FromLink::Frames { link, bytes } => {
                let link = LinkId(link);
                let Some(peer) = self.links.get(&link) else {
                    return;
                };
                let relay = self.identity.member.is_none();
                let ends = relay && self.hooks.incoming(&bytes, peer.key, &mut self.forgetful);
                match ends {
                    true => self.close(link),
                    false => self.give(Input::Frame { link, bytes }),
                }
            }
            FromLink::Grant { link, bytes } => {
                let link = LinkId(link);
                if self.links.contains_key(&link) {
                    self.give(Input::Budget { link, bytes });
                }
            }
            FromLink::Down { link } => {
                let link = LinkId(link);
                if self.links.remove(&link).is_some() {
                    self.give(Input::LinkDown { link });
                }
            }
        }
    }

    fn link_up(&mut self, info: LinkInfo, units: mpsc::Sender<Unit>, number: oneshot::Sender<u32>) {
        if self.links.len() >= aidmesh_core::limits::LINKS && self.part_is_member() {
            return;
        }
        self.next_link += 1;
        let link = LinkId(self.next_link);
        if number.send(link.0).is_err() {
            return;
        }
        let clear = self.hooks.plaintext(&self.identity);
        let peer = Peer {
            units: units.clone(),
            key: info.peer,
        };
        self.links.insert(link, peer);
        self.give(Input::LinkUp { link, info });
        if let Some(unit) = clear {
            let _ = units.try_send(unit);
        }
    }

    fn part_is_member(&self) -> bool {
        self.identity.member.is_some()
    }

    fn drain(&mut self, ports: &Ports) {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Commit { ticket, batch } => self.writer.submit(ticket, batch),
                Output::Transmit { link, bytes, class } => self.transmit(link, Unit { bytes, class }),
                Output::Disconnect { link, why } => {
                    tracing::info!(link = link.0, why, "closes a link");
                    self.close(link);
                }
                Output::Event(event) => self.event(event, ports),
            }
        }
        let state = State {
            waiting: self.machine.waiting(),
            cannot_save: self.failed,
            links: u32::try_from(self.links.len()).unwrap_or(u32::MAX),
        };
        ports.state.send_if_modified(|told| {
            let changed = *told != state;
            *told = state;
            changed
        });
    }

    fn transmit(&mut self, link: LinkId, unit: Unit) {
        let full = match self.links.get(&link) {
            Some(peer) => {
                let unit = self.hooks.outgoing(unit, self.forgetful.get(&peer.key));
                peer.units.try_send(unit).is_err()
            }
            None => false,
        };
        if full {
            tracing::info!(link = link.0, "a transport does not drain; its link ends");
            self.close(link);
        }
    }

    fn close(&mut self, link: LinkId) {
        if self.links.remove(&link).is_some() {
            self.give(Input::LinkDown { link });
        }
    }

    fn event(&mut self, event: Event, ports: &Ports) {
        if let Some(early) = self.hooks.early_word(&event) {
            ports.events.push(early);
        }
        ports.events.push(event.clone());
        match event {
            Event::Stored { command } => {
                if let Some((made, answer)) = self.pending.remove(&command) {
                    let _ = answer.send(Ok(made));
                }
            }
            Event::StoreFailed => {
                self.failed = true;
                for (_, (_, answer)) in std::mem::take(&mut self.pending) {
                    let _ = answer.send(Err(NodeError::CannotSave));
                }
                self.links.clear();
            }
            Event::PeerMisbehaved { link, rule } => {
                tracing::info!(link = link.0, rule, "a peer broke a rule");
            }
            _ => {}
        }
    }
}
