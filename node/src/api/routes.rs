//! The routes: each reads what a request brings and asks the service.

use super::ask::{Body, Names, Params};
use super::events::events;
use super::types::{
    EntryInfo, Made, NewAck, NewEcg, NewNote, NewRecall, NewSeen, NewThread, NodeView, PersonInfo, Reloaded,
    Status, ThreadInfo, Whom,
};
use crate::service::{self, Failure, Service};
use axum::extract::{FromRef, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::watch;

/// What routes share.
#[derive(Clone)]
pub(super) struct App {
    pub(super) service: Service,
    pub(super) closing: watch::Receiver<bool>,
}

impl FromRef<App> for Service {
    fn from_ref(app: &App) -> Service {
        app.service.clone()
    }
}

type Answer<T> = Result<Json<T>, Failure>;
type Asked = State<Service>;

/// All routes.
pub(super) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/node", get(node))
        .route("/v1/people", get(people))
        .route("/v1/org/reload", post(reload))
        .route("/v1/events", get(events))
        .route("/v1/threads", get(threads).post(found))
        .route("/v1/threads/{id}", get(thread))
        .route("/v1/threads/{id}/entries", get(entries))
        .route("/v1/threads/{id}/members", post(add))
        .route("/v1/threads/{id}/members/{person}", delete(remove))
        .route("/v1/threads/{id}/leave", post(leave))
        .route("/v1/threads/{id}/notes", post(note))
        .route("/v1/threads/{id}/ecgs", post(ecg))
        .route("/v1/inbox", get(inbox))
        .route("/v1/entries/{id}", get(entry))
        .route("/v1/entries/{id}/files/{n}", get(file))
        .route("/v1/entries/{id}/seen", post(seen))
        .route("/v1/entries/{id}/ack", post(ack))
        .route("/v1/entries/{id}/recall", post(recall))
        .route("/v1/entries/{id}/status", get(status))
        .fallback(|| async { service::no_such_path() })
        .method_not_allowed_fallback(|| async { service::wrong_method() })
        .with_state(app)
}

/// What a listing asks for.
#[derive(Deserialize)]
struct Which {
    /// What people saw and acknowledged too.
    acts: Option<bool>,
    /// So many at most.
    limit: Option<usize>,
    /// Of a thread: only what stands before this entry.
    before: Option<String>,
}

/// Entries of a listing that asks for no number.
const LISTED: usize = 200;

async fn node(State(service): Asked) -> Answer<NodeView> {
    service.node().await.map(Json)
}

async fn people(State(service): Asked) -> Answer<Vec<PersonInfo>> {
    service.people().await.map(Json)
}

async fn reload(State(service): Asked) -> Answer<Reloaded> {
    let changed = service.reload().await?;
    Ok(Json(Reloaded { changed }))
}

async fn threads(State(service): Asked) -> Answer<Vec<ThreadInfo>> {
    service.threads().await.map(Json)
}

async fn found(State(service): Asked, Body(new): Body<NewThread>) -> Answer<Made> {
    service.found(new).await.map(Json)
}

async fn thread(State(service): Asked, Names(id): Names<String>) -> Answer<ThreadInfo> {
    service.thread(id).await.map(Json)
}

async fn entries(
    State(service): Asked,
    Names(id): Names<String>,
    Params(which): Params<Which>,
) -> Answer<Vec<EntryInfo>> {
    let (acts, limit) = (which.acts.unwrap_or(true), which.limit.unwrap_or(LISTED));
    service.entries(id, acts, limit, which.before).await.map(Json)
}

async fn add(State(service): Asked, Names(id): Names<String>, Body(whom): Body<Whom>) -> Answer<Made> {
    service.add(id, whom.person).await.map(Json)
}

async fn remove(State(service): Asked, Names((id, person)): Names<(String, String)>) -> Answer<Made> {
    service.remove(id, person).await.map(Json)
}

async fn leave(State(service): Asked, Names(id): Names<String>) -> Answer<Made> {
    service.leave(id).await.map(Json)
}

async fn note(State(service): Asked, Names(id): Names<String>, Body(new): Body<NewNote>) -> Answer<Made> {
    service.note(id, new.text).await.map(Json)
}

async fn ecg(State(service): Asked, Names(id): Names<String>, Body(new): Body<NewEcg>) -> Answer<Made> {
    service.ecg(id, new).await.map(Json)
}

async fn inbox(State(service): Asked, Params(which): Params<Which>) -> Answer<Vec<EntryInfo>> {
    let (acts, limit) = (which.acts.unwrap_or(false), which.limit.unwrap_or(LISTED));
    service.inbox(acts, limit).await.map(Json)
}

async fn entry(State(service): Asked, Names(id): Names<String>) -> Answer<EntryInfo> {
    service.entry(id).await.map(Json)
}

async fn file(
    State(service): Asked,
    Names((id, number)): Names<(String, String)>,
) -> Result<Response, Failure> {
    let number = number
        .parse()
        .map_err(|_| service::senseless("a file is asked for by its number, from 0"))?;
    let file = service.file(id, number).await?;
    let name = HeaderValue::from_str(&percent_encoded(&file.name));
    let name = name.map_err(|_| service::inside("a file name that no header takes"))?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (HeaderName::from_static("x-aidmesh-name"), name),
    ];
    Ok((headers, file.bytes).into_response())
}

async fn seen(State(service): Asked, Names(id): Names<String>, Body(new): Body<NewSeen>) -> Answer<Made> {
    service.seen(id, new.layer).await.map(Json)
}

async fn ack(State(service): Asked, Names(id): Names<String>, Body(new): Body<NewAck>) -> Answer<Made> {
    service.ack(id, new.act).await.map(Json)
}

async fn recall(State(service): Asked, Names(id): Names<String>, Body(new): Body<NewRecall>) -> Answer<Made> {
    service.recall(id, new.why).await.map(Json)
}

async fn status(State(service): Asked, Names(id): Names<String>) -> Answer<Status> {
    service.status(id).await.map(Json)
}

/// Visible ASCII as it is, everything else and `%` as in a URL.
fn percent_encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
