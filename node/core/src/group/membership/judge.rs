//! The judging of ops in causal order, and the fold of those that count into members.
//!
//! Ops are judged in rounds: a round takes all ops whose past is judged, looks only at what former
//! rounds judged, and so does not depend on the order inside a round. What an op saw is a
//! clock, joined from the clocks of the ops that it names: numbers, and ids where a number is not enough.

use super::{Awaited, Clock, Held, Keys, Life, Member, Membership, Ops, Rejoin};
use crate::directory::{Grounds, Party, Role, may_add, may_remove, tier};
use crate::group::control::{Act, Why};
use crate::id::{Dev, Incarnation, OpId, Slot};
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};

/// A counting op, with its author as its causal past knew it.
#[derive(Clone, Debug)]
struct Counting {
    id: OpId,
    slot: Slot,
    counter: u32,
    /// Its author said another one at this counter.
    one_of_many: bool,
    author: (Dev, Incarnation),
    author_tier: u8,
    clock: Clock,
    effect: Effect,
}

#[derive(Clone, Debug)]
enum Effect {
    Add(Dev, Member),
    Remove(Dev, Incarnation),
    Rejoin(Option<[u8; 32]>),
    Refound(u16),
    Nothing,
}

impl Counting {
    fn saw(&self, other: &Counting) -> bool {
        self.clock.has(other)
    }

    fn removal(&self) -> Option<(Dev, Incarnation)> {
        match self.effect {
            Effect::Remove(dev, inc) => Some((dev, inc)),
            Effect::Add(..) | Effect::Rejoin(_) | Effect::Refound(_) | Effect::Nothing => None,
        }
    }

    fn add(&self) -> Option<(Dev, &Member)> {
        match &self.effect {
            Effect::Add(dev, member) => Some((*dev, member)),
            Effect::Remove(..) | Effect::Rejoin(_) | Effect::Refound(_) | Effect::Nothing => None,
        }
    }
}

impl Clock {
    fn has(&self, op: &Counting) -> bool {
        let reached = self.upto.get(&op.slot).is_some_and(|seen| *seen >= op.counter);
        reached && (!op.one_of_many || self.of_many.contains(&op.id))
    }

    fn join(&mut self, other: &Clock) {
        for (slot, counter) in &other.upto {
            let at = self.upto.entry(*slot).or_default();
            *at = (*at).max(*counter);
        }
        self.of_many.extend(&other.of_many);
    }
}

/// Judges the ops of one thread once.
pub(super) struct Court<'a> {
    ops: &'a Ops,
    keys: Keys<'a>,
    founder_slot: Slot,
    counting: Vec<Counting>,
    clocks: BTreeMap<OpId, Clock>,
    out: Membership,
}

