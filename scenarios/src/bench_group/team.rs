//! The thread that is measured: a founder, the devices that it adds, and what it says of that.

use super::BenchError;
use super::bare::TEXT;
use aidmesh_core::clinical::{Body, CtlKey, CtlKeys, Note};
use aidmesh_core::crypto::{KeyPair, Secret, kdf, x25519_public};
use aidmesh_core::directory::{DeviceCert, Name, Role, Roles, Signed, ThreadKind, Window};
use aidmesh_core::entry::{Entry, Kind};
use aidmesh_core::envelope::{Class, Envelope, Place};
use aidmesh_core::group::control::{self, Act, Commit, Genesis, History, MadeBy, Object, Op, Past};
use aidmesh_core::group::keys::{self, ControlKey};
use aidmesh_core::group::mls::{
    Committed, Crypto, KeyPackages, NodeState, SealPlace, Suite, key_package_hash, node_id,
    strip_key_packages,
};
use aidmesh_core::id::{Handle, Key8, NodeId, OpId, Org, Person, Seq, Slot, ThreadId};
use aidmesh_core::ranges::Log;
use aidmesh_core::store::{Batch, Memory};
use aidmesh_core::time::Hlc;
use bytes::Bytes;

/// Milliseconds of every clock here.
const NOW_MS: u64 = 1_795_000_000_000;
/// Numbers of entries take two bytes, as in a thread that has lived for a day.
pub(super) const SEQ: Seq = 200;

pub(super) struct Device {
    pub(super) crypto: Crypto,
    pub(super) keys: KeyPair,
    pub(super) cert: DeviceCert,
    pub(super) packages: KeyPackages,
    /// The one by which it is added.
    pub(super) package: Bytes,
}

impl Device {
    fn new(suite: Suite, n: usize) -> Result<Device, BenchError> {
        let key = |what| kdf(&n.to_le_bytes(), what).0;
        let keys = KeyPair::from_seed(&key("bench device"));
        let start_min = (NOW_MS / 60_000) as u32;
        let cert = DeviceCert {
            org: Org([1; 8]),
            serial: 1,
            device_key: keys.public(),
            seal_key: x25519_public(&Secret(key("bench seal"))),
            inbox_key: KeyPair::from_seed(&key("bench inbox")).public(),
            person: Person([2; 8]),
            roles: Roles::of(&[Role::Physician]),
            window: Window {
                not_before_min: start_min,
                not_after_min: start_min + 30 * 24 * 60,
            },
            issuer: Key8::default(),
            name: Name::new(&format!("ambulance {n:03}")).expect("shorter than a name may be"),
            sig: [0; 64],
        };
        let cert = cert.signed_by(&KeyPair::from_seed(&key("bench administrator")));
        let crypto = Crypto::new(key("bench chance"));
        let mut packages = KeyPackages::load(&Memory::new()).expect("an empty store can be read");
        let package = packages.make(&crypto, suite, &keys, &cert.encode())?;
        Ok(Device {
            crypto,
            keys,
            cert,
            packages,
            package,
        })
    }
}

/// A thread whose founder, the first device, has just added all others.
pub(super) struct Team {
    pub(super) suite: Suite,
    pub(super) devices: Vec<Device>,
    pub(super) genesis: Vec<u8>,
    pub(super) thread: ThreadId,
    pub(super) control_key: ControlKey,
    /// Ops that add the others, signed.
    pub(super) adds: Vec<Vec<u8>>,
    pub(super) commit: Commit,
    pub(super) made: Committed,
    pub(super) node: NodeId,
}

impl Team {
    pub(super) fn found(suite: Suite, members: usize) -> Result<Team, BenchError> {
        let devices = (0..members).map(|n| Device::new(suite, n));
        let devices: Vec<Device> = devices.collect::<Result<_, _>>()?;
        let founder = &devices[0];
        let genesis = Object::Genesis(Box::new(Genesis {
            kind: ThreadKind::Patient,
            history: History::All,
            suite: suite.to_u16(),
            drill: false,
            salt: [3; 16],
            founder: founder.cert.clone(),
            co_owners: vec![],
            sequencers: vec![],
            title: "Bed 4, chest pain".to_owned(),
        }));
        let genesis = control::sign(&genesis, ThreadId::default(), Slot::default(), &founder.keys)?;
        let thread = ThreadId::of_genesis(&genesis);
        let slot = Slot::of(thread, &founder.keys.public(), 1);
        let made = add_all(suite, &devices, thread)?;
        let mut adds: Vec<Vec<u8>> = Vec::new();
        for device in &devices[1..] {
            let act = Act::Add {
                dev: device.cert.dev(),
                inc: 1,
                role: Role::Physician,
                kp: Some(key_package_hash(&device.package)),
                break_glass: false,
            };
            let past = adds.last().map(|op| OpId::of(op));
            let op = op(adds.len() as u32 + 2, act, past);
            adds.push(control::sign(&op, thread, slot, &founder.keys)?);
        }
        let mut ids: Vec<OpId> = adds.iter().map(|op| OpId::of(op)).collect();
        ids.sort_unstable();
        let commit = Commit {
            parent: node_id(&NodeId::default(), &thread.0),
            author: slot,
            made_by: MadeBy::Member,
            adds: ids,
            removes: vec![],
            key: None,
            body: strip_key_packages(&made.commit, &packages_of(&devices)),
        };
        Ok(Team {
            node: commit.node(&made.commit),
            control_key: ControlKey::new(kdf(&thread.0, "bench control key")),
            suite,
            devices,
            genesis,
            thread,
            adds,
            commit,
            made,
        })
    }

