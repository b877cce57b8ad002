//! The routing certificate that a relay shows: one that it signed itself.
//!
//! A machine opens only with a certificate of its key, and a peer hears it as the first frame. Who vouches
//! for a relay? Three answers were weighed:
//!
//! * An administrator certifies each relay. Then every relay waits for a person, and a relay that serves
//!   several organisations needs a certificate of each.
//! * The relay is an organisation of one, which devices trust. Then it could certify people and devices of
//!   its own making, which is far more than a relay may do.
//! * Devices pin the relay's key: it stands in the invite that the administrator handed over. What a pinned
//!   key signs counts as the word of a relay (what it keeps) and as nothing else.
//!
//! The last is what is built (`Command::PinRelays` of the core). The certificate only has to be of the key
//! that the transport proved; it names the key itself as its organisation, which nobody trusts.
//!
//! It follows that no revocation ends a relay: a relay that must not be believed any longer is taken out of
//! the settings of the devices.

use aidmesh_core::crypto::KeyPair;
use aidmesh_core::directory::{RoutingCert, Signed, Window};
use aidmesh_core::id::{Key8, Org};

/// The certificate of a relay's routing key, encoded.
pub fn self_signed(routing: &KeyPair) -> Vec<u8> {
    let cert = RoutingCert {
        org: Org::of_root(&routing.public()),
        serial: 0,
        routing_key: routing.public(),
        quota: 0,
        window: Window {
            not_before_min: 0,
            not_after_min: u32::MAX,
        },
        issuer: Key8::default(),
        sig: [0; 64],
    };
    cert.signed_by(routing).encode().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cast::{NOW, Organisation, key};
    use aidmesh_core::directory::{CertError, Directory};
    use aidmesh_core::store::Batch;

    #[test]
    fn it_is_of_the_key_and_gives_no_power() {
        let relay = key(9);
        let cert = RoutingCert::decode(&self_signed(&relay)).unwrap();
        assert_eq!(cert.routing_key, relay.public());
        assert!(cert.verified_by(&relay.public()));
        let (north, mut directory) = (Organisation::new("North", 1), Directory::new());
        directory.trust(&north.card.encode(), true, &mut Batch::new());
        let refused = directory.verify_routing(&cert, NOW);
        assert_eq!(refused, Err(CertError::UnknownOrg(cert.org)));
    }
}
