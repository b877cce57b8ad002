//! Writing a record as a DICOM file.
//!
//! Explicit VR little endian with preamble and meta group. Exactly the twelve
//! standard leads in at most 16 384 samples are written as 12-lead ECG
//! (PS3.3 A.34.3.4 limits), anything else as General ECG. One multiplex group
//! `RHYTHM`, 16-bit signed. The scale of every lead must be a decimal that fits
//! a DS value (16 characters): a scale that would have to be rounded is refused,
//! so that reading the file gives the same record. Output depends on nothing but
//! the record; the UIDs come from its hash (PS3.5 B.2, root 2.25).

use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::{LEAD_CODES, syntax};
use crate::record::{CivilTime, EcgRecord, Lead, Ratio, Sex};

/// Manufacturer of every generated record; the reader marks the record by it.
pub(super) const INVENTED_MANUFACTURER: &str = "Aidmesh (invented ECG)";
/// Most samples per lead of a 12-lead ECG object (PS3.3 A.34.3.4.3).
const TWELVE_LEAD_SAMPLES_MAX: usize = 16_384;
/// Longest DS value (PS3.5 6.2).
const DS_CHARS_MAX: usize = 16;

/// Why a record cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A sample needs more than 16 bits.
    #[error("lead {0} has samples beyond 16 bits")]
    SampleRange(String),
    /// A number that DICOM could only hold rounded.
    #[error("{0} is not a decimal of at most 16 characters")]
    NotDecimal(&'static str),
    /// The leads have different gap values; DICOM has one for all.
    #[error("leads with different gap values")]
    Gaps,
    /// The DICOM library refused.
    #[error("the data set cannot be written")]
    Encode,
}

/// Writes `record` as a DICOM Part 10 file.
///
/// # Errors
/// See [`WriteError`]; generated records always fit.
pub fn write(record: &EcgRecord) -> Result<Vec<u8>, WriteError> {
    let twelve = record.leads().len() == 12
        && record
            .leads()
            .iter()
            .all(|lead| lead.name.standard_index().is_some())
        && record.samples_per_lead() <= TWELVE_LEAD_SAMPLES_MAX;
    let class = if twelve {
        uids::TWELVE_LEAD_ECG_WAVEFORM_STORAGE
    } else {
        uids::GENERAL_ECG_WAVEFORM_STORAGE
    };
    let mut object = InMemDicomObject::new_empty();
    put(&mut object, tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
    put(&mut object, tags::SOP_CLASS_UID, VR::UI, class);
    put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, &uid(record, 1));
    put(&mut object, tags::STUDY_INSTANCE_UID, VR::UI, &uid(record, 2));
    put(&mut object, tags::SERIES_INSTANCE_UID, VR::UI, &uid(record, 3));
    put(&mut object, tags::MODALITY, VR::CS, "ECG");
    put(&mut object, tags::INSTANCE_NUMBER, VR::IS, "1");
    put(&mut object, tags::SERIES_NUMBER, VR::IS, "1");
    for (tag, vr) in [
        (tags::ACCESSION_NUMBER, VR::SH),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
        (tags::STUDY_ID, VR::SH),
        (tags::PATIENT_BIRTH_DATE, VR::DA),
    ] {
        put(&mut object, tag, vr, "");
    }
    put_about(&mut object, record);
    put_sequence(&mut object, tags::ACQUISITION_CONTEXT_SEQUENCE, Vec::new());
    put_sequence(&mut object, tags::WAVEFORM_SEQUENCE, vec![waveform(record)?]);
    let meta = FileMetaTableBuilder::new().transfer_syntax(syntax::EXPLICIT_LE);
    let file = object.with_meta(meta).map_err(|_| WriteError::Encode)?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|_| WriteError::Encode)?;
    Ok(bytes)
}

