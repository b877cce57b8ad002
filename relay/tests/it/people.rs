//! An organisation and two of its devices, each with a real node and a real uplink.

use aidmesh_core::crypto::{KeyPair, Secret, kdf};
use aidmesh_core::directory::{
    AdminCert, DeviceCert, Name, Power, Revocation, Role, Roles, RootCard, RoutingCert, Signed, ThreadKind,
    What, Window,
};
use aidmesh_core::enrolment::OrgCard;
use aidmesh_core::envelope::Class;
use aidmesh_core::group::control::History;
use aidmesh_core::group::mls::Suite;
use aidmesh_core::id::{Dev, Key8, Person, ThreadId};
use aidmesh_core::machine::command::{Card, Command, EntryRef, Outgoing};
use aidmesh_core::machine::event::Event;
use aidmesh_core::machine::open::{Identity, MemberKeys, Part};
use aidmesh_host::node::{Feed, Handle, Node, Start};
use aidmesh_host::openings::Openings;
use aidmesh_host::store::InMemory;
use aidmesh_host::uplink::{Client, ClientConfig, Hello, PathState, RelayAddress};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Longer than anything here takes; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Organisation {
    pub(crate) card: OrgCard,
    admin: KeyPair,
    admin_cert: AdminCert,
}

impl Organisation {
    pub(crate) fn new(name: &str, seed: u8) -> Organisation {
        let (root, admin) = (
            KeyPair::from_seed(&[seed; 32]),
            KeyPair::from_seed(&[seed ^ 0x80; 32]),
        );
        let root_card = RootCard::new(&root, Name::new(name).unwrap());
        let cert = AdminCert {
            org: root_card.org(),
            serial: 1,
            admin_key: admin.public(),
            powers: Power::Enrol as u8 | Power::Revoke as u8,
            window: window(),
            sig: [0; 64],
        };
        let admin_cert = cert.signed_by(&root);
        let card = OrgCard {
            root: root_card,
            admins: vec![admin_cert.clone()],
        };
        Organisation {
            card,
            admin,
            admin_cert,
        }
    }

    pub(crate) fn revocation(&self, key: [u8; 32]) -> Vec<u8> {
        let revocation = Revocation {
            org: self.card.org(),
            key: Key8::of_key(&key),
            what: What::Routing,
            serial_floor: 2,
            issuer: Key8::default(),
            seq: 1,
            sig: [0; 64],
        };
        revocation.signed_by(&self.admin).encode().to_vec()
    }

    fn identity(&self, n: u8, role: Role) -> Identity {
        let key = |what: &str| KeyPair::from_seed(&kdf(&[n; 8], what).0);
        let (routing, device, inbox) = (key("routing"), key("device"), key("inbox"));
        let (org, serial, issuer, sig) = (self.card.org(), u32::from(n), Key8::default(), [0; 64]);
        let routing_cert = RoutingCert {
            org,
            serial,
            routing_key: routing.public(),
            quota: 1,
            window: window(),
            issuer,
            sig,
        };
        let cert = DeviceCert {
            org,
            serial,
            device_key: device.public(),
            seal_key: [n; 32],
            inbox_key: inbox.public(),
            person: Person([n; 8]),
            roles: Roles::of(&[role]),
            window: window(),
            issuer,
            name: Name::new(&name_of(n)).unwrap(),
            sig,
        };
        Identity {
            routing,
            routing_cert: routing_cert.signed_by(&self.admin).encode(),
            member: Some(MemberKeys {
                device,
                seal: Secret([n; 32]),
                inbox,
                cert: cert.signed_by(&self.admin).encode(),
            }),
        }
    }
}

/// What must never be seen at a relay.
pub(crate) fn name_of(n: u8) -> String {
    format!("Wilhelmina Quist {n}")
}

fn window() -> Window {
    let minute = u32::try_from(aidmesh_host::clock::wall().0 / 60_000).unwrap();
    Window {
        not_before_min: minute - 10,
        not_after_min: minute + 10_000,
    }
}

/// A device with its node, and an uplink once it was called.
pub(crate) struct Device {
    pub(crate) n: u8,
    pub(crate) identity: Identity,
    pub(crate) handle: Handle,
    node: Node,
    hello: Hello,
    uplink: Option<Client>,
}

