//! Cards go round: how everybody's card reaches everybody without a server that could read them.
//!
//! Each device keeps a conversation titled [`DIRECTORY`] with the device of an administrator, whose card came
//! with the grant. It posts its own card there; the administrator's device posts the cards of all others.
//!
//! ```text
//!  nurse ── own card ──▶ administrator ── cards of others ──▶ doctor
//!  nurse ◀─ cards of others ── administrator ◀── own card ── doctor
//! ```
//!
//! * [`decide`] is a pure function of what is there; [`run`] does what it says and looks again, so that a
//!   restart in the middle loses nothing and does nothing twice.
//! * A device speaks for itself alone: cards of others are taken from administrators only. Nothing is
//!   believed by being posted; the machine checks each card that it learns.
//! * A card that was refused is not tried again in this run.
//!
//! Not here: making cards (`device`).

use super::look::{DIRECTORY, Look};
use super::threads::role_for;
use super::{SUITE, Service, faults};
use crate::service::Failure;
use aidmesh_core::clinical::Body;
use aidmesh_core::directory::{DeviceCert, Role, Signed, ThreadKind, What};
use aidmesh_core::entry::Kind;
use aidmesh_core::envelope::Class;
use aidmesh_core::group::control::History;
use aidmesh_core::id::{Dev, Key8, ThreadId};
use aidmesh_core::limits;
use aidmesh_core::machine::command::{Card, Command, Outgoing};
use aidmesh_core::machine::{EntryRef, Event};
use aidmesh_core::store::table;
use aidmesh_core::time::Hlc;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How often it looks without being told of anything.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// What arrives together is looked at together.
const GATHER: Duration = Duration::from_millis(200);
/// Entries read in one look: frames wait meanwhile.
const READ_AT_ONCE: usize = 64;
/// Rounds without a pause; more means that something does not come to rest.
const ROUNDS_MAX: usize = 256;

type Hash = [u8; 32];

/// A card that was posted, and by whom.
#[derive(Clone, Debug)]
pub(super) struct Posted {
    thread: ThreadId,
    author: Dev,
    by_administrator: bool,
    hlc: Hlc,
    card: Card,
}

/// A conversation for cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conversation {
    thread: ThreadId,
    creator: Option<Dev>,
    members: BTreeSet<Dev>,
}

/// What is there.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    own: Dev,
    administrator: bool,
    own_card: Option<Card>,
    conversations: Vec<Conversation>,
    /// Other devices of administrators: whether they can be added, and in which role.
    administrators: BTreeMap<Dev, Option<Role>>,
    /// Devices that are revoked.
    revoked: BTreeSet<Dev>,
}

/// All that was posted, folded.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    posted: BTreeSet<(ThreadId, Hash)>,
    newest: BTreeMap<Dev, (Hlc, Card)>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Found a conversation.
    Found,
    /// Add an administrator's device to an own one.
    Add { thread: ThreadId, dev: Dev, role: Role },
    /// Post cards.
    Post { thread: ThreadId, cards: Vec<Card> },
    /// Learn a card.
    Learn(Card),
}

impl Board {
    /// Takes what was posted, in any order.
    pub(super) fn take(&mut self, posted: Posted) {
        let Some(dev) = dev_of(&posted.card) else { return };
        self.posted.insert((posted.thread, hash(&posted.card)));
        if dev != posted.author && !posted.by_administrator {
            return;
        }
        let newer = self.newest.get(&dev).is_none_or(|(hlc, _)| *hlc < posted.hlc);
        if newer {
            self.newest.insert(dev, (posted.hlc, posted.card));
        }
    }
}

/// What is to be done; nothing, once all is there. `known`: cards that need not be learned.
pub(super) fn decide(picture: &Picture, board: &Board, known: &dyn Fn(&Card) -> bool) -> Vec<Step> {
    let mut steps: Vec<Step> = meet(picture).into_iter().collect();
    let others = board.newest.iter().filter(|(dev, _)| **dev != picture.own);
    let others: Vec<(&Dev, &Card)> = others
        .filter(|(dev, _)| !picture.revoked.contains(dev))
        .map(|(dev, (_, card))| (dev, card))
        .collect();
    for conversation in &picture.conversations {
        let thread = conversation.thread;
        if !conversation.members.contains(&picture.own) || conversation.members.len() < 2 {
            continue;
        }
        let missing = |card: &&Card| !board.posted.contains(&(thread, hash(card)));
        let own = picture.own_card.iter().filter(missing);
        let of_others = others
            .iter()
            .filter(|(dev, _)| picture.administrator && !conversation.members.contains(dev));
        let of_others = of_others.map(|(_, card)| *card).filter(missing);
        let cards: Vec<Card> = own.chain(of_others).cloned().collect();
        let posts = cards.chunks(limits::CARDS).map(|cards| Step::Post {
            thread,
            cards: cards.to_vec(),
        });
        steps.extend(posts);
    }
    let unknown = others.into_iter().filter(|(_, card)| !known(card));
    steps.extend(unknown.map(|(_, card)| Step::Learn(card.clone())));
    steps
}

