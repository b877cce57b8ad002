use super::*;
use crate::crypto::KeyPair;
use crate::golden;
use crate::id::Person;
use crate::store::{Engine, Memory};

const DAY: u32 = 24 * 60;
const WINDOW: Window = Window {
    not_before_min: 1_000 * DAY,
    not_after_min: 1_030 * DAY,
};

fn keys(n: u8) -> KeyPair {
    KeyPair::from_seed(&[n; 32])
}

fn wall(day: u64) -> Wall {
    Wall(day * 24 * 3_600_000)
}

fn card(root: u8) -> RootCard {
    RootCard::new(&keys(root), Name::new("St Anna hospital").unwrap())
}

fn admin(root: u8, key: u8, powers: u8) -> AdminCert {
    let cert = AdminCert {
        org: card(root).org(),
        serial: 1,
        admin_key: keys(key).public(),
        powers,
        window: Window {
            not_before_min: 900 * DAY,
            not_after_min: 1_200 * DAY,
        },
        sig: [0; 64],
    };
    cert.signed_by(&keys(root))
}

fn device(root: u8, issuer: u8, key: u8) -> DeviceCert {
    let cert = DeviceCert {
        org: card(root).org(),
        serial: 7,
        device_key: keys(key).public(),
        seal_key: [3; 32],
        inbox_key: keys(key + 100).public(),
        person: Person([4; 8]),
        roles: Roles::of(&[Role::Paramedic, Role::Responder]),
        window: WINDOW,
        issuer: Key8([0; 8]),
        name: Name::new("Jana N, RTW 3").unwrap(),
        sig: [0; 64],
    };
    cert.signed_by(&keys(issuer))
}

fn routing(root: u8, issuer: u8, key: u8) -> RoutingCert {
    let cert = RoutingCert {
        org: card(root).org(),
        serial: 8,
        routing_key: keys(key).public(),
        quota: 1,
        window: WINDOW,
        issuer: Key8([0; 8]),
        sig: [0; 64],
    };
    cert.signed_by(&keys(issuer))
}

fn revocation(root: u8, issuer: u8, what: What, key: u8) -> Revocation {
    let revocation = Revocation {
        org: card(root).org(),
        key: Key8::of_key(&keys(key).public()),
        what,
        serial_floor: 9,
        issuer: Key8([0; 8]),
        seq: 1,
        sig: [0; 64],
    };
    revocation.signed_by(&keys(issuer))
}

/// Own organisation 1 with administrators 11 (enrol) and 12 (revoke), foreign organisation 2 with 21.
fn directory(batch: &mut Batch) -> Directory {
    let mut dir = Directory::new();
    assert_eq!(dir.trust(&card(1).encode(), true, batch), Learned::New);
    assert_eq!(dir.trust(&card(2).encode(), false, batch), Learned::New);
    for cert in [admin(1, 11, 1), admin(1, 12, 2), admin(2, 21, 31)] {
        assert_eq!(dir.learn_admin(&cert.encode(), batch), Learned::New);
    }
    dir
}

#[test]
fn layouts_have_not_changed() {
    golden::check("cert_device", &[("cert_device", device(1, 11, 30).encode())]);
    golden::check("cert_routing", &[("cert_routing", routing(1, 11, 31).encode())]);
    golden::check("cert_admin", &[("cert_admin", admin(1, 11, 1).encode())]);
    golden::check(
        "cert_revocation",
        &[("cert_revocation", revocation(1, 12, What::Device, 30).encode())],
    );
    golden::check("cert_root", &[("cert_root", card(1).encode())]);
    assert_eq!(routing(1, 11, 31).encode().len(), 127);
    assert_eq!(admin(1, 11, 1).encode().len(), 119);
    assert_eq!(revocation(1, 12, What::Device, 30).encode().len(), 99);
    assert_eq!(
        DeviceCert::decode(&device(1, 11, 30).encode()),
        Ok(device(1, 11, 30))
    );
}

#[test]
fn a_lease_is_reported_and_never_refused() {
    let dir = directory(&mut Batch::new());
    let lease = |day| dir.verify_device(&device(1, 11, 30), wall(day)).unwrap().lease;
    assert_eq!(lease(999), Lease::NotYet);
    assert_eq!(lease(1_000), Lease::Valid);
    assert_eq!(lease(1_030), Lease::Valid);
    assert_eq!(lease(1_031), Lease::ExpiredDays(1));
    assert_eq!(
        lease(u64::from(u32::MAX)),
        Lease::ExpiredDays((u32::MAX - 1_030 * DAY) / DAY)
    );
}

