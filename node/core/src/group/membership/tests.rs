use super::*;
use crate::crypto::Stream;
use crate::directory::{Grounds, Party, Role, ThreadKind, may_add, may_remove, tier};
use crate::group::control::Why;
use crate::group::fixture::{self, Device, FOREIGN, OWNER, found, op, remove};
use crate::id::NodeId;

/// A thread with its devices; device 0 founds it.
struct World {
    thread: ThreadId,
    devices: Vec<Device>,
    empty: Ops,
}

impl World {
    fn new(kind: ThreadKind, devices: &[(Role, crate::id::Org)]) -> World {
        let device =
            |(n, (role, org)): (usize, &(Role, crate::id::Org))| Device::new(n as u8 + 1, *role, *org);
        let devices: Vec<Device> = devices.iter().enumerate().map(device).collect();
        let genesis = fixture::genesis(&devices[0], kind);
        World {
            thread: genesis.thread(),
            devices,
            empty: Ops::new(&genesis).unwrap(),
        }
    }

    fn patient(roles: &[Role]) -> World {
        World::new(
            ThreadKind::Patient,
            &roles.iter().map(|r| (*r, OWNER)).collect::<Vec<_>>(),
        )
    }

    fn keys(&self, hash: &[u8; 32]) -> Option<DeviceCert> {
        let found = self.devices.iter().find(|d| d.kp() == *hash);
        found.map(|d| d.cert.clone())
    }

    fn judge(&self, ops: &[Verified]) -> Membership {
        let mut all = self.empty.clone();
        for op in ops {
            all.insert(op);
        }
        all.membership(&|hash| self.keys(hash))
    }

    /// The next op of a device that has seen `seen`, in its incarnation `inc`.
    fn says(&self, seen: &[Verified], author: usize, inc: Incarnation, act: Act) -> Verified {
        let author = &self.devices[author];
        let (counter, past) = self.judge(seen).next_op(author.slot(self.thread, inc));
        op(self.thread, author, inc, counter, past, act)
    }

    /// Founds the thread and adds the given devices, all by the founder.
    fn with(&self, added: &[usize]) -> Vec<Verified> {
        let mut ops = vec![self.says(&[], 0, 1, found(&self.devices[0]))];
        for n in added {
            let next = self.says(&ops, 0, 1, self.add(*n, 1));
            ops.push(next);
        }
        ops
    }

    fn add(&self, whom: usize, inc: Incarnation) -> Act {
        fixture::add(&self.devices[whom], inc)
    }

    fn remove(&self, whom: usize, inc: Incarnation) -> Act {
        remove(&self.devices[whom], inc, Why::Left)
    }

    /// Which devices are members, as (device, incarnation).
    fn members(&self, ops: &[Verified]) -> Vec<(usize, Incarnation)> {
        let judged = self.judge(ops);
        let of = |n: usize| judged.members.get(&self.devices[n].dev()).map(|m| (n, m.inc));
        (0..self.devices.len()).filter_map(of).collect()
    }
}

fn plus(ops: &[Verified], more: &[&Verified]) -> Vec<Verified> {
    ops.iter().chain(more.iter().copied()).cloned().collect()
}

const THREE: [Role; 3] = [Role::Physician, Role::Cardiologist, Role::Paramedic];

#[test]
fn the_founder_counts_by_genesis_and_nobody_else() {
    let w = World::patient(&THREE);
    assert_eq!(w.members(&w.with(&[1, 2])), [(0, 1), (1, 1), (2, 1)]);
    let founder = w.says(&[], 0, 1, found(&w.devices[0]));
    assert_eq!(w.judge(&[founder]).members[&w.devices[0].dev()].tier, 1);
    let impostor = w.says(&[], 1, 1, found(&w.devices[1]));
    assert_eq!(
        (
            w.members(std::slice::from_ref(&impostor)),
            w.judge(&[impostor]).void.len()
        ),
        (vec![], 1)
    );
    let mut wrong = w.devices[0].clone();
    wrong.role = Role::Nurse;
    let role = w.says(&[], 0, 1, found(&wrong));
    assert_eq!(w.members(&[role]), []);
}

