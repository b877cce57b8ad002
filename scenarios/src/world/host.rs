//! One simulated device: a machine, its disk and clock, and what its host program knows.

use crate::clock::Clock;
use crate::disk::Disk;
use crate::net::HostId;
use crate::world::World;
use aidmesh_core::id::Dev;
use aidmesh_core::machine::Machine;
use aidmesh_core::machine::input::LinkId;
use aidmesh_core::machine::open::{Config, Flaws, Identity, Part};

/// What a device is made from.
#[derive(Clone, Debug)]
pub struct Start {
    /// Name in readable lines.
    pub name: String,
    /// Member, relay or carrier.
    pub part: Part,
    /// Keys and certificates.
    pub identity: Identity,
    /// Clocks.
    pub clock: Clock,
    /// Planted bugs.
    pub flaws: Flaws,
}

/// A device.
pub struct Host {
    /// Name in readable lines.
    pub name: String,
    /// Keys and certificates.
    pub identity: Identity,
    /// `None` while it is down.
    pub machine: Option<Machine>,
    /// Rows.
    pub disk: Disk,
    /// Clocks.
    pub clock: Clock,
    /// Member, relay or carrier.
    pub part: Part,
    /// How often it was opened and then saved something; counted outside the store.
    pub generation: u64,
    /// Counts lives of the machine: what was planned for a former life is void.
    pub life: u32,
    /// World time at which a sleeping device wakes.
    pub asleep_until: Option<u64>,
    /// Last ticket that the machine gave out, and last one that is durable.
    pub submitted: u64,
    /// See `submitted`.
    pub confirmed: u64,
    /// World time at which the store was last restored from elsewhere.
    pub rebuilt_us: Option<u64>,
    /// Its disk refuses every batch.
    pub disk_full: bool,
    pub(super) wake_us: Option<u64>,
    pub(super) written_us: u64,
    pub(super) wakes: (u64, u32),
    flaws: Flaws,
    links: u32,
}

impl Host {
    pub(super) fn new(start: Start) -> Host {
        Host {
            name: start.name,
            identity: start.identity,
            machine: None,
            disk: Disk::new(),
            clock: start.clock,
            part: start.part,
            generation: 0,
            life: 0,
            asleep_until: None,
            submitted: 0,
            confirmed: 0,
            rebuilt_us: None,
            disk_full: false,
            wake_us: None,
            written_us: 0,
            wakes: (0, 0),
            flaws: start.flaws,
            links: 0,
        }
    }

    /// Its device id, if it is a member.
    pub fn dev(&self) -> Option<Dev> {
        let member = self.identity.member.as_ref()?;
        Some(Dev::of_key(&member.device.public()))
    }

    /// Holds keys and writes in threads.
    pub fn is_member(&self) -> bool {
        self.part == Part::Member
    }

    /// Running and awake.
    pub fn is_awake(&self) -> bool {
        self.machine.is_some() && self.asleep_until.is_none()
    }

    pub(super) fn next_link(&mut self) -> LinkId {
        self.links += 1;
        LinkId(self.links)
    }
}

impl World {
    /// Opens the machine of a device from what is on its disk.
    pub(super) fn open(&mut self, host: HostId) {
        let seed = self.chance_seed();
        let h = &mut self.hosts[host];
        h.life += 1;
        (h.submitted, h.confirmed, h.wake_us, h.written_us) = (0, 0, None, 0);
        let carry_bytes = match h.part {
            Part::Member => aidmesh_core::limits::CARRY_BYTES_PHONE,
            Part::Relay | Part::Carrier => aidmesh_core::limits::CARRY_BYTES_VEHICLE,
        };
        let cfg = Config {
            part: h.part,
            carry_bytes,
            generation: h.generation + 1,
        };
        let now = h.clock.now(self.now_us);
        match Machine::open_with(cfg, h.identity.clone(), &h.disk, seed, now, h.flaws) {
            Ok(machine) => h.machine = Some(machine),
            Err(why) => {
                let what = format!("{} cannot open its store: {why}", h.name);
                self.accuse("a crash leaves a loadable state", what);
                return;
            }
        }
        self.drain(host);
    }
}
