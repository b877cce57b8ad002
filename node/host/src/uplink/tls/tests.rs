//! Handshakes in memory: rustls against rustls, without sockets.

use super::*;
use rustls::NamedGroup;
use rustls::quic::{ClientConnection, Connection as Tls, ServerConnection, Version};

fn key(n: u8) -> KeyPair {
    KeyPair::from_seed(&[n; 32])
}

/// Runs the handshake to its end on both sides, or to the error of one.
fn handshake(client: rustls::ClientConfig, server: rustls::ServerConfig) -> Result<(Tls, Tls), Error> {
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let params = vec![];
    let client = ClientConnection::new(Arc::new(client), Version::V1, name, params.clone()).unwrap();
    let server = ServerConnection::new(Arc::new(server), Version::V1, params).unwrap();
    let (mut client, mut server) = (Tls::Client(client), Tls::Server(server));
    for _ in 0..8 {
        for up in [true, false] {
            let (a, b) = match up {
                true => (&mut client, &mut server),
                false => (&mut server, &mut client),
            };
            // bytes of one level of keys at a time
            loop {
                let mut bytes = vec![];
                let keys = a.write_hs(&mut bytes);
                b.read_hs(&bytes)?;
                if keys.is_none() {
                    break;
                }
            }
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

#[test]
fn the_first_group_is_post_quantum() {
    assert_eq!(provider().kx_groups[0].name(), NamedGroup::X25519MLKEM768);
}

#[test]
fn a_handshake_uses_the_post_quantum_group_and_proves_both_keys() {
    let (a, b) = (key(1), key(2));
    let (client, server) =
        handshake(client_tls(&a, b.public(), b"x"), server_tls(&b, b"x")).expect("both keys are right");
    for side in [&client, &server] {
        let group = side.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        assert_eq!(side.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
    let proven = |side: &Tls| raw_key(&side.peer_certificates().unwrap()[0]);
    assert_eq!(proven(&client), Some(b.public()));
    assert_eq!(proven(&server), Some(a.public()));
}

#[test]
fn another_key_than_the_pinned_one_ends_the_handshake() {
    let (a, b, c) = (key(1), key(2), key(3));
    let error = handshake(client_tls(&a, c.public(), b"x"), server_tls(&b, b"x")).unwrap_err();
    let wrong = CertificateError::ApplicationVerificationFailure;
    assert_eq!(error, Error::InvalidCertificate(wrong));
}

#[test]
fn a_key_without_its_private_half_ends_the_handshake() {
    let (a, b) = (key(1), key(2));
    let mut server = server_tls(&b, b"x");
    // shows the pinned key and signs with its own
    let shown = CertificateDer::from([&SPKI[..], &key(3).public()].concat());
    let stolen = CertifiedKey::new(vec![shown], certified(&b).key.clone());
    server.cert_resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::new(stolen)));
    let error = handshake(client_tls(&a, key(3).public(), b"x"), server).unwrap_err();
    assert!(
        matches!(error, Error::InvalidCertificate(CertificateError::BadSignature)),
        "{error}"
    );
}

#[test]
fn another_protocol_ends_the_handshake() {
    let (a, b) = (key(1), key(2));
    let error = handshake(client_tls(&a, b.public(), b"x"), server_tls(&b, b"y")).unwrap_err();
    assert_eq!(error, Error::NoApplicationProtocol);
}

#[test]
fn a_client_without_a_key_is_not_served() {
    let b = key(2);
    let mut client = client_tls(&key(1), b.public(), b"x");
    client.client_auth_cert_resolver = Arc::new(NoKey);
    assert!(handshake(client, server_tls(&b, b"x")).is_err());
}

#[derive(Debug)]
struct NoKey;

impl rustls::client::ResolvesClientCert for NoKey {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }
}

#[test]
fn only_the_one_der_form_of_a_key_is_read() {
    let good = [&SPKI[..], &[7; 32]].concat();
    assert_eq!(raw_key(&CertificateDer::from(good.clone())), Some([7; 32]));
    assert_eq!(raw_key(&CertificateDer::from(&good[..43])), None);
    assert_eq!(raw_key(&CertificateDer::from([&good[..], &[0]].concat())), None);
    let mut other = good;
    other[8] = 0x6e;
    assert_eq!(raw_key(&CertificateDer::from(other)), None);
}
