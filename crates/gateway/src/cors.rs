//! Pages in browsers: those that the operator has listed may call, and read what is answered. A
//! browser asks first, without a token, and tells the page only what it is allowed to tell.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};

use crate::answer::{self, Body};

/// What a page may send beside what every page may.
const SENT: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, accept, last-event-id, mcp-protocol-version, mcp-session-id, \
     mcp-method, mcp-name, traceparent, tracestate",
);
/// What a page may read beside what every page may.
const READ: HeaderValue = HeaderValue::from_static(
    "mcp-session-id, ratelimit, ratelimit-policy, retry-after, www-authenticate",
);
const METHODS: HeaderValue = HeaderValue::from_static("POST, GET, DELETE");
/// Seconds for which a browser need not ask again.
const ASKED: HeaderValue = HeaderValue::from_static("600");

/// Whether a browser asks what a page may do.
pub fn is_question(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to such a question. [`allow`] says to whom.
pub fn answer() -> Response<Body> {
    let mut response = answer::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, SENT);
    headers.insert(ACCESS_CONTROL_MAX_AGE, ASKED);
    response
}

/// Lets the page that asked read the answer, if it is one of `origins`.
pub fn allow(head: &Parts, origins: &[String], response: &mut Response<Body>) {
    if origins.is_empty() {
        return;
    }
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = head.headers.get(ORIGIN) else {
        return;
    };
    if origins
        .iter()
        .any(|known| known.as_bytes() == origin.as_bytes())
    {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READ);
    }
}
