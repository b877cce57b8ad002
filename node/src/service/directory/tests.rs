//! What is decided, step by step, for a nurse, a doctor and their administrator; and that it comes to rest.

use super::*;
use crate::service::tests::cast::{DOCTOR, Device, MEDIC, NURSE, member};
use crate::service::tests::nodes::{Running, until};
use aidmesh_core::directory::Role;

const DESK: Device = member(30, "Desk", Role::Gateway);
const THREAD: ThreadId = ThreadId([1; 16]);
const OTHER: ThreadId = ThreadId([2; 16]);

/// A card of a device, of which the second differs from the first.
fn card(device: Device, n: u8) -> Card {
    Card {
        device_cert: device.identity(1 << 40).member.unwrap().cert,
        key_package: vec![n; 100].into(),
    }
}

fn posted(thread: ThreadId, author: Device, at: u64, card: Card) -> Posted {
    Posted {
        thread,
        author: author.dev(),
        by_administrator: author.n == DESK.n,
        hlc: Hlc(at),
        card,
    }
}

fn conversation(thread: ThreadId, creator: Device, members: &[Device]) -> Conversation {
    Conversation {
        thread,
        creator: Some(creator.dev()),
        members: members.iter().map(|device| device.dev()).collect(),
    }
}

fn picture(own: Device, conversations: Vec<Conversation>) -> Picture {
    let administrator = own.n == DESK.n;
    let desk = (DESK.dev(), Some(Role::Gateway));
    Picture {
        own: own.dev(),
        administrator,
        own_card: Some(card(own, 1)),
        conversations,
        administrators: Some(desk).filter(|_| !administrator).into_iter().collect(),
        revoked: BTreeSet::new(),
    }
}

fn steps(picture: &Picture, board: &Board) -> Vec<Step> {
    decide(picture, board, &|_| false)
}

#[test]
fn a_newcomer_founds_a_conversation_adds_the_administrator_and_posts_its_card() {
    let board = Board::default();
    assert_eq!(steps(&picture(NURSE, vec![]), &board), [Step::Found]);
    let alone = conversation(THREAD, NURSE, &[NURSE]);
    let add = Step::Add {
        thread: THREAD,
        dev: DESK.dev(),
        role: Role::Gateway,
    };
    assert_eq!(steps(&picture(NURSE, vec![alone]), &board), [add]);
    let both = picture(NURSE, vec![conversation(THREAD, NURSE, &[NURSE, DESK])]);
    let post = Step::Post {
        thread: THREAD,
        cards: vec![card(NURSE, 1)],
    };
    assert_eq!(steps(&both, &board), [post]);
    let mut board = Board::default();
    board.take(posted(THREAD, NURSE, 1, card(NURSE, 1)));
    assert_eq!(steps(&both, &board), [], "it comes to rest");
    let mut newer = both;
    newer.own_card = Some(card(NURSE, 2));
    assert_eq!(steps(&newer, &board).len(), 1, "a new card is posted again");
}

#[test]
fn without_an_administrator_that_can_be_added_nothing_is_founded() {
    let mut lonely = picture(NURSE, vec![]);
    lonely.administrators.insert(DESK.dev(), None);
    assert_eq!(steps(&lonely, &Board::default()), []);
    lonely.administrators.clear();
    assert_eq!(steps(&lonely, &Board::default()), []);
    let mut revoked = picture(NURSE, vec![]);
    revoked.revoked.insert(DESK.dev());
    assert_eq!(steps(&revoked, &Board::default()), []);
}

