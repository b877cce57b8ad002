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
use std::ffi::OsString;

/// Planted faults.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    /// Hands these bytes, in clear, to every relay: the search for plaintext must find them.
    pub in_clear: Option<Bytes>,
    /// Shows *delivered* as soon as an entry is stored: the comparison of words with evidence must see it.
    pub word_before_evidence: bool,
    /// With these arguments a program under test starts another one with the same faults.
    pub arguments: Vec<OsString>,
    /// Tells no peer which parts are here: the count of parts that came twice must rise.
    pub parts_forgotten: bool,
}

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
    pub(super) fn outgoing(&self, unit: Unit) -> Unit {
        if !self.parts_forgotten {
            return unit;
        }
        let frames = decode_all(&unit.bytes).flatten().flat_map(without_parts);
        let bytes = frames
            .flat_map(|bytes| bytes.to_vec())
            .collect::<Vec<u8>>()
            .into();
        Unit { bytes, ..unit }
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

/// A HAVE as of somebody who holds no part of any blob and stands by no receipt; other frames as they are.
fn without_parts(frame: Frame) -> Vec<Bytes> {
    let Frame::Have(body) = &frame else {
        return vec![frame.encode()];
    };
    let heard = HaveHead::decode(body).map(|head| head.resolve(None, None));
    match heard {
        Ok(Ok(have)) if have.blobs.is_some() => {
            let blobs = Some(Blobs::new());
            let reset = match have.subject {
                Subject::Handle(handle) => Some(Frame::Reset(handle)),
                Subject::Thread(_) => None,
            };
            let bodies = Have { blobs, ..have }.encode_all(None, None);
            let haves = bodies.into_iter().map(Frame::Have);
            reset
                .into_iter()
                .chain(haves)
                .map(|frame| frame.encode())
                .collect()
        }
        _ => vec![frame.encode()],
    }
}
