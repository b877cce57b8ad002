//! The book of invites that a desk gave out: each is used once, until its end.
//!
//! ```text
//! book  1 | n, n x (key 32 | na u32 | roles u16 | used 1, BLAKE3(request) 32 if used)
//! ```
//!
//! It holds `KDF(secret, "invite")`, not the secret: the text of an invite cannot be made from it.
//! A request is found by its MAC. Used and ended invites stay for a while, so that whoever comes
//! with one is told *used* or *ended* and not just *unknown*.

use super::{Invite, InviteKey, Request, VERSION, six_words, version};
use crate::codec::{Malformed, Reader, Writer};
use crate::crypto::Secret;
use crate::directory::Roles;
use crate::limits;
use zeroize::Zeroizing;

/// Why a request is refused, or an invite not given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It does not follow the layout.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The device key did not make it.
    #[error("the request was changed: its signature is wrong")]
    BadSignature,
    /// No invite of this desk fits: another organisation's, a wrong secret, or long ago.
    #[error("the request answers no invite that is known here")]
    Unknown,
    /// An invite is for one device.
    #[error("this invite was used {}", if *.same { "by this very request" } else { "by another device" })]
    Used {
        /// The request that used it was this one.
        same: bool,
    },
    /// Too late.
    #[error("the invite ended {0} min ago")]
    Ended(u32),
    /// More than the invite offers.
    #[error("the request asks for a role that the invite does not offer")]
    Roles,
    /// [`limits::INVITES`] are out.
    #[error("too many invites are out")]
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Issued {
    key: InviteKey,
    not_after_min: u32,
    roles: Roles,
    used: Option<[u8; 32]>,
}

/// A request that may be granted, once people compared its words.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it says.
    pub request: Request,
    /// Indexes of its six words.
    pub words: [u16; 6],
    key: InviteKey,
}

/// Invites that were given out. A plain value: the desk saves it before it tells anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invites(Vec<Issued>);

impl Invites {
    /// An empty book.
    pub fn new() -> Invites {
        Invites::default()
    }

    /// Enters an invite that is given out now; forgets those that ended long ago.
    pub fn issue(&mut self, invite: &Invite, now_min: u32) -> Result<(), RequestError> {
        let kept =
            |issued: &Issued| now_min <= issued.not_after_min.saturating_add(limits::INVITE_KEPT_MINUTES);
        self.0.retain(kept);
        if self.0.len() >= limits::INVITES {
            return Err(RequestError::Full);
        }
        self.0.push(Issued {
            key: InviteKey::of(&invite.secret),
            not_after_min: invite.not_after_min,
            roles: invite.roles,
            used: None,
        });
        Ok(())
    }

    /// Invites that can still be used.
    pub fn open(&self, now_min: u32) -> usize {
        let open = |issued: &&Issued| issued.used.is_none() && now_min <= issued.not_after_min;
        self.0.iter().filter(open).count()
    }

    /// Whether a request may be granted. Changes nothing.
    pub fn judge(&self, request: &[u8], now_min: u32) -> Result<Asked, RequestError> {
        let decoded = Request::decode(request)?;
        if !decoded.is_authentic() {
            return Err(RequestError::BadSignature);
        }
        let issued = self.0.iter().find(|issued| decoded.answers(&issued.key));
        let issued = issued.ok_or(RequestError::Unknown)?;
        issued.unused(&decoded)?;
        if now_min > issued.not_after_min {
            return Err(RequestError::Ended(now_min - issued.not_after_min));
        }
        if decoded.roles.0 & !issued.roles.0 != 0 {
            return Err(RequestError::Roles);
        }
        Ok(Asked {
            words: six_words(request),
            request: decoded,
            key: issued.key.clone(),
        })
    }

    /// Uses the invite up and gives the key for the grant. Save the book before the grant leaves.
    pub fn use_up(&mut self, asked: &Asked) -> Result<InviteKey, RequestError> {
        let issued = self.0.iter_mut().find(|issued| issued.key == asked.key);
        let issued = issued.ok_or(RequestError::Unknown)?;
        issued.unused(&asked.request)?;
        issued.used = Some(asked.request.hash());
        Ok(asked.key.clone())
    }

    /// All bytes; they are secret.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // its final size from the start: a buffer that grows leaves copies behind
        let mut w = Writer(Vec::with_capacity(3 + self.0.len() * (32 + 4 + 2 + 1 + 32)));
        w.u8(VERSION).count(self.0.len());
        for issued in &self.0 {
            w.put(&issued.key.0.0)
                .u32(issued.not_after_min)
                .u16(issued.roles.0);
            w.u8(u8::from(issued.used.is_some()));
            if let Some(hash) = &issued.used {
                w.put(hash);
            }
        }
        Zeroizing::new(w.0)
    }

    /// Reads [`Invites::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Invites, Malformed> {
        let mut r = Reader::new(bytes);
        version(&mut r)?;
        let n = r.count(limits::INVITES)?;
        let mut book = Invites::new();
        for _ in 0..n {
            book.0.push(Issued {
                key: InviteKey(Secret(r.array()?)),
                not_after_min: r.u32()?,
                roles: Roles(r.u16()?),
                used: match r.u8()? {
                    0 => None,
                    1 => Some(r.array()?),
                    _ => return Err(Malformed("an option is 0 or 1")),
                },
            });
        }
        r.end()?;
        Ok(book)
    }
}

impl Issued {
    fn unused(&self, request: &Request) -> Result<(), RequestError> {
        match self.used {
            None => Ok(()),
            Some(by) => Err(RequestError::Used {
                same: by == request.hash(),
            }),
        }
    }
}
