//! The `.hea` file, after header(5).
//!
//! A header is text: comment lines start with `#`, blank lines are skipped, the
//! first other line is the record line, then one line per signal; comments after
//! the record line are the "info strings". Fields are separated by spaces, and a
//! missing field takes everything after it with it. Numbers that do not parse
//! are errors, not defaults: a half-read gain would draw a wrong ECG.

use super::check_samples;
use crate::import::{ImportError, check_count, cut};
use crate::limits;
use crate::record::{CivilTime, Ratio};

/// A parsed header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) rate_hz: Ratio,
    /// Samples per signal; `None` means "as many as the file holds".
    pub(super) samples: Option<usize>,
    pub(super) captured: Option<CivilTime>,
    pub(super) time_broken: bool,
    pub(super) signals: Vec<Signal>,
    pub(super) comments: Vec<String>,
    pub(super) comments_cut: bool,
}

/// One signal line.
#[derive(Clone, Debug)]
pub(super) struct Signal {
    pub(super) line: usize,
    pub(super) file: String,
    pub(super) format: Format,
    pub(super) byte_offset: usize,
    /// Units per physical unit; `None` where the file has none or 0.
    pub(super) gain: Option<Ratio>,
    /// Sample value of physical 0.
    pub(super) baseline: i32,
    pub(super) units: String,
    pub(super) initial: Option<i32>,
    pub(super) checksum: Option<i32>,
    pub(super) description: String,
}

/// Storage formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Two bytes, two's complement, little endian.
    F16,
    /// Two 12-bit samples in three bytes.
    F212,
}

impl Format {
    /// The sample value that means "not measured" (signal(5): the most negative one).
    pub(super) fn gap(self) -> i32 {
        match self {
            Self::F16 => -32_768,
            Self::F212 => -2048,
        }
    }
}

impl Header {
    /// Signals in runs that share one file, as they are interleaved in it.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[Signal]> {
        self.signals.chunk_by(|a, b| a.file == b.file)
    }
}

/// True if the first line that is no comment reads like a record line:
/// a name of letters, digits, `_`, `-`, then a count of signals.
pub(crate) fn looks_like(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(limits::HEADER_BYTES_MAX)];
    let first = start.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let Some(line) = first
        .into_iter()
        .find(|line| !line.is_empty() && !line.starts_with(b"#"))
    else {
        return false;
    };
    let Ok(text) = std::str::from_utf8(line) else {
        return false;
    };
    let mut fields = text.split_ascii_whitespace();
    let (Some(name), Some(count)) = (fields.next(), fields.next()) else {
        return false;
    };
    let name_fits = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-/".contains(&byte));
    name_fits && count.len() <= 9 && count.bytes().all(|byte| byte.is_ascii_digit())
}

/// Parses a whole header.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, ImportError> {
    check_count("bytes of wfdb header", bytes.len(), limits::HEADER_BYTES_MAX)?;
    let text = String::from_utf8_lossy(bytes);
    let mut header: Option<(Header, usize)> = None;
    for (index, line) in text.lines().enumerate() {
        let (line, number) = (line.trim(), index + 1);
        match (&mut header, line.strip_prefix('#')) {
            (None, Some(_)) => {}
            (Some((header, _)), Some(comment)) => keep_comment(header, comment),
            (_, None) if line.is_empty() => {}
            (None, None) => header = Some(record_line(line, number)?),
            (Some((header, count)), None) => {
                if header.signals.len() == *count {
                    return Err(ImportError::Header {
                        line: number,
                        fault: "more signal lines than signals",
                    });
                }
                header.signals.push(signal_line(line, number)?);
            }
        }
    }
    let Some((header, count)) = header else {
        return Err(ImportError::Header {
            line: 0,
            fault: "no record line",
        });
    };
    if header.signals.len() != count {
        return Err(ImportError::Header {
            line: 0,
            fault: "fewer signal lines than signals",
        });
    }
    check_files(&header)?;
    Ok(header)
}

