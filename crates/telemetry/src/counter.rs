//! What a counter node records.

use std::sync::Arc;

use crate::catalog;
use crate::exposition::{Count, Durations, Exposition, Reading, Sizes};
use crate::label::{Api, ClosedLabel, CounterOutcome, RefundReason};
use crate::limits::SHARDS_MAX;
use crate::shard::Shard;

#[cfg(test)]
mod tests;

/// The metrics of a counter node. Cheap to clone.
#[derive(Clone)]
pub struct CounterMetrics(Arc<Inner>);

/// The metrics of one Raft group on this node.
pub struct ShardMetrics {
    pub dedup_hits: Count,
    /// Decisions that nobody waited for, and whose units were given back.
    pub abandoned: Count,
    pub admitted_after_restore: Count,
    pub log_clock_offset: Reading,
    pub counters_live: Reading,
    pub is_leader: Reading,
    pub term: Reading,
    pub voters: Reading,
    pub last_log_index: Reading,
    pub elections: Count,
    pub commit: Durations,
    pub apply: Durations,
    pub snapshot: Durations,
    pub batch: Sizes,
    decisions: Vec<Count>,
}

/// The metrics of a node's log, which is one for all of its groups.
pub struct LogMetrics {
    pub bytes: Reading,
    pub append: Durations,
    pub sync: Durations,
}

struct Inner {
    shards: Vec<ShardMetrics>,
    registry: ShardMetrics,
    log: LogMetrics,
    registry_revision: Reading,
    clock_offset: Reading,
    clocks_agree: Reading,
}

// === impl CounterMetrics ===

impl CounterMetrics {
    /// The metrics of a node with `shards` shards of counters, all at 0.
    ///
    /// # Panics
    /// Where there are none, or more than [`SHARDS_MAX`].
    pub fn new(exposition: &Exposition, shards: u32) -> Self {
        assert!(
            (1..=SHARDS_MAX).contains(&shards),
            "a node has 1 to {SHARDS_MAX} shards"
        );
        let shards = (0..shards).map(|number| shard(exposition, Shard::Counters(number)));
        Self(Arc::new(Inner {
            shards: shards.collect(),
            registry: shard(exposition, Shard::Registry),
            log: LogMetrics {
                bytes: exposition.reading(&catalog::RAFT_LOG_BYTES, &[]),
                append: exposition.durations(&catalog::RAFT_APPEND, &[]),
                sync: exposition.durations(&catalog::RAFT_SYNC, &[]),
            },
            registry_revision: exposition.reading(&catalog::REGISTRY_REVISION, &[]),
            clock_offset: exposition.reading(&catalog::CLOCK_OFFSET, &[]),
            clocks_agree: exposition.reading(&catalog::CLOCKS_AGREE, &[]),
        }))
    }

    /// The metrics of a shard that this node has.
    pub fn shard(&self, shard: Shard) -> Option<&ShardMetrics> {
        match shard {
            Shard::Counters(number) => self.0.shards.get(number as usize),
            Shard::Registry => Some(&self.0.registry),
            Shard::Other => None,
        }
    }

    /// The metrics of this node's log.
    pub fn log(&self) -> &LogMetrics {
        &self.0.log
    }

    /// How far this node's wall clock is ahead of the reference clock; none while the clocks of a
    /// majority disagree: then the last offset stays.
    pub fn clock_offset(&self, seconds: Option<f64>) {
        self.0
            .clocks_agree
            .set_integer(u64::from(seconds.is_some()));
        if let Some(seconds) = seconds {
            self.0.clock_offset.set(seconds);
        }
    }

    /// The revision of the registry that this node has applied.
    pub fn registry_revision(&self, revision: u64) {
        self.0.registry_revision.set_integer(revision);
    }
}

impl std::fmt::Debug for CounterMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CounterMetrics")
    }
}

// === impl ShardMetrics ===

impl ShardMetrics {
    /// A request was answered.
    pub fn decision(&self, api: Api, outcome: CounterOutcome) {
        self.decisions[api.index() * CounterOutcome::ALL.len() + outcome.index()].one();
    }
}

fn shard(exposition: &Exposition, shard: Shard) -> ShardMetrics {
    let shard = shard.to_string();
    let labels = [shard.as_str()];
    let decisions = Api::ALL.iter().flat_map(|api| {
        CounterOutcome::ALL
            .iter()
            .map(|outcome| (api.as_str(), outcome.as_str()))
    });
    let decisions = decisions.map(|(api, outcome)| {
        exposition.count(&catalog::COUNTER_DECISIONS, &[shard.as_str(), api, outcome])
    });
    ShardMetrics {
        dedup_hits: exposition.count(&catalog::DEDUP_HITS, &labels),
        abandoned: exposition.count(
            &catalog::REFUNDS,
            &[shard.as_str(), RefundReason::Abandoned.as_str()],
        ),
        admitted_after_restore: exposition.count(&catalog::ADMITTED_AFTER_RESTORE, &labels),
        log_clock_offset: exposition.reading(&catalog::LOG_CLOCK_OFFSET, &labels),
        counters_live: exposition.reading(&catalog::COUNTERS_LIVE, &labels),
        is_leader: exposition.reading(&catalog::RAFT_IS_LEADER, &labels),
        term: exposition.reading(&catalog::RAFT_TERM, &labels),
        voters: exposition.reading(&catalog::RAFT_VOTERS, &labels),
        last_log_index: exposition.reading(&catalog::RAFT_LAST_LOG_INDEX, &labels),
        elections: exposition.count(&catalog::RAFT_ELECTIONS, &labels),
        commit: exposition.durations(&catalog::RAFT_COMMIT, &labels),
        apply: exposition.durations(&catalog::RAFT_APPLY, &labels),
        snapshot: exposition.durations(&catalog::RAFT_SNAPSHOT, &labels),
        batch: exposition.sizes(&catalog::RAFT_BATCH, &labels),
        decisions: decisions.collect(),
    }
}
