//! Planted secrets, searched where they must not be, and as a control where they must.
//!
//! A secret is a run of bytes that the story puts into names, texts and the ECG file. It is searched as it
//! is, as hex, as base64 at each of its three alignments and as UTF-16, since a leak need not be literal.
//! The control runs the same search over what the hospital may read: a search that finds nothing there
//! would prove nothing at the relay.
//!
//! Absent: compressed or encrypted forms. Whoever encrypts with a known key is not caught here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use data_encoding::{BASE64_NOPAD, HEXLOWER};

/// Shortest secret: shorter ones would be found by chance.
pub(super) const SECRET_BYTES_MIN: usize = 8;
/// Length of a piece of a file.
const PIECE_BYTES: usize = 24;
/// A piece has at least so many different bytes: a flat line is nobody's secret.
const PIECE_VALUES_MIN: usize = 6;
/// Files of the relay are read up to this many bytes together.
const FOLDER_BYTES_MAX: u64 = 1 << 30;

/// A secret with a name for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Secret {
    /// What it is, in words.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A search for a set of secrets.
#[derive(Clone, Debug)]
pub(super) struct Search {
    names: Vec<String>,
    /// Needles by their first two bytes: (number of the secret, needle).
    needles: BTreeMap<[u8; 2], Vec<(usize, Vec<u8>)>>,
    /// The same keys as a bitmap, to step over most bytes quickly.
    starts: Vec<bool>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Numbers of the secrets that were found.
    secrets: BTreeSet<usize>,
    /// Bytes that were searched.
    pub bytes: u64,
}

impl Search {
    /// Prepares the search. Secrets under [`SECRET_BYTES_MIN`] bytes are refused: `None`.
    pub(super) fn new(secrets: &[Secret]) -> Option<Search> {
        let mut search = Search {
            names: Vec::new(),
            needles: BTreeMap::new(),
            starts: vec![false; 1 << 16],
        };
        for secret in secrets {
            if secret.bytes.len() < SECRET_BYTES_MIN {
                return None;
            }
            let number = search.names.len();
            search.names.push(secret.name.clone());
            for needle in forms(&secret.bytes) {
                let start = [needle[0], needle[1]];
                search.starts[usize::from(u16::from_be_bytes(start))] = true;
                search.needles.entry(start).or_default().push((number, needle));
            }
        }
        Some(search)
    }

    /// How many secrets.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// Searches `haystack` and adds to `found`.
    pub(super) fn over(&self, haystack: &[u8], found: &mut Found) {
        found.bytes += haystack.len() as u64;
        for (at, start) in haystack.windows(2).enumerate() {
            let start = [start[0], start[1]];
            if !self.starts[usize::from(u16::from_be_bytes(start))] {
                continue;
            }
            for (number, needle) in self.needles.get(&start).into_iter().flatten() {
                if haystack[at..].starts_with(needle) {
                    found.secrets.insert(*number);
                }
            }
        }
    }

    /// Searches every file under `folder`, names of files and folders too.
    pub(super) fn over_folder(&self, folder: &Path, found: &mut Found) -> io::Result<()> {
        for item in std::fs::read_dir(folder)? {
            let item = item?;
            self.over(item.file_name().as_encoded_bytes(), found);
            let kind = item.file_type()?;
            if kind.is_dir() {
                self.over_folder(&item.path(), found)?;
            } else if kind.is_file() {
                if found.bytes.saturating_add(item.metadata()?.len()) > FOLDER_BYTES_MAX {
                    return Err(io::Error::other(
                        "the folder is larger than a relay of the demo can be",
                    ));
                }
                self.over(&std::fs::read(item.path())?, found);
            }
        }
        Ok(())
    }

    /// Names of the secrets in `found`.
    pub(super) fn names(&self, found: &Found) -> Vec<String> {
        found
            .secrets
            .iter()
            .map(|number| self.names[*number].clone())
            .collect()
    }

    /// Names of those that are not in `found`.
    pub(super) fn missing(&self, found: &Found) -> Vec<String> {
        let missing =
            |(number, name): (usize, &String)| (!found.secrets.contains(&number)).then(|| name.clone());
        self.names.iter().enumerate().filter_map(missing).collect()
    }
}

impl Found {
    /// How many of the secrets.
    pub(super) fn count(&self) -> usize {
        self.secrets.len()
    }

    /// Both together.
    pub(super) fn and(&self, other: &Found) -> Found {
        Found {
            secrets: self.secrets.union(&other.secrets).copied().collect(),
            bytes: self.bytes + other.bytes,
        }
    }
}

/// A secret text.
pub(super) fn text(name: &str, text: &str) -> Secret {
    Secret {
        name: name.into(),
        bytes: text.as_bytes().to_vec(),
    }
}

/// Up to `count` pieces of a file, spread over it, each with some variety in its bytes.
pub(super) fn pieces(name: &str, file: &[u8], count: usize) -> Vec<Secret> {
    let stride = file.len() / (count + 1);
    let place = |number: usize| {
        let from = number * stride;
        let mut windows = (from..file.len().min(from + stride)).map(|at| (at, at + PIECE_BYTES));
        windows.find_map(|(at, end)| file.get(at..end).filter(|piece| varied(piece)).map(|_| (at, end)))
    };
    (1..=count)
        .filter_map(place)
        .map(|(at, end)| Secret {
            name: format!("{name} from byte {at}"),
            bytes: file[at..end].to_vec(),
        })
        .collect()
}

fn varied(piece: &[u8]) -> bool {
    piece.iter().collect::<BTreeSet<_>>().len() >= PIECE_VALUES_MIN
}

/// The forms in which a secret is searched.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec(), HEXLOWER.encode(secret).into_bytes()];
    for skipped in 0..3 {
        // from whole groups of three bytes on, base64 does not depend on what stands around them
        let whole = secret.len().saturating_sub(skipped) / 3 * 3;
        let inner = secret.get(skipped..skipped + whole).unwrap_or_default();
        if inner.len() + 2 >= SECRET_BYTES_MIN {
            forms.push(BASE64_NOPAD.encode(inner).into_bytes());
        }
    }
    if secret.is_ascii() {
        forms.push(secret.iter().flat_map(|byte| [*byte, 0]).collect());
    }
    forms
}

#[cfg(test)]
mod tests;
