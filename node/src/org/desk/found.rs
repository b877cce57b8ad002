//! The founding of an organisation: its root key, its first administrator, and that one's device.
//!
//! The root key certifies the administrator and is then forgotten; it lives on as 24 words on paper, for
//! the day when the administrator's certificate ends ([`Desk::renew_admin`](super::Desk::renew_admin)).
//! If the device's vault cannot be saved, the organisation's is emptied again.

use super::issue::{Subject, admin_cert};
use super::{BOOK, DeskError, REGISTER, damaged};
use crate::org::identity::{DeviceKeys, IDENTITY, IdentityFile};
use crate::org::register::{Enrolled, Register};
use crate::org::{Safe, keep_all, new_key, random};
use aidmesh_core::crypto::KeyPair;
use aidmesh_core::directory::{Name, Roles, RootCard};
use aidmesh_core::enrolment::{Invites, OrgCard};
use bip39::{Language, Mnemonic};
use zeroize::Zeroizing;

/// A new organisation and the device of its first administrator.
#[derive(Clone, Debug)]
pub struct Founding {
    /// Name of the organisation.
    pub organisation: Name,
    /// Name of the administrator.
    pub holder: Name,
    /// Roles of the administrator's device. A role that is no member of threads needs another beside it.
    pub roles: Roles,
}

/// What was founded.
pub struct Founded {
    /// The root key as 24 words of BIP-39, to be written on paper; it is kept nowhere.
    pub root_words: Zeroizing<String>,
    /// The card for others.
    pub card: OrgCard,
}

impl std::fmt::Debug for Founded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Founded({:?})", self.card.org())
    }
}

/// Founds an organisation: its register goes into the vault `org`, the identity of the administrator's
/// device into the vault `own`.
pub fn create(
    org: &mut dyn Safe,
    own: &mut dyn Safe,
    new: &Founding,
    now_min: u32,
) -> Result<Founded, DeskError> {
    if org.get(REGISTER).is_some() || own.get(IDENTITY).is_some() {
        return Err(DeskError::Exists);
    }
    if new.roles.0 == 0 {
        return Err(DeskError::NoRole);
    }
    let seed = random::<32>()?;
    let (root, admin) = (KeyPair::from_seed(&seed), new_key()?);
    let card = OrgCard {
        root: RootCard::new(&root, new.organisation.clone()),
        admins: vec![admin_cert(&root, &admin, 1, now_min)],
    };
    let mut register = Register {
        admin,
        card: card.clone(),
        serial: 0,
        seq: 0,
        relays: vec![],
        partners: vec![],
        enrolled: vec![],
        revoked: vec![],
    };
    let keys = DeviceKeys::random()?;
    let (device, routing) = register.certify(&Subject::of_keys(&keys, new), now_min)?;
    register.enrolled.push(Enrolled {
        device: device.clone(),
        routing: routing.clone(),
        ended: false,
    });
    let file = IdentityFile {
        keys,
        device,
        routing,
        org: card.clone(),
        relays: vec![],
        partners: vec![],
        own_cards: vec![],
        cards: vec![],
        revocations: vec![],
    };
    let bytes = register.encode().map_err(damaged)?;
    keep_all(
        org,
        vec![(REGISTER, Some(bytes)), (BOOK, Some(Invites::new().encode()))],
    )?;
    if let Err(error) = file.keep(own) {
        // an organisation without its administrator's device is of no use to anybody
        keep_all(org, vec![(REGISTER, None), (BOOK, None)])?;
        return Err(error.into());
    }
    Ok(Founded {
        root_words: words_of(&seed),
        card,
    })
}

/// 24 words, in a buffer that never grows: a larger one would leave copies behind.
fn words_of(seed: &[u8; 32]) -> Zeroizing<String> {
    let mnemonic = Mnemonic::from_entropy_in(Language::English, seed).expect("32 bytes are 24 words");
    let mut text = Zeroizing::new(String::with_capacity(24 * 9));
    for (i, word) in mnemonic.words().enumerate() {
        text.push_str(if i == 0 { "" } else { " " });
        text.push_str(word);
    }
    text
}
