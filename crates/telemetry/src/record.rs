//! Decision records: one JSON line for each governed call, for audit.
//!
//! Promises: no token, no argument value and no upstream text can be in a record: there is no field
//! for them; a line is one line, whatever names a caller sends; every field is bounded.
//!
//! # Layout
//! * [`writer`]: the queue to the output, which never makes a call wait.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use crate::escape::escape_into;
use crate::label::{Outcome, Path};
use crate::limits::{RECORD_ARGUMENTS_MAX, RECORD_TEXT_BYTES_MAX};

#[cfg(test)]
mod tests;
pub mod writer;

/// What is told of one governed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRecord {
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    pub decision_id: String,
    pub grant_id: String,
    /// The grant's name.
    pub grant: String,
    pub server: String,
    pub method: String,
    pub tool: Option<String>,
    pub policy: Option<PolicyRevision>,
    pub outcome: Outcome,
    /// The rule that decided, as a JSON pointer or a label in brackets; empty where none fired.
    pub rule: String,
    pub path: Path,
    /// Where the counters decided.
    pub position: Option<LogPosition>,
    /// The names of the top-level arguments, in any order: the line has them sorted.
    pub arguments: Vec<String>,
    pub upstream: Option<UpstreamAnswer>,
    /// The JSON-RPC id of the request.
    pub client_request_id: Option<String>,
    pub trace_id: Option<String>,
}

/// A policy at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRevision {
    pub name: String,
    pub revision: u64,
}

/// A place in the replicated log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LogPosition {
    pub shard: u32,
    pub term: u64,
    pub index: u64,
}

/// How an upstream answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct UpstreamAnswer {
    /// The HTTP status; 0 where there was no answer.
    pub status: u16,
    pub latency_us: u64,
}

/// The record as it is written.
#[derive(Serialize)]
struct Line<'a> {
    kind: &'static str,
    time_ms: u64,
    decision_id: Bounded<'a>,
    grant: Bounded<'a>,
    grant_id: Bounded<'a>,
    server: Bounded<'a>,
    method: Bounded<'a>,
    tool: Option<Bounded<'a>>,
    policy: Option<Bounded<'a>>,
    policy_revision: Option<u64>,
    outcome: Outcome,
    rule: Bounded<'a>,
    path: Path,
    position: Option<LogPosition>,
    arguments: Vec<Bounded<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    arguments_omitted: usize,
    upstream: Option<UpstreamAnswer>,
    client_request_id: Option<Bounded<'a>>,
    trace_id: Option<Bounded<'a>>,
}

/// A text of which at most [`RECORD_TEXT_BYTES_MAX`] bytes are written.
struct Bounded<'a>(&'a str);

// === impl DecisionRecord ===

impl DecisionRecord {
    /// The record as one line of JSON, its line feed included.
    pub fn to_line(&self) -> String {
        let mut arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        arguments.sort_unstable();
        let arguments_omitted = arguments.len().saturating_sub(RECORD_ARGUMENTS_MAX);
        arguments.truncate(RECORD_ARGUMENTS_MAX);
        let line = Line {
            kind: "decision",
            time_ms: self.time_ms,
            decision_id: Bounded(&self.decision_id),
            grant: Bounded(&self.grant),
            grant_id: Bounded(&self.grant_id),
            server: Bounded(&self.server),
            method: Bounded(&self.method),
            tool: self.tool.as_deref().map(Bounded),
            policy: self.policy.as_ref().map(|policy| Bounded(&policy.name)),
            policy_revision: self.policy.as_ref().map(|policy| policy.revision),
            outcome: self.outcome,
            rule: Bounded(&self.rule),
            path: self.path,
            position: self.position,
            arguments: arguments.into_iter().map(Bounded).collect(),
            arguments_omitted,
            upstream: self.upstream,
            client_request_id: self.client_request_id.as_deref().map(Bounded),
            trace_id: self.trace_id.as_deref().map(Bounded),
        };
        let json = serde_json::to_string(&line).expect("a record always has a JSON form");
        let mut line = String::with_capacity(json.len() + 1);
        escape_into(&mut line, &json);
        line.push('\n');
        line
    }
}

// === impl Bounded ===

impl Bounded<'_> {
    fn shown(&self) -> Cow<'_, str> {
        if self.0.len() <= RECORD_TEXT_BYTES_MAX {
            return Cow::Borrowed(self.0);
        }
        let end = self.0.floor_char_boundary(RECORD_TEXT_BYTES_MAX);
        Cow::Owned(format!("{}...", &self.0[..end]))
    }
}

impl Serialize for Bounded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
