//! The relay of Aidmesh.
//! (draft)

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admission;
pub mod args;
pub mod card;
#[cfg(test)]
mod cast;
pub mod certificate;
pub mod key_file;
pub mod settings;
pub mod trouble;
