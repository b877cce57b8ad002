//! The file of a count: a few lines of text, so that a person can read it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const FIRST: &str = "aidmesh openings 1";
/// More than any record takes.
const BYTES: u64 = 1024;

/// No count comes near it; the machine adds to it.
const COUNT_END: u64 = 1 << 63;

/// What is known of the last opening that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its number; 0 before the first.
    pub(super) count: u64,
    /// The machine on which it was.
    pub(super) machine: Option<[u8; 8]>,
    /// When the file with its rows came into being, in nanoseconds since 1970.
    pub(super) born: Option<u64>,
}

impl Record {
    pub(super) fn to_text(self) -> String {
        let machine = self.machine.map_or("-".into(), |id| hex(&id));
        let born = self.born.map_or("-".into(), |at| at.to_string());
        format!(
            "{FIRST}\ncount {}\nmachine {machine}\nborn {born}\nend\n",
            self.count
        )
    }

    /// `None` if it is anything but the text of a record.
    pub(super) fn parse(text: &str) -> Option<Record> {
        let field = |index, name: &str| text.lines().nth(index)?.strip_prefix(name);
        let machine = match field(2, "machine ")? {
            "-" => None,
            hex => Some(u64::from_str_radix(hex, 16).ok()?.to_be_bytes()),
        };
        let born = match field(3, "born ")? {
            "-" => None,
            number => Some(number.parse().ok()?),
        };
        let record = Record {
            count: field(1, "count ")?.parse().ok()?,
            machine,
            born,
        };
        // one text for one record: whatever else parses was not written by us
        (record.count < COUNT_END && record.to_text() == text).then_some(record)
    }
}

/// The text of a file; `None` if it is none, or too long.
pub(super) fn read_bounded(path: &Path) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8(bytes).ok())
}

/// Lower case, two digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
