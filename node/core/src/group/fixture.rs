//! Devices and a thread for tests of this module.

use super::control::{Act, Genesis, History, Object, Op, Past, Verified, sign};
use crate::crypto::KeyPair;
use crate::directory::{DeviceCert, Name, Role, Roles, Signed, ThreadKind, Window};
use crate::id::{Dev, Incarnation, Key8, NodeId, Org, Person, Slot, ThreadId};

pub(crate) const OWNER: Org = Org([1; 8]);
pub(crate) const FOREIGN: Org = Org([2; 8]);

/// A device with one role.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) keys: KeyPair,
    pub(crate) cert: DeviceCert,
    pub(crate) role: Role,
}

impl Device {
    pub(crate) fn new(n: u8, role: Role, org: Org) -> Device {
        let keys = KeyPair::from_seed(&[n; 32]);
        let cert = DeviceCert {
            org,
            serial: 1,
            device_key: keys.public(),
            seal_key: [n; 32],
            inbox_key: [n; 32],
            person: Person([n; 8]),
            roles: Roles::of(&[role]),
            window: Window {
                not_before_min: 1,
                not_after_min: 2,
            },
            issuer: Key8([0; 8]),
            name: Name::new("unit").unwrap(),
            sig: [0; 64],
        };
        let cert = cert.signed_by(&KeyPair::from_seed(&[200; 32]));
        Device { keys, cert, role }
    }

    pub(crate) fn dev(&self) -> Dev {
        self.cert.dev()
    }

    /// Hash of a pretended key package of this device.
    pub(crate) fn kp(&self) -> [u8; 32] {
        *blake3::hash(&self.dev().0).as_bytes()
    }

    pub(crate) fn slot(&self, thread: ThreadId, inc: Incarnation) -> Slot {
        Slot::of(thread, &self.keys.public(), inc)
    }
}

pub(crate) fn genesis(founder: &Device, kind: ThreadKind) -> Verified {
    let genesis = Genesis {
        kind,
        history: History::All,
        suite: 0x004D,
        drill: true,
        salt: [9; 16],
        founder: founder.cert.clone(),
        co_owners: vec![],
        sequencers: vec![Key8([5; 8]), Key8([4; 8])],
        title: "Bed 4, chest pain".to_owned(),
    };
    let object = Object::Genesis(Box::new(genesis));
    let bytes = sign(&object, ThreadId::default(), Slot::default(), &founder.keys).unwrap();
    Verified::genesis(&bytes).unwrap()
}

pub(crate) fn add(whom: &Device, inc: Incarnation) -> Act {
    Act::Add {
        dev: whom.dev(),
        inc,
        role: whom.role,
        kp: Some(whom.kp()),
        break_glass: false,
    }
}

pub(crate) fn found(founder: &Device) -> Act {
    Act::Add {
        dev: founder.dev(),
        inc: 1,
        role: founder.role,
        kp: None,
        break_glass: false,
    }
}

pub(crate) fn remove(whom: &Device, inc: Incarnation, why: super::control::Why) -> Act {
    Act::Remove {
        dev: whom.dev(),
        inc,
        why,
        as_of: NodeId([3; 16]),
    }
}

/// Signs an op and verifies it again.
pub(crate) fn op(
    thread: ThreadId,
    author: &Device,
    inc: Incarnation,
    counter: u32,
    past: Past,
    act: Act,
) -> Verified {
    let slot = author.slot(thread, inc);
    let op = Op { counter, act, past };
    let bytes = sign(&Object::Op(op), thread, slot, &author.keys).unwrap();
    Verified::open(&bytes, thread, slot, &author.keys.public()).unwrap()
}
