//! The floor: bare operations of the libraries below, timed in the same run, and sizes of what they make.
//!
//! HPKE is the one of RFC 9180 in base mode by hpke-rs over libcrux, as below OpenMLS; Ed25519 and
//! ChaCha20-Poly1305 are those of the `dalek` and RustCrypto projects.

use super::BenchError;
use aidmesh_core::group::mls::Suite;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use ed25519_dalek::{Signer, SigningKey};
use hpke_rs::{Hpke, HpkePrivateKey, HpkePublicKey, Mode};
use hpke_rs_crypto::types::{AeadAlgorithm, KdfAlgorithm, KemAlgorithm};
use hpke_rs_libcrux::HpkeLibcrux;
use serde::Serialize;
use std::hint::black_box;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Ed25519 (RFC 8032).
pub(super) const SIGNATURE: usize = 64;
/// Ed25519 public key.
pub(super) const SIGNATURE_KEY: usize = 32;
/// Poly1305 (RFC 8439).
pub(super) const TAG: usize = 16;
/// A secret of SHA-256's size, and a name that nobody can forge.
pub(super) const SECRET: usize = 32;
/// Bytes of a message in the timings.
pub(super) const TEXT: usize = 100;

const RUNS_MIN: usize = 5;
/// Also the most messages that are sealed ahead of their opening: below the ratchet's window.
pub(super) const RUNS_MAX: usize = 101;
const ENOUGH: Duration = Duration::from_millis(250);

/// Sizes of a KEM: X25519 (RFC 7748) or X-Wing (draft-connolly-cfrg-xwing-kem-06, ML-KEM-768 beside X25519).
#[derive(Clone, Copy)]
pub(super) struct Kem {
    /// Public key.
    pub(super) key: usize,
    /// Encapsulated key, a secret of 32 B sealed under it, and the tag.
    pub(super) sealed: usize,
}

impl Kem {
    pub(super) fn of(suite: Suite) -> Kem {
        let (key, encapsulated) = match suite {
            Suite::Classical => (32, 32),
            Suite::XWing => (1184 + 32, 1088 + 32),
        };
        Kem {
            key,
            sealed: encapsulated + SECRET + TAG,
        }
    }
}

/// Bare operations with one KEM, median in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BareHpke {
    /// A new key pair.
    pub key_pair_us: f64,
    /// Encapsulates to a key and seals 32 B.
    pub seal_us: f64,
    /// Opens that.
    pub open_us: f64,
}

/// Bare operations, median in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bare {
    /// One Ed25519 signature over 100 B.
    pub sign_us: f64,
    /// Its verification, strict.
    pub verify_us: f64,
    /// ChaCha20-Poly1305 over 100 B.
    pub aead_us: f64,
    /// HPKE with X25519.
    pub classical: BareHpke,
    /// HPKE with X-Wing.
    pub xwing: BareHpke,
}

impl Bare {
    /// A few lines for people.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn tell(&self, out: &mut impl Write) -> io::Result<()> {
        let (sign, verify, aead) = (self.sign_us, self.verify_us, self.aead_us);
        writeln!(
            out,
            "bare: Ed25519 signs in {sign:.1} us, verifies in {verify:.1} us;"
        )?;
        writeln!(out, "      ChaCha20-Poly1305 seals 100 B in {aead:.1} us;")?;
        for (kem, hpke) in [("X25519", self.classical), ("X-Wing", self.xwing)] {
            let (pair, seal, open) = (hpke.key_pair_us, hpke.seal_us, hpke.open_us);
            writeln!(
                out,
                "      HPKE with {kem}: key pair {pair:.1} us, seal {seal:.1} us, open {open:.1} us"
            )?;
        }
        writeln!(
            out,
            "right column: the least that it could be, from keys and bare operations"
        )
    }

    pub(super) fn hpke(&self, suite: Suite) -> BareHpke {
        match suite {
            Suite::Classical => self.classical,
            Suite::XWing => self.xwing,
        }
    }
}

pub(super) fn measure() -> Result<Bare, BenchError> {
    let text = [7; TEXT];
    let pair = SigningKey::from_bytes(&[1; 32]);
    let signature = pair.sign(&text);
    let verify = || pair.verifying_key().verify_strict(&text, &signature);
    let cipher = ChaCha20Poly1305::new(Key::from_slice(&[2; 32]));
    let seal = || cipher.encrypt(Nonce::from_slice(&[3; 12]), &text[..]);
    Ok(Bare {
        sign_us: median_us(|| Ok(pair.sign(&text)))?,
        verify_us: median_us(|| verify().map_err(|_| BenchError::Bare("verify")))?,
        aead_us: median_us(|| seal().map_err(|_| BenchError::Bare("aead")))?,
        classical: hpke(KemAlgorithm::DhKem25519)?,
        xwing: hpke(KemAlgorithm::XWingDraft06)?,
    })
}

fn hpke(kem: KemAlgorithm) -> Result<BareHpke, BenchError> {
    let refused = |_| BenchError::Bare("hpke");
    let (kdf, aead) = (KdfAlgorithm::HkdfSha256, AeadAlgorithm::ChaCha20Poly1305);
    let mut hpke = Hpke::<HpkeLibcrux>::new(Mode::Base, kem, kdf, aead);
    let (private, public): (HpkePrivateKey, HpkePublicKey) =
        hpke.generate_key_pair().map_err(refused)?.into_keys();
    let secret = [4; SECRET];
    let seal = |hpke: &mut Hpke<HpkeLibcrux>| {
        hpke.seal(&public, b"", b"", &secret, None, None, None)
            .map_err(refused)
    };
    let (encapsulated, sealed) = seal(&mut hpke)?;
    Ok(BareHpke {
        key_pair_us: median_us(|| hpke.generate_key_pair().map_err(refused))?,
        seal_us: median_us(|| seal(&mut hpke))?,
        open_us: median_us(|| {
            hpke.open(&encapsulated, &private, b"", b"", &sealed, None, None, None)
                .map_err(refused)
        })?,
    })
}

/// Median time of a call in microseconds, without the time to drop what it returns: of at least 5 calls,
/// of more until they took a quarter of a second, of 101 at most. One call before is not counted.
pub(super) fn median_us<T>(mut call: impl FnMut() -> Result<T, BenchError>) -> Result<f64, BenchError> {
    call()?;
    let (mut took, begun) = (Vec::new(), Instant::now());
    while took.len() < RUNS_MIN || (took.len() < RUNS_MAX && begun.elapsed() < ENOUGH) {
        let start = Instant::now();
        let out = black_box(call()?);
        took.push(start.elapsed());
        drop(out);
    }
    took.sort_unstable();
    Ok(took[took.len() / 2].as_secs_f64() * 1e6)
}
