//! The programs as they are installed: real processes, folders and sockets, one relay, no demo around them.
//!
//! Each test has a world of its own below a temporary folder: an organisation with its desk, a relay, and
//! devices that enrolled by the commands that people use. Tests speak to nodes by the command line with
//! `--json` alone, so what they see is what a script sees. A state is waited for with a generous limit; how
//! long it took decides nothing.

mod canary;
mod child;
mod killed;
mod late_joiner;
mod relay_trouble;
mod trouble;
mod world;

use crate::harness::Test;

const LAYER: &str = "processes";

/// The tests of this layer.
pub(crate) fn tests() -> Vec<Test> {
    let mut tests = late_joiner::tests();
    tests.extend(killed::tests());
    tests.extend(trouble::tests());
    tests.extend(relay_trouble::tests());
    tests.extend(canary::tests());
    tests
}

/// Whether there is time for many rounds.
fn long() -> bool {
    std::env::var_os("AIDMESH_LONG").is_some()
}
