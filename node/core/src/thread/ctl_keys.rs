//! Control keys of a thread: made by commits that name a removal, told in entries and Welcomes, and believed
//! only if the commit that made them names them.

use super::{CommitInfo, Thread};
use crate::clinical::{Body, CtlKey, CtlKeys};
use crate::crypto::Secret;
use crate::entry::Kind;
use crate::envelope::Class;
use crate::group::control::Commit;
use crate::group::keys::ControlKey;
use crate::id::{Dev, Handle, NodeId, OpId};
use crate::limits;
use crate::machine::command::{CommandError, EntryRef};
use crate::machine::ctx::Ctx;

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

    fn commit_of(&self, op: OpId) -> Option<&CommitInfo> {
        self.commits.values().find(|commit| commit.op == op)
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
    pub(super) fn all_keys(&self) -> CtlKeys {
        let keys = self.made_keys().into_iter().map(|(made_by, key)| CtlKey {
            kid: key.kid(),
            ck: key.secret().clone(),
            made_by,
        });
        CtlKeys { keys: keys.collect() }
    }
}
