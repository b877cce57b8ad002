//! The ECG of the story: invented, or from a file.
//!
//! An invented one is written as a real DICOM file first and only then imported, so that it takes the way
//! of every recording. Of a file on disk the companions that its header names are read too. What the story
//! needs afterwards is here: files by value, what to say of them, and whether what arrived is the same.

use std::io::Read;
use std::path::{Path, PathBuf};

use aidmesh_ecg::generate::{Rhythm, generate};
use aidmesh_ecg::{CivilTime, Format, ImportError, Imported, NamedFile, companions, dicom, digest, import};

use super::summary::{Ecg, Layer, Original};

/// Name of the invented file, as a monitor would export it.
const INVENTED_NAME: &str = "monitor-unit12-0417.dcm";
/// RMS of the muscle noise of the invented ECG, uV.
const NOISE_UV: u32 = 20;
const RATE_HZ: u32 = 500;
const SECONDS: u32 = 10;
/// How long ago the invented ECG was recorded.
const AGE_MS: i64 = 41_000;
/// Longest file that is read; importers refuse more.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// A file of the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Without folders.
    pub name: String,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    /// The files, in the order in which they were handed to the importer.
    pub files: Vec<File>,
    /// What the importer made of them.
    pub imported: Imported,
    /// From a file of the user.
    pub own_file: bool,
}

/// Why there is no recording. Names the file, never what is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordingError {
    /// Not readable.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a 12-lead ECG of a known format.
    #[error("{path}: {source}")]
    Import {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ImportError,
    },
    /// The invented record was not taken.
    #[error("the invented ECG cannot be written")]
    Invent,
}

impl Recording {
    /// Invents one; the same seed gives the same samples. `wall_ms`: now, ms since 1970.
    pub(super) fn invented(seed: u64, wall_ms: u64) -> Result<Recording, RecordingError> {
        let mut record = generate(Rhythm::InferiorStemi, NOISE_UV, seed, RATE_HZ, SECONDS);
        let now_ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
        record.about.captured = CivilTime::from_wall_ms(now_ms.saturating_sub(AGE_MS), Some(0));
        let bytes = dicom::write(&record).map_err(|_| RecordingError::Invent)?;
        let files = vec![File {
            name: INVENTED_NAME.into(),
            bytes,
        }];
        let imported = imported(&files).map_err(|_| RecordingError::Invent)?;
        Ok(Recording {
            files,
            imported,
            own_file: false,
        })
    }

    /// Reads a file and those that its header names.
    pub(super) fn from_file(path: &Path) -> Result<Recording, RecordingError> {
        let path = &with_header(path);
        let refused = |source| RecordingError::Import {
            path: path.clone(),
            source,
        };
        let mut files = vec![read(path)?];
        for name in companions(&files[0].bytes).map_err(refused)? {
            let plain = Path::new(&name)
                .file_name()
                .is_some_and(|file| file == name.as_str());
            if plain {
                files.push(read(&path.with_file_name(&name))?);
            }
        }
        let imported = imported(&files).map_err(refused)?;
        Ok(Recording {
            files,
            imported,
            own_file: true,
        })
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes.len() as u64).sum()
    }

    /// Bytes of the digest.
    pub(super) fn digest_bytes(&self) -> usize {
        digest::encode(&digest::Digest::of(&self.imported)).len()
    }

    /// `recorded 41 s ago`, or what else the file says.
    pub(super) fn recorded(&self, wall_ms: u64) -> String {
        let Some(captured) = self.imported.record.about.captured else {
            return "time of recording unknown".into();
        };
        let age_ms = i64::try_from(wall_ms)
            .unwrap_or(i64::MAX)
            .saturating_sub(captured.wall_ms());
        match u64::try_from(age_ms) {
            Ok(age_ms) if age_ms < 600_000 => format!("recorded {} s ago", age_ms / 1_000),
            _ => {
                let (year, month, day) = captured.date();
                format!("recorded {year}-{month:02}-{day:02}")
            }
        }
    }

    /// `monitor file`, or the name of the user's file.
    pub(super) fn source(&self) -> String {
        match self.own_file {
            false => "monitor file".into(),
            true => self.files[0].name.clone(),
        }
    }

    /// Whether these files have the same names and bytes, in whatever order they came.
    pub(super) fn same_files(&self, arrived: &[File]) -> bool {
        let sorted = |files: &[File]| {
            let mut files: Vec<_> = files
                .iter()
                .map(|file| (file.name.clone(), file.bytes.clone()))
                .collect();
            files.sort();
            files
        };
        sorted(&self.files) == sorted(arrived)
    }

    /// Whether a reader finds the same samples in these files.
    pub(super) fn same_samples(&self, arrived: &[File]) -> bool {
        let mut arrived = arrived.to_vec();
        // a header comes before what it names
        arrived.sort_by_key(|file| self.files.iter().position(|sent| sent.name == file.name));
        let leads = |record: &aidmesh_ecg::EcgRecord| {
            let rows = record
                .leads()
                .iter()
                .map(|lead| (lead.name.clone(), lead.samples.clone()));
            rows.collect::<Vec<_>>()
        };
        imported(&arrived).is_ok_and(|arrived| leads(&arrived.record) == leads(&self.imported.record))
    }

    /// For the summary.
    pub(super) fn ecg(&self) -> Ecg {
        let record = &self.imported.record;
        let leads = record.leads().len();
        Ecg {
            origin: if self.own_file { "file" } else { "generated" },
            format: match self.imported.format {
                Format::Wfdb => "wfdb",
                Format::Dicom => "dicom",
            },
            leads,
            rate_hz: record.rate_hz().to_f64(),
            duration_ms: (record.duration_s() * 1_000.0).round() as u64,
            samples: (leads * record.samples_per_lead()) as u64,
            original: Original {
                bytes: self.bytes(),
                blake3: data_encoding::HEXLOWER.encode(&self.imported.originals_hash),
            },
            layers: vec![Layer {
                name: "digest".into(),
                bytes: self.digest_bytes() as u64,
            }],
        }
    }
}

/// WFDB records are often named without the ending of their header, or by their signal file.
fn with_header(path: &Path) -> PathBuf {
    let header = path.with_extension("hea");
    let signals = path
        .extension()
        .is_some_and(|ending| ending == "mat" || ending == "dat");
    if header.is_file() && (signals || !path.is_file()) {
        return header;
    }
    path.to_path_buf()
}

fn read(path: &Path) -> Result<File, RecordingError> {
    let refused = |source| RecordingError::Read {
        path: path.to_path_buf(),
        source,
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(refused)?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(refused)?;
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(File { name, bytes })
}

fn imported(files: &[File]) -> Result<Imported, ImportError> {
    let named: Vec<NamedFile<'_>> = files
        .iter()
        .map(|file| NamedFile {
            name: &file.name,
            bytes: &file.bytes,
        })
        .collect();
    import(&named)
}

#[cfg(test)]
mod tests;