fn put_about(object: &mut InMemDicomObject, record: &EcgRecord) {
    let about = &record.about;
    let maker = if about.invented {
        INVENTED_MANUFACTURER
    } else {
        about.device.as_deref().unwrap_or("")
    };
    put(object, tags::MANUFACTURER, VR::LO, &lo(maker));
    let patient = &about.patient;
    put(
        object,
        tags::PATIENT_NAME,
        VR::PN,
        &lo(patient.name.as_deref().unwrap_or("")),
    );
    put(
        object,
        tags::PATIENT_ID,
        VR::LO,
        &lo(patient.id.as_deref().unwrap_or("")),
    );
    let sex = match patient.sex {
        Some(Sex::Female) => "F",
        Some(Sex::Male) => "M",
        Some(Sex::Other) => "O",
        None => "",
    };
    put(object, tags::PATIENT_SEX, VR::CS, sex);
    if let Some(years) = patient.age_years {
        put(object, tags::PATIENT_AGE, VR::AS, &format!("{years:03}Y"));
    }
    if let Some(captured) = about.captured {
        let (date, time) = (date_text(captured), time_text(captured));
        put(object, tags::STUDY_DATE, VR::DA, &date);
        put(object, tags::STUDY_TIME, VR::TM, &time);
        put(object, tags::CONTENT_DATE, VR::DA, &date);
        put(object, tags::CONTENT_TIME, VR::TM, &time);
        let offset = captured.utc_offset_min().map_or(String::new(), |minutes| {
            let sign = if minutes < 0 { '-' } else { '+' };
            format!("{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
        });
        put(
            object,
            tags::ACQUISITION_DATE_TIME,
            VR::DT,
            &format!("{date}{time}{offset}"),
        );
    }
    let notes = about.device_text.iter().map(|line| {
        let mut note = InMemDicomObject::new_empty();
        put(&mut note, tags::UNFORMATTED_TEXT_VALUE, VR::ST, line);
        let all_channels = PrimitiveValue::U16([1, 0].as_slice().into());
        note.put(DataElement::new(
            tags::REFERENCED_WAVEFORM_CHANNELS,
            VR::US,
            all_channels,
        ));
        note
    });
    let notes: Vec<InMemDicomObject> = notes.collect();
    if !notes.is_empty() {
        put_sequence(object, tags::WAVEFORM_ANNOTATION_SEQUENCE, notes);
    }
}

fn waveform(record: &EcgRecord) -> Result<InMemDicomObject, WriteError> {
    let leads = in_file_order(record);
    let mut group = InMemDicomObject::new_empty();
    put(&mut group, tags::WAVEFORM_ORIGINALITY, VR::CS, "ORIGINAL");
    put(&mut group, tags::MULTIPLEX_GROUP_LABEL, VR::SH, "RHYTHM");
    put_u16(&mut group, tags::NUMBER_OF_WAVEFORM_CHANNELS, leads.len() as u16);
    let samples = PrimitiveValue::from(record.samples_per_lead() as u32);
    group.put(DataElement::new(
        tags::NUMBER_OF_WAVEFORM_SAMPLES,
        VR::UL,
        samples,
    ));
    put_ds(
        &mut group,
        tags::SAMPLING_FREQUENCY,
        record.rate_hz(),
        "the sampling rate",
    )?;
    put_u16(&mut group, tags::WAVEFORM_BITS_ALLOCATED, 16);
    put(&mut group, tags::WAVEFORM_SAMPLE_INTERPRETATION, VR::CS, "SS");
    let gap = leads[0].gap;
    if leads.iter().any(|lead| lead.gap != gap) {
        return Err(WriteError::Gaps);
    }
    if let Some(gap) = gap {
        let word = i16::try_from(gap).map_err(|_| WriteError::Gaps)? as u16;
        let value = PrimitiveValue::U16([word].as_slice().into());
        group.put(DataElement::new(tags::WAVEFORM_PADDING_VALUE, VR::OW, value));
    }
    let channels: Result<Vec<_>, _> = leads.iter().map(|lead| channel(lead)).collect();
    put_sequence(&mut group, tags::CHANNEL_DEFINITION_SEQUENCE, channels?);
    let words = PrimitiveValue::U16(interleaved(&leads)?.into());
    group.put(DataElement::new(tags::WAVEFORM_DATA, VR::OW, words));
    Ok(group)
}

fn in_file_order(record: &EcgRecord) -> Vec<&Lead> {
    let mut leads: Vec<&Lead> = record.leads().iter().collect();
    leads.sort_by_key(|lead| lead.file_channel);
    leads
}

fn interleaved(leads: &[&Lead]) -> Result<Vec<u16>, WriteError> {
    let samples = leads[0].samples.len();
    let mut words = Vec::with_capacity(samples * leads.len());
    for index in 0..samples {
        for lead in leads {
            let word = i16::try_from(lead.samples[index]);
            words.push(word.map_err(|_| WriteError::SampleRange(lead.name.to_string()))? as u16);
        }
    }
    Ok(words)
}

fn channel(lead: &Lead) -> Result<InMemDicomObject, WriteError> {
    let mut channel = InMemDicomObject::new_empty();
    let name = lead.name.to_string();
    let source = match lead.name.standard_index() {
        Some(index) => code(
            &format!("2:{}", LEAD_CODES[index]),
            "MDC",
            &format!("Lead {name}"),
        ),
        None => code("OTHER", "99AIDMESH", &lo(&name)),
    };
    put_sequence(&mut channel, tags::CHANNEL_SOURCE_SEQUENCE, vec![source]);
    put_ds(
        &mut channel,
        tags::CHANNEL_SENSITIVITY,
        lead.scale.lsb_uv,
        "the sensitivity of a lead",
    )?;
    let units = code("uV", "UCUM", "microvolt");
    put_sequence(
        &mut channel,
        tags::CHANNEL_SENSITIVITY_UNITS_SEQUENCE,
        vec![units],
    );
    put(
        &mut channel,
        tags::CHANNEL_SENSITIVITY_CORRECTION_FACTOR,
        VR::DS,
        "1",
    );
    let zero_uv = Ratio::whole(i64::from(lead.scale.zero)).times(lead.scale.lsb_uv);
    let baseline = zero_uv.and_then(|zero| lead.scale.offset_uv.minus(zero));
    let baseline = baseline.ok_or(WriteError::NotDecimal("the baseline of a lead"))?;
    put_ds(
        &mut channel,
        tags::CHANNEL_BASELINE,
        baseline,
        "the baseline of a lead",
    )?;
    put(&mut channel, tags::CHANNEL_SAMPLE_SKEW, VR::DS, "0");
    put_u16(&mut channel, tags::WAVEFORM_BITS_STORED, 16);
    Ok(channel)
}

fn code(value: &str, scheme: &str, meaning: &str) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put(&mut item, tags::CODE_VALUE, VR::SH, value);
    put(&mut item, tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme);
    put(&mut item, tags::CODE_MEANING, VR::LO, meaning);
    item
}

