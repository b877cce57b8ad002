//! The thread that writes: batches in the order in which they left the machine, as many at once as wait,
//! durable before any of them is confirmed.

use crate::openings::Openings;
use crate::store::Disk;
use aidmesh_core::store::Batch;
use std::sync::Arc;
use std::sync::mpsc;

/// Word of the writer about a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It and all before it are durable.
    Durable(u64),
    /// It is not written, and nothing after it will be.
    Failed(u64),
}

/// Batches of one life of the machine. Dropping it ends the thread once all is written.
pub(super) struct Writer {
    batches: Option<mpsc::Sender<(u64, Batch)>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `generation` counts as an opening once the first batch is durable.
    pub(super) fn start(
        disk: Arc<dyn Disk>,
        openings: Arc<Openings>,
        generation: u64,
        told: tokio::sync::mpsc::UnboundedSender<Written>,
    ) -> std::io::Result<Writer> {
        let (batches, waiting) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || write(&*disk, &openings, generation, &waiting, &told))?;
        Ok(Writer {
            batches: Some(batches),
            thread: Some(thread),
        })
    }

    /// Hands over a batch. The machine has at most `limits::COMMITS_IN_FLIGHT` out.
    pub(super) fn submit(&self, ticket: u64, batch: Batch) {
        if let Some(batches) = &self.batches {
            // a writer that failed has said so; what comes after it is not written
            let _ = batches.send((ticket, batch));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(
    disk: &dyn Disk,
    openings: &Openings,
    generation: u64,
    waiting: &mpsc::Receiver<(u64, Batch)>,
    told: &tokio::sync::mpsc::UnboundedSender<Written>,
) {
    let mut counted = false;
    while let Ok(first) = waiting.recv() {
        let group: Vec<(u64, Batch)> = std::iter::once(first).chain(waiting.try_iter()).collect();
        let batches: Vec<&Batch> = group.iter().map(|(_, batch)| batch).collect();
        let done = disk.apply(&batches).map_err(|why| why.to_string());
        let done = done.and_then(|()| match counted {
            true => Ok(()),
            // the machine may speak of this life only once it is counted
            false => openings.confirm(generation).map_err(|why| why.to_string()),
        });
        counted = true;
        if let Err(why) = done {
            tracing::warn!(why, "a batch was not written");
            let _ = told.send(Written::Failed(group[0].0));
            return;
        }
        for (ticket, _) in group {
            let _ = told.send(Written::Durable(ticket));
        }
    }
}
