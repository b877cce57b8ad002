//! Cuts the bytes of a stream into groups of whole frames for the machine.
//!
//! A frame tells its own length, so frames follow each other without anything between. What has arrived is
//! handed on in groups, so that a burst of small frames is one call. A group is a copy of its own bytes: what
//! the machine keeps of it does not hold a large buffer alive.
//!
//! At most one frame that is not complete is held, with what one read brought: below 128 KiB. What frames
//! say is not looked at here.

use aidmesh_core::codec::Malformed;
use aidmesh_core::limits;
use aidmesh_core::wire::frame_len;
use bytes::{Buf, Bytes, BytesMut};

/// Bytes in a group, unless it is one larger frame.
const GROUP_BYTES: usize = 16 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    held: BytesMut,
}

impl Cutter {
    /// More of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next group of whole frames, `None` if the first one is not complete.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Malformed> {
        let (mut end, mut frames) = (0, 0);
        while frames < limits::FRAMES_PER_DATAGRAM && end < self.held.len() {
            let Some(len) = frame_len(&self.held[end..])? else {
                break;
            };
            let whole = end + len <= self.held.len();
            if !whole || (end > 0 && end + len > GROUP_BYTES) {
                break;
            }
            end += len;
            frames += 1;
        }
        if end == 0 {
            return Ok(None);
        }
        let group = Bytes::copy_from_slice(&self.held[..end]);
        self.held.advance(end);
        Ok(Some(group))
    }

    /// Nothing of a frame is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// Bytes of a unit for which the machine spends what it was granted: parts of items (DATA) and the bursts
/// that announce them. Everything else leaves without a grant (see the machine's `fill`).
pub(crate) fn paid_bytes(unit: &[u8]) -> usize {
    const PAID: [u8; 2] = [0x04, 0x07];
    let (mut at, mut paid) = (0, 0);
    while let Ok(Some(len)) = frame_len(&unit[at..]) {
        let end = (at + len).min(unit.len());
        if PAID.contains(&unit[at]) {
            paid += end - at;
        }
        at = end;
        if at == unit.len() {
            break;
        }
    }
    paid
}

#[cfg(test)]
mod tests {
    use super::*;
    use aidmesh_core::wire::{Data, Frame};

    fn frame(n: usize) -> Bytes {
        Frame::Cert(vec![7; n].into()).encode()
    }

    fn all(cutter: &mut Cutter) -> Vec<Bytes> {
        std::iter::from_fn(|| cutter.next().unwrap()).collect()
    }

    #[test]
    fn frames_come_out_whole_wherever_the_stream_is_cut() {
        let stream = [frame(3), frame(200), frame(0), frame(70)].concat();
        for step in 1..stream.len() {
            let mut cutter = Cutter::default();
            let mut out = vec![];
            for piece in stream.chunks(step) {
                cutter.push(piece);
                for group in all(&mut cutter) {
                    let mut at = 0;
                    while at < group.len() {
                        at += frame_len(&group[at..]).unwrap().unwrap();
                    }
                    assert_eq!(at, group.len(), "a group ends with a frame");
                    out.extend_from_slice(&group);
                }
            }
            assert_eq!(out, stream);
            assert!(cutter.is_empty());
        }
    }

    #[test]
    fn groups_are_bounded_in_bytes_and_frames() {
        let mut cutter = Cutter::default();
        for _ in 0..40 {
            cutter.push(&frame(1000));
        }
        let groups = all(&mut cutter);
        assert!(groups.len() > 2 && groups.iter().all(|g| g.len() <= GROUP_BYTES));
        for _ in 0..1000 {
            cutter.push(&frame(0));
        }
        let most = limits::FRAMES_PER_DATAGRAM * 2;
        assert!(all(&mut cutter).iter().all(|g| g.len() <= most));
        let large = Frame::Burst(vec![1; limits::FRAME_BYTES].into()).encode();
        cutter.push(&large);
        assert_eq!(all(&mut cutter), [large]);
    }

    #[test]
    fn an_endless_frame_is_refused_at_its_head() {
        for head in [
            &[4, 0x81, 0x80, 0x04][..],
            &[4, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[4, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ] {
            let mut cutter = Cutter::default();
            cutter.push(head);
            assert!(cutter.next().is_err(), "{head:?}");
        }
    }

    #[test]
    fn only_items_and_their_bursts_are_paid_for() {
        let data = Frame::Data(Data {
            key: [1; 8],
            off: 5,
            first: None,
            last: true,
            bytes: Bytes::from_static(b"part"),
        })
        .encode();
        let burst = Frame::Burst(Bytes::from_static(b"burst")).encode();
        let unit = [frame(9), data.clone(), frame(0), burst.clone()].concat();
        assert_eq!(paid_bytes(&unit), data.len() + burst.len());
        assert_eq!(paid_bytes(&frame(9)), 0);
        assert_eq!(paid_bytes(&[]), 0);
        assert_eq!(paid_bytes(&data[..data.len() - 1]), data.len() - 1);
    }
}
