//! Files of an ECG on this computer: read whole for sending, and as a record for looking at.
//!
//! A WFDB record is several files: the header names them, and whichever of them is given (or the name
//! without ending), the whole record is read. A DICOM file stands alone. Every file travels as an original,
//! byte for byte; nothing is sent that was not understood here first.
//!
//! * A file is opened once and read up to the limit of an original, whatever its length is said to be.
//! * A header names files beside it only: a record from a stranger's memory stick cannot make this device
//!   send something else.
//!
//! Not here: measuring and drawing (`aidmesh-ecg`), layers other than the original.

use crate::api::types::{Fault, FileData};
use crate::fault;
use aidmesh_core::limits;
use aidmesh_ecg::{Format, ImportError, Imported, NamedFile, companions, import};
use bytes::Bytes;
use data_encoding::BASE64;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest file that can be sent: a layer of an object.
const FILE_BYTES_MAX: u64 = limits::LAYER_BYTES as u64;
/// Endings of WFDB signal files, whose header stands beside them.
const SIGNAL_ENDINGS: [&str; 3] = ["mat", "dat", "xyz"];

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum RecordingError {
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: io::Error },
    #[error("{} is not a file", path.display())]
    NotAFile { path: PathBuf },
    #[error("no header (.hea) stands beside {}", path.display())]
    NoHeader { path: PathBuf },
    #[error("{} is named in {} and not there", path.display(), header.display())]
    Missing { path: PathBuf, header: PathBuf },
    #[error("{} has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error(
        "the name {name:?} cannot be sent: at most {} bytes, no control characters",
        limits::FILE_NAME_BYTES
    )]
    Name { name: String },
    #[error("{}: {why}", path.display())]
    Import { path: PathBuf, why: ImportError },
}

/// A recording with its original files.
#[derive(Clone, Debug)]
pub struct Recording {
    files: Vec<(String, Bytes)>,
    imported: Imported,
}

impl Recording {
    /// Reads a DICOM file, or a WFDB record by its `.hea`, `.mat` or `.dat`, or by its name without ending.
    ///
    /// # Errors
    /// See [`RecordingError`].
    pub fn read(path: &Path) -> Result<Recording, RecordingError> {
        let first = first_file(path)?;
        let bytes = content(&first)?;
        let import_error = |why| RecordingError::Import {
            path: first.clone(),
            why,
        };
        let others = companions(&bytes).map_err(import_error)?;
        let mut files = vec![(sendable_name(&first)?, bytes)];
        for name in others {
            let path = first.with_file_name(&name);
            // a name with a folder in it would leave the folder of the header
            if path.file_name().and_then(|n| n.to_str()) != Some(&name) || path.parent() != first.parent() {
                return Err(RecordingError::Name { name });
            }
            let bytes = content(&path).map_err(|why| missing(why, &first))?;
            files.push((sendable_name(&path)?, bytes));
        }
        let named: Vec<NamedFile<'_>> = files
            .iter()
            .map(|(name, bytes)| NamedFile { name, bytes })
            .collect();
        let imported = import(&named).map_err(import_error)?;
        Ok(Recording { files, imported })
    }

    /// Original files, in the order in which an importer wants them.
    pub fn files(&self) -> &[(String, Bytes)] {
        &self.files
    }

    /// The record, its format and what was odd.
    pub fn imported(&self) -> &Imported {
        &self.imported
    }

    /// `WFDB` or `DICOM`.
    pub fn format(&self) -> &'static str {
        match self.imported.format {
            Format::Wfdb => "WFDB",
            Format::Dicom => "DICOM",
        }
    }

    /// Bytes of all files.
    pub fn size_bytes(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// As the local API takes them.
    pub fn data(&self) -> Vec<FileData> {
        let data = |(name, bytes): &(String, Bytes)| FileData {
            name: name.clone(),
            bytes: BASE64.encode(bytes),
        };
        self.files.iter().map(data).collect()
    }
}

impl From<RecordingError> for Fault {
    fn from(error: RecordingError) -> Fault {
        let code = match &error {
            RecordingError::File { .. } | RecordingError::NotAFile { .. } => "AM-ECG-04",
            RecordingError::NoHeader { .. } | RecordingError::Missing { .. } => "AM-ECG-02",
            RecordingError::TooLarge { .. } => "AM-ECG-03",
            RecordingError::Name { .. } => "AM-ECG-04",
            RecordingError::Import { why, .. } => match why {
                ImportError::UnknownFormat | ImportError::NoFiles => "AM-ECG-01",
                ImportError::MissingFile(_) => "AM-ECG-02",
                ImportError::TooMany { .. } => "AM-ECG-03",
                ImportError::Unsupported(_) => "AM-ECG-06",
                _ => "AM-ECG-05",
            },
        };
        match &error {
            // the code says the rest
            RecordingError::Import {
                path,
                why: ImportError::UnknownFormat,
            } => fault::with(code, path.display()),
            _ => fault::with(code, error),
        }
    }
}

/// The file to begin with: the header of a WFDB record, or the file itself.
fn first_file(path: &Path) -> Result<PathBuf, RecordingError> {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if SIGNAL_ENDINGS.contains(&ending) {
        let header = path.with_extension("hea");
        let there = path.is_file() && header.is_file();
        return match there {
            true => Ok(header),
            // a signal file that is not there is said to be not there
            false if !path.exists() => Ok(path.to_owned()),
            false => Err(RecordingError::NoHeader {
                path: path.to_owned(),
            }),
        };
    }
    let mut named = path.as_os_str().to_owned();
    named.push(".hea");
    let header = PathBuf::from(named);
    match !path.is_file() && header.is_file() {
        true => Ok(header),
        false => Ok(path.to_owned()),
    }
}

/// Reads at most one byte more than can be sent, so that a device file or a growing file ends too.
fn content(path: &Path) -> Result<Bytes, RecordingError> {
    let at = |why| RecordingError::File {
        path: path.to_owned(),
        why,
    };
    // before it is opened: opening a pipe would wait for its other end
    if !path.metadata().map_err(at)?.is_file() {
        return Err(RecordingError::NotAFile {
            path: path.to_owned(),
        });
    }
    let file = File::open(path).map_err(at)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(at)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(RecordingError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes.into())
}

fn missing(why: RecordingError, header: &Path) -> RecordingError {
    match why {
        RecordingError::File { path, why } if why.kind() == io::ErrorKind::NotFound => {
            RecordingError::Missing {
                path,
                header: header.to_owned(),
            }
        }
        other => other,
    }
}

/// The name without folders, as it goes into the manifest.
fn sendable_name(path: &Path) -> Result<String, RecordingError> {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let fits =
        !name.is_empty() && name.len() <= limits::FILE_NAME_BYTES && !name.chars().any(char::is_control);
    match fits && path.file_name().is_some_and(|n| n.to_str().is_some()) {
        true => Ok(name),
        false => Err(RecordingError::Name { name }),
    }
}

#[cfg(test)]
mod tests;