/// One conversation with one administrator is enough. Of two administrators the one whose id is greater
/// founds theirs.
fn meet(picture: &Picture) -> Option<Step> {
    let wanted = picture.administrators.iter().filter(|(dev, role)| {
        let mine = !picture.administrator || **dev < picture.own;
        mine && role.is_some() && !picture.revoked.contains(*dev)
    });
    let mut wanted: Vec<(Dev, Role)> = wanted.filter_map(|(dev, role)| Some((*dev, (*role)?))).collect();
    let shared = |dev: &Dev| {
        let both = |c: &&Conversation| c.members.contains(dev) && c.members.contains(&picture.own);
        picture.conversations.iter().any(|c| both(&c))
    };
    let met = picture.administrators.keys().any(shared);
    if met && !picture.administrator {
        return None;
    }
    wanted.retain(|(dev, _)| !shared(dev));
    let (dev, role) = wanted.first().copied()?;
    let alone = |c: &&Conversation| c.creator == Some(picture.own) && c.members.len() == 1;
    Some(match picture.conversations.iter().find(alone) {
        Some(Conversation { thread, .. }) => Step::Add {
            thread: *thread,
            dev,
            role,
        },
        None => Step::Found,
    })
}

/// Keeps cards going round until the node stops.
pub(super) async fn run(service: Service) {
    let mut feed = service.inner.handle.follow(service.inner.handle.newest());
    let mut keeper = Keeper::default();
    loop {
        keeper.settle(&service).await;
        let again = tokio::time::sleep(LOOK_AGAIN);
        tokio::pin!(again);
        loop {
            tokio::select! {
                told = feed.next() => match told {
                    None => return,
                    Some(told) if concerns(&told.event) => break,
                    Some(_) => {}
                },
                () = &mut again => break,
            }
        }
        tokio::time::sleep(GATHER).await;
    }
}

fn concerns(event: &Event) -> bool {
    match event {
        Event::Arrived { kind, .. } => *kind == Kind::Roster,
        Event::ThreadReady { .. } | Event::MembersChanged { .. } | Event::Revoked { .. } => true,
        Event::CardMade { .. } | Event::Moved { .. } => true,
        _ => false,
    }
}

/// What one run remembers.
#[derive(Default)]
struct Keeper {
    board: Board,
    read: BTreeSet<(ThreadId, EntryRef)>,
    tried: BTreeSet<Hash>,
}

impl Keeper {
    /// Looks and acts until nothing is left to do. A refusal ends it until something happens.
    async fn settle(&mut self, service: &Service) {
        for _ in 0..ROUNDS_MAX {
            match self.round(service).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(why) => {
                    tracing::info!(code = %why.fault.code, "cards do not go round now");
                    return;
                }
            }
        }
        tracing::warn!("cards go round and do not come to rest");
    }

    /// Whether there was anything to do.
    async fn round(&mut self, service: &Service) -> Result<bool, Failure> {
        let (own_card, read) = (service.inner.outside.own_card(), self.read.clone());
        let (mut picture, new) = service
            .look(move |look| Ok((picture(look)?, posted(look, &read)?)))
            .await?;
        picture.own_card = own_card;
        let more = new.len() >= READ_AT_ONCE;
        for (thread, at, cards) in new {
            self.read.insert((thread, at));
            cards.into_iter().for_each(|card| self.board.take(card));
        }
        if more {
            return Ok(true);
        }
        let wanted: Vec<Card> = self.board.newest.values().map(|(_, card)| card.clone()).collect();
        let there = service.look(move |look| held(look, &wanted)).await?;
        let known = |card: &Card| there.contains(&hash(card)) || self.tried.contains(&hash(card));
        let steps = decide(&picture, &self.board, &known);
        let any = !steps.is_empty();
        for step in steps {
            self.act(service, step).await?;
        }
        Ok(any)
    }

    async fn act(&mut self, service: &Service, step: Step) -> Result<(), Failure> {
        let command = match step {
            Step::Found => Command::CreateThread {
                kind: ThreadKind::Conversation,
                history: History::FromJoining,
                suite: SUITE,
                title: DIRECTORY.into(),
            },
            Step::Add { thread, dev, role } => Command::Add { thread, dev, role },
            Step::Post { thread, cards } => Command::Send {
                thread,
                class: Class::Text,
                what: Outgoing::Roster(cards),
            },
            Step::Learn(card) => {
                self.tried.insert(hash(&card));
                if let Err(why) = service.command(Command::LearnCard { card }).await {
                    tracing::info!(code = %why.fault.code, "a card was refused");
                }
                return Ok(());
            }
        };
        service.command(command).await.map(drop)
    }
}

