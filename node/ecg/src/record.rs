//! The record: what was measured, on the device's own grid.
//!
//! Samples are the integers of the file, one row per lead; nothing is rescaled,
//! filtered or resampled on import. [`Scale`] maps a sample to microvolts by
//! exact fractions, so the file's own physical values can be had back and a
//! later archive copy is provable. Leads of the standard 12 come first in their
//! usual order; `file_channel` remembers where each one stood in the file.
//!
//! Invariants, held by [`EcgRecord::new`]: 1..=16 leads, all of one length in
//! 1..=2^20 samples, no lead name twice, a rate within the limits. A record is
//! never edited in place.

mod lead;
mod ratio;
mod time;

pub use lead::{LeadName, STANDARD_12};
pub use ratio::Ratio;
pub use time::CivilTime;

use crate::limits;

/// One ECG recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcgRecord {
    rate_hz: Ratio,
    leads: Vec<Lead>,
    /// What the file says about patient, device and circumstances.
    pub about: About,
}

/// One lead: a row of the sample matrix and what its numbers mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// Normalised name.
    pub name: LeadName,
    /// Samples as stored in the file (digital values).
    pub samples: Vec<i32>,
    /// Exact map from a sample to microvolts.
    pub scale: Scale,
    /// The value that means "no measurement here", where the format has one.
    pub gap: Option<i32>,
    /// Index of this lead among the channels of the file, from 0.
    pub file_channel: u16,
}

/// Exact map: `uV = (sample - zero) * lsb_uv + offset_uv`.
///
/// WFDB: `zero` is the baseline, `lsb_uv` is 1000 / gain (for mV), no offset.
/// DICOM (PS3.3 C.10.9.1.4): `lsb_uv` is sensitivity times correction factor,
/// `offset_uv` is the channel baseline, `zero` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Sample value of 0 uV before the offset.
    pub zero: i32,
    /// Microvolts per unit, never 0.
    pub lsb_uv: Ratio,
    /// Microvolts added after scaling.
    pub offset_uv: Ratio,
}

/// What a file says beside the samples. Everything is optional: files leave
/// things out, and a guess about a patient would be worse than a blank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// When the recording began, by the device's clock.
    pub captured: Option<CivilTime>,
    /// Maker and model.
    pub device: Option<String>,
    /// Free text of the device or of the file's author, line by line. It is
    /// quoted with its source and never mixed with our own words.
    pub device_text: Vec<String>,
    /// Filter settings, as text.
    pub filter: Option<String>,
    /// The patient, for the wrong-patient guard.
    pub patient: Patient,
    /// True for a record that was invented by [`crate::generate`].
    pub invented: bool,
}

/// Who the file says was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patient {
    /// Name as in the file.
    pub name: Option<String>,
    /// Identifier as in the file.
    pub id: Option<String>,
    /// Age in whole years.
    pub age_years: Option<u8>,
    /// Sex as in the file.
    pub sex: Option<Sex>,
}

/// Sex as recorded; the V2-V3 thresholds depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
    /// The file says neither.
    Other,
}

/// Why leads do not make a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No lead, or more than the limit.
    #[error("{0} leads; 1 to {max} are possible", max = limits::LEADS_MAX)]
    LeadCount(usize),
    /// No sample, or more than the limit.
    #[error("{0} samples per lead; 1 to {max} are possible", max = limits::SAMPLES_MAX)]
    SampleCount(usize),
    /// Leads of different lengths.
    #[error("lead {lead} has {samples} samples, the first lead has {expected}")]
    Ragged {
        /// The odd one.
        lead: String,
        /// Its length.
        samples: usize,
        /// Length of the first lead.
        expected: usize,
    },
    /// The same lead twice.
    #[error("lead {0} occurs twice")]
    LeadTwice(String),
    /// Rate outside the limits.
    #[error("sampling rate {0} Hz is outside {min} to {max} Hz",
        min = limits::RATE_MIN_HZ, max = limits::RATE_MAX_HZ)]
    Rate(String),
    /// Zero microvolts per unit: the lead would be a line whatever was recorded.
    #[error("lead {0} has no usable scale")]
    Scale(String),
}

