//! The few primitives that the protocol uses beside MLS, each from a library, each with its domain:
//! BLAKE3 key derivation, Ed25519 with a 16-byte domain, XChaCha20-Poly1305 for control objects,
//! ChaCha20-Poly1305 for blob chunks. Nothing here draws randomness.
//!
//! Sources: DETAILS sections 1 and 2; RFC 8032 (Ed25519, strict verification); RFC 8439 and
//! draft-irtf-cfrg-xchacha (AEAD).

use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, XChaCha20Poly1305};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hpke_rs_crypto::HpkeCrypto;
use hpke_rs_crypto::types::KemAlgorithm;
use hpke_rs_libcrux::HpkeLibcrux;
use zeroize::Zeroizing;

/// Bytes of an AEAD tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of an Ed25519 signature.
pub const SIG_BYTES: usize = 64;

/// A 32-byte secret that is wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
pub struct Secret(pub [u8; 32]);

impl Secret {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// `BLAKE3::derive_key("aidmesh 2026-11 v1 " + context, key)`.
pub fn kdf(key: &[u8], context: &str) -> Secret {
    Secret(blake3::derive_key(&format!("aidmesh 2026-11 v1 {context}"), key))
}

/// What a signature is for: the 16-byte domain before the signed bytes, zero padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Domain {
    Certificate,
    Revocation,
    Request,
    Op,
    Commit,
    Head,
    Genesis,
    KeyPackage,
    Receipt,
    Carry,
    Sequence,
    Ack,
    Burst,
    Open,
    Entry,
    Direct,
}

impl Domain {
    fn bytes(self) -> [u8; 16] {
        let name: &[u8] = match self {
            Domain::Certificate => b"am1 cert",
            Domain::Revocation => b"am1 revoke",
            Domain::Request => b"am1 request",
            Domain::Op => b"am1 op",
            Domain::Commit => b"am1 commit",
            Domain::Head => b"am1 head",
            Domain::Genesis => b"am1 genesis",
            Domain::KeyPackage => b"am1 kp",
            Domain::Receipt => b"am1 receipt",
            Domain::Carry => b"am1 carry",
            Domain::Sequence => b"am1 seq",
            Domain::Ack => b"am1 ack",
            Domain::Burst => b"am1 burst",
            Domain::Open => b"am1 open",
            Domain::Entry => b"am1 entry",
            Domain::Direct => b"am1 direct",
        };
        let mut out = [0u8; 16];
        out[..name.len()].copy_from_slice(name);
        out
    }
}

/// An Ed25519 key pair. Wiped when dropped.
#[derive(Clone)]
pub struct KeyPair(SigningKey);

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({:?})", crate::id::Key8::of_key(&self.public()))
    }
}

impl KeyPair {
    /// From a 32-byte seed (RFC 8032 section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> KeyPair {
        KeyPair(SigningKey::from_bytes(seed))
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The seed, for storage.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// Signature over domain and message.
    pub fn sign(&self, domain: Domain, message: &[u8]) -> [u8; SIG_BYTES] {
        self.0.sign(&[&domain.bytes()[..], message].concat()).to_bytes()
    }

    /// Signature over the bare message, for MLS, which has its own domains (RFC 9420 section 5.1.2).
    pub(crate) fn sign_mls(&self, message: &[u8]) -> [u8; SIG_BYTES] {
        self.0.sign(message).to_bytes()
    }
}

/// Strict verification: small-order keys and non-canonical scalars are refused.
pub fn verify(public: &[u8; 32], domain: Domain, message: &[u8], sig: &[u8; SIG_BYTES]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(public) else {
        return false;
    };
    key.verify_strict(
        &[&domain.bytes()[..], message].concat(),
        &Signature::from_bytes(sig),
    )
    .is_ok()
}

/// The X25519 public key of a secret key (RFC 7748 section 5; the secret is clamped).
pub fn x25519_public(secret: &Secret) -> [u8; 32] {
    let mut clamped = Secret(secret.0);
    clamped.0[0] &= 248;
    clamped.0[31] = clamped.0[31] & 127 | 64;
    HpkeLibcrux::secret_to_public(KemAlgorithm::DhKem25519, &clamped.0)
        .ok()
        .and_then(|public| public.try_into().ok())
        .expect("every clamped scalar has a public key of 32 bytes")
}

