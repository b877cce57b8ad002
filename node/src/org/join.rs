//! The way of a new device into an organisation: an invite comes in, a request goes out, a grant comes
//! back.
//!
//! ```text
//! pending  1 | len, invite | four keys 128 | len, request
//! ```
//!
//! The keys are made here and never leave; they wait in the vault beside the invite until the grant
//! comes, however long the administrator takes and however often this program starts meanwhile. Asking
//! again with the same invite, name and roles gives the same request, since an invite is used once.
//! A grant turns *pending* into the identity in one save.

use super::identity::{DeviceKeys, IDENTITY, IdentityError, IdentityFile};
use super::{NoEntropy, Safe, keep_all, text};
use aidmesh_core::codec::{Malformed, Reader, Writer};
use aidmesh_core::crypto::x25519_public;
use aidmesh_core::directory::{Name, Roles};
use aidmesh_core::enrolment::{Grant, GrantError, Invite, InviteKey, OrgCard, Request, six_words};
use aidmesh_core::limits;
use aidmesh_host::vault::VaultError;
use bytes::Bytes;
use zeroize::Zeroizing;

const PENDING: &str = "pending";
const PENDING_BYTES: usize = 8 + limits::INVITE_BYTES + 128 + limits::REQUEST_BYTES;
const VERSION: u8 = 1;

/// Why a device cannot ask or join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// A device has one identity.
    #[error("this device is enrolled already")]
    Enrolled,
    /// Nothing was asked from this folder.
    #[error("this device has not asked for anything")]
    NothingAsked,
    /// The invite is of no use any more.
    #[error("the invite ended {0} min ago; ask for a new one")]
    Ended(u32),
    /// The invite offers others.
    #[error("the invite does not offer this role")]
    Roles,
    /// No random numbers.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// What waits in the vault cannot be read.
    #[error("what waits in the vault is damaged: {0}")]
    Damaged(&'static str),
    /// The grant is not taken.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// What was granted makes no identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// A request on its way.
#[derive(Clone)]
pub struct Asked {
    /// To be carried to the desk.
    pub request: Bytes,
    /// To be compared with those on the desk's screen.
    pub words: [&'static str; 6],
    /// The invite that it answers.
    pub invite: Invite,
    keys: DeviceKeys,
}

impl std::fmt::Debug for Asked {
    /// The request has the holder's name in clear.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asked({:?}, {:?})", self.invite.org(), self.words)
    }
}

impl Asked {
    /// The routing key that shows this device to the desk.
    pub fn routing(&self) -> &aidmesh_core::crypto::KeyPair {
        &self.keys.routing
    }

    fn encode(&self) -> Result<Zeroizing<Vec<u8>>, Malformed> {
        let mut w = Writer(Vec::with_capacity(PENDING_BYTES));
        let invite = Zeroizing::new(self.invite.encode()?.to_vec());
        w.u8(VERSION).bytes(&invite);
        self.keys.write(&mut w);
        w.bytes(&self.request);
        Ok(Zeroizing::new(w.0))
    }

    fn decode(bytes: &[u8]) -> Result<Asked, Malformed> {
        let mut r = Reader::new(bytes);
        if r.u8()? != VERSION {
            return Err(Malformed("of a newer version"));
        }
        let invite = Invite::decode(r.bytes(limits::INVITE_BYTES)?)?;
        let keys = DeviceKeys::read(&mut r)?;
        let request = Bytes::copy_from_slice(r.bytes(limits::REQUEST_BYTES)?);
        r.end()?;
        Request::decode(&request)?;
        Ok(Asked {
            words: text::words(six_words(&request)),
            request,
            invite,
            keys,
        })
    }
}

/// Answers an invite. `roles`: those wanted of the ones offered, or `None` for all.
pub fn request(
    safe: &mut dyn Safe,
    invite: &Invite,
    holder: Name,
    roles: Option<Roles>,
    now_min: u32,
) -> Result<Asked, JoinError> {
    if safe.get(IDENTITY).is_some() {
        return Err(JoinError::Enrolled);
    }
    if now_min > invite.not_after_min {
        return Err(JoinError::Ended(now_min - invite.not_after_min));
    }
    let roles = roles.unwrap_or(invite.roles);
    if roles.0 == 0 || roles.0 & !invite.roles.0 != 0 {
        return Err(JoinError::Roles);
    }
    if let Ok(Some(asked)) = pending(safe) {
        let before = Request::decode(&asked.request).map_err(|e| JoinError::Damaged(e.0))?;
        if asked.invite == *invite && before.name == holder && before.roles == roles {
            return Ok(asked);
        }
    }
    let keys = DeviceKeys::random()?;
    let public = (
        x25519_public(&keys.seal),
        keys.inbox.public(),
        keys.routing.public(),
    );
    let key = InviteKey::of(&invite.secret);
    let request = Request::new(&keys.device, public, (roles, holder), &key).encode();
    let asked = Asked {
        words: text::words(six_words(&request)),
        request,
        invite: invite.clone(),
        keys,
    };
    let bytes = asked.encode().map_err(|e| JoinError::Damaged(e.0))?;
    keep_all(safe, vec![(PENDING, Some(bytes))])?;
    Ok(asked)
}

/// The request that waits for its grant.
pub fn pending(safe: &dyn Safe) -> Result<Option<Asked>, JoinError> {
    let Some(bytes) = safe.get(PENDING) else {
        return Ok(None);
    };
    let asked = Asked::decode(&bytes).map_err(|e| JoinError::Damaged(e.0))?;
    Ok(Some(asked))
}

/// Takes the grant for what was asked: from now on this device is enrolled.
pub fn accept(safe: &mut dyn Safe, grant: &[u8], now_min: u32) -> Result<IdentityFile, JoinError> {
    if safe.get(IDENTITY).is_some() {
        return Err(JoinError::Enrolled);
    }
    let asked = pending(safe)?.ok_or(JoinError::NothingAsked)?;
    let request = Request::decode(&asked.request).map_err(|e| JoinError::Damaged(e.0))?;
    let grant = Grant::open(grant, &asked.invite, &request, now_min)?;
    let file = IdentityFile {
        keys: asked.keys,
        device: grant.device,
        routing: grant.routing,
        org: OrgCard {
            root: grant.root,
            admins: grant.admins,
        },
        relays: grant.relays,
        partners: grant.partners,
        own_cards: vec![],
        cards: grant.cards,
        revocations: vec![],
    };
    let bytes = file.encode()?;
    keep_all(safe, vec![(PENDING, None), (IDENTITY, Some(bytes))])?;
    Ok(file)
}
