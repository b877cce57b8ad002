//! Commands of the people and programs on this device.

use super::command::{Card, Command, CommandError, EntryRef, LayerData, Made, Outgoing};
use super::tx::Effect;
use super::{Event, Machine, with_thread};
use crate::blob::{ChunkSize, FileName, Layer, Sealer};
use crate::clinical::{
    Acknowledgement, Alert, Body, EcgSnapshot, LADDER_S, Note, Recall, RecallKind, Roster, Seen,
};
use crate::codec::Malformed;
use crate::directory::{DeviceCert, Learned, Role, Roles, Signed, may_add};
use crate::entry::Kind;
use crate::envelope::Class;
use crate::group::control::{Act, Genesis, Object, Why};
use crate::group::mls::{Suite, key_package_hash, key_package_info};
use crate::id::{Dev, Person, ThreadId};
use crate::machine::ctx::Ctx;
use crate::ranges::{Log, Ranges};
use crate::store::{Read, table};
use crate::thread::Thread;
use crate::time::Wall;
use bytes::Bytes;

impl Machine {
    pub(super) fn execute(&mut self, store: &dyn Read, c: Command) -> Result<Made, CommandError> {
        self.commands += 1;
        let mut made = Made {
            command: self.commands,
            thread: None,
            entry: None,
        };
        match c {
            Command::Trust { root_card, own } => {
                learned(self.dir.trust(&root_card, own, &mut self.tx.batch))?
            }
            Command::LearnAdmin { cert } => learned(self.dir.learn_admin(&cert, &mut self.tx.batch))?,
            Command::LearnCard { card } => self.learn_card(&card)?,
            Command::Revoke { revocation } => {
                learned(self.dir.learn_revocation(&revocation, &mut self.tx.batch))?;
                self.tx.effects.push(Effect::Rumour);
                self.settle_all(store);
            }
            Command::PinRelays { keys } => self.pinned = keys,
            Command::MakeCard { suite } => self.make_card(suite)?,
            Command::SignOn { person } => {
                self.person = Some(person);
                self.tx.batch.put(table::own("person"), person.0.to_vec());
            }
            Command::SignOff => {
                self.person = None;
                self.tx.batch.delete(table::own("person"));
            }
            Command::CreateThread {
                kind,
                history,
                suite,
                title,
            } => {
                let cert = self.own_cert()?;
                let salt = self.rng.array();
                let genesis = Genesis {
                    kind,
                    history,
                    suite: suite.to_u16(),
                    drill: false,
                    salt,
                    founder: cert,
                    co_owners: vec![],
                    sequencers: vec![],
                    title,
                };
                made.thread = Some(self.create_thread(store, genesis)?);
            }
            Command::Add { thread, dev, role } => self.add(store, thread, dev, role)?,
            Command::Remove { thread, dev } => self.remove(store, thread, dev)?,
            Command::Refound { thread, suite } => self.refound(store, thread, suite)?,
            Command::Send { thread, class, what } => {
                made.thread = Some(thread);
                made.entry = Some(self.send(store, thread, class, what)?);
            }
        }
        self.tx.effects.push(Effect::Event(Event::Stored {
            command: made.command,
        }));
        Ok(made)
    }

    fn own_cert(&self) -> Result<DeviceCert, CommandError> {
        let member = self.id.member.as_ref().ok_or(CommandError::NotAMember)?;
        DeviceCert::decode(&member.cert).map_err(|e| CommandError::Refused(e.to_string()))
    }

    fn learn_card(&mut self, card: &Card) -> Result<(), CommandError> {
        let info = key_package_info(&self.crypto, &card.key_package)
            .map_err(|e| CommandError::Refused(e.to_string()))?;
        if info.cert != card.device_cert[..] {
            return Err(CommandError::Refused("key package of another certificate".into()));
        }
        learned(self.dir.learn_device(&card.device_cert, &mut self.tx.batch))?;
        let cert = DeviceCert::decode(&card.device_cert).map_err(|e| CommandError::Refused(e.to_string()))?;
        let key = table::package_of(cert.dev(), info.suite.to_u16());
        self.tx.batch.put(key, card.key_package.clone());
        Ok(())
    }

    fn make_card(&mut self, suite: Suite) -> Result<(), CommandError> {
        let member = self.id.member.as_ref().ok_or(CommandError::NotAMember)?;
        let key_package = self
            .packages
            .make(&self.crypto, suite, &member.device, &member.cert)
            .map_err(|e| CommandError::Group(e.to_string()))?;
        self.packages.save(&mut self.tx.batch);
        let card = Card {
            device_cert: member.cert.clone(),
            key_package,
        };
        self.tx.effects.push(Effect::Event(Event::CardMade { card }));
        Ok(())
    }

