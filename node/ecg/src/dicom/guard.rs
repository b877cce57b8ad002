//! Structure check before a DICOM file reaches the parser library.
//!
//! `dicom-object` allocates what an element's length field claims (up to 4 GiB)
//! and descends into nested sequences by recursion, so a few hostile bytes could
//! take the memory or the stack of the process; neither can be caught. This walk
//! goes over the same headers without recursion and without allocating, and
//! refuses every length that leaves its parent, every nesting above
//! [`limits::DICOM_DEPTH_MAX`] and more than [`limits::DICOM_ELEMENTS_MAX`]
//! elements. Wherever the library would have to guess (an unknown value
//! representation, an undefined length outside a sequence, a stray delimiter)
//! the file is refused, so that both always read the same structure.
//!
//! Source: DICOM PS3.5 chapter 7, PS3.10 chapter 7.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

use super::syntax;
use crate::import::{ImportError, check_count};
use crate::limits;

/// Bytes before the file meta group: the preamble and `DICM`.
const META_AT: usize = 132;
const UNDEFINED: u32 = u32::MAX;
const ITEM: (u16, u16) = (0xfffe, 0xe000);
const ITEM_END: (u16, u16) = (0xfffe, 0xe00d);
const SEQUENCE_END: (u16, u16) = (0xfffe, 0xe0dd);

/// An open sequence or item; `end` is known where its length is.
struct Frame {
    is_item: bool,
    end: Option<usize>,
}

/// An element header.
struct Header {
    tag: (u16, u16),
    vr: VR,
    length: u32,
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    explicit: bool,
    elements: usize,
}

/// Checks a whole Part 10 file.
pub(super) fn check(bytes: &[u8]) -> Result<(), ImportError> {
    let mut walk = Walk {
        bytes,
        at: META_AT,
        explicit: true,
        elements: 0,
    };
    walk.explicit = match walk.meta()? {
        syntax::EXPLICIT_LE => true,
        syntax::IMPLICIT_LE => false,
        _ => {
            return Err(ImportError::Unsupported(
                "a dicom transfer syntax other than plain little endian",
            ));
        }
    };
    walk.data_set()
}

fn broken(what: &'static str) -> ImportError {
    ImportError::DicomStructure(what)
}

