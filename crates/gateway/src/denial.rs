//! The answer to a call that is not allowed: a normal result that a model can read, or the error
//! of a tool that does not exist. And the rate-limit fields of every governed call.

use std::sync::Arc;

use http::header::{HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use quotum_limit::Algorithm;
use quotum_policy::{Limit, Mode, text};
use quotum_registry::view::Policy;
use serde_json::{Map, Value, json};

use crate::answer::{self, Body};
use crate::decide::{LimitReport, LimitStop, Stop};
use crate::headers::ratelimit::{self, LimitState, Quota};
use crate::status::INVALID_PARAMS;

/// The member of `_meta` that says why a call was denied.
pub const META: &str = "io.quotum/decision";

/// What a denial says of its call.
#[derive(Debug, Clone, Copy)]
pub struct Denied<'a> {
    /// The JSON text of the request's id.
    pub id: &'a str,
    pub modern: bool,
    pub decision_id: &'a str,
    pub policy: Option<&'a Policy>,
    pub stop: &'a Stop,
}

// === impl Denied ===

impl Denied<'_> {
    /// The whole answer, apart from the rate-limit fields.
    pub fn response(&self) -> Response<Body> {
        if self.stop.unknown_tool {
            let text = answer::error_text(self.id, INVALID_PARAMS, &self.stop.message, None);
            return answer::json_text(StatusCode::OK, text);
        }
        let message = format!("{}{}", text::PREFIX, self.stop.message);
        let mut result = json!({
            "content": [{ "type": "text", "text": message }],
            "isError": true,
            "_meta": { META: self.meta() },
        });
        if self.modern {
            result["resultType"] = json!("complete");
        }
        let text = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, self.id);
        let mut response = answer::json_text(StatusCode::OK, text);
        let retry_after = self.stop.limit.as_ref().and_then(|limit| limit.retry_after);
        if let Some(wait) = retry_after {
            let seconds = ratelimit::seconds(millis(wait)).max(1);
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn meta(&self) -> Value {
        let mut meta = Map::new();
        meta.insert("rule".to_owned(), json!(self.stop.rule));
        if let Some(policy) = self.policy {
            meta.insert("policy".to_owned(), json!(policy.name.as_str()));
            meta.insert("policy_revision".to_owned(), json!(policy.revision));
        }
        meta.insert("decision_id".to_owned(), json!(self.decision_id));
        if let Some(LimitStop {
            report,
            retry_after,
        }) = &self.stop.limit
        {
            meta.insert("max".to_owned(), json!(report.state.max));
            meta.insert(
                "window".to_owned(),
                json!(report.limit.window().to_string()),
            );
            if report.limit.algorithm() == Algorithm::Sliding {
                meta.insert("algorithm".to_owned(), json!("sliding"));
            }
            meta.insert("remaining".to_owned(), json!(report.state.remaining));
            meta.insert(
                "reset_after_ms".to_owned(),
                json!(report.state.reset_after_ms),
            );
            meta.insert("retry_after_ms".to_owned(), json!(retry_after.map(millis)));
        }
        Value::Object(meta)
    }
}

/// Writes the rate-limit fields of a governed call. Shadow limits bind nobody and are not told.
pub fn write_limits(headers: &mut http::HeaderMap, limits: &[LimitReport], binding: usize) {
    let enforced = |report: &&LimitReport| report.limit.mode() == Mode::Enforce;
    let states: Vec<LimitState<'_>> = limits
        .iter()
        .filter(enforced)
        .map(|report| LimitState {
            quota: Quota {
                max: report.state.max,
                ..quota(&report.limit)
            },
            remaining: report.state.remaining,
            reset_after_ms: report.state.reset_after_ms,
        })
        .collect();
    let before = limits.iter().take(binding).filter(enforced).count();
    ratelimit::write(headers, &states, before);
}

/// Writes which limits a governed call has, where no counter told what remains of them.
pub fn write_policy<'a>(
    headers: &mut http::HeaderMap,
    limits: impl Iterator<Item = &'a Arc<Limit>>,
) {
    let enforced = limits.filter(|limit| limit.mode() == Mode::Enforce);
    ratelimit::write_policy(headers, enforced.map(|limit| quota(limit)));
}

fn quota(limit: &Limit) -> Quota<'_> {
    Quota {
        counter: limit.counter(),
        max: limit.max(),
        window_ms: limit.window_ms(),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
