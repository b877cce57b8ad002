//! Lies of a member that has lawful keys and follows no rules, for simulators and tests. No product names
//! [`Lie`], as a tidy test sees to.

use super::{Machine, with_thread};
use crate::id::{Dev, NodeId, ThreadId};
use crate::machine::command::CommandError;
use crate::store::Read;
use crate::time::Now;

/// What the member does.
#[derive(Clone, Debug)]
pub enum Lie {
    /// Says that a member is removed, and commits that so many times: the commits with the lowest ids of
    /// so many that it makes up.
    Grind {
        /// Where.
        thread: ThreadId,
        /// Whom it removes.
        whom: Dev,
        /// Commits made up.
        tries: u32,
        /// Commits that it publishes.
        publish: usize,
    },
    /// Is of a mind with nobody: the keys of the newest node are gone, as if the author of its commit had
    /// made them of no use to this member.
    Lose {
        /// Where.
        thread: ThreadId,
    },
}

impl Machine {
    /// Does it. Returns the nodes that it made up, by id.
    ///
    /// # Errors
    /// As [`Machine::command`]: it is no member there, or does not hold what it needs.
    pub fn lie(&mut self, store: &dyn Read, now: Now, lie: &Lie) -> Result<Vec<NodeId>, CommandError> {
        self.now = now;
        let (Lie::Grind { thread, .. } | Lie::Lose { thread }) = lie;
        let made = with_thread!(self, store, *thread, |thread, ctx| {
            let made = match lie {
                Lie::Grind {
                    whom, tries, publish, ..
                } => thread.grind(ctx, *whom, (*tries, *publish)),
                Lie::Lose { .. } => thread.lose_newest(ctx),
            };
            thread.settle(ctx);
            made
        });
        self.finish(store);
        made.unwrap_or(Err(CommandError::UnknownThread))
    }
}
