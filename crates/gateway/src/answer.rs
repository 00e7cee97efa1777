//! Answers that the gateway writes itself: JSON-RPC errors and plain refusals, never with a word
//! from the upstream.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::json;

use crate::era::{LEGACY, MODERN};
use crate::status::Refusal;

#[cfg(test)]
mod tests;

/// The body of every answer. A stream that breaks off simply ends: what it lacks, its reader sees.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// To whom an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller<'a> {
    /// A request: the JSON text of its id.
    Request(&'a str),
    /// A notification, or a response: only the status speaks.
    NoAnswer,
    /// Nobody knows yet: an error is answered with the id `null`.
    Unknown,
}

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A JSON answer with `text` as it is.
pub fn json_text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The text of a JSON-RPC error. `id` is JSON text already.
pub fn error_text(id: &str, code: i32, message: &str, data: Option<serde_json::Value>) -> String {
    let mut error = json!({ "code": code, "message": message });
    if let Some(data) = data {
        error["data"] = data;
    }
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

/// The answer to a request that is not served.
pub fn refusal(refusal: &Refusal, caller: Caller<'_>) -> Response<Body> {
    let row = refusal.row();
    let id = match caller {
        Caller::Request(id) => Some(id),
        Caller::Unknown => Some("null"),
        Caller::NoAnswer => None,
    };
    let mut response = match (row.code, id) {
        (Some(code), Some(id)) => {
            json_text(row.status, error_text(id, code, row.text, data_of(refusal)))
        }
        (Some(_), None) => empty(row.status),
        (None, _) => {
            let mut response = empty(row.status);
            *response.body_mut() = full(row.text);
            let plain = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, plain);
            response
        }
    };
    // The answer to a notification is no success.
    if id.is_none() && response.status().is_success() {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    let headers = response.headers_mut();
    let mut set = |name, value| drop(headers.insert(name, HeaderValue::from_static(value)));
    match refusal {
        Refusal::TokenMissing | Refusal::TokenInvalid => {
            set(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"");
        }
        Refusal::HttpMethodUnknown => set(ALLOW, "POST, GET, DELETE"),
        Refusal::PostOnly => set(ALLOW, "POST"),
        Refusal::UpstreamRefused(StatusCode::METHOD_NOT_ALLOWED) => set(ALLOW, "POST"),
        Refusal::TooManyOpen | Refusal::NoRoom => set(RETRY_AFTER, "1"),
        Refusal::RegistryStale => set(RETRY_AFTER, "5"),
        _ => {}
    }
    if refusal.closes() {
        set(CONNECTION, "close");
    }
    response
}

fn data_of(refusal: &Refusal) -> Option<serde_json::Value> {
    match refusal {
        Refusal::VersionUnsupported { requested } => {
            let supported: Vec<&str> = [MODERN].into_iter().chain(LEGACY).collect();
            Some(json!({ "supported": supported, "requested": requested }))
        }
        Refusal::Json(error) => Some(json!({ "reason": error.to_string() })),
        Refusal::TooManyOpen | Refusal::NoRoom => Some(json!({ "retryAfterMs": 1_000 })),
        _ => None,
    }
}
