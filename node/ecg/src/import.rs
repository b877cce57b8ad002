//! From files to a record.
//!
//! The caller does the file IO and hands over every file of one original;
//! [`companions`] tells which other files a WFDB header needs. The format is
//! found by content, never by the name's ending. Importing is total: any bytes
//! give a record or an [`ImportError`], within the limits of [`crate::limits`].
//! What is odd but harmless (a wrong checksum, bytes after the last sample)
//! becomes a [`Warning`], because an ECG with a remark is worth more to a
//! patient than no ECG. The originals' hash binds a record to the exact files.

use crate::record::{EcgRecord, RecordError};
use crate::{dicom, limits, wfdb};

/// One file of an original.
#[derive(Clone, Copy, Debug)]
pub struct NamedFile<'a> {
    /// File name without folder, as other files of the original refer to it.
    pub name: &'a str,
    /// The whole content.
    pub bytes: &'a [u8],
}

/// A format this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PhysioNet WFDB: header and signal files.
    Wfdb,
    /// DICOM Part 10 file with an ECG waveform.
    Dicom,
}

/// A record and where it came from.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The recording.
    pub record: EcgRecord,
    /// What the files were.
    pub format: Format,
    /// The files that were used, sorted by name.
    pub originals: Vec<Original>,
    /// BLAKE3 over names and contents of the files used, see [`originals_hash`].
    pub originals_hash: [u8; 32],
    /// What was odd, in the order found.
    pub warnings: Vec<Warning>,
}

/// A file that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// BLAKE3 of its content.
    pub blake3: [u8; 32],
}

/// Something odd that did not stop the import.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// The sum of the samples is not what the header says.
    #[error("lead {0}: the checksum in the header does not match the samples")]
    Checksum(String),
    /// The first sample is not what the header says.
    #[error("lead {0}: the first sample is not the one in the header")]
    FirstSample(String),
    /// The header gives no gain; WFDB's 200 units per mV was assumed.
    #[error("lead {0}: no calibration in the file, 200 units per mV assumed")]
    Uncalibrated(String),
    /// Bytes after the last sample.
    #[error("{name}: {bytes} bytes after the last sample were not used")]
    TrailingBytes {
        /// Which file.
        name: String,
        /// How many.
        bytes: usize,
    },
    /// A date or time that does not exist.
    #[error("the capture time in the file is not a time")]
    CaptureTime,
    /// Text above the limits was cut.
    #[error("text in the file was too long and was cut")]
    TextCut,
    /// The code of a channel and its words name different leads.
    #[error("lead {code}: the file also calls it {words}")]
    LeadNameDiffers {
        /// The lead by its code, which was used.
        code: String,
        /// The lead by its words.
        words: String,
    },
    /// Channels other than ECG leads, or waveform groups, that were left out.
    #[error("{0} waveform groups that are not the rhythm recording were left in the original")]
    GroupsLeft(usize),
}