#[test]
fn an_op_waits_for_its_past_and_its_key_package() {
    let w = World::patient(&THREE);
    let ops = w.with(&[1, 2]);
    let late = w.says(&ops, 2, 1, w.remove(2, 1));
    let judged = w.judge(&[ops[0].clone(), ops[2].clone(), late.clone()]);
    assert_eq!(judged.parked, BTreeSet::from([ops[2].id(), late.id()]));
    assert_eq!(judged.missing, BTreeSet::from([ops[1].id()]));
    let mut all = w.empty.clone();
    for op in &ops {
        assert!(all.insert(op) && !all.insert(op));
    }
    let without = all.membership(&|hash| w.keys(hash).filter(|c| c.dev() != w.devices[1].dev()));
    assert_eq!((without.members.len(), without.parked.len()), (1, 2));
    assert_eq!(without.missing_key_packages, BTreeSet::from([w.devices[1].kp()]));
    assert_eq!(all.get(ops[1].id()).unwrap().1.counter, 2);
}

#[test]
fn incarnations_must_fit() {
    let w = World::patient(&THREE);
    let ops = w.with(&[1]);
    let void = |ops: &[Verified], act| w.judge(&plus(ops, &[&w.says(ops, 0, 1, act)])).void.len() == 1;
    assert!(void(&ops, w.add(1, 1)) && void(&ops, w.add(1, 2)) && void(&ops, w.add(2, 2)));
    assert!(void(&ops, w.remove(1, 2)) && void(&ops, w.remove(2, 1)));
    let out = plus(&ops, &[&w.says(&ops, 0, 1, w.remove(1, 1))]);
    assert_eq!(w.judge(&out).next_incarnation(w.devices[1].dev()), Some(2));
    assert_eq!(w.judge(&ops).next_incarnation(w.devices[1].dev()), None);
    assert!(void(&out, w.add(1, 1)) && void(&out, w.remove(1, 1)));
    let again = plus(&out, &[&w.says(&out, 0, 1, w.add(1, 2))]);
    assert_eq!(w.members(&again), [(0, 1), (1, 2)]);
    let judged = w.judge(&again);
    assert_eq!(judged.ever.len(), 3);
    let slot = w.devices[1].slot(w.thread, 1);
    assert_eq!(judged.keys_of(slot).next().unwrap().1, 1);
    assert_eq!(judged.member_of(w.devices[1].slot(w.thread, 2)).unwrap().1.inc, 2);
    let old_life = w.says(&again, 1, 1, w.add(2, 1));
    assert_eq!(
        w.judge(&plus(&again, &[&old_life])).void,
        BTreeSet::from([old_life.id()])
    );
}

#[test]
fn the_role_table_holds() {
    let roles = [
        Role::Physician,
        Role::Paramedic,
        Role::Responder,
        Role::Dispatcher,
        Role::Cardiologist,
    ];
    let w = World::patient(&roles);
    let ops = w.with(&[1, 2, 3]);
    let counts = |author, act| {
        let said = w.says(&ops, author, 1, act);
        w.judge(&plus(&ops, &[&said])).counts.contains(&said.id())
    };
    assert!(counts(1, w.add(4, 1)) && !counts(2, w.add(4, 1)) && !counts(3, w.add(4, 1)));
    assert!(!counts(1, w.remove(0, 1)) && counts(1, w.remove(2, 1)) && !counts(3, w.remove(2, 1)));
    assert!(counts(2, w.remove(2, 1)) && counts(0, w.remove(1, 1)));
    assert!(counts(2, remove(&w.devices[0], 1, Why::Revoked)));
    let mut other = w.devices[4].clone();
    other.role = Role::Physician;
    assert!(
        !counts(0, fixture::add(&other, 1)),
        "a role that its certificate lacks"
    );
    let Act::Add { dev, inc, role, .. } = w.add(4, 1) else {
        panic!()
    };
    let kp = Some(w.devices[1].kp());
    let lent = Act::Add {
        dev,
        inc,
        role,
        kp,
        break_glass: false,
    };
    assert!(!counts(0, lent), "the key package of another device");
}

