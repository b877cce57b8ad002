//! Times of the steps that a device makes, and their floors.
//!
//! Each step ends with its changed rows in a batch, as in the product. Floors are sums of bare operations one
//! after the other; OpenMLS seals a path on all cores, so a step may come close to its floor or below it.

use super::bare::{Bare, RUNS_MAX, TEXT, median_us};
use super::sizes::depth;
use super::team::{Team, add_all};
use super::{BenchError, Time};
use aidmesh_core::group::mls::NodeState;
use aidmesh_core::id::Seq;
use aidmesh_core::store::Batch;

pub(super) fn measure(team: &Team, bare: &Bare) -> Result<Vec<Time>, BenchError> {
    let hpke = bare.hpke(team.suite);
    let members = team.devices.len();
    let (joiners, left) = (members - 1, members - 1);
    // each key package has two signatures; own are those of leaf, commit and group
    let founding = joiners as f64 * (2.0 * bare.verify_us + hpke.seal_us) + 3.0 * bare.sign_us;
    let joining = hpke.open_us + (members + 1) as f64 * bare.verify_us;
    // own leaf and commit are signed
    let path = depth(left) as f64 * (hpke.key_pair_us + hpke.seal_us) + hpke.key_pair_us;
    let removing = path + 2.0 * bare.sign_us;
    // a tree of leaves alone: a secret for each who stays but the founder
    let blank = (left - 1) as f64 * hpke.seal_us + (1 + depth(left)) as f64 * hpke.key_pair_us;
    let blank_us = blank + 2.0 * bare.sign_us;
    let mut times = vec![
        time("found", "make a thread: create, add all others", founding, || {
            add_all(team.suite, &team.devices, team.thread)
        })?,
        time("join", "join it", joining, || {
            let mut joined = team.join()?;
            Ok(saved(team, &mut joined))
        })?,
        time("remove", "make a commit that removes one", removing, || {
            let mut made = team.remove()?;
            Ok(saved(team, &mut made.child))
        })?,
    ];
    let removal = times[times.len() - 1];
    times.push(Time {
        name: "remove_blank",
        what: "the same beside a tree of leaves alone",
        floor_us: blank_us,
        ..removal
    });
    times.extend(process(team, bare)?);
    times.extend(message(team, bare)?);
    Ok(times)
}

fn time<T>(
    name: &'static str,
    what: &'static str,
    floor_us: f64,
    step: impl FnMut() -> Result<T, BenchError>,
) -> Result<Time, BenchError> {
    Ok(Time {
        name,
        what,
        us: median_us(step)?,
        floor_us,
    })
}

fn saved(team: &Team, node: &mut NodeState) -> Batch {
    let mut batch = Batch::new();
    node.save(team.thread, team.node, &mut batch);
    batch
}

/// The member beside the founder processes the removal. Of two members nobody is left to do so.
fn process(team: &Team, bare: &Bare) -> Result<Option<Time>, BenchError> {
    if team.devices.len() == 2 {
        return Ok(None);
    }
    let (second, node) = (&team.devices[1], team.join()?);
    let commit = team.remove()?.commit;
    // leaf and commit are signed
    let floor = 2.0 * bare.verify_us + bare.hpke(team.suite).open_us;
    let what = "process the removal at another member";
    let process = time("process", what, floor, || {
        let mut processed = node.process(&second.crypto, &commit)?;
        Ok(saved(team, &mut processed.child))
    })?;
    Ok(Some(process))
}

fn message(team: &Team, bare: &Bare) -> Result<[Time; 2], BenchError> {
    let (founder, second) = (team.founder(), &team.devices[1]);
    let (mut here, mut there) = (team.made.child.clone(), team.join()?);
    saved(team, &mut here);
    saved(team, &mut there);
    let text = [8; TEXT];
    let mut sealed = Vec::new();
    let seal = time(
        "seal",
        "seal a message of 100 B",
        bare.sign_us + bare.aead_us,
        || {
            let place = team.place(sealed.len() as Seq + 1);
            sealed.push(here.seal(&founder.crypto, &founder.keys, &place, 0, &text)?);
            Ok(saved(team, &mut here))
        },
    )?;
    for n in sealed.len()..=RUNS_MAX {
        let place = team.place(n as Seq + 1);
        sealed.push(here.seal(&founder.crypto, &founder.keys, &place, 0, &text)?);
    }
    let mut next = (1..).zip(&sealed);
    let open = time("open", "open it", bare.verify_us + bare.aead_us, || {
        let (seq, payload) = next.next().ok_or(BenchError::Bare("more calls than messages"))?;
        let opened = there.open(&second.crypto, &team.place(seq), payload)?;
        Ok((opened, saved(team, &mut there)))
    })?;
    Ok([seal, open])
}