impl<'a> Court<'a> {
    pub(super) fn new(ops: &'a Ops, keys: Keys<'a>) -> Court<'a> {
        Court {
            ops,
            keys,
            founder_slot: Slot::of(ops.thread, &ops.genesis.founder.device_key, 1),
            counting: Vec::new(),
            clocks: BTreeMap::new(),
            out: Membership::default(),
        }
    }

    pub(super) fn run(mut self) -> Membership {
        self.rounds();
        let ops = self.ops;
        self.out.parked = ops.held.keys().copied().collect();
        self.out.parked.retain(|id| !self.clocks.contains_key(id));
        let many = ops.places.iter().filter(|(_, ids)| ids.len() > 1);
        self.out.equivocal = many.map(|(place, ids)| (*place, ids.clone())).collect();
        self.newest();
        for op in &self.counting {
            self.out.counts.insert(op.id);
            if let Some((dev, member)) = op.add() {
                let life = Life {
                    slot: member.slot,
                    device_key: member.device_key,
                    add: op.id,
                };
                let at = self.out.ever.entry((dev, member.inc)).or_insert(life);
                at.add = at.add.min(op.id);
            }
            note_request(&mut self.out, op);
            if let Some((dev, inc)) = op.removal() {
                let at = self.out.removed.entry(dev).or_default();
                *at = inc.max(*at);
            }
        }
        let fold = fold(&self.counting.iter().collect::<Vec<_>>(), self.ops);
        self.out.members = fold.members;
        self.out.valid_removes = fold.valid_removes;
        self.out
    }

    /// What the next op has to name. An op whose author's op before is not in its past is named by nobody.
    fn newest(&mut self) {
        let ops = self.ops;
        let mut named: BTreeSet<OpId> = BTreeSet::new();
        for (id, clock) in &self.clocks {
            let held = &ops.held[id];
            if !is_linked(held, clock) {
                continue;
            }
            self.out.newest.insert(*id);
            let at = self.out.last.entry(held.slot).or_insert((held.op.counter, *id));
            if held.op.counter > at.0 {
                *at = (held.op.counter, *id);
            }
            named.extend(self.parents(held));
        }
        self.out.newest.retain(|id| !named.contains(id));
    }

    /// The judged ops that an op names.
    fn parents(&self, held: &Held) -> Vec<OpId> {
        let ids = Ops::waits_for(held)
            .into_iter()
            .flat_map(|awaited| match awaited {
                Awaited::Op(id) => vec![id],
                Awaited::Place(slot, counter) => {
                    let there = self.ops.places.get(&(slot, counter));
                    there.into_iter().flatten().copied().collect()
                }
            });
        ids.filter(|id| self.clocks.contains_key(id)).collect()
    }

    /// Judges round by round until nothing more is ready.
    fn rounds(&mut self) {
        let ops = self.ops;
        let mut waits: BTreeMap<OpId, usize> = BTreeMap::new();
        let mut waiters: BTreeMap<Awaited, Vec<OpId>> = BTreeMap::new();
        let mut round = BTreeSet::new();
        for (id, held) in &ops.held {
            let awaited = Ops::waits_for(held);
            if awaited.is_empty() {
                round.insert(*id);
            }
            waits.insert(*id, awaited.len());
            for awaited in awaited {
                if let Awaited::Op(id) = awaited
                    && !ops.held.contains_key(&id)
                {
                    self.out.missing.insert(id);
                }
                waiters.entry(awaited).or_default().push(*id);
            }
        }
        while !round.is_empty() {
            let mut judged: Vec<(OpId, Clock, Option<Counting>)> = Vec::new();
            for id in std::mem::take(&mut round) {
                let held = &ops.held[&id];
                if let Some(kp) = Ops::key_package(held)
                    && (self.keys)(kp).is_none()
                {
                    self.out.missing_key_packages.insert(*kp);
                    continue;
                }
                let clock = self.clock_of(held);
                let verdict = self.judge(id, held, &clock);
                judged.push((id, clock, verdict));
            }
            for (id, clock, verdict) in judged {
                match verdict {
                    Some(counting) => self.counting.push(counting),
                    None => {
                        self.out.void.insert(id);
                    }
                }
                self.clocks.insert(id, clock);
                let held = &ops.held[&id];
                let place = Awaited::Place(held.slot, held.op.counter);
                let by_place = waiters.remove(&place).unwrap_or_default();
                let by_id = waiters.remove(&Awaited::Op(id)).unwrap_or_default();
                for waiter in by_place.into_iter().chain(by_id) {
                    let left = waits.get_mut(&waiter).expect("every op has its count of waits");
                    *left -= 1;
                    if *left == 0 {
                        round.insert(waiter);
                    }
                }
            }
        }
    }

    fn clock_of(&self, held: &Held) -> Clock {
        let mut clock = Clock::default();
        for id in self.parents(held) {
            let parent = &self.ops.held[&id];
            let theirs = &self.clocks[&id];
            clock.join(theirs);
            if is_linked(parent, theirs) {
                let at = clock.upto.entry(parent.slot).or_default();
                *at = parent.op.counter.max(*at);
                if self.ops.is_one_of_many(parent.slot, parent.op.counter) {
                    clock.of_many.insert(id);
                }
            }
        }
        clock
    }

    /// `None`: void.
    fn judge(&self, id: OpId, held: &Held, clock: &Clock) -> Option<Counting> {
        let counting = |author, author_tier, effect| Counting {
            id,
            slot: held.slot,
            counter: held.op.counter,
            one_of_many: self.ops.is_one_of_many(held.slot, held.op.counter),
            author,
            author_tier,
            clock: clock.clone(),
            effect,
        };
        if let Some((dev, founder)) = self.founding(id, held) {
            return Some(counting(
                (dev, founder.inc),
                founder.tier,
                Effect::Add(dev, founder),
            ));
        }
        if !is_linked(held, clock) {
            return None;
        }
        let past: Vec<&Counting> = self.counting.iter().filter(|op| clock.has(op)).collect();
        let fold = fold(&past, self.ops);
        let mut members = fold.members.iter();
        let author = members.find(|(_, m)| m.slot == held.slot && m.device_key == held.author)?;
        let effect = match held.op.act {
            Act::Add { .. } => self.judge_add(id, held, &past, &fold, author.1)?,
            Act::Remove { dev, inc, why, .. } => self.judge_remove(dev, inc, why, &past, &fold, author)?,
            Act::Rejoin { kp: Some(kp) } => {
                let cert = (self.keys)(&kp)?;
                let own = cert.dev() == *author.0 && cert.device_key == held.author;
                own.then_some(Effect::Rejoin(Some(kp)))?
            }
            Act::Rejoin { kp: None } => Effect::Rejoin(None),
            Act::Refound { suite } => Effect::Refound(suite),
            Act::Erase { .. } | Act::Bad { .. } => Effect::Nothing,
        };
        Some(counting((*author.0, author.1.inc), author.1.tier, effect))
    }

    /// The founder's Add counts by genesis.
    fn founding(&self, id: OpId, held: &Held) -> Option<(Dev, Member)> {
        let genesis = &self.ops.genesis;
        let founder = &genesis.founder;
        let first = held.op.counter == 1 && held.op.past.is_empty() && held.slot == self.founder_slot;
        let Act::Add {
            dev,
            inc: 1,
            role,
            kp: None,
            break_glass: false,
        } = held.op.act
        else {
            return None;
        };
        if !first || held.author != founder.device_key || dev != founder.dev() {
            return None;
        }
        let tier = tier(role, genesis.kind, true, true).filter(|_| founder.roles.contains(role))?;
        let member = Member {
            inc: 1,
            role,
            slot: held.slot,
            device_key: founder.device_key,
            tier,
            kp_hash: None,
            add: id,
        };
        Some((dev, member))
    }

    fn judge_add(
        &self,
        id: OpId,
        held: &Held,
        past: &[&Counting],
        fold: &Fold,
        author: &Member,
    ) -> Option<Effect> {
        let Act::Add {
            dev, inc, role, kp, ..
        } = held.op.act
        else {
            return None;
        };
        let cert = (self.keys)(&kp?)?;
        let genesis = &self.ops.genesis;
        let removed = past.iter().filter_map(|op| op.removal());
        let highest = removed.filter(|r| r.0 == dev).map(|r| r.1).max().unwrap_or(0);
        let slot = Slot::of(self.ops.thread, &cert.device_key, inc);
        let taken = past
            .iter()
            .filter_map(|op| op.add())
            .any(|(other, m)| m.slot == slot && other != dev);
        let fits = cert.dev() == dev
            && cert.roles.contains(role)
            && may_add(author.role, genesis.kind, role)
            && highest.checked_add(1) == Some(inc)
            && !fold.members.contains_key(&dev)
            && fold.members.len() < limits::MEMBERS
            && !taken;
        let member = Member {
            inc,
            role,
            slot,
            device_key: cert.device_key,
            tier: tier(role, genesis.kind, genesis.owned_by(cert.org), false)?,
            kp_hash: kp,
            add: id,
        };
        fits.then_some(Effect::Add(dev, member))
    }

    fn judge_remove(
        &self,
        dev: Dev,
        inc: Incarnation,
        why: Why,
        past: &[&Counting],
        fold: &Fold,
        author: (&Dev, &Member),
    ) -> Option<Effect> {
        let adds = past.iter().filter_map(|op| op.add().map(|add| (op, add)));
        let mut of_dev = adds.filter(|(_, (added, _))| *added == dev);
        // a member's incarnation is the highest that was ever added: a Remove ends all lower ones too
        let target = fold.members.get(&dev)?;
        let itself = *author.0 == dev;
        let grounds = Grounds {
            itself,
            own_add: of_dev.any(|(op, (_, m))| m.inc == inc && op.author.0 == *author.0),
            revoked: why == Why::Revoked,
        };
        let fits = target.inc == inc
            && !(itself && fold.members.len() == 1)
            && may_remove(party(author.1), self.ops.genesis.kind, party(target), grounds);
        fits.then_some(Effect::Remove(dev, inc))
    }
}

