//! L0 digest: the ECG in 94 bytes, for the thinnest link.
//!
//! Fixed layout, little endian, no padding. `0` or the value named is "unknown".
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | flags: bit 0 invented, bit 1 capture time known, bit 2 UTC offset known; others 0 |
//! | 2 | 8 | capture time, wall clock of the device, ms since 1970-01-01T00:00 (i64) |
//! | 10 | 2 | UTC offset, minutes (i16) |
//! | 12 | 4 | sampling rate, mHz (u32) |
//! | 16 | 4 | duration, ms (u32) |
//! | 20 | 2 | standard leads present; bit 0 = I ... bit 11 = V6 |
//! | 22 | 1 | number of other leads |
//! | 23 | 2 | flat (lead off), bits as at 20 |
//! | 25 | 2 | saturated, bits as at 20 |
//! | 27 | 2 | noisy, bits as at 20 |
//! | 29 | 2 | beats found (65535 = that many or more) |
//! | 31 | 2 | heart rate, 0.1 per minute; 0 = not measured |
//! | 33 | 2 | RR irregularity (RMSSD / mean RR), 0.1 %; 65535 = not measured |
//! | 35 | 6 | PR, QRS, QT, ms (3 x u16); 0 = not measured |
//! | 41 | 24 | ST at J + 60 ms, standard order, 10 uV (12 x i16); -32768 = not measured |
//! | 65 | 2 | leads that meet the ST elevation thresholds, bits as at 20 |
//! | 67 | 1 | age, years; 255 = unknown |
//! | 68 | 1 | sex: 0 unknown, 1 female, 2 male, 3 other |
//! | 69 | 1 | version of the measuring algorithm |
//! | 70 | 8 | first bytes of the hash over the original files |
//! | 78 | 16 | device, UTF-8, cut at a character, filled with 0 |
//!
//! Decoding is total and strict: one digest has one encoding, so what is decoded
//! encodes to the same bytes. The name of the patient is not part of a digest.

use crate::import::Imported;
use crate::measure::{self, Measurement};
use crate::record::{CivilTime, EcgRecord, LeadName, Sex};

/// Length of a digest, bytes.
pub const DIGEST_BYTES: usize = 94;
const VERSION: u8 = 1;
const DEVICE_BYTES: usize = 16;
const INVENTED: u8 = 1;
const TIME_KNOWN: u8 = 2;
const OFFSET_KNOWN: u8 = 4;
const TWELVE_BITS: u16 = 0x0fff;
const AGE_UNKNOWN: u8 = 255;
const AGE_MAX: u8 = 150;

/// The content of a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Generated, not recorded.
    pub invented: bool,
    /// Capture time by the device's clock.
    pub captured: Option<CivilTime>,
    /// Sampling rate, mHz.
    pub rate_mhz: u32,
    /// Duration, ms.
    pub duration_ms: u32,
    /// Standard leads present, bit 0 = I ... bit 11 = V6.
    pub leads: u16,
    /// Number of leads that are not standard.
    pub other_leads: u8,
    /// Flat leads, a subset of `leads`.
    pub flat: u16,
    /// Saturated leads, a subset of `leads`.
    pub saturated: u16,
    /// Noisy leads, a subset of `leads`.
    pub noisy: u16,
    /// Beats found.
    pub beats: u16,
    /// Heart rate, 0.1 per minute.
    pub heart_rate_dbpm: Option<u16>,
    /// RMSSD over mean RR, 0.1 %.
    pub rr_irregularity_permille: Option<u16>,
    /// PR, ms; 0 = not measured.
    pub pr_ms: u16,
    /// QRS, ms; 0 = not measured.
    pub qrs_ms: u16,
    /// QT, ms; 0 = not measured.
    pub qt_ms: u16,
    /// ST level at J + 60 ms, 10 uV, in the standard order.
    pub st_10uv: [Option<i16>; 12],
    /// Leads that meet the thresholds, a subset of `leads`.
    pub st_elevation: u16,
    /// Age, years, at most 150.
    pub age_years: Option<u8>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Version of the measuring algorithm.
    pub algorithm: u8,
    /// First bytes of [`Imported::originals_hash`].
    pub originals: [u8; 8],
    /// Device, at most 16 bytes, no control characters, not blank at its ends.
    pub device: Option<String>,
}

/// Why bytes are not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Wrong length.
    #[error("a digest has {DIGEST_BYTES} bytes, not {0}")]
    Length(usize),
    /// A version this program does not know.
    #[error("digest version {0} is not known")]
    Version(u8),
    /// A field holds what no encoder writes.
    #[error("digest field at byte {0} is not valid")]
    Field(usize),
}

impl Digest {
    /// The digest of an imported record.
    #[must_use]
    pub fn of(imported: &Imported) -> Self {
        let mut originals = [0; 8];
        originals.copy_from_slice(&imported.originals_hash[..8]);
        Self::new(&imported.record, &measure::measure(&imported.record), originals)
    }

