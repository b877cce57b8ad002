//! What a scenario's report says beside its verdict: counts from the reference model, bytes on all wires,
//! virtual times since contact, and what the run cost the computer.
//!
//! The last of these is the only thing here that differs between two runs of one seed; nothing of it goes
//! into the hash of the trace.

use super::ground::Ground;
use super::play::Play;
use crate::truth::tally::{Tally, tally};
use crate::world::SECOND;
use serde::Serialize;
use std::fmt;
use std::time::Instant;

/// Virtual time between two HAVEs of a thread in a quiet session, seconds: one round of sync.
pub(super) const ROUND_S: u64 = 15;

/// The numbers of a run, with the names of its JSON.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Figures {
    #[serde(flatten)]
    pub tally: Tally,
    /// Virtual seconds from the last `raise` to one head and one roster, if a step waited for it.
    pub one_head_s: Option<f64>,
    /// The same in rounds of sync, begun ones counted.
    pub one_head_rounds: Option<u64>,
    /// Virtual seconds from the last `raise` until nothing was missing.
    pub all_there_s: Option<f64>,
    /// Bytes handed to lines, in all and since the last `raise`.
    pub wire_bytes: u64,
    pub wire_bytes_since_contact: u64,
    /// Commits that an insider made up, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ground: Option<Ground>,
    /// The computer's time, seconds; processor time where the system tells it (Linux).
    pub elapsed_s: f64,
    pub cpu_s: Option<f64>,
    pub cpu_s_since_contact: Option<f64>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            members,
            heads,
            rosters,
            messages,
            lost,
            open_at_all,
            read_after_removal,
            refounds,
        } = self.tally;
        write!(
            f,
            "{members} members, {heads} head(s), {rosters} roster(s); {messages} messages, {lost} lost, "
        )?;
        write!(f, "{open_at_all} open at all members, ")?;
        write!(f, "{read_after_removal} read after removal, {refounds} refounds")?;
        if let (Some(s), Some(rounds)) = (self.one_head_s, self.one_head_rounds) {
            write!(f, "; one head {s:.1} s after contact (round {rounds})")?;
        }
        if let Some(s) = self.all_there_s {
            write!(f, "; all there {s:.1} s after contact")?;
        }
        write!(f, "; {} kB on the wire", self.wire_bytes / 1000)?;
        if self.all_there_s.is_some() {
            write!(f, ", {} kB since contact", self.wire_bytes_since_contact / 1000)?;
        }
        if let Some(ground) = &self.ground {
            let (tried, published) = (ground.tried, ground.published);
            write!(f, "; {tried} commits ground, {published} published, ")?;
            let (known, kept, followed) = (ground.known_max, ground.kept_max, ground.followed);
            write!(
                f,
                "at most {known} known to another, {kept} kept, {followed} followed"
            )?;
        }
        write!(f, "; {:.1} s elapsed", self.elapsed_s)?;
        if let Some(cpu) = self.cpu_s {
            write!(f, ", {cpu:.1} s of processor time")?;
        }
        Ok(())
    }
}

/// Marks of a run's costs: at its start and at the last contact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    begun: Instant,
    cpu_s: Option<f64>,
    contact_cpu_s: Option<f64>,
    contact_bytes: u64,
    contact_us: Option<u64>,
}

impl Costs {
    pub(super) fn begin() -> Costs {
        let cpu_s = cpu_s();
        Costs {
            begun: Instant::now(),
            cpu_s,
            contact_cpu_s: None,
            contact_bytes: 0,
            contact_us: None,
        }
    }
}

impl Play<'_> {
    /// Cables were raised: from here the times of healing count.
    pub(super) fn contact(&mut self) {
        if self.costs.contact_us != Some(self.world.now_us) {
            self.costs.contact_us = Some(self.world.now_us);
            self.costs.contact_bytes = self.world.wire_bytes;
            self.costs.contact_cpu_s = cpu_s();
        }
    }

    /// Virtual seconds since the last contact.
    pub(super) fn since_contact_s(&self) -> Option<f64> {
        let us = self.world.now_us - self.costs.contact_us?;
        Some(us as f64 / SECOND as f64)
    }

    /// The figures of the run so far.
    pub(super) fn count_up(&self) -> Figures {
        let now = cpu_s();
        let since = |then: Option<f64>| Some(round2(now? - then?));
        Figures {
            tally: tally(&self.world.truth, &self.world),
            one_head_s: self.one_head_s,
            one_head_rounds: self.one_head_s.map(|s| (s / ROUND_S as f64).ceil() as u64),
            all_there_s: self.all_there_s,
            ground: self.ground(),
            wire_bytes: self.world.wire_bytes,
            wire_bytes_since_contact: self.world.wire_bytes - self.costs.contact_bytes,
            elapsed_s: round2(self.costs.begun.elapsed().as_secs_f64()),
            cpu_s: since(self.costs.cpu_s),
            cpu_s_since_contact: since(self.costs.contact_cpu_s),
        }
    }
}

fn round2(s: f64) -> f64 {
    (s * 100.0).round() / 100.0
}

/// Processor time of this thread: the first number of `schedstat` (Linux, proc(5)), nanoseconds.
fn cpu_s() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let ns: u64 = text.split(' ').next()?.parse().ok()?;
    Some(ns as f64 / 1e9)
}