    /// Publishes a key package if the thread wants one of this device.
    pub(super) fn rejoin(&mut self, store: &dyn Read, id: ThreadId) {
        let wanted = with_thread!(self, store, id, |thread, ctx| thread.package_wanted(ctx));
        let (Some(suite), Some(member)) = (wanted.flatten(), &self.id.member) else {
            return;
        };
        let made = self
            .packages
            .make(&self.crypto, suite, &member.device, &member.cert);
        let Ok(package) = made else { return };
        self.packages.save(&mut self.tx.batch);
        with_thread!(self, store, id, |thread, ctx| {
            if let Err(error) = thread.ask_for_leaf(ctx, package) {
                tracing::debug!(%error, "no new leaf asked for");
            }
            thread.settle(ctx);
        });
    }

    /// Asks all members to go on with a group of a stronger suite; `None` takes that back.
    fn refound(&mut self, store: &dyn Read, id: ThreadId, suite: Option<Suite>) -> Result<(), CommandError> {
        let lapsed = self.lease_expired()?;
        with_thread!(self, store, id, |thread, ctx| {
            let now = thread.suite_of(thread.head);
            let is_member = thread.me(ctx.dev()).is_some();
            if !is_member || lapsed {
                return Err(CommandError::Forbidden);
            }
            let members = thread.membership.members.len();
            if suite == Some(Suite::XWing) && members > crate::limits::XWING_MEMBERS {
                return Err(CommandError::Full("members of a post-quantum thread"));
            }
            if suite.is_some_and(|suite| !now.is_some_and(|now| suite.is_stronger_than(now)))
                || suite.is_none() && !thread.asks_refound(ctx.dev())
            {
                return Err(CommandError::NoChange);
            }
            let suite = suite.map_or(0, Suite::to_u16);
            thread.put_op(ctx, Act::Refound { suite })?;
            thread.settle(ctx);
            Ok(())
        })
        .unwrap_or(Err(CommandError::UnknownThread))
    }

    fn create_thread(&mut self, store: &dyn Read, genesis: Genesis) -> Result<ThreadId, CommandError> {
        if self.threads.len() >= crate::limits::THREADS {
            return Err(CommandError::Full("threads"));
        }
        let member = self.id.member.as_ref().ok_or(CommandError::NotAMember)?;
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
        let thread = Thread::found(&mut ctx, genesis)?;
        let id = thread.id;
        self.threads.insert(id, thread);
        self.tx
            .effects
            .push(Effect::Event(Event::ThreadReady { thread: id }));
        self.tx.effects.push(Effect::Offer(id));
        self.tx.effects.push(Effect::OpenBoxes);
        Ok(id)
    }

    fn add(&mut self, store: &dyn Read, id: ThreadId, dev: Dev, role: Role) -> Result<(), CommandError> {
        let thread = self.threads.get(&id).ok_or(CommandError::UnknownThread)?;
        let genesis = thread.genesis.as_ref().ok_or(CommandError::UnknownThread)?;
        let suite = thread.suite_of(thread.head).map_or(genesis.suite, Suite::to_u16);
        let kind = genesis.kind;
        let inc = thread
            .membership
            .next_incarnation(dev)
            .ok_or(CommandError::NoChange)?;
        let me = self.dev().ok_or(CommandError::NotAMember)?;
        let mine = thread
            .membership
            .members
            .get(&me)
            .ok_or(CommandError::Forbidden)?;
        if !may_add(mine.role, kind, role) || self.lease_expired()? {
            return Err(CommandError::Forbidden);
        }
        let members = thread.membership.members.len();
        if members >= crate::limits::MEMBERS {
            return Err(CommandError::Full("members of a thread"));
        }
        if Suite::from_u16(suite) == Some(Suite::XWing) && members >= crate::limits::XWING_MEMBERS {
            return Err(CommandError::Full("members of a post-quantum thread"));
        }
        let package = self.tx.get(store, &table::package_of(dev, suite))?;
        let package = package.ok_or(CommandError::UnknownDevice)?;
        let slot = mine.slot;
        with_thread!(self, store, id, |thread, ctx| {
            let handle = thread.handle_now().ok_or(CommandError::Forbidden)?;
            let hash = key_package_hash(&package);
            if !thread.packages.contains_key(&hash) {
                let object = Object::KeyPackage(package);
                thread.put_control(ctx, slot, handle, Class::Text, object)?;
            }
            let act = Act::Add {
                dev,
                inc,
                role,
                kp: Some(hash),
                break_glass: false,
            };
            thread.put_op(ctx, act)?;
            thread.settle(ctx);
            Ok(())
        })
        .unwrap_or(Err(CommandError::UnknownThread))
    }

    fn lease_expired(&self) -> Result<bool, CommandError> {
        let cert = self.own_cert()?;
        Ok(self.now.wall.0 / 60_000 > u64::from(cert.window.not_after_min))
    }

    fn remove(&mut self, store: &dyn Read, id: ThreadId, dev: Dev) -> Result<(), CommandError> {
        with_thread!(self, store, id, |thread, ctx| {
            thread.remove(ctx, dev, Why::Unsaid)?;
            thread.settle(ctx);
            Ok(())
        })
        .unwrap_or(Err(CommandError::UnknownThread))
    }