#[test]
fn a_foreign_physician_is_of_tier_two_and_founders_have_custody() {
    let roles = [
        (Role::Paramedic, OWNER),
        (Role::Physician, FOREIGN),
        (Role::Physician, OWNER),
    ];
    let w = World::new(ThreadKind::Patient, &roles);
    let judged = w.judge(&w.with(&[1, 2]));
    let tiers: Vec<u8> = w.devices.iter().map(|d| judged.members[&d.dev()].tier).collect();
    assert_eq!(tiers, [1, 2, 1]);
}

#[test]
fn remove_wins_over_a_concurrent_add_of_the_same_incarnation() {
    let w = World::patient(&THREE);
    let ops = w.with(&[1]);
    let both = plus(
        &ops,
        &[&w.says(&ops, 0, 1, w.add(2, 1)), &w.says(&ops, 1, 1, w.add(2, 1))],
    );
    assert_eq!(w.members(&both), [(0, 1), (1, 1), (2, 1)]);
    let seen_one = plus(&ops, &[&both[2]]);
    let out = w.says(&seen_one, 0, 1, w.remove(2, 1));
    assert_eq!(w.members(&plus(&both, &[&out])), [(0, 1), (1, 1)]);
}

#[test]
fn of_two_that_remove_each_other_one_stays() {
    let w = World::patient(&THREE);
    let ops = w.with(&[1, 2]);
    let a = w.says(&ops, 0, 1, w.remove(1, 1));
    let b = w.says(&ops, 1, 1, w.remove(0, 1));
    let judged = w.judge(&plus(&ops, &[&a, &b]));
    assert_eq!(
        (
            judged.members.len(),
            judged.valid_removes.len(),
            judged.counts.len()
        ),
        (2, 1, 5)
    );
    let first = if a.slot() < b.slot() { &a } else { &b };
    assert!(judged.valid_removes.contains_key(&first.id()));
    // the stronger tier wins whatever the slots
    let weak = w.says(&ops, 2, 1, remove(&w.devices[0], 1, Why::Revoked));
    let strong = w.says(&ops, 0, 1, w.remove(2, 1));
    assert_eq!(w.members(&plus(&ops, &[&weak, &strong])), [(0, 1), (1, 1)]);
}

#[test]
fn a_removal_that_was_seen_outlives_its_author() {
    let w = World::patient(&THREE);
    let ops = w.with(&[1, 2]);
    for (first, second) in [(0, 1), (1, 0)] {
        let gone = plus(&ops, &[&w.says(&ops, first, 1, w.remove(2, 1))]);
        let both = plus(&gone, &[&w.says(&gone, second, 1, w.remove(first, 1))]);
        assert_eq!(w.members(&both), [(second, 1)]);
    }
}

#[test]
fn a_removal_of_a_former_life_does_not_touch_the_present_one() {
    let w = World::patient(&THREE);
    let ops = w.with(&[1, 2]);
    let former = w.says(&ops, 1, 1, w.remove(2, 1));
    let mut now = plus(&ops, &[&w.says(&ops, 0, 1, w.remove(2, 1))]);
    now.push(w.says(&now, 0, 1, w.add(2, 2)));
    now.push(w.says(&now, 2, 2, remove(&w.devices[1], 1, Why::Revoked)));
    assert_eq!(w.members(&plus(&now, &[&former])), [(0, 1), (2, 2)]);
}

#[test]
fn the_last_member_stays() {
    let w = World::patient(&THREE);
    let ops = w.with(&[1]);
    let leave = |ops: &[Verified], n| w.says(ops, n, 1, w.remove(n, 1));
    let alone = plus(&ops, &[&leave(&ops, 1)]);
    assert_eq!(w.members(&plus(&alone, &[&leave(&alone, 0)])), [(0, 1)]);
    let both = plus(&ops, &[&leave(&ops, 0), &leave(&ops, 1)]);
    assert_eq!(w.members(&both).len(), 1);
}

