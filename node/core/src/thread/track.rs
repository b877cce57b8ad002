//! Evidence for the delivery states of own entries, from what is stored here: receipts, signed
//! heads, acts of people. Everything is applied again when the thread is loaded.

use super::{RelayHeld, Thread};
use crate::blob::Layer;
use crate::blobs::{Blobs, Chunks};
use crate::clinical::Body;
use crate::codec::{Malformed, Reader, Writer};
use crate::delivery::{Change, Evidence, Recipient, Tracker};
use crate::directory::{Role, Roles, What};
use crate::entry::{Entry, FLAG_LEASE_EXPIRED, Kind};
use crate::envelope::Place;
use crate::group::control::History;
use crate::id::{Dev, Handle, Key8, Slot};
use crate::machine::command::EntryRef;
use crate::machine::ctx::Ctx;
use crate::machine::event::Event;
use crate::ranges::{Log, Ranges};
use crate::store::table;
use crate::time::{Instant, Now, Wall};
use bytes::Bytes;

impl Thread {
    /// Follows an own entry from now on, unless it is an act on another entry.
    pub(super) fn track(&mut self, ctx: &mut Ctx<'_>, at: EntryRef) {
        let Some(meta) = self.entries.get(&at) else { return };
        if matches!(
            meta.kind,
            Kind::Acknowledgement | Kind::Seen | Kind::CtlKeys | Kind::SignOn
        ) {
            return self.reckon(ctx, at);
        }
        let (class, stored) = (meta.class, Wall(meta.stored_ms));
        let tracker = Tracker::new(class, class.ttl(), self.recipients(ctx.dev(), at));
        self.trackers.insert(at, tracker);
        // over a restart the deadline goes on: what the wall clock says of the time since, if it is sane
        let since_ms = ctx.now.wall.0.saturating_sub(stored.0);
        let mono = Instant(ctx.now.mono.0.saturating_sub(since_ms.saturating_mul(1000)));
        let Some(tracker) = self.trackers.get_mut(&at) else {
            return;
        };
        let mut changes = tracker.apply(Evidence::Committed, Now { mono, wall: stored });
        changes.extend(tracker.advance(ctx.now.mono));
        self.tell(ctx, at, changes);
    }

    /// To whom an own entry goes: the members, and former ones who signed that they opened it.
    fn recipients(&self, me: Dev, at: EntryRef) -> Vec<Recipient> {
        let members = self
            .membership
            .members
            .iter()
            .map(|(dev, m)| (*dev, m.slot, Some(m.role)));
        let former = self
            .heads
            .iter()
            .filter(|(_, h)| h.head.open.contains(at.slot, Log::Content, at.seq));
        let former = former.filter_map(|(slot, _)| self.slots.get(slot).map(|a| (a.dev, *slot, None)));
        let mut all: Vec<_> = members.chain(former).filter(|(dev, ..)| *dev != me).collect();
        all.sort_by_key(|(dev, _, role)| (*dev, role.is_none()));
        all.dedup_by_key(|(dev, ..)| *dev);
        all.into_iter()
            .map(|(dev, slot, role)| self.recipient(dev, slot, role))
            .collect()
    }

    fn recipient(&self, dev: Dev, slot: Slot, role: Option<Role>) -> Recipient {
        let author = self.slots.get(&slot);
        Recipient {
            dev,
            person: author.map(|a| a.cert.person),
            role: role.map(|role| Roles::of(&[role]).0),
            name: author.map_or_else(String::new, |a| a.cert.name.as_str().to_owned()),
            asked: true,
        }
    }

    /// Applies evidence and tells what it changed.
    fn evidence(&mut self, ctx: &mut Ctx<'_>, at: EntryRef, evidence: Evidence, wall: Wall) {
        if self.in_forgotten_life(ctx, at.slot) && !ctx.flaws.forgotten_life_gets_words {
            // what others signed about this place may be about another entry
            return;
        }
        let Some(tracker) = self.trackers.get_mut(&at) else {
            return;
        };
        let changes = tracker.apply(
            evidence,
            Now {
                mono: ctx.now.mono,
                wall,
            },
        );
        self.tell(ctx, at, changes);
    }

