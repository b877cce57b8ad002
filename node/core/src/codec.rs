//! Reading and writing of bytes. All integers are little-endian; `varint` is LEB128, minimal, at
//! most five bytes (DETAILS section 2). A reader is total: it returns [`Malformed`] and never
//! panics, and it never allocates before the bytes are there.

use bytes::Bytes;

/// The bytes do not follow the layout. Carries the rule that they break, never the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed: {0}")]
pub struct Malformed(pub &'static str);

/// Cursor over received bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { all: bytes, at: 0 }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.all.len() - self.at
    }

    /// Position from the start.
    pub fn position(&self) -> usize {
        self.at
    }

    /// All bytes read so far.
    pub fn consumed(&self) -> &'a [u8] {
        &self.all[..self.at]
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(n).ok_or(Malformed("length overflow"))?;
        let out = self.all.get(self.at..end).ok_or(Malformed("too short"))?;
        self.at = end;
        Ok(out)
    }

    /// A fixed array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut out = [0u8; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Six bytes, little-endian.
    pub fn u48(&mut self) -> Result<u64, Malformed> {
        let b: [u8; 6] = self.array()?;
        Ok(u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], 0, 0]))
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// LEB128, at most five bytes, value below 2^32, no longer than needed.
    pub fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0u64;
        for i in 0..5 {
            let b = self.u8()?;
            value |= u64::from(b & 0x7f) << (7 * i);
            if b & 0x80 == 0 {
                if i > 0 && b == 0 {
                    return Err(Malformed("varint not minimal"));
                }
                return u32::try_from(value).map_err(|_| Malformed("varint over 32 bits"));
            }
        }
        Err(Malformed("varint over five bytes"))
    }

    /// A count, refused above `max` before anything is allocated.
    pub fn count(&mut self, max: usize) -> Result<usize, Malformed> {
        let n = self.varint()? as usize;
        if n > max {
            Err(Malformed("count over the limit"))
        } else {
            Ok(n)
        }
    }

    /// Length as a varint, then that many bytes, at most `max`.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let n = self.count(max)?;
        self.take(n)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let out = &self.all[self.at..];
        self.at = self.all.len();
        out
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.left() == 0 {
            Ok(())
        } else {
            Err(Malformed("trailing bytes"))
        }
    }
}

/// Appends in the layouts of this protocol.
#[derive(Debug, Clone, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// An empty writer.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Raw bytes.
    pub fn put(&mut self, bytes: &[u8]) -> &mut Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    /// One byte.
    pub fn u8(&mut self, v: u8) -> &mut Writer {
        self.put(&[v])
    }

    /// Two bytes.
    pub fn u16(&mut self, v: u16) -> &mut Writer {
        self.put(&v.to_le_bytes())
    }

    /// Four bytes.
    pub fn u32(&mut self, v: u32) -> &mut Writer {
        self.put(&v.to_le_bytes())
    }

    /// Six bytes; higher bits are dropped.
    pub fn u48(&mut self, v: u64) -> &mut Writer {
        self.put(&v.to_le_bytes()[..6])
    }

    /// Eight bytes.
    pub fn u64(&mut self, v: u64) -> &mut Writer {
        self.put(&v.to_le_bytes())
    }

    /// LEB128, minimal.
    pub fn varint(&mut self, mut v: u32) -> &mut Writer {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.u8(v as u8)
    }

    /// A length or count that the caller keeps below 2^32.
    pub fn count(&mut self, n: usize) -> &mut Writer {
        self.varint(u32::try_from(n).expect("lengths are bounded by limits.rs"))
    }

    /// Length, then bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Writer {
        self.count(bytes.len()).put(bytes)
    }

    /// The bytes written.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_longer_forms_are_refused() {
        for v in [0u32, 1, 127, 128, 300, 16_383, 16_384, u32::MAX] {
            let mut w = Writer::new();
            w.varint(v);
            assert_eq!(Reader::new(&w.0).varint(), Ok(v));
        }
        assert!(Reader::new(&[0x80, 0x00]).varint().is_err());
        assert!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x7f]).varint().is_err());
        assert!(Reader::new(&[0x80; 6]).varint().is_err());
    }

    #[test]
    fn a_count_over_its_limit_allocates_nothing() {
        assert!(Reader::new(&[0xff, 0xff, 0x03]).bytes(16).is_err());
    }
}
