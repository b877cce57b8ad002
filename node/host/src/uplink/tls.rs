//! The handshake: TLS 1.3 over QUIC between two Ed25519 keys, without certificates of X.509.
//!
//! Both sides show a raw public key (RFC 7250): the routing key of a device or relay. The client knows
//! beforehand which key it must meet and ends the handshake at any other. The server learns the client's
//! key, proven by its signature, and admits it afterwards by what the client shows (`hello`).
//!
//! * X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem) comes first, so that its share is in the first flight.
//! * No early data, no tickets, no resumption: each connection is a handshake of its own, nothing links two
//!   connections of one device for a listener, and nothing can be replayed.
//! * The server name is the same for everybody: it says nothing of the organisation.
//!
//! `transport` has the settings of QUIC, with their reasons. Enrolment uses the same two functions under
//! its own protocol name (ALPN).

use aidmesh_core::crypto::KeyPair;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{AckFrequencyConfig, Connection, TransportConfig, VarInt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// The name that every client asks for. Keys are pinned, so that names mean nothing.
pub const SERVER_NAME: &str = "aidmesh";

/// A connection without any word from the peer ends after this long: a tunnel is shorter.
pub const IDLE: Duration = Duration::from_secs(120);
/// A client says this often that it is there, so that a device which only listens learns soon that its relay
/// was started again. Costs about 1.4 kB a minute and way; bindings in address translators of mobile networks
/// are dropped after 30 to 60 s.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Bytes that a connection takes from its writer before the peer has acknowledged them.
pub const SEND_WINDOW: u64 = 64 * 1024;
/// Bytes of one stream that wait for their reader.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The hello and one stream for each class.
const STREAMS: u32 = 6;
/// All streams full at once, so that bulk nobody reads does not stop an alarm.
const WINDOW: u32 = STREAMS * STREAM_WINDOW;
/// What is assumed of a path that was not measured (RFC 9002 section 6.2.2).
const INITIAL_RTT: Duration = Duration::from_millis(333);

/// DER of an Ed25519 key before its 32 bytes: public (RFC 8410 section 4), private (section 7).
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A client of the peer with the key `pinned`, and of nobody else.
pub fn client_config(own: &KeyPair, pinned: [u8; 32], alpn: &[u8]) -> quinn::ClientConfig {
    let tls = QuicClientConfig::try_from(client_tls(own, pinned, alpn)).expect(AES);
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    let mut transport = transport();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    config.transport_config(Arc::new(transport));
    config
}

/// A server that lets in whoever proves any Ed25519 key; ask for it with [`peer_key`].
pub fn server_config(own: &KeyPair, alpn: &[u8]) -> quinn::ServerConfig {
    let tls = QuicServerConfig::try_from(server_tls(own, alpn)).expect(AES);
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport()));
    config.max_incoming(1024);
    config.incoming_buffer_size(64 * 1024);
    config.incoming_buffer_size_total(16 * 1024 * 1024);
    config
}

/// The key that the peer proved in the handshake.
pub fn peer_key(connection: &Connection) -> Option<[u8; 32]> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    raw_key(chain.first()?)
}

/// Bytes that only the two ends of this connection know (RFC 8446 section 7.5).
pub fn exporter(connection: &Connection) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let label = b"EXPORTER-aidmesh";
    connection.export_keying_material(&mut out, label, b"").ok()?;
    Some(out)
}

const AES: &str = "the provider has the suite of first packets";

fn provider() -> CryptoProvider {
    // with the feature `prefer-post-quantum` X25519MLKEM768 is the first group; a test holds it there
    aws_lc_rs::default_provider()
}

fn client_tls(own: &KeyPair, pinned: [u8; 32], alpn: &[u8]) -> rustls::ClientConfig {
    let provider = Arc::new(provider());
    let verifier = Arc::new(Pinned {
        key: Some(pinned),
        provider: provider.clone(),
    });
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified(own))));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config
}

fn server_tls(own: &KeyPair, alpn: &[u8]) -> rustls::ServerConfig {
    let provider = Arc::new(provider());
    let verifier = Arc::new(Pinned {
        key: None,
        provider: provider.clone(),
    });
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider speaks TLS 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified(own))));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config
}

fn certified(own: &KeyPair) -> Arc<CertifiedKey> {
    let mut der = Zeroizing::new([0; 48]);
    der[..16].copy_from_slice(&PKCS8);
    der[16..].copy_from_slice(&own.seed()[..]);
    let key = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(&der[..]));
    let public = CertificateDer::from([&SPKI[..], &own.public()].concat());
    Arc::new(CertifiedKey::new(
        vec![public],
        key.expect("any 32 bytes are an Ed25519 key"),
    ))
}

/// The 32 bytes of an Ed25519 key in its only DER form.
fn raw_key(der: &CertificateDer<'_>) -> Option<[u8; 32]> {
    der.as_ref().strip_prefix(&SPKI)?.try_into().ok()
}

/// Settings of every connection. Measured values are those of the transport research.
fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = IDLE.try_into().expect("120 s fit");
    let mut acks = AckFrequencyConfig::default();
    // 140 instead of 354 packets back for 500 kB, in the same time
    acks.ack_eliciting_threshold(VarInt::from_u32(10));
    acks.max_ack_delay(Some(Duration::from_millis(100)));
    config
        .max_idle_timeout(Some(idle))
        .ack_frequency_config(Some(acks))
        .initial_rtt(INITIAL_RTT)
        .initial_mtu(1200)
        .mtu_discovery_config(Some(quinn::MtuDiscoveryConfig::default()))
        .congestion_controller_factory(Arc::new(quinn::congestion::CubicConfig::default()))
        .send_window(SEND_WINDOW)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        // the request of an enrolment; an uplink reads none
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        // a datagram is a question whether the peer is there: its acknowledgement is the answer
        .datagram_receive_buffer_size(Some(1024))
        .datagram_send_buffer_size(1024);
    config
}

/// Accepts one key, or any.
#[derive(Debug)]
struct Pinned {
    key: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn check(&self, shown: &CertificateDer<'_>, more: &[CertificateDer<'_>]) -> Result<(), Error> {
        let key = raw_key(shown).filter(|_| more.is_empty());
        let key = key.ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        match self.key {
            Some(pinned) if pinned != key => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
            _ => Ok(()),
        }
    }

    fn signed(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signature.scheme != SignatureScheme::ED25519 {
            return Err(PeerIncompatible::NoSignatureSchemesInCommon.into());
        }
        let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(shown, more).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(shown, more).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