/// Why an import failed. Never carries patient data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Nothing was handed over.
    #[error("no file given")]
    NoFiles,
    /// Too much was handed over, or a file claims too much.
    #[error("{found} {what}; at most {max} are read")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// Two files of one name.
    #[error("file {0} was given twice")]
    NameTwice(String),
    /// None of the known formats.
    #[error("not an ECG file of a known format; it can be sent as an attachment")]
    UnknownFormat,
    /// A WFDB header that does not follow header(5).
    #[error("wfdb header, line {line}: {fault}")]
    Header {
        /// Line number from 1; 0 for the file as a whole.
        line: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// The header names a file that was not handed over.
    #[error("file {0} is missing")]
    MissingFile(String),
    /// A signal file is shorter than the header says.
    #[error("file {name} has {found} bytes, {needed} are needed")]
    Truncated {
        /// Which file.
        name: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes there.
        found: u64,
    },
    /// Understood, but not read by this program.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// The structure of a DICOM file is broken.
    #[error("broken dicom file: {0}")]
    DicomStructure(&'static str),
    /// A DICOM file lacks something an ECG needs, or it makes no sense.
    #[error("dicom waveform: {0}")]
    DicomWaveform(&'static str),
    /// The leads do not make a record.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What a format reader gives back.
pub(crate) struct Parsed {
    pub(crate) record: EcgRecord,
    /// Indices into the given files.
    pub(crate) used: Vec<usize>,
    pub(crate) warnings: Vec<Warning>,
}

/// Imports one original.
///
/// # Errors
/// See [`ImportError`].
pub fn import(files: &[NamedFile<'_>]) -> Result<Imported, ImportError> {
    check_amount(files)?;
    let (format, parsed) = if let Some(index) = files.iter().position(|file| dicom::looks_like(file.bytes)) {
        (Format::Dicom, dicom::read(files, index)?)
    } else if let Some(index) = files.iter().position(|file| wfdb::looks_like(file.bytes)) {
        (Format::Wfdb, wfdb::read(files, index)?)
    } else {
        return Err(ImportError::UnknownFormat);
    };
    let mut used: Vec<NamedFile<'_>> = parsed.used.iter().map(|&index| files[index]).collect();
    used.sort_by_key(|file| file.name);
    let originals = used
        .iter()
        .map(|file| Original {
            name: file.name.to_owned(),
            size_bytes: file.bytes.len() as u64,
            blake3: *blake3::hash(file.bytes).as_bytes(),
        })
        .collect();
    Ok(Imported {
        record: parsed.record,
        format,
        originals,
        originals_hash: originals_hash(&used),
        warnings: parsed.warnings,
    })
}

/// Names of the other files a file needs: for a WFDB header every signal file
/// it names, once each, in order; for anything else none.
///
/// # Errors
/// The header is broken or names too many files.
pub fn companions(bytes: &[u8]) -> Result<Vec<String>, ImportError> {
    if dicom::looks_like(bytes) || !wfdb::looks_like(bytes) {
        return Ok(Vec::new());
    }
    wfdb::signal_files(bytes)
}

/// Hash of a set of files: BLAKE3 in key-derivation mode with the context
/// `aidmesh.ecg.originals.v1` over, for each file in order of its name: length
/// of the name (u32 LE), name, length of the content (u64 LE), content.
#[must_use]
pub fn originals_hash(files: &[NamedFile<'_>]) -> [u8; 32] {
    let mut sorted = files.to_vec();
    sorted.sort_by_key(|file| file.name);
    let mut hasher = blake3::Hasher::new_derive_key("aidmesh.ecg.originals.v1");
    for file in sorted {
        hasher
            .update(&(file.name.len() as u32).to_le_bytes())
            .update(file.name.as_bytes());
        hasher
            .update(&(file.bytes.len() as u64).to_le_bytes())
            .update(file.bytes);
    }
    *hasher.finalize().as_bytes()
}

fn check_amount(files: &[NamedFile<'_>]) -> Result<(), ImportError> {
    if files.is_empty() {
        return Err(ImportError::NoFiles);
    }
    check_count("files", files.len(), limits::FILES_MAX)?;
    let total: usize = files.iter().map(|file| file.bytes.len()).sum();
    check_count("bytes", total, limits::BYTES_MAX)?;
    for (index, file) in files.iter().enumerate() {
        if files[..index].iter().any(|other| other.name == file.name) {
            return Err(ImportError::NameTwice(cut(file.name)));
        }
    }
    Ok(())
}

/// Refuses `found` above `max`.
pub(crate) fn check_count(what: &'static str, found: usize, max: usize) -> Result<(), ImportError> {
    if found > max {
        return Err(ImportError::TooMany {
            what,
            found: found as u64,
            max: max as u64,
        });
    }
    Ok(())
}

/// Text from a file, made safe to show: control characters removed, cut to the limit.
pub(crate) fn cut(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(limits::TEXT_CHARS_MAX)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// [`cut`], and `None` for nothing.
pub(crate) fn cut_to_some(text: &str) -> Option<String> {
    let text = cut(text);
    (!text.is_empty()).then_some(text)
}
