//! What people carry by hand: lines of text, QR codes, words, files.
//!
//! Each object travels as `NAME:` and base32 (RFC 4648, no padding): letters and digits that survive
//! handwriting, radio and the compact mode of QR codes. Case, spaces and line ends do not count when it is
//! read; anything else that is not in its only form is refused, with what seems to be wrong.
//!
//! Secret files (an invite, for as long as it is open) are made with mode 0600 and never over another file.

use aidmesh_core::limits;
use bip39::Language;
use data_encoding::BASE32_NOPAD;
use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// An object in text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Secret until it is used or ended.
    Invite,
    /// Public keys, name and roles of a new device.
    Request,
    /// The answer to a request.
    Grant,
    /// New certificates.
    Renewal,
    /// An organisation.
    OrgCard,
}

const FORMS: [Form; 5] = [
    Form::Invite,
    Form::Request,
    Form::Grant,
    Form::Renewal,
    Form::OrgCard,
];

impl Form {
    /// What stands before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Form::Invite => "AM1",
            Form::Request => "AMR1",
            Form::Grant => "AMG1",
            Form::Renewal => "AMN1",
            Form::OrgCard => "AMO1",
        }
    }

    /// As in "this is a ...".
    pub fn words(self) -> &'static str {
        match self {
            Form::Invite => "an invite",
            Form::Request => "a request",
            Form::Grant => "a grant",
            Form::Renewal => "a renewal",
            Form::OrgCard => "a card of an organisation",
        }
    }

    fn bytes_max(self) -> usize {
        match self {
            Form::Invite => limits::INVITE_BYTES,
            Form::Request => limits::REQUEST_BYTES,
            Form::Grant => limits::GRANT_BYTES,
            Form::Renewal | Form::OrgCard => limits::ORG_CARD_BYTES,
        }
    }
}

/// A text is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// It begins like none of ours.
    #[error("this is not {}: it should begin with {}:", wanted.words(), wanted.name())]
    NotOurs {
        /// What was wanted.
        wanted: Form,
    },
    /// It is another of ours.
    #[error("this is {}, not {}", found.words(), wanted.words())]
    Another {
        /// What was wanted.
        wanted: Form,
        /// What it is.
        found: Form,
    },
    /// Longer than any.
    #[error("longer than {} can be", .0.words())]
    TooLong(Form),
    /// A character that is none of base32.
    #[error("incomplete or mistyped near character {0}")]
    Mistyped(usize),
    /// The file could not be read or written.
    #[error("file: {0}")]
    File(io::ErrorKind),
    /// More than a QR code holds.
    #[error("too long for a QR code")]
    TooLongForQr,
}

/// The text of an object: one line.
pub fn write(form: Form, bytes: &[u8]) -> String {
    format!("{}:{}", form.name(), BASE32_NOPAD.encode(bytes))
}

/// The bytes of a text.
pub fn read(form: Form, text: &str) -> Result<Vec<u8>, TextError> {
    // line ends and spaces of a grant cost at most as much again
    if text.len() > 4 * form.bytes_max() + 64 {
        return Err(TextError::TooLong(form));
    }
    let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let packed = packed.to_ascii_uppercase();
    let found = packed.split_once(':').and_then(|(name, rest)| {
        let form = FORMS.into_iter().find(|form| form.name() == name)?;
        Some((form, rest))
    });
    let body = match found {
        None => return Err(TextError::NotOurs { wanted: form }),
        Some((found, _)) if found != form => return Err(TextError::Another { wanted: form, found }),
        Some((_, body)) => body,
    };
    let bytes = BASE32_NOPAD
        .decode(body.as_bytes())
        .map_err(|e| TextError::Mistyped(form.name().len() + 1 + e.position))?;
    match bytes.len() <= form.bytes_max() {
        true => Ok(bytes),
        false => Err(TextError::TooLong(form)),
    }
}

/// Six indexes as words of BIP-39, for two people to compare.
pub fn words(indexes: [u16; 6]) -> [&'static str; 6] {
    let list = Language::English.word_list();
    indexes.map(|i| list[usize::from(i) % list.len()])
}

fn qr(text: &str) -> Result<QrCode, TextError> {
    QrCode::with_error_correction_level(text, EcLevel::L).map_err(|_| TextError::TooLongForQr)
}

/// A QR code of half blocks for a terminal with light letters on a dark ground, quiet zone included.
pub fn qr_terminal(text: &str) -> Result<String, TextError> {
    let code = qr(text)?;
    let mut render = code.render::<unicode::Dense1x2>();
    render.dark_color(unicode::Dense1x2::Light);
    render.light_color(unicode::Dense1x2::Dark);
    Ok(render.quiet_zone(true).module_dimensions(1, 1).build())
}

/// A QR code as a drawing, dark on white.
pub fn qr_svg(text: &str) -> Result<String, TextError> {
    let code = qr(text)?;
    Ok(code
        .render::<svg::Color<'_>>()
        .min_dimensions(480, 480)
        .dark_color(svg::Color("#000000"))
        .light_color(svg::Color("#ffffff"))
        .build())
}

/// Writes a new file of one line and waits until it is on the disk. `secret`: for its owner's eyes only.
pub fn write_file(path: &Path, text: &str, secret: bool) -> Result<(), TextError> {
    let file = |e: io::Error| TextError::File(e.kind());
    let mode = if secret { 0o600 } else { 0o644 };
    let mut options = OpenOptions::new();
    let mut out = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(file)?;
    out.write_all(text.as_bytes()).map_err(file)?;
    out.write_all(b"\n").map_err(file)?;
    out.sync_all().map_err(file)
}

/// Reads the object in a file.
pub fn read_file(form: Form, path: &Path) -> Result<Vec<u8>, TextError> {
    let file = |e: io::Error| TextError::File(e.kind());
    let mut text = String::new();
    let most = 4 * form.bytes_max() as u64 + 65;
    File::open(path)
        .map_err(file)?
        .take(most)
        .read_to_string(&mut text)
        .map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData => TextError::NotOurs { wanted: form },
            kind => TextError::File(kind),
        })?;
    read(form, &text)
}