    /// The digest of a record and its measurement.
    #[must_use]
    pub fn new(record: &EcgRecord, measured: &Measurement, originals: [u8; 8]) -> Self {
        let index = |name: &LeadName| name.standard_index();
        let standard = record
            .leads()
            .iter()
            .filter(|lead| index(&lead.name).is_some())
            .count();
        let mask = |pick: &dyn Fn(&measure::Quality) -> bool| {
            let leads = record.leads().iter().zip(&measured.quality);
            let bits = leads
                .filter(|(_, quality)| pick(quality))
                .filter_map(|(lead, _)| index(&lead.name));
            bits.fold(0_u16, |mask, bit| mask | 1 << bit)
        };
        let elevated = (0..12).filter(|bit| measured.st_elevation[*bit]);
        Self {
            invented: record.about.invented,
            captured: record.about.captured,
            rate_mhz: to_u32(record.rate_hz().to_f64() * 1000.0),
            duration_ms: to_u32(record.duration_s() * 1000.0),
            leads: mask(&|_| true),
            other_leads: (record.leads().len() - standard) as u8,
            flat: mask(&|quality| quality.flat),
            saturated: mask(&|quality| quality.saturated),
            noisy: mask(&|quality| quality.noisy),
            beats: measured.r_peaks.len().min(usize::from(u16::MAX)) as u16,
            heart_rate_dbpm: measured.heart_rate_bpm.map(|bpm| to_u16(bpm * 10.0).max(1)),
            rr_irregularity_permille: measured
                .rr_irregularity
                .map(|part| to_u16(part * 1000.0).min(u16::MAX - 1)),
            pr_ms: measured.pr_ms,
            qrs_ms: measured.qrs_ms,
            qt_ms: measured.qt_ms,
            st_10uv: measured.st_uv.map(|uv| uv.map(|uv| to_i16(uv / 10.0))),
            st_elevation: elevated.fold(0, |mask, bit| mask | 1 << bit),
            age_years: record.about.patient.age_years.filter(|years| *years <= AGE_MAX),
            sex: record.about.patient.sex,
            algorithm: measure::ALGORITHM_VERSION,
            originals,
            device: record.about.device.as_deref().and_then(cut_device),
        }
    }

    /// The sentence about ST elevation, the same as on the sending side.
    #[must_use]
    pub fn st_text(&self) -> String {
        measure::st_text(&std::array::from_fn(|bit| self.st_elevation & 1 << bit != 0))
    }
}

/// To the nearest whole number within the type (`as` saturates).
fn to_u32(value: f64) -> u32 {
    (value + 0.5) as u32
}

fn to_u16(value: f64) -> u16 {
    (value + 0.5) as u16
}

/// To the nearest whole number, halves away from 0, never the value for "not measured".
fn to_i16(value: f64) -> i16 {
    let rounded = if value < 0.0 {
        (value - 0.5) as i16
    } else {
        (value + 0.5) as i16
    };
    rounded.max(i16::MIN + 1)
}

fn cut_device(text: &str) -> Option<String> {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    let clean = clean.trim();
    let end = (0..=clean.len().min(DEVICE_BYTES))
        .rev()
        .find(|end| clean.is_char_boundary(*end))?;
    let cut = clean[..end].trim();
    (!cut.is_empty()).then(|| cut.to_owned())
}

/// Encodes a digest. A field beyond its range (see [`Digest`]) is brought into it.
#[must_use]
pub fn encode(digest: &Digest) -> [u8; DIGEST_BYTES] {
    let offset = digest.captured.and_then(|time| time.utc_offset_min());
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let flags = flag(digest.invented, INVENTED)
        | flag(digest.captured.is_some(), TIME_KNOWN)
        | flag(offset.is_some(), OFFSET_KNOWN);
    let leads = digest.leads & TWELVE_BITS;
    let mut out = Vec::with_capacity(DIGEST_BYTES);
    out.extend([VERSION, flags]);
    out.extend(digest.captured.map_or(0, |time| time.wall_ms()).to_le_bytes());
    out.extend(offset.unwrap_or(0).to_le_bytes());
    out.extend(digest.rate_mhz.to_le_bytes());
    out.extend(digest.duration_ms.to_le_bytes());
    out.extend(leads.to_le_bytes());
    out.push(digest.other_leads);
    for mask in [digest.flat, digest.saturated, digest.noisy] {
        out.extend((mask & leads).to_le_bytes());
    }
    out.extend(digest.beats.to_le_bytes());
    out.extend(digest.heart_rate_dbpm.unwrap_or(0).to_le_bytes());
    out.extend(digest.rr_irregularity_permille.unwrap_or(u16::MAX).to_le_bytes());
    for ms in [digest.pr_ms, digest.qrs_ms, digest.qt_ms] {
        out.extend(ms.to_le_bytes());
    }
    for level in digest.st_10uv {
        out.extend(level.unwrap_or(i16::MIN).to_le_bytes());
    }
    out.extend((digest.st_elevation & leads).to_le_bytes());
    out.push(digest.age_years.map_or(AGE_UNKNOWN, |years| years.min(AGE_MAX)));
    out.push(match digest.sex {
        None => 0,
        Some(Sex::Female) => 1,
        Some(Sex::Male) => 2,
        Some(Sex::Other) => 3,
    });
    out.push(digest.algorithm);
    out.extend(digest.originals);
    let device = digest.device.as_deref().and_then(cut_device).unwrap_or_default();
    out.extend(device.bytes().chain(std::iter::repeat(0)).take(DEVICE_BYTES));
    out.try_into().expect("the fields add up to the length")
}

