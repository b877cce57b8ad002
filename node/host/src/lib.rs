//! Skeleton.

pub mod link;
pub mod uplink;