#[test]
fn two_ops_at_one_place_are_both_judged_and_named() {
    let w = World::patient(&THREE);
    let ops = w.with(&[1]);
    let (a, b) = (
        w.says(&ops, 1, 1, w.add(2, 1)),
        w.says(&ops, 1, 1, w.remove(1, 1)),
    );
    let judged = w.judge(&plus(&ops, &[&a, &b]));
    assert_eq!(judged.equivocal[&(a.slot(), 1)], BTreeSet::from([a.id(), b.id()]));
    assert_eq!(judged.counts.len(), 4);
    assert_eq!(w.judge(&plus(&ops, &[&b, &a])), judged);
}

#[test]
fn what_is_signed_at_an_old_number_changes_nothing_that_was_said_since() {
    let w = World::patient(&THREE);
    let ops = w.with(&[1, 2]);
    let first = w.says(&ops, 1, 1, Act::Rejoin { kp: None });
    let seen = plus(&ops, &[&first]);
    let leaves = w.says(&seen, 2, 1, w.remove(2, 1));
    let before = w.judge(&plus(&seen, &[&leaves]));
    assert!(before.counts.contains(&leaves.id()));
    // at the number that they had seen, an insider removes who spoke since
    let backdated = w.says(&ops, 1, 1, w.remove(2, 1));
    let after = w.judge(&plus(&seen, &[&leaves, &backdated]));
    assert!(before.counts.is_subset(&after.counts) && after.counts.contains(&backdated.id()));
    assert!(before.void.is_subset(&after.void));
    assert_eq!(after.equivocal.len(), 1);
    // who hears of both names both, and an op that skips its author's op before it is void
    let (_, Past::Ops(named)) = after.next_op(w.devices[0].slot(w.thread, 1)) else {
        panic!("ops are named by id")
    };
    assert!(named.contains(&backdated.id()) && named.contains(&leaves.id()));
    let act = Act::Rejoin { kp: None };
    let skips = op(w.thread, &w.devices[1], 1, 3, Past::Ops(named), act);
    let judged = w.judge(&plus(&seen, &[&leaves, &backdated, &skips]));
    assert!(judged.void.contains(&skips.id()));
}

#[test]
fn ops_that_name_numbers_are_judged_as_before() {
    let w = World::patient(&THREE);
    let [founder, nurse, medic] = [0, 1, 2].map(|n| &w.devices[n]);
    let numbers = |places: &[(&Device, u32)]| {
        let places = places.iter().map(|(d, n)| (d.slot(w.thread, 1), *n));
        let mut places: Vec<_> = places.collect();
        places.sort();
        Past::Numbers(places)
    };
    let old = |author, counter, past, act| op(w.thread, author, 1, counter, past, act);
    let ops = [
        old(founder, 1, numbers(&[]), found(founder)),
        old(founder, 2, numbers(&[]), w.add(1, 1)),
        old(founder, 3, numbers(&[]), w.add(2, 1)),
        old(nurse, 1, numbers(&[(founder, 3)]), Act::Rejoin { kp: None }),
        old(medic, 1, numbers(&[(founder, 3), (nurse, 1)]), w.remove(2, 1)),
    ];
    assert_eq!(w.judge(&ops).counts.len(), 5);
    let late = [ops[0].clone(), ops[2].clone(), ops[4].clone()];
    assert_eq!(
        w.judge(&late).parked.len(),
        2,
        "wait for what stands at the numbers"
    );
    let next = w.says(&ops, 0, 1, w.remove(1, 1));
    let judged = w.judge(&plus(&ops, &[&next]));
    assert!(judged.counts.contains(&next.id()), "by id, on top of them");
}

#[test]
fn all_orders_of_a_small_set_give_the_same() {
    let w = World::patient(&THREE);
    let mut ops = w.with(&[1, 2]);
    let a = w.says(&ops, 0, 1, w.remove(1, 1));
    let b = w.says(&ops, 1, 1, w.remove(0, 1));
    ops.extend([a, b]);
    let expected = w.judge(&ops);
    let mut orders = 0;
    permute(&mut ops, 0, &mut |order| {
        orders += 1;
        assert_eq!(w.judge(order), expected);
    });
    assert_eq!(orders, 120);
}

