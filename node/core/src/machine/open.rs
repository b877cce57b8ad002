//! What a machine is opened with.

use crate::crypto::{KeyPair, Secret};
use bytes::Bytes;

/// What this machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A device of a person or team: holds keys, writes and reads threads, carries for others.
    Member,
    /// A hospital relay: keeps sealed items, signs receipts, holds no key.
    Relay,
    /// A passing vehicle: carries sealed items, holds no key.
    Carrier,
}

/// Settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What it is for.
    pub part: Part,
    /// Bytes kept for others at most.
    pub carry_bytes: u64,
    /// How often this store was opened, this time included, counted by the host *outside* the store,
    /// from 1. The host counts an opening once its first batch is durable. A store that is behind was
    /// restored or rebuilt, and must not write in its old places (PROTOCOL N4).
    pub generation: u64,
}

/// Keys of this device.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Routing key: transport, bursts, receipts.
    pub routing: KeyPair,
    /// Routing certificate, encoded.
    pub routing_cert: Bytes,
    /// Keys of a member; `None` for relays and carriers.
    pub member: Option<MemberKeys>,
}

/// Keys that a member has beside its routing key.
#[derive(Clone, Debug)]
pub struct MemberKeys {
    /// Device key: leaf, ops, heads.
    pub device: KeyPair,
    /// Seal key (X25519), for direct seals on thin links.
    pub seal: Secret,
    /// Inbox key.
    pub inbox: KeyPair,
    /// Device certificate, encoded.
    pub cert: Bytes,
}

/// Planted bugs for the simulator's own test: each switches off one protection, where it stands. All false
/// in every product: [`super::Machine::open`] takes none, and a tidy test allows the name in `scenarios`,
/// `tests` and here only. What each breaks: `docs/reference/simulator.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Flaws {
    pub announce_before_commit: bool,
    pub no_overlay_of_batches_in_flight: bool,
    pub no_send_gate: bool,
    pub seq_reused_after_rebuild: bool,
    pub receipt_believed_unsigned: bool,
    pub parked_counted_as_delivered: bool,
    pub late_joiner_not_rewrapped: bool,
    pub slot_by_order_of_arrival: bool,
    pub sealed_too_early: bool,
    pub ttl_by_wall_clock: bool,
    // members and keys
    pub lowest_id_before_majority: bool,
    pub removed_author_followed: bool,
    pub remove_loses_to_concurrent_add: bool,
    pub void_removals_honoured: bool,
    pub others_do_not_commit: bool,
    pub control_key_not_rotated: bool,
    pub control_key_told_on_the_parent: bool,
    pub history_handed_to_joiners: bool,
    pub node_deleted_too_early: bool,
    pub nodes_never_deleted: bool,
    // what is stored, and words
    pub items_leave_in_flight: bool,
    pub batches_in_flight_unbounded: bool,
    pub forgotten_life_gets_words: bool,
    pub earlier_life_left_behind: bool,
    pub layer_told_early: bool,
    pub chunks_told_unheld: bool,
    pub seen_credited_to_another: bool,
    pub clock_of_others_followed: bool,
    // links and relays
    pub burst_unsigned: bool,
    pub ack_unsigned: bool,
    pub purge_by_one: bool,
    pub relay_loss_ignored: bool,
    pub no_periodic_repair: bool,
    pub not_offered_again: bool,
    pub greeted_once: bool,
    pub rewrap_timer_kept: bool,
    pub classes_ignored: bool,
    pub units_longer_than_the_link_takes: bool,
}

/// Why a machine cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] crate::store::ReadError),
    /// A row does not follow its layout.
    #[error("the store is damaged: {0}")]
    Damaged(&'static str),
    /// The store was written by a newer version.
    #[error("the store has schema {0}, this program knows up to {1}")]
    TooNew(u32, u32),
    /// A member needs member keys, a carrier must have none; certificates must fit the keys.
    #[error("identity: {0}")]
    Identity(&'static str),
}
