//! Control keys of a thread: made by commits that name a removal, told in entries, Welcomes and direct seals,
//! and believed only if the commit that made them names them.
//!
//! A member whose newest head does not list a key that is held here may be unable to read what others
//! say: the ops of another branch, and the commits after them. It is told by a direct seal, whatever node
//! it stands on, if the commit that made the key is here and all removals in it count here. Holders wait
//! twice as long for each place in their order, so that mostly one of them acts, also towards a member
//! that is away.

use super::{CommitInfo, Thread};
use crate::clinical::{Body, CtlKey, CtlKeys};
use crate::crypto::Secret;
use crate::entry::Kind;
use crate::envelope::Class;
use crate::group::control::Commit;
use crate::group::direct::Content;
use crate::group::keys::ControlKey;
use crate::id::{Dev, Handle, NodeId, OpId};
use crate::limits;
use crate::machine::command::{CommandError, EntryRef};
use crate::machine::ctx::Ctx;
use crate::time::Instant;
use std::collections::BTreeMap;

/// Before a member is told keys that its head does not list; doubled for each place in the order of turns, up
/// to this many times.
const KEYS_MS: u64 = 3_000;
const KEYS_TURNS: usize = 8;
/// Before it is told again; doubles each time, up to this many times.
const KEYS_AGAIN_MS: u64 = 60_000;
const KEYS_DOUBLINGS: u32 = 10;

/// How many keys a member was told, how often, and when it is to be done again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeysHanded {
    n: usize,
    times: u32,
    due: Instant,
}

impl Thread {
    /// The secret of a control key that nobody removed knows.
    pub(super) fn fresh_key(&self, ctx: &mut Ctx<'_>) -> Secret {
        let former = self.path_key(self.head).and_then(|h| self.ring.by_handle(h));
        match former.filter(|_| ctx.flaws.control_key_not_rotated) {
            Some(key) => key.secret().clone(),
            None => ctx.rng.secret(),
        }
    }

    /// A fresh control key, first on the child, told under the handle of the key before.
    pub(super) fn rotate(
        &mut self,
        ctx: &mut Ctx<'_>,
        (made_by, child): (OpId, NodeId),
        before: Handle,
        ck: Secret,
    ) -> Result<(), CommandError> {
        let key = ControlKey::new(ck.clone());
        self.ring.insert(ck.clone());
        self.makers.insert(made_by, key.handle());
        self.save_keys(ctx);
        ctx.open_boxes();
        let members = &self.membership.members;
        let is_member = |(dev, inc): (&Dev, &u32)| members.get(dev).is_some_and(|m| m.inc == *inc);
        if !self
            .rosters
            .get(&child)
            .is_some_and(|roster| roster.iter().all(is_member))
        {
            self.tell_each(ctx, made_by);
            return Ok(());
        }
        let body = Body::CtlKeys(CtlKeys {
            keys: vec![CtlKey {
                kid: key.kid(),
                ck,
                made_by,
            }],
        });
        let at = self.say(ctx, Class::Text, &body, Kind::CtlKeys)?;
        // sealed now: nobody can write on the child before it has this key
        self.unsealed.retain(|(_, seq)| *seq != at.seq);
        let row = ctx.get(&crate::store::table::entry(self.id, at.slot, at.seq))?;
        let (_, encoded) = row
            .and_then(|r| super::content::read_entry_row(&r).ok())
            .ok_or(CommandError::Group("entry lost".into()))?;
        let parent = self.commits.get(&child).map(|c| c.header.parent);
        let on = parent.filter(|_| ctx.flaws.control_key_told_on_the_parent);
        let on = on.unwrap_or(child);
        self.seal_entry(ctx, (on, Some(before)), (at, Class::Text, 0), &encoded)?;
        ctx.batch().delete(crate::store::table::unsealed(self.id, at.seq));
        Ok(())
    }

