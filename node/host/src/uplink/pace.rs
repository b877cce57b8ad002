//! When to try again, and when a connection is not trusted any more. Pure: time comes in as an argument.
//!
//! * While an alarm or a clinical item waits (classes 0 and 1) and there is no connection, or one from which
//!   no answer comes, a new attempt starts every [`URGENT`] beside those under way; while anything waits
//!   every [`ANY`]; with nothing waiting after [`Pace::failed`]'s doubling pause of 1 to 30 s with jitter.
//! * A relay that refused is asked again after [`REFUSED`] only. A link that the other end closed on purpose
//!   soon after it came up makes the next attempt wait too, however urgent: two devices with one key would
//!   otherwise drive each other out without end.
//! * Silence is not the absence of bytes but of *answers*: something that the peer must acknowledge went out
//!   and nothing came in for the longer of 1 s and three round trips ([`Liveness`]). A quiet link is asked
//!   with a probe before it is judged.

use std::time::{Duration, Instant};

/// Between attempts while class 0 or 1 waits.
pub(crate) const URGENT: Duration = Duration::from_millis(500);
/// Between attempts while anything waits.
pub(crate) const ANY: Duration = Duration::from_secs(5);
/// After a refusal.
pub(crate) const REFUSED: Duration = Duration::from_secs(60);
/// A link that ends on purpose before this was no success.
const QUICK: Duration = Duration::from_secs(5);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// The connection that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Present {
    /// There is none.
    No,
    /// No answer comes.
    Silent,
    /// As far as is known it works.
    Works,
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    last_start: Option<Instant>,
    /// After failures, with nothing waiting.
    rest_until: Option<Instant>,
    /// Whatever waits.
    held_until: Option<Instant>,
    failures: u32,
    quick_ends: u32,
}

impl Pace {
    /// When the next attempt is due; `None`: as things are, never.
    pub(crate) fn next(
        &self,
        now: Instant,
        waiting: &[u32; 5],
        present: Present,
        under_way: usize,
    ) -> Option<Instant> {
        if present == Present::Works {
            return None;
        }
        let after = |pause: Duration| self.last_start.map_or(now, |start| start + pause);
        let rest = (under_way == 0).then(|| self.rest_until.unwrap_or(now));
        let due = if waiting[0] > 0 || waiting[1] > 0 {
            after(URGENT)
        } else if waiting.iter().any(|n| *n > 0) {
            rest.map_or(after(ANY), |rest| rest.min(after(ANY)))
        } else {
            rest?
        };
        Some(self.held_until.map_or(due, |held| held.max(due)))
    }

    /// An attempt starts, or would start if there were room for it.
    pub(crate) fn started(&mut self, now: Instant) {
        self.last_start = Some(now);
    }

    /// An attempt failed, or a link broke. `jitter` below 256.
    pub(crate) fn failed(&mut self, now: Instant, jitter: u8) {
        let pause = doubled(Duration::from_secs(1), self.failures);
        self.failures = self.failures.saturating_add(1);
        let part = pause / 2 + pause.mul_f64(f64::from(jitter) / 512.0);
        self.rest_until = Some(now + part);
    }

    /// The relay refused to serve this device.
    pub(crate) fn refused(&mut self, now: Instant) {
        self.held_until = Some(now + REFUSED);
    }

    /// A link is up.
    pub(crate) fn up(&mut self) {
        self.failures = 0;
        self.rest_until = None;
        self.held_until = None;
    }

    /// A link ended after `lived`; `on_purpose`: one end closed it.
    pub(crate) fn ended(&mut self, now: Instant, lived: Duration, on_purpose: bool) {
        if !on_purpose || lived >= QUICK {
            self.quick_ends = 0;
            return;
        }
        // the first time it may be two attempts that crossed
        let pause = match self.quick_ends {
            0 => Duration::from_millis(100),
            n => doubled(Duration::from_secs(1), n - 1),
        };
        self.quick_ends = self.quick_ends.saturating_add(1);
        self.held_until = Some(now + pause);
    }

    /// Something changed that may make a difference: forgets all pauses.
    pub(crate) fn reset(&mut self) {
        *self = Pace::default();
    }
}

fn doubled(pause: Duration, times: u32) -> Duration {
    pause.saturating_mul(1 << times.min(16)).min(BACKOFF_MAX)
}

/// What a connection's counters say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Datagrams that came in.
    pub(crate) received: u64,
    /// Frames that went out and must be acknowledged.
    pub(crate) asked: u64,
}

impl Counted {
    pub(crate) fn of(connection: &quinn::Connection) -> Counted {
        let stats = connection.stats();
        let sent = stats.frame_tx;
        Counted {
            received: stats.udp_rx.datagrams,
            asked: sent.stream + sent.ping + sent.datagram + sent.crypto + sent.path_challenge,
        }
    }
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liveness {
    last: Counted,
    heard: Instant,
    probed: Instant,
    unanswered_since: Option<Instant>,
}

impl Liveness {
    pub(crate) fn new(now: Instant, counted: Counted) -> Liveness {
        Liveness {
            last: counted,
            heard: now,
            probed: now,
            unanswered_since: None,
        }
    }

    /// The counters now.
    pub(crate) fn observe(&mut self, now: Instant, counted: Counted) {
        if counted.received != self.last.received {
            self.heard = now;
            self.unanswered_since = None;
        } else if counted.asked != self.last.asked {
            self.unanswered_since.get_or_insert(now);
        }
        self.last = counted;
    }

    /// Since when the peer owes an answer, if that is too long.
    pub(crate) fn silent_since(&self, now: Instant, rtt: Duration) -> Option<Instant> {
        let patience = (rtt * 3).max(Duration::from_secs(1));
        self.unanswered_since.filter(|since| now - *since >= patience)
    }

    /// Whether to ask now: nothing came for a while, and it was not asked just now.
    pub(crate) fn probe(&mut self, now: Instant, rtt: Duration) -> bool {
        let pause = rtt.max(Duration::from_millis(500));
        let due = now - self.heard >= pause && now - self.probed >= pause;
        if due {
            self.probed = now;
        }
        due
    }
}

#[cfg(test)]
mod tests;
