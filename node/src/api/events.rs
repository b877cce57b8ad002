//! `GET /v1/events`: what happens, as server-sent events (HTML standard, section 9.2).
//!
//! `id` is the number of the event; a client that lost its connection sends the last one as `Last-Event-ID`
//! (or `?after=N`) and misses nothing that is still remembered. Changes without a number of their own have
//! no `id`. A comment every 15 s shows that the node lives.

use super::ask::Params;
use super::routes::App;
use crate::api::types::EventInfo;
use crate::service::{self, Failure};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

/// How often a comment shows that the node lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that wait for a client that reads slowly; the rest waits in the node's log.
const EVENTS_WAITING: usize = 64;

#[derive(Deserialize)]
pub(super) struct From {
    after: Option<u64>,
}

/// Subscribed when it returns, so a client that then acts sees what its act does.
pub(super) async fn events(
    State(App { service, mut closing }): State<App>,
    Params(From { after }): Params<From>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    // a browser that connects again sends the header and the old address: the header is newer
    let after = last_event(&headers)?.or(after);
    let mut news = service.follow(after);
    let (told, events) = mpsc::channel(EVENTS_WAITING);
    tokio::spawn(async move {
        loop {
            let next = tokio::select! {
                next = news.next() => next,
                () = told.closed() => return,
                _ = closing.wait_for(|closing| *closing) => return,
            };
            let Some((info, numbered)) = next else { return };
            let Some(event) = event(&info, numbered) else {
                continue;
            };
            if told.send(Ok(event)).await.is_err() {
                return;
            }
        }
    });
    let heartbeat = KeepAlive::new().interval(HEARTBEAT);
    Ok(Sse::new(ReceiverStream::new(events)).keep_alive(heartbeat))
}

fn event(info: &EventInfo, numbered: bool) -> Option<Event> {
    let event = Event::default().json_data(info).ok()?;
    Some(match numbered {
        true => event.id(info.number.to_string()),
        false => event,
    })
}

fn last_event(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let number = number.ok_or_else(|| service::senseless("Last-Event-ID is a number"))?;
    Ok(Some(number))
}
