//! What a run did: a hash over all of it, and lines for people.
//!
//! The hash covers inputs, bytes on the wire, events and the *keys* of rows. Values of rows are left
//! out, because OpenMLS writes the wall clock of the computer into some of them. Two runs of one seed
//! must give one hash; a difference means that something drew chance or time from outside the seed.

use std::fmt::Write;

/// Receives readable lines.
pub type Lines = Box<dyn FnMut(&str)>;

/// Hash and lines of a run.
#[derive(Default)]
pub struct Trace {
    hasher: blake3::Hasher,
    lines: Option<Lines>,
    events: u64,
}

/// What a hashed item is.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Tag {
    /// An input of a machine.
    Input = 1,
    /// Bytes on a wire.
    Wire = 2,
    /// An event.
    Event = 3,
    /// Keys of a batch.
    Rows = 4,
    /// A command.
    Command = 5,
}

impl Trace {
    /// A trace that also tells its lines.
    pub fn telling(lines: Lines) -> Trace {
        Trace {
            lines: Some(lines),
            ..Trace::default()
        }
    }

    /// Adds one item that happened at a device.
    pub fn add(&mut self, tag: Tag, us: u64, host: usize, bytes: &[u8]) {
        self.events += 1;
        self.hasher.update(&[tag as u8, host as u8]);
        self.hasher.update(&us.to_le_bytes());
        self.hasher.update(&(bytes.len() as u32).to_le_bytes());
        self.hasher.update(bytes);
    }

    /// Whether anybody reads the lines.
    pub fn is_told(&self) -> bool {
        self.lines.is_some()
    }

    /// One line: time, where, what.
    pub fn line(&mut self, us: u64, place: &str, what: &str) {
        if let Some(lines) = &mut self.lines {
            let tenths = us / 100_000;
            lines(&format!(
                "{:>7}.{} s  {place:<12} {what}",
                tenths / 10,
                tenths % 10
            ));
        }
    }

    /// Items hashed so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The hash so far, 32 hex digits.
    pub fn hash(&self) -> String {
        hex(&self.hasher.finalize().as_bytes()[..16])
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("a string takes all");
        out
    })
}
