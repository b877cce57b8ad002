//! The numbered log of what was told, kept in memory and bounded: who comes late reads from where it
//! stopped, as far as it is still remembered.

use crate::clock;
use aidmesh_core::machine::event::Event;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Events that are remembered.
const REMEMBERED: usize = 4096;

/// An event as it left the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Ascending from 1 within one run of the node.
    pub number: u64,
    /// Milliseconds since 1970, by this device's clock.
    pub at_ms: u64,
    /// What happened.
    pub event: Event,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    told: Mutex<VecDeque<Told>>,
    newest: watch::Sender<Newest>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    number: u64,
    /// The node has stopped: nothing follows.
    ended: bool,
}

impl Log {
    pub(super) fn push(&self, event: Event) {
        let number = self.newest() + 1;
        let at_ms = clock::wall().0;
        let mut told = self.lock();
        if told.len() >= REMEMBERED {
            told.pop_front();
        }
        told.push_back(Told { number, at_ms, event });
        drop(told);
        self.newest.send_modify(|newest| newest.number = number);
    }

    /// Nothing more will be told.
    pub(super) fn end(&self) {
        self.newest.send_modify(|newest| newest.ended = true);
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest.borrow().number
    }

    pub(super) fn follow(self: &Arc<Log>, after: u64) -> Feed {
        Feed {
            log: self.clone(),
            after,
            news: self.newest.subscribe(),
        }
    }

    fn next_after(&self, after: u64) -> Option<Told> {
        let told = self.lock();
        let first = told.front()?.number;
        let at = usize::try_from((after + 1).saturating_sub(first)).ok()?;
        told.get(at).cloned()
    }

    /// A panic elsewhere leaves the queue whole: it is changed in one step.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads events in order. A number that is skipped was forgotten before it was read.
#[derive(Debug)]
pub struct Feed {
    log: Arc<Log>,
    after: u64,
    news: watch::Receiver<Newest>,
}

impl Feed {
    /// The next event; waits for it. `None` once the node has stopped and all was read.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            let ended = self.news.borrow_and_update().ended;
            if let Some(told) = self.log.next_after(self.after) {
                self.after = told.number;
                return Some(told);
            }
            if ended {
                return None;
            }
            self.news.changed().await.ok()?;
        }
    }
}
