//! DICOM 12-lead and General ECG: reading, and writing of records.
//!
//! Source: PS3.3 A.34.3-A.34.4 (the objects), C.10.9 (waveform module), PS3.16
//! CID 3001 (lead codes). `dicom-object` parses the data set after
//! `guard` has checked its structure; the waveform itself is decoded here.
//!
//! A file may hold several multiplex groups: the rhythm recording and derived
//! ones such as a median beat. Only the rhythm recording becomes the record;
//! derived groups stay in the original and are mentioned in a warning. Read are
//! 16-bit signed samples in explicit or implicit little endian. Leads are told
//! by code (SCPECG, MDC) and, without a known code, by the code's meaning.

mod guard;
mod write;

pub use write::{WriteError, write};

use dicom_core::Tag;
use dicom_core::value::PrimitiveValue;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::import::{ImportError, NamedFile, Parsed, Warning, check_count, cut, cut_to_some};
use crate::limits;
use crate::record::{About, CivilTime, EcgRecord, Lead, LeadName, Patient, Ratio, STANDARD_12, Scale, Sex};

/// Transfer syntaxes that are read.
mod syntax {
    pub(super) const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
    pub(super) const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
}

/// True for a file with a preamble and the `DICM` mark.
pub(crate) fn looks_like(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM")
}