    fn tell(&mut self, ctx: &mut Ctx<'_>, at: EntryRef, changes: Vec<Change>) {
        self.reckon(ctx, at);
        for change in changes {
            let Some(tracker) = self.trackers.get(&at) else {
                return;
            };
            let view = tracker
                .views()
                .find(|(r, _)| r.dev == change.recipient)
                .map(|(_, v)| v.clone());
            let Some((state, marks)) = view.and_then(|v| v.state.map(|s| (s, v.marks))) else {
                continue;
            };
            let (thread, dev) = (self.id, change.recipient);
            let marks = marks.into_iter().collect();
            ctx.event(Event::Delivery {
                thread,
                entry: at,
                dev,
                state,
                marks,
            });
        }
    }

    /// The newest signed head of a slot speaks for its device about every own entry.
    pub(super) fn head_evidence(&mut self, ctx: &mut Ctx<'_>, slot: Slot) {
        let Some(head) = self.heads.get(&slot).map(|h| h.head.clone()) else {
            return;
        };
        let Some(dev) = self.slots.get(&slot).map(|a| a.dev).filter(|d| *d != ctx.dev()) else {
            return;
        };
        let Some(inc) = self.incarnation_of(slot) else {
            return;
        };
        let own: Vec<EntryRef> = self.trackers.keys().copied().collect();
        let wall = Wall(head.hlc.ms());
        for at in own {
            if head.open.contains(at.slot, Log::Content, at.seq) {
                let layer = self.layer_up_to(at, &head.blobs);
                self.evidence(
                    ctx,
                    at,
                    Evidence::Head {
                        dev,
                        inc,
                        opens: true,
                        layer,
                    },
                    wall,
                );
            }
        }
        self.reckon_acts(ctx);
    }

    pub(crate) fn incarnation_of(&self, slot: Slot) -> Option<u32> {
        self.membership
            .ever
            .iter()
            .find(|(_, life)| life.slot == slot)
            .map(|((_, inc), _)| *inc)
    }

    /// Highest layer of the entry's blob up to which all chunks are in `held`.
    fn layer_up_to(&self, at: EntryRef, held: &Blobs) -> Option<Layer> {
        let object = self.objects.values().find(|o| o.entry == at)?;
        object.manifest.complete_up_to(held)
    }

    /// What a relay signed for, on top of what it signed for before.
    pub(crate) fn relay_receipt(
        &mut self,
        ctx: &mut Ctx<'_>,
        relay: Key8,
        kept_until_min: u32,
        places: &[Place],
        wall: Wall,
    ) {
        let totals: Vec<_> = places.iter().filter_map(|p| self.total_of(p)).collect();
        let held = self.relays.entry(relay).or_default();
        held.kept_until_min = held.kept_until_min.max(kept_until_min);
        for place in places {
            if let Place::Log { slot, log, seq } = *place {
                held.ranges.insert(slot, log, seq);
            }
        }
        for (object, layer, total, index) in totals {
            held.blobs.insert(object, layer, total, index);
        }
        let row = held.encode();
        ctx.batch().put(table::evidence(self.id, &relay.0), row);
        self.relay_evidence(ctx, relay, wall);
    }

    /// A carrier took items along: a hint while it lasts.
    pub(crate) fn carry_receipt(&mut self, ctx: &mut Ctx<'_>, carrier: Key8, places: &[Place]) {
        let own: Vec<EntryRef> = self.trackers.keys().copied().collect();
        for at in own {
            let (slot, log, seq) = (at.slot, Log::Content, at.seq);
            let named = |p: &Place| *p == Place::Log { slot, log, seq };
            if places.iter().any(named) {
                let ttl_ms = self.entries.get(&at).map_or(0, |m| m.class.ttl().ms());
                let expires = ctx.now.mono.plus_ms(ttl_ms);
                self.evidence(ctx, at, Evidence::CarryReceipt { carrier, expires }, ctx.now.wall);
            }
        }
    }

    /// A carrier or relay refused an own entry.
    pub(crate) fn refused(&mut self, ctx: &mut Ctx<'_>, by: Key8, place: Place) {
        if let Place::Log {
            slot,
            log: Log::Content,
            seq,
        } = place
        {
            let at = EntryRef { slot, seq };
            let class = self.entries.get(&at).map(|m| m.class);
            if let Some(class) = class {
                self.evidence(ctx, at, Evidence::Refused { by, class }, ctx.now.wall);
            }
        }
    }

