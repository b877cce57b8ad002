//! Threads and their members: found, list, add, remove, leave.
//!
//! A person stands for all of his or her devices: everybody gets an entry on each. Who may add or remove
//! whom is the machine's table; here only the strongest role is chosen that the adder may give and the
//! person's certificate has. Before a thread is founded everybody who shall be in it is looked up, so that
//! a mistake in a name leaves nothing behind.

use super::faults::{self, Failure};
use super::find::{self, Found};
use super::look::{DIRECTORY, Look, thread_id};
use super::{SUITE, Service, is_so_already, show};
use crate::api::types::{Made, NewThread, ThreadInfo};
use aidmesh_core::directory::{DeviceCert, Role, Roles, ThreadKind, What, may_add, tier};
use aidmesh_core::group::control::History;
use aidmesh_core::id::{Dev, Key8, ThreadId};
use aidmesh_core::limits;
use aidmesh_core::machine::ThreadView;
use aidmesh_core::machine::command::Command;
use std::collections::BTreeSet;

/// Kinds that people found.
const KINDS: [ThreadKind; 4] = [
    ThreadKind::Patient,
    ThreadKind::Incident,
    ThreadKind::Hotline,
    ThreadKind::Conversation,
];

impl Service {
    /// Threads on this device, by title.
    pub async fn threads(&self) -> Result<Vec<ThreadInfo>, Failure> {
        self.look(|look| {
            let threads = look.threads();
            let mut threads: Vec<ThreadInfo> = threads
                .iter()
                .map(|(id, view)| show::thread(look, *id, view))
                .collect();
            threads.sort_by(|a, b| (&a.name, &a.thread).cmp(&(&b.name, &b.thread)));
            Ok(threads)
        })
        .await
    }

    /// One thread.
    pub async fn thread(&self, name: String) -> Result<ThreadInfo, Failure> {
        self.look(move |look| {
            let (id, view) = find::thread(look, &name)?;
            Ok(show::thread(look, id, &view))
        })
        .await
    }

    /// Founds a thread and adds people to it.
    pub async fn found(&self, new: NewThread) -> Result<Made, Failure> {
        let kind = KINDS.into_iter().find(|kind| kind.name() == new.kind);
        let kind = kind.ok_or_else(|| faults::unknown_word("kind", &KINDS.map(ThreadKind::name)))?;
        let title = title(&new.name)?;
        let people = new.to;
        let wanted = self.look(move |look| founding(look, kind, &people)).await?;
        let command = Command::CreateThread {
            kind,
            history: history(kind),
            suite: SUITE,
            title,
        };
        let thread = self.command(command).await?.thread;
        let thread = thread.ok_or_else(|| faults::inside("a founding without a thread"))?;
        self.add_all(thread, wanted).await?;
        Ok(made(thread))
    }

    /// Adds all devices of a person.
    pub async fn add(&self, name: String, person: String) -> Result<Made, Failure> {
        let (thread, wanted) = self
            .look(move |look| {
                let (id, view) = find::thread(look, &name)?;
                let mine = own_role(look, &view)?;
                let kind = view
                    .kind
                    .ok_or_else(|| faults::inside("a thread without a kind"))?;
                let found = known(look, &person)?;
                let members: BTreeSet<Dev> = view.members.iter().map(|m| m.dev).collect();
                let missing = |found: &Found| found.devices.keys().any(|dev| !members.contains(dev));
                if !missing(&found) {
                    return Err(faults::no_change(format_args!("{} is a member", found.name)));
                }
                Ok((id, addable(look, mine, kind, &members, found)?))
            })
            .await?;
        self.add_all(thread, wanted).await?;
        Ok(made(thread))
    }

    /// Removes all devices of a person.
    pub async fn remove(&self, name: String, person: String) -> Result<Made, Failure> {
        let (thread, devices) = self
            .look(move |look| {
                let (id, view) = find::thread(look, &name)?;
                let certs = view.members.iter().filter_map(|m| m.cert.clone());
                let found = find::person(certs, &person)?;
                Ok((id, found.devices.into_keys().collect::<Vec<Dev>>()))
            })
            .await?;
        for dev in devices {
            self.command(Command::Remove { thread, dev }).await?;
        }
        Ok(made(thread))
    }

    /// Takes this device out of a thread.
    pub async fn leave(&self, name: String) -> Result<Made, Failure> {
        let (thread, dev) = self
            .look(move |look| Ok((find::thread(look, &name)?.0, look.own()?.dev())))
            .await?;
        self.command(Command::Remove { thread, dev }).await?;
        Ok(made(thread))
    }

