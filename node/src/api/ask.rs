//! What a request brings, read with bounds; every refusal in the words of [`Failure`].

use crate::api::BODY_BYTES_MAX;
use crate::api::types::Fault;
use crate::service::{self, Failure, NAME_BYTES_MAX};
use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest body that is read to its end, to be refused.
const DRAINED_MAX: usize = 8 * BODY_BYTES_MAX;

#[derive(Serialize)]
struct Wrapped {
    error: Fault,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(Wrapped { error: self.fault })).into_response()
    }
}

/// Names in the path, percent-decoded; each of bounded length.
pub(super) struct Names<T>(pub(super) T);

/// One or two names.
pub(super) trait Bounded: DeserializeOwned + Send {
    fn longest(&self) -> usize;
}

impl Bounded for String {
    fn longest(&self) -> usize {
        self.len()
    }
}

impl Bounded for (String, String) {
    fn longest(&self) -> usize {
        self.0.len().max(self.1.len())
    }
}

impl<S: Send + Sync, T: Bounded> FromRequestParts<S> for Names<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let names = Path::<T>::from_request_parts(parts, state).await;
        let Path(names) = names.map_err(|why| service::senseless(why.body_text()))?;
        match names.longest() <= NAME_BYTES_MAX {
            true => Ok(Names(names)),
            false => Err(service::unfit(format_args!(
                "a name has at most {NAME_BYTES_MAX} bytes"
            ))),
        }
    }
}

/// Parameters of the query.
pub(super) struct Params<T>(pub(super) T);

/// Longest query.
const QUERY_BYTES_MAX: usize = 1024;

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        if parts
            .uri
            .query()
            .is_some_and(|query| query.len() > QUERY_BYTES_MAX)
        {
            return Err(service::unfit(format_args!(
                "a query has at most {QUERY_BYTES_MAX} bytes"
            )));
        }
        let params = Query::<T>::from_request_parts(parts, state).await;
        let Query(params) = params.map_err(|why| service::senseless(why.body_text()))?;
        Ok(Params(params))
    }
}

/// A JSON body. Its media type is not asked for: this socket has one.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let bytes = collected(request.into_body()).await?;
        // an empty body is an object without fields
        let bytes = if bytes.is_empty() { &b"{}"[..] } else { &bytes };
        let body = serde_json::from_slice(bytes).map_err(|why| not_json(&why))?;
        Ok(Body(body))
    }
}

/// All of a body. What is too long is read to its end and thrown away, since who still writes does not hear
/// an answer; but not for ever.
async fn collected(mut body: axum::body::Body) -> Result<BytesMut, Failure> {
    let (mut held, mut bytes) = (BytesMut::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| service::senseless("the body ended in the middle"))?;
        let data = frame.into_data().unwrap_or_default();
        bytes = bytes.saturating_add(data.len());
        if bytes <= BODY_BYTES_MAX {
            held.extend_from_slice(&data);
        } else if bytes > DRAINED_MAX {
            break;
        } else {
            held = BytesMut::new();
        }
    }
    match bytes <= BODY_BYTES_MAX {
        true => Ok(held),
        false => Err(service::body_too_large(BODY_BYTES_MAX)),
    }
}

/// Where the JSON is wrong, without a word of what it holds.
fn not_json(why: &serde_json::Error) -> Failure {
    let place = format!("line {} column {}", why.line(), why.column());
    service::senseless(match why.classify() {
        serde_json::error::Category::Data => format!("the fields of the body do not fit, {place}"),
        _ => format!("the body is not JSON, {place}"),
    })
}
