//! The ECG of a scenario: files that somebody gave, or an invented recording.
//!
//! A WFDB record is several files: the header names them, and whichever of them is given (or the name
//! without ending), the whole record is sent. Every file travels as an original, byte for byte; the
//! digest comes from the imported record. The invented one is written as a DICOM file first and then
//! imported like any other, so that both take the same way.

use aidmesh_core::blob::Layer;
use aidmesh_core::machine::command::{LayerData, Outgoing};
use aidmesh_ecg::generate::{Rhythm, generate};
use aidmesh_ecg::{Format, Imported, NamedFile, companions, digest, import};
use bytes::Bytes;
use std::path::{Path, PathBuf};

/// Why an ECG cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum EcgError {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// No header stands beside the file.
    #[error("{0}: no header (.hea) of this record found beside it")]
    NoHeader(PathBuf),
    /// The files are no ECG.
    #[error("{0}: {1}")]
    Import(PathBuf, aidmesh_ecg::ImportError),
    /// The invented ECG cannot be written.
    #[error("invented ECG: {0}")]
    Invent(String),
    /// A file is too large to be sent.
    #[error("{0} has {1} bytes, at most {2} can be sent")]
    TooLarge(String, usize, usize),
}

/// A recording and its original files.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Original files: name and content.
    pub files: Vec<(String, Bytes)>,
    /// Invented, not a patient's.
    pub invented: bool,
    imported: Imported,
}

impl Recording {
    /// Reads a `.hea`, `.mat`, `.dat`, `.dcm`, or a WFDB name without ending.
    pub fn read(path: &Path) -> Result<Recording, EcgError> {
        let header = header_of(path)?;
        let folder = header.parent().map(Path::to_path_buf).unwrap_or_default();
        let first = file(&header)?;
        let others = companions(&first.1).map_err(|why| EcgError::Import(header.clone(), why))?;
        let mut files = vec![first];
        for name in others {
            files.push(file(&folder.join(name))?);
        }
        Recording::of(files, path, false)
    }

    /// An inferior infarction that nobody had: 12 leads, 10 s.
    pub fn invented(seed: u64) -> Result<Recording, EcgError> {
        let record = generate(Rhythm::InferiorStemi, 20, seed, 500, 10);
        let bytes = aidmesh_ecg::dicom::write(&record).map_err(|why| EcgError::Invent(why.to_string()))?;
        let name = "invented.dcm";
        Recording::of(vec![(name.to_owned(), bytes.into())], Path::new(name), true)
    }

    /// A small invented file for storms, `seconds` long at 250 Hz.
    pub fn small(seed: u64, seconds: u32) -> Option<Bytes> {
        let record = generate(Rhythm::InferiorStemi, 10, seed, 250, seconds);
        aidmesh_ecg::dicom::write(&record).ok().map(Bytes::from)
    }

    fn of(files: Vec<(String, Bytes)>, path: &Path, invented: bool) -> Result<Recording, EcgError> {
        let most = aidmesh_core::limits::CHUNKS_PER_LAYER as usize * aidmesh_core::limits::CHUNK_BYTES;
        if let Some((name, bytes)) = files.iter().find(|(_, bytes)| bytes.len() > most) {
            return Err(EcgError::TooLarge(name.clone(), bytes.len(), most));
        }
        let named: Vec<NamedFile<'_>> = files
            .iter()
            .map(|(name, bytes)| NamedFile { name, bytes })
            .collect();
        let imported = import(&named).map_err(|why| EcgError::Import(path.to_owned(), why))?;
        Ok(Recording {
            files,
            invented,
            imported,
        })
    }

    /// What a person sends.
    pub fn outgoing(&self) -> Outgoing {
        let layer = Layer::ORIGINAL.to_u8();
        let layers = (layer..)
            .zip(&self.files)
            .map(|(layer, (name, bytes))| LayerData {
                layer,
                name: name.clone(),
                bytes: bytes.clone(),
            });
        let digest = digest::encode(&digest::Digest::of(&self.imported));
        let format = match self.imported.format {
            Format::Wfdb => "WFDB",
            Format::Dicom => "DICOM",
        };
        Outgoing::Ecg {
            recorded_ms: None,
            digest: Bytes::copy_from_slice(&digest),
            format: format.to_owned(),
            layers: layers.collect(),
        }
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let record = &self.imported.record;
        let bytes: usize = self.files.iter().map(|(_, bytes)| bytes.len()).sum();
        let origin = if self.invented {
            "invented ECG, not a patient"
        } else {
            "ECG from a file"
        };
        format!(
            "{origin}: {} leads, {:.1} s, {} file(s), {bytes} B",
            record.leads().len(),
            record.duration_s(),
            self.files.len()
        )
    }
}

/// The file to begin with: the header of a WFDB record, or the file itself.
fn header_of(path: &Path) -> Result<PathBuf, EcgError> {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let header = path.with_extension("hea");
    match ending {
        "hea" | "dcm" => Ok(path.to_owned()),
        "mat" | "dat" | "xyz" if header.is_file() => Ok(header),
        "mat" | "dat" | "xyz" => Err(EcgError::NoHeader(path.to_owned())),
        _ if path.is_file() => Ok(path.to_owned()),
        _ => {
            let mut named = path.as_os_str().to_owned();
            named.push(".hea");
            let named = PathBuf::from(named);
            Ok(if named.is_file() { named } else { path.to_owned() })
        }
    }
}

fn file(path: &Path) -> Result<(String, Bytes), EcgError> {
    let bytes = std::fs::read(path).map_err(|why| EcgError::File(path.to_owned(), why))?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("ecg");
    Ok((name.to_owned(), bytes.into()))
}