/// A UID from the record's hash; `use_number` keeps the UIDs of one file apart.
fn uid(record: &EcgRecord, use_number: u8) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("aidmesh.ecg.dicom-uid.v1");
    hasher.update(&record.content_hash()).update(&[use_number]);
    if let Some(captured) = record.about.captured {
        hasher.update(&captured.wall_ms().to_le_bytes());
    }
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    format!("2.25.{}", u128::from_le_bytes(half))
}

fn date_text(time: CivilTime) -> String {
    let (year, month, day) = time.date();
    format!("{year:04}{month:02}{day:02}")
}

fn time_text(time: CivilTime) -> String {
    let (hour, minute, second, ms) = time.time();
    format!("{hour:02}{minute:02}{second:02}.{ms:03}")
}

/// A text of at most 64 characters without the value separator (PS3.5 6.2, LO).
fn lo(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\\' { '/' } else { c })
        .take(64)
        .collect()
}

fn put(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    let value = if value.is_empty() {
        PrimitiveValue::Empty
    } else {
        PrimitiveValue::from(value)
    };
    object.put(DataElement::new(tag, vr, value));
}

fn put_u16(object: &mut InMemDicomObject, tag: Tag, value: u16) {
    object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

fn put_ds(
    object: &mut InMemDicomObject,
    tag: Tag,
    value: Ratio,
    what: &'static str,
) -> Result<(), WriteError> {
    let text = value
        .to_decimal(DS_CHARS_MAX)
        .ok_or(WriteError::NotDecimal(what))?;
    put(object, tag, VR::DS, &text);
    Ok(())
}

fn put_sequence(object: &mut InMemDicomObject, tag: Tag, items: Vec<InMemDicomObject>) {
    object.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
}
