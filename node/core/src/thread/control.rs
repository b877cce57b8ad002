//! Control objects from elsewhere: opened under the control keys held here, their signature checked
//! against the device behind their slot, then applied. What cannot be checked yet is parked.

use super::content::Absorbed;
use super::parked::Waiting;
use super::{Ahead, Author, CommitInfo, HeadInfo, SecondHead, Thread};
use crate::codec::Malformed;
use crate::directory::{DeviceCert, Signed};
use crate::envelope::{Envelope, Place};
use crate::group::control::{self, Act, Commit, Head, MadeBy, Object, Verified, key_package_hash};
use crate::group::membership::Ops;
use crate::group::mls::{key_package_info, node_id, restore_key_packages};
use crate::id::{Dev, Kid, MsgId, NodeId, OpId, Seq, Slot};
use crate::limits;
use crate::machine::ctx::Ctx;
use crate::machine::event::Event;
use crate::ranges::Log;
use crate::store::table;
use bytes::Bytes;

impl Thread {
    /// Takes an envelope of this thread, and whatever waited for it.
    pub(crate) fn absorb(&mut self, ctx: &mut Ctx<'_>, envelope: &Envelope, bytes: &Bytes) -> Absorbed {
        let verdict = self.absorb_one(ctx, envelope, bytes);
        if verdict == Absorbed::New && !matches!(envelope.place, Place::Chunk { .. }) {
            self.settle(ctx);
        }
        verdict
    }

    pub(super) fn absorb_one(&mut self, ctx: &mut Ctx<'_>, envelope: &Envelope, bytes: &Bytes) -> Absorbed {
        match envelope.place {
            Place::Log {
                slot,
                log: Log::Content,
                seq,
            } => self.absorb_content(ctx, envelope, (slot, seq), bytes),
            Place::Log { slot, log, seq } => self.absorb_control(ctx, envelope, (slot, log, seq), bytes),
            Place::Chunk { object, layer, index } => self.absorb_chunk(ctx, envelope, (object, layer, index)),
            Place::Inbox => Absorbed::Junk("inbox item in a thread"),
        }
    }

    /// Retries what is parked, follows commits, makes what is due; ends when nothing moves.
    pub(crate) fn settle(&mut self, ctx: &mut Ctx<'_>) {
        while self.follow_commits(ctx) | self.retry_parked(ctx) {}
        self.carry_over(ctx);
        self.commit_outstanding(ctx);
        self.look_for_leaf(ctx);
        self.tell_gate(ctx);
        self.due_again(ctx);
        self.forget(ctx);
    }

    /// Takes parked items whose time has come. Returns whether any was taken.
    pub(super) fn retry_parked(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let mut moved = false;
        let parked = self.parked.take_all().into_iter().map(|(_, _, waiting)| waiting);
        for waiting in parked.chain(self.take_ahead()) {
            moved |= self.absorb_one(ctx, &waiting.envelope, &waiting.bytes) == Absorbed::New;
        }
        moved
    }

    fn absorb_control(
        &mut self,
        ctx: &mut Ctx<'_>,
        envelope: &Envelope,
        at: (Slot, Log, Seq),
        bytes: &Bytes,
    ) -> Absorbed {
        let (slot, log, seq) = at;
        let id = MsgId::of(bytes);
        let key = (log as u8, slot, seq);
        if log == Log::Control && seq > limits::CONTROL_PER_SLOT {
            return Absorbed::Useless;
        }
        let taken = self.items.get(&key).copied();
        if taken.is_some_and(|i| i.id == id) || log == Log::Heads && self.is_old_head(slot, seq) {
            return Absorbed::Useless;
        }
        let verified = match self.open_control(envelope, at, bytes) {
            Ok(verified) => verified,
            Err(verdict) => return verdict,
        };
        if let Err(rule) = right_log(&verified, log, seq) {
            return Absorbed::Junk(rule);
        }
        if let Object::Genesis(genesis) = verified.object()
            && ctx.dir.chain(&genesis.founder).is_err()
        {
            return Absorbed::Junk("founder of an unknown organisation");
        }
        if taken.is_some() {
            return match self.same_control(&verified) {
                true => Absorbed::Useless,
                false => self.second_control(ctx, verified, (slot, seq), bytes),
            };
        }
        if !self.loading && self.is_own(slot) && self.me(ctx.dev()).is_some_and(|(mine, _)| mine == slot) {
            // own words that this store does not remember
            self.forgot(ctx);
        }
        if let Object::Head(head) = verified.object()
            && !self.loading
            && !self.is_connected(head.node)
        {
            let waiting = Waiting {
                envelope: envelope.clone(),
                bytes: bytes.clone(),
            };
            self.keep_ahead(ctx, slot, head, waiting);
            return Absorbed::Parked;
        }
        if let Object::Commit(commit) = verified.object()
            && !self.loading
            && self.is_one_too_many(commit)
        {
            return Absorbed::Useless;
        }
        if let Object::Head(head) = verified.object() {
            self.keep_reached(ctx, slot, head.seq);
        }
        self.keep_control(ctx, envelope, at, (&verified, bytes));
        self.apply_control(ctx, verified);
        Absorbed::New
    }