impl EcgRecord {
    /// Builds a record; sorts the leads into the standard order.
    ///
    /// # Errors
    /// One [`RecordError`] for each broken invariant of this module.
    pub fn new(rate_hz: Ratio, mut leads: Vec<Lead>, about: About) -> Result<Self, RecordError> {
        if leads.is_empty() || leads.len() > limits::LEADS_MAX {
            return Err(RecordError::LeadCount(leads.len()));
        }
        let hz = rate_hz.to_f64();
        if !(limits::RATE_MIN_HZ..=limits::RATE_MAX_HZ).contains(&hz) {
            return Err(RecordError::Rate(hz.to_string()));
        }
        let expected = leads[0].samples.len();
        if expected == 0 || expected > limits::SAMPLES_MAX {
            return Err(RecordError::SampleCount(expected));
        }
        for (index, lead) in leads.iter().enumerate() {
            if lead.samples.len() != expected {
                let (lead, samples) = (lead.name.to_string(), lead.samples.len());
                return Err(RecordError::Ragged {
                    lead,
                    samples,
                    expected,
                });
            }
            if leads[..index].iter().any(|other| other.name == lead.name) {
                return Err(RecordError::LeadTwice(lead.name.to_string()));
            }
            if lead.scale.lsb_uv.is_zero() {
                return Err(RecordError::Scale(lead.name.to_string()));
            }
        }
        leads.sort_by_key(|lead| {
            (
                lead.name.standard_index().unwrap_or(usize::MAX),
                lead.file_channel,
            )
        });
        Ok(Self {
            rate_hz,
            leads,
            about,
        })
    }

    /// Samples per second, exactly as in the file.
    #[must_use]
    pub fn rate_hz(&self) -> Ratio {
        self.rate_hz
    }

    /// The leads, standard ones first.
    #[must_use]
    pub fn leads(&self) -> &[Lead] {
        &self.leads
    }

    /// The lead of this name.
    #[must_use]
    pub fn lead(&self, name: &LeadName) -> Option<&Lead> {
        self.leads.iter().find(|lead| lead.name == *name)
    }

    /// Samples in each lead.
    #[must_use]
    pub fn samples_per_lead(&self) -> usize {
        self.leads[0].samples.len()
    }

    /// Length in seconds.
    #[must_use]
    pub fn duration_s(&self) -> f64 {
        self.samples_per_lead() as f64 / self.rate_hz.to_f64()
    }

    /// BLAKE3 over rate, lead names, scales and samples: equal for two files
    /// that hold the same recording under other names or in another order.
    #[must_use]
    pub fn content_hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("aidmesh.ecg.record.v1");
        hash_ratio(&mut hasher, self.rate_hz);
        hasher.update(&(self.leads.len() as u32).to_le_bytes());
        for lead in &self.leads {
            let name = lead.name.to_string();
            hasher
                .update(&(name.len() as u32).to_le_bytes())
                .update(name.as_bytes());
            hasher.update(&lead.scale.zero.to_le_bytes());
            hash_ratio(&mut hasher, lead.scale.lsb_uv);
            hash_ratio(&mut hasher, lead.scale.offset_uv);
            hasher.update(&(lead.samples.len() as u64).to_le_bytes());
            let mut bytes = Vec::with_capacity(lead.samples.len() * 4);
            for sample in &lead.samples {
                bytes.extend_from_slice(&sample.to_le_bytes());
            }
            hasher.update(&bytes);
        }
        *hasher.finalize().as_bytes()
    }
}

fn hash_ratio(hasher: &mut blake3::Hasher, ratio: Ratio) {
    hasher
        .update(&ratio.num().to_le_bytes())
        .update(&ratio.den().to_le_bytes());
}

impl Lead {
    /// The lead in microvolts. A gap stays at the value before it (0 at the
    /// start), so that it cannot look like a spike.
    #[must_use]
    pub fn microvolts(&self) -> Vec<f64> {
        let mut last = 0.0;
        let mut out = Vec::with_capacity(self.samples.len());
        for &sample in &self.samples {
            if self.gap != Some(sample) {
                last = self.scale.microvolts(sample);
            }
            out.push(last);
        }
        out
    }
}

impl Scale {
    /// A scale without zero shift and offset.
    #[must_use]
    pub fn plain(lsb_uv: Ratio) -> Self {
        Self {
            zero: 0,
            lsb_uv,
            offset_uv: Ratio::ZERO,
        }
    }

    /// One sample in microvolts, rounded once per operation as `f64`.
    #[must_use]
    pub fn microvolts(&self, sample: i32) -> f64 {
        let units = i64::from(sample) - i64::from(self.zero);
        units as f64 * self.lsb_uv.num() as f64 / self.lsb_uv.den() as f64 + self.offset_uv.to_f64()
    }
}

#[cfg(test)]
mod tests;