impl Device {
    pub(crate) async fn new(organisation: &Organisation, n: u8, role: Role, relay: [u8; 32]) -> Device {
        let identity = organisation.identity(n, role);
        let disk = Arc::new(InMemory::new());
        let start = Start {
            part: Part::Member,
            carry_bytes: 1 << 24,
            identity: identity.clone(),
            disk: Box::new(move || Ok(disk.clone())),
            openings: Arc::new(Openings::volatile()),
            hooks: Default::default(),
        };
        let node = tokio::task::spawn_blocking(|| Node::start(start))
            .await
            .unwrap()
            .unwrap();
        let handle = node.handle();
        let admin = organisation.admin_cert.encode();
        let commands = [
            Command::Trust {
                root_card: organisation.card.root.encode(),
                own: true,
            },
            Command::LearnAdmin { cert: admin.clone() },
            Command::PinRelays { keys: [relay].into() },
            Command::SignOn {
                person: Person([n; 8]),
            },
        ];
        for command in commands {
            handle.command(command).await.unwrap();
        }
        let hello = Hello {
            routing: identity.routing_cert.clone(),
            admin,
        };
        Device {
            n,
            identity,
            handle,
            node,
            hello,
            uplink: None,
        }
    }

    /// Calls the relay from now on; the ways are told.
    pub(crate) fn call(&mut self, address: &str, key: [u8; 32]) -> watch::Receiver<Vec<PathState>> {
        let relay = RelayAddress {
            name: "North-1".into(),
            address: address.into(),
            key,
        };
        let (sender, waiting) = watch::channel([0; 5]);
        let mut state = self.handle.state();
        tokio::spawn(async move {
            while state.changed().await.is_ok() && sender.send(state.borrow_and_update().waiting).is_ok() {}
        });
        let config = ClientConfig {
            relays: vec![relay],
            routing: self.identity.routing.clone(),
            hello: self.hello.clone(),
            links: self.handle.links(),
            waiting,
        };
        let client = Client::start(config);
        let paths = client.paths();
        self.uplink = Some(client);
        paths
    }

    pub(crate) fn hang_up(&mut self) {
        self.uplink = None;
    }

    pub(crate) fn dev(&self) -> Dev {
        Dev::of_key(&self.identity.member.as_ref().unwrap().device.public())
    }

    async fn make_card(&self) -> Card {
        let mut feed = self.handle.follow(self.handle.newest());
        let suite = Suite::Classical;
        self.handle.command(Command::MakeCard { suite }).await.unwrap();
        wait_for(&mut feed, |event| match event {
            Event::CardMade { card } => Some(card.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn thread_with(&self, other: &Device, role: Role) -> ThreadId {
        let create = Command::CreateThread {
            kind: ThreadKind::Patient,
            history: History::All,
            suite: Suite::Classical,
            title: "7K2".to_owned(),
        };
        let thread = self.handle.command(create).await.unwrap().thread.unwrap();
        let card = other.make_card().await;
        self.handle.command(Command::LearnCard { card }).await.unwrap();
        let dev = other.dev();
        self.handle
            .command(Command::Add { thread, dev, role })
            .await
            .unwrap();
        thread
    }

    pub(crate) async fn note(&self, thread: ThreadId, text: &str) -> EntryRef {
        let (class, what) = (Class::Clinical, Outgoing::Note(text.to_owned()));
        let made = self
            .handle
            .command(Command::Send { thread, class, what })
            .await
            .unwrap();
        made.entry.unwrap()
    }

    /// Eight KiB that nobody waits for.
    pub(crate) async fn long_note(&self, thread: ThreadId) {
        let (class, what) = (Class::Bulk, Outgoing::Note("x".repeat(8000)));
        self.handle
            .command(Command::Send { thread, class, what })
            .await
            .unwrap();
    }

    pub(crate) async fn stop(self) {
        drop(self.uplink);
        self.node.stop().await;
    }
}

/// Waits for an event, or fails.
pub(crate) async fn wait_for<T>(feed: &mut Feed, mut what: impl FnMut(&Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let told = feed.next().await.expect("the node goes on");
            if let Some(found) = what(&told.event) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it happens")
}
