//! How fast one routing key may fill a carrier: buckets, by the generic cell rate algorithm (ITU-T
//! I.371, virtual scheduling), so that a bucket is one moment and needs no refill.
//!
//! Buckets live in memory only and run on monotonic time. Their number is bounded: those that are
//! full again are forgotten first. Charging is all or nothing. It does not know what is held.

use crate::envelope::Class;
use crate::id::{Handle, Key8};
use crate::limits;
use crate::time::Instant;
use std::collections::BTreeMap;

/// `burst` units at once and `burst` units in each period.
#[derive(Clone, Copy)]
struct Rate {
    burst: u64,
    period_us: u64,
}

const HOUR_US: u64 = 3_600_000_000;
const URGENT: Rate = Rate {
    burst: limits::BUCKET_URGENT_ITEMS_PER_MIN as u64,
    period_us: 60_000_000,
};
const CLINICAL: Rate = Rate {
    burst: limits::BUCKET_CLINICAL_BYTES_PER_H,
    period_us: HOUR_US,
};
const ALL: Rate = Rate {
    burst: limits::BUCKET_BYTES_PER_H,
    period_us: HOUR_US,
};
const INBOX: Rate = Rate {
    burst: limits::INBOX_BYTES_PER_H,
    period_us: HOUR_US,
};

/// The moment at which the bucket is full again.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket(Instant);

impl Bucket {
    /// The bucket after taking `cost`, or in how many milliseconds that will be possible.
    fn take(self, now: Instant, rate: Rate, cost: u64) -> Result<Bucket, u64> {
        let price_us = cost.saturating_mul(rate.period_us).div_ceil(rate.burst);
        let full = Instant(self.0.max(now).0.saturating_add(price_us));
        let latest = Instant(now.0.saturating_add(rate.period_us));
        if full <= latest {
            Ok(Bucket(full))
        } else {
            Err((full.0 - latest.0).div_ceil(1000))
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Origin {
    urgent: Bucket,
    clinical: Bucket,
    all: Bucket,
    inboxes: BTreeMap<Handle, Bucket>,
}

/// The buckets of all routing keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Quota {
    origins: BTreeMap<Key8, Origin>,
}

impl Quota {
    /// Charges an item of `bytes` to `from`, and to its account of `inbox` if it goes to one.
    /// Otherwise says in how many milliseconds to try again, and charges nothing.
    pub(super) fn charge(
        &mut self,
        now: Instant,
        from: Key8,
        inbox: Option<Handle>,
        class: Class,
        bytes: u64,
    ) -> Result<(), u64> {
        if !self.origins.contains_key(&from) && self.origins.len() >= limits::CARRIED_BUCKETS {
            self.origins
                .retain(|_, o| o.all.0.max(o.clinical.0).max(o.urgent.0) > now);
            if self.origins.len() >= limits::CARRIED_BUCKETS {
                return Err(60_000);
            }
        }
        let origin = self.origins.entry(from).or_default();
        let (mut all, mut clinical, mut urgent) = (origin.all, origin.clinical, origin.urgent);
        all = all.take(now, ALL, bytes)?;
        if class <= Class::Text {
            clinical = clinical.take(now, CLINICAL, bytes)?;
        }
        if class <= Class::Clinical {
            urgent = urgent.take(now, URGENT, 1)?;
        }
        if let Some(handle) = inbox {
            origin.charge_inbox(now, handle, bytes)?;
        }
        (origin.all, origin.clinical, origin.urgent) = (all, clinical, urgent);
        Ok(())
    }
}

impl Origin {
    fn charge_inbox(&mut self, now: Instant, handle: Handle, bytes: u64) -> Result<(), u64> {
        if !self.inboxes.contains_key(&handle) && self.inboxes.len() >= limits::INBOXES_PER_ORIGIN {
            self.inboxes.retain(|_, b| b.0 > now);
            if self.inboxes.len() >= limits::INBOXES_PER_ORIGIN {
                return Err(60_000);
            }
        }
        let bucket = self.inboxes.entry(handle).or_default();
        *bucket = bucket.take(now, INBOX, bytes)?;
        Ok(())
    }
}
