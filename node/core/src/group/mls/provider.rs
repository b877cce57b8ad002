//! What OpenMLS computes with: libcrux, but every random byte is a function of the seed.
//!
//! * Keys, nonces and reuse guards come from one stream of the seed, in call order.
//! * HPKE encapsulation does not draw from that stream, because OpenMLS seals path secrets from
//!   rayon threads in no fixed order. Its randomness is a keyed hash of the call's own inputs
//!   (recipient key, info, authenticated data, plaintext): equal inputs give equal bytes, other
//!   inputs independent ones. Stock receivers open the result (RFC 9180).
//! * Signature keys are not made here: the device key signs (see [`LeafSigner`]).

use super::rows::Rows;
use crate::crypto::{KeyPair, Secret, Stream, kdf};
use hpke_rs_crypto::HpkeCrypto;
use hpke_rs_crypto::types::{AeadAlgorithm, KdfAlgorithm, KemAlgorithm};
use hpke_rs_libcrux::HpkeLibcrux;
use openmls::prelude::tls_codec::SecretVLBytes;
use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::OpenMlsProvider;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::random::OpenMlsRand;
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::{
    AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeAeadType, HpkeCiphertext, HpkeConfig,
    HpkeKdfType, HpkeKemType, HpkeKeyPair, KemOutput, SignatureScheme,
};
use std::convert::Infallible;
use std::sync::Mutex;

/// Cryptography and randomness of one run of the machine. Holds no state of any group.
pub struct Crypto {
    libcrux: CryptoProvider,
    stream: Mutex<Stream>,
    encapsulation: Secret,
}

impl std::fmt::Debug for Crypto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Crypto")
    }
}

impl Crypto {
    /// `seed` is fresh entropy of the operating system at each start (PROTOCOL N4), or the
    /// simulator's. Two runs with one seed and other inputs would repeat nonces.
    pub fn new(seed: [u8; 32]) -> Crypto {
        let seed = Secret(seed);
        Crypto {
            // its own generator is seeded by the system and never used: no call below reaches it
            libcrux: CryptoProvider::new().expect("the system that gave the seed has entropy"),
            stream: Mutex::new(Stream::new(kdf(&seed.0, "mls stream").0)),
            encapsulation: kdf(&seed.0, "mls encapsulation"),
        }
    }

    fn fill(&self, out: &mut [u8]) {
        let mut stream = self.stream.lock().expect("no holder of this lock panics");
        stream.fill(out);
    }