/// Reads the file `files[index]`.
pub(crate) fn read(files: &[NamedFile<'_>], index: usize) -> Result<Parsed, ImportError> {
    let bytes = files[index].bytes;
    guard::check(bytes)?;
    let file = dicom_object::from_reader(bytes);
    let file = file.map_err(|_| ImportError::DicomStructure("the data set cannot be read"))?;
    let groups = items(&file, tags::WAVEFORM_SEQUENCE);
    let group = rhythm(groups).ok_or(ImportError::DicomWaveform("there is no waveform in this file"))?;
    let mut warnings = Vec::new();
    if groups.len() > 1 {
        warnings.push(Warning::GroupsLeft(groups.len() - 1));
    }
    let rows = rows(group)?;
    let channels = items(group, tags::CHANNEL_DEFINITION_SEQUENCE);
    if channels.len() != rows.len() {
        return Err(ImportError::DicomWaveform(
            "the channel definitions do not match the channel count",
        ));
    }
    let gap = padding(group);
    let mut leads = Vec::with_capacity(rows.len());
    for (channel, samples) in channels.iter().zip(rows) {
        let file_channel = leads.len() as u16;
        let name = lead_name(channel, leads.len(), &mut warnings);
        leads.push(Lead {
            name,
            samples,
            scale: scale(channel)?,
            gap,
            file_channel,
        });
    }
    let rate = decimal(group, tags::SAMPLING_FREQUENCY);
    let rate_hz = rate.ok_or(ImportError::DicomWaveform("no sampling frequency"))?;
    let about = about(&file, channels, &mut warnings);
    let record = EcgRecord::new(rate_hz, leads, about)?;
    Ok(Parsed {
        record,
        used: vec![index],
        warnings,
    })
}

/// The group labelled as rhythm, else the first original one, else the first.
fn rhythm(groups: &[InMemDicomObject]) -> Option<&InMemDicomObject> {
    let has = |group: &&InMemDicomObject, tag, word: &str| {
        text(group, tag).is_some_and(|text| text.to_ascii_uppercase().contains(word))
    };
    let original = |group: &&InMemDicomObject| has(group, tags::WAVEFORM_ORIGINALITY, "ORIGINAL");
    let labelled = |group: &&InMemDicomObject| has(group, tags::MULTIPLEX_GROUP_LABEL, "RHYTHM");
    let labelled_original = groups.iter().find(|group| original(group) && labelled(group));
    labelled_original
        .or_else(|| groups.iter().find(original))
        .or_else(|| groups.first())
}

/// The interleaved samples, one row per channel.
fn rows(group: &InMemDicomObject) -> Result<Vec<Vec<i32>>, ImportError> {
    let number = |tag| {
        group
            .get(tag)
            .and_then(|element| element.to_int::<u32>().ok())
            .map(|n| n as usize)
    };
    let channels = number(tags::NUMBER_OF_WAVEFORM_CHANNELS);
    let channels = channels.ok_or(ImportError::DicomWaveform("no channel count"))?;
    let samples = number(tags::NUMBER_OF_WAVEFORM_SAMPLES);
    let samples = samples.ok_or(ImportError::DicomWaveform("no sample count"))?;
    check_count("leads", channels, limits::LEADS_MAX)?;
    check_count("samples per lead", samples, limits::SAMPLES_MAX)?;
    if channels == 0 || samples == 0 {
        return Err(ImportError::DicomWaveform("no channels or no samples"));
    }
    let signed = text(group, tags::WAVEFORM_SAMPLE_INTERPRETATION).is_some_and(|text| text == "SS");
    if number(tags::WAVEFORM_BITS_ALLOCATED) != Some(16) || !signed {
        return Err(ImportError::Unsupported(
            "dicom samples that are not 16-bit signed",
        ));
    }
    let stream = words(group, tags::WAVEFORM_DATA).ok_or(ImportError::DicomWaveform("no samples"))?;
    if stream.len() != channels * samples {
        return Err(ImportError::DicomWaveform(
            "the number of samples is not what the file says",
        ));
    }
    let row = |channel: usize| {
        stream
            .iter()
            .skip(channel)
            .step_by(channels)
            .map(|&s| i32::from(s))
            .collect()
    };
    Ok((0..channels).map(row).collect())
}

/// A value of 16-bit words; as bytes (VR OB) they are little endian.
fn words(object: &InMemDicomObject, tag: Tag) -> Option<Vec<i16>> {
    match object.get(tag)?.value().primitive()? {
        PrimitiveValue::U16(words) => Some(words.iter().map(|&word| word as i16).collect()),
        PrimitiveValue::I16(words) => Some(words.to_vec()),
        PrimitiveValue::U8(bytes) if bytes.len() % 2 == 0 => Some(
            bytes
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                .collect(),
        ),
        _ => None,
    }
}

fn padding(group: &InMemDicomObject) -> Option<i32> {
    words(group, tags::WAVEFORM_PADDING_VALUE)?
        .first()
        .map(|&word| i32::from(word))
}

/// Sensitivity times correction factor, and the baseline, in microvolts
/// (PS3.3 C.10.9.1.4: physical = sample * sensitivity * correction + baseline).
fn scale(channel: &InMemDicomObject) -> Result<Scale, ImportError> {
    let fault = ImportError::DicomWaveform;
    let sensitivity =
        decimal(channel, tags::CHANNEL_SENSITIVITY).ok_or(fault("a channel without calibration"))?;
    let units = items(channel, tags::CHANNEL_SENSITIVITY_UNITS_SEQUENCE).first();
    let units = units
        .and_then(|item| text(item, tags::CODE_VALUE))
        .unwrap_or_default();
    let unit_uv = match units.as_str() {
        "uV" => Some(Ratio::ONE),
        "mV" => Some(Ratio::whole(1000)),
        "V" => Some(Ratio::whole(1_000_000)),
        "nV" => Ratio::new(1, 1000),
        _ => return Err(ImportError::Unsupported("a dicom channel that is not in volts")),
    };
    let optional = |tag, missing| match text(channel, tag) {
        None => Ok(missing),
        Some(_) => decimal(channel, tag).ok_or(fault("a calibration value is not a number")),
    };
    let correction = optional(tags::CHANNEL_SENSITIVITY_CORRECTION_FACTOR, Ratio::ONE)?;
    let baseline = optional(tags::CHANNEL_BASELINE, Ratio::ZERO)?;
    let in_uv = |value: Ratio| unit_uv.and_then(|unit| value.times(unit));
    let lsb_uv = sensitivity
        .times(correction)
        .and_then(in_uv)
        .ok_or(fault("calibration has too many digits"))?;
    let offset_uv = in_uv(baseline).ok_or(fault("baseline has too many digits"))?;
    Ok(Scale {
        zero: 0,
        lsb_uv,
        offset_uv,
    })
}

/// The lead by code; by words where the code is unknown.
fn lead_name(channel: &InMemDicomObject, index: usize, warnings: &mut Vec<Warning>) -> LeadName {
    let source = items(channel, tags::CHANNEL_SOURCE_SEQUENCE).first();
    let part = |tag| source.and_then(|item| text(item, tag));
    let words = part(tags::CODE_MEANING).or_else(|| text(channel, tags::CHANNEL_LABEL));
    let words = words.map(|words| LeadName::parse(&words));
    let scheme = part(tags::CODING_SCHEME_DESIGNATOR).unwrap_or_default();
    let Some(code) = part(tags::CODE_VALUE).and_then(|code| lead_of_code(&scheme, &code)) else {
        return words.unwrap_or_else(|| LeadName::Other(format!("channel {index}")));
    };
    if let Some(words) = words
        && words.standard_index().is_some()
        && words != code
    {
        warnings.push(Warning::LeadNameDiffers {
            code: code.to_string(),
            words: words.to_string(),
        });
    }
    code
}

/// CID 3001: SCPECG `5.6.3-9-N` and MDC `2:N`, with the same N.
fn lead_of_code(scheme: &str, code: &str) -> Option<LeadName> {
    let number = match scheme {
        "SCPECG" => code.strip_prefix("5.6.3-9-")?,
        "MDC" => code.strip_prefix("2:")?,
        _ => return None,
    };
    let index = LEAD_CODES.iter().position(|known| *known == number)?;
    Some(STANDARD_12[index].clone())
}

/// The N of each standard lead.
const LEAD_CODES: [&str; 12] = ["1", "2", "61", "62", "63", "64", "3", "4", "5", "6", "7", "8"];

fn about(file: &InMemDicomObject, channels: &[InMemDicomObject], warnings: &mut Vec<Warning>) -> About {
    let when = text(file, tags::ACQUISITION_DATE_TIME).or_else(|| {
        let date = text(file, tags::ACQUISITION_DATE).or_else(|| text(file, tags::CONTENT_DATE))?;
        Some(date + &text(file, tags::ACQUISITION_TIME).or_else(|| text(file, tags::CONTENT_TIME))?)
    });
    let captured = when.as_deref().and_then(date_time);
    if when.is_some() && captured.is_none() {
        warnings.push(Warning::CaptureTime);
    }
    let device =
        [tags::MANUFACTURER, tags::MANUFACTURER_MODEL_NAME].map(|tag| text(file, tag).unwrap_or_default());
    let patient = Patient {
        name: text(file, tags::PATIENT_NAME),
        id: text(file, tags::PATIENT_ID),
        age_years: text(file, tags::PATIENT_AGE).and_then(|text| age_years(&text)),
        sex: text(file, tags::PATIENT_SEX).and_then(|text| match text.as_str() {
            "M" => Some(Sex::Male),
            "F" => Some(Sex::Female),
            "O" => Some(Sex::Other),
            _ => None,
        }),
    };
    About {
        captured,
        device: cut_to_some(&device.join(" ")),
        device_text: annotations(file, warnings),
        filter: channels.first().and_then(filter),
        patient,
        invented: text(file, tags::MANUFACTURER).as_deref() == Some(write::INVENTED_MANUFACTURER),
    }
}

fn annotations(file: &InMemDicomObject, warnings: &mut Vec<Warning>) -> Vec<String> {
    let notes = items(file, tags::WAVEFORM_ANNOTATION_SEQUENCE).iter();
    let mut lines: Vec<String> = notes
        .filter_map(|note| text(note, tags::UNFORMATTED_TEXT_VALUE))
        .collect();
    if lines.len() > limits::TEXT_LINES_MAX {
        lines.truncate(limits::TEXT_LINES_MAX);
        warnings.push(Warning::TextCut);
    }
    lines
}

/// `0.05-150 Hz, notch 50 Hz` from the filter fields of a channel.
fn filter(channel: &InMemDicomObject) -> Option<String> {
    let hz = |tag| {
        decimal(channel, tag)
            .filter(|hz| !hz.is_zero())
            .and_then(|hz| hz.to_decimal(12))
    };
    let low = hz(tags::FILTER_LOW_FREQUENCY);
    let high = hz(tags::FILTER_HIGH_FREQUENCY);
    let band = match (low, high) {
        (Some(low), Some(high)) => format!("{low}-{high} Hz"),
        (Some(low), None) => format!("from {low} Hz"),
        (None, Some(high)) => format!("to {high} Hz"),
        (None, None) => String::new(),
    };
    let notch = hz(tags::NOTCH_FILTER_FREQUENCY).map(|hz| format!("notch {hz} Hz"));
    let parts: Vec<String> = [Some(band), notch]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `042Y`, and months, weeks and days as whole years (PS3.5 6.2, AS).
fn age_years(text: &str) -> Option<u8> {
    let number: u16 = text.get(..3)?.parse().ok()?;
    let years = match text.get(3..)? {
        "Y" => number,
        "M" => number / 12,
        "W" => number / 52,
        "D" => number / 365,
        _ => return None,
    };
    u8::try_from(years).ok()
}

/// `YYYYMMDDHHMMSS[.FFFFFF][+ZZXX]`; minutes and seconds may be missing (PS3.5 6.2, DT).
fn date_time(text: &str) -> Option<CivilTime> {
    let (text, offset) = match text.find(['+', '-']) {
        Some(at) => (text.get(..at)?, Some(text.get(at..)?)),
        None => (text, None),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !whole.is_ascii() || !whole.bytes().all(|byte| byte.is_ascii_digit()) || whole.len() < 10 {
        return None;
    }
    let part = |from: usize| {
        whole
            .get(from..from + 2)
            .map_or(Some(0_u32), |two| two.parse().ok())
    };
    let (hour, minute, second) = (part(8)?, part(10)?, part(12)?);
    if minute > 59 || second > 59 || whole.len() > 14 || whole.len() % 2 != 0 {
        return None;
    }
    let padded = format!("{fraction:0<3}");
    let ms: u32 = padded.get(..3)?.parse().ok()?;
    let offset = match offset {
        Some(offset) => Some(utc_offset_min(offset)?),
        None => None,
    };
    let date = (whole.get(..4)?.parse().ok()?, part(4)? as u8, part(6)? as u8);
    CivilTime::new(date, ((hour * 60 + minute) * 60 + second) * 1000 + ms, offset)
}

fn utc_offset_min(text: &str) -> Option<i16> {
    let digits = text
        .get(1..5)
        .filter(|digits| text.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit()))?;
    let minutes = digits.get(..2)?.parse::<i16>().ok()? * 60 + digits.get(2..)?.parse::<i16>().ok()?;
    Some(if text.starts_with('-') { -minutes } else { minutes })
}

fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.get(tag).and_then(|element| element.items()).unwrap_or(&[])
}

/// A text value, cut and trimmed; `None` if empty or absent.
fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let value = object.get(tag)?.value().primitive()?;
    cut_to_some(&cut(&value.to_str()))
}

fn decimal(object: &InMemDicomObject, tag: Tag) -> Option<Ratio> {
    Ratio::parse_decimal(&text(object, tag)?)
}

#[cfg(test)]
mod tests;
