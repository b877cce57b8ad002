use super::*;
use crate::crypto::{Domain, KeyPair, Stream};
use crate::id::MsgId;

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn part(first: Option<First>, off: u32, last: bool) -> Frame {
    let bytes = bytes("part");
    Frame::Data(Data {
        key: [7; 8],
        off,
        first,
        last,
        bytes,
    })
}

fn open(exporter: &[u8; 32]) -> Open {
    let keys = KeyPair::from_seed(&[5; 32]);
    let (key, what) = (keys.public(), What::Follow);
    let handle = Handle::of_key(&key);
    let sig = keys.sign(Domain::Open, &open_message(exporter, handle, what));
    Open {
        handle,
        key,
        what,
        sig,
    }
}

fn samples() -> Vec<(&'static str, Frame)> {
    let carry = Some(Carry {
        age_s: 3600,
        copies: 8,
    });
    let mark = |n| ThreadMark {
        tag: [n; 8],
        digest: [n + 1; 8],
    };
    vec![
        (
            "hello",
            Frame::Hello(Hello {
                caps: CAP_CARRY | CAP_THIN,
                nonce: [3; 8],
                ms: 0x0102_0304_0506,
                set: 30,
                root: [9; 16],
            }),
        ),
        ("hello_other_version", Frame::OtherVersion(2)),
        ("threads", Frame::Threads(vec![mark(1), mark(3)])),
        ("have", Frame::Have(bytes("have"))),
        (
            "data_first",
            part(
                Some(First {
                    total: 900,
                    carry: None,
                }),
                0,
                false,
            ),
        ),
        ("data_carried", part(Some(First { total: 4, carry }), 0, true)),
        ("data_middle", part(None, 300, false)),
        ("data_last", part(None, 896, true)),
        ("cert", Frame::Cert(bytes("cert"))),
        ("receipt", Frame::Receipt(bytes("receipt"))),
        ("burst", Frame::Burst(bytes("burst"))),
        ("seq", Frame::Seq(bytes("seq"))),
        ("ack", Frame::Ack(bytes("ack"))),
        ("revoked", Frame::Revoked(vec![[1; 8], [2; 8]])),
        ("want", Frame::Want(vec![[1; 16]])),
        ("riblt", Frame::Riblt(bytes("cells"))),
        ("reset", Frame::Reset(Handle([4; 8]))),
        ("open", Frame::Open(open(&[6; 32]))),
        ("bye", Frame::Bye(BYE_VERSION)),
        ("revocation", Frame::Revocation(bytes("revocation"))),
        (
            "refused",
            Frame::Refused(Refused {
                handle: Handle([4; 8]),
                id: MsgId([5; 16]),
                why: 3,
            }),
        ),
        ("unknown", Frame::Unknown(0x7e)),
    ]
}

#[test]
fn frames_round_trip_and_match_the_golden_vectors() {
    let all: Vec<_> = samples().into_iter().map(|(n, f)| (n, f.encode(), f)).collect();
    for (name, bytes, frame) in &all {
        assert_eq!(Frame::decode(bytes), Ok(frame.clone()), "{name}");
    }
    let vectors: Vec<_> = all.iter().map(|(n, b, _)| (*n, &b[..])).collect();
    crate::golden::check("frames", &vectors);
    assert_eq!(all[0].1.len(), 2 + 34);
}

#[test]
fn a_datagram_holds_several_frames_and_unknown_ones_are_skipped() {
    let all: Vec<_> = samples().into_iter().map(|s| s.1).collect();
    let mut w = crate::codec::Writer::new();
    w.put(&[0x7f, 3, 1, 2, 3]);
    all.iter().for_each(|f| f.write(&mut w));
    let decoded: Result<Vec<_>, _> = decode_all(&w.finish()).collect();
    let mut expected = vec![Frame::Unknown(0x7f)];
    expected.extend(all);
    assert_eq!(decoded, Ok(expected));
}

#[test]
fn a_spoiled_body_spoils_one_frame_and_a_spoiled_length_the_rest() {
    let read = |b: &'static [u8]| decode_all(&Bytes::from_static(b)).collect::<Vec<_>>();
    let got = read(&[0x0f, 2, 0, 0, 0x0f, 1, 0]);
    assert_eq!(got, [Err(Malformed("trailing bytes")), Ok(Frame::Bye(0))]);
    assert_eq!(read(&[0x0f, 9, 0, 0x0f, 1, 0]), [Err(Malformed("too short"))]);
    assert_eq!(read(&[0x0f, 0x80, 0, 0x0f, 1, 0]).len(), 1);
    let many = [0x7f, 0].repeat(limits::FRAMES_PER_DATAGRAM + 9);
    assert_eq!(decode_all(&many.into()).count(), limits::FRAMES_PER_DATAGRAM + 1);
}

#[test]
fn the_length_of_a_frame_is_known_as_soon_as_it_can_be() {
    assert_eq!(frame_len(&[]), Ok(None));
    assert_eq!(frame_len(&[4]), Ok(None));
    assert_eq!(frame_len(&[4, 0x80]), Ok(None));
    assert_eq!(frame_len(&[4, 0x80, 1]), Ok(Some(131)));
    assert!(frame_len(&[4, 0x80, 0]).is_err());
    assert!(frame_len(&[4, 0x81, 0x80, 4]).is_err());
}

#[test]
fn hostile_frames_are_refused() {
    for bad in [
        &[0x02, 3, 0xff, 0xff, 3][..],
        &[0x04, 10, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x04, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0x04, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x04, 12, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 9],
        &[0x0d, 7, 0, 0, 0, 0, 0, 0, 0],
        &[0x0f, 0],
        &[0x01, 0],
    ] {
        let bad = Bytes::from_static(bad);
        assert!(Frame::decode(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_open_holds_for_its_connection_and_key_only() {
    let mut request = open(&[6; 32]);
    assert!(request.verify(&[6; 32]));
    assert!(!request.verify(&[7; 32]));
    request.handle.0[0] ^= 1;
    assert!(!request.verify(&[6; 32]));
}

#[test]
fn mutated_frames_never_panic() {
    let mut stream = Stream::new([1; 32]);
    let all: Vec<_> = samples().into_iter().map(|s| s.1.encode()).collect();
    for round in 0..5_000 {
        let mut bytes = [&all[round % all.len()][..], &all[(round * 7) % all.len()]].concat();
        for _ in 0..=stream.below(4) {
            let at = stream.below(bytes.len() as u64) as usize;
            bytes[at] = stream.below(256) as u8;
        }
        bytes.truncate(bytes.len() - stream.below(3) as usize);
        for frame in decode_all(&bytes.into()).flatten() {
            assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }
    }
}
