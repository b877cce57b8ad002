//! Skeleton.

pub mod org;