    pub(super) fn founder(&self) -> &Device {
        &self.devices[0]
    }

    /// The one that is removed.
    pub(super) fn last(&self) -> &Device {
        &self.devices[self.devices.len() - 1]
    }

    pub(super) fn cert_bytes(&self) -> usize {
        self.founder().cert.encode().len()
    }

    pub(super) fn slot(&self, device: &Device) -> Slot {
        Slot::of(self.thread, &device.keys.public(), 1)
    }

    pub(super) fn place(&self, seq: Seq) -> SealPlace {
        SealPlace {
            class: Class::Clinical,
            slot: self.slot(self.founder()),
            seq,
            node: self.node,
        }
    }

    /// The member beside the founder joins.
    pub(super) fn join(&self) -> Result<NodeState, BenchError> {
        let second = &self.devices[1];
        let welcome = self.made.welcome.as_ref().ok_or(BenchError::Bare("welcome"))?;
        Ok(second.packages.join(&second.crypto, welcome, &self.made.tree)?)
    }

    /// The founder removes the last member.
    pub(super) fn remove(&self) -> Result<Committed, BenchError> {
        let founder = self.founder();
        let key = self.last().keys.public();
        let (crypto, keys) = (&founder.crypto, &founder.keys);
        Ok(self.made.child.commit(crypto, keys, &[], &[key])?)
    }

    /// Bytes of a signed object in its seal and envelope, at a place whose number takes two bytes.
    pub(super) fn sent_bytes(&self, log: Log, signed_bytes: usize) -> usize {
        let (slot, seq) = (self.slot(self.founder()), SEQ);
        let payload = vec![0; signed_bytes + keys::SEAL_BYTES];
        self.envelope_bytes(Place::Log { slot, log, seq }, payload.into())
    }

    pub(super) fn envelope_bytes(&self, place: Place, payload: Bytes) -> usize {
        let (class, handle) = (Class::Text, Handle::default());
        let ttl = class.ttl();
        let envelope = Envelope {
            class,
            ttl,
            handle,
            place,
            payload,
        };
        envelope.encode().len()
    }
}

/// Makes the group and adds all but the first device in one commit, as a founder does.
pub(super) fn add_all(suite: Suite, devices: &[Device], thread: ThreadId) -> Result<Committed, BenchError> {
    let founder = &devices[0];
    let (crypto, keys, cert) = (&founder.crypto, &founder.keys, founder.cert.encode());
    let group_id = thread.0.first_chunk().expect("a thread's id has 16 bytes");
    let mut root = NodeState::create(crypto, suite, group_id, keys, &cert)?;
    let mut made = root.commit(crypto, keys, &packages_of(devices), &[])?;
    let mut batch = Batch::new();
    root.save(thread, NodeId::default(), &mut batch);
    made.child.save(thread, NodeId([1; 16]), &mut batch);
    Ok(made)
}

fn packages_of(devices: &[Device]) -> Vec<Bytes> {
    devices[1..].iter().map(|device| device.package.clone()).collect()
}

pub(super) fn op(counter: u32, act: Act, past: Option<OpId>) -> Object {
    let past = Past::Ops(past.into_iter().collect());
    Object::Op(Op { counter, act, past })
}

/// Text of 100 B as an entry without cursors.
pub(super) fn note() -> Result<Bytes, BenchError> {
    entry(
        Kind::Note,
        &Body::Note(Note {
            text: "x".repeat(TEXT),
        }),
    )
}

/// A control key as the entry that tells it.
pub(super) fn keys_entry(key: &ControlKey) -> Result<Bytes, BenchError> {
    entry(Kind::CtlKeys, &keys_body(key))
}

pub(super) fn keys_body(key: &ControlKey) -> Body {
    let key = CtlKey {
        kid: key.kid(),
        ck: key.secret().clone(),
        made_by: OpId::default(),
    };
    Body::CtlKeys(CtlKeys { keys: vec![key] })
}

fn entry(kind: Kind, body: &Body) -> Result<Bytes, BenchError> {
    let entry = Entry {
        kind,
        flags: 0,
        hlc: Hlc(NOW_MS << 16),
        prev8: [4; 8],
        salt: [5; 16],
        cursors: vec![],
        body: body.encode()?,
    };
    Ok(entry.encode())
}
