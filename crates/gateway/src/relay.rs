//! Relaying answers: JSON is read whole and filtered, event streams are filtered event by event as
//! they come. Nothing passes that was not inspected.
//!
//! # Layout
//! * [`reply`]: the head of an answer, and whole bodies.
//! * [`stream`]: event streams.
//! * [`ending`]: when a stream has to end before its upstream ends it.

pub mod ending;
pub mod reply;
pub mod stream;

use std::sync::Arc;
use std::time::Duration;

use quotum_registry::server::Refund;
use quotum_registry::view::Grant;
use quotum_telemetry::GatewayMetrics;
use quotum_telemetry::label::RefundReason;
use quotum_telemetry::shard::Shard;

use crate::filter::Sight;
use crate::gate::Units;
use crate::inspect::{Inspected, Inspector, Unreadable};
use crate::known::KnownTools;
use crate::settle::{End, Settlement, settle};

/// Whose answer is relayed, and what may be seen of it.
#[derive(Debug, Clone)]
pub struct Audience {
    pub grant: Arc<Grant>,
    pub known: KnownTools,
}

/// The units of a call, until it is known how the call ended. Dropped: they stay charged.
pub struct Settling {
    pub units: Option<Arc<dyn Units>>,
    pub rule: Refund,
    pub metrics: GatewayMetrics,
    /// Where the counters decided.
    pub shard: Option<u32>,
}

/// How long an upstream may be silent.
pub(crate) const SILENCE: Duration = crate::limits::UPSTREAM_SILENCE_TIMEOUT;

// === impl Audience ===

impl Audience {
    /// Inspects a message of the upstream as the grant may see it.
    pub fn inspect(
        &self,
        inspector: &mut Inspector,
        message: &[u8],
    ) -> Result<Inspected, Unreadable> {
        let sight = Sight {
            visible: &|tool| self.sees(tool),
            names_hidden: &|text| {
                let policy = self.grant.policy.as_ref();
                policy.is_some_and(|policy| policy.compiled.names_hidden(text))
            },
        };
        inspector.inspect(message, sight)
    }

    /// Whether the grant may see a tool; remembers the name for metrics.
    fn sees(&self, tool: &str) -> bool {
        let policy = self.grant.policy.as_ref();
        let visible = policy.is_none_or(|policy| !policy.compiled.hides(tool));
        self.known.learn(self.grant.server.spec.name.as_str(), tool);
        visible
    }
}

// === impl Settling ===

impl Settling {
    /// Settles the call, the first time it is asked.
    pub fn settle(&mut self, end: End) {
        let Some(units) = self.units.take() else {
            return;
        };
        if settle(self.rule, end) == Settlement::Keep {
            return;
        }
        units.give_back();
        let reason = match self.rule {
            Refund::AnyFailure => RefundReason::AnyFailure,
            Refund::NotExecuted | Refund::Never => RefundReason::NotExecuted,
        };
        if let Some(shard) = self.shard {
            self.metrics.refund(Shard::Counters(shard), reason);
        }
    }
}