fn permute(ops: &mut Vec<Verified>, from: usize, each: &mut dyn FnMut(&[Verified])) {
    if from == ops.len() {
        each(ops);
    }
    for i in from..ops.len() {
        ops.swap(from, i);
        permute(ops, from + 1, each);
        ops.swap(from, i);
    }
}

const ROLES: [Role; 6] = [
    Role::Physician,
    Role::Paramedic,
    Role::IncidentCommander,
    Role::Nurse,
    Role::Dispatcher,
    Role::Responder,
];

/// Devices that say random things, right and wrong, and hear of each other at random.
fn history(seed: u8) -> (World, Vec<Vec<Verified>>) {
    let mut stream = Stream::new([seed; 32]);
    let n = 3 + stream.below(4) as usize;
    let kind = [ThreadKind::Patient, ThreadKind::Incident][stream.below(2) as usize];
    let devices: Vec<_> = (0..n)
        .map(|i| {
            let role = ROLES[if i == 0 { 0 } else { stream.below(6) as usize }];
            (role, [OWNER, FOREIGN][usize::from(stream.below(5) == 0 && i > 0)])
        })
        .collect();
    let w = World::new(kind, &devices);
    let mut seen: Vec<Vec<Verified>> = vec![w.with(&[1, 2]); n];
    for _ in 0..25 {
        let (a, b) = (stream.below(n as u64) as usize, stream.below(n as u64) as usize);
        if stream.below(3) == 0 {
            let news: Vec<_> = seen[a]
                .iter()
                .filter(|op| !seen[b].contains(op))
                .cloned()
                .collect();
            seen[b].extend(news);
            continue;
        }
        let judged = w.judge(&seen[a]);
        let dev = w.devices[b].dev();
        let inc = judged.members.get(&dev).map_or(1, |m| m.inc) + u32::from(stream.below(8) == 0);
        let why = if stream.below(4) == 0 {
            Why::Revoked
        } else {
            Why::Left
        };
        let act = match stream.below(8) {
            0 => Act::Rejoin { kp: None },
            1 => Act::Bad {
                node: NodeId([1; 16]),
            },
            2..=4 => w.add(b, judged.next_incarnation(dev).unwrap_or(inc)),
            _ => remove(&w.devices[b], inc, why),
        };
        let own = judged.members.get(&w.devices[a].dev()).map_or(1, |m| m.inc);
        let said = w.says(&seen[a], a, own, act);
        if stream.below(6) == 0 {
            // another thing to another one, with the same number
            let other = w.says(&seen[a], a, own, remove(&w.devices[b], inc, Why::Lost));
            if other != said && !seen[b].contains(&other) {
                seen[b].push(other);
            }
        }
        seen[a].push(said);
    }
    (w, seen)
}

fn shuffle(ops: &mut [Verified], stream: &mut Stream) {
    for i in (1..ops.len()).rev() {
        ops.swap(i, stream.below(i as u64 + 1) as usize);
    }
}

