//! Control keys: one random 32-byte `ck` gives the seal of the control plane, the handle under which
//! carriers keep the thread, and its tags in sync (DETAILS section 1).
//!
//! Sealed object: `kid 4 | nonce 24 | XChaCha20-Poly1305(plaintext) | tag 16`, with
//! `aad = "am1 ctl" zero padded to 16 || slot 4 || log 1 || seq u32` and
//! `nonce = keyed BLAKE3(KDF(ck, "control nonce"); aad || plaintext)[..24]`.
//!
//! * The nonce is computed, so a clone of a store cannot use one nonce for two plaintexts, and one
//!   object has one sealed form under one key. [`ControlKey::open`] refuses any other nonce.
//! * The place is authenticated: a sealed object cannot be moved to another slot, log or number.
//! * Reading tries all held keys with the `kid`; which key to write under is the caller's decision
//!   (the path of the node it votes for).

use crate::crypto::{self, KeyPair, Secret, TAG_BYTES, kdf};
use crate::id::{Handle, Kid, Seq, Slot};
use crate::limits;
use crate::ranges::Log;
use bytes::Bytes;

const DOMAIN: &[u8; 16] = b"am1 ctl\0\0\0\0\0\0\0\0\0";
const AAD_BYTES: usize = 25;
const NONCE_BYTES: usize = 24;

/// Bytes that sealing adds.
pub const SEAL_BYTES: usize = 4 + NONCE_BYTES + TAG_BYTES;

/// A place in a log of a thread: slot, log, number.
pub type At = (Slot, Log, Seq);

/// One control key and what is made from it. All secrets are wiped on drop.
#[derive(Clone)]
pub struct ControlKey {
    ck: Secret,
    kid: Kid,
    seal: Secret,
    nonce: Secret,
    handle_pair: KeyPair,
    handle: Handle,
    tag: Secret,
}

impl std::fmt::Debug for ControlKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ControlKey({:?})", self.kid)
    }
}

impl ControlKey {
    /// Derives everything from `ck`.
    pub fn new(ck: Secret) -> ControlKey {
        let handle_pair = KeyPair::from_seed(&kdf(&ck.0, "handle").0);
        ControlKey {
            kid: Kid::from_prefix(&kdf(&ck.0, "kid").0).expect("a hash has more than four bytes"),
            seal: kdf(&ck.0, "control seal"),
            nonce: kdf(&ck.0, "control nonce"),
            handle: Handle::of_key(&handle_pair.public()),
            tag: kdf(&ck.0, "tag"),
            handle_pair,
            ck,
        }
    }

    /// The key itself, for storage and for passing on.
    pub fn secret(&self) -> &Secret {
        &self.ck
    }

    /// What a commit says of the key that it makes: shows nothing of it, and fits no other.
    pub fn check(&self) -> [u8; 32] {
        kdf(&self.ck.0, "check").0
    }

    /// Short name; several keys may share it.
    pub fn kid(&self) -> Kid {
        self.kid
    }

    /// `HK`: signs bursts, acknowledgement vectors and the reading of a mailbox.
    pub fn handle_pair(&self) -> &KeyPair {
        &self.handle_pair
    }

    /// Mailbox of the thread while this key is written under.
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// `tg`: key of the tags in THREADS.
    pub fn tag(&self) -> &Secret {
        &self.tag
    }

    /// Seals a control object for its place.
    pub fn seal(&self, at: At, plaintext: &[u8]) -> Bytes {
        let aad = aad(at);
        let nonce = self.nonce_of(&aad, plaintext);
        let sealed = crypto::seal(&self.seal, &nonce, &aad, plaintext);
        Bytes::from([&self.kid.0[..], &nonce, &sealed].concat())
    }

    /// Opens [`ControlKey::seal`]; `None` if another key or place sealed it or anything was changed.
    pub fn open(&self, at: At, sealed: &[u8]) -> Option<Vec<u8>> {
        let (kid, rest) = sealed.split_first_chunk::<4>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
        if *kid != self.kid.0 || rest.len() > limits::ENVELOPE_BYTES {
            return None;
        }
        let aad = aad(at);
        let plaintext = crypto::open(&self.seal, nonce, &aad, rest)?;
        (self.nonce_of(&aad, &plaintext) == *nonce).then_some(plaintext)
    }

    fn nonce_of(&self, aad: &[u8; AAD_BYTES], plaintext: &[u8]) -> [u8; NONCE_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.nonce.0);
        hasher.update(aad).update(plaintext);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&hasher.finalize().as_bytes()[..NONCE_BYTES]);
        nonce
    }
}

fn aad((slot, log, seq): At) -> [u8; AAD_BYTES] {
    let mut aad = [0; AAD_BYTES];
    aad[..16].copy_from_slice(DOMAIN);
    aad[16..20].copy_from_slice(&slot.0);
    aad[20] = log as u8;
    aad[21..].copy_from_slice(&seq.to_le_bytes());
    aad
}

/// What [`KeyRing::insert`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It was new.
    New,
    /// It was held.
    Known,
    /// [`limits::CONTROL_KEYS`] are held; forget a superseded one first.
    Full,
}

/// All control keys that a device holds of one thread.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    held: Vec<ControlKey>,
    writer: Option<usize>,
}

impl KeyRing {
    /// An empty ring.
    pub fn new() -> KeyRing {
        KeyRing::default()
    }

