//! Genesis: the first object of a thread, whose hash is the thread's id.
//!
//! Body: `v 1 (1) | thread kind 1 | history 1 (0 from joining, 1 all) | suite u16 | flags 1 (1 drill)
//! | salt 16 | len varint, founder's device certificate | n varint, n x co-owner org 8
//! | n varint, n x sequencer key 8 | len varint, title utf8 <= 64`.
//!
//! Co-owners are strictly ascending. Sequencers are in order of preference, each once. The title is
//! patient data; it travels sealed like all control objects, and is never logged.

use crate::codec::{Malformed, Reader, Writer};
use crate::directory::{DeviceCert, Signed, ThreadKind};
use crate::id::{Key8, Org};
use crate::limits;

const VERSION: u8 = 1;
const FLAG_DRILL: u8 = 1;

/// What a member may read that was sealed before it joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum History {
    /// Nothing.
    FromJoining = 0,
    /// Everything.
    All = 1,
}

/// The beginning of a thread.
#[derive(Clone, PartialEq, Eq)]
pub struct Genesis {
    /// What the thread is for.
    pub kind: ThreadKind,
    /// History policy.
    pub history: History,
    /// MLS cipher suite (RFC 9420 section 17.1), at first 0x004D or 0x0003.
    pub suite: u16,
    /// A drill, not care.
    pub drill: bool,
    /// Makes two threads of one founder differ.
    pub salt: [u8; 16],
    /// The founder, whose organisation owns the thread.
    pub founder: DeviceCert,
    /// Organisations whose devices count as the owner's, strictly ascending.
    pub co_owners: Vec<Org>,
    /// Relays that may say which of two commits came first, preferred first.
    pub sequencers: Vec<Key8>,
    /// Title to show, at most [`limits::TITLE_BYTES`], may be empty.
    pub title: String,
}

impl std::fmt::Debug for Genesis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Genesis({:?}, founder {:?})", self.kind, self.founder.dev())
    }
}

impl Genesis {
    /// Whether devices of `org` count as the owner's.
    pub fn owned_by(&self, org: Org) -> bool {
        self.founder.org == org || self.co_owners.contains(&org)
    }

    pub(super) fn write(&self, w: &mut Writer) {
        let flags = if self.drill { FLAG_DRILL } else { 0 };
        w.u8(VERSION).u8(self.kind as u8).u8(self.history as u8);
        w.u16(self.suite).u8(flags).put(&self.salt);
        w.bytes(&self.founder.encode());
        w.count(self.co_owners.len());
        for org in &self.co_owners {
            w.put(&org.0);
        }
        w.count(self.sequencers.len());
        for relay in &self.sequencers {
            w.put(&relay.0);
        }
        w.bytes(self.title.as_bytes());
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Genesis, Malformed> {
        if r.u8()? != VERSION {
            return Err(Malformed("unknown genesis version"));
        }
        let kind = ThreadKind::from_u8(r.u8()?)?;
        let history = match r.u8()? {
            0 => History::FromJoining,
            1 => History::All,
            _ => return Err(Malformed("unknown history policy")),
        };
        let (suite, flags, salt) = (r.u16()?, r.u8()?, r.array()?);
        if flags & !FLAG_DRILL != 0 {
            return Err(Malformed("unknown genesis flag"));
        }
        let founder = DeviceCert::decode(r.bytes(limits::CERT_BYTES)?)?;
        let mut co_owners = Vec::new();
        for _ in 0..r.count(limits::SEQUENCERS)? {
            let org = Org(r.array()?);
            if co_owners.last().is_some_and(|last| *last >= org) {
                return Err(Malformed("co-owners not sorted"));
            }
            co_owners.push(org);
        }
        let mut sequencers = Vec::new();
        for _ in 0..r.count(limits::SEQUENCERS)? {
            let relay = Key8(r.array()?);
            if sequencers.contains(&relay) {
                return Err(Malformed("sequencer named twice"));
            }
            sequencers.push(relay);
        }
        let title = std::str::from_utf8(r.bytes(limits::TITLE_BYTES)?);
        let title = title.map_err(|_| Malformed("title is not UTF-8"))?;
        if title.chars().any(char::is_control) {
            return Err(Malformed("title not allowed"));
        }
        Ok(Genesis {
            kind,
            history,
            suite,
            drill: flags & FLAG_DRILL != 0,
            salt,
            founder,
            co_owners,
            sequencers,
            title: title.to_owned(),
        })
    }
}