    /// Tells each member a key by a direct seal: who reads the node that it belongs to is not a member
    /// any more, and leaves with the next commit.
    fn tell_each(&mut self, ctx: &mut Ctx<'_>, made_by: OpId) {
        let mut keys = self.all_keys().keys;
        keys.retain(|key| key.made_by == made_by);
        let keys = Content::Keys(CtlKeys { keys });
        for slot in self.others(ctx) {
            self.seal_for_one(ctx, slot, Class::Text, &keys);
        }
    }

    /// Control keys that an entry tells. Whoever tells them, a key counts that its commit names; of a commit
    /// that names none, which is a founder's of an earlier version, the founder is believed.
    pub(super) fn keys_of(&mut self, ctx: &mut Ctx<'_>, (at, author): (EntryRef, Dev), keys: &CtlKeys) {
        let by_founder = self.founder() == Some(author);
        let mut told = Vec::new();
        for key in &keys.keys {
            match self.commit_of(key.made_by).map(|commit| commit.header.key) {
                Some(check) if check.is_some() || by_founder => told.push(key.clone()),
                Some(_) => {}
                None => self.wait_for_commit(at),
            }
        }
        if !told.is_empty() {
            self.learn_keys(ctx, &CtlKeys { keys: told });
        }
    }

    /// Keeps in mind an entry that tells the key of a commit that is not here; of each author a few.
    fn wait_for_commit(&mut self, at: EntryRef) {
        let of_author = self.keys_waiting.iter().filter(|waiting| waiting.slot == at.slot);
        if of_author.count() < limits::PARKED_PER_SLOT {
            self.keys_waiting.insert(at);
        }
    }

    /// Handle of the key that a commit made, if it is held.
    pub(crate) fn maker_of(&self, commit: &CommitInfo) -> Option<Handle> {
        commit.ops.iter().find_map(|op| self.makers.get(op)).copied()
    }

    fn commit_of(&self, op: OpId) -> Option<&CommitInfo> {
        self.commits.values().find(|commit| commit.ops.contains(&op))
    }

    /// Tells members keys that they do not list, each by one direct seal. Returns when it is to be done
    /// again.
    pub(super) fn hand_keys(&mut self, ctx: &mut Ctx<'_>) -> Option<Instant> {
        if self.me(ctx.dev()).is_none() || self.is_stale(ctx.dev()) {
            return None;
        }
        let mut all = self.all_keys().keys;
        all.retain(|key| self.may_tell(key.made_by));
        let mut handed = BTreeMap::new();
        for slot in self.others(ctx) {
            // before its first head it has what its Welcome told
            let Some(listed) = self.heads.get(&slot).map(|info| &info.head.kids) else {
                continue;
            };
            let unlisted = all.iter().filter(|key| !listed.contains(&key.kid));
            let keys: Vec<CtlKey> = unlisted.cloned().collect();
            let n = keys.len();
            if n == 0 {
                continue;
            }
            let before = self.keys_handed.get(&slot).copied();
            let mut to = before.filter(|before| before.n >= n).unwrap_or_else(|| {
                let wait = KEYS_MS << self.turn(ctx).min(KEYS_TURNS);
                let due = ctx.now.mono.plus_ms(wait);
                KeysHanded { n, times: 0, due }
            });
            to.n = n;
            if to.due <= ctx.now.mono {
                self.seal_for_one(ctx, slot, Class::Text, &Content::Keys(CtlKeys { keys }));
                to.due = ctx
                    .now
                    .mono
                    .plus_ms(KEYS_AGAIN_MS << to.times.min(KEYS_DOUBLINGS));
                to.times += 1;
            }
            handed.insert(slot, to);
        }
        self.keys_handed = handed;
        self.keys_handed.values().map(|to| to.due).min()
    }

    /// Whether members may be told the key that an op made: the commit is here, and all removals that it
    /// names count. Whom they name is no member.
    fn may_tell(&self, made_by: OpId) -> bool {
        let counts = |id: &OpId| self.membership.counts.contains(id);
        let by_commit = |commit: &CommitInfo| commit.header.removes.iter().all(counts);
        made_by == self.genesis_op || self.commit_of(made_by).is_some_and(by_commit)
    }

