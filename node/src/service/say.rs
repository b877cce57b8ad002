//! What people read and say: notes, what they saw, what they decide, what they take back.
//!
//! *Seen* and *acknowledged* record the layer that could be judged here: the highest one that is complete
//! on this device, whatever the asker claims beyond it. What was told before is not told again.

use super::faults::{self, Failure};
use super::look::{Look, entry_id, thread_id};
use super::{Service, find, show};
use crate::api::types::{EntryInfo, Made, Status};
use aidmesh_core::blob::Layer;
use aidmesh_core::clinical::{Act, Body};
use aidmesh_core::delivery::words;
use aidmesh_core::entry::Kind;
use aidmesh_core::envelope::Class;
use aidmesh_core::id::ThreadId;
use aidmesh_core::limits;
use aidmesh_core::machine::command::{Command, Outgoing};
use aidmesh_core::machine::{EntryHead, EntryRef};
use bytes::Bytes;

/// Entries that one answer lists at most.
const LISTED_MAX: usize = 1000;
const ACTS: [Act; 4] = [Act::Acknowledged, Act::Accepted, Act::Declined, Act::Activated];

/// A file of an original.
#[derive(Clone, Debug)]
pub struct FileOut {
    /// Its name.
    pub name: String,
    /// Its content.
    pub bytes: Bytes,
}

impl Service {
    /// Entries of others, newest first. `acts`: what people saw and acknowledged too.
    pub async fn inbox(&self, acts: bool, limit: usize) -> Result<Vec<EntryInfo>, Failure> {
        self.look(move |look| {
            let threads = look.threads().into_iter();
            let theirs = threads.flat_map(|(id, _)| {
                let heads = look.machine.entry_heads(id).into_iter();
                heads
                    .filter(|head| !head.own)
                    .map(move |head| (arrival(&head), id, head))
            });
            let mut theirs: Vec<_> = theirs.filter(|(.., head)| listed(head, acts)).collect();
            theirs.sort_by_key(|(at, id, head)| std::cmp::Reverse((*at, *id, head.at)));
            theirs.truncate(limit.min(LISTED_MAX));
            infos(look, theirs.into_iter().map(|(_, id, head)| (id, head.at)))
        })
        .await
    }

    /// The newest entries of a thread, in the order of their times; with `before`, of those that stand before
    /// that entry.
    pub async fn entries(
        &self,
        name: String,
        acts: bool,
        limit: usize,
        before: Option<String>,
    ) -> Result<Vec<EntryInfo>, Failure> {
        self.look(move |look| {
            let (id, _) = find::thread(look, &name)?;
            let mut heads = look.machine.entry_heads(id);
            heads.sort_by_key(|head| (head.hlc, head.at));
            if let Some(before) = before {
                let (_, at) = find::entry(look, &before)?;
                let place = heads.iter().position(|head| head.at == at);
                heads.truncate(place.ok_or_else(|| faults::not_found("no such entry", &[]))?);
            }
            heads.retain(|head| listed(head, acts));
            let first = heads.len().saturating_sub(limit.min(LISTED_MAX));
            infos(look, heads[first..].iter().map(|head| (id, head.at)))
        })
        .await
    }

    /// One entry.
    pub async fn entry(&self, name: String) -> Result<EntryInfo, Failure> {
        self.look(move |look| {
            let (id, at) = find::entry(look, &name)?;
            let info = show::entry(look, id, at)?;
            info.ok_or_else(|| faults::not_found("no such entry", &[]))
        })
        .await
    }

    /// A file of an entry's original, by its place among them from 0.
    pub async fn file(&self, name: String, number: usize) -> Result<FileOut, Failure> {
        self.look(move |look| {
            let (id, at) = find::entry(look, &name)?;
            let layers = look.machine.layers(id, at).into_iter();
            let mut files = layers.filter(|layer| layer.layer >= Layer::ORIGINAL);
            let file = files.nth(number);
            let file = file.ok_or_else(|| faults::not_found("no such file", &[]))?;
            let bytes = look
                .machine
                .layer(look.store, id, at, file.layer.to_u8())
                .map_err(|why| faults::unreadable(&why))?;
            let bytes = bytes.ok_or_else(|| faults::incomplete(file.held, file.total))?;
            let name = file
                .name
                .map_or_else(String::new, |name| name.as_str().to_owned());
            Ok(FileOut { name, bytes })
        })
        .await
    }

    /// Who has an own entry.
    pub async fn status(&self, name: String) -> Result<Status, Failure> {
        self.look(move |look| {
            let (id, at) = find::entry(look, &name)?;
            show::status(look, id, at)
        })
        .await
    }

    /// Writes a note.
    pub async fn note(&self, name: String, text: String) -> Result<Made, Failure> {
        if text.trim().is_empty() || text.len() > limits::NOTE_BYTES {
            let most = limits::NOTE_BYTES;
            return Err(faults::unfit(format_args!("a note has 1 to {most} bytes")));
        }
        let id = self.look(move |look| Ok(find::thread(look, &name)?.0)).await?;
        self.send(id, Class::Text, Outgoing::Note(text)).await
    }

