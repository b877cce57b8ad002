//! ECG records for Aidmesh.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod dicom;
mod import;
pub mod limits;
pub mod record;
mod wfdb;

pub use import::*;
pub use record::*;
