//! What people call threads, entries and each other, and what is meant.
//!
//! A whole id or title goes before the beginning of an id, so that a short name never turns into another
//! thing's id. Several that fit are a question, never a guess: an ECG in the wrong thread is worse than a
//! second try. People are named exactly (case aside), for the same reason.

use super::faults::{self, Failure};
use super::look::{Look, entry_id, hex8, thread_id};
use aidmesh_core::directory::DeviceCert;
use aidmesh_core::id::{Dev, Person, ThreadId};
use aidmesh_core::machine::{EntryRef, ThreadView};
use std::collections::BTreeMap;

/// Shortest beginning of an id that is looked up.
const PREFIX_MIN: usize = 4;
/// Longest name that is looked up, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Most candidates that are told.
const TOLD_MAX: usize = 8;

/// A person and the devices that are known by certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Name in the certificates.
    pub name: String,
    /// Devices, ascending.
    pub devices: BTreeMap<Dev, DeviceCert>,
}

/// The thread of this id, beginning of an id (4 digits or more) or title.
pub(super) fn thread(look: &Look<'_>, name: &str) -> Result<(ThreadId, ThreadView), Failure> {
    let threads = look.threads();
    let lower = bounded(name)?.to_lowercase();
    let whole = threads.iter().position(|(id, _)| thread_id(*id) == lower);
    let titled = |(_, view): &(ThreadId, ThreadView)| view.title.to_lowercase() == lower;
    let begins =
        |(id, _): &(ThreadId, ThreadView)| lower.len() >= PREFIX_MIN && thread_id(*id).starts_with(&lower);
    let matching = |fits: &dyn Fn(&(ThreadId, ThreadView)) -> bool| -> Vec<usize> {
        (0..threads.len()).filter(|i| fits(&threads[*i])).collect()
    };
    let found = match (whole, matching(&titled)) {
        (Some(whole), _) => vec![whole],
        (None, titled) if !titled.is_empty() => titled,
        _ => matching(&begins),
    };
    let called = |(id, view): &(ThreadId, ThreadView)| format!("{} ({})", view.title, hex8(&id.0));
    match found[..] {
        [one] => Ok(threads.into_iter().nth(one).expect("an index of this list")),
        [] => {
            let known: Vec<String> = threads.iter().take(TOLD_MAX).map(called).collect();
            Err(faults::not_found("no such thread", &known))
        }
        _ => {
            let several = found.iter().take(TOLD_MAX).map(|i| called(&threads[*i]));
            Err(faults::ambiguous(&several.collect::<Vec<_>>()))
        }
    }
}

/// The entry of this id, or of the beginning of one (4 characters or more).
pub(super) fn entry(look: &Look<'_>, name: &str) -> Result<(ThreadId, EntryRef), Failure> {
    let name = bounded(name)?.to_lowercase();
    let mut found = Vec::new();
    if name.len() >= PREFIX_MIN {
        let thread8: String = name.chars().take(8).collect();
        let threads = look.threads().into_iter().map(|(id, _)| id);
        for id in threads.filter(|id| hex8(&id.0).starts_with(&thread8)) {
            for at in look.machine.entries(id) {
                let full = entry_id(id, at);
                if full == name {
                    return Ok((id, at));
                }
                if full.starts_with(&name) {
                    found.push((id, at));
                }
            }
        }
    }
    match found[..] {
        [one] => Ok(one),
        [] => Err(faults::not_found("no such entry", &[])),
        _ => {
            let several = found.iter().take(TOLD_MAX).map(|(id, at)| entry_id(*id, *at));
            Err(faults::ambiguous(&several.collect::<Vec<_>>()))
        }
    }
}

/// The person of this name, or whose device has this id (8 digits or more), among `certs`.
pub(super) fn person(certs: impl IntoIterator<Item = DeviceCert>, name: &str) -> Result<Found, Failure> {
    let lower = bounded(name)?.to_lowercase();
    let mut people: BTreeMap<Person, Found> = BTreeMap::new();
    for cert in certs {
        let found = people.entry(cert.person).or_insert_with(|| Found {
            name: cert.name.as_str().to_owned(),
            devices: BTreeMap::new(),
        });
        found.devices.insert(cert.dev(), cert);
    }
    let device = |dev: &Dev| {
        let id = data_encoding::HEXLOWER.encode(&dev.0);
        lower.len() >= 8 && id.starts_with(&lower)
    };
    let called = |found: &Found| {
        let devices: Vec<String> = found.devices.keys().map(|dev| hex8(&dev.0)).collect();
        format!("{} ({})", found.name, devices.join(" "))
    };
    let is_named = |found: &Found| {
        let mut certs = found.devices.values();
        certs.any(|cert| cert.name.as_str().to_lowercase() == lower)
    };
    let mut named: Vec<Found> = people.values().filter(|f| is_named(f)).cloned().collect();
    if named.is_empty() {
        let by_device = people.values().filter_map(|found| {
            let devices = found.devices.iter().filter(|(dev, _)| device(dev));
            let devices: BTreeMap<_, _> = devices.map(|(dev, cert)| (*dev, cert.clone())).collect();
            let name = found.name.clone();
            (!devices.is_empty()).then_some(Found { name, devices })
        });
        named = by_device.collect();
    }
    match (named.pop(), named.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => {
            let known: Vec<String> = people.values().take(TOLD_MAX).map(called).collect();
            Err(faults::not_found("nobody known here is called so", &known))
        }
        (Some(last), _) => {
            named.push(last);
            let several: Vec<String> = named.iter().take(TOLD_MAX).map(called).collect();
            Err(faults::ambiguous(&several))
        }
    }
}

fn bounded(name: &str) -> Result<&str, Failure> {
    let name = name.trim();
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(faults::unfit(format_args!(
            "a name has 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    Ok(name)
}
