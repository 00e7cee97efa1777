//! What a gateway records.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog;
use crate::exposition::{Count, Durations, Exposition, Reading};
use crate::label::{
    ClosedLabel, Method, Outcome, Overflow, Path, Reason, RefundReason, Stage, StatusClass,
};
use crate::limits::{COUNTER_SERIES_MAX, HISTOGRAM_SERIES_MAX};
use crate::series::{Fit, Series, Set, Value, Values};
use crate::shard::Shard;

#[cfg(test)]
mod tests;

/// The metrics of a gateway. Cheap to clone.
#[derive(Clone)]
pub struct GatewayMetrics(Arc<Inner>);

/// The labels of one decision.
#[derive(Debug, Clone, Copy)]
pub struct DecisionLabels<'a> {
    pub server: &'a str,
    /// `None` where neither the registry nor the upstream's list knows the tool.
    pub tool: Option<&'a str>,
    pub outcome: Outcome,
    pub reason: Reason,
    pub path: Path,
}

struct Inner {
    exposition: Exposition,
    servers: Values,
    tools: Values,
    counters: Values,
    grants: Values,
    decisions: Series<2, Count>,
    grant_decisions: Series<2, Count>,
    limit_near: Series<3, Count>,
    request_durations: Series<1, Durations>,
    upstream_durations: Series<1, Durations>,
    refunds: Series<0, Count>,
    decision_durations: Vec<Durations>,
    refused: Vec<Count>,
    overflows: Vec<Count>,
    registry_revision: Reading,
    registry_age: Reading,
}

// === impl GatewayMetrics ===

impl GatewayMetrics {
    pub fn new(exposition: &Exposition) -> Self {
        let count_each = |metric, values: &[&'static str]| -> Vec<Count> {
            values
                .iter()
                .map(|value| exposition.count(metric, &[value]))
                .collect()
        };
        let decision_durations = Path::ALL
            .iter()
            .map(|path| exposition.durations(&catalog::DECISION_DURATION, &[path.as_str()]))
            .collect();
        Self(Arc::new(Inner {
            servers: Values::default(),
            tools: Values::default(),
            counters: Values::default(),
            grants: Values::default(),
            decisions: Series::new(COUNTER_SERIES_MAX),
            grant_decisions: Series::new(COUNTER_SERIES_MAX),
            limit_near: Series::new(COUNTER_SERIES_MAX),
            request_durations: Series::new(HISTOGRAM_SERIES_MAX),
            upstream_durations: Series::new(HISTOGRAM_SERIES_MAX),
            refunds: Series::new(COUNTER_SERIES_MAX),
            decision_durations,
            refused: refused_counts(exposition),
            overflows: count_each(&catalog::LABEL_OVERFLOW, &texts::<Overflow>()),
            registry_revision: exposition.reading(&catalog::REGISTRY_REVISION, &[]),
            registry_age: exposition.reading(&catalog::REGISTRY_AGE, &[]),
            exposition: exposition.clone(),
        }))
    }

    /// A call was decided, `duration` after it was parsed.
    pub fn decision(&self, labels: &DecisionLabels<'_>, duration: Duration) {
        let inner = &*self.0;
        inner.decision_durations[labels.path.index()].observe(duration);
        let server = inner.value(&inner.servers, labels.server);
        let tool = inner.tool(labels.tool);
        let closed = labels.outcome.index() * Reason::ALL.len() + labels.reason.index();
        let closed = closed * Path::ALL.len() + labels.path.index();
        let make = |set: Set<2>| {
            let [server, tool] = set.open;
            inner.exposition.count(
                &catalog::DECISIONS,
                &[
                    &server.text(labels.server),
                    &tool.text(labels.tool.unwrap_or_default()),
                    labels.outcome.as_str(),
                    labels.reason.as_str(),
                    labels.path.as_str(),
                ],
            )
        };
        let set = Set {
            open: [server, tool],
            closed: closed as u32,
        };
        inner.note(inner.decisions.with(set, make, Count::one));
    }

    /// A call of a grant was decided, on a server whose grants may be labels.
    pub fn grant_decision(&self, server: &str, grant: &str, outcome: Outcome) {
        let inner = &*self.0;
        let open = [
            inner.value(&inner.servers, server),
            inner.value(&inner.grants, grant),
        ];
        let make = |set: Set<2>| {
            let [server_value, grant_value] = set.open;
            let values = [
                &*server_value.text(server),
                &*grant_value.text(grant),
                outcome.as_str(),
            ];
            inner.exposition.count(&catalog::GRANT_DECISIONS, &values)
        };
        let set = Set {
            open,
            closed: outcome.index() as u32,
        };
        inner.note(inner.grant_decisions.with(set, make, Count::one));
    }