    /// 64 bytes from the inputs of one encapsulation, each with its length.
    fn encapsulation_seed(&self, parts: [&[u8]; 4]) -> [u8; 64] {
        let mut hasher = blake3::Hasher::new_keyed(&self.encapsulation.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut out = [0; 64];
        hasher.finalize_xof().fill(&mut out);
        out
    }

    /// HPKE context of a sender and its encapsulated key (RFC 9180 section 5.1, base mode).
    fn sender(
        &self,
        config: &HpkeConfig,
        recipient: &[u8],
        info: &[u8],
        seed: [u8; 64],
    ) -> Result<(hpke_rs::Context<HpkeLibcrux>, Vec<u8>), CryptoError> {
        let refused = |_| CryptoError::SenderSetupError;
        let HpkeConfig(kem, HpkeKdfType::HkdfSha256, HpkeAeadType::ChaCha20Poly1305) = config else {
            return Err(CryptoError::UnsupportedCiphersuite);
        };
        let (kem, shared, encapsulated) = match kem {
            HpkeKemType::XWingKemDraft6 => {
                let alg = libcrux_kem::Algorithm::XWingKemDraft06;
                let key = libcrux_kem::PublicKey::decode(alg, recipient);
                let key = key.map_err(|_| CryptoError::SenderSetupError)?;
                let (shared, encapsulated) = key
                    .encapsulate_derand(&seed)
                    .map_err(|_| CryptoError::SenderSetupError)?;
                (KemAlgorithm::XWingDraft06, shared.encode(), encapsulated.encode())
            }
            HpkeKemType::DhKem25519 => {
                let (shared, encapsulated) = self.dh_encapsulate(recipient, &seed[..32])?;
                (KemAlgorithm::DhKem25519, shared, encapsulated)
            }
            _ => return Err(CryptoError::UnsupportedCiphersuite),
        };
        let hpke = hpke_rs::Hpke::<HpkeLibcrux>::new(
            hpke_rs::Mode::Base,
            kem,
            KdfAlgorithm::HkdfSha256,
            AeadAlgorithm::ChaCha20Poly1305,
        );
        let context = hpke.key_schedule(&shared, info, &[], &[]).map_err(refused)?;
        Ok((context, encapsulated))
    }

    /// DHKEM(X25519, HKDF-SHA256).Encap with the ephemeral key derived from `ikm` (RFC 9180
    /// section 4.1): shared secret and encapsulated key.
    fn dh_encapsulate(&self, recipient: &[u8], ikm: &[u8]) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        const SUITE: &[u8] = b"KEM\x00\x20";
        let config = HpkeConfig(
            HpkeKemType::DhKem25519,
            HpkeKdfType::HkdfSha256,
            HpkeAeadType::ChaCha20Poly1305,
        );
        let ephemeral = self.libcrux.derive_hpke_keypair(config, ikm)?;
        let dh = HpkeLibcrux::dh(KemAlgorithm::DhKem25519, recipient, &ephemeral.private)
            .map_err(|_| CryptoError::SenderSetupError)?;
        let labeled_dh = [b"HPKE-v1", SUITE, b"eae_prk", &dh].concat();
        let prk = self.hkdf_extract(HashType::Sha2_256, &[], &labeled_dh)?;
        let length = [0, 32];
        let context = [
            &length,
            &b"HPKE-v1"[..],
            SUITE,
            b"shared_secret",
            &ephemeral.public,
            recipient,
        ]
        .concat();
        let shared = self.hkdf_expand(HashType::Sha2_256, prk.as_slice(), &context, 32)?;
        Ok((shared.as_slice().to_vec(), ephemeral.public))
    }
}

impl OpenMlsRand for Crypto {
    type Error = Infallible;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], Infallible> {
        let mut out = [0; N];
        self.fill(&mut out);
        Ok(out)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, Infallible> {
        let mut out = vec![0; len];
        self.fill(&mut out);
        Ok(out)
    }
}

/// Calls that draw no randomness go to libcrux as they are.
macro_rules! to_libcrux {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        $(fn $name(&self, $($arg: $ty),*) -> $out { self.libcrux.$name($($arg),*) })*
    };
}

