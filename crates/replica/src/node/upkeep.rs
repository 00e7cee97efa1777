//! Upkeep: snapshots as the log grows, so that it stays bounded.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;

use super::Node;
use crate::limits::{KEPT_SEGMENTS_MAX, SNAPSHOT_LOG_BYTES};

// === impl Node ===

impl Node {
    /// Takes snapshots as the log grows, so that it stays bounded.
    pub(super) async fn keep_log_short(&self) {
        let mut last = 0;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let written = self.inner.log.written_bytes();
            if written - last < SNAPSHOT_LOG_BYTES.min(self.inner.config.log.segment_bytes) {
                continue;
            }
            last = written;
            let used = self.inner.log.shared.stats.used_bytes();
            let crowded = used > KEPT_SEGMENTS_MAX * self.inner.config.log.segment_bytes;
            for group in self.inner.groups.values() {
                if group.raft.trigger().snapshot().await.is_err() {
                    return;
                }
                let snapshot = group.raft.metrics().borrow_watched().snapshot;
                if let Some(covered) = snapshot.filter(|_| crowded)
                    && group
                        .raft
                        .trigger()
                        .purge_log(covered.index())
                        .await
                        .is_err()
                {
                    return;
                }
            }
        }
    }
}