    /// Says that the person has seen an entry: on an unlocked screen, for a second or longer.
    pub async fn seen(&self, name: String, layer: Option<String>) -> Result<Made, Failure> {
        let shown = match layer {
            Some(word) => Some(layer_of(&word)?),
            None => None,
        };
        let look = self.look(move |look| {
            let (id, at) = others_entry(look, &name)?;
            let held = look.machine.quality(id, at);
            let layer = held.map(|held| shown.map_or(held, |shown| shown.min(held)));
            Ok((id, at, layer, said_before(look, id, at, layer)?))
        });
        let (id, entry, layer, said) = look.await?;
        if said {
            return Ok(Made {
                thread: Some(thread_id(id)),
                entries: vec![],
            });
        }
        let layer = layer.map(Layer::to_u8);
        self.send(id, Class::Text, Outgoing::Seen { entry, layer }).await
    }

    /// The person acts on an entry.
    pub async fn ack(&self, name: String, act: String) -> Result<Made, Failure> {
        let known = ACTS.into_iter().find(|known| words::act_id(*known) == act);
        let act = known.ok_or_else(|| faults::unknown_word("act", &ACTS.map(words::act_id)))?;
        let look = self.look(move |look| {
            let (id, at) = others_entry(look, &name)?;
            Ok((id, at, look.machine.quality(id, at)))
        });
        let (id, entry, layer) = look.await?;
        let layer = layer.map(Layer::to_u8);
        self.send(id, Class::Text, Outgoing::Ack { entry, act, layer })
            .await
    }

    /// The author takes an entry back; nothing is deleted.
    pub async fn recall(&self, name: String, why: String) -> Result<Made, Failure> {
        let why = why.trim().to_owned();
        if why.is_empty() || why.len() > limits::SHORT_TEXT_BYTES {
            let most = limits::SHORT_TEXT_BYTES;
            return Err(faults::unfit(format_args!("a reason has 1 to {most} bytes")));
        }
        let look = self.look(move |look| {
            let (id, at) = find::entry(look, &name)?;
            match look.machine.entry_head(id, at) {
                Some(head) if !head.own => Err(faults::not_yours()),
                _ => Ok((id, at)),
            }
        });
        let (id, entry) = look.await?;
        self.send(id, Class::Alarm, Outgoing::Recall { entry, why }).await
    }

    /// Says something; it is stored when this returns.
    pub(super) async fn send(&self, thread: ThreadId, class: Class, what: Outgoing) -> Result<Made, Failure> {
        let made = self.command(Command::Send { thread, class, what }).await?;
        Ok(Made {
            thread: Some(thread_id(thread)),
            entries: made.entry.map(|at| entry_id(thread, at)).into_iter().collect(),
        })
    }
}

/// A clock that is ahead must not keep an entry on top.
fn arrival(head: &EntryHead) -> u64 {
    head.hlc.ms().min(head.stored.0)
}

fn listed(head: &EntryHead, acts: bool) -> bool {
    let act = matches!(head.kind, Kind::Seen | Kind::Acknowledgement);
    show::is_shown(head) && (acts || !act)
}

fn infos(
    look: &Look<'_>,
    entries: impl Iterator<Item = (ThreadId, EntryRef)>,
) -> Result<Vec<EntryInfo>, Failure> {
    let infos = entries.map(|(id, at)| show::entry(look, id, at).transpose());
    infos.flatten().collect()
}

fn others_entry(look: &Look<'_>, name: &str) -> Result<(ThreadId, EntryRef), Failure> {
    let (id, at) = find::entry(look, name)?;
    match look.machine.entry_head(id, at) {
        Some(head) if head.own => Err(faults::own_entry()),
        _ => Ok((id, at)),
    }
}

fn layer_of(word: &str) -> Result<Layer, Failure> {
    let all = [
        Layer::DIGEST,
        Layer::BEATS,
        Layer::PREVIEW,
        Layer::LOSSLESS,
        Layer::ORIGINAL,
    ];
    let known = all.into_iter().find(|layer| words::layer_word(*layer) == word);
    known.ok_or_else(|| faults::unknown_word("layer", &all.map(words::layer_word)))
}

/// The person said on this device that the entry was seen, on this layer or a higher one.
fn said_before(
    look: &Look<'_>,
    thread: ThreadId,
    at: EntryRef,
    layer: Option<Layer>,
) -> Result<bool, Failure> {
    let heads = look.machine.entry_heads(thread).into_iter();
    for head in heads.filter(|head| head.own && head.kind == Kind::Seen) {
        if let Some(Body::Seen(seen)) = look.entry(thread, head.at)?.map(|view| view.body)
            && Some(seen.person) == look.machine.person()
            && seen
                .ranges
                .contains(at.slot, aidmesh_core::ranges::Log::Content, at.seq)
            && seen.layer >= layer
        {
            return Ok(true);
        }
    }
    Ok(false)
}
