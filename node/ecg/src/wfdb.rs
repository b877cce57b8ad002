//! PhysioNet WFDB records: header and signal files.
//!
//! Source: WFDB Applications Guide, header(5) and signal(5). Read are formats
//! 16 (16-bit little endian) and 212 (two 12-bit samples in three bytes), each
//! with a byte offset, which covers the `.mat` files of the PhysioNet challenges
//! (`16x1+24`: format 16 after a 24-byte MATLAB v4 header). Refused with clear
//! words: segments, several samples per frame, skew, other formats.
//!
//! Samples stay digital values; the gain becomes an exact fraction. Checksum and
//! first sample of every signal are compared with the header. The header's
//! claims are checked against the limits and the files' real lengths before
//! anything is allocated.

mod header;
mod signal;

pub(crate) use header::looks_like;

use crate::import::{ImportError, NamedFile, Parsed, Warning, check_count, cut, cut_to_some};
use crate::limits;
use crate::record::{About, EcgRecord, Lead, LeadName, Patient, Ratio, Scale, Sex};
use header::{Header, Signal};

/// Reads the record whose header is `files[header_index]`.
pub(crate) fn read(files: &[NamedFile<'_>], header_index: usize) -> Result<Parsed, ImportError> {
    let header = header::parse(files[header_index].bytes)?;
    let mut warnings = Vec::new();
    let mut used = vec![header_index];
    let mut leads = Vec::with_capacity(header.signals.len());
    let mut samples = None;
    for group in header.groups() {
        let index = find(files, &group[0].file)?;
        if !used.contains(&index) {
            used.push(index);
        }
        let rows = signal::decode(&files[index], group, header.samples, &mut warnings)?;
        for (signal, row) in group.iter().zip(rows) {
            check_length(&mut samples, row.len())?;
            verify(signal, &row, &mut warnings);
            leads.push(to_lead(signal, row, leads.len(), &mut warnings)?);
        }
    }
    let about = about(&header, &mut warnings);
    let record = EcgRecord::new(header.rate_hz, leads, about)?;
    Ok(Parsed {
        record,
        used,
        warnings,
    })
}

/// Names of the signal files, once each, in order.
pub(crate) fn signal_files(bytes: &[u8]) -> Result<Vec<String>, ImportError> {
    let header = header::parse(bytes)?;
    let mut names: Vec<String> = Vec::new();
    for signal in header.signals {
        if !names.contains(&signal.file) {
            names.push(signal.file);
        }
    }
    Ok(names)
}

fn find(files: &[NamedFile<'_>], name: &str) -> Result<usize, ImportError> {
    let found = files.iter().position(|file| file.name == name);
    found.ok_or_else(|| ImportError::MissingFile(cut(name)))
}

/// Files of a header without a sample count must agree on one.
fn check_length(samples: &mut Option<usize>, found: usize) -> Result<(), ImportError> {
    if *samples.get_or_insert(found) != found {
        return Err(ImportError::Header {
            line: 0,
            fault: "signal files are of different lengths",
        });
    }
    Ok(())
}

fn verify(signal: &Signal, row: &[i32], warnings: &mut Vec<Warning>) {
    let name = || cut(&signal.description);
    if let Some(expected) = signal.checksum {
        let sum = row.iter().fold(0_i32, |sum, &sample| sum.wrapping_add(sample));
        if sum as u16 != expected as u16 {
            warnings.push(Warning::Checksum(name()));
        }
    }
    if signal.initial.is_some_and(|initial| initial != row[0]) {
        warnings.push(Warning::FirstSample(name()));
    }
}

fn to_lead(
    signal: &Signal,
    samples: Vec<i32>,
    channel: usize,
    warnings: &mut Vec<Warning>,
) -> Result<Lead, ImportError> {
    let fault = |fault| ImportError::Header {
        line: signal.line,
        fault,
    };
    let name = match cut_to_some(&signal.description) {
        Some(text) => LeadName::parse(&text),
        None => LeadName::Other(format!("signal {channel}")),
    };
    if signal.gain.is_none() {
        warnings.push(Warning::Uncalibrated(name.to_string()));
    }
    // header(5): a gain of 0 or none means 200 units per physical unit.
    let gain = signal.gain.unwrap_or(Ratio::whole(200));
    let unit_uv = match signal.units.to_ascii_lowercase().as_str() {
        "mv" => 1000,
        "uv" | "\u{b5}v" | "\u{3bc}v" => 1,
        "v" => 1_000_000,
        _ => {
            return Err(ImportError::Unsupported(
                "a wfdb signal that is not in mV, uV or V",
            ));
        }
    };
    let lsb_uv = Ratio::whole(unit_uv)
        .over(gain)
        .ok_or(fault("gain has too many digits"))?;
    let scale = Scale {
        zero: signal.baseline,
        lsb_uv,
        offset_uv: Ratio::ZERO,
    };
    let file_channel = u16::try_from(channel).map_err(|_| fault("too many signals"))?;
    Ok(Lead {
        name,
        samples,
        scale,
        gap: Some(signal.format.gap()),
        file_channel,
    })
}

fn about(header: &Header, warnings: &mut Vec<Warning>) -> About {
    if header.time_broken {
        warnings.push(Warning::CaptureTime);
    }
    if header.comments_cut {
        warnings.push(Warning::TextCut);
    }
    let patient = patient(&header.comments);
    About {
        captured: header.captured,
        device_text: header.comments.clone(),
        patient,
        ..About::default()
    }
}

/// Age and sex from comments: `Age: 78` and `Sex: Male` (PTB, CinC challenges) or
/// a first line `69 M 1085 1629 x1` (MIT-BIH).
fn patient(comments: &[String]) -> Patient {
    let mut patient = Patient::default();
    for (index, line) in comments.iter().enumerate() {
        let (key, value) = line.split_once(':').unwrap_or(("", line));
        match key.trim().to_ascii_lowercase().as_str() {
            "age" => patient.age_years = patient.age_years.or_else(|| age(value)),
            "sex" => patient.sex = patient.sex.or_else(|| sex(value)),
            "" if index == 0 => {
                let mut words = value.split_whitespace();
                if let (Some(first), Some(second)) = (words.next(), words.next())
                    && let (Some(years), Some(of)) = (age(first), sex(second))
                {
                    (patient.age_years, patient.sex) = (Some(years), Some(of));
                }
            }
            _ => {}
        }
    }
    patient
}

fn age(text: &str) -> Option<u8> {
    text.trim().parse().ok().filter(|years| *years <= 130)
}

fn sex(text: &str) -> Option<Sex> {
    match text.trim().to_ascii_lowercase().as_str() {
        "m" | "male" => Some(Sex::Male),
        "f" | "female" => Some(Sex::Female),
        _ => None,
    }
}

/// Refuses a header that asks for more samples than the limit.
fn check_samples(samples: usize) -> Result<(), ImportError> {
    check_count("samples per lead", samples, limits::SAMPLES_MAX)
}
