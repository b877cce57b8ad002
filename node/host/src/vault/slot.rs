//! One way to open a vault: a passphrase or a key file gives a key, under which VK is sealed.
//!
//! The cost of Argon2id stands in the file, so that a later program may ask for more; what a file may ask
//! for is bounded, since it could come from anywhere. Lowering it in a file gains nothing: it gives another
//! key. The memory that Argon2id filled is wiped.

use super::{NONCE, Unlock, VaultError, random};
use aidmesh_core::crypto::{Secret, TAG_BYTES, kdf, open, seal};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize, Zeroizing};

pub(super) const SLOT_BYTES: usize = OPEN_BYTES + NONCE + 32 + TAG_BYTES;
/// Kind, cost and salt.
const OPEN_BYTES: usize = 1 + 12 + SALT;
const SALT: usize = 16;
const PASSPHRASE: u8 = 1;
const KEY_FILE: u8 = 2;

/// Cost of Argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) m_kib: u32,
    pub(super) t: u32,
    pub(super) p: u32,
}

impl Cost {
    /// 64 MiB, three passes (the second recommended option of RFC 9106, on one lane).
    pub(super) const DEVICE: Cost = Cost {
        m_kib: 64 << 10,
        t: 3,
        p: 1,
    };
    /// The most that a file may ask for.
    const MOST: Cost = Cost {
        m_kib: 256 << 10,
        t: 16,
        p: 4,
    };
    const NONE: Cost = Cost { m_kib: 0, t: 0, p: 0 };
}

/// A way to open a vault, with its key.
pub(super) struct Slot {
    kind: u8,
    cost: Cost,
    salt: [u8; SALT],
    pub(super) kek: Secret,
}

impl Slot {
    pub(super) fn new(unlock: &Unlock, cost: Cost) -> Result<Slot, VaultError> {
        let (kind, cost) = match unlock {
            Unlock::Passphrase(_) => (PASSPHRASE, cost),
            Unlock::KeyFile(_) => (KEY_FILE, Cost::NONE),
        };
        let salt = random();
        let kek = kek(unlock, cost, &salt)?;
        Ok(Slot {
            kind,
            cost,
            salt,
            kek,
        })
    }

    /// Of `SLOT_BYTES` that were checked by [`unlock`].
    pub(super) fn parse(bytes: &[u8], kek: Secret) -> Slot {
        let (kind, cost, salt) = parts(bytes);
        Slot {
            kind,
            cost,
            salt,
            kek,
        }
    }

    /// Writes the slot with `vk` sealed in it.
    pub(super) fn write(&self, vk: &Secret, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(self.kind);
        for number in [self.cost.m_kib, self.cost.t, self.cost.p] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.salt);
        let nonce = random::<NONCE>();
        let sealed = seal(&self.kek, &nonce, &aad(&out[start..]), vk.as_bytes());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
    }
}

/// VK, from the first of `slots` that `unlock` opens.
pub(super) fn unlock(slots: &[u8], unlock: &Unlock) -> Result<Secret, VaultError> {
    let (kind, none) = match unlock {
        Unlock::Passphrase(_) => (PASSPHRASE, VaultError::NoPassphrase),
        Unlock::KeyFile(_) => (KEY_FILE, VaultError::NoKeyFile),
    };
    let mut error = none;
    for slot in slots.chunks_exact(SLOT_BYTES) {
        let (found, cost, salt) = parts(slot);
        check(found, cost)?;
        if found != kind {
            continue;
        }
        error = VaultError::Wrong;
        let kek = kek(unlock, cost, &salt)?;
        let (plain, rest) = slot.split_at(OPEN_BYTES);
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().expect("a slot holds its nonce");
        if let Some(vk) = open(&kek, nonce, &aad(plain), sealed).map(Zeroizing::new) {
            let vk = vk[..].try_into().map_err(|_| VaultError::Damaged("slot"))?;
            return Ok(Secret(vk));
        }
    }
    Err(error)
}

fn check(kind: u8, cost: Cost) -> Result<(), VaultError> {
    let most = Cost::MOST;
    let fits = match kind {
        KEY_FILE => cost == Cost::NONE,
        PASSPHRASE => {
            let memory = (cost.p.saturating_mul(8)..=most.m_kib).contains(&cost.m_kib);
            (1..=most.p).contains(&cost.p) && (1..=most.t).contains(&cost.t) && memory
        }
        _ => false,
    };
    match fits {
        true => Ok(()),
        false => Err(VaultError::Damaged("slot")),
    }
}

fn parts(slot: &[u8]) -> (u8, Cost, [u8; SALT]) {
    let number = |at: usize| {
        let bytes = slot[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes)
    };
    let cost = Cost {
        m_kib: number(1),
        t: number(5),
        p: number(9),
    };
    let salt = slot[13..OPEN_BYTES].try_into().expect("the salt's bytes");
    (slot[0], cost, salt)
}

fn aad(open: &[u8]) -> Vec<u8> {
    [b"aidmesh vault slot 1", open].concat()
}

fn kek(unlock: &Unlock, cost: Cost, salt: &[u8; SALT]) -> Result<Secret, VaultError> {
    match unlock {
        Unlock::Passphrase(text) => {
            let hash = argon2id(text.as_bytes(), salt, cost)?;
            Ok(kdf(&hash[..], "vault passphrase"))
        }
        Unlock::KeyFile(key) => {
            let mut salted = Zeroizing::new([0; 32 + SALT]);
            salted[..32].copy_from_slice(&key[..]);
            salted[32..].copy_from_slice(salt);
            Ok(kdf(&salted[..], "vault key file"))
        }
    }
}

fn argon2id(text: &[u8], salt: &[u8; SALT], cost: Cost) -> Result<Zeroizing<[u8; 32]>, VaultError> {
    let params =
        Params::new(cost.m_kib, cost.t, cost.p, Some(32)).map_err(|_| VaultError::Damaged("slot"))?;
    let mut memory = Vec::new();
    memory
        .try_reserve_exact(params.block_count())
        .map_err(|_| VaultError::Memory)?;
    memory.resize(params.block_count(), Block::new());
    let mut out = Zeroizing::new([0; 32]);
    let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        text,
        salt,
        &mut out[..],
        &mut memory[..],
    );
    memory.iter_mut().for_each(Block::zeroize);
    hashed.map_err(|_| VaultError::Memory)?;
    Ok(out)
}
