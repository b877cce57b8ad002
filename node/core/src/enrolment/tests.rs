use super::*;
use crate::crypto::KeyPair;
use crate::directory::{CertError, DeviceCert, Name, Power, Role, Roles, RootCard, RoutingCert, Window};
use crate::golden;
use crate::id::{Key8, Org};
use crate::machine::command::Card;

const DAY: u32 = 24 * 60;
const NOW: u32 = 1_000 * DAY;

fn keys(n: u8) -> KeyPair {
    KeyPair::from_seed(&[n; 32])
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn root_card(root: u8) -> RootCard {
    RootCard::new(&keys(root), name("St Anna hospital"))
}

fn admin(root: u8, key: u8, powers: u8) -> AdminCert {
    let cert = AdminCert {
        org: Org::of_root(&keys(root).public()),
        serial: 1,
        admin_key: keys(key).public(),
        powers,
        window: Window {
            not_before_min: NOW - 100 * DAY,
            not_after_min: NOW + 200 * DAY,
        },
        sig: [0; 64],
    };
    cert.signed_by(&keys(root))
}

fn place(n: u8) -> Place {
    Place::new(&format!("relay-{n}.st-anna.example:4433"), keys(n).public()).unwrap()
}

fn invite(secret: u8) -> Invite {
    Invite {
        root_key: keys(1).public(),
        admin: admin(1, 11, Power::Enrol as u8),
        secret: InviteSecret([secret; 16]),
        not_after_min: NOW + 60,
        roles: Roles::of(&[Role::Paramedic, Role::Responder]),
        desk: Some(place(70)),
        relays: vec![place(71), place(72)],
    }
}

/// Device 30 + n asks.
fn request(n: u8, invite: &Invite) -> Request {
    let (inbox, routing) = (keys(50 + n).public(), keys(60 + n).public());
    let asks = (Roles::of(&[Role::Paramedic]), name("Jana N"));
    Request::new(
        &keys(30 + n),
        ([n; 32], inbox, routing),
        asks,
        &InviteKey::of(&invite.secret),
    )
}

fn grant(request: &Request, root: u8, issuer: u8) -> Grant {
    let (org, issuer) = (Org::of_root(&keys(root).public()), keys(issuer));
    let window = Window {
        not_before_min: NOW - 60,
        not_after_min: NOW + 30 * DAY,
    };
    let device = |device_key, seal_key, inbox_key, roles, name: &Name| {
        let cert = DeviceCert {
            org,
            serial: 4,
            device_key,
            seal_key,
            inbox_key,
            person: person_of(org, name),
            roles,
            window,
            issuer: Key8([0; 8]),
            name: name.clone(),
            sig: [0; 64],
        };
        cert.signed_by(&issuer)
    };
    let routing = RoutingCert {
        org,
        serial: 5,
        routing_key: request.routing_key,
        quota: 1,
        window,
        issuer: Key8([0; 8]),
        sig: [0; 64],
    };
    let desk = device(
        [7; 32],
        [8; 32],
        [9; 32],
        Roles::of(&[Role::ItAdmin]),
        &name("IT"),
    );
    Grant {
        request: request.hash(),
        device: device(
            request.device_key,
            request.seal_key,
            request.inbox_key,
            request.roles,
            &request.name,
        ),
        routing: routing.signed_by(&issuer),
        root: root_card(root),
        admins: vec![admin(root, 11, Power::Enrol as u8)],
        relays: vec![place(71)],
        partners: vec![org_card(2)],
        cards: vec![Card {
            device_cert: desk.encode(),
            key_package: Bytes::from_static(&[5; 40]),
        }],
    }
}

fn org_card(root: u8) -> OrgCard {
    OrgCard {
        root: root_card(root),
        admins: vec![admin(root, root + 10, 3), admin(root, root + 20, 2)],
    }
}

fn book(invites: &[&Invite]) -> Invites {
    let mut book = Invites::new();
    for invite in invites {
        book.issue(invite, NOW).unwrap();
    }
    book
}

#[test]
fn layouts_have_not_changed() {
    let (invite, request) = (invite(9), request(1, &invite(9)));
    let grant = grant(&request, 1, 11);
    let mut used = book(&[&invite, &self::invite(8)]);
    let asked = used.judge(&request.encode(), NOW).unwrap();
    let key = used.use_up(&asked).unwrap();
    let renewal = Renewal {
        device: grant.device.clone(),
        routing: grant.routing.clone(),
        admins: grant.admins.clone(),
    };
    let words: Vec<u8> = asked.words.iter().flat_map(|w| w.to_le_bytes()).collect();
    golden::check(
        "enrolment",
        &[
            ("invite", invite.encode().unwrap().to_vec()),
            ("request", request.encode().to_vec()),
            ("words", words),
            ("grant", grant.seal(&key).unwrap().to_vec()),
            ("renewal", renewal.encode().unwrap().to_vec()),
            ("org-card", org_card(1).encode().unwrap().to_vec()),
            ("book", used.encode().to_vec()),
        ],
    );
    assert_eq!(Invite::decode(&invite.encode().unwrap()), Ok(invite.clone()));
    assert_eq!(Request::decode(&request.encode()), Ok(request.clone()));
    assert_eq!(Renewal::decode(&renewal.encode().unwrap()), Ok(renewal));
    assert_eq!(OrgCard::decode(&org_card(1).encode().unwrap()), Ok(org_card(1)));
    assert_eq!(Invites::decode(&used.encode()), Ok(used));
    assert_eq!(
        Grant::open(&grant.seal(&key).unwrap(), &invite, &request, NOW),
        Ok(grant)
    );
}

#[test]
fn the_six_words_are_the_first_66_bits_of_the_hash() {
    let request = request(1, &invite(9)).encode();
    let bits: String = blake3::hash(&request).as_bytes()[..9]
        .iter()
        .map(|b| format!("{b:08b}"))
        .collect();
    for (i, word) in six_words(&request).into_iter().enumerate() {
        assert_eq!(format!("{word:011b}"), bits[11 * i..11 * (i + 1)]);
    }
    let other = self::request(2, &invite(9)).encode();
    assert_ne!(six_words(&request), six_words(&other));
}

#[test]
fn an_invite_is_used_once() {
    let (one, two) = (invite(9), invite(8));
    let mut book = book(&[&one, &two]);
    let (first, second) = (request(1, &one), request(2, &one));
    let asked = book.judge(&first.encode(), NOW).unwrap();
    let also = book.judge(&second.encode(), NOW).unwrap();
    assert_eq!((asked.words, book.open(NOW)), (six_words(&first.encode()), 2));
    assert!(book.use_up(&asked).is_ok());
    let used = |same| RequestError::Used { same };
    assert_eq!(book.use_up(&asked).unwrap_err(), used(true));
    assert_eq!(book.use_up(&also).unwrap_err(), used(false));
    let mut book = Invites::decode(&book.encode()).unwrap();
    assert_eq!(book.judge(&first.encode(), NOW).unwrap_err(), used(true));
    assert_eq!(book.judge(&second.encode(), NOW).unwrap_err(), used(false));
    let fresh = book.judge(&request(2, &two).encode(), NOW).unwrap();
    assert!(book.use_up(&fresh).is_ok());
    assert_eq!(book.open(NOW), 0);
}

#[test]
fn each_wrong_request_has_its_reason() {
    let invite = invite(9);
    let book = book(&[&invite]);
    let why = |request: &Request, now| book.judge(&request.encode(), now).unwrap_err();
    assert_eq!(why(&request(1, &self::invite(7)), NOW), RequestError::Unknown);
    assert_eq!(why(&request(1, &invite), NOW + 61), RequestError::Ended(1));
    assert!(book.judge(&request(1, &invite).encode(), NOW + 60).is_ok());
    let asks = |roles: &[Role]| {
        let keys = ([1; 32], [2; 32], [3; 32]);
        let asks = (Roles::of(roles), name("Jana N"));
        Request::new(&self::keys(31), keys, asks, &InviteKey::of(&invite.secret))
    };
    assert_eq!(why(&asks(&[Role::Physician]), NOW), RequestError::Roles);
    assert_eq!(
        why(&asks(&[]), NOW),
        RequestError::Malformed(Malformed("request for no role"))
    );
    let mut stolen = request(1, &invite);
    stolen.device_key = keys(99).public();
    assert_eq!(why(&stolen, NOW), RequestError::BadSignature);
    let mut doubled = request(1, &invite);
    doubled.routing_key = doubled.inbox_key;
    assert_eq!(
        why(&doubled, NOW),
        RequestError::Malformed(Malformed("one key for two uses"))
    );
}

#[test]
fn the_book_is_bounded_and_forgets_what_ended_long_ago() {
    let mut book = Invites::new();
    for n in 0..limits::INVITES {
        let mut invite = invite(0);
        invite.secret.0[..8].copy_from_slice(&(n as u64).to_le_bytes());
        assert_eq!(book.issue(&invite, NOW), Ok(()));
    }
    assert_eq!(book.issue(&invite(9), NOW), Err(RequestError::Full));
    assert_eq!(Invites::decode(&book.encode()), Ok(book.clone()));
    let later = NOW + 61 + limits::INVITE_KEPT_MINUTES;
    assert_eq!(book.issue(&invite(9), later), Ok(()));
    let mut one = Invites::new();
    one.issue(&invite(9), later).unwrap();
    assert_eq!(book, one);
}

#[test]
fn a_grant_holds_for_its_request_and_its_organisation_only() {
    let invite = invite(9);
    let (key, request) = (InviteKey::of(&invite.secret), request(1, &invite));
    let open = |grant: &Grant| Grant::open(&grant.seal(&key).unwrap(), &invite, &request, NOW);
    let good = grant(&request, 1, 11);
    assert_eq!(open(&good), Ok(good.clone()));

    let sealed = good.seal(&InviteKey::of(&InviteSecret([8; 16]))).unwrap();
    assert_eq!(
        Grant::open(&sealed, &invite, &request, NOW),
        Err(GrantError::WrongSeal)
    );
    let other = grant(&self::request(2, &invite), 1, 11);
    assert_eq!(open(&other), Err(GrantError::OtherRequest));
    assert_eq!(open(&grant(&request, 2, 11)), Err(GrantError::OtherOrganisation));
    let issuer = Key8::of_key(&keys(12).public());
    assert_eq!(
        open(&grant(&request, 1, 12)),
        Err(GrantError::Cert(CertError::UnknownIssuer(issuer)))
    );
    let late = Grant::open(&good.seal(&key).unwrap(), &invite, &request, NOW + 31 * DAY);
    assert_eq!(late, Err(GrantError::Ended));
}

#[test]
fn a_grant_that_says_something_else_than_was_asked_is_refused() {
    let invite = invite(9);
    let (key, request) = (InviteKey::of(&invite.secret), request(1, &invite));
    let open = |change: &dyn Fn(&mut Grant)| {
        let mut grant = grant(&request, 1, 11);
        change(&mut grant);
        grant.device = grant.device.signed_by(&keys(11));
        grant.routing = grant.routing.signed_by(&keys(11));
        Grant::open(&grant.seal(&key).unwrap(), &invite, &request, NOW).unwrap_err()
    };
    let differs = |what| GrantError::Differs(what);
    assert_eq!(open(&|g| g.device.seal_key = [77; 32]), differs("keys"));
    assert_eq!(open(&|g| g.routing.routing_key = [77; 32]), differs("keys"));
    assert_eq!(open(&|g| g.device.name = name("Jana O")), differs("name"));
    assert_eq!(
        open(&|g| g.device.roles = Roles::of(&[Role::Physician])),
        differs("roles")
    );
    assert_eq!(
        open(&|g| g.admins = vec![admin(1, 11, Power::Revoke as u8)]),
        GrantError::Cert(CertError::NoPower(Key8::of_key(&keys(11).public())))
    );
    let stranger = grant(&self::request(2, &invite), 2, 11).cards;
    assert!(matches!(
        open(&|g| g.cards = stranger.clone()),
        GrantError::Cert(CertError::UnknownOrg(_))
    ));
}

#[test]
fn an_invite_that_is_too_long_or_names_a_wrong_administrator_has_no_encoding() {
    let refused = |change: &dyn Fn(&mut Invite)| {
        let mut invite = invite(9);
        change(&mut invite);
        invite.encode().unwrap_err().0
    };
    let long = Place::new(&format!("{}:4433", "x".repeat(59)), [1; 32]).unwrap();
    assert_eq!(
        refused(&|i| i.relays = vec![long.clone(); 5]),
        "invite over 600 bytes"
    );
    let why = "administrator is not certified to enrol";
    assert_eq!(refused(&|i| i.admin = admin(2, 11, 1)), why);
    assert_eq!(refused(&|i| i.admin = admin(1, 11, 2)), why);
    assert_eq!(refused(&|i| i.admin.powers = 31), why);
    assert_eq!(refused(&|i| i.roles = Roles(0)), "invite for no role");
    let mut three = invite(9);
    (three.desk, three.relays) = (Some(long.clone()), vec![long.clone(), long]);
    assert!(three.encode().unwrap().len() <= limits::INVITE_BYTES);
}

#[test]
fn a_place_is_host_and_port() {
    for good in ["127.0.0.1:1", "[::1]:65535", "relay.example:4433"] {
        assert_eq!(Place::new(good, [0; 32]).unwrap().address(), good);
    }
    let long = format!("{}:1", "x".repeat(63));
    for bad in [
        "",
        "relay",
        ":1",
        "relay:",
        "relay:0",
        "relay:65536",
        "re lay:1",
        "relay:+1",
        "rélay:1",
        &long,
    ] {
        assert!(Place::new(bad, [0; 32]).is_err(), "{bad}");
    }
}

#[test]
fn each_changed_byte_is_refused() {
    let invite = invite(9);
    let (key, request) = (InviteKey::of(&invite.secret), request(1, &invite));
    let book = book(&[&invite]);
    let grant = grant(&request, 1, 11).seal(&key).unwrap();
    let card = org_card(1).encode().unwrap();
    let each = |good: &[u8], refused: &dyn Fn(&[u8]) -> bool| {
        for i in 0..good.len() {
            let mut bad = good.to_vec();
            bad[i] ^= 1 << (i % 8);
            assert!(refused(&bad), "byte {i}");
        }
        for n in 0..good.len() {
            assert!(refused(&good[..n]), "cut at {n}");
        }
        assert!(refused(&[good, &[0]].concat()));
    };
    each(&invite.encode().unwrap(), &|bad| Invite::decode(bad).is_err());
    each(&request.encode(), &|bad| book.judge(bad, NOW).is_err());
    each(&grant, &|bad| {
        Grant::open(bad, &invite, &request, NOW) == Err(GrantError::WrongSeal)
    });
    each(&card, &|bad| OrgCard::decode(bad).is_err());
    let renewal = Renewal {
        device: self::grant(&request, 1, 11).device,
        routing: self::grant(&request, 1, 11).routing,
        admins: vec![admin(1, 11, 1)],
    };
    each(&renewal.encode().unwrap(), &|bad| {
        Renewal::decode(bad).map_or(true, |r| r.verify(&root_card(1)).is_err())
    });
}

#[test]
fn damaged_bytes_are_refused_or_canonical() {
    let invite = invite(9);
    let request = request(1, &invite);
    let grant = grant(&request, 1, 11);
    golden::mutate(&request.encode(), 2000, |bad| {
        if let Ok(request) = Request::decode(bad) {
            assert_eq!(request.encode(), bad);
            assert!(!request.is_authentic());
        }
    });
    let book = book(&[&invite, &self::invite(8)]);
    golden::mutate(&book.encode(), 2000, |bad| {
        if let Ok(book) = Invites::decode(bad) {
            assert_eq!(book.encode()[..], bad[..]);
        }
    });
    let renewal = Renewal {
        device: grant.device.clone(),
        routing: grant.routing.clone(),
        admins: grant.admins.clone(),
    };
    golden::mutate(&renewal.encode().unwrap(), 2000, |bad| {
        if let Ok(renewal) = Renewal::decode(bad) {
            assert_eq!(renewal.encode().unwrap(), bad);
        }
    });
    // under a good seal the reader meets every byte that an administrator could write
    let key = InviteKey::of(&invite.secret);
    let good = grant.seal(&key).unwrap();
    golden::mutate(&good[..good.len() - MAC_BYTES], 2000, |bad| {
        let sealed = [bad, &key.grant_mac(bad).0].concat();
        if let Ok(grant) = Grant::open(&sealed, &invite, &request, NOW) {
            assert_eq!(grant.seal(&key).unwrap(), sealed);
        }
    });
    for cut in 0..40 {
        assert!(Grant::open(&good[..cut], &invite, &request, NOW).is_err());
    }
}

#[test]
fn secrets_are_not_printed() {
    let invite = invite(9);
    let asked = book(&[&invite])
        .judge(&request(1, &invite).encode(), NOW)
        .unwrap();
    let printed = format!("{invite:?} {asked:?} {:?}", book(&[&invite]));
    assert!(!printed.contains("9, 9, 9, 9, 9, 9, 9, 9") && !printed.contains("Jana"));
    let key = format!("{:?}", InviteKey::of(&invite.secret));
    assert_eq!(key, "InviteKey(Secret)");
}