#[test]
fn random_histories_give_the_same_in_any_order_and_never_take_back_that_an_op_counts() {
    let (mut voids, mut beaten, mut twice, mut sizes) = (0, 0, 0, BTreeSet::new());
    for seed in 0..120 {
        let (w, seen) = history(seed);
        let mut all: Vec<Verified> = Vec::new();
        for op in seen.iter().flatten() {
            if !all.contains(op) {
                all.push(op.clone());
            }
        }
        let judged = w.judge(&all);
        let mut stream = Stream::new([seed; 32]);
        for _ in 0..5 {
            shuffle(&mut all, &mut stream);
            assert_eq!(w.judge(&all), judged, "seed {seed}");
            // a part of the set may lack much, but what counts there counts for ever
            let part = w.judge(&all[..all.len() / 2]);
            assert!(part.counts.is_subset(&judged.counts), "seed {seed}");
            assert!(part.void.is_subset(&judged.void), "seed {seed}");
        }
        for (dev, inc) in judged.valid_removes.values() {
            assert!(
                judged.members.get(dev).is_none_or(|m| m.inc > *inc),
                "seed {seed}"
            );
        }
        assert!(
            !judged.members.is_empty() && judged.parked.is_empty(),
            "seed {seed}"
        );
        let oracle = Oracle::new(&w, &all);
        let (members, valid) = oracle.members(&all.iter().map(Verified::id).collect());
        assert_eq!(
            members.into_iter().collect::<Vec<_>>(),
            w.members(&all),
            "seed {seed}"
        );
        assert!(oracle.counts.keys().eq(&judged.counts), "seed {seed}");
        assert!(valid.iter().eq(judged.valid_removes.keys()), "seed {seed}");
        let last = w.says(
            &all,
            0,
            1,
            Act::Bad {
                node: NodeId([1; 16]),
            },
        );
        let whole = plus(&all, &[&last]);
        assert_eq!(
            Oracle::new(&w, &whole).past[&last.id()].len(),
            all.len(),
            "seed {seed}"
        );
        voids += judged.void.len();
        twice += judged.equivocal.len();
        let removes = judged.counts.iter().filter(|id| is_remove(&all, **id)).count();
        beaten += removes - judged.valid_removes.len();
        sizes.insert(judged.members.len());
    }
    assert!(
        voids > 100 && beaten > 5 && twice > 100 && sizes.len() > 3,
        "{voids} {beaten} {twice} {sizes:?}"
    );
}

fn is_remove(ops: &[Verified], id: OpId) -> bool {
    let found = ops.iter().find(|op| op.id() == id).map(Verified::object);
    matches!(
        found,
        Some(Object::Op(Op {
            act: Act::Remove { .. },
            ..
        }))
    )
}

/// A device by number, and its incarnation.
type Life = (usize, Incarnation);

/// The rules of PROTOCOL section 3 once more, from the page: sets of ids and recursion in place of clocks
/// and rounds.
struct Oracle<'a> {
    w: &'a World,
    kind: ThreadKind,
    ops: BTreeMap<OpId, &'a Verified>,
    past: BTreeMap<OpId, BTreeSet<OpId>>,
    /// Counting ops with author and tier.
    counts: BTreeMap<OpId, (usize, Incarnation, u8)>,
}

fn body(v: &Verified) -> &Op {
    match v.object() {
        Object::Op(op) => op,
        _ => panic!("only ops are said here"),
    }
}

