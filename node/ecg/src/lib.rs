//! ECG records for Aidmesh: read, measure, summarise, draw, invent.
//!
//! An ECG arrives as files. [`import`] turns the files of one original into an
//! [`EcgRecord`]: integer samples exactly as the device wrote them, an exact map
//! to microvolts, and the hash of the original files. Everything else starts from
//! that record and never changes it:
//!
//! - [`measure()`] finds beats, intervals and ST levels and says, in the words of
//!   [`wording`], whether ST elevation thresholds are met;
//! - [`digest`] packs the result into 94 bytes for the thinnest link;
//! - [`draw`] makes the 12-lead page as SVG or PNG;
//! - [`dicom::write`] makes a DICOM file that any archive reads;
//! - [`generate`] invents ECGs for drills and tests, marked as invented.
//!
//! Contract. No IO, no clock, no threads, no global state: bytes in, values out.
//! Every input is hostile until parsed; all limits stand in [`limits`] and hold
//! before memory is taken. Whatever is hashed or sent is computed with
//! `+ - * / sqrt` and `libm` only, so that two devices never disagree. No output
//! reassures: there is no word for a healthy ECG in this crate.
//!
//! ```
//! use aidmesh_ecg::generate::{Rhythm, generate};
//! use aidmesh_ecg::{NamedFile, dicom, digest, import};
//!
//! let bytes = dicom::write(&generate(Rhythm::InferiorStemi, 10, 1, 500, 10))?;
//! let imported = import(&[NamedFile { name: "drill.dcm", bytes: &bytes }])?;
//! let digest = digest::encode(&digest::Digest::of(&imported));
//! let text = digest::decode(&digest)?.st_text();
//! assert_eq!(text, "meets ST-elevation thresholds in II, III, aVF; suspected, not a diagnosis");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod dicom;
pub mod digest;
pub mod draw;
pub mod generate;
mod import;
pub mod limits;
mod measure;
mod record;
mod wfdb;
pub mod wording;

pub use import::{
    Format, ImportError, Imported, NamedFile, Original, Warning, companions, import, originals_hash,
};
pub use measure::{ALGORITHM, ALGORITHM_VERSION, Measurement, Quality, measure};
pub use record::{
    About, CivilTime, EcgRecord, Lead, LeadName, Patient, Ratio, RecordError, STANDARD_12, Scale, Sex,
};