    /// Keeps and applies what was signed at a place that is taken: membership and fork choice are
    /// functions of the objects, whichever came first. A second head counts while it is one of the
    /// newest.
    fn second_control(
        &mut self,
        ctx: &mut Ctx<'_>,
        verified: Verified,
        (slot, seq): (Slot, Seq),
        bytes: &Bytes,
    ) -> Absorbed {
        self.equivocation(ctx, slot, seq, bytes);
        if let Object::Head(head) = verified.object() {
            return self.second_head(ctx, (slot, verified.id(), head.node), bytes);
        }
        let row = table::second(self.id, MsgId::of(bytes));
        let kept = self.seconds.get(&slot).copied().unwrap_or(0);
        let is_named = kept >= limits::SECONDS_PER_SLOT && self.is_lacking(&verified);
        if kept >= limits::SECONDS_PER_SLOT && !(is_named && kept < limits::SECONDS_NAMED) {
            return Absorbed::Useless;
        }
        self.seconds.insert(slot, kept + 1);
        ctx.batch().put(row.clone(), bytes.clone());
        self.note_row(&verified, row);
        self.apply_control(ctx, verified);
        Absorbed::New
    }

    /// Of several heads with one number those with the lowest ids count, whatever came first.
    fn second_head(
        &mut self,
        ctx: &mut Ctx<'_>,
        (slot, id, node): (Slot, OpId, NodeId),
        bytes: &Bytes,
    ) -> Absorbed {
        if !self.loading && !self.is_connected(node) {
            return Absorbed::Useless;
        }
        let heads = self.second_heads.entry(slot).or_default();
        if heads.len() >= limits::SECONDS_PER_SLOT {
            if heads.last_key_value().is_some_and(|(last, _)| *last < id) {
                return Absorbed::Useless;
            }
            if let Some((_, last)) = heads.pop_last() {
                ctx.batch().delete(last.row);
            }
        }
        // a row of its own: that of the evidence stays when a later head comes
        let row = table::second(self.id, MsgId::of(&[b"head", &bytes[..]].concat()));
        ctx.batch().put(row.clone(), bytes.clone());
        heads.insert(id, SecondHead { node, row });
        Absorbed::New
    }

    /// Keeps in mind where an object lies that others may refer to.
    pub(super) fn note_row(&mut self, verified: &Verified, row: Vec<u8>) {
        match verified.object() {
            Object::Head(_) => return,
            Object::KeyPackage(package) => {
                let hash = key_package_hash(package);
                if let Some(start) = hash.first_chunk() {
                    self.control_rows.entry(*start).or_insert_with(|| row.clone());
                }
            }
            Object::Op(_) | Object::Commit(_) | Object::Genesis(_) => {}
        }
        self.control_rows.entry(verified.id().0).or_insert(row);
    }

    /// Opens a control object and checks its signature; parks it where its key or its author is not known.
    fn open_control(
        &mut self,
        envelope: &Envelope,
        at: (Slot, Log, Seq),
        bytes: &Bytes,
    ) -> Result<Verified, Absorbed> {
        let (slot, log, seq) = at;
        let verified = match self.ring.open(at, &envelope.payload) {
            Some((plaintext, _)) => self.verify_control(&plaintext, slot).map_err(Absorbed::Junk)?,
            None => {
                let kid = envelope.payload.get(..4).and_then(Kid::from_prefix);
                if kid.is_none_or(|kid| self.ring.by_kid(kid).next().is_some()) {
                    return Err(Absorbed::Junk("control object does not open"));
                }
                None
            }
        };
        verified.ok_or_else(|| {
            let waiting = Waiting {
                envelope: envelope.clone(),
                bytes: bytes.clone(),
            };
            self.parked
                .park((log as u8, slot, seq), MsgId::of(bytes), waiting);
            Absorbed::Parked
        })
    }

