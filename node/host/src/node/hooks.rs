//! Faults that the test of the tests plants in a real program. A plain value, all off in every product: no
//! feature and no argument of a product switches one on (a tidy test allows the name only where it is
//! defined and handed through).

use crate::link::Unit;
use aidmesh_core::blobs::Blobs;
use aidmesh_core::delivery::State;
use aidmesh_core::envelope::{Class, Envelope, Place};
use aidmesh_core::id::{Handle, Key8, MsgId};
use aidmesh_core::limits;
use aidmesh_core::machine::event::Event;
use aidmesh_core::machine::open::Identity;
use aidmesh_core::mailbox::proof::Burst;
use aidmesh_core::sync::{Cutter, Have, HaveHead, Subject};
use aidmesh_core::wire::{Frame, decode_all};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::{Duration, Instant};

/// Planted faults.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    /// Hands these bytes, in clear, to every relay: the search for plaintext must find them.
    pub in_clear: Option<Bytes>,
    /// Shows *delivered* as soon as an entry is stored: the comparison of words with evidence must see it.
    pub word_before_evidence: bool,
    /// With these arguments a program under test starts another one with the same faults.
    pub arguments: Vec<OsString>,
    /// A relay ends a link after a silence in mid-transfer and tells the peer, when it comes again, that no
    /// part is here: the count of parts that came twice must rise.
    pub parts_forgotten: bool,
}

/// A silence that parts are forgotten after.
const SILENCE: Duration = Duration::from_secs(2);
/// How long they stay forgotten.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// Frames with parts that make a transfer.
const TRANSFER: u32 = 32;

/// What [`Hooks::parts_forgotten`] has to know of a peer.
#[derive(Debug, Default)]
pub(super) struct Forgetful {
    /// Until then no part is told.
    until: Option<Instant>,
    /// When anything came last.
    heard: Option<Instant>,
    /// Frames with parts.
    parts: u32,
}

/// By routing key.
pub(super) type Forgetfuls = BTreeMap<[u8; 32], Forgetful>;

impl Hooks {
    /// An item in clear for a mailbox that nobody empties, as a whole burst.
    pub(super) fn plaintext(&self, identity: &Identity) -> Option<Unit> {
        let text = self.in_clear.clone()?;
        let class = Class::Text;
        let envelope = Envelope {
            class,
            ttl: class.ttl(),
            handle: Handle::of_key(&identity.routing.public()),
            place: Place::Inbox,
            payload: text,
        };
        let item = envelope.encode();
        let cert = Key8::from_prefix(blake3::hash(&identity.routing_cert).as_bytes())?;
        let burst = Burst::make(cert, vec![MsgId::of(&item)], None, &identity.routing);
        let parts = Cutter::new(item, None, limits::UNIT_BYTES).map(Frame::Data);
        let frames = [
            Frame::Cert(identity.routing_cert.clone()),
            Frame::Burst(burst.bytes().clone()),
        ];
        let frames = frames.into_iter().chain(parts).map(|frame| frame.encode());
        let bytes = frames
            .flat_map(|bytes| bytes.to_vec())
            .collect::<Vec<u8>>()
            .into();
        Some(Unit { bytes, class })
    }

    /// What leaves in place of a unit.
    pub(super) fn outgoing(&self, unit: Unit, peer: Option<&Forgetful>) -> Unit {
        let until = peer.and_then(|peer| peer.until);
        if until.is_none_or(|until| Instant::now() >= until) {
            return unit;
        }
        let frames = decode_all(&unit.bytes).flatten();
        let bytes = frames.flat_map(|frame| without_parts(&frame).unwrap_or_else(|| frame.encode()));
        Unit {
            bytes: bytes.collect(),
            ..unit
        }
    }

    /// Looks at what came, and says whether the link ends for it.
    pub(super) fn incoming(&self, bytes: &Bytes, from: [u8; 32], peers: &mut Forgetfuls) -> bool {
        if !self.parts_forgotten {
            return false;
        }
        let peer = peers.entry(from).or_default();
        let now = Instant::now();
        let silence = peer.heard.replace(now).is_some_and(|at| now - at >= SILENCE);
        // once: a link that ends again and again would carry nothing
        let cut = silence && peer.parts >= TRANSFER && peer.until.is_none();
        if cut {
            peer.until = Some(now + FORGOTTEN);
        }
        let parts = decode_all(bytes).flatten();
        peer.parts += parts
            .map(|frame| u32::from(matches!(frame, Frame::Data(_))))
            .sum::<u32>();
        cut
    }

    /// A word that nobody signed for.
    pub(super) fn early_word(&self, event: &Event) -> Option<Event> {
        match event {
            Event::Delivery {
                thread,
                entry,
                dev,
                state: State::Stored,
                ..
            } if self.word_before_evidence => Some(Event::Delivery {
                thread: *thread,
                entry: *entry,
                dev: *dev,
                state: State::Delivered(None),
                marks: vec![],
            }),
            _ => None,
        }
    }
}

/// Of a HAVE: a RESET, and a HAVE as of somebody who holds no part of any blob.
fn without_parts(frame: &Frame) -> Option<Bytes> {
    let Frame::Have(body) = frame else { return None };
    let have = HaveHead::decode(body).ok()?.resolve(None, None).ok()?;
    let Subject::Handle(handle) = have.subject else {
        return None;
    };
    let blobs = Some(Blobs::new());
    let bodies = Have { blobs, ..have }.encode_all(None, None);
    let haves = bodies.into_iter().map(Frame::Have);
    let frames = [Frame::Reset(handle)].into_iter().chain(haves);
    Some(frames.flat_map(|frame| frame.encode().to_vec()).collect())
}