impl<'a> Oracle<'a> {
    fn new(w: &'a World, all: &'a [Verified]) -> Oracle<'a> {
        let mut o = Oracle {
            w,
            kind: w.empty.genesis().kind,
            ops: all.iter().map(|v| (v.id(), v)).collect(),
            past: BTreeMap::new(),
            counts: BTreeMap::new(),
        };
        while o.past.len() < all.len() {
            for v in all
                .iter()
                .filter(|v| !o.past.contains_key(&v.id()))
                .collect::<Vec<_>>()
            {
                let Past::Ops(named) = &body(v).past else {
                    panic!("ops are named by id")
                };
                if named.iter().all(|id| o.past.contains_key(id)) {
                    let earlier = named.iter().flat_map(|id| o.past[id].clone());
                    let past = earlier.chain(named.iter().copied()).collect();
                    let known = o.author(v, &past).filter(|_| o.is_linked(v, &past));
                    o.past.insert(v.id(), past);
                    if let Some(author) = known {
                        o.counts.insert(v.id(), author);
                    }
                }
            }
        }
        o
    }

    fn is_linked(&self, v: &Verified, past: &BTreeSet<OpId>) -> bool {
        let own = past
            .iter()
            .map(|id| self.ops[id])
            .filter(|p| p.slot() == v.slot());
        own.map(|p| body(p).counter).max().unwrap_or(0) + 1 == body(v).counter
    }

    fn of(&self, dev: Dev) -> usize {
        self.w.devices.iter().position(|d| d.dev() == dev).unwrap()
    }

    fn tier(&self, n: usize, inc: Incarnation) -> u8 {
        let d = &self.w.devices[n];
        tier(d.role, self.kind, d.cert.org == OWNER, n == 0 && inc == 1).unwrap()
    }

    /// Author of an op that counts after `past`.
    fn author(&self, v: &Verified, past: &BTreeSet<OpId>) -> Option<(usize, Incarnation, u8)> {
        if body(v).act == found(&self.w.devices[0]) && past.is_empty() {
            return Some((0, 1, 1));
        }
        let (members, _) = self.members(past);
        let slot = |(n, inc): (&usize, &Incarnation)| self.w.devices[*n].slot(self.w.thread, *inc);
        let (n, inc) = members.iter().find(|m| slot((m.0, m.1)) == v.slot())?;
        let (n, inc, own) = (*n, *inc, self.tier(*n, *inc));
        let mut acts = past
            .iter()
            .filter(|id| self.counts.contains_key(id))
            .map(|id| (id, body(self.ops[id]).act));
        let role = self.w.devices[n].role;
        let ok = match body(v).act {
            Act::Add { dev, inc, .. } => {
                let removes = acts.filter_map(|(_, a)| match a {
                    Act::Remove { dev: d, inc, .. } if d == dev => Some(inc),
                    _ => None,
                });
                let whom = self.of(dev);
                inc == 1 + removes.max().unwrap_or(0)
                    && !members.contains_key(&whom)
                    && may_add(role, self.kind, self.w.devices[whom].role)
            }
            Act::Remove {
                dev, inc: life, why, ..
            } => {
                let whom = self.of(dev);
                let by_me = |(id, a): (&OpId, Act)| {
                    matches!(a, Act::Add { dev: d, inc: i, .. } if (d, i) == (dev, life))
                        && self.counts[id].0 == n
                };
                let grounds = Grounds {
                    itself: whom == n,
                    own_add: acts.any(by_me),
                    revoked: why == Why::Revoked,
                };
                let party = |n: usize, tier| Party {
                    role: self.w.devices[n].role,
                    tier,
                };
                let target = party(whom, members.get(&whom).map_or(9, |i| self.tier(whom, *i)));
                members.get(&whom) == Some(&life)
                    && !(whom == n && members.len() == 1)
                    && may_remove(party(n, own), self.kind, target, grounds)
            }
            _ => true,
        };
        ok.then_some((n, inc, own))
    }

    /// Members after `set`, and the valid removes in it.
    fn members(&self, set: &BTreeSet<OpId>) -> (BTreeMap<usize, Incarnation>, BTreeSet<OpId>) {
        let (mut removes, mut adds) = (Vec::new(), BTreeSet::new());
        for id in set.iter().filter(|id| self.counts.contains_key(id)) {
            let (n, inc, tier) = self.counts[id];
            match body(self.ops[id]).act {
                Act::Add { dev, inc, .. } => {
                    adds.insert((self.of(dev), inc));
                }
                Act::Remove { dev, inc: out, .. } => {
                    let order = (tier, self.ops[id].slot(), body(self.ops[id]).counter);
                    removes.push((order, *id, (n, inc), (self.of(dev), out)));
                }
                _ => {}
            }
        }
        removes.sort();
        let mut valid: Vec<(OpId, Life, Life)> = Vec::new();
        for (_, id, by, out) in removes {
            let unseen = |e: &OpId| !self.past_has(&id, e) && !self.past_has(e, &id);
            if !valid
                .iter()
                .any(|(e, other, gone)| *other != by && *gone == by && unseen(e))
            {
                valid.push((id, by, out));
            }
        }
        loop {
            let left = adds
                .iter()
                .filter(|a| !valid.iter().any(|v| v.2.0 == a.0 && v.2.1 >= a.1));
            let members: BTreeMap<usize, u32> = left.copied().collect();
            match valid.iter().rposition(|(_, by, out)| by == out) {
                Some(at) if members.is_empty() => valid.remove(at),
                _ => return (members, valid.into_iter().map(|v| v.0).collect()),
            };
        }
    }

    fn past_has(&self, of: &OpId, id: &OpId) -> bool {
        self.past[of].contains(id)
    }
}
