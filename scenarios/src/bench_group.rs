//! What the keys of a thread cost in bytes and time, beside the least that they could cost.
//!
//! A founder adds all others in one commit, as a device of the product does, then removes one. Everything
//! goes through the core: [`NodeState`](aidmesh_core::group::mls::NodeState), signed control objects, their
//! seals and envelopes, rows as they are saved. Beside each figure stands a floor: the bytes or the time of
//! the bare operations of which nothing can be left out ([`bare`]).
//!
//! * Sizes are a function of the seeds alone, but for up to 4 B in the rows of a node, into which OpenMLS
//!   writes the computer's clock. Times are medians and differ from run to run.
//! * What is larger than a thread of the product may be is measured all the same, and [`Costs::beyond`]
//!   says which limit it breaks.
//! * Not here: the host, which seals each row once more, links, and the machine around the keys.

pub mod bare;

mod sizes;
mod team;
mod times;

use aidmesh_core::codec::Malformed;
use aidmesh_core::group::direct::SealError;
use aidmesh_core::group::mls::{MlsError, OpenError, Suite};
use aidmesh_core::limits;
use bare::Bare;
use serde::Serialize;
use std::io::{self, Write};
use team::Team;

/// Members of the threads that are measured unless others are asked for; an X-Wing thread takes 17 at most.
pub const MEMBERS: [usize; 5] = [2, 8, limits::XWING_MEMBERS, 32, limits::MEMBERS];
const SCHEMA: &str = "aidmesh.bench-group/1";

/// A size and the least that it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Name for programs.
    pub name: &'static str,
    /// Name for people.
    #[serde(skip)]
    pub what: &'static str,
    /// Bytes.
    pub bytes: usize,
    /// Bytes of keys, signatures, tags and names of which nothing can be left out.
    pub floor_bytes: usize,
}

/// A time and the least that it could be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Time {
    /// Name for programs.
    pub name: &'static str,
    /// Name for people.
    #[serde(skip)]
    pub what: &'static str,
    /// Median, microseconds.
    pub us: f64,
    /// Bare operations of which nothing can be left out, one after the other, microseconds.
    pub floor_us: f64,
}

/// What one thread costs.
#[derive(Clone, Debug, Serialize)]
pub struct Costs {
    /// `aidmesh.bench-group/1`.
    pub schema: &'static str,
    /// Number of the suite in the registry of MLS.
    pub suite: u16,
    /// Members, the founder included.
    pub members: usize,
    /// Bytes of a device certificate in this thread.
    pub certificate_bytes: usize,
    /// Sizes.
    pub sizes: Vec<Size>,
    /// Times.
    pub times: Vec<Time>,
    /// Limits of the product that a thread of this size breaks.
    pub beyond: Vec<&'static str>,
}

impl Costs {
    /// A few lines for people.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn tell(&self, out: &mut impl Write) -> io::Result<()> {
        let (suite, members) = (self.suite, self.members);
        let cert = self.certificate_bytes;
        writeln!(
            out,
            "suite 0x{suite:04X}, {members} members, certificates of {cert} B"
        )?;
        for Size {
            what,
            bytes,
            floor_bytes,
            ..
        } in &self.sizes
        {
            writeln!(out, "  {what:<62} {bytes:>8} B   {floor_bytes:>8} B")?;
        }
        for Time {
            what, us, floor_us, ..
        } in &self.times
        {
            let (ms, floor_ms) = (us / 1e3, floor_us / 1e3);
            writeln!(out, "  {what:<62} {ms:>8.3} ms  {floor_ms:>8.3} ms")?;
        }
        for rule in &self.beyond {
            writeln!(out, "  over a limit: {rule}")?;
        }
        Ok(())
    }
}

/// Why nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    /// The core refused a step.
    #[error(transparent)]
    Mls(#[from] MlsError),
    /// A member could not follow.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An object breaks a rule of its layout.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A direct seal was not made.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A bare operation of a library failed.
    #[error("a library refused a bare operation: {0}")]
    Bare(&'static str),
}

/// Both suites with each of these numbers of members, and the bare operations of the same run. A number is
/// between 2 and [`limits::MEMBERS`].
///
/// # Errors
/// See [`BenchError`]; none of them depends on the computer.
pub fn run(members: &[usize]) -> Result<(Bare, Vec<Costs>), BenchError> {
    let bare = bare::measure()?;
    let mut all = Vec::new();
    for suite in [Suite::Classical, Suite::XWing] {
        for n in members {
            let team = Team::found(suite, *n)?;
            all.push(Costs {
                times: times::measure(&team, &bare)?,
                ..sizes_of(&team)?
            });
        }
    }
    Ok((bare, all))
}

/// The sizes alone, which depend on no computer.
///
/// # Errors
/// See [`BenchError`].
pub fn sizes(suite: Suite, members: usize) -> Result<Costs, BenchError> {
    sizes_of(&Team::found(suite, members)?)
}

fn sizes_of(team: &Team) -> Result<Costs, BenchError> {
    let (sizes, beyond) = sizes::measure(team)?;
    Ok(Costs {
        schema: SCHEMA,
        suite: team.suite.to_u16(),
        members: team.devices.len(),
        certificate_bytes: team.cert_bytes(),
        sizes,
        times: Vec::new(),
        beyond,
    })
}

#[cfg(test)]
mod tests;
