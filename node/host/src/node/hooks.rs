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
    /// After a silence in mid-transfer tells the peer that no part is here: the count of parts that came
    /// twice must rise.
    pub parts_forgotten: bool,
}

/// A silence that parts are forgotten after.
const SILENCE: Duration = Duration::from_secs(2);

/// What [`Hooks::parts_forgotten`] has to know of a link.
#[derive(Debug, Default)]
pub(super) struct Forgetful {
    /// The last HAVE of each handle that was told.
    told: BTreeMap<Handle, Bytes>,
    /// When anything came last.
    heard: Option<Instant>,
    /// When a part came last.
    part: Option<Instant>,
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

    /// Looks at what leaves.
    pub(super) fn outgoing(&self, unit: &Unit, link: &mut Forgetful) {
        let frames = decode_all(&unit.bytes).flatten().filter(|_| self.parts_forgotten);
        for frame in frames {
            if let Frame::Have(body) = frame
                && let Ok(HaveHead {
                    subject: Subject::Handle(handle),
                    ..
                }) = HaveHead::decode(&body)
            {
                link.told.insert(handle, body);
            }
        }
    }

    /// Looks at what came, and says what is told before it is taken.
    pub(super) fn incoming(&self, bytes: &Bytes, link: &mut Forgetful) -> Vec<Unit> {
        if !self.parts_forgotten {
            return vec![];
        }
        let now = Instant::now();
        let heard = link.heard.replace(now).filter(|at| now - *at >= SILENCE);
        let in_transfer = |at: Instant| link.part.is_some_and(|part| at - part < SILENCE);
        let cut = heard.is_some_and(in_transfer);
        if decode_all(bytes)
            .flatten()
            .any(|frame| matches!(frame, Frame::Data(_)))
        {
            link.part = Some(now);
        }
        let told = link.told.values().filter(|_| cut);
        told.filter_map(without_parts).collect()
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

/// A RESET, and a HAVE as of somebody who holds no part of any blob.
fn without_parts(told: &Bytes) -> Option<Unit> {
    let have = HaveHead::decode(told).ok()?.resolve(None, None).ok()?;
    let Subject::Handle(handle) = have.subject else {
        return None;
    };
    let blobs = Some(Blobs::new());
    let bodies = Have { blobs, ..have }.encode_all(None, None);
    let haves = bodies.into_iter().map(Frame::Have);
    let frames = [Frame::Reset(handle)].into_iter().chain(haves);
    let bytes = frames
        .flat_map(|frame| frame.encode().to_vec())
        .collect::<Vec<u8>>();
    Some(Unit {
        bytes: bytes.into(),
        class: Class::Text,
    })
}
