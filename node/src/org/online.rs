//! Enrolment over a network: the request goes to the desk that the invite names, and the grant comes back
//! on the same connection, after a person at the desk compared the words.
//!
//! ```text
//! question  the request
//! answer    1 | grant      or      2 | reason, utf8 <= 200 B
//! ```
//!
//! The new device trusts the desk's key in the invite; the desk sees that the connection has the routing
//! key of the request. What is granted is believed for its seals alone, as in a file ([`super::join`]).
//!
//! * A person is asked only about a request that the desk would grant; all others are refused at once.
//! * Nothing is granted to who has left meanwhile. A grant that was made and did not arrive is given again
//!   to the same request, without asking, until the desk stops listening.

use super::desk::{Approved, Asking, Desk, DeskError};
use super::join::Asked;
use aidmesh_core::crypto::KeyPair;
use aidmesh_core::enrolment::Request;
use aidmesh_core::limits;
use aidmesh_core::machine::command::Card;
use aidmesh_host::uplink::BindError;
use aidmesh_host::uplink::ask::{AskError, Listener, Question, Whom, ask};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Name of this protocol in the handshake (RFC 7301).
pub const ALPN: &[u8] = b"aidmesh-enrol/1";
/// How long a new device waits for a person at the desk.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// How long it tries to reach the desk at all.
const REACH: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(1);
const REASON_BYTES: usize = 200;
const GRANTED: u8 = 1;
const REFUSED: u8 = 2;

/// Why no grant came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The invite names no desk.
    #[error("this invite is not for enrolment over a network; carry the request as a file")]
    NoDesk,
    /// The desk could not be asked.
    #[error("the administrator's device: {0}")]
    Ask(#[from] AskError),
    /// The desk said no.
    #[error("refused: {0}")]
    Refused(String),
    /// The desk said something else.
    #[error("the administrator's device gave no answer of this protocol")]
    NoAnswer,
}

/// Sends the request to the desk and waits for the grant, for [`super::join::accept`]. Asks again when the
/// connection breaks.
pub async fn fetch(asked: &Asked) -> Result<Vec<u8>, FetchError> {
    fetch_until(asked, REACH, PATIENCE).await
}

async fn fetch_until(asked: &Asked, reach: Duration, patience: Duration) -> Result<Vec<u8>, FetchError> {
    let desk = asked.invite.desk.as_ref().ok_or(FetchError::NoDesk)?;
    let whom = Whom {
        address: desk.address(),
        key: desk.key,
        alpn: ALPN,
    };
    let begin = Instant::now();
    let (end, mut give_up) = (begin + patience, begin + reach);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let answer = ask(
            asked.routing(),
            whom,
            &asked.request,
            limits::GRANT_BYTES + 1,
            left,
        );
        let why = match answer.await {
            Ok(answer) => return read_answer(answer),
            Err(why) => why,
        };
        if why == AskError::Lost {
            // the desk was there: it may come back
            give_up = end;
        }
        if !why.may_pass() || Instant::now() >= give_up {
            return Err(why.into());
        }
        sleep(PAUSE).await;
    }
}

fn read_answer(mut answer: Vec<u8>) -> Result<Vec<u8>, FetchError> {
    match answer.first() {
        Some(&GRANTED) => {
            answer.remove(0);
            Ok(answer)
        }
        Some(&REFUSED) if answer.len() <= REASON_BYTES + 1 => {
            let reason = std::str::from_utf8(&answer[1..]).map_err(|_| FetchError::NoAnswer)?;
            // it goes to a terminal
            let shown = reason.chars().filter(|c| !c.is_control()).collect();
            Err(FetchError::Refused(shown))
        }
        _ => Err(FetchError::NoAnswer),
    }
}

fn refusal(reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    [&[REFUSED], &reason.as_bytes()[..end]].concat()
}

/// Listens at `address` with the routing key that the invite names.
pub fn listen(address: SocketAddr, routing: &KeyPair) -> Result<Listener, BindError> {
    Listener::bind(address, routing, ALPN, limits::REQUEST_BYTES)
}

/// How serving an invite ended.
#[derive(Clone, Debug)]
pub struct Served {
    /// What was granted.
    pub approved: Approved,
    /// Whether the new device has it. If not, carry the grant as a file.
    pub delivered: bool,
}

/// Serves one invite until its device has the grant or the time is over (`None` if nothing was granted).
/// `decide` shows the words to a person and returns whether they are the same on the new device; `now_min`
/// is the clock. Drop the listener afterwards: who asks then is told at once. Fails only if the desk itself
/// fails: a wrong request is answered and forgotten.
pub async fn serve(
    desk: &mut Desk<'_>,
    cards: &[Card],
    listener: &mut Listener,
    (until, now_min): (Duration, fn() -> u32),
    mut decide: impl AsyncFnMut(&Asking) -> bool,
) -> Result<Option<Served>, DeskError> {
    let end = Instant::now() + until;
    let mut granted: Option<(Vec<u8>, Approved)> = None;
    while let Ok(Some(question)) = timeout_at(end, listener.next()).await {
        if granted
            .as_ref()
            .is_none_or(|(request, _)| *request != question.bytes)
        {
            let request = question.bytes.clone();
            match judge(desk, cards, &question, now_min, &mut decide).await? {
                Verdict::Refused(reason) => {
                    question.answer(&refusal(&reason)).await;
                    continue;
                }
                Verdict::Left => continue,
                Verdict::Granted(approved) => granted = Some((request, *approved)),
            }
        }
        if let Some((request, approved)) = granted.take() {
            let answer = [&[GRANTED], &approved.grant[..]].concat();
            if question.answer(&answer).await {
                return Ok(Some(Served {
                    approved,
                    delivered: true,
                }));
            }
            granted = Some((request, approved));
        }
    }
    Ok(granted.map(|(_, approved)| Served {
        approved,
        delivered: false,
    }))
}

enum Verdict {
    Granted(Box<Approved>),
    Refused(String),
    Left,
}

async fn judge(
    desk: &mut Desk<'_>,
    cards: &[Card],
    question: &Question,
    now_min: fn() -> u32,
    decide: &mut impl AsyncFnMut(&Asking) -> bool,
) -> Result<Verdict, DeskError> {
    let other_key = "the connection has another key than the request";
    let own = Request::decode(&question.bytes).is_ok_and(|asks| asks.routing_key == question.from);
    let asking = match desk.look(&question.bytes, now_min()) {
        Ok(asking) if own => asking,
        Ok(_) => return Ok(Verdict::Refused(other_key.into())),
        Err(why) => return refused(why),
    };
    if !decide(&asking).await {
        return Ok(Verdict::Refused("the administrator said no".into()));
    }
    if !question.waits() {
        return Ok(Verdict::Left);
    }
    match desk.approve(&question.bytes, cards, now_min()) {
        Ok(approved) => Ok(Verdict::Granted(Box::new(approved))),
        Err(why) => refused(why),
    }
}

/// A request's own fault is its answer; a fault of the desk ends the serving, and is nobody's business.
fn refused(why: DeskError) -> Result<Verdict, DeskError> {
    match why {
        DeskError::Request(_) | DeskError::KnownKey => Ok(Verdict::Refused(why.to_string())),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests;