/// XChaCha20-Poly1305: ciphertext with its tag at the end.
pub fn seal(key: &Secret, nonce: &[u8; 24], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plaintext.len() + TAG_BYTES);
    out.extend_from_slice(plaintext);
    let cipher = XChaCha20Poly1305::new((&key.0).into());
    cipher
        .encrypt_in_place(nonce.into(), aad, &mut out)
        .expect("plaintext is bounded by limits.rs");
    out
}

/// Opens [`seal`]; `None` if anything was changed.
pub fn open(key: &Secret, nonce: &[u8; 24], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut out = sealed.to_vec();
    XChaCha20Poly1305::new((&key.0).into())
        .decrypt_in_place(nonce.into(), aad, &mut out)
        .ok()?;
    Some(out)
}

/// ChaCha20-Poly1305 with a 96-bit nonce that counts chunks.
pub fn seal_chunk(key: &Secret, index: u32, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plaintext.len() + TAG_BYTES);
    out.extend_from_slice(plaintext);
    let cipher = ChaCha20Poly1305::new((&key.0).into());
    cipher
        .encrypt_in_place(&chunk_nonce(index).into(), aad, &mut out)
        .expect("a chunk is bounded by limits.rs");
    out
}

/// Opens [`seal_chunk`]; `None` if anything was changed.
pub fn open_chunk(key: &Secret, index: u32, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut out = sealed.to_vec();
    let cipher = ChaCha20Poly1305::new((&key.0).into());
    cipher
        .decrypt_in_place(&chunk_nonce(index).into(), aad, &mut out)
        .ok()?;
    Some(out)
}

fn chunk_nonce(index: u32) -> [u8; 12] {
    let mut nonce = [0u8; 12];
    nonce[..4].copy_from_slice(&index.to_le_bytes());
    nonce
}

/// Randomness as a stream from the seed that `Machine::open` gets (PROTOCOL N4): BLAKE3 in
/// extendable-output mode over (seed, label, counter).
#[derive(Debug)]
pub struct Stream {
    seed: Secret,
    drawn: u64,
}

impl Stream {
    /// A stream; `seed` is fresh entropy of the operating system at each start, or the simulator's.
    pub fn new(seed: [u8; 32]) -> Stream {
        Stream {
            seed: kdf(&seed, "random stream"),
            drawn: 0,
        }
    }

    /// The next bytes of the stream.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut hasher = blake3::Hasher::new_keyed(&self.seed.0);
        hasher.update(&self.drawn.to_le_bytes());
        self.drawn += 1;
        hasher.finalize_xof().fill(out);
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0u8; N];
        self.fill(&mut out);
        out
    }

    /// The next secret.
    pub fn secret(&mut self) -> Secret {
        Secret(self.array())
    }

    /// The next number below `n`; 0 if `n` is 0. For jitter and salts, never for keys.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 {
            0
        } else {
            u64::from_le_bytes(self.array()) % n
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_bound_to_its_domain() {
        let keys = KeyPair::from_seed(&[7; 32]);
        let sig = keys.sign(Domain::Head, b"x");
        assert!(verify(&keys.public(), Domain::Head, b"x", &sig));
        assert!(!verify(&keys.public(), Domain::Op, b"x", &sig));
        assert!(!verify(&[0; 32], Domain::Head, b"x", &sig));
    }

    /// Both key pairs of RFC 7748 section 6.1.
    #[test]
    fn x25519_public_keys_are_those_of_the_rfc() {
        let bytes = |hex: &str| -> [u8; 32] {
            let digits = (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
            digits.collect::<Vec<u8>>().try_into().unwrap()
        };
        for (secret, public) in [
            (
                "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
                "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            ),
            (
                "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
                "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            ),
        ] {
            assert_eq!(x25519_public(&Secret(bytes(secret))), bytes(public));
        }
    }

    #[test]
    fn sealed_bytes_open_only_unchanged() {
        let key = kdf(b"k", "test");
        let sealed = seal(&key, &[1; 24], b"aad", b"hello");
        assert_eq!(
            open(&key, &[1; 24], b"aad", &sealed).as_deref(),
            Some(&b"hello"[..])
        );
        assert_eq!(open(&key, &[1; 24], b"aae", &sealed), None);
        let chunk = seal_chunk(&key, 3, b"aad", b"hello");
        assert_eq!(open_chunk(&key, 4, b"aad", &chunk), None);
    }
}
