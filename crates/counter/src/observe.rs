//! The metrics of the groups: what a scrape shows of terms, logs and clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use quotum_replica::observe::{AppliedEntry, Observe, SharedObserver, Step};
use quotum_replica::{Node, ShardId};
use quotum_telemetry::CounterMetrics;
use quotum_telemetry::shard::Shard;

use crate::limits::OBSERVE_INTERVAL;

/// The durations of a node's steps, as histograms, beside whoever else watches.
pub(crate) struct Observer {
    metrics: CounterMetrics,
    next: SharedObserver,
}

// === impl Observer ===

impl Observer {
    pub(crate) fn new(metrics: CounterMetrics, next: SharedObserver) -> Self {
        Self { metrics, next }
    }
}

impl Observe for Observer {
    fn took(&self, step: Step, duration: Duration) {
        self.next.took(step, duration);
        let of = |shard| self.metrics.shard(label(shard));
        let durations = match step {
            Step::Commit(shard) => of(shard).map(|metrics| &metrics.commit),
            Step::Apply(shard) => of(shard).map(|metrics| &metrics.apply),
            Step::Snapshot(shard) => of(shard).map(|metrics| &metrics.snapshot),
            Step::Append => Some(&self.metrics.log().append),
            Step::Sync => Some(&self.metrics.log().sync),
        };
        if let Some(durations) = durations {
            durations.observe(duration);
        }
    }

    fn applied(&self, entry: &AppliedEntry<'_>) {
        self.next.applied(entry);
    }

    fn reads_outcomes(&self) -> bool {
        self.next.reads_outcomes()
    }

    fn installed(&self, shard: ShardId, index: u64) {
        self.next.installed(shard, index);
    }
}

/// Keeps the metrics in step with the node, for as long as it is polled.
pub(crate) async fn observe(node: Node, metrics: CounterMetrics) {
    let mut elections: BTreeMap<ShardId, u64> = BTreeMap::new();
    let mut repeats: BTreeMap<ShardId, u64> = BTreeMap::new();
    let mut restored: BTreeMap<ShardId, u64> = BTreeMap::new();
    let mut ticks = tokio::time::interval(OBSERVE_INTERVAL);
    loop {
        ticks.tick().await;
        let status = node.status();
        metrics.registry_revision(node.registry().revision());
        let offset_ms = node.clock_offset_ms();
        metrics.clock_offset(offset_ms.map(|ms| ms as f64 / 1_000.0));
        metrics.log().bytes.set_integer(status.log_used_bytes);
        for group in &status.groups {
            let Some(shard) = metrics.shard(label(group.shard)) else {
                continue;
            };
            let leads = group.is_leader && group.is_in_contact;
            shard.is_leader.set_integer(u64::from(leads));
            shard.term.set_integer(group.term);
            shard.voters.set_integer(group.voters.len() as u64);
            shard.last_log_index.set_integer(group.last_log_index);
            shard.counters_live.set_integer(group.counters_live as u64);
            if let Some(offset_ms) = group.log_clock_offset_ms {
                shard.log_clock_offset.set(offset_ms as f64 / 1_000.0);
            }
            let repeated = repeats.insert(group.shard, group.repeats).unwrap_or(0);
            shard.dedup_hits.add(group.repeats.saturating_sub(repeated));
            let admitted = group.admitted_after_restore;
            let before = restored.insert(group.shard, admitted).unwrap_or(0);
            shard
                .admitted_after_restore
                .add(admitted.saturating_sub(before));
            let before = elections.insert(group.shard, group.elections).unwrap_or(0);
            shard.elections.add(group.elections.saturating_sub(before));
        }
    }
}

pub(crate) fn label(shard: ShardId) -> Shard {
    match shard {
        ShardId::REGISTRY => Shard::Registry,
        ShardId(number) => Shard::Counters(number),
    }
}
