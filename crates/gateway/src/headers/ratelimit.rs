//! The fields `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers, written
//! as structured fields (RFC 9651).

use std::fmt::Write;

use http::header::{HeaderMap, HeaderName, HeaderValue};

pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The largest integer of a structured field: 15 digits.
const INTEGER_MAX: u64 = 999_999_999_999_999;

/// What the fields say of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitState<'a> {
    /// The name of the counter.
    pub counter: &'a str,
    pub max: u64,
    /// The length of the window.
    pub window_ms: u64,
    pub remaining: u64,
    pub reset_after_ms: u64,
}

/// Writes both fields, the binding limit first. Nothing is written where there are no limits.
pub fn write(headers: &mut HeaderMap, states: &[LimitState<'_>], binding: usize) {
    let first = states.get(binding);
    let others = states
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != binding);
    let (mut policy, mut state) = (String::new(), String::new());
    for limit in first.into_iter().chain(others.map(|(_, limit)| limit)) {
        if !policy.is_empty() {
            policy.push_str(", ");
            state.push_str(", ");
        }
        let name = string(limit.counter);
        let (max, window) = (limit.max.min(INTEGER_MAX), seconds(limit.window_ms));
        let (remaining, reset) = (
            limit.remaining.min(INTEGER_MAX),
            seconds(limit.reset_after_ms),
        );
        write!(policy, "{name};q={max};w={window}").expect("a string takes all");
        write!(state, "{name};r={remaining};t={reset}").expect("a string takes all");
    }
    let values = (
        HeaderValue::from_str(&policy),
        HeaderValue::from_str(&state),
    );
    if let (false, (Ok(policy), Ok(state))) = (policy.is_empty(), values) {
        headers.insert(RATELIMIT_POLICY, policy);
        headers.insert(RATELIMIT, state);
    }
}

/// Whole seconds, rounded up: whoever waits that long has waited long enough.
pub fn seconds(ms: u64) -> u64 {
    ms.div_ceil(1_000).min(INTEGER_MAX)
}

/// A structured-field string. What such a string cannot hold is percent-encoded.
fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                quoted.push('\\');
                quoted.push(char::from(byte));
            }
            b' '..=b'~' => quoted.push(char::from(byte)),
            other => write!(quoted, "%{other:02X}").expect("a string takes all"),
        }
    }
    quoted.push('"');
    quoted
}
