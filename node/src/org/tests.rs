use super::desk::{
    self, Approved, Desk, DeskError, Founding, INVITE_MINUTES_MAX, LEASE_MINUTES, Offer, hex8,
};
use super::identity::{IDENTITY, IdentityError, IdentityFile};
use super::join::{self, Asked, JoinError};
use super::text::{self, Form, TextError};
use super::*;
use aidmesh_core::directory::{CertError, Lease, Name, Role, Roles};
use aidmesh_core::enrolment::{GrantError, Invite, OrgCard, Place, Renewal, Request, RequestError};
use aidmesh_core::group::mls::Suite;
use aidmesh_core::machine::command::{Card, Command};
use aidmesh_core::machine::open::{Config, Part};
use aidmesh_core::machine::{Event, Input, Machine, Output};
use aidmesh_core::store::{Engine, Memory};
use aidmesh_core::time::{Instant, Now, Wall};
use aidmesh_host::vault::Unlock;
use std::collections::BTreeMap;

pub(super) const NOW: u32 = 29_000_000;
const DAY: u32 = 24 * 60;

/// A safe whose disk can be full.
#[derive(Default)]
pub(super) struct Drawer {
    now: BTreeMap<String, Zeroizing<Vec<u8>>>,
    disk: BTreeMap<String, Zeroizing<Vec<u8>>>,
    pub(super) full: bool,
}

impl Safe for Drawer {
    fn get(&self, name: &str) -> Option<Zeroizing<Vec<u8>>> {
        self.now.get(name).cloned()
    }

    fn put(&mut self, name: &str, bytes: Zeroizing<Vec<u8>>) {
        self.now.insert(name.to_owned(), bytes);
    }

    fn remove(&mut self, name: &str) {
        self.now.remove(name);
    }

