//! What the client counts about itself. Plain numbers: the exporter reads them elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers since the client started, over all shards.
#[derive(Debug, Default)]
pub struct Stats {
    retries: Count,
    connections: Count,
    connect_failures: Count,
    attempts_timed_out: Count,
    epochs: Count,
    abandoned: Count,
    refunds: Count,
    refunds_forfeited: Count,
    denials_cached: Count,
    contended: Count,
    stale: Count,
    unavailable: Count,
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

// === impl Count ===

impl Count {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident, $count:ident;)*) => {
        impl Stats {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> u64 {
                    self.$name.get()
                }

                pub(crate) fn $count(&self) -> &Count {
                    &self.$name
                }
            )*
        }
    };
}

// === impl Stats ===

counts! {
    /// Commands sent again under the same id.
    retries, count_retries;
    /// Streams opened.
    connections, count_connections;
    /// Nodes that could not be reached.
    connect_failures, count_connect_failures;
    /// Streams given up because a message was not answered in time.
    attempts_timed_out, count_attempts_timed_out;
    /// Epochs opened.
    epochs, count_epochs;
    /// Ids given up at their deadline or with their caller though they may have been decided.
    abandoned, count_abandoned;
    /// Refunds acknowledged, whatever they gave back.
    refunds, count_refunds;
    /// Refunds that came too late or were never acknowledged: the units stay charged.
    refunds_forfeited, count_refunds_forfeited;
    /// Denials answered from the deny cache.
    denials_cached, count_denials_cached;
    /// Requests asked again because of units that others had reserved.
    contended, count_contended;
    /// Admissions that were over when they arrived.
    stale, count_stale;
    /// Decisions answered as unavailable.
    unavailable, count_unavailable;
}
