//! What a run did, in numbers. The storm adds those of its seeds and prints them by these names.

use serde::Serialize;
use std::ops::AddAssign;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters of a run, and their sums over many.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        #[allow(missing_docs)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl AddAssign for Counters {
            fn add_assign(&mut self, other: Counters) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    crashes,
    partitions,
    flaps,
    failed_commits,
    late_joins,
    removals,
    messages,
    ecgs,
    deliveries_checked,
    hostile_frames,
    rebuilds,
    clock_jumps,
    sleeps,
    leaks_tried,
    /// Commits that devices made and did not lose in a crash before anybody had them.
    commits,
    /// Nodes on which more than one commit was made.
    forked_nodes,
    /// A device's head went to a node that does not descend from its former one.
    flips_before_settling,
    /// The same, away from a settled node: a violation.
    flips_after_settling,
    /// Additions that a further commit named again, each time.
    re_adds,
    /// Entries that were sealed again for members that could not open them.
    rewraps,
    /// Direct seals that were sent, each once however often.
    direct_seals,
    /// Commits that began a new group.
    refounds,
    /// Epoch nodes that devices demoted: no commit follows from them any more. Each device counts.
    nodes_demoted,
    /// Epoch nodes that devices dropped with all their keys.
    nodes_dropped,
    /// All acts of hostile peers: frames, swallowed lines with each false receipt, everything handed to a
    /// removed device, orders to a relay.
    hostile_acts,
}
