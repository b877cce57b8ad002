//! Signal files, after signal(5).
//!
//! The samples of all signals of a file are interleaved frame by frame. In
//! format 212 the interleaved stream is packed two samples to three bytes
//! whatever the number of signals: byte 0 is the low byte of the first sample,
//! byte 1 holds the high nibbles (first: low, second: high), byte 2 is the low
//! byte of the second. A stream with an odd number of samples ends in two bytes.

use super::check_samples;
use super::header::{Format, Signal};
use crate::import::{ImportError, NamedFile, Warning, cut};

/// One row of samples for each signal of `group`; all rows have one length >= 1.
pub(super) fn decode(
    file: &NamedFile<'_>,
    group: &[Signal],
    samples: Option<usize>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Vec<i32>>, ImportError> {
    let (format, width, offset) = (group[0].format, group.len(), group[0].byte_offset);
    let data = file.bytes.get(offset..).unwrap_or(&[]);
    let stored = match format {
        Format::F16 => data.len() / 2,
        Format::F212 => data.len() / 3 * 2 + usize::from(data.len() % 3 == 2),
    };
    let samples = samples.unwrap_or(stored / width);
    check_samples(samples)?;
    // At most 2^20 * 16: no overflow, even with 32-bit usize.
    let total = samples * width;
    let needed = offset + bytes_for(format, total);
    if samples == 0 || stored < total {
        let (needed, found) = (needed.max(offset + 1) as u64, file.bytes.len() as u64);
        return Err(ImportError::Truncated {
            name: cut(file.name),
            needed,
            found,
        });
    }
    // Format 212 may be padded to a whole triple.
    let pad = usize::from(format == Format::F212 && total % 2 == 1);
    if file.bytes.len() > needed + pad {
        let bytes = file.bytes.len() - needed;
        warnings.push(Warning::TrailingBytes {
            name: cut(file.name),
            bytes,
        });
    }
    let mut rows = vec![Vec::with_capacity(samples); width];
    for index in 0..total {
        rows[index % width].push(sample(format, data, index));
    }
    Ok(rows)
}

fn bytes_for(format: Format, samples: usize) -> usize {
    match format {
        Format::F16 => samples * 2,
        Format::F212 => samples / 2 * 3 + samples % 2 * 2,
    }
}

/// Sample `index` of the interleaved stream; the caller has checked the length.
fn sample(format: Format, data: &[u8], index: usize) -> i32 {
    match format {
        Format::F16 => i32::from(i16::from_le_bytes([data[index * 2], data[index * 2 + 1]])),
        Format::F212 => {
            let at = index / 2 * 3;
            let high = i32::from(data[at + 1]);
            let value = if index.is_multiple_of(2) {
                i32::from(data[at]) | (high & 0x0f) << 8
            } else {
                i32::from(data[at + 2]) | (high & 0xf0) << 4
            };
            // Sign of 12 bits.
            (value ^ 0x800) - 0x800
        }
    }
}