    /// Adds a key for reading.
    pub fn insert(&mut self, ck: Secret) -> Inserted {
        if self.position(&ck).is_some() {
            return Inserted::Known;
        }
        if self.held.len() >= limits::CONTROL_KEYS {
            return Inserted::Full;
        }
        self.held.push(ControlKey::new(ck));
        Inserted::New
    }

    /// Writes under `ck` from now on; `false` if it is not held.
    pub fn write_under(&mut self, ck: &Secret) -> bool {
        let position = self.position(ck);
        if position.is_some() {
            self.writer = position;
        }
        position.is_some()
    }

    /// The key to write under.
    pub fn writer(&self) -> Option<&ControlKey> {
        self.writer.map(|i| &self.held[i])
    }

    /// Drops and wipes a key; the key to write under is never dropped. Returns whether it was held.
    pub fn forget(&mut self, ck: &Secret) -> bool {
        let Some(position) = self.position(ck).filter(|i| self.writer != Some(*i)) else {
            return false;
        };
        self.held.remove(position);
        self.writer = self.writer.map(|w| if w > position { w - 1 } else { w });
        true
    }

    /// Opens a sealed object with whichever held key fits, and says which.
    pub fn open(&self, at: At, sealed: &[u8]) -> Option<(Vec<u8>, &ControlKey)> {
        let kid = Kid::from_prefix(sealed)?;
        self.by_kid(kid)
            .find_map(|key| key.open(at, sealed).map(|plaintext| (plaintext, key)))
    }

    /// Keys with this short name.
    pub fn by_kid(&self, kid: Kid) -> impl Iterator<Item = &ControlKey> {
        self.held.iter().filter(move |key| key.kid == kid)
    }

    /// The key of a handle.
    pub fn by_handle(&self, handle: Handle) -> Option<&ControlKey> {
        self.held.iter().find(|key| key.handle == handle)
    }

    /// All keys, in the order in which they came.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &ControlKey> {
        self.held.iter()
    }

    /// Short names held, sorted, each once: what a signed head says.
    pub fn kids(&self) -> Vec<Kid> {
        let mut kids: Vec<Kid> = self.held.iter().map(|key| key.kid).collect();
        kids.sort_unstable();
        kids.dedup();
        kids
    }

    fn position(&self, ck: &Secret) -> Option<usize> {
        self.held.iter().position(|key| key.ck == *ck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    const AT: At = (Slot([1, 2, 3, 4]), Log::Control, 5);

    #[test]
    fn sealed_objects_open_at_their_place_only() {
        let key = ControlKey::new(Secret([1; 32]));
        let sealed = key.seal(AT, b"object");
        golden::check("control_sealed", &[("control_sealed", &sealed)]);
        assert_eq!(sealed.len(), 6 + SEAL_BYTES);
        assert_eq!(key.open(AT, &sealed).as_deref(), Some(&b"object"[..]));
        assert_eq!(key.open((AT.0, Log::Heads, 5), &sealed), None);
        assert_eq!(key.open((AT.0, AT.1, 6), &sealed), None);
        assert_eq!(key.open((Slot([1; 4]), AT.1, 5), &sealed), None);
        assert_eq!(ControlKey::new(Secret([2; 32])).open(AT, &sealed), None);
        golden::mutate(&sealed, 2000, |bad| assert_eq!(key.open(AT, bad), None));
    }

    #[test]
    fn a_chosen_nonce_is_refused() {
        let key = ControlKey::new(Secret([1; 32]));
        let sealed = crypto::seal(&key.seal, &[7; 24], &aad(AT), b"object");
        let sealed = [&key.kid.0[..], &[7; 24], &sealed].concat();
        assert_eq!(key.open(AT, &sealed), None);
    }

    #[test]
    fn the_ring_tries_all_keys_of_one_kid() {
        let mut ring = KeyRing::new();
        for n in 1..=limits::CONTROL_KEYS as u8 {
            assert_eq!(ring.insert(Secret([n; 32])), Inserted::New);
        }
        assert_eq!(ring.insert(Secret([1; 32])), Inserted::Known);
        assert_eq!(ring.insert(Secret([99; 32])), Inserted::Full);
        assert!(ring.writer().is_none() && !ring.write_under(&Secret([99; 32])));
        assert!(ring.write_under(&Secret([9; 32])));
        // a clash of short names, which nature makes once in four thousand million
        let kid = ring.held[8].kid;
        ring.held[3].kid = kid;
        let sealed = ring.writer().unwrap().seal(AT, b"object");
        let (plaintext, key) = ring.open(AT, &sealed).unwrap();
        assert_eq!(
            (plaintext.as_slice(), key.secret()),
            (&b"object"[..], &Secret([9; 32]))
        );
        assert_eq!(ring.kids().len(), limits::CONTROL_KEYS - 1);
        assert!(!ring.forget(&Secret([9; 32])) && ring.forget(&Secret([1; 32])));
        assert_eq!(ring.writer().unwrap().secret(), &Secret([9; 32]));
        assert_eq!(
            ring.by_handle(key_of(9).handle()).unwrap().secret(),
            &Secret([9; 32])
        );
        assert_eq!(ring.open(AT, &key_of(1).seal(AT, b"x")).map(|x| x.0), None);
    }

    fn key_of(n: u8) -> ControlKey {
        ControlKey::new(Secret([n; 32]))
    }
}
