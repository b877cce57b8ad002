//! Equal sets of control objects give equal heads and members, in whatever order they come: random teams in
//! two halves add and remove each other, and insiders sign things twice; then one member that was away
//! all the time gets everything, in one order and in another.

use super::tests::*;
use super::tests_twice::{give, link, next_op, physicians, removal, signed_aside};
use super::*;
use crate::directory::Role;
use crate::envelope::{Envelope, Place};
use crate::group::control::{Act, Head, Object};
use crate::id::{NodeId, OpId, Slot};
use crate::ranges::Log;
use crate::store::{Memory, table};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use std::cell::Cell;
use std::collections::BTreeSet;

/// Members that act; one more is away.
const ACTORS: usize = 5;

/// What one of the team does. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Remove(usize, usize),
    Add(usize),
    /// Says that a member is removed, and something else with the same number to the other half.
    SayTwice(usize, usize),
    /// Stands on the other half's node too, by a second head with one number.
    StandTwice(usize),
    /// The halves meet for a while.
    Meet,
    Pass,
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..ACTORS;
    prop_oneof![
        3 => (who(), who()).prop_map(|(by, whom)| Step::Remove(by, whom)),
        2 => who().prop_map(Step::Add),
        2 => (who(), who()).prop_map(|(by, whom)| Step::SayTwice(by, whom)),
        2 => who().prop_map(Step::StandTwice),
        1 => Just(Step::Meet),
        2 => Just(Step::Pass),
    ]
}

struct Story {
    table: Table,
    thread: ThreadId,
    halves: [Vec<usize>; 2],
    away: usize,
    before: (Memory, u64),
}

impl Story {
    fn new() -> Story {
        let (mut table, all, thread) = physicians(ACTORS + 1);
        let away = all[ACTORS];
        table.cut(away);
        let b = &table.boxes[away];
        let before = (b.store.clone(), b.generation);
        let halves = [all[..2].to_vec(), all[2..ACTORS].to_vec()];
        let mut story = Story {
            table,
            thread,
            halves,
            away,
            before,
        };
        story.part();
        story
    }

    fn part(&mut self) {
        for half in self.halves.clone() {
            half.iter().for_each(|at| self.table.cut(*at));
            link(&mut self.table, &half);
        }
    }

    /// The member of this number, and one of the other half.
    fn of_both(&self, actor: usize) -> (usize, usize) {
        let at = usize::from(actor >= 2);
        let other = &self.halves[1 - at];
        (
            self.halves[at][if at == 0 { actor } else { actor - 2 }],
            other[actor % other.len()],
        )
    }

    fn play(&mut self, step: Step) {
        let thread = self.thread;
        match step {
            Step::Remove(by, whom) => {
                let (by, dev) = (self.of_both(by).0, self.table.dev(self.of_both(whom).0));
                let _ = self.table.try_command(by, Command::Remove { thread, dev });
            }
            Step::Add(by) => {
                let by = self.of_both(by).0;
                let n = self.table.boxes.len() as u8 + 1;
                let newcomer = self.table.seat(&Org1::new(), n, Part::Member, Some(Role::Nurse));
                self.table
                    .introduce(newcomer, by, crate::group::mls::Suite::Classical);
                let (dev, role) = (self.table.dev(newcomer), Role::Nurse);
                let _ = self.table.try_command(by, Command::Add { thread, dev, role });
            }
            Step::SayTwice(by, whom) => self.say_twice(by, whom),
            // at the end: a later head takes the place of both
            Step::StandTwice(_) => {}
            Step::Meet => {
                link(&mut self.table, &self.halves.concat());
                self.table.pass(60_000);
                self.part();
            }
            Step::Pass => self.table.pass(20_000),
        }
    }

    fn is_member(&self, at: usize) -> bool {
        let t = self.table.thread(at, self.thread);
        t.me(self.table.dev(at)).is_some() && t.stopped.is_none()
    }

    fn say_twice(&mut self, by: usize, whom: usize) {
        let (by, other) = self.of_both(by);
        let whom = self.of_both(whom).0;
        if by == whom || !self.is_member(by) || !self.is_member(whom) {
            return;
        }
        let aside = next_op(&self.table, by, self.thread, Act::Rejoin { kp: None });
        let aside = signed_aside(&mut self.table, by, self.thread, aside);
        give(&mut self.table, other, self.thread, &aside);
        let act = removal(&self.table, whom, self.thread);
        self.table.hack(by, self.thread, |t, ctx| {
            let _ = t.put_op(ctx, act);
        });
    }

