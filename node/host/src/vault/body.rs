//! What a vault holds, and its bytes before they are sealed.
//!
//! ```text
//! secrets 2 | each: name length 1 | name | length 4 | bytes
//! keys 4    | each: 0, or 1 and the 16 bytes of a thread | key 32
//! slots 1   | each: its key 32
//! ```
//!
//! The bytes were sealed by us; they are parsed as if they were not.

use super::slot::Slot;
use super::{NAME_BYTES, key_id};
use crate::store::{KeyId, Scope};
use aidmesh_core::crypto::Secret;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Secrets by name, and keys of rows by what they are for.
#[derive(Default)]
pub(super) struct Body {
    pub(super) named: BTreeMap<String, Zeroizing<Vec<u8>>>,
    keys: BTreeMap<Scope, (KeyId, Secret)>,
    scopes: BTreeMap<KeyId, Scope>,
}

impl Body {
    pub(super) fn key_of(&self, scope: Scope) -> Option<(KeyId, Secret)> {
        self.keys.get(&scope).cloned()
    }

    pub(super) fn key_by_id(&self, id: KeyId) -> Option<Secret> {
        let (_, key) = self.keys.get(self.scopes.get(&id)?)?;
        Some(key.clone())
    }

    pub(super) fn add_key(&mut self, scope: Scope, key: Secret) {
        let id = key_id(&key);
        self.scopes.insert(id, scope);
        self.keys.insert(scope, (id, key));
    }

    pub(super) fn forget(&mut self, scope: Scope) {
        if let Some((id, _)) = self.keys.remove(&scope) {
            self.scopes.remove(&id);
        }
    }

    pub(super) fn to_bytes(&self, slots: &[Slot]) -> Zeroizing<Vec<u8>> {
        let named = self
            .named
            .iter()
            .map(|(name, bytes)| name.len() + bytes.len() + 5);
        let most = 2 + named.sum::<usize>() + 4 + self.keys.len() * 49 + 1 + slots.len() * 32;
        // all at once: a vector that grows leaves copies behind
        let mut out = Zeroizing::new(Vec::with_capacity(most));
        out.extend_from_slice(&(self.named.len() as u16).to_le_bytes());
        for (name, bytes) in &self.named {
            out.push(name.len() as u8);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
        }
        out.extend_from_slice(&(self.keys.len() as u32).to_le_bytes());
        for (scope, (_, key)) in &self.keys {
            match scope {
                Scope::General => out.push(0),
                Scope::Thread(thread) => {
                    out.push(1);
                    out.extend_from_slice(thread);
                }
            }
            out.extend_from_slice(key.as_bytes());
        }
        out.push(slots.len() as u8);
        for slot in slots {
            out.extend_from_slice(slot.kek.as_bytes());
        }
        assert!(out.len() <= most, "the body fits what was set aside");
        out
    }

    /// The body, and the keys of `slots` slots.
    pub(super) fn parse(bytes: &[u8], slots: usize) -> Option<(Body, Vec<Secret>)> {
        let mut body = Body::default();
        let mut rest = bytes;
        for _ in 0..u16::from_le_bytes(take(&mut rest)?) {
            let [length] = take(&mut rest)?;
            let name = std::str::from_utf8(take_slice(&mut rest, length.into())?).ok()?;
            let length = u32::from_le_bytes(take(&mut rest)?);
            let secret = take_slice(&mut rest, usize::try_from(length).ok()?)?;
            let secret = Zeroizing::new(secret.to_vec());
            body.named.insert(name.to_owned(), secret);
        }
        for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
            let scope = match take(&mut rest)? {
                [0] => Scope::General,
                [1] => Scope::Thread(take(&mut rest)?),
                _ => return None,
            };
            body.add_key(scope, Secret(take(&mut rest)?));
        }
        let [count] = take(&mut rest)?;
        let keks: Option<Vec<Secret>> = (0..count).map(|_| take(&mut rest).map(Secret)).collect();
        let keks = keks.filter(|keks| keks.len() == slots && rest.is_empty())?;
        Some((body, keks))
    }
}

const _: () = assert!(NAME_BYTES <= u8::MAX as usize);

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

fn take_slice<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}