    fn total_of(&self, place: &Place) -> Option<(crate::id::Object8, u8, u32, u32)> {
        match *place {
            Place::Chunk { object, layer, index } => {
                let total = self.blobs.0.get(&(object, layer))?.total;
                Some((object, layer, total, index))
            }
            Place::Log { .. } | Place::Inbox => None,
        }
    }

    /// Applies what a relay signed for to every own entry.
    pub(super) fn relay_evidence(&mut self, ctx: &mut Ctx<'_>, relay: Key8, wall: Wall) {
        let Some(held) = self.relays.get(&relay).cloned() else {
            return;
        };
        let own: Vec<EntryRef> = self.trackers.keys().copied().collect();
        for at in own {
            if held.ranges.contains(at.slot, Log::Content, at.seq) {
                let q = self.layer_up_to(at, &held.blobs);
                let kept_until_min = held.kept_until_min;
                self.evidence(
                    ctx,
                    at,
                    Evidence::RelayReceipt {
                        relay,
                        kept_until_min,
                        q,
                    },
                    wall,
                );
            }
        }
        self.reckon_acts(ctx);
    }

    /// The relay said RESET, or shows less than it signed for: its receipts stand no longer.
    pub(crate) fn relay_lost(&mut self, ctx: &mut Ctx<'_>, relay: Key8) {
        if ctx.flaws.relay_loss_ignored || self.relays.remove(&relay).is_none() {
            return;
        }
        ctx.batch().delete(table::evidence(self.id, &relay.0));
        let own: Vec<EntryRef> = self.trackers.keys().copied().collect();
        for at in own {
            self.evidence(ctx, at, Evidence::RelayLost { relay }, ctx.now.wall);
        }
        self.reckon_all(ctx);
        ctx.offer(self.id);
    }

    /// What an opened entry says takes effect.
    pub(super) fn apply_body(&mut self, ctx: &mut Ctx<'_>, at: EntryRef, author: Dev, encoded: &Bytes) {
        let Ok(entry) = Entry::decode(encoded) else { return };
        let Ok(body) = Body::decode(entry.kind, &entry.body) else {
            return;
        };
        let wall = Wall(entry.hlc.ms());
        match body {
            Body::EcgSnapshot(ecg) => {
                let class = self
                    .entries
                    .get(&at)
                    .map_or(crate::envelope::Class::Bulk, |m| m.class);
                self.learn_object(at, class, ecg.manifest);
            }
            Body::CtlKeys(keys) => self.keys_of(ctx, (at, author), &keys),
            Body::Seen(seen) => {
                let named = self
                    .trackers
                    .keys()
                    .filter(|t| seen.ranges.contains(t.slot, Log::Content, t.seq));
                let named: Vec<EntryRef> = named.copied().collect();
                let mut others = self.membership.members.keys();
                let other = others.find(|dev| **dev != author && **dev != ctx.dev());
                let other = other.filter(|_| ctx.flaws.seen_credited_to_another);
                let dev = other.copied().unwrap_or(author);
                for entry in named {
                    let evidence = Evidence::Seen {
                        dev,
                        person: seen.person,
                        q: seen.layer,
                    };
                    self.evidence(ctx, entry, evidence, wall);
                }
            }
            Body::Acknowledgement(ack) => {
                let order = entry.hlc;
                let (dev, person, act, q) = (author, ack.person, ack.act, ack.layer);
                if let Some(named) = self.tracked_by_hash(&ack.entry) {
                    self.evidence(
                        ctx,
                        named,
                        Evidence::Ack {
                            dev,
                            person,
                            act,
                            q,
                            order,
                        },
                        wall,
                    );
                }
            }
            Body::Recall(recall) => {
                self.recalls.entry((recall.entry, author)).or_insert(wall);
                let replaced = recall.replacement.is_some();
                if let Some(named) = self
                    .tracked_by_hash(&recall.entry)
                    .filter(|_| author == ctx.dev())
                {
                    self.evidence(ctx, named, Evidence::Recalled { replaced }, wall);
                }
            }
            _ => {}
        }
        if author == ctx.dev() && entry.flags & FLAG_LEASE_EXPIRED != 0 {
            self.evidence(ctx, at, Evidence::LeaseExpired { days: 0 }, wall);
        }
    }