    /// Control keys of a direct seal. Returns whether the commits that made them are all here; what the
    /// others make is not kept.
    pub(crate) fn keys_told(&mut self, ctx: &mut Ctx<'_>, author: Dev, keys: CtlKeys) -> bool {
        let by_founder = self.founder() == Some(author);
        let all = keys.keys.len();
        let mut known = keys.keys;
        known.retain(|key| key.made_by == self.genesis_op || self.commit_of(key.made_by).is_some());
        let is_complete = known.len() == all;
        known.retain(|key| {
            let commit = self.commit_of(key.made_by);
            by_founder || commit.is_some_and(|commit| commit.header.key.is_some())
        });
        let before = self.makers.len();
        self.learn_keys(ctx, &CtlKeys { keys: known });
        if self.makers.len() > before {
            self.settle(ctx);
        }
        is_complete
    }

    /// Reads again the entries with control keys whose commits were not here. Returns whether any key is new.
    pub(super) fn retry_keys(&mut self, ctx: &mut Ctx<'_>) -> bool {
        if self.keys_waiting.is_empty() || self.commits.len() == self.keys_looked {
            return false;
        }
        self.keys_looked = self.commits.len();
        let before = self.makers.len();
        for at in std::mem::take(&mut self.keys_waiting) {
            let row = ctx.get(&crate::store::table::entry(self.id, at.slot, at.seq));
            let author = self.slots.get(&at.slot).map(|author| author.dev);
            if let (Ok(Some(row)), Some(author)) = (row, author)
                && let Ok((_, encoded)) = super::content::read_entry_row(&row)
            {
                self.apply_body(ctx, at, author, &encoded);
            }
        }
        self.makers.len() > before
    }

    /// Takes control keys that are told, each once.
    pub(super) fn learn_keys(&mut self, ctx: &mut Ctx<'_>, keys: &CtlKeys) {
        let before = self.makers.len();
        for key in &keys.keys {
            // the row of keys holds no more, and would not be read again
            let has_room = self.makers.len() < limits::CONTROL_KEYS;
            if self.makers.contains_key(&key.made_by) || !has_room || !self.may_be_made_by(key) {
                continue;
            }
            let handle = ControlKey::new(key.ck.clone()).handle();
            self.ring.insert(key.ck.clone());
            if self.ring.by_handle(handle).is_some() {
                self.makers.insert(key.made_by, handle);
            }
        }
        if self.makers.len() > before {
            self.save_keys(ctx);
            ctx.open_boxes();
        }
    }

    /// Whether a key may be the one that its commit makes: the commit is not here yet, or names it. Of
    /// those whose commits are not here a thread that has begun takes few: whoever makes up a Welcome may
    /// tell any.
    fn may_be_made_by(&self, key: &CtlKey) -> bool {
        if key.made_by == self.genesis_op {
            return true;
        }
        match self.commit_of(key.made_by).map(|commit| commit.header.key) {
            Some(Some(check)) => check == ControlKey::new(key.ck.clone()).check(),
            Some(None) => true,
            None => self.genesis.is_none() || self.unconfirmed_keys().count() < limits::SIDE_KEYS,
        }
    }

    /// Ops that are said to have made keys and are not here.
    fn unconfirmed_keys(&self) -> impl Iterator<Item = OpId> + '_ {
        let made = |op: &OpId| *op == self.genesis_op || self.commit_of(*op).is_some();
        self.makers.keys().copied().filter(move |op| !made(op))
    }

    /// A commit came: what was told before as its key must be the one that it names.
    pub(super) fn confirm_key(&mut self, op: OpId, commit: &Commit) {
        let told = self
            .makers
            .get(&op)
            .and_then(|handle| self.ring.by_handle(*handle));
        if let (Some(key), Some(check)) = (told, commit.key)
            && key.check() != check
        {
            self.makers.remove(&op);
        }
    }

    /// All control keys held, each with the commit or genesis that made it.
    pub(crate) fn all_keys(&self) -> CtlKeys {
        let keys = self.made_keys().into_iter().map(|(made_by, key)| CtlKey {
            kid: key.kid(),
            ck: key.secret().clone(),
            made_by,
        });
        CtlKeys { keys: keys.collect() }
    }
}
