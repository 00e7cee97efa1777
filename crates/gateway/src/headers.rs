//! Header names and values: what crosses in which direction, and the rate-limit fields.
//!
//! Both directions are allow-lists: what is not named here does not cross.

use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};

use crate::limits::PARAM_HEADERS_MAX;
use crate::status::Refusal;

pub mod ratelimit;

#[cfg(test)]
mod tests;

pub const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
pub const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
pub const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Arguments that a client mirrors into headers, where the tool's schema asks for it.
const MCP_PARAM_PREFIX: &str = "mcp-param-";

/// What every upstream must be ready to send.
const ACCEPT_BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// Headers of the protocol that may stand in a request once.
const SINGLE: [HeaderName; 5] = [
    MCP_PROTOCOL_VERSION,
    MCP_METHOD,
    MCP_NAME,
    MCP_SESSION_ID,
    LAST_EVENT_ID,
];

/// The one value of a header as text; `None` if it is absent.
///
/// A second line, or bytes that are no visible ASCII, are refused.
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refusal::DuplicateHeader);
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim_matches([' ', '\t']))),
        Err(_) => Err(Refusal::HeaderValue),
    }
}

/// Refuses protocol headers that stand in a request twice: readers differ in which one they take.
pub fn check_single(headers: &HeaderMap) -> Result<(), Refusal> {
    for name in headers.keys() {
        let protocol = name.as_str().starts_with("mcp-") || SINGLE.contains(name);
        if protocol && headers.get_all(name).iter().nth(1).is_some() {
            return Err(Refusal::DuplicateHeader);
        }
    }
    Ok(())
}

/// The headers of a request that cross to the upstream as they are.
pub fn copy_to_upstream(client: &HeaderMap, upstream: &mut HeaderMap) {
    for value in client.get_all(ACCEPT) {
        upstream.append(ACCEPT, value.clone());
    }
    if !upstream.contains_key(ACCEPT) {
        upstream.insert(ACCEPT, ACCEPT_BOTH);
    }
    for name in [TRACEPARENT, TRACESTATE] {
        if let Some(value) = client.get(&name) {
            upstream.insert(name, value.clone());
        }
    }
}

/// The mirrored arguments, which a server of the modern era compares with the body itself.
pub fn copy_params_to_upstream(client: &HeaderMap, upstream: &mut HeaderMap) {
    let params = client
        .iter()
        .filter(|(name, _)| name.as_str().starts_with(MCP_PARAM_PREFIX));
    for (name, value) in params.take(PARAM_HEADERS_MAX) {
        upstream.append(name, value.clone());
    }
}

/// The headers of an upstream's reply that cross to the client as they are.
pub fn copy_to_client(upstream: &HeaderMap, client: &mut HeaderMap) {
    for name in [CONTENT_TYPE, CACHE_CONTROL, X_ACCEL_BUFFERING, RETRY_AFTER] {
        if let Some(value) = upstream.get(&name) {
            client.insert(name, value.clone());
        }
    }
}

/// The essence of a media type in lower case, and its parameters.
pub fn media_type(value: &str) -> (String, &str) {
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    (essence.trim().to_ascii_lowercase(), parameters)
}
