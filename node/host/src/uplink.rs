//! Skeleton.
pub mod tls;
