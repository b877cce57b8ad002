//! Identifiers. Each is a fixed array of bytes with its own type, so that a handle can never be
//! passed where a slot is meant. `Debug` shows at most eight hex digits: ids appear in logs.
//! Where an id is derived, the constructor states the formula (PROTOCOL section 2, DETAILS section 2).

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $n:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $n]);

        impl $name {
            /// The bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// From the first bytes of a longer hash; `None` if `bytes` is too short.
            pub fn from_prefix(bytes: &[u8]) -> Option<$name> {
                bytes.get(..$n).map(|b| {
                    let mut id = [0u8; $n];
                    id.copy_from_slice(b);
                    $name(id)
                })
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().take(4).try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    };
}

id!(
    /// A care-team thread: `BLAKE3("thread" || genesis)[..16]`. Never on the air in clear.
    ThreadId, 16);
id!(
    /// A device: `BLAKE3(DK)[..16]` of its Ed25519 device key.
    Dev, 16);
id!(
    /// A person: `BLAKE3(record)[..8]`.
    Person, 8);
id!(
    /// An organisation: `BLAKE3(root key)[..8]`.
    Org, 8);
id!(
    /// A key or certificate seen from outside: `BLAKE3(key)[..8]` (issuer, relay, carrier).
    Key8, 8);
id!(
    /// A log of one device in one thread: `BLAKE3("slot" || thread || DK || incarnation)[..4]`.
    Slot, 4);
id!(
    /// What a carrier addresses: `BLAKE3(HK.public)[..8]`, or of an inbox key.
    Handle, 8);
id!(
    /// An MLS epoch node: `SHA-256("node" || parent || SHA-256(commit))[..16]`.
    NodeId, 16);
id!(
    /// An envelope: `BLAKE3(envelope)[..16]`.
    MsgId, 16);
id!(
    /// A control object: `BLAKE3("op" || signed bytes)[..16]`.
    OpId, 16);
id!(
    /// A blob: `BLAKE3("obj" || object key)[..8]`.
    Object8, 8);
id!(
    /// Which control key sealed an object: `KDF(ck, "kid")[..4]`.
    Kid, 4);

/// Sequence number in one log of one slot, from 1 without gaps.
pub type Seq = u32;
/// Which life of a device in a thread; a removed and re-added device has a higher one.
pub type Incarnation = u32;

fn blake(parts: &[&[u8]]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

fn prefix<const N: usize>(hash: &blake3::Hash) -> [u8; N] {
    let mut out = [0u8; N];
    out.copy_from_slice(&hash.as_bytes()[..N]);
    out
}

impl ThreadId {
    /// Thread of the given genesis object (its signed bytes).
    pub fn of_genesis(genesis: &[u8]) -> ThreadId {
        ThreadId(prefix(&blake(&[b"thread", genesis])))
    }
}

impl Dev {
    /// Device of the given device key.
    pub fn of_key(device_key: &[u8; 32]) -> Dev {
        Dev(prefix(&blake(&[device_key])))
    }
}

impl Key8 {
    /// Short name of a public key.
    pub fn of_key(key: &[u8; 32]) -> Key8 {
        Key8(prefix(&blake(&[key])))
    }
}

impl Org {
    /// Organisation of the given root key.
    pub fn of_root(root_key: &[u8; 32]) -> Org {
        Org(prefix(&blake(&[root_key])))
    }
}

impl Slot {
    /// Every branch computes the same slot; nobody allocates.
    pub fn of(thread: ThreadId, device_key: &[u8; 32], incarnation: Incarnation) -> Slot {
        Slot(prefix(&blake(&[
            b"slot",
            &thread.0,
            device_key,
            &incarnation.to_le_bytes(),
        ])))
    }
}

impl Handle {
    /// Handle of a public handle key or inbox key.
    pub fn of_key(public: &[u8; 32]) -> Handle {
        Handle(prefix(&blake(&[public])))
    }
}

impl MsgId {
    /// Id of an envelope's bytes as they are on the wire.
    pub fn of(envelope: &[u8]) -> MsgId {
        MsgId(prefix(&blake(&[envelope])))
    }
}

impl OpId {
    /// Id of a control object: kind, body and signature as they were signed.
    pub fn of(signed: &[u8]) -> OpId {
        OpId(prefix(&blake(&[b"op", signed])))
    }
}

impl Object8 {
    /// Id of the blob that this key seals.
    pub fn of_key(object_key: &[u8; 32]) -> Object8 {
        Object8(prefix(&blake(&[b"obj", object_key])))
    }
}
