//! Skeleton.

pub mod device;
pub mod org;
