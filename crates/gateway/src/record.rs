//! What is told of a call once it is decided: metrics and the record, together, when the upstream has
//! begun to answer or nobody waits for that any more. A call that is decided anew is told once.

use std::time::{Duration, Instant};

use quotum_policy::Mode;
use quotum_registry::view::Grant;
use quotum_telemetry::gateway::DecisionLabels;
use quotum_telemetry::record::writer::Records;
use quotum_telemetry::record::{DecisionRecord, LogPosition, PolicyRevision, UpstreamAnswer};
use quotum_telemetry::{GatewayMetrics, label};

use crate::decide::{Grounds, LimitReport};
use crate::json::Raw;
use crate::limits::{ARGUMENT_NAME_BYTES_MAX, ARGUMENT_NAMES_MAX};

/// Where decisions are told. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Telemetry {
    pub metrics: GatewayMetrics,
    pub records: Records,
}

/// What will be told of one call: when this is dropped, whatever became of the call.
pub struct Pending {
    telemetry: Telemetry,
    tale: Option<Tale>,
}

/// A decision with what its metrics need beside the record.
struct Tale {
    record: DecisionRecord,
    reason: label::Reason,
    tool_known: bool,
    /// The grant's name is a label.
    grant_label: bool,
    /// Counters of which an admitted call left little.
    near: Vec<String>,
    duration: Duration,
}

/// A decided call, as it is told.
pub struct Told<'a> {
    pub time_ms: u64,
    pub decision_id: &'a str,
    pub grant: &'a Grant,
    pub tool: &'a str,
    /// Whether the policy or the upstream's list knows the tool.
    pub tool_known: bool,
    pub arguments: Option<Raw<'a>>,
    pub grounds: &'a Grounds,
    pub limits: &'a [LimitReport],
    pub request_id: &'a str,
    pub trace_id: Option<&'a str>,
    /// From the parsed call to its decision.
    pub duration: Duration,
}

// === impl Telemetry ===

impl Telemetry {
    /// Prepares what is told of a decision.
    pub fn decided(&self, told: &Told<'_>) -> Pending {
        let (grant, grounds) = (told.grant, told.grounds);
        let record = DecisionRecord {
            time_ms: told.time_ms,
            decision_id: told.decision_id.to_owned(),
            grant_id: grant.id.as_str().to_owned(),
            grant: grant.name.as_str().to_owned(),
            server: grant.server.spec.name.as_str().to_owned(),
            method: crate::method::TOOLS_CALL.to_owned(),
            tool: Some(told.tool.to_owned()),
            policy: grant.policy.as_ref().map(|policy| PolicyRevision {
                name: policy.name.as_str().to_owned(),
                revision: policy.revision,
            }),
            outcome: grounds.outcome,
            rule: grounds.rule.clone(),
            path: grounds.path,
            position: grounds.position.map(|position| LogPosition {
                shard: position.shard,
                term: position.term,
                index: position.index,
            }),
            arguments: argument_names(told.arguments),
            upstream: None,
            client_request_id: Some(told.request_id.to_owned()),
            trace_id: told.trace_id.map(str::to_owned),
        };
        let tale = Tale {
            record,
            reason: grounds.reason,
            tool_known: told.tool_known,
            grant_label: grant.server.spec.grant_label,
            near: near(told),
            duration: told.duration,
        };
        Pending {
            telemetry: self.clone(),
            tale: Some(tale),
        }
    }

    fn tell(&self, tale: Tale) {
        let Tale {
            record,
            reason,
            tool_known,
            grant_label,
            near,
            duration,
        } = tale;
        // A name that only the caller knows is no label.
        let tool = record.tool.as_deref().filter(|_| tool_known);
        let labels = DecisionLabels {
            server: &record.server,
            tool,
            outcome: record.outcome,
            reason,
            path: record.path,
        };
        self.metrics.decision(&labels, duration);
        if grant_label {
            self.metrics
                .grant_decision(&record.server, &record.grant, record.outcome);
        }
        for counter in near {
            self.metrics.limit_near(&record.server, tool, &counter);
        }
        self.records.write(record);
    }
}

/// The enforced limits of which an admitted call left less than a tenth.
fn near(told: &Told<'_>) -> Vec<String> {
    let admitted = [label::Outcome::Allowed, label::Outcome::ShadowDenied];
    if !admitted.contains(&told.grounds.outcome) {
        return Vec::new();
    }
    let is_near = |report: &&LimitReport| {
        let enforced = report.limit.mode() == Mode::Enforce;
        enforced && report.state.remaining < report.state.max.div_ceil(10)
    };
    let near = told.limits.iter().filter(is_near);
    near.map(|report| report.limit.counter().to_owned())
        .collect()
}

// === impl Pending ===

impl Pending {
    /// The upstream has begun to answer, or has failed with status 0.
    pub fn upstream(&mut self, status: u16, sent_at: Instant) {
        if let Some(tale) = &mut self.tale {
            let latency_us = u64::try_from(sent_at.elapsed().as_micros()).unwrap_or(u64::MAX);
            tale.record.upstream = Some(UpstreamAnswer { status, latency_us });
        }
    }

    /// Tells nothing: the call is decided once more.
    pub fn discard(&mut self) {
        self.tale = None;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(tale) = self.tale.take() {
            self.telemetry.tell(tale);
        }
    }
}

fn argument_names(arguments: Option<Raw<'_>>) -> Vec<String> {
    let names = arguments.into_iter().flat_map(Raw::members);
    names
        .take(ARGUMENT_NAMES_MAX + 1)
        .map(|(name, _)| {
            let end = name.floor_char_boundary(ARGUMENT_NAME_BYTES_MAX);
            name[..end].to_owned()
        })
        .collect()
}

/// The trace id of a `traceparent` (W3C Trace Context): its second field, if it is well-formed.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let mut fields = traceparent.split('-');
    let (_, id) = (fields.next()?, fields.next()?);
    let hexadecimal = id
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (id.len() == 32 && hexadecimal).then_some(id)
}
