use super::super::tests::{Drawer, House, NOW, ask, house, name};
use super::*;
use crate::org::desk::Offer;
use crate::org::identity::IdentityFile;
use crate::org::join;
use aidmesh_core::directory::{Role, Roles};
use aidmesh_core::enrolment::{Invite, Place, RequestError};

const HERE: &str = "127.0.0.1:0";
const LONG: Duration = Duration::from_secs(30);

/// [`fetch`], for tests that must end.
async fn get(asked: &Asked) -> Result<Vec<u8>, FetchError> {
    fetch_until(asked, REACH, LONG).await
}

fn clock() -> u32 {
    NOW
}

/// A listener with the desk's key, and an invite that names it.
fn open(house: &mut House) -> (Listener, Invite) {
    let file = IdentityFile::load(&house.own).unwrap().unwrap();
    let listener = listen(HERE.parse().unwrap(), &file.keys.routing).unwrap();
    let address = listener.local_address().unwrap().to_string();
    let offer = Offer {
        roles: Roles::of(&[Role::Nurse]),
        desk: Some(Place::new(&address, file.keys.routing.public()).unwrap()),
        valid_min: 60,
    };
    let invite = house.desk().invite(&offer, NOW).unwrap();
    (listener, invite)
}

async fn serve_all(
    house: &mut House,
    listener: &mut Listener,
    until: Duration,
    decide: impl AsyncFnMut(&Asking) -> bool,
) -> Option<Served> {
    let cards = house.cards.clone();
    let mut desk = house.desk();
    serve(&mut desk, &cards, listener, (until, clock), decide)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_device_is_enrolled_over_the_network() {
    let mut house = house("St Anna");
    let (mut listener, invite) = open(&mut house);
    let mut own = Drawer::default();
    let asked = ask(&mut own, &invite, "Jana N");
    let mut shown = vec![];
    let decide = async |asking: &Asking| {
        shown.push((asking.words, asking.request.name.clone()));
        true
    };
    let (served, grant) = tokio::join!(serve_all(&mut house, &mut listener, LONG, decide), get(&asked));
    assert_eq!(shown, [(asked.words, name("Jana N"))]);
    let served = served.unwrap();
    assert!(served.delivered);
    let grant = grant.unwrap();
    assert_eq!(grant, served.approved.grant);
    assert!(join::accept(&mut own, &grant, NOW).is_ok());
}

#[tokio::test]
async fn who_is_refused_hears_why_and_nobody_is_asked_about_it() {
    let mut house = house("St Anna");
    let (mut listener, invite) = open(&mut house);
    let (mut first, mut second) = (Drawer::default(), Drawer::default());
    let (one, two) = (
        ask(&mut first, &invite, "Jana N"),
        ask(&mut second, &invite, "Evil E"),
    );
    house.approve(&one.request).unwrap();
    let decide = async |_: &Asking| panic!("a used invite is no question for a person");
    let (served, grant) = tokio::join!(
        serve_all(&mut house, &mut listener, Duration::from_secs(2), decide),
        get(&two)
    );
    assert!(served.is_none());
    let why = RequestError::Used { same: false }.to_string();
    assert_eq!(grant.unwrap_err(), FetchError::Refused(why));
}

#[tokio::test]
async fn after_a_no_the_right_device_can_still_come() {
    let mut house = house("St Anna");
    let (mut listener, invite) = open(&mut house);
    let (mut first, mut second) = (Drawer::default(), Drawer::default());
    let (evil, jana) = (
        ask(&mut first, &invite, "Evil E"),
        ask(&mut second, &invite, "Jana N"),
    );
    let words = jana.words;
    let decide = async |asking: &Asking| asking.words == words;
    let askers = async {
        let no = get(&evil).await.unwrap_err();
        assert_eq!(no, FetchError::Refused("the administrator said no".into()));
        get(&jana).await.unwrap()
    };
    let (served, grant) = tokio::join!(serve_all(&mut house, &mut listener, LONG, decide), askers);
    assert!(served.unwrap().delivered);
    assert!(join::accept(&mut second, &grant, NOW).is_ok());
}

#[tokio::test]
async fn a_request_that_somebody_else_carries_is_refused() {
    let mut house = house("St Anna");
    let (mut listener, invite) = open(&mut house);
    let mut own = Drawer::default();
    let asked = ask(&mut own, &invite, "Jana N");
    let stranger = KeyPair::from_seed(&[77; 32]);
    let desk = invite.desk.as_ref().unwrap();
    let whom = Whom {
        address: desk.address(),
        key: desk.key,
        alpn: ALPN,
    };
    let decide = async |_: &Asking| true;
    let (served, answer) = tokio::join!(
        serve_all(&mut house, &mut listener, Duration::from_secs(2), decide),
        ask_raw(&stranger, whom, &asked.request)
    );
    assert!(served.is_none());
    let why = read_answer(answer).unwrap_err();
    assert!(matches!(why, FetchError::Refused(text) if text.contains("another key")));
}

async fn ask_raw(own: &KeyPair, whom: Whom<'_>, question: &[u8]) -> Vec<u8> {
    aidmesh_host::uplink::ask::ask(own, whom, question, 1000, LONG)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_grant_that_did_not_arrive_is_given_again_and_asked_about_once() {
    let mut house = house("St Anna");
    let (mut listener, invite) = open(&mut house);
    let mut own = Drawer::default();
    let asked = ask(&mut own, &invite, "Jana N");
    let mut questions = 0;
    let decide = async |_: &Asking| {
        questions += 1;
        true
    };
    let desk = invite.desk.as_ref().unwrap();
    let whom = Whom {
        address: desk.address(),
        key: desk.key,
        alpn: ALPN,
    };
    let device = async {
        // this one cannot take the whole grant and breaks off
        let cut = aidmesh_host::uplink::ask::ask(asked.routing(), whom, &asked.request, 10, LONG).await;
        assert_eq!(cut, Err(AskError::TooLong));
        get(&asked).await.unwrap()
    };
    let (served, grant) = tokio::join!(serve_all(&mut house, &mut listener, LONG, decide), device);
    assert!(served.unwrap().delivered);
    assert_eq!(questions, 1);
    assert!(join::accept(&mut own, &grant, NOW).is_ok());
}

#[tokio::test]
async fn a_wrong_key_or_nobody_at_the_desk_is_said() {
    let mut house = house("St Anna");
    let (listener, mut invite) = open(&mut house);
    let mut own = Drawer::default();
    let desk = invite.desk.clone().unwrap();
    invite.desk = Some(Place::new(desk.address(), [9; 32]).unwrap());
    let asked = ask(&mut own, &invite, "Jana N");
    assert_eq!(
        get(&asked).await.unwrap_err(),
        FetchError::Ask(AskError::OtherKey)
    );
    listener.close().await;
    let short = Duration::from_millis(100);
    let gone = fetch_until(&asked, short, short).await.unwrap_err();
    assert_eq!(gone, FetchError::Ask(AskError::NoAnswer));
    invite.desk = None;
    let asked = ask(&mut own, &invite, "Jana N");
    assert_eq!(fetch(&asked).await.unwrap_err(), FetchError::NoDesk);
}

#[tokio::test]
async fn nobody_comes_and_a_broken_desk_ends_it() {
    let mut house = house("St Anna");
    let (mut listener, invite) = open(&mut house);
    let decide = async |_: &Asking| true;
    let served = serve_all(&mut house, &mut listener, Duration::from_millis(100), decide).await;
    assert!(served.is_none());
    let mut own = Drawer::default();
    let asked = ask(&mut own, &invite, "Jana N");
    house.org.full = true;
    let cards = house.cards.clone();
    let mut desk = house.desk();
    let device = fetch_until(&asked, LONG, Duration::from_secs(3));
    let serving = serve(&mut desk, &cards, &mut listener, (LONG, clock), decide);
    let (served, _) = tokio::join!(serving, async {
        tokio::time::timeout(Duration::from_secs(1), device).await
    });
    let full = aidmesh_host::vault::VaultError::Full;
    assert_eq!(served.unwrap_err(), DeskError::Vault(full));
}

#[test]
fn answers_are_bounded_and_clean() {
    let refused = |bytes: &[u8]| read_answer([&[REFUSED], bytes].concat()).unwrap_err();
    assert_eq!(refused(b"no\x1b[31m\n"), FetchError::Refused("no[31m".into()));
    assert_eq!(refused(&[0xff]), FetchError::NoAnswer);
    assert_eq!(refused(&[b'x'; 201]), FetchError::NoAnswer);
    assert_eq!(read_answer(vec![]), Err(FetchError::NoAnswer));
    assert_eq!(read_answer(vec![3, 1]), Err(FetchError::NoAnswer));
    assert_eq!(refusal(&"é".repeat(200)).len(), 201);
    assert_eq!(refusal(&format!("x{}", "é".repeat(200))).len(), 200);
}