/// Lists what a life asked for last: the highest number, of several there the lowest id.
fn note_request(out: &mut Membership, op: &Counting) {
    let is_newer = |(counter, id): (u32, OpId)| op.counter > counter || op.counter == counter && op.id < id;
    match op.effect {
        Effect::Rejoin(kp) => {
            let (counter, op_id) = (op.counter, op.id);
            let asked = Rejoin {
                counter,
                op: op_id,
                kp,
            };
            let before = out.rejoins.get(&op.author);
            if before.is_none_or(|before| is_newer((before.counter, before.op))) {
                out.rejoins.insert(op.author, asked);
            }
        }
        Effect::Refound(suite) => {
            let before = out.refounds.get(&op.author);
            if before.is_none_or(|before| is_newer((before.0, before.1))) {
                out.refounds.insert(op.author, (op.counter, op.id, suite));
            }
        }
        Effect::Add(..) | Effect::Remove(..) | Effect::Nothing => {}
    }
}

fn party(member: &Member) -> Party {
    let role: Role = member.role;
    Party {
        role,
        tier: member.tier,
    }
}

/// Whether the author's op before this one is in its past.
fn is_linked(held: &Held, clock: &Clock) -> bool {
    let before = clock.upto.get(&held.slot).copied().unwrap_or(0);
    before == held.op.counter - 1
}

