//! A disk that counts: writes that became durable, writes that failed, when the last one was and how long
//! it took. It changes nothing of what is read or written.

use crate::metrics::StoreCounts;
use aidmesh_core::store::{Batch, Read, ReadError, Visit};
use aidmesh_host::store::{Disk, Stats, StoreError};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was counted, over all openings of a store.
#[derive(Debug, Default)]
pub(crate) struct StoreWatch(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    commits: u64,
    errors: u64,
    last: Option<(Instant, Duration)>,
}

impl StoreWatch {
    /// Now.
    pub(crate) fn counts(&self) -> StoreCounts {
        let counted = self.lock();
        StoreCounts {
            commits: counted.commits,
            errors: counted.errors,
            last_commit_age_s: counted.last.map(|(at, _)| at.elapsed().as_secs_f64()),
            last_commit_took_s: counted.last.map(|(_, took)| took.as_secs_f64()),
        }
    }

    /// The disk, counted.
    pub(crate) fn over(self: &Arc<StoreWatch>, disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
        let watch = self.clone();
        Arc::new(Watched { disk, watch })
    }

    fn note(&self, began: Instant, done: bool) {
        let mut counted = self.lock();
        match done {
            true => {
                counted.commits += 1;
                counted.last = Some((Instant::now(), began.elapsed()));
            }
            false => counted.errors += 1,
        }
    }

    /// A panic elsewhere leaves the counts whole: each is changed in one step.
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watched {
    disk: Arc<dyn Disk>,
    watch: Arc<StoreWatch>,
}

impl Disk for Watched {
    fn apply(&self, batches: &[&Batch]) -> Result<(), StoreError> {
        let began = Instant::now();
        let done = self.disk.apply(batches);
        self.watch.note(began, done.is_ok());
        done
    }

    fn stats(&self) -> Stats {
        self.disk.stats()
    }
}

impl Read for Watched {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        self.disk.get(key)
    }

    fn scan(&self, prefix: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        self.disk.scan(prefix, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidmesh_host::store::{Faults, Faulty, InMemory};

    #[test]
    fn it_counts_what_became_durable_and_what_failed() {
        let watch = Arc::new(StoreWatch::default());
        let faults = Faults {
            full_at_apply: Some(2),
            ..Faults::default()
        };
        let disk = watch.over(Arc::new(Faulty::new(Arc::new(InMemory::new()), faults)));
        assert_eq!(watch.counts(), StoreCounts::default());
        let mut batch = Batch::new();
        batch.put(b"key".to_vec(), b"value".to_vec());
        let mut outcomes = vec![];
        for _ in 0..4 {
            outcomes.push(disk.apply(&[&batch]).is_ok());
        }
        let durable = outcomes.iter().filter(|done| **done).count() as u64;
        let counts = watch.counts();
        assert!(durable > 0 && durable < 4, "{outcomes:?}");
        assert_eq!((counts.commits, counts.errors), (durable, 4 - durable));
        assert!(counts.last_commit_age_s.is_some_and(|age_s| age_s < 60.0));
        assert!(counts.last_commit_took_s.is_some());
        assert_eq!(disk.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
        let mut rows = 0;
        let mut visit = |_: &[u8], _: &[u8]| {
            rows += 1;
            std::ops::ControlFlow::Continue(())
        };
        disk.scan(b"k", &mut visit).unwrap();
        assert_eq!(rows, 1);
    }
}
