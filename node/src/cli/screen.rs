//! What is said and where: lines for people or objects for programs on standard output, everything else on
//! standard error.
//!
//! * With `--json` nothing but JSON reaches standard output, one object a line.
//! * Names and texts of other people are shown without control characters ([`clean`]): a note must not
//!   move the cursor of the person who reads it.
//! * Colour only on a terminal and without `NO_COLOR`; it never carries a meaning of its own.
//! * A reader that went away (`| head`) ends the talking, not the command.

use crate::api::types::Fault;
use aidmesh_ecg::CivilTime;
use serde::Serialize;
use std::io::{self, ErrorKind, IsTerminal, Write};

const MS_PER_DAY: u64 = 24 * 3600 * 1000;

/// Where a command speaks.
pub struct Screen {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    json: bool,
    colour: bool,
    progress: bool,
    failed: bool,
}

/// How a word is shown on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Reached, fine.
    Good,
    /// To be looked at.
    Odd,
    /// Not confirmed, broken.
    Bad,
    /// A heading.
    Bold,
}

impl Screen {
    /// Standard output and standard error of this process.
    pub fn standard(json: bool) -> Screen {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Screen {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            json,
            colour: !json && !plain && io::stdout().is_terminal(),
            progress: !json && io::stderr().is_terminal(),
            failed: false,
        }
    }

    /// Into these, without colour: for tests.
    pub fn into_buffers(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, json: bool) -> Screen {
        Screen {
            out,
            err,
            json,
            colour: false,
            progress: false,
            failed: false,
        }
    }

    /// Whether a program reads.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether a bar that moves can be shown on standard error.
    pub fn progress(&self) -> bool {
        self.progress
    }

    /// Whether standard output took everything so far, or its reader did not want more.
    pub fn told(&self) -> bool {
        !self.failed
    }

    /// A line for people; nothing with `--json`.
    pub fn line(&mut self, text: &str) {
        if !self.json {
            self.write(text);
        }
    }

    /// An object for programs; nothing without `--json`.
    pub fn object(&mut self, object: &impl Serialize) {
        if self.json {
            let text = serde_json::to_string(object).expect("answers are maps with names as keys");
            self.write(&text);
        }
    }

    /// Text for whoever reads, as it is: completions, a page of explanations.
    pub fn raw(&mut self, bytes: &[u8]) {
        let done = self.out.write_all(bytes).and_then(|()| self.out.flush());
        self.note(done);
    }

    /// A remark beside the answer, on standard error.
    pub fn aside(&mut self, text: &str) {
        // nothing can be done if standard error is closed
        let _ = writeln!(self.err, "{text}");
    }

    /// What went wrong, on standard error.
    pub fn fault(&mut self, fault: &Fault) {
        if self.json {
            let text = serde_json::json!({ "error": fault }).to_string();
            return self.aside(&text);
        }
        let line = clean(&fault.line());
        self.aside(&line);
        if !brief(&fault.code) && !fault.means.is_empty() {
            let means = format!("  {}", clean(&fault.means));
            self.aside(&means);
        }
    }

    /// Rows of cells as aligned lines; cells are shown [clean].
    pub fn table(&mut self, indent: &str, rows: &[Vec<String>]) {
        for line in aligned(rows) {
            self.line(&format!("{indent}{line}"));
        }
    }

    /// A word in colour, where there is colour.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Good => 32,
            Paint::Odd => 33,
            Paint::Bad => 31,
            Paint::Bold => 1,
        };
        match self.colour {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }

    fn write(&mut self, text: &str) {
        let done = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        self.note(done);
    }

    fn note(&mut self, done: io::Result<()>) {
        self.failed |= done.is_err_and(|why| why.kind() != ErrorKind::BrokenPipe);
    }
}

/// Faults that concern no patient's data: the first line says all.
fn brief(code: &str) -> bool {
    code == "AM-NODE-01" || code.starts_with("AM-USE-") || code.starts_with("AM-CFG-")
}

/// Text of somebody else in one line, without control characters and marks that turn its direction.
pub fn clean(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{2028}'
        | '\u{2029}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Lines of cells padded to the widest of their column, two blanks between.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| clean(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A moment as `14:09:02 UTC`, with the day before it unless that is today.
///
/// UTC, since neither program nor organisation knows in which time zone the reader sits, and since lines of
/// several devices are laid side by side. The page shows local time.
pub fn moment(at_ms: u64, now_ms: u64) -> String {
    let civil = i64::try_from(at_ms)
        .ok()
        .and_then(|ms| CivilTime::from_wall_ms(ms, Some(0)));
    let Some(civil) = civil else {
        return "-".to_owned();
    };
    let (hour, minute, second, _) = civil.time();
    let time = format!("{hour:02}:{minute:02}:{second:02} UTC");
    if at_ms / MS_PER_DAY == now_ms / MS_PER_DAY {
        return time;
    }
    let (year, month, day) = civil.date();
    format!("{year:04}-{month:02}-{day:02} {time}")
}

/// Milliseconds since 1970 by the clock of this computer.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_do_not_reach_the_terminal_as_commands() {
        assert_eq!(
            clean("a\u{1b}[2Jb\u{9b}31mc\u{7}\nd"),
            "a\u{fffd}[2Jb\u{fffd}31mc\u{fffd} d"
        );
        assert_eq!(clean("Dr \u{202e}K"), "Dr \u{fffd}K");
        assert_eq!(clean("Müller, 12-lead µV"), "Müller, 12-lead µV");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let lines = aligned(&[
            row(["Dr K", "a", "x"]),
            row(["Müller", "", "y\u{1b}"]),
            vec!["-".into()],
        ]);
        assert_eq!(lines, ["Dr K    a  x", "Müller     y\u{fffd}", "-"]);
    }

    #[test]
    fn moments_are_utc_and_have_a_day_unless_it_is_today() {
        let at = 1_763_993_342_123;
        assert_eq!(moment(at, at + 1000), "14:09:02 UTC");
        assert_eq!(moment(at, at + MS_PER_DAY), "2025-11-24 14:09:02 UTC");
        assert_eq!(moment(0, at), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(u64::MAX, at), "-");
    }
}