    fn tracked_by_hash(&self, hash: &[u8; 32]) -> Option<EntryRef> {
        self.trackers
            .keys()
            .find(|at| self.entries.get(at).is_some_and(|m| m.hash == *hash))
            .copied()
    }

    /// Devices that left or came: their rows say so.
    pub(super) fn members_changed(&mut self, ctx: &mut Ctx<'_>) {
        let gone: Vec<(Dev, u32)> = self.membership.valid_removes.values().copied().collect();
        let own: Vec<EntryRef> = self.trackers.keys().copied().collect();
        let all = self.genesis.as_ref().is_some_and(|g| g.history == History::All);
        for at in own {
            let sealed_for = self.entries.get(&at).and_then(|m| self.rosters.get(&m.node));
            let was = |dev: &Dev| sealed_for.is_some_and(|roster| roster.contains_key(dev));
            let now = self.recipients(ctx.dev(), at).into_iter();
            let joined: Vec<Recipient> = now.filter(|r| all || was(&r.dev)).collect();
            for recipient in joined {
                let Some(tracker) = self.trackers.get_mut(&at) else {
                    continue;
                };
                let changes = tracker.add_recipient(recipient, ctx.now.mono);
                self.tell(ctx, at, changes);
            }
            for (dev, inc) in &gone {
                self.evidence(ctx, at, Evidence::Removed { dev: *dev, inc: *inc }, ctx.now.wall);
            }
        }
        self.rewrap_due = Some(ctx.now.mono);
    }

    /// Lets time pass for the states; tells deadlines that came.
    pub(crate) fn advance_trackers(&mut self, ctx: &mut Ctx<'_>) {
        let own: Vec<EntryRef> = self.trackers.keys().copied().collect();
        for at in own {
            let Some(tracker) = self.trackers.get_mut(&at) else {
                continue;
            };
            if tracker.next_deadline().is_some_and(|due| due <= ctx.now.mono) {
                let changes = tracker.advance(ctx.now.mono);
                self.tell(ctx, at, changes);
            }
        }
    }

    /// When [`Thread::advance_trackers`] is due.
    pub(crate) fn tracker_deadline(&self) -> Option<Instant> {
        self.trackers.values().filter_map(Tracker::next_deadline).min()
    }

    /// A member's device key is revoked.
    pub(crate) fn is_revoked(&self, ctx: &Ctx<'_>, dev: Dev) -> bool {
        let Some(author) = self.slots.values().find(|a| a.dev == dev) else {
            return false;
        };
        let key = Key8::of_key(&author.key);
        ctx.dir.revocation(author.cert.org, What::Device, key).is_some()
    }

    /// Handle of the control key of a path.
    pub(crate) fn handle_now(&self) -> Option<Handle> {
        self.path_key(self.vote)
    }
}

impl RelayHeld {
    const VERSION: u8 = 1;

    pub(super) fn encode(&self) -> Bytes {
        let mut w = Writer::new();
        w.u8(Self::VERSION).u32(self.kept_until_min);
        self.ranges.write(&mut w);
        // one BLOBS holds a bounded number of layers
        let all: Vec<(_, &Chunks)> = self.blobs.0.iter().collect();
        let parts = all.chunks(crate::limits::OBJECTS_PER_BLOBS);
        w.count(parts.len());
        for part in parts {
            Blobs(part.iter().map(|(k, c)| (**k, (*c).clone())).collect()).write(&mut w);
        }
        w.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<RelayHeld, Malformed> {
        let mut r = Reader::new(bytes);
        if r.u8()? != Self::VERSION {
            return Err(Malformed("unknown version of a receipt row"));
        }
        let kept_until_min = r.u32()?;
        let ranges = Ranges::read(&mut r)?;
        let mut blobs = Blobs::new();
        for _ in 0..r.count(4096)? {
            blobs.0.extend(Blobs::read(&mut r)?.0);
        }
        r.end()?;
        Ok(RelayHeld {
            ranges,
            blobs,
            kept_until_min,
        })
    }
}