#[test]
fn a_trusted_foreign_organisation_is_allowed_and_reported() {
    let dir = directory(&mut Batch::new());
    let standing = |cert| dir.verify_device(&cert, wall(1_001));
    assert!(standing(device(2, 21, 30)).unwrap().foreign);
    assert!(!standing(device(1, 11, 30)).unwrap().foreign);
    assert_eq!(
        standing(device(3, 21, 30)),
        Err(CertError::UnknownOrg(card(3).org()))
    );
}

#[test]
fn each_wrong_issuer_has_its_reason() {
    let mut dir = directory(&mut Batch::new());
    let name = |n: u8| Key8::of_key(&keys(n).public());
    let why = |dir: &Directory, cert: DeviceCert| dir.verify_device(&cert, wall(1_001)).unwrap_err();
    assert_eq!(why(&dir, device(1, 12, 30)), CertError::NoPower(name(12)));
    assert_eq!(why(&dir, device(1, 13, 30)), CertError::UnknownIssuer(name(13)));
    assert_eq!(why(&dir, device(1, 21, 30)), CertError::UnknownIssuer(name(21)));
    let mut forged = device(1, 13, 30);
    forged.issuer = name(11);
    assert_eq!(why(&dir, forged), CertError::BadSignature);
    let mut late = device(1, 11, 30);
    late.window.not_before_min = 1_201 * DAY;
    late.window.not_after_min = 1_202 * DAY;
    assert_eq!(
        why(&dir, late.signed_by(&keys(11))),
        CertError::OutsideIssuerWindow(name(11))
    );
    let mut batch = Batch::new();
    let bytes = revocation(1, 12, What::Admin, 11).encode();
    assert_eq!(dir.learn_revocation(&bytes, &mut batch), Learned::New);
    assert_eq!(why(&dir, device(1, 11, 30)), CertError::RevokedIssuer(name(11)));
    assert_eq!(dir.chain(&device(1, 11, 30)), Ok(()));
    assert!(!dir.admin_may(card(1).org(), name(11), Power::Enrol, wall(1_001)));
    assert!(dir.admin_may(card(1).org(), name(12), Power::Revoke, wall(1_001)));
    assert!(!dir.admin_may(card(1).org(), name(12), Power::Revoke, wall(1_201)));
}

#[test]
fn revocations_are_final_and_need_the_power() {
    let mut batch = Batch::new();
    let mut dir = directory(&mut batch);
    let mut learn = |r: Revocation| dir.learn_revocation(&r.encode(), &mut batch);
    let name = |n: u8| Key8::of_key(&keys(n).public());
    assert_eq!(
        learn(revocation(1, 11, What::Device, 30)),
        Learned::Refused(CertError::NoPower(name(11)))
    );
    let foreign = Learned::Refused(CertError::UnknownIssuer(name(21)));
    assert_eq!(learn(revocation(1, 21, What::Device, 30)), foreign);
    assert_eq!(
        learn(revocation(1, 12, What::Admin, 1)),
        Learned::Refused(CertError::RootIsFinal)
    );
    assert_eq!(learn(revocation(1, 12, What::Device, 30)), Learned::New);
    assert_eq!(learn(revocation(1, 1, What::Device, 30)), Learned::Known);
    assert_eq!(learn(revocation(1, 1, What::Admin, 12)), Learned::New);
    assert_eq!(dir.revocations().count(), 2);
    let found = dir.verify_device(&device(1, 11, 30), wall(1_001));
    assert_eq!(found, Err(CertError::Revoked(name(30))));
    let renewed = dir.learn_device(&device(1, 11, 30).encode(), &mut Batch::new());
    assert_eq!(renewed, Learned::Refused(CertError::Revoked(name(30))));
    let again = dir.learn_admin(&admin(1, 12, 2).encode(), &mut Batch::new());
    assert_eq!(again, Learned::Refused(CertError::Revoked(name(12))));
}