    async fn add_all(&self, thread: ThreadId, wanted: Vec<(Dev, Role)>) -> Result<(), Failure> {
        for (dev, role) in wanted {
            let added = self
                .inner
                .handle
                .command(Command::Add { thread, dev, role })
                .await;
            match added {
                // somebody else was quicker
                Err(why) if is_so_already(&why) => {}
                other => drop(other.map_err(faults::node)?),
            }
        }
        Ok(())
    }
}

fn made(thread: ThreadId) -> Made {
    Made {
        thread: Some(thread_id(thread)),
        entries: vec![],
    }
}

fn title(name: &str) -> Result<String, Failure> {
    let name = name.trim();
    let fits = !name.is_empty() && name.len() <= limits::TITLE_BYTES;
    if !fits || name.chars().any(char::is_control) || name.starts_with(&DIRECTORY[..1]) {
        let most = limits::TITLE_BYTES;
        return Err(faults::unfit(format_args!(
            "a title has 1 to {most} bytes of text and does not begin with @"
        )));
    }
    Ok(name.to_owned())
}

/// Whoever joins a case must know it; a hotline is joined for what comes.
fn history(kind: ThreadKind) -> History {
    match kind {
        ThreadKind::Patient | ThreadKind::Incident => History::All,
        ThreadKind::Hotline | ThreadKind::Conversation => History::FromJoining,
    }
}

/// Devices to add to a thread that this device will found.
fn founding(look: &Look<'_>, kind: ThreadKind, people: &[String]) -> Result<Vec<(Dev, Role)>, Failure> {
    if people.len() >= limits::MEMBERS {
        return Err(faults::unfit("more people than a thread takes"));
    }
    let own = look.own()?;
    // the machine gives a founder the first role of the certificate
    let mine = own.roles.iter().next();
    let mine = mine.ok_or_else(|| faults::role_forbids("this device has no role"))?;
    if tier(mine, kind, true, true).is_none() {
        return Err(faults::role_forbids(mine.name()));
    }
    let mut members = BTreeSet::from([own.dev()]);
    let mut wanted = Vec::new();
    for person in people {
        let found = known(look, person)?;
        let more = addable(look, mine, kind, &members, found)?;
        members.extend(more.iter().map(|(dev, _)| *dev));
        wanted.extend(more);
    }
    if members.len() > limits::XWING_MEMBERS {
        let most = limits::XWING_MEMBERS;
        return Err(faults::unfit(format_args!("a thread has at most {most} devices")));
    }
    Ok(wanted)
}

/// Somebody whose devices are known here and not revoked.
fn known(look: &Look<'_>, person: &str) -> Result<Found, Failure> {
    let directory = look.machine.directory();
    let good = |cert: &&DeviceCert| {
        let key = Key8::of_key(&cert.device_key);
        directory.revocation(cert.org, What::Device, key).is_none()
    };
    let own = look.machine.certificate();
    let others = directory.devices().filter(good).cloned();
    find::person(own.into_iter().chain(others), person)
}

/// The devices of a person that can be added, each with its role; at least one, or the reason why not.
/// Those that are members already are left out.
fn addable(
    look: &Look<'_>,
    mine: Role,
    kind: ThreadKind,
    members: &BTreeSet<Dev>,
    found: Found,
) -> Result<Vec<(Dev, Role)>, Failure> {
    let mut wanted = Vec::new();
    let (mut no_role, mut no_card, mut member) = (false, false, false);
    for (dev, cert) in &found.devices {
        if members.contains(dev) {
            member = true;
            continue;
        }
        let Some(role) = role_for(mine, kind, cert.roles) else {
            no_role = true;
            continue;
        };
        let card = look.machine.can_add(look.store, *dev, SUITE);
        match card.map_err(|why| faults::unreadable(&why))? {
            true => wanted.push((*dev, role)),
            false => no_card = true,
        }
    }
    if wanted.is_empty() && no_card {
        return Err(faults::no_card(&found.name));
    }
    if wanted.is_empty() && no_role {
        let (mine, name) = (mine.name(), found.name);
        return Err(faults::role_forbids(format_args!("{mine} may not add {name}")));
    }
    debug_assert!(member || !wanted.is_empty(), "a person has a device");
    Ok(wanted)
}

/// The strongest role of a certificate that a member in role `mine` may add.
pub(super) fn role_for(mine: Role, kind: ThreadKind, roles: Roles) -> Option<Role> {
    let may = roles.iter().filter(|role| may_add(mine, kind, *role));
    may.min_by_key(|role| tier(*role, kind, true, false))
}

fn own_role(look: &Look<'_>, view: &ThreadView) -> Result<Role, Failure> {
    let own = look.own()?.dev();
    let member = view.members.iter().find(|m| m.dev == own);
    let member = member.ok_or_else(|| faults::role_forbids("this device is no member"))?;
    Ok(member.role)
}