impl OpenMlsCrypto for Crypto {
    to_libcrux! {
        fn hkdf_extract(hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError>;
        fn hmac(hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError>;
        fn hkdf_expand(
            hash: HashType, prk: &[u8], info: &[u8], len: usize
        ) -> Result<SecretVLBytes, CryptoError>;
        fn hash(hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError>;
        fn aead_encrypt(
            alg: AeadType, key: &[u8], data: &[u8], nonce: &[u8], aad: &[u8]
        ) -> Result<Vec<u8>, CryptoError>;
        fn aead_decrypt(
            alg: AeadType, key: &[u8], sealed: &[u8], nonce: &[u8], aad: &[u8]
        ) -> Result<Vec<u8>, CryptoError>;
        fn verify_signature(
            alg: SignatureScheme, data: &[u8], key: &[u8], signature: &[u8]
        ) -> Result<(), CryptoError>;
        fn hpke_open(
            config: HpkeConfig, input: &HpkeCiphertext, key: &[u8], info: &[u8], aad: &[u8]
        ) -> Result<Vec<u8>, CryptoError>;
        fn hpke_setup_receiver_and_export(
            config: HpkeConfig, enc: &[u8], key: &[u8], info: &[u8], context: &[u8], len: usize
        ) -> Result<ExporterSecret, CryptoError>;
        fn derive_hpke_keypair(config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError>;
    }

    fn supports(&self, suite: Ciphersuite) -> Result<(), CryptoError> {
        if self.supported_ciphersuites().contains(&suite) {
            Ok(())
        } else {
            Err(CryptoError::UnsupportedCiphersuite)
        }
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        super::SUITES.to_vec()
    }

    fn signature_key_gen(&self, _: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        Err(CryptoError::UnsupportedSignatureScheme)
    }

    fn sign(&self, _: SignatureScheme, _: &[u8], _: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Err(CryptoError::UnsupportedSignatureScheme)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        recipient: &[u8],
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        let seed = self.encapsulation_seed([recipient, info, aad, plaintext]);
        let (mut context, encapsulated) = self.sender(&config, recipient, info, seed)?;
        let sealed = context
            .seal(aad, plaintext)
            .map_err(|_| CryptoError::HpkeEncryptionError)?;
        Ok(HpkeCiphertext {
            kem_output: encapsulated.into(),
            ciphertext: sealed.into(),
        })
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        recipient: &[u8],
        info: &[u8],
        exporter_context: &[u8],
        len: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        // the exported secret must be new at each call: from the stream, not from the inputs
        let mut seed = [0; 64];
        self.fill(&mut seed);
        let (context, encapsulated) = self.sender(&config, recipient, info, seed)?;
        let secret = context
            .export(exporter_context, len)
            .map_err(|_| CryptoError::SenderSetupError)?;
        Ok((encapsulated, secret.into()))
    }
}

/// One call into OpenMLS: cryptography and the rows it works on.
pub(super) struct Provider<'a> {
    pub(super) crypto: &'a Crypto,
    pub(super) rows: &'a Rows,
}

impl OpenMlsProvider for Provider<'_> {
    type CryptoProvider = Crypto;
    type RandProvider = Crypto;
    type StorageProvider = Rows;

    fn storage(&self) -> &Rows {
        self.rows
    }

    fn crypto(&self) -> &Crypto {
        self.crypto
    }

    fn rand(&self) -> &Crypto {
        self.crypto
    }
}

/// The device key as the signature key of a leaf.
pub(super) struct LeafSigner<'a>(pub(super) &'a KeyPair);

impl Signer for LeafSigner<'_> {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign_mls(payload).to_vec())
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::x25519_public;
    use crate::golden::bytes_of;

    const CONFIG: HpkeConfig = HpkeConfig(
        HpkeKemType::DhKem25519,
        HpkeKdfType::HkdfSha256,
        HpkeAeadType::ChaCha20Poly1305,
    );

    /// RFC 9180 appendix A.2.1, sequence number 0: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
    /// ChaCha20-Poly1305, base mode.
    #[test]
    fn hpke_of_x25519_seals_and_opens_the_vector_of_the_rfc() {
        let ikm_e = bytes_of("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b");
        let ikm_r = bytes_of("1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df");
        let sk_r = bytes_of("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let pk_r = bytes_of("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        let enc = bytes_of("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
        let info = bytes_of("4f6465206f6e2061204772656369616e2055726e");
        let aad = bytes_of("436f756e742d30");
        let plaintext = bytes_of("4265617574792069732074727574682c20747275746820626561757479");
        let sealed = bytes_of(
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        );
        let crypto = Crypto::new([1; 32]);
        let pair = crypto.derive_hpke_keypair(CONFIG, &ikm_r).unwrap();
        assert_eq!((&pair.private[..], &pair.public), (&sk_r[..], &pk_r));
        let secret = Secret(sk_r.clone().try_into().unwrap());
        assert_eq!(x25519_public(&secret)[..], pk_r);

        let mut seed = [0; 64];
        seed[..32].copy_from_slice(&ikm_e);
        let (mut context, encapsulated) = crypto.sender(&CONFIG, &pk_r, &info, seed).unwrap();
        assert_eq!(encapsulated, enc);
        assert_eq!(context.seal(&aad, &plaintext).unwrap(), sealed);

        let input = HpkeCiphertext {
            kem_output: enc.into(),
            ciphertext: sealed.into(),
        };
        let opened = crypto.hpke_open(CONFIG, &input, &sk_r, &info, &aad);
        assert_eq!(opened.unwrap(), plaintext);
    }
}