/// A file must be named in one run of lines, with one format and one offset.
fn check_files(header: &Header) -> Result<(), ImportError> {
    let mut seen: Vec<&str> = Vec::new();
    for group in header.groups() {
        let first = &group[0];
        if seen.contains(&first.file.as_str()) {
            return Err(ImportError::Header {
                line: first.line,
                fault: "signals of one file are not together",
            });
        }
        seen.push(&first.file);
        let same = |s: &Signal| s.format == first.format && s.byte_offset == first.byte_offset;
        if let Some(odd) = group.iter().find(|signal| !same(signal)) {
            return Err(ImportError::Header {
                line: odd.line,
                fault: "signals of one file differ in format",
            });
        }
    }
    Ok(())
}

fn keep_comment(header: &mut Header, comment: &str) {
    let comment = comment.trim();
    if comment.is_empty() {
        return;
    }
    if header.comments.len() >= limits::TEXT_LINES_MAX {
        header.comments_cut = true;
        return;
    }
    header.comments_cut |= comment.chars().count() > limits::TEXT_CHARS_MAX;
    header.comments.push(cut(comment));
}

/// `name[/segments] signals [rate[/counter[(base)]] [samples [time [date]]]]`
fn record_line(line: &str, number: usize) -> Result<(Header, usize), ImportError> {
    let fault = |fault| ImportError::Header { line: number, fault };
    let mut fields = line.split_ascii_whitespace();
    let name = fields.next().unwrap_or("");
    if name.contains('/') {
        return Err(ImportError::Unsupported("a wfdb record in segments"));
    }
    let count: usize = fields
        .next()
        .and_then(|text| text.parse().ok())
        .ok_or(fault("no signal count"))?;
    check_count("leads", count, limits::LEADS_MAX)?;
    if count == 0 {
        return Err(fault("no signals"));
    }
    // header(5): 250 Hz where the header has no rate.
    let rate_text = fields.next().unwrap_or("250");
    let (rate, counter) = rate_text.split_once('/').unwrap_or((rate_text, "1"));
    let rate_hz = Ratio::parse_decimal(rate).ok_or(fault("sampling rate is not a number"))?;
    let counter_rate = counter.split('(').next().unwrap_or("");
    Ratio::parse_decimal(counter_rate).ok_or(fault("counter rate is not a number"))?;
    let samples: usize = fields
        .next()
        .unwrap_or("0")
        .parse()
        .map_err(|_| fault("sample count is not a number"))?;
    check_samples(samples)?;
    let (time, date) = (fields.next(), fields.next());
    let captured = date.and_then(|date| capture_time(time.unwrap_or(""), date));
    let header = Header {
        rate_hz,
        samples: (samples > 0).then_some(samples),
        captured,
        time_broken: date.is_some() && captured.is_none(),
        signals: Vec::with_capacity(count),
        comments: Vec::new(),
        comments_cut: false,
    };
    Ok((header, count))
}

/// `HH:MM:SS[.sss]` (or fewer parts, from the right) and `DD/MM/YYYY`.
fn capture_time(time: &str, date: &str) -> Option<CivilTime> {
    let mut seconds_ms = Ratio::parse_decimal(time.rsplit(':').next()?)?.times(Ratio::whole(1000))?;
    if seconds_ms.den() != 1 {
        seconds_ms = Ratio::whole(seconds_ms.num() / i64::try_from(seconds_ms.den()).ok()?);
    }
    let mut total = u32::try_from(seconds_ms.num()).ok().filter(|ms| *ms < 60_000)?;
    for (part, factor) in time.rsplit(':').skip(1).zip([60_000_u32, 3_600_000]) {
        total = total.checked_add(part.parse::<u8>().ok().map(u32::from)?.checked_mul(factor)?)?;
    }
    let mut parts = date.split('/');
    let day = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok()?;
    let year = parts.next()?.parse().ok()?;
    let whole = parts.next().is_none() && time.split(':').count() <= 3;
    CivilTime::new((year, month, day), total, None).filter(|_| whole)
}