    /// A request was refused with `status` before any decision.
    pub fn refused(&self, stage: Stage, status: u16) {
        let class = StatusClass::of(status).index();
        self.0.refused[stage.index() * StatusClass::ALL.len() + class].one();
    }

    /// An admitted call left less than a tenth of a limit. `tool`: as in [`DecisionLabels`].
    pub fn limit_near(&self, server: &str, tool: Option<&str>, counter: &str) {
        let inner = &*self.0;
        let open = [
            inner.value(&inner.servers, server),
            inner.tool(tool),
            inner.value(&inner.counters, counter),
        ];
        let make = |set: Set<3>| {
            let [server_value, tool_value, counter_value] = set.open;
            let values = [
                server_value.text(server),
                tool_value.text(tool.unwrap_or_default()),
                counter_value.text(counter),
            ];
            inner
                .exposition
                .count(&catalog::LIMIT_NEAR, &values.each_ref().map(String::as_str))
        };
        inner.note(
            inner
                .limit_near
                .with(Set { open, closed: 0 }, make, Count::one),
        );
    }

    /// A request of a client was answered to its end.
    pub fn request(&self, server: &str, method: Method, status: u16, duration: Duration) {
        let inner = &*self.0;
        let metric = &catalog::GATEWAY_REQUEST_DURATION;
        let labels = (server, method, StatusClass::of(status));
        inner.observe(&inner.request_durations, metric, labels, duration);
    }

    /// An upstream has begun to answer; `status` is 0 where it did not.
    pub fn upstream(&self, server: &str, method: Method, status: u16, duration: Duration) {
        let inner = &*self.0;
        let labels = (server, method, StatusClass::of(status));
        inner.observe(
            &inner.upstream_durations,
            &catalog::UPSTREAM_DURATION,
            labels,
            duration,
        );
    }

    /// The units of a decision were given back.
    pub fn refund(&self, shard: Shard, reason: RefundReason) {
        let inner = &*self.0;
        let shard = shard.bounded();
        let make = |_: Set<0>| {
            inner
                .exposition
                .count(&catalog::REFUNDS, &[&shard.to_string(), reason.as_str()])
        };
        let closed = shard.number() * RefundReason::ALL.len() as u32 + reason.index() as u32;
        inner
            .refunds
            .with(Set { open: [], closed }, make, Count::one);
    }

    /// What the gateway serves, and how long ago it heard of it.
    pub fn registry(&self, revision: u64, age: Duration) {
        self.0.registry_revision.set_integer(revision);
        self.0.registry_age.set(age.as_secs_f64());
    }
}

impl std::fmt::Debug for GatewayMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GatewayMetrics")
    }
}

// === impl Inner ===

impl Inner {
    fn value(&self, values: &Values, name: &str) -> Value {
        let (value, fit) = values.of(name);
        if fit == Fit::Overflows {
            self.overflows[Overflow::Value.index()].one();
        }
        value
    }

    fn tool(&self, tool: Option<&str>) -> Value {
        tool.map_or(Value::UNKNOWN, |tool| self.value(&self.tools, tool))
    }

    fn note(&self, fit: Fit) {
        if fit == Fit::Overflows {
            self.overflows[Overflow::Series.index()].one();
        }
    }

    fn observe(
        &self,
        series: &Series<1, Durations>,
        metric: &'static catalog::Metric,
        (server, method, class): (&str, Method, StatusClass),
        duration: Duration,
    ) {
        let make = |set: Set<1>| {
            let values = [&*set.open[0].text(server), method.as_str(), class.as_str()];
            self.exposition.durations(metric, &values)
        };
        let closed = (method.index() * StatusClass::ALL.len() + class.index()) as u32;
        let set = Set {
            open: [self.value(&self.servers, server)],
            closed,
        };
        self.note(series.with(set, make, |durations| durations.observe(duration)));
    }
}

fn texts<L: ClosedLabel>() -> Vec<&'static str> {
    L::ALL.iter().map(|value| value.as_str()).collect()
}

fn refused_counts(exposition: &Exposition) -> Vec<Count> {
    let pairs = Stage::ALL.iter().flat_map(|stage| {
        StatusClass::ALL
            .iter()
            .map(move |class| (stage.as_str(), class.as_str()))
    });
    pairs
        .map(|(stage, class)| exposition.count(&catalog::REQUESTS_REFUSED, &[stage, class]))
        .collect()
}