#[test]
fn the_directory_comes_back_from_its_rows() {
    let mut batch = Batch::new();
    let mut dir = directory(&mut batch);
    assert_eq!(
        dir.learn_device(&device(1, 11, 30).encode(), &mut batch),
        Learned::New
    );
    let mut renewed = device(1, 11, 30);
    renewed.serial += 1;
    let renewed = renewed.signed_by(&keys(11));
    assert_eq!(dir.learn_device(&renewed.encode(), &mut batch), Learned::New);
    assert_eq!(
        dir.learn_device(&device(1, 11, 30).encode(), &mut batch),
        Learned::Known
    );
    assert_eq!(
        dir.learn_device(&device(2, 21, 31).encode(), &mut batch),
        Learned::New
    );
    assert_eq!(
        dir.learn_routing(&routing(1, 11, 32).encode(), &mut batch),
        Learned::New
    );
    let revoked = revocation(2, 21, What::Device, 31);
    assert_eq!(dir.learn_revocation(&revoked.encode(), &mut batch), Learned::New);
    let mut store = Memory::new();
    store.apply(&batch).unwrap();
    assert_eq!(Directory::load(&store), Ok(dir.clone()));
    assert_eq!(dir.device(renewed.dev()), Some(&renewed));

    let mut batch = Batch::new();
    assert!(dir.distrust(card(2).org(), &mut batch) && !dir.distrust(card(1).org(), &mut batch));
    store.apply(&batch).unwrap();
    assert_eq!(Directory::load(&store), Ok(dir.clone()));
    assert_eq!((dir.devices().count(), dir.revocations().count()), (1, 1));

    let mut damaged = Batch::new();
    damaged.put(table::directory(TAG_ROUTING, &[9]), device(1, 11, 30).encode());
    store.apply(&damaged).unwrap();
    assert!(matches!(
        Directory::load(&store),
        Err(LoadError::Row {
            kind: TAG_ROUTING,
            ..
        })
    ));
}

#[test]
fn mutated_bytes_are_never_believed() {
    let mut dir = directory(&mut Batch::new());
    let before = dir.clone();
    let mut batch = Batch::new();
    let refused = |learned| matches!(learned, Learned::Refused(_));
    golden::mutate(&device(1, 11, 30).encode(), 2000, |bad| {
        assert!(refused(dir.learn_device(bad, &mut batch)));
    });
    golden::mutate(&routing(1, 11, 30).encode(), 2000, |bad| {
        assert!(refused(dir.learn_routing(bad, &mut batch)));
    });
    golden::mutate(&admin(1, 14, 1).encode(), 2000, |bad| {
        assert!(refused(dir.learn_admin(bad, &mut batch)));
    });
    golden::mutate(&revocation(1, 12, What::Device, 30).encode(), 2000, |bad| {
        assert!(refused(dir.learn_revocation(bad, &mut batch)));
    });
    golden::mutate(&card(3).encode(), 2000, |bad| {
        assert!(refused(dir.trust(bad, false, &mut batch)));
    });
    assert_eq!((dir, batch.len()), (before, 0));
}

#[test]
fn the_role_table_says_what_the_page_says() {
    use Role::*;
    use ThreadKind::*;
    for role in Role::ALL {
        assert_eq!(Role::from_u8(role.to_u8()), Ok(role));
    }
    assert!(Role::from_u8(0).is_err() && Role::from_u8(12).is_err());
    assert_eq!(tier(Physician, Patient, true, false), Some(1));
    assert_eq!(tier(Physician, Patient, false, false), Some(2));
    assert_eq!(tier(IncidentCommander, Incident, true, false), Some(1));
    assert_eq!(tier(Paramedic, Patient, false, true), Some(1));
    assert_eq!(tier(Responder, Hotline, true, false), Some(3));
    assert_eq!(tier(Auditor, Patient, true, true), None);
    assert!(may_add(Paramedic, Patient, Cardiologist) && may_add(Paramedic, Patient, Gateway));
    assert!(!may_add(Paramedic, Patient, Dispatcher) && !may_add(Responder, Patient, Physician));
    assert!(may_add(Dispatcher, Incident, Responder) && !may_add(Physician, Patient, Relay));
    assert!(!may_add(ItAdmin, Patient, Responder));
    let party = |role, kind| Party {
        role,
        tier: tier(role, kind, true, false).unwrap(),
    };
    let may = |a, b, kind, grounds| may_remove(party(a, kind), kind, party(b, kind), grounds);
    let none = Grounds::default();
    assert!(may(Physician, Cardiologist, Patient, none));
    assert!(!may(Paramedic, Nurse, Patient, none) && may(Paramedic, Responder, Patient, none));
    assert!(may(IncidentCommander, Responder, Patient, none));
    assert!(!may(IncidentCommander, Dispatcher, Patient, none));
    assert!(may(IncidentCommander, Dispatcher, Incident, none));
    assert!(!may(Physician, IncidentCommander, Incident, none));
    let own_add = Grounds {
        own_add: true,
        ..none
    };
    assert!(may(Dispatcher, Paramedic, Incident, own_add) && !may(Dispatcher, Paramedic, Incident, none));
    assert!(!may(Responder, Gateway, Patient, own_add));
    let revoked = Grounds {
        revoked: true,
        ..none
    };
    assert!(may(Responder, Physician, Patient, revoked));
    assert_eq!(may_recall(Gateway), Recall::Nothing);
    assert_eq!(may_recall(Cardiologist), Recall::AnyClinical);
}
