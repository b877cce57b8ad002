//! How often a frame has to cross the link until two devices have what the other wrote, counted on the
//! machines themselves: the link takes 800 ms each way and no time for the bytes, so the time that
//! passes says how many frames waited for one another.

use crate::cast::{Enrol, Organisation, card_of, expect};
use crate::clock::Clock;
use crate::net::{CableId, HostId, Line};
use crate::trace::Trace;
use crate::world::{MINUTE, World};
use aidmesh_core::directory::{Role, ThreadKind};
use aidmesh_core::envelope::Class;
use aidmesh_core::group::control::History;
use aidmesh_core::group::mls::Suite;
use aidmesh_core::id::ThreadId;
use aidmesh_core::machine::command::{Command, Outgoing};
use aidmesh_core::machine::event::Event;
use aidmesh_core::machine::open::{Flaws, Part};
use aidmesh_core::sync::{HaveHead, Subject};
use aidmesh_core::wire::Frame;
use aidmesh_netem::Profile;
use bytes::Bytes;

/// One way. Longer than all waits of the protocol together before its answer, shorter than its
/// repetitions.
const ONE_WAY_US: u64 = 800_000;

/// Flights between two members, each of whom has an entry that the other lacks. A flight is one
/// crossing of the link; two are a round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flights {
    /// From the first HAVE to the last missing entry.
    pub(super) after_have: u64,
    /// From the start of the link to the last missing entry.
    pub(super) in_all: u64,
}

/// At first contact, and when the same two meet again. `None` if something did not arrive.
pub(super) fn count() -> Option<[Flights; 2]> {
    let mut meeting = Meeting::prepare()?;
    let first = meeting.hold()?;
    Some([first, meeting.hold()?])
}

/// Two members of a thread who have never met, each linked to its founder.
struct Meeting {
    world: World,
    thread: ThreadId,
    members: [HostId; 2],
    to_founder: [CableId; 2],
    between: Option<CableId>,
}

impl Meeting {
    fn prepare() -> Option<Meeting> {
        let mut world = World::new(1, Trace::default());
        let mut org = Organisation::new(1);
        let mut enrol = |world: &mut World, title: &str| {
            let clock = Clock::new(0, 0);
            let (part, role, flaws) = (Part::Member, Role::Physician, Flaws::default());
            let what = Enrol {
                part,
                role,
                clock,
                flaws,
            };
            org.enrol(world, title, what)
        };
        let founder = enrol(&mut world, "founder");
        let members = ["one", "other"].map(|title| enrol(&mut world, title));
        let lan = Line {
            profile: Profile::LAN,
            stream: true,
        };
        let to_founder = members.map(|member| world.add_cable(lan, founder, member));
        let suite = Suite::XWing;
        let create = Command::CreateThread {
            kind: ThreadKind::Patient,
            history: History::All,
            suite,
            title: "bench".to_owned(),
        };
        let thread = world.command(founder, create)?.ok()?.thread?;
        for member in members {
            let card = card_of(&mut world, member, suite)?;
            expect(&mut world, founder, Command::LearnCard { card });
            let dev = world.hosts[member].dev()?;
            let role = Role::Physician;
            expect(&mut world, founder, Command::Add { thread, dev, role });
        }
        world.run_for(5 * MINUTE);
        Some(Meeting {
            world,
            thread,
            members,
            to_founder,
            between: None,
        })
    }

    /// Each writes an entry while nobody hears it, then they meet.
    fn hold(&mut self) -> Option<Flights> {
        for cable in self.to_founder.into_iter().chain(self.between) {
            self.world.cut_cable(cable, false);
        }
        for member in self.members {
            let (thread, class) = (self.thread, Class::Text);
            let what = Outgoing::Note("written alone".to_owned());
            expect(&mut self.world, member, Command::Send { thread, class, what });
        }
        self.world.run_for(MINUTE);
        self.world.events.clear();
        self.world.sent = Some(Vec::new());
        let [one, other] = self.members;
        let up_us = self.world.now_us;
        match self.between {
            Some(cable) => self.world.want_cable(cable),
            None => self.between = Some(self.world.add_cable(slow(), one, other)),
        }
        self.world.run_for(MINUTE);
        let sent = self.world.sent.take()?;
        let have_us = sent.iter().find(|(_, bytes)| is_have(bytes)).map(|(us, _)| *us)?;
        let arrived = self.members.map(|member| {
            let here = |(us, at, event): &(u64, HostId, Event)| {
                let arrived = *at == member && matches!(event, Event::Arrived { .. });
                arrived.then_some(*us)
            };
            self.world.events.iter().find_map(here)
        });
        let [a, b] = arrived;
        let last_us = a?.max(b?);
        (self.world.violation.is_none()).then_some(Flights {
            after_have: last_us.saturating_sub(have_us) / ONE_WAY_US,
            in_all: (last_us - up_us) / ONE_WAY_US,
        })
    }
}

fn slow() -> Line {
    let profile = Profile {
        rate_bps: 1_000_000_000,
        one_way_us: ONE_WAY_US,
        jitter_us: 0,
        loss_ppm: 0,
        ..Profile::LAN
    };
    Line {
        profile,
        stream: true,
    }
}

/// A HAVE about a thread; each side also tells what it keeps in the other's mailbox.
fn is_have(bytes: &Bytes) -> bool {
    let Ok(Frame::Have(body)) = Frame::decode(bytes) else {
        return false;
    };
    HaveHead::decode(&body).is_ok_and(|head| matches!(head.subject, Subject::Thread(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_one_round_trip_after_the_first_have() {
        let [first, again] = count().unwrap();
        // HELLO, THREADS, HAVE, DATA
        assert_eq!((first.after_have, first.in_all), (2, 4));
        // HELLO, THREADS, DATA: sent from what is remembered, beside the HAVE
        assert_eq!((again.after_have, again.in_all), (1, 3));
    }
}