struct Fold {
    members: BTreeMap<Dev, Member>,
    valid_removes: BTreeMap<OpId, (Dev, Incarnation)>,
}

/// Members after a causally closed set of counting ops.
fn fold(ops: &[&Counting], all: &Ops) -> Fold {
    let mut removes: Vec<&Counting> = ops.iter().filter(|op| op.removal().is_some()).copied().collect();
    removes.sort_by_key(|op| (op.author_tier, op.slot, op.counter, op.id));
    let mut valid: Vec<&Counting> = Vec::new();
    for remove in removes {
        let beaten = valid.iter().any(|earlier| {
            let (dev, inc) = earlier.removal().expect("only removals are listed");
            dev == remove.author.0
                && inc >= remove.author.1
                && earlier.author != remove.author
                && !earlier.saw(remove)
                && !remove.saw(earlier)
        });
        if !beaten || all.void_counts {
            valid.push(remove);
        }
    }
    loop {
        let members = members(ops, &valid, all);
        let own = |op: &&Counting| op.removal() == Some(op.author);
        match valid.iter().rposition(own) {
            Some(last) if members.is_empty() => valid.remove(last),
            _ => {
                let removal = |op: &&Counting| Some((op.id, op.removal()?));
                let valid_removes = valid.iter().filter_map(removal).collect();
                return Fold {
                    members,
                    valid_removes,
                };
            }
        };
    }
}

fn members(ops: &[&Counting], valid: &[&Counting], all: &Ops) -> BTreeMap<Dev, Member> {
    let mut out: BTreeMap<Dev, Member> = BTreeMap::new();
    let mut ended: BTreeMap<Dev, Incarnation> = BTreeMap::new();
    for (dev, inc) in valid.iter().filter_map(|op| op.removal()) {
        let at = ended.entry(dev).or_default();
        *at = inc.max(*at);
    }
    for (op, (dev, member)) in ops.iter().filter_map(|op| Some((op, op.add()?))) {
        let unseen = || all.adds_win && !valid.iter().any(|remove| remove.saw(op));
        let over = ended.get(&dev).is_some_and(|inc| *inc >= member.inc) && !unseen();
        let better = |held: &Member| (member.inc, held.add) > (held.inc, member.add);
        if !over && out.get(&dev).is_none_or(better) {
            out.insert(dev, member.clone());
        }
    }
    out
}