impl<'a> Walk<'a> {
    /// Walks the file meta group; returns the transfer syntax.
    fn meta(&mut self) -> Result<&'a str, ImportError> {
        let first = self.header()?;
        if first.tag != (2, 0) || first.length != 4 {
            return Err(broken("no file meta group"));
        }
        let length = self.u32()? as usize;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(broken("the file meta group is longer than the file"))?;
        let mut found = "";
        while self.at < end {
            let header = self.header()?;
            let value = self.take(header.length as usize)?;
            if header.tag.0 != 2 {
                return Err(broken("a foreign element in the file meta group"));
            }
            if header.tag == (2, 0x10) {
                found = std::str::from_utf8(value).unwrap_or("");
            }
        }
        if self.at != end {
            return Err(broken("the file meta group has a wrong length"));
        }
        Ok(found.trim_end_matches(['\0', ' ']))
    }

    fn data_set(&mut self) -> Result<(), ImportError> {
        let mut open: Vec<Frame> = Vec::new();
        loop {
            while open.last().is_some_and(|frame| frame.end == Some(self.at)) {
                open.pop();
            }
            let limit = open
                .iter()
                .rev()
                .find_map(|frame| frame.end)
                .unwrap_or(self.bytes.len());
            if self.at >= self.bytes.len() {
                return if open.is_empty() {
                    Ok(())
                } else {
                    Err(broken("the file ends inside a sequence"))
                };
            }
            match open.last().map(|frame| (frame.is_item, frame.end)) {
                Some((false, end)) => self.in_sequence(&mut open, end, limit)?,
                Some((true, end)) => self.in_item(&mut open, Some(end), limit)?,
                None => self.in_item(&mut open, None, limit)?,
            }
        }
    }

    /// An item or the end of the sequence.
    fn in_sequence(
        &mut self,
        open: &mut Vec<Frame>,
        end: Option<usize>,
        limit: usize,
    ) -> Result<(), ImportError> {
        let (tag, length) = (self.tag()?, self.u32()?);
        match tag {
            ITEM => open.push(Frame {
                is_item: true,
                end: self.end_of(length, limit)?,
            }),
            SEQUENCE_END if end.is_none() && length == 0 => drop(open.pop()),
            _ => return Err(broken("no item where an item belongs")),
        }
        self.count()
    }

    /// An element or, with `frame_end`, the end of the item.
    fn in_item(
        &mut self,
        open: &mut Vec<Frame>,
        frame_end: Option<Option<usize>>,
        limit: usize,
    ) -> Result<(), ImportError> {
        if self.peek_tag() == Some(ITEM_END) && frame_end == Some(None) {
            self.tag()?;
            if self.u32()? != 0 {
                return Err(broken("a delimiter with a length"));
            }
            open.pop();
            return Ok(());
        }
        let header = self.header()?;
        self.count()?;
        if header.tag.0 == 0xfffe || header.tag.0 == 2 {
            return Err(broken("a delimiter or meta element where data belongs"));
        }
        if header.vr == VR::SQ {
            if open.len() >= 2 * limits::DICOM_DEPTH_MAX {
                return Err(broken("sequences nested too deeply"));
            }
            let end = self.end_of(header.length, limit)?;
            open.push(Frame { is_item: false, end });
            return Ok(());
        }
        if header.length == UNDEFINED {
            return Err(broken("a value without a length"));
        }
        if !header.length.is_multiple_of(unit_bytes(header.vr)) {
            return Err(broken("a value that is not a whole number of its units"));
        }
        self.end_of(header.length, limit)?;
        self.take(header.length as usize)?;
        Ok(())
    }

    fn count(&mut self) -> Result<(), ImportError> {
        self.elements += 1;
        check_count("dicom elements", self.elements, limits::DICOM_ELEMENTS_MAX)
    }

    /// Where a value of this length ends; `None` for an undefined length.
    fn end_of(&self, length: u32, limit: usize) -> Result<Option<usize>, ImportError> {
        if length == UNDEFINED {
            return Ok(None);
        }
        let end = self.at.checked_add(length as usize).filter(|end| *end <= limit);
        end.map(Some).ok_or(broken("a value reaches beyond its parent"))
    }

    fn header(&mut self) -> Result<Header, ImportError> {
        let tag = self.tag()?;
        if !self.explicit {
            let length = self.u32()?;
            let entry = StandardDataDictionary.by_tag(Tag(tag.0, tag.1));
            let vr = entry.map_or(VR::UN, |entry| entry.vr().relaxed());
            return Ok(Header { tag, vr, length });
        }
        if tag.0 == 0xfffe {
            return Err(broken("a delimiter where data belongs"));
        }
        let code = self.take(2)?;
        let vr = VR::from_binary([code[0], code[1]]).ok_or(broken("unknown value representation"))?;
        let length = if short_length(vr) {
            let field = self.take(2)?;
            u32::from(u16::from_le_bytes([field[0], field[1]]))
        } else {
            self.take(2)?;
            self.u32()?
        };
        Ok(Header { tag, vr, length })
    }

    fn peek_tag(&self) -> Option<(u16, u16)> {
        let field = self.bytes.get(self.at..self.at.checked_add(4)?)?;
        Some((
            u16::from_le_bytes([field[0], field[1]]),
            u16::from_le_bytes([field[2], field[3]]),
        ))
    }

    fn tag(&mut self) -> Result<(u16, u16), ImportError> {
        let tag = self.peek_tag().ok_or(broken("the file ends inside an element"))?;
        self.at += 4;
        Ok(tag)
    }

    fn u32(&mut self) -> Result<u32, ImportError> {
        let field = self.take(4)?;
        Ok(u32::from_le_bytes([field[0], field[1], field[2], field[3]]))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ImportError> {
        let end = self.at.checked_add(length);
        let value = end.and_then(|end| self.bytes.get(self.at..end));
        let value = value.ok_or(broken("the file ends inside an element"))?;
        self.at += length;
        Ok(value)
    }
}

/// Bytes of one unit of a value. The library reads whole units and would go on
/// in the middle of a value that ends in a part of one.
fn unit_bytes(vr: VR) -> u32 {
    match vr {
        VR::US | VR::SS | VR::OW => 2,
        VR::UL | VR::SL | VR::FL | VR::AT | VR::OF | VR::OL => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}

/// Value representations with a 16-bit length (PS3.5 7.1.2).
fn short_length(vr: VR) -> bool {
    use VR::{AE, AS, AT, CS, DA, DS, DT, FD, FL, IS, LO, LT, PN, SH, SL, SS, ST, TM, UI, UL, US};
    matches!(
        vr,
        AE | AS
            | AT
            | CS
            | DA
            | DS
            | DT
            | FL
            | FD
            | IS
            | LO
            | LT
            | PN
            | SH
            | SL
            | SS
            | ST
            | TM
            | UI
            | UL
            | US
    )
}