/// Decodes a digest.
///
/// # Errors
/// Bytes that [`encode`] cannot have written.
pub fn decode(bytes: &[u8]) -> Result<Digest, DigestError> {
    let bytes: &[u8; DIGEST_BYTES] = bytes.try_into().map_err(|_| DigestError::Length(bytes.len()))?;
    if bytes[0] != VERSION {
        return Err(DigestError::Version(bytes[0]));
    }
    let leads = u16_at(bytes, 20);
    let mask = |at: usize, of: u16| {
        let mask = u16_at(bytes, at);
        if mask & !of == 0 {
            Ok(mask)
        } else {
            Err(DigestError::Field(at))
        }
    };
    let heart_rate = u16_at(bytes, 31);
    let irregularity = u16_at(bytes, 33);
    let level = |lead: usize| Some(u16_at(bytes, 41 + 2 * lead) as i16).filter(|level| *level != i16::MIN);
    Ok(Digest {
        invented: bytes[1] & INVENTED != 0,
        captured: captured(bytes)?,
        rate_mhz: u32_at(bytes, 12),
        duration_ms: u32_at(bytes, 16),
        leads: mask(20, TWELVE_BITS)?,
        other_leads: bytes[22],
        flat: mask(23, leads)?,
        saturated: mask(25, leads)?,
        noisy: mask(27, leads)?,
        beats: u16_at(bytes, 29),
        heart_rate_dbpm: (heart_rate != 0).then_some(heart_rate),
        rr_irregularity_permille: (irregularity != u16::MAX).then_some(irregularity),
        pr_ms: u16_at(bytes, 35),
        qrs_ms: u16_at(bytes, 37),
        qt_ms: u16_at(bytes, 39),
        st_10uv: std::array::from_fn(level),
        st_elevation: mask(65, leads)?,
        age_years: match bytes[67] {
            AGE_UNKNOWN => None,
            years if years <= AGE_MAX => Some(years),
            _ => return Err(DigestError::Field(67)),
        },
        sex: match bytes[68] {
            0 => None,
            1 => Some(Sex::Female),
            2 => Some(Sex::Male),
            3 => Some(Sex::Other),
            _ => return Err(DigestError::Field(68)),
        },
        algorithm: bytes[69],
        originals: std::array::from_fn(|index| bytes[70 + index]),
        device: device(bytes)?,
    })
}

fn captured(bytes: &[u8; DIGEST_BYTES]) -> Result<Option<CivilTime>, DigestError> {
    let flags = bytes[1];
    if flags & !(INVENTED | TIME_KNOWN | OFFSET_KNOWN) != 0 {
        return Err(DigestError::Field(1));
    }
    let low = u64::from(u32_at(bytes, 2));
    let wall_ms = (low | u64::from(u32_at(bytes, 6)) << 32) as i64;
    let offset = u16_at(bytes, 10) as i16;
    let (time_known, offset_known) = (flags & TIME_KNOWN != 0, flags & OFFSET_KNOWN != 0);
    if (!time_known && (wall_ms != 0 || offset_known)) || (!offset_known && offset != 0) {
        return Err(DigestError::Field(2));
    }
    if !time_known {
        return Ok(None);
    }
    let time = CivilTime::from_wall_ms(wall_ms, offset_known.then_some(offset));
    time.map(Some).ok_or(DigestError::Field(2))
}

fn device(bytes: &[u8; DIGEST_BYTES]) -> Result<Option<String>, DigestError> {
    let field = &bytes[78..];
    let end = field
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let text = std::str::from_utf8(&field[..end]).map_err(|_| DigestError::Field(78))?;
    let device = cut_device(text);
    if device.as_deref().unwrap_or("") != text {
        return Err(DigestError::Field(78));
    }
    Ok(device)
}

fn u16_at(bytes: &[u8; DIGEST_BYTES], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8; DIGEST_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests;
