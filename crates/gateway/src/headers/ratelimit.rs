//! The fields `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers, written
//! as structured fields (RFC 9651).

use std::fmt::Write;

use http::header::{HeaderMap, HeaderName, HeaderValue};

pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The largest integer of a structured field: 15 digits.
const INTEGER_MAX: u64 = 999_999_999_999_999;

/// What a limit admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota<'a> {
    /// The name of the counter.
    pub counter: &'a str,
    pub max: u64,
    /// The length of the window.
    pub window_ms: u64,
}

/// What the fields say of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitState<'a> {
    pub quota: Quota<'a>,
    pub remaining: u64,
    pub reset_after_ms: u64,
}

/// Writes `RateLimit-Policy` alone: what remains of these limits, nobody has told.
pub fn write_policy<'a>(headers: &mut HeaderMap, quotas: impl Iterator<Item = Quota<'a>>) {
    let policy: Vec<String> = quotas.map(quota_text).collect();
    if let (false, Ok(policy)) = (policy.is_empty(), HeaderValue::from_str(&policy.join(", "))) {
        headers.insert(RATELIMIT_POLICY, policy);
    }
}

/// Writes both fields, the binding limit first. Nothing is written where there are no limits.
pub fn write(headers: &mut HeaderMap, states: &[LimitState<'_>], binding: usize) {
    let first = states.get(binding);
    let others = states
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != binding);
    let ordered = first.into_iter().chain(others.map(|(_, limit)| limit));
    let (policy, state): (Vec<String>, Vec<String>) = ordered
        .map(|limit| (quota_text(limit.quota), state_text(limit)))
        .unzip();
    let values = (
        HeaderValue::from_str(&policy.join(", ")),
        HeaderValue::from_str(&state.join(", ")),
    );
    if let (false, (Ok(policy), Ok(state))) = (policy.is_empty(), values) {
        headers.insert(RATELIMIT_POLICY, policy);
        headers.insert(RATELIMIT, state);
    }
}

fn quota_text(quota: Quota<'_>) -> String {
    let (max, window) = (quota.max.min(INTEGER_MAX), seconds(quota.window_ms));
    format!("{};q={max};w={window}", string(quota.counter))
}

fn state_text(limit: &LimitState<'_>) -> String {
    let remaining = limit.remaining.min(INTEGER_MAX);
    let reset = seconds(limit.reset_after_ms);
    format!("{};r={remaining};t={reset}", string(limit.quota.counter))
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