#[test]
fn the_administrator_passes_each_card_on_to_all_others_once() {
    let threads = vec![
        conversation(THREAD, NURSE, &[NURSE, DESK]),
        conversation(OTHER, DOCTOR, &[DOCTOR, DESK]),
    ];
    let mut desk = picture(DESK, threads);
    desk.own_card = None;
    let mut board = Board::default();
    board.take(posted(THREAD, NURSE, 1, card(NURSE, 1)));
    board.take(posted(OTHER, DOCTOR, 2, card(DOCTOR, 1)));
    let post = |thread, device| Step::Post {
        thread,
        cards: vec![card(device, 1)],
    };
    let learn = |device| Step::Learn(card(device, 1));
    let found = steps(&desk, &board);
    let expected = [
        post(THREAD, DOCTOR),
        post(OTHER, NURSE),
        learn(DOCTOR),
        learn(NURSE),
    ];
    assert_eq!(found.len(), 4);
    for step in expected {
        assert!(found.contains(&step), "{step:?} is missing in {found:?}");
    }
    board.take(posted(THREAD, DESK, 3, card(DOCTOR, 1)));
    board.take(posted(OTHER, DESK, 4, card(NURSE, 1)));
    assert_eq!(decide(&desk, &board, &|_| true), []);
    desk.revoked.insert(NURSE.dev());
    board.take(posted(THREAD, NURSE, 5, card(NURSE, 2)));
    assert_eq!(decide(&desk, &board, &|_| true), [], "not of one who is revoked");
}

#[test]
fn many_cards_go_in_several_entries() {
    let mut desk = picture(DESK, vec![conversation(THREAD, NURSE, &[NURSE, DESK])]);
    desk.own_card = None;
    let mut board = Board::default();
    for n in 100..120 {
        let device = member(n, "Unit", Role::Nurse);
        board.take(posted(OTHER, device, u64::from(n), card(device, 1)));
    }
    let steps = decide(&desk, &board, &|_| true);
    let sizes: Vec<usize> = steps
        .iter()
        .map(|step| match step {
            Step::Post { cards, .. } => cards.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sizes, [8, 8, 4]);
}

#[test]
fn nobody_but_an_administrator_speaks_for_another_device() {
    let mut board = Board::default();
    board.take(posted(THREAD, NURSE, 9, card(DOCTOR, 7)));
    let doctor_known = |board: &Board| board.newest.get(&DOCTOR.dev()).map(|(_, card)| card.clone());
    assert_eq!(doctor_known(&board), None);
    board.take(posted(OTHER, DESK, 5, card(DOCTOR, 1)));
    board.take(posted(OTHER, DESK, 4, card(DOCTOR, 2)));
    assert_eq!(doctor_known(&board), Some(card(DOCTOR, 1)), "the newest stands");
    let junk = Card {
        device_cert: b"none"[..].into(),
        key_package: b"none"[..].into(),
    };
    board.take(posted(OTHER, DESK, 5, junk));
    assert_eq!(board.newest.len(), 1);
}

#[tokio::test]
async fn cards_go_round_over_a_relay_until_everybody_can_add_everybody() {
    let desk = Device {
        administrator: true,
        ..DESK
    };
    let relay = Running::relay().await;
    let mut all = vec![];
    for device in [desk, MEDIC, DOCTOR] {
        let running = Running::member(device).await;
        running.connect(&relay).await;
        all.push(running);
    }
    // what comes with the grant
    let grant = all[0].card();
    for joiner in &all[1..] {
        let card = grant.clone();
        joiner.service.command(Command::LearnCard { card }).await.unwrap();
    }
    for running in &all {
        tokio::spawn(running.service.clone().keep_directory());
    }
    let can_add = async |who: usize, name: &str| {
        let people = all[who].service.people().await.unwrap();
        people
            .iter()
            .any(|person| person.person == name && person.has_card)
    };
    until("the medic can add the doctor", async || can_add(1, "Dr K").await).await;
    until("the doctor can add the medic", async || {
        can_add(2, "Medic A").await
    })
    .await;
    let threads = all[1].service.threads().await.unwrap();
    assert_eq!(threads, [], "and nobody sees the conversation");
    let new = crate::api::types::NewThread {
        name: "7K2".into(),
        kind: "patient".into(),
        to: vec!["dr k".into()],
    };
    all[1].service.found(new).await.unwrap();
    until("the doctor is in the thread", async || {
        let threads = all[2].service.threads().await.unwrap();
        threads.len() == 1 && threads[0].members.len() == 2
    })
    .await;
}