    fn send(
        &mut self,
        store: &dyn Read,
        id: ThreadId,
        class: Class,
        what: Outgoing,
    ) -> Result<EntryRef, CommandError> {
        let person = self.person;
        with_thread!(self, store, id, |thread, ctx| {
            let (kind, body) = body_of(thread, ctx, person, what)?;
            let said = thread.say(ctx, class, &body, kind);
            if let (Err(_), Body::EcgSnapshot(ecg)) = (&said, &body) {
                thread.take_back_chunks(ctx, &ecg.manifest);
            }
            thread.tell_gate(ctx);
            said
        })
        .unwrap_or(Err(CommandError::UnknownThread))
    }
}

fn learned(result: Learned) -> Result<(), CommandError> {
    match result {
        Learned::New | Learned::Known => Ok(()),
        Learned::Refused(why) => Err(CommandError::Refused(why.to_string())),
    }
}

/// The body of what is said. Chunks of a blob go into the batch at once.
fn body_of(
    thread: &mut Thread,
    ctx: &mut Ctx<'_>,
    person: Option<Person>,
    what: Outgoing,
) -> Result<(Kind, Body), CommandError> {
    let person = person.ok_or(CommandError::NobodySignedOn);
    let body = match what {
        Outgoing::Note(text) => Body::Note(Note { text }),
        Outgoing::Ecg {
            recorded_ms,
            digest,
            format,
            layers,
        } => {
            let manifest = seal_layers(thread, ctx, layers)?;
            let recorded = recorded_ms.map(Wall);
            Body::EcgSnapshot(EcgSnapshot {
                recorded,
                digest,
                manifest,
                format,
                summary: None,
            })
        }
        Outgoing::Alert {
            what,
            role,
            text,
            about,
        } => {
            let refers = about.map(|at| hash_of(thread, at)).transpose()?;
            let role = Roles::of(&[role]).0;
            Body::Alert(Alert {
                what,
                role,
                text,
                refers,
                ladder_s: LADDER_S,
            })
        }
        Outgoing::Seen { entry, layer } => {
            hash_of(thread, entry)?;
            let mut ranges = Ranges::new();
            ranges.insert(entry.slot, Log::Content, entry.seq);
            let layer = layer.map(shown_layer).transpose()?;
            Body::Seen(Seen {
                ranges,
                layer,
                person: person?,
            })
        }
        Outgoing::Ack { entry, act, layer } => {
            let entry = hash_of(thread, entry)?;
            let layer = layer.map(shown_layer).transpose()?;
            Body::Acknowledgement(Acknowledgement {
                entry,
                act,
                layer,
                person: person?,
            })
        }
        Outgoing::Recall { entry, why } => recall(thread, entry, why)?,
        Outgoing::Roster(cards) => Body::Roster(Roster { cards }),
    };
    let kind = body.kind().ok_or(CommandError::Invalid("body without a kind"))?;
    Ok((kind, body))
}

/// Only the author takes an entry back.
fn recall(thread: &Thread, entry: EntryRef, why: String) -> Result<Body, CommandError> {
    if !thread.is_own(entry.slot) {
        return Err(CommandError::Forbidden);
    }
    let entry = hash_of(thread, entry)?;
    let kind = RecallKind::Recall;
    Ok(Body::Recall(Recall {
        entry,
        kind,
        replacement: None,
        why,
    }))
}

fn shown_layer(layer: u8) -> Result<Layer, CommandError> {
    Layer::from_u8(layer).map_err(|e| CommandError::Invalid(e.0))
}

fn hash_of(thread: &Thread, at: EntryRef) -> Result<[u8; 32], CommandError> {
    let known = thread.entries.get(&at).filter(|m| m.verified);
    known.map(|m| m.hash).ok_or(CommandError::UnknownEntry)
}

fn seal_layers(
    thread: &mut Thread,
    ctx: &mut Ctx<'_>,
    layers: Vec<LayerData>,
) -> Result<crate::blob::Manifest, CommandError> {
    let invalid = |e: Malformed| CommandError::Invalid(e.0);
    let mut sealer = Sealer::new(ctx.rng.secret());
    let mut sealed = Vec::new();
    for data in layers {
        let layer = shown_layer(data.layer)?;
        let name = (!data.name.is_empty())
            .then(|| FileName::new(&data.name))
            .transpose()
            .map_err(invalid)?;
        // a chunk of digest or beats travels with the alarm and must fit its class
        let small = ChunkSize::from_code(3).map_err(invalid)?;
        let size = if layer <= Layer::BEATS {
            small
        } else {
            ChunkSize::LARGEST
        };
        let chunks = sealer
            .layer(layer, name, size, &data.bytes)
            .map_err(|_| CommandError::Invalid("a layer is empty, too large or given twice"))?;
        sealed.push((layer, chunks));
    }
    let manifest = sealer
        .finish()
        .map_err(|_| CommandError::Invalid("an ECG has 1 to 16 layers"))?;
    let object = manifest.object();
    for (layer, chunks) in sealed {
        for (index, chunk) in (0u32..).zip(chunks) {
            ctx.batch().put(
                table::chunk(thread.id, object, layer.to_u8(), index),
                Bytes::from(chunk),
            );
        }
    }
    thread.own_chunks(&manifest);
    Ok(manifest)
}