/// `file format [gain [resolution [zero [initial [checksum [block [description]]]]]]]`
fn signal_line(line: &str, number: usize) -> Result<Signal, ImportError> {
    let fault = |fault| ImportError::Header { line: number, fault };
    let mut rest = line;
    let file = next_field(&mut rest).ok_or(fault("no file name"))?.to_owned();
    if file.contains(['/', '\\']) || file == "." || file == ".." || file == "-" {
        return Err(fault("file name with a folder in it"));
    }
    let format_text = next_field(&mut rest).ok_or(fault("no format"))?;
    let (format, byte_offset) = storage(format_text, number)?;
    let gain_text = next_field(&mut rest);
    let (gain, baseline, units) = match gain_text {
        Some(text) => calibration(text).ok_or(fault("gain is not a number"))?,
        None => (None, None, "mV".to_owned()),
    };
    let whole = |text: Option<&str>| -> Result<Option<i32>, ImportError> {
        text.map(|text| text.parse().map_err(|_| fault("a field is not a whole number")))
            .transpose()
    };
    let _resolution_bits = whole(next_field(&mut rest))?;
    let zero = whole(next_field(&mut rest))?.unwrap_or(0);
    let initial = whole(next_field(&mut rest))?;
    let checksum = whole(next_field(&mut rest))?;
    let _block = whole(next_field(&mut rest))?;
    Ok(Signal {
        line: number,
        file,
        format,
        byte_offset,
        gain: gain.filter(|gain| !gain.is_zero()),
        baseline: baseline.unwrap_or(zero),
        units,
        initial,
        checksum,
        description: rest.trim().to_owned(),
    })
}

fn next_field<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_start();
    let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
    let (field, after) = text.split_at(end);
    *rest = after;
    (!field.is_empty()).then_some(field)
}

/// `format[xN][:skew][+offset]`
fn storage(text: &str, line: usize) -> Result<(Format, usize), ImportError> {
    let fault = |fault| ImportError::Header { line, fault };
    let (text, offset) = text.split_once('+').unwrap_or((text, "0"));
    let (text, skew) = text.split_once(':').unwrap_or((text, "0"));
    let (format, per_frame) = text.split_once('x').unwrap_or((text, "1"));
    let byte_offset = offset.parse().map_err(|_| fault("byte offset is not a number"))?;
    check_count("bytes of offset", byte_offset, limits::BYTES_MAX)?;
    if skew.parse::<u32>().map_err(|_| fault("skew is not a number"))? != 0 {
        return Err(ImportError::Unsupported("wfdb signals with skew"));
    }
    if per_frame
        .parse::<u32>()
        .map_err(|_| fault("samples per frame is not a number"))?
        != 1
    {
        return Err(ImportError::Unsupported(
            "wfdb signals with several samples per frame",
        ));
    }
    match format {
        "16" => Ok((Format::F16, byte_offset)),
        "212" => Ok((Format::F212, byte_offset)),
        _ if format.bytes().all(|byte| byte.is_ascii_digit()) && !format.is_empty() => Err(
            ImportError::Unsupported("a wfdb signal format other than 16 and 212"),
        ),
        _ => Err(fault("format is not a number")),
    }
}

/// Gain, baseline and units of one signal; the first two may be absent.
type Calibration = (Option<Ratio>, Option<i32>, String);

/// `gain[(baseline)][/units]`
fn calibration(text: &str) -> Option<Calibration> {
    let (number, units) = text.split_once('/').unwrap_or((text, "mV"));
    let (gain, baseline) = match number.split_once('(') {
        Some((gain, rest)) => (gain, Some(rest.strip_suffix(')')?.parse().ok()?)),
        None => (number, None),
    };
    Some((Some(Ratio::parse_decimal(gain)?), baseline, units.to_owned()))
}