    fn is_old_head(&self, slot: Slot, counter: Seq) -> bool {
        self.have
            .get(slot, Log::Heads)
            .is_some_and(|set| set.max() > counter)
    }

    /// The same object sealed under another control key is no second object.
    fn same_control(&self, verified: &Verified) -> bool {
        let id = verified.id();
        match verified.object() {
            Object::Op(_) => self.ops.as_ref().is_some_and(|ops| ops.get(id).is_some()),
            Object::Commit(_) => {
                self.commits.values().any(|c| c.ops.contains(&id)) || self.unbuilt.contains_key(&id)
            }
            Object::Head(_) => {
                let second = self.second_heads.get(&verified.slot());
                self.heads.get(&verified.slot()).is_some_and(|h| h.op == id)
                    || second.is_some_and(|heads| heads.contains_key(&id))
            }
            Object::KeyPackage(package) => self.packages.contains_key(&key_package_hash(package)),
            Object::Genesis(_) => self.genesis_op == id,
        }
    }

    /// `None` while the device behind the slot is not known.
    fn verify_control(&self, plaintext: &[u8], slot: Slot) -> Result<Option<Verified>, &'static str> {
        if let Some(author) = self.slots.get(&slot) {
            return match Verified::open(plaintext, self.id, slot, &author.key) {
                Ok(verified) => Ok(Some(verified)),
                Err(_) => Err("control object with a wrong signature"),
            };
        }
        match control::peek(plaintext) {
            Ok(Object::Genesis(_)) => match Verified::genesis(plaintext) {
                Ok(v) if v.thread() == self.id && v.slot() == slot => Ok(Some(v)),
                _ => Err("genesis of another thread"),
            },
            Ok(_) => Ok(None),
            Err(_) => Err("control object does not parse"),
        }
    }

    /// An authentic control object takes effect.
    pub(super) fn apply_control(&mut self, ctx: &mut Ctx<'_>, verified: Verified) {
        let (slot, id) = (verified.slot(), verified.id());
        match verified.object() {
            Object::Genesis(genesis) => {
                self.genesis_op = id;
                self.root = node_id(&NodeId::default(), &self.id.0);
                self.rosters
                    .insert(self.root, [(genesis.founder.dev(), 1)].into_iter().collect());
                self.learn_author(ctx, 1, &genesis.founder);
                if self.head == NodeId::default() {
                    (self.head, self.vote) = (self.root, self.root);
                }
                self.ops = Ops::new(&verified);
                if let Some(ops) = &mut self.ops {
                    ops.adds_win = ctx.flaws.remove_loses_to_concurrent_add;
                    ops.void_counts = ctx.flaws.void_removals_honoured;
                }
                self.genesis = Some((**genesis).clone());
            }
            Object::KeyPackage(package) => {
                if let Ok(info) = key_package_info(ctx.crypto, package)
                    && let Ok(cert) = DeviceCert::decode(&info.cert)
                    && ctx.dir.chain(&cert).is_ok()
                    && cert.device_key == info.key
                {
                    let package = super::Package {
                        bytes: package.clone(),
                        cert,
                        suite: info.suite,
                    };
                    self.packages.insert(info.hash, package);
                    self.renew_membership(ctx);
                }
            }
            Object::Op(_) => {
                if let Some(ops) = &mut self.ops {
                    ops.insert(&verified);
                }
                self.renew_membership(ctx);
            }
            Object::Commit(commit) => self.learn_commit(ctx, id, commit.clone()),
            Object::Head(head) => {
                for (_, second) in self.second_heads.remove(&slot).into_iter().flatten() {
                    ctx.batch().delete(second.row);
                }
                self.heads.insert(
                    slot,
                    HeadInfo {
                        head: head.clone(),
                        op: id,
                        heard: ctx.now.mono,
                    },
                );
                if self.most_opened_what_is_forgotten(ctx.dev()) {
                    self.forgot(ctx);
                }
                self.anchor(ctx, slot);
                self.verify_rewraps(ctx, slot);
                self.head_evidence(ctx, slot);
                self.rewrap_needed(ctx);
                if let Some(stuck) = self.stuck.as_mut().filter(|_| !self.own_slots.contains(&slot)) {
                    stuck.heads = stuck.heads.saturating_add(1);
                }
            }
        }
    }

    /// A genuine head whose node no commit here leads to waits; of each author the newest.
    fn keep_ahead(&mut self, ctx: &mut Ctx<'_>, slot: Slot, head: &Head, waiting: Waiting) {
        let newest = self.ahead.get(&slot).map(|ahead| ahead.head.counter);
        if newest.is_none_or(|newest| newest < head.counter) {
            let head = head.clone();
            self.ahead.insert(slot, Ahead { head, waiting });
            if self.most_opened_what_is_forgotten(ctx.dev()) {
                self.forgot(ctx);
            }
        }
    }

    /// Heads whose node commits lead to by now.
    fn take_ahead(&mut self) -> Vec<Waiting> {
        let is_ready = |ahead: &Ahead| self.is_connected(ahead.head.node);
        let ready: Vec<Slot> = self
            .ahead
            .iter()
            .filter(|(_, a)| is_ready(a))
            .map(|(slot, _)| *slot)
            .collect();
        let taken = ready.iter().filter_map(|slot| self.ahead.remove(slot));
        taken.map(|ahead| ahead.waiting).collect()
    }

    /// More than half of the other members opened own entries that this store does not remember. The
    /// word of one alone is no proof in a larger thread: it could stop anybody with it.
    fn most_opened_what_is_forgotten(&self, dev: Dev) -> bool {
        let Some((mine, _)) = self.me(dev) else {
            return false;
        };
        let others = self.membership.members.values().filter(|m| m.slot != mine);
        let opened = others.clone().filter(|m| {
            let newest = self.heads.get(&m.slot).map(|h| &h.head);
            let ahead = self.ahead.get(&m.slot).map(|a| &a.head);
            let mut open = [newest, ahead].into_iter().flatten();
            open.any(|head| {
                let own = head.open.get(mine, Log::Content);
                own.is_some_and(|own| !self.remembers(mine, own.max()))
            })
        });
        opened.count() * 2 > others.count()
    }

    /// A device and its life in this thread: every branch computes the same slot.
    fn learn_author(&mut self, ctx: &Ctx<'_>, incarnation: u32, cert: &DeviceCert) {
        let mut slot = Slot::of(self.id, &cert.device_key, incarnation);
        if ctx.flaws.slot_by_order_of_arrival && !self.slots.contains_key(&slot) && !self.slots.is_empty() {
            slot = Slot((self.slots.len() as u32).to_be_bytes());
        }
        if cert.device_key == ctx.member.device.public() {
            self.own_slots.insert(slot);
        }
        let author = Author {
            dev: cert.dev(),
            key: cert.device_key,
            cert: cert.clone(),
        };
        self.slots.entry(slot).or_insert(author);
    }

    /// Whether an op that a device says now counts.
    pub(super) fn would_count(&self, dev: Dev, act: &Act) -> bool {
        let cert = |hash: &[u8; 32]| self.packages.get(hash).map(|package| package.cert.clone());
        let ops = self.ops.as_ref();
        ops.is_some_and(|ops| ops.would_count(&cert, &self.membership, dev, act))
    }

    /// Computes membership anew from the ops held.
    pub(super) fn renew_membership(&mut self, ctx: &mut Ctx<'_>) {
        let Some(ops) = &self.ops else { return };
        let packages = &self.packages;
        let before: Vec<(Dev, u32)> = self.membership.members.iter().map(|(d, m)| (*d, m.inc)).collect();
        let membership = ops.membership(&|hash| packages.get(hash).map(|package| package.cert.clone()));
        if membership != self.membership {
            (self.membership, self.memberships) = (membership, self.memberships + 1);
        }
        let lives: Vec<(u32, [u8; 32])> = self
            .membership
            .ever
            .iter()
            .map(|((_, inc), life)| (*inc, life.device_key))
            .collect();
        for (incarnation, key) in lives {
            let cert = self
                .packages
                .values()
                .map(|package| &package.cert)
                .find(|cert| cert.device_key == key);
            if let Some(cert) = cert.cloned() {
                self.learn_author(ctx, incarnation, &cert);
            } else if let Some(founder) = self.genesis.as_ref().map(|g| g.founder.clone())
                && founder.device_key == key
            {
                self.learn_author(ctx, incarnation, &founder);
            }
        }
        let after: Vec<(Dev, u32)> = self.membership.members.iter().map(|(d, m)| (*d, m.inc)).collect();
        if before != after {
            self.members_changed(ctx);
            ctx.event(Event::MembersChanged { thread: self.id });
        }
    }

    /// Whether one author has said more commits than are kept without what they name: key packages, ops,
    /// commits before them.
    fn is_one_too_many(&self, commit: &Commit) -> bool {
        let by_author = |other: &&Commit| other.author == commit.author;
        if self.unbuilt.values().filter(by_author).count() >= limits::UNBUILT_PER_SLOT
            && matches!(self.full_bytes(commit), Ok(None))
        {
            return true;
        }
        let unrooted = self.unrooted.iter().filter_map(|node| self.commits.get(node));
        unrooted.filter(|other| by_author(&&other.header)).count() >= limits::UNROOTED_PER_SLOT
            && self.roster_by(commit).is_none()
    }

    /// The MLS bytes of a commit; `None` while a key package that it adds is missing.
    fn full_bytes(&self, commit: &Commit) -> Result<Option<Bytes>, Malformed> {
        let lookup = |hash: &[u8; 32]| self.packages.get(hash).map(|package| package.bytes.clone());
        restore_key_packages(&commit.body, &lookup)
    }

    /// The node that a commit makes; `None` while a key package that it adds is missing.
    pub(super) fn node_of(&self, commit: &Commit) -> Option<NodeId> {
        let bytes = self.full_bytes(commit).ok()??;
        Some(commit.node(&bytes))
    }

    /// A commit is known by its header; its full bytes need the key packages that it adds.
    pub(crate) fn learn_commit(&mut self, ctx: &mut Ctx<'_>, op: OpId, commit: Commit) {
        let is_founders = self.slots.get(&commit.author).map(|a| a.dev) == self.founder();
        // what changes nothing is no step: a member could make thousands of them
        let is_empty = commit.adds.is_empty() && commit.removes.is_empty();
        let is_known = matches!(commit.made_by, MadeBy::Member | MadeBy::Refound);
        if !is_known && !is_founders || is_empty {
            return;
        }
        let bytes = match self.full_bytes(&commit) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                self.unbuilt.insert(op, commit);
                return;
            }
            Err(_) => return,
        };
        let node = commit.node(&bytes);
        if let Some(known) = self.commits.get_mut(&node) {
            // the same commit once more; keys may be told under either id
            if known.ops.len() < limits::SECONDS_PER_SLOT {
                known.ops.insert(op);
            }
            return;
        }
        self.children.entry(commit.parent).or_default().insert(node);
        let of_author = |other: &&CommitInfo| {
            (other.header.parent, other.header.author) == (commit.parent, commit.author)
        };
        if self.commits.values().filter(of_author).count() == 1 {
            // both stay candidates, and everybody chooses the same
            ctx.event(Event::Equivocation {
                thread: self.id,
                slot: commit.author,
                seq: 0,
            });
        }
        self.confirm_key(op, &commit);
        if !self.rosters.contains_key(&node) {
            self.unrooted.insert(node);
        }
        self.commits.insert(
            node,
            CommitInfo {
                ops: [op].into(),
                header: commit,
                bytes,
            },
        );
    }

    /// Commits whose key packages have arrived since.
    pub(super) fn build_commits(&mut self, ctx: &mut Ctx<'_>) {
        for (op, commit) in std::mem::take(&mut self.unbuilt) {
            self.learn_commit(ctx, op, commit);
        }
    }
}

/// Heads, and only they, stand in the log of heads, at their own counter; a genesis is the first.
fn right_log(verified: &Verified, log: Log, seq: Seq) -> Result<(), &'static str> {
    let right = match verified.object() {
        Object::Head(head) => log == Log::Heads && head.counter == seq,
        Object::Genesis(_) => log == Log::Control && seq == 1,
        Object::Op(_) | Object::Commit(_) | Object::KeyPackage(_) => log == Log::Control,
    };
    if right {
        Ok(())
    } else {
        Err("control object in the wrong log")
    }
}
