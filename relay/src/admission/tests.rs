use super::*;
use crate::cast::{NOW, Organisation, around, key};
use aidmesh_core::crypto::KeyPair;
use aidmesh_core::directory::{AdminCert, Power, What, Window};

struct Door {
    north: Organisation,
    door: Admission,
    directory: Directory,
}

/// A relay that serves North and was given its root card, nothing else. South is trusted by the machine
/// since an earlier time, and no longer served.
fn door(limits: Limits) -> Door {
    let (north, south) = (Organisation::new("North", 1), Organisation::new("South", 2));
    let mut directory = Directory::new();
    for organisation in [&north, &south] {
        directory.trust(&organisation.card.encode(), false, &mut Batch::new());
    }
    let east = Org([7; 8]);
    let door = Admission::new([north.org(), east].into(), limits, &directory);
    Door {
        north,
        door,
        directory,
    }
}

impl Door {
    fn ask(&self, device: &KeyPair) -> Result<Admitted, Refusal> {
        let cert = self.north.routing(device, around(30));
        self.show(device, &cert, &self.north.admin_cert.encode())
    }

    fn show(&self, device: &KeyPair, cert: &[u8], admin: &[u8]) -> Result<Admitted, Refusal> {
        self.door.judge(device.public(), cert, admin, NOW)
    }

    fn refusal(&self, device: &KeyPair, cert: &[u8], admin: &[u8]) -> Option<Refusal> {
        self.show(device, cert, admin).err()
    }
}

#[test]
fn a_certified_device_is_let_in_and_its_administrator_is_learned_once() {
    let door = door(Limits::default());
    let first = door.ask(&key(3)).unwrap();
    assert_eq!(first.org, door.north.org());
    assert_eq!(first.new_admin, Some(door.north.admin_cert.encode().to_vec()));
    assert_eq!(door.ask(&key(4)).unwrap().new_admin, None);
    // known by now: its certificate need not be shown
    let cert = door.north.routing(&key(5), around(30));
    assert!(door.show(&key(5), &cert, &[]).is_ok());
    assert_eq!(door.door.counts().admitted, 3);
}

#[test]
fn strangers_are_refused_with_the_reason_and_teach_nothing() {
    let door = door(Limits::default());
    let (north, south, device) = (&door.north, Organisation::new("South", 2), key(3));
    let (cert, admin) = (north.routing(&device, around(30)), north.admin_cert.encode());
    let other = north.routing(&key(4), around(30));
    let foreign = south.routing(&device, around(30));
    let mut forged = cert.clone();
    *forged.last_mut().unwrap() ^= 1;
    let self_made = AdminCert {
        admin_key: south.admin.public(),
        ..north.admin_cert.clone()
    };
    let self_made = self_made.signed_by(&south.root).encode();
    let powerless = AdminCert {
        powers: Power::Revoke as u8,
        ..north.admin_cert.clone()
    };
    let powerless = powerless.signed_by(&north.root).encode();
    let cases: [(&[u8], &[u8], Refusal); 8] = [
        (&[], &admin, Refusal::NoCertificate),
        (&cert[1..], &admin, Refusal::NoCertificate),
        (&other, &admin, Refusal::OtherKey),
        (&foreign, &south.admin_cert.encode(), Refusal::NotServed),
        (&cert, &[], Refusal::UnknownAdministrator),
        (&cert, &self_made, Refusal::UnknownAdministrator),
        (&cert, &powerless, Refusal::NotAllowed),
        (&forged, &admin, Refusal::BadSignature),
    ];
    for (cert, admin, why) in cases {
        assert_eq!(door.refusal(&device, cert, admin), Some(why));
    }
    // none of these administrators was remembered
    assert_eq!(
        door.refusal(&device, &cert, &[]),
        Some(Refusal::UnknownAdministrator)
    );
    let counts = door.door.counts();
    assert_eq!((counts.admitted, counts.refused.values().sum::<u64>()), (0, 9));
    assert_eq!(counts.refused[&Refusal::UnknownAdministrator], 3);
}

#[test]
fn whoever_is_revoked_is_refused_from_then_on() {
    let mut door = door(Limits::default());
    let (device, other) = (key(3), key(4));
    assert!(door.ask(&device).is_ok() && door.ask(&other).is_ok());
    let admin = door.north.admin_cert.encode();
    door.directory.learn_admin(&admin, &mut Batch::new());
    let revocation = door.north.revoke(What::Routing, device.public());
    door.directory.learn_revocation(&revocation, &mut Batch::new());
    // whoever is here is found out, once
    assert_eq!(door.door.renew(&door.directory, NOW), [device.public()]);
    assert!(door.door.renew(&door.directory, NOW).is_empty());
    assert_eq!(door.ask(&device).unwrap_err(), Refusal::Revoked);
    assert!(door.ask(&other).is_ok());
    let revocation = door.north.revoke(What::Admin, door.north.admin.public());
    door.directory.learn_revocation(&revocation, &mut Batch::new());
    assert_eq!(door.door.renew(&door.directory, NOW), [other.public()]);
    assert_eq!(door.ask(&other).unwrap_err(), Refusal::RevokedAdministrator);
}

#[test]
fn an_ended_lease_is_counted_and_let_in() {
    let door = door(Limits::default());
    let ended = Window {
        not_before_min: around(30).not_before_min,
        not_after_min: around(1).not_before_min,
    };
    let cert = door.north.routing(&key(3), ended);
    assert!(door.show(&key(3), &cert, &door.north.admin_cert.encode()).is_ok());
    assert_eq!(door.door.counts().lease_ended, 1);
}

#[test]
fn one_organisation_of_several_leaves_room_for_the_others() {
    let door = door(Limits { devices_per_org: 2 });
    assert!(door.ask(&key(3)).is_ok() && door.ask(&key(4)).is_ok());
    assert_eq!(door.ask(&key(5)).unwrap_err(), Refusal::FullOrganisation);
    // who is here may come anew, on another path
    assert!(door.ask(&key(4)).is_ok());
    // a device counts from the moment it is let in, and as long as the machine has its link
    let here = |n: u8| Key8::of_key(&key(n).public());
    door.door.refresh(&[here(3)]);
    assert_eq!(door.ask(&key(5)).unwrap_err(), Refusal::FullOrganisation);
    for device in door.door.lock().present.values_mut() {
        device.since -= COMING;
    }
    door.door.refresh(&[here(3)]);
    assert!(door.ask(&key(5)).is_ok());
    assert_eq!(door.ask(&key(4)).unwrap_err(), Refusal::FullOrganisation);
}

#[test]
fn the_only_organisation_may_have_all_the_room() {
    let north = Organisation::new("North", 1);
    let mut directory = Directory::new();
    directory.trust(&north.card.encode(), false, &mut Batch::new());
    let door = Admission::new([north.org()].into(), Limits { devices_per_org: 1 }, &directory);
    for n in 3..9 {
        let cert = north.routing(&key(n), around(30));
        let admin = north.admin_cert.encode();
        assert!(door.judge(key(n).public(), &cert, &admin, NOW).is_ok());
    }
}

#[test]
fn a_closed_door_lets_nobody_in() {
    let door = door(Limits::default());
    door.door.close();
    assert_eq!(door.ask(&key(3)).unwrap_err(), Refusal::Closed);
}

#[test]
fn reasons_have_labels_of_their_own() {
    let labels: BTreeSet<&str> = Refusal::ALL.iter().map(|why| why.label()).collect();
    assert_eq!(labels.len(), Refusal::ALL.len());
}