fn picture(look: &Look<'_>) -> Result<Picture, Failure> {
    let own = look.own()?;
    let me = own.dev();
    let conversations = conversations(look).map(|(thread, view)| Conversation {
        thread,
        creator: view.creator,
        members: view.members.iter().map(|m| m.dev).collect(),
    });
    let directory = look.machine.directory();
    let (mut administrators, mut revoked) = (BTreeMap::new(), BTreeSet::new());
    for cert in directory.devices().filter(|cert| cert.dev() != me) {
        let key = Key8::of_key(&cert.device_key);
        if directory.revocation(cert.org, What::Device, key).is_some() {
            revoked.insert(cert.dev());
        }
        if cert.org == own.org && is_administrator(cert) {
            administrators.insert(cert.dev(), role_of(look, &own, cert)?);
        }
    }
    Ok(Picture {
        own: me,
        administrator: is_administrator(&own),
        own_card: None,
        conversations: conversations.collect(),
        administrators,
        revoked,
    })
}

/// In which role the device can be added here, if it can.
fn role_of(look: &Look<'_>, own: &DeviceCert, cert: &DeviceCert) -> Result<Option<Role>, Failure> {
    let card = look.machine.can_add(look.store, cert.dev(), SUITE);
    let card = card.map_err(|why| faults::unreadable(&why))?;
    let mine = own.roles.iter().next().filter(|_| card);
    Ok(mine.and_then(|mine| role_for(mine, ThreadKind::Conversation, cert.roles)))
}

fn is_administrator(cert: &DeviceCert) -> bool {
    cert.roles.contains(Role::ItAdmin)
}

fn conversations<'a>(
    look: &'a Look<'_>,
) -> impl Iterator<Item = (ThreadId, aidmesh_core::machine::ThreadView)> + 'a {
    let hidden = look.machine.threads().into_iter();
    let hidden = hidden.filter(|id| look.machine.title(*id) == Some(DIRECTORY));
    hidden.filter_map(|id| Some((id, look.machine.view(id)?)))
}

/// Cards of entries that were not read before; of a bounded number of entries.
fn posted(
    look: &Look<'_>,
    read: &BTreeSet<(ThreadId, EntryRef)>,
) -> Result<Vec<(ThreadId, EntryRef, Vec<Posted>)>, Failure> {
    let mut new = Vec::new();
    for (thread, _) in conversations(look) {
        let heads = look.machine.entry_heads(thread).into_iter();
        let unread = heads.filter(|head| head.kind == Kind::Roster && !read.contains(&(thread, head.at)));
        for head in unread {
            if new.len() >= READ_AT_ONCE {
                return Ok(new);
            }
            let mut cards = Vec::new();
            if let Some(view) = look.entry(thread, head.at)?
                && let Body::Roster(roster) = view.body
            {
                let posted = roster.cards.into_iter().map(|card| Posted {
                    thread,
                    author: view.author,
                    by_administrator: is_administrator(&view.cert),
                    hlc: head.hlc,
                    card,
                });
                cards.extend(posted);
            }
            new.push((thread, head.at, cards));
        }
    }
    Ok(new)
}

/// Which of the cards the machine has learned.
fn held(look: &Look<'_>, cards: &[Card]) -> Result<BTreeSet<Hash>, Failure> {
    let mut there = BTreeSet::new();
    for card in cards {
        let Some(dev) = dev_of(card) else { continue };
        let row = look.store.get(&table::package_of(dev, SUITE.to_u16()));
        let row = row.map_err(|why| faults::unreadable(&why))?;
        if row.as_ref() == Some(&card.key_package) {
            there.insert(hash(card));
        }
    }
    Ok(there)
}

fn dev_of(card: &Card) -> Option<Dev> {
    DeviceCert::decode(&card.device_cert).ok().map(|cert| cert.dev())
}

fn hash(card: &Card) -> Hash {
    let mut hasher = blake3::Hasher::new();
    // a certificate tells its own length
    hasher.update(&card.device_cert).update(&card.key_package);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests;