    fn stand_twice(&mut self, by: usize) {
        let (by, other) = self.of_both(by);
        if !self.is_member(by) {
            return;
        }
        let node = self.table.thread(other, self.thread).head;
        let t = self.table.thread(by, self.thread);
        let Some((slot, _)) = t.me(self.table.dev(by)) else {
            return;
        };
        let Some(newest) = t.heads.get(&slot).map(|info| info.head.clone()) else {
            return;
        };
        let second = Object::Head(Head { node, ..newest });
        let second = signed_aside(&mut self.table, by, self.thread, second);
        give(&mut self.table, other, self.thread, &second);
    }

    /// All control objects that anybody has.
    fn objects(&self) -> Vec<Bytes> {
        let mut objects = BTreeSet::new();
        for at in self.halves.concat() {
            for all in [table::envelope_all(self.thread), table::second_all(self.thread)] {
                let rows = self.table.prefix(at, &all);
                objects.extend(rows.into_iter().map(|(_, bytes)| bytes));
            }
        }
        let is_control = |bytes: &Bytes| {
            let place = Envelope::decode(bytes).map(|envelope| envelope.place);
            matches!(place, Ok(Place::Log { log, .. }) if log != Log::Content)
        };
        objects.into_iter().filter(is_control).collect()
    }

    /// What the one who was away comes to when it gets the objects in this order, and again what it did not
    /// take the first time.
    fn come_to(&mut self, objects: &[Bytes]) -> Stand {
        let (store, generation) = self.before.clone();
        let b = &mut self.table.boxes[self.away];
        (b.store, b.generation) = (store, generation);
        self.table.reopen(self.away);
        let founder = self.table.dev(self.halves[0][0]);
        for _ in 0..8 {
            for object in objects {
                give(&mut self.table, self.away, self.thread, object);
            }
            // the keys of the commits that it has by now
            for at in self.halves.concat() {
                let keys = self.table.thread(at, self.thread).all_keys();
                self.table
                    .hack(self.away, self.thread, |t, ctx| t.keys_told(ctx, founder, keys));
            }
        }
        let t = self.table.thread(self.away, self.thread);
        let members = t.membership.members.values().map(|m| (m.slot, m.add));
        Stand {
            head: t.head,
            vote: t.vote,
            members: members.collect(),
            removes: t.membership.valid_removes.keys().copied().collect(),
            seen: [
                t.children.values().filter(|children| children.len() > 1).count(),
                t.membership.equivocal.len(),
                t.second_heads.len(),
                t.commits.len(),
            ],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stand {
    head: NodeId,
    vote: NodeId,
    members: Vec<(Slot, OpId)>,
    removes: Vec<OpId>,
    /// Forked nodes, places with several ops, members with several heads, commits.
    seen: [usize; 4],
}

#[test]
fn equal_sets_of_objects_give_equal_heads_and_members() {
    let long = std::env::var_os("AIDMESH_LONG").is_some();
    let cases = if long { 150 } else { 12 };
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let steps = prop::collection::vec(step(), 3..10);
    let orders = prop::collection::vec(any::<u64>(), 3);
    let seen = Cell::new([0; 4]);
    let mut runner = match long {
        true => TestRunner::new(config),
        false => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let told = runner.run(&(steps, orders), |(steps, orders)| {
        let mut story = Story::new();
        steps.iter().for_each(|step| story.play(*step));
        story.table.pass(30_000);
        for step in &steps {
            if let Step::StandTwice(by) = step {
                story.stand_twice(*by);
            }
        }
        let mut objects = story.objects();
        let expected = story.come_to(&objects);
        for seed in orders {
            shuffle(&mut objects, seed);
            prop_assert_eq!(&story.come_to(&objects), &expected);
        }
        let mut all = seen.get();
        all.iter_mut().zip(expected.seen).for_each(|(all, n)| *all += n);
        seen.set(all);
        Ok(())
    });
    told.unwrap();
    assert!(
        seen.get().iter().all(|n| *n > 0),
        "nothing happened: {:?}",
        seen.get()
    );
}

fn shuffle(objects: &mut [Bytes], seed: u64) {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut stream = crate::crypto::Stream::new(key);
    for i in (1..objects.len()).rev() {
        objects.swap(i, stream.below(i as u64 + 1) as usize);
    }
}