    fn save(&mut self) -> Result<(), VaultError> {
        if self.full {
            return Err(VaultError::Full);
        }
        self.disk = self.now.clone();
        Ok(())
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn place(n: u8) -> Place {
    Place::new(&format!("127.0.0.1:40{n:02}"), [n; 32]).unwrap()
}

/// An organisation with its administrator's device and that device's card.
pub(super) struct House {
    pub(super) org: Drawer,
    pub(super) own: Drawer,
    root_words: Zeroizing<String>,
    pub(super) cards: Vec<Card>,
}

fn founding(organisation: &str) -> Founding {
    Founding {
        organisation: name(organisation),
        holder: name("Ines A"),
        roles: Roles::of(&[Role::Gateway, Role::ItAdmin]),
    }
}

pub(super) fn house(organisation: &str) -> House {
    let (mut org, mut own) = (Drawer::default(), Drawer::default());
    let founded = desk::create(&mut org, &mut own, &founding(organisation), NOW).unwrap();
    let file = IdentityFile::load(&own).unwrap().unwrap();
    House {
        org,
        cards: vec![card_of(&file)],
        own,
        root_words: founded.root_words,
    }
}

fn offer(roles: &[Role]) -> Offer {
    Offer {
        roles: Roles::of(roles),
        desk: None,
        valid_min: 60,
    }
}

impl House {
    pub(super) fn desk(&mut self) -> Desk<'_> {
        Desk::open(&mut self.org).unwrap()
    }

    fn invite(&mut self, roles: &[Role]) -> Invite {
        self.desk().invite(&offer(roles), NOW).unwrap()
    }

    pub(super) fn approve(&mut self, request: &[u8]) -> Result<Approved, DeskError> {
        let cards = self.cards.clone();
        self.desk().approve(request, &cards, NOW)
    }

    fn enrol(&mut self, holder: &str, role: Role) -> (Drawer, IdentityFile) {
        let mut own = Drawer::default();
        let asked = ask(&mut own, &self.invite(&[role]), holder);
        let grant = self.approve(&asked.request).unwrap().grant;
        let file = join::accept(&mut own, &grant, NOW).unwrap();
        (own, file)
    }
}

pub(super) fn ask(own: &mut Drawer, invite: &Invite, holder: &str) -> Asked {
    join::request(own, invite, name(holder), None, NOW).unwrap()
}

fn now(minute: u32) -> Now {
    Now {
        mono: Instant(1),
        wall: Wall(u64::from(minute) * 60_000),
    }
}

/// A machine on this identity, told everything that the file says.
fn machine(file: &IdentityFile, minute: u32) -> (Machine, Memory, Vec<Event>) {
    let cfg = Config {
        part: Part::Member,
        carry_bytes: 1 << 20,
        generation: 1,
    };
    let (mut store, mut events) = (Memory::new(), vec![]);
    let mut machine = Machine::open(cfg, file.identity(), &store, [7; 32], now(minute)).unwrap();
    for command in file.commands() {
        machine.command(&store, now(minute), command).unwrap();
        drain(&mut machine, &mut store, &mut events, minute);
    }
    (machine, store, events)
}

fn drain(machine: &mut Machine, store: &mut Memory, events: &mut Vec<Event>, minute: u32) {
    while let Some(output) = machine.poll() {
        match output {
            Output::Commit { ticket, batch } => {
                store.apply(&batch).unwrap();
                machine.handle(store, now(minute), Input::Committed { ticket });
            }
            Output::Event(event) => events.push(event),
            _ => {}
        }
    }
}

fn card_of(file: &IdentityFile) -> Card {
    let (mut machine, mut store, mut events) = machine(file, NOW);
    let suite = Suite::Classical;
    machine
        .command(&store, now(NOW), Command::MakeCard { suite })
        .unwrap();
    drain(&mut machine, &mut store, &mut events, NOW);
    let made = events.into_iter().find_map(|event| match event {
        Event::CardMade { card } => Some(card),
        _ => None,
    });
    made.unwrap()
}

#[test]
fn a_device_joins_and_its_machine_believes_everything() {
    let mut house = house("St Anna");
    house.desk().set_relays(vec![place(1), place(2)]).unwrap();
    let partner = self::house("Hospital North").desk().card();
    assert!(house.desk().trust(&partner).unwrap());
    let invite = house.invite(&[Role::Paramedic, Role::Responder]);

    let mut own = Drawer::default();
    let asked = join::request(
        &mut own,
        &invite,
        name("Jana N"),
        Some(Roles::of(&[Role::Paramedic])),
        NOW,
    )
    .unwrap();
    let asking = house.desk().look(&asked.request, NOW).unwrap();
    assert_eq!(asking.words, asked.words);
    assert_eq!(asking.request.name, name("Jana N"));
    assert!(asking.same_person.is_empty());
    let approved = house.approve(&asked.request).unwrap();
    assert_eq!(approved.asking.words, asked.words);
    let file = join::accept(&mut own, &approved.grant, NOW).unwrap();

    assert_eq!(
        (file.name(), file.lease_days(NOW)),
        (&name("Jana N"), i64::from(LEASE_MINUTES / DAY))
    );
    assert_eq!(file.device.roles, Roles::of(&[Role::Paramedic]));
    assert_eq!(file.relays, [place(1), place(2)]);
    assert_eq!(file.partners, [partner]);
    assert_eq!(file.issuer(), file.org.admins.first());
    let kept = IdentityFile::load(&own).unwrap().unwrap();
    assert_eq!(kept.encode().unwrap(), file.encode().unwrap());
    assert!(join::pending(&own).unwrap().is_none());
    // every command of the file is taken, the administrator's card too
    let (machine, _, _) = machine(&kept, NOW);
    let dir = machine.directory();
    assert_eq!(dir.own(), Some(file.org_id()));
    assert_eq!(dir.roots().count(), 2);
    let standing = dir.verify_device(&file.device, now(NOW).wall).unwrap();
    assert_eq!((standing.lease, standing.foreign), (Lease::Valid, false));
    assert_eq!(dir.verify_routing(&file.routing, now(NOW).wall), Ok(standing));
    let admin = IdentityFile::load(&house.own).unwrap().unwrap();
    assert!(dir.device(admin.dev()).is_some());
}

#[test]
fn an_invite_serves_one_device() {
    let mut house = house("St Anna");
    let invite = house.invite(&[Role::Nurse]);
    let (mut first, mut second) = (Drawer::default(), Drawer::default());
    let (one, two) = (
        ask(&mut first, &invite, "Jana N"),
        ask(&mut second, &invite, "Evil E"),
    );
    assert_eq!(house.desk().open_invites(NOW), 1);
    let grant = house.approve(&one.request).unwrap().grant;
    let used = |same| DeskError::Request(RequestError::Used { same });
    assert_eq!(house.approve(&one.request).unwrap_err(), used(true));
    assert_eq!(house.approve(&two.request).unwrap_err(), used(false));
    assert_eq!(house.desk().look(&two.request, NOW).unwrap_err(), used(false));
    assert_eq!(house.desk().open_invites(NOW), 0);
    assert_eq!(
        join::accept(&mut second, &grant, NOW).unwrap_err(),
        JoinError::Grant(GrantError::OtherRequest)
    );
    assert!(join::accept(&mut first, &grant, NOW).is_ok());
    let again = join::accept(&mut first, &grant, NOW);
    assert_eq!(again.unwrap_err(), JoinError::Enrolled);
    assert_eq!(house.desk().enrolled().len(), 2);
}

#[test]
fn wrong_ended_and_foreign_requests_are_refused_with_the_reason() {
    let (mut house, mut other) = (house("St Anna"), house("Hospital North"));
    let invite = house.invite(&[Role::Nurse]);
    let mut own = Drawer::default();
    let asked = ask(&mut own, &invite, "Jana N");
    assert_eq!(
        other.approve(&asked.request).unwrap_err(),
        DeskError::Request(RequestError::Unknown)
    );
    let cards = house.cards.clone();
    let late = house.desk().approve(&asked.request, &cards, NOW + 65);
    assert_eq!(late.unwrap_err(), DeskError::Request(RequestError::Ended(5)));
    assert_eq!(
        house.desk().approve(&asked.request, &[], NOW).unwrap_err(),
        DeskError::NoCard
    );
    let strangers = other.cards.clone();
    assert_eq!(
        house.desk().approve(&asked.request, &strangers, NOW).unwrap_err(),
        DeskError::NoCard
    );
    for i in 0..asked.request.len() {
        let mut bad = asked.request.to_vec();
        bad[i] ^= 1 << (i % 8);
        assert!(
            matches!(house.approve(&bad), Err(DeskError::Request(_))),
            "byte {i}"
        );
    }
    let mut fresh = Drawer::default();
    assert_eq!(
        join::request(&mut fresh, &invite, name("J"), None, NOW + 61).unwrap_err(),
        JoinError::Ended(1)
    );
    let wanted = Some(Roles::of(&[Role::Physician]));
    assert_eq!(
        join::request(&mut fresh, &invite, name("J"), wanted, NOW).unwrap_err(),
        JoinError::Roles
    );
    assert_eq!(
        join::accept(&mut fresh, &[1; 400], NOW).unwrap_err(),
        JoinError::NothingAsked
    );
    // after all that the right one is still granted
    let grant = house.approve(&asked.request).unwrap().grant;
    for i in 0..grant.len() {
        let mut bad = grant.to_vec();
        bad[i] ^= 1 << (i % 8);
        let refused = join::accept(&mut own, &bad, NOW).unwrap_err();
        assert_eq!(refused, JoinError::Grant(GrantError::WrongSeal), "byte {i}");
    }
    let ended = join::accept(&mut own, &grant, NOW + LEASE_MINUTES + 1);
    assert_eq!(ended.unwrap_err(), JoinError::Grant(GrantError::Ended));
    assert!(join::accept(&mut own, &grant, NOW).is_ok());
}

#[test]
fn a_request_waits_for_its_grant_and_is_not_made_twice() {
    let mut house = house("St Anna");
    let invite = house.invite(&[Role::Nurse, Role::Responder]);
    let mut own = Drawer::default();
    let first = ask(&mut own, &invite, "Jana N");
    let again = ask(&mut own, &invite, "Jana N");
    assert_eq!((&first.request, first.words), (&again.request, again.words));
    let waits = join::pending(&own).unwrap().unwrap();
    assert_eq!(waits.request, first.request);
    let other = ask(&mut own, &invite, "Jana O");
    assert_ne!(other.request, first.request);
    let grant = house.approve(&first.request).unwrap().grant;
    assert_eq!(
        join::accept(&mut own, &grant, NOW).unwrap_err(),
        JoinError::Grant(GrantError::OtherRequest)
    );
}

#[test]
fn a_full_disk_changes_nothing_and_tells_nothing() {
    let mut house = house("St Anna");
    let mut own = Drawer::default();
    let asked = ask(&mut own, &house.invite(&[Role::Nurse]), "Jana N");
    let full = DeskError::Vault(VaultError::Full);
    house.org.full = true;
    let cards = house.cards.clone();
    let mut desk = Desk::open(&mut house.org).unwrap();
    assert_eq!(desk.invite(&offer(&[Role::Nurse]), NOW).unwrap_err(), full);
    assert_eq!(desk.approve(&asked.request, &cards, NOW).unwrap_err(), full);
    assert_eq!(desk.set_relays(vec![place(1)]).unwrap_err(), full);
    assert_eq!((desk.enrolled().len(), desk.open_invites(NOW)), (1, 1));
    assert!(desk.relays().is_empty());
    assert_eq!(house.org.now, house.org.disk);
    house.org.full = false;
    let grant = house.approve(&asked.request).unwrap().grant;
    own.full = true;
    assert_eq!(
        join::accept(&mut own, &grant, NOW).unwrap_err(),
        JoinError::Vault(VaultError::Full)
    );
    assert!(join::pending(&own).unwrap().is_some() && own.get(IDENTITY).is_none());
    own.full = false;
    assert!(join::accept(&mut own, &grant, NOW).is_ok());

    let (mut org, mut own) = (Drawer::default(), Drawer::default());
    own.full = true;
    let founded = desk::create(&mut org, &mut own, &founding("St Anna"), NOW);
    assert_eq!(founded.unwrap_err(), full);
    assert!(org.disk.is_empty() && own.now.is_empty());
}

#[test]
fn a_revoked_device_is_revoked_for_every_machine_and_stays_out() {
    let mut house = house("St Anna");
    let (_, jana) = house.enrol("Jana N", Role::Paramedic);
    let (_, karl) = house.enrol("Karl M", Role::Nurse);
    let mut desk = house.desk();
    assert_eq!(desk.revoke("Nobody N").unwrap_err(), DeskError::Nobody);
    assert_eq!(desk.revoke("Ines A").unwrap_err(), DeskError::OwnDevice);
    assert_eq!(desk.revoke("").unwrap_err(), DeskError::Nobody);
    let revocations = desk.revoke(&hex8(&jana.dev())).unwrap();
    assert_eq!(revocations.len(), 2);
    assert_eq!(desk.revoke("Jana N").unwrap_err(), DeskError::Ended);
    assert_eq!(desk.renew("Jana N", NOW).unwrap_err(), DeskError::Ended);
    assert_eq!(desk.revocations(), revocations);
    let mut admin = IdentityFile::load(&house.own).unwrap().unwrap();
    for revocation in revocations {
        admin.spread(revocation.clone());
        admin.spread(revocation);
    }
    admin.keep(&mut house.own).unwrap();
    let admin = IdentityFile::load(&house.own).unwrap().unwrap();
    assert_eq!(admin.revocations.len(), 2);
    let (machine, _, _) = machine(&admin, NOW);
    let dir = machine.directory();
    let wall = now(NOW).wall;
    let revoked = |key: &[u8; 32]| CertError::Revoked(aidmesh_core::id::Key8::of_key(key));
    assert_eq!(
        dir.verify_device(&jana.device, wall),
        Err(revoked(&jana.device.device_key))
    );
    assert_eq!(
        dir.verify_routing(&jana.routing, wall),
        Err(revoked(&jana.routing.routing_key))
    );
    assert!(dir.verify_device(&karl.device, wall).is_ok());
}

#[test]
fn a_key_is_enrolled_once() {
    let mut house = house("St Anna");
    let (_, jana) = house.enrol("Jana N", Role::Paramedic);
    let asks = |house: &mut House, keys: &identity::DeviceKeys, routing: [u8; 32]| {
        let invite = house.invite(&[Role::Nurse]);
        let public = (
            aidmesh_core::crypto::x25519_public(&keys.seal),
            keys.inbox.public(),
            routing,
        );
        let key = aidmesh_core::enrolment::InviteKey::of(&invite.secret);
        let asks = (invite.roles, name("Evil E"));
        Request::new(&keys.device, public, asks, &key).encode()
    };
    let same = asks(&mut house, &jana.keys, jana.keys.routing.public());
    assert_eq!(house.approve(&same).unwrap_err(), DeskError::KnownKey);
    let fresh = identity::DeviceKeys::random().unwrap();
    let stolen = asks(&mut house, &fresh, jana.keys.routing.public());
    assert_eq!(house.approve(&stolen).unwrap_err(), DeskError::KnownKey);
    house.desk().revoke("Jana N").unwrap();
    assert_eq!(house.approve(&same).unwrap_err(), DeskError::KnownKey);
    let honest = asks(&mut house, &fresh, fresh.routing.public());
    assert!(house.approve(&honest).is_ok());
}

#[test]
fn one_name_is_one_person_and_the_desk_is_told() {
    let mut house = house("St Anna");
    let (_, first) = house.enrol("Jana N", Role::Paramedic);
    let mut own = Drawer::default();
    let asked = ask(&mut own, &house.invite(&[Role::Nurse]), "Jana N");
    let asking = house.desk().look(&asked.request, NOW).unwrap();
    assert_eq!(asking.same_person, [first.dev()]);
    let grant = house.approve(&asked.request).unwrap().grant;
    let second = join::accept(&mut own, &grant, NOW).unwrap();
    assert_eq!(second.person(), first.person());
    let mut both = vec![first.dev(), second.dev()];
    let several = house.desk().revoke("Jana N").unwrap_err();
    assert_eq!(several, DeskError::Several(both.clone()));
    both.sort();
    assert!(several.to_string().contains(&hex8(&both[0])));
    house.desk().revoke(&hex8(&first.dev())).unwrap();
    // the name means the one that is left
    assert_eq!(house.desk().revoke("Jana N").unwrap().len(), 2);
}

#[test]
fn a_renewal_gives_the_same_keys_a_new_lease() {
    let mut house = house("St Anna");
    let (mut own, mut jana) = house.enrol("Jana N", Role::Paramedic);
    let (_, karl) = house.enrol("Karl M", Role::Nurse);
    let later = NOW + 29 * DAY;
    let renewal = house.desk().renew("Jana N", later).unwrap();
    let bytes = renewal.encode().unwrap();
    let renewal = Renewal::decode(&bytes).unwrap();
    jana.keep_card(card_of(&jana));
    let before = jana.device.clone();
    jana.renew(&renewal).unwrap();
    assert_eq!(jana.lease_days(later), i64::from(LEASE_MINUTES / DAY));
    assert_eq!(jana.lease_days(later + LEASE_MINUTES + 1), -1);
    assert!(jana.own_cards.is_empty());
    assert!(jana.device.serial > before.serial);
    jana.keep(&mut own).unwrap();
    let (machine, _, _) = machine(&IdentityFile::load(&own).unwrap().unwrap(), later);
    let standing = machine.directory().verify_device(&jana.device, now(later).wall);
    assert_eq!(standing.unwrap().lease, Lease::Valid);
    let old = IdentityError::NotOurs("not newer than what this device has");
    assert_eq!(jana.renew(&renewal).unwrap_err(), old);
    let mut karl = karl;
    assert_eq!(
        karl.renew(&renewal).unwrap_err(),
        IdentityError::NotOurs("other keys")
    );
    for i in 0..bytes.len() {
        let mut bad = bytes.to_vec();
        bad[i] ^= 1 << (i % 8);
        let mut fresh = jana.clone();
        fresh.device = before.clone();
        let taken = Renewal::decode(&bad).is_ok_and(|renewal| fresh.renew(&renewal).is_ok());
        assert!(!taken, "byte {i}");
    }
}

#[test]
fn the_root_words_renew_the_administrator_for_a_year() {
    let mut house = house("St Anna");
    let words = house.root_words.clone();
    assert_eq!(words.split(' ').count(), 24);
    let later = NOW + 366 * DAY;
    assert_eq!(
        house.desk().invite(&offer(&[Role::Nurse]), later).unwrap_err(),
        DeskError::NotValidNow
    );
    let other = self::house("Hospital North").root_words;
    for wrong in [&other[..], "", "abandon abandon", &words[..words.len() - 4]] {
        assert_eq!(
            house.desk().renew_admin(wrong, later).unwrap_err(),
            DeskError::WrongWords
        );
    }
    house.desk().renew_admin(&words, later).unwrap();
    let invite = house.desk().invite(&offer(&[Role::Nurse]), later).unwrap();
    let mut own = Drawer::default();
    let asked = join::request(&mut own, &invite, name("Jana N"), None, later).unwrap();
    let cards = house.cards.clone();
    let grant = house.desk().approve(&asked.request, &cards, later).unwrap().grant;
    assert!(join::accept(&mut own, &grant, later).is_ok());
    for year in 2..8 {
        house.desk().renew_admin(&words, NOW + year * 366 * DAY).unwrap();
    }
    assert_eq!(house.desk().card().admins.len(), 4);
    assert!(house.desk().card().encode().is_ok());
}

#[test]
fn grants_name_the_relays_of_today() {
    let mut house = house("St Anna");
    house.desk().set_relays(vec![place(5)]).unwrap();
    let (_, jana) = house.enrol("Jana N", Role::Paramedic);
    assert_eq!(jana.relays, [place(5)]);
    let moved = Place::new("relay.example:443", place(5).key).unwrap();
    house.desk().set_relays(vec![moved.clone()]).unwrap();
    let (_, tom) = house.enrol("Tom B", Role::Paramedic);
    assert_eq!(tom.relays, [moved]);
}

#[test]
fn trust_is_in_a_card_that_its_root_signed() {
    let (mut house, mut other) = (house("St Anna"), house("Hospital North"));
    let text = text::write(Form::OrgCard, &other.desk().card().encode().unwrap());
    let card = OrgCard::decode(&text::read(Form::OrgCard, &text).unwrap()).unwrap();
    assert_eq!(card.root.name, name("Hospital North"));
    assert!(house.desk().trust(&card).unwrap());
    assert!(!house.desk().trust(&card).unwrap());
    let own = house.desk().card();
    assert_eq!(house.desk().trust(&own).unwrap_err(), DeskError::Own);
    let mut admin = IdentityFile::load(&house.own).unwrap().unwrap();
    assert!(admin.trust(card.clone()).unwrap() && !admin.trust(card).unwrap());
    assert_eq!(admin.trust(own).unwrap_err(), IdentityError::Own);
    let (machine, _, _) = machine(&admin, NOW);
    assert!(
        machine
            .directory()
            .roots()
            .any(|(org, _)| *org == other.desk().org())
    );
}

#[test]
fn an_organisation_is_founded_once_and_offers_have_bounds() {
    let mut house = house("St Anna");
    let mut fresh = Drawer::default();
    let again = desk::create(&mut house.org, &mut fresh, &founding("St Anna"), NOW);
    assert_eq!(again.unwrap_err(), DeskError::Exists);
    let enrolled = desk::create(&mut fresh, &mut house.own, &founding("St Anna"), NOW);
    assert_eq!(enrolled.unwrap_err(), DeskError::Exists);
    assert_eq!(Desk::open(&mut fresh).unwrap_err(), DeskError::NoOrganisation);
    let refused = |house: &mut House, roles: &[Role], valid_min| {
        let offer = Offer {
            valid_min,
            ..offer(roles)
        };
        house.desk().invite(&offer, NOW).unwrap_err()
    };
    assert_eq!(refused(&mut house, &[], 60), DeskError::NoRole);
    assert_eq!(refused(&mut house, &[Role::Nurse], 0), DeskError::Validity);
    let long = INVITE_MINUTES_MAX + 1;
    assert_eq!(refused(&mut house, &[Role::Nurse], long), DeskError::Validity);
    let wide = |n: u8| Place::new(&format!("{}:4433", "x".repeat(59)), [n; 32]).unwrap();
    house.desk().set_relays((0..8).map(wide).collect()).unwrap();
    assert_eq!(
        refused(&mut house, &[Role::Nurse], 60),
        DeskError::Invite("invite over 600 bytes")
    );
}

#[test]
fn damaged_secrets_are_errors_and_never_panics() {
    let mut house = house("St Anna");
    let (mut own, _) = house.enrol("Jana N", Role::Paramedic);
    let good = own.get(IDENTITY).unwrap();
    for cut in (0..good.len()).step_by(7) {
        own.put(IDENTITY, Zeroizing::new(good[..cut].to_vec()));
        assert!(matches!(IdentityFile::load(&own), Err(IdentityError::Damaged(_))));
    }
    let mut swapped = good.to_vec();
    swapped[1] ^= 1;
    own.put(IDENTITY, Zeroizing::new(swapped));
    assert_eq!(
        IdentityFile::load(&own).unwrap_err(),
        IdentityError::Damaged("certificates of other keys")
    );
    let names: Vec<_> = house.org.now.keys().cloned().collect();
    for secret in names {
        let good = house.org.get(&secret).unwrap();
        for cut in (0..good.len()).step_by(7) {
            house.org.put(&secret, Zeroizing::new(good[..cut].to_vec()));
            assert!(matches!(Desk::open(&mut house.org), Err(DeskError::Damaged(_))));
        }
        house.org.put(&secret, good);
    }
    assert!(Desk::open(&mut house.org).is_ok());
}

#[test]
fn it_works_on_a_vault_and_the_root_key_is_in_none() {
    let folder = tempfile::tempdir().unwrap();
    let unlock = || Unlock::KeyFile(Zeroizing::new([3; 32]));
    let path = |file: &str| folder.path().join(file);
    let mut org = Vault::create(&path("org"), &unlock()).unwrap();
    let mut own = Vault::create(&path("own"), &unlock()).unwrap();
    let founded = desk::create(&mut org, &mut own, &founding("St Anna"), NOW).unwrap();
    drop((org, own));
    let mut org = Vault::open(&path("org"), &unlock()).unwrap();
    let own = Vault::open(&path("own"), &unlock()).unwrap();
    let seed = bip39::Mnemonic::parse(&founded.root_words[..])
        .unwrap()
        .to_entropy();
    for (vault, secret) in [(&org, "org/register"), (&org, "org/invites"), (&own, IDENTITY)] {
        let bytes = Safe::get(vault, secret).unwrap();
        assert!(!bytes.windows(32).any(|w| w == seed));
    }
    let file = IdentityFile::load(&own).unwrap().unwrap();
    let mut desk = Desk::open(&mut org).unwrap();
    let invite = desk.invite(&offer(&[Role::Nurse]), NOW).unwrap();
    let mut new = Vault::create(&path("new"), &unlock()).unwrap();
    let asked = join::request(&mut new, &invite, name("Jana N"), None, NOW).unwrap();
    drop(new);
    let approved = desk.approve(&asked.request, &[card_of(&file)], NOW).unwrap();
    let mut new = Vault::open(&path("new"), &unlock()).unwrap();
    assert!(join::accept(&mut new, &approved.grant, NOW).is_ok());
    drop(new);
    let new = Vault::open(&path("new"), &unlock()).unwrap();
    assert!(IdentityFile::load(&new).unwrap().is_some());
}

#[test]
fn texts_survive_hands_and_say_what_is_wrong() {
    let mut house = house("St Anna");
    let bytes = house.invite(&[Role::Nurse]).encode().unwrap();
    let text = text::write(Form::Invite, &bytes);
    assert!(text.starts_with("AM1:") && text.is_ascii());
    let by_hand: String = text
        .to_ascii_lowercase()
        .as_bytes()
        .chunks(40)
        .map(|line| format!(" {}\r\n", std::str::from_utf8(line).unwrap()))
        .collect();
    assert_eq!(text::read(Form::Invite, &by_hand).unwrap(), bytes);
    let (wanted, found) = (Form::Request, Form::Invite);
    assert_eq!(
        text::read(wanted, &text).unwrap_err(),
        TextError::Another { wanted, found }
    );
    assert_eq!(
        text::read(found, "hello").unwrap_err(),
        TextError::NotOurs { wanted: found }
    );
    assert_eq!(
        text::read(found, &text.replacen("AM1:A", "AM1:1", 1)).unwrap_err(),
        TextError::Mistyped(4)
    );
    let long = "A".repeat(2500);
    assert_eq!(text::read(found, &long).unwrap_err(), TextError::TooLong(found));
    let over = text::write(Form::Invite, &[0; 601]);
    assert_eq!(text::read(found, &over).unwrap_err(), TextError::TooLong(found));
    for i in 4..text.len() {
        let mut bad = text.clone().into_bytes();
        bad[i] = if bad[i] == b'A' { b'B' } else { b'A' };
        let read = text::read(Form::Invite, std::str::from_utf8(&bad).unwrap());
        assert!(read.is_err() || Invite::decode(&read.unwrap()).is_err(), "{i}");
    }
}

#[test]
fn the_largest_invite_fits_a_qr_code() {
    let text = text::write(Form::Invite, &[0x5a; 600]);
    let drawn = text::qr_terminal(&text).unwrap();
    let widths: Vec<_> = drawn.lines().map(|line| line.chars().count()).collect();
    assert!(
        widths.iter().all(|w| *w == widths[0]) && widths[0] <= 125,
        "{widths:?}"
    );
    // a light quiet zone on a dark terminal: the first line is all blocks
    assert!(drawn.lines().next().unwrap().chars().all(|c| c == '█'));
    let svg = text::qr_svg(&text).unwrap();
    assert!(svg.contains("<svg") && svg.contains("#ffffff"));
    assert_eq!(
        text::qr_terminal(&"A".repeat(5000)).unwrap_err(),
        TextError::TooLongForQr
    );
}

#[test]
fn secret_files_are_for_their_owner_and_never_replace_one() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("invite.txt");
    let text = text::write(Form::Invite, &[7; 300]);
    text::write_file(&path, &text, true).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = text::write_file(&path, &text, true);
    assert_eq!(
        again.unwrap_err(),
        TextError::File(std::io::ErrorKind::AlreadyExists)
    );
    assert_eq!(text::read_file(Form::Invite, &path).unwrap(), [7; 300]);
    let missing = text::read_file(Form::Invite, &folder.path().join("no"));
    assert_eq!(
        missing.unwrap_err(),
        TextError::File(std::io::ErrorKind::NotFound)
    );
    let noise = folder.path().join("noise");
    std::fs::write(&noise, [0xff; 5000]).unwrap();
    assert!(text::read_file(Form::Invite, &noise).is_err());
}

