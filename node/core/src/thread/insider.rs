//! What a member that follows no rules does to a thread, with the keys that it has. The simulator asks for it
//! ([`Lie`](crate::machine::insider::Lie)); nothing here runs in a product.

use super::Thread;
use crate::envelope::Class;
use crate::group::control::{Act, Commit, MadeBy, Object, Why};
use crate::id::{Dev, NodeId, OpId};
use crate::machine::command::CommandError;
use crate::machine::ctx::Ctx;
use std::collections::BTreeMap;

impl Thread {
    /// Says that a member is removed, and commits it `publish` times on the node where this device
    /// stands: those with the lowest ids of `tries` commits made up. Their bytes are junk, so that they
    /// cost nothing.
    pub(crate) fn grind(
        &mut self,
        ctx: &mut Ctx<'_>,
        whom: Dev,
        (tries, publish): (u32, usize),
    ) -> Result<Vec<NodeId>, CommandError> {
        let (slot, _) = self.me(ctx.dev()).ok_or(CommandError::Forbidden)?;
        let inc = self.membership.members.get(&whom).map(|member| member.inc);
        let inc = inc.ok_or(CommandError::UnknownDevice)?;
        let (parent, why) = (self.vote, Why::Unsaid);
        let as_of = parent;
        let dev = whom;
        let removal = self.put_op(ctx, Act::Remove { dev, inc, why, as_of })?;
        let mut ground = BTreeMap::new();
        for _ in 0..tries {
            let commit = made_up(parent, slot, removal, ctx.rng.array());
            ground.insert(commit.node(JUNK), commit);
            if ground.len() > publish {
                ground.pop_last();
            }
        }
        let handle = self
            .path_key(parent)
            .ok_or(CommandError::Group("no control key".into()))?;
        let nodes = ground.keys().copied().collect();
        for commit in ground.into_values() {
            self.put_control(ctx, slot, handle, Class::Text, Object::Commit(commit))?;
        }
        Ok(nodes)
    }
}

impl Thread {
    /// Throws the keys of the newest node away. Returns it.
    pub(crate) fn lose_newest(&mut self, ctx: &mut Ctx<'_>) -> Result<Vec<NodeId>, CommandError> {
        let node = self.head;
        let state = self.nodes.remove(&node).ok_or(CommandError::NoChange)?;
        state.erase(self.id, node, &mut ctx.tx.batch);
        self.refused.insert(node);
        Ok(vec![node])
    }
}

const JUNK: &[u8] = b"not MLS";

fn made_up(parent: NodeId, author: crate::id::Slot, removal: OpId, key: [u8; 32]) -> Commit {
    Commit {
        parent,
        author,
        made_by: MadeBy::Member,
        adds: vec![],
        removes: vec![removal],
        key: Some(key),
        // one literal segment
        body: [&[JUNK.len() as u8][..], JUNK].concat().into(),
    }
}
