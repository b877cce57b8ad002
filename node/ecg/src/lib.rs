//! ECG records for Aidmesh.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod dicom;
pub mod digest;
pub mod draw;
pub mod generate;
mod import;
pub mod limits;
mod measure;
pub mod record;
mod wfdb;
pub mod wording;

pub use import::*;
pub use measure::*;
pub use record::*;