#[test]
fn words_are_those_of_bip39() {
    assert_eq!(
        text::words([0, 1, 2, 3, 2046, 2047]),
        ["abandon", "ability", "able", "about", "zone", "zoo"]
    );
}

#[test]
fn secrets_and_names_are_not_printed() {
    let mut house = house("St Anna");
    let mut own = Drawer::default();
    let asked = ask(&mut own, &house.invite(&[Role::Nurse]), "Jana N");
    let approved = house.approve(&asked.request).unwrap();
    let file = join::accept(&mut own, &approved.grant, NOW).unwrap();
    let printed = format!("{asked:?} {file:?} {:?} {:?}", house.desk(), approved.asking);
    let seed = |keys: &aidmesh_core::crypto::KeyPair| format!("{:?}", keys.seed());
    assert!(!printed.contains("Jana") && !printed.contains("Ines"));
    let founded = desk::create(
        &mut Drawer::default(),
        &mut Drawer::default(),
        &founding("X"),
        NOW,
    )
    .unwrap();
    assert!(!format!("{founded:?}").contains(founded.root_words.split(' ').next().unwrap()));
    for secret in [seed(&file.keys.device), seed(&file.keys.routing)] {
        assert!(!printed.contains(secret.trim_start_matches("Zeroizing(").trim_end_matches(')')));
    }
    assert!(!printed.contains(&format!("{:?}", file.keys.seal.0)));
}
