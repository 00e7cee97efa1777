//! Upkeep: snapshots as the log grows, so that it stays bounded.
//!
//! A group takes a snapshot when it has written a segment's worth of log since its last one. When
//! the segments are crowded, the groups that hold the oldest one take a snapshot too, however
//! little they wrote, and give up the entries that they keep for followers a little behind.
//! openraft gives up nothing by itself: it would take back what it was asked to give up while a
//! follower still reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;

use super::{Node, NodeError};
use crate::limits::{KEPT_SEGMENTS_MAX, SNAPSHOT_LOG_BYTES};
use crate::log::ShardId;
use crate::propose::Group;

/// How often the log is looked at.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How long a snapshot that somebody waits for may take.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(600);

/// What is remembered of the groups from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    groups: BTreeMap<ShardId, Since>,
}

/// A group's last snapshot.
#[derive(Debug, Clone, Copy, Default)]
struct Since {
    /// The bytes of log that were written before it, since the start.
    appended_bytes: u64,
    /// The entry that the snapshot before it covered: until that changes, it is on its way.
    pending_after: Option<Option<u64>>,
}

/// Where a group stands.
#[derive(Debug, Clone, Copy)]
struct Standing {
    appended_bytes: u64,
    applied: Option<u64>,
    /// What the last snapshot covers.
    covered: Option<u64>,
    /// The first entry that it covers and that is kept for followers a little behind.
    kept_from: Option<u64>,
    purged: Option<u64>,
    /// The last entry in the oldest segment, if the segments are crowded and it has one.
    in_the_way: Option<u64>,
}

/// What is to be done for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Due {
    snapshot: bool,
    purge: Option<u64>,
}

// === impl Since ===

impl Since {
    /// Decides for one group.
    fn due(&mut self, standing: Standing, threshold: u64) -> Due {
        if self
            .pending_after
            .is_some_and(|before| before != standing.covered)
        {
            self.pending_after = None;
        }
        let in_the_way = standing
            .in_the_way
            .filter(|last| standing.purged < Some(*last));
        let purge = match in_the_way {
            Some(_) => standing.covered,
            None => standing.kept_from.and_then(|from| from.checked_sub(1)),
        };
        let uncovered = in_the_way.is_some_and(|last| standing.covered < Some(last));
        let grown = standing.appended_bytes.saturating_sub(self.appended_bytes) >= threshold;
        let snapshot = (grown || uncovered)
            && self.pending_after.is_none()
            && standing.applied > standing.covered;
        if snapshot {
            self.appended_bytes = standing.appended_bytes;
            self.pending_after = Some(standing.covered);
        }
        Due {
            snapshot,
            purge: purge.filter(|upto| standing.purged < Some(*upto)),
        }
    }
}

// === impl Node ===

impl Node {
    /// Takes a snapshot of a group now, and waits until it is on the disk.
    pub async fn snapshot(&self, shard: ShardId) -> Result<(), NodeError> {
        let ended = |error: &dyn std::error::Error| NodeError::Raft(error.to_string());
        let Some(group) = self.inner.groups.get(&shard) else {
            return Ok(());
        };
        let applied = group.raft.metrics().borrow_watched().last_applied;
        let triggered = group.raft.trigger().snapshot().await;
        triggered.map_err(|error| ended(&error))?;
        let taken = group.raft.wait(Some(SNAPSHOT_DEADLINE));
        let taken = taken.metrics(|metrics| metrics.snapshot >= applied, "a snapshot");
        taken.await.map(drop).map_err(|error| ended(&error))
    }

    /// Takes snapshots as the log grows.
    pub(super) async fn keep_log_short(&self) {
        let mut upkeep = self.begin_upkeep();
        while self.look_after(&mut upkeep).await {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
        }
    }

    /// What was written before the last snapshots, as the disk told it at the start.
    pub(super) fn begin_upkeep(&self) -> Upkeep {
        let since = |group: &Group| {
            let covered = group.raft.metrics().borrow_watched().snapshot;
            let covered = covered.map(|id| id.index());
            let log = &self.inner.log;
            let since = Since {
                appended_bytes: log.appended_bytes_upto(group.shard, covered),
                pending_after: None,
            };
            (group.shard, since)
        };
        Upkeep {
            groups: self.inner.groups.values().map(since).collect(),
        }
    }

    /// Looks at every group once; false when one has failed.
    pub(super) async fn look_after(&self, upkeep: &mut Upkeep) -> bool {
        let config = self.inner.config.log;
        let threshold = SNAPSHOT_LOG_BYTES.min(config.segment_bytes);
        let used = self.inner.log.shared.stats.used_bytes();
        let crowded = used > KEPT_SEGMENTS_MAX * config.segment_bytes;
        let oldest = match crowded {
            true => self.inner.log.shared.stats.oldest(),
            false => BTreeMap::new(),
        };
        for group in self.inner.groups.values() {
            let appended_bytes = self.inner.log.appended_bytes(group.shard);
            let standing = {
                let metrics = group.raft.metrics();
                let metrics = metrics.borrow_watched();
                let covered = metrics.snapshot.map(|id| id.index());
                Standing {
                    appended_bytes,
                    applied: metrics.last_applied.map(|id| id.index()),
                    covered,
                    kept_from: covered.map(|upto| self.inner.log.kept_from(group.shard, upto)),
                    purged: metrics.purged.map(|id| id.index()),
                    in_the_way: oldest.get(&group.shard).copied(),
                }
            };
            let since = upkeep.groups.entry(group.shard).or_default();
            let due = since.due(standing, threshold);
            if due.snapshot && group.raft.trigger().snapshot().await.is_err() {
                return false;
            }
            if let Some(upto) = due.purge
                && group.raft.trigger().purge_log(upto).await.is_err()
            {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLD: u64 = 1_000;

    fn standing(appended_bytes: u64, applied: u64, covered: Option<u64>) -> Standing {
        Standing {
            appended_bytes,
            applied: Some(applied),
            covered,
            kept_from: None,
            purged: None,
            in_the_way: None,
        }
    }

    #[test]
    fn a_snapshot_is_due_when_a_segment_was_written_since_the_last() {
        let mut since = Since::default();
        assert!(!since.due(standing(999, 5, None), THRESHOLD).snapshot);
        assert!(since.due(standing(1_000, 6, None), THRESHOLD).snapshot);
        // It is on its way.
        assert!(!since.due(standing(2_500, 9, None), THRESHOLD).snapshot);
        // It has come, and the next is due already.
        assert!(since.due(standing(2_500, 9, Some(6)), THRESHOLD).snapshot);
        assert!(!since.due(standing(2_500, 9, Some(9)), THRESHOLD).snapshot);
    }

    #[test]
    fn what_a_follower_a_little_behind_may_need_is_kept() {
        let mut since = Since::default();
        let purge = |since: &mut Since, kept_from, purged| {
            let standing = Standing {
                kept_from: Some(kept_from),
                purged,
                ..standing(10, 1_000, Some(1_000))
            };
            since.due(standing, THRESHOLD).purge
        };
        assert_eq!(purge(&mut since, 0, None), None);
        assert_eq!(purge(&mut since, 6, None), Some(5));
        assert_eq!(purge(&mut since, 6, Some(5)), None);
        // More was given up when the segments were crowded.
        assert_eq!(purge(&mut since, 6, Some(900)), None);
    }

    #[test]
    fn a_group_that_has_applied_nothing_new_takes_none() {
        let mut since = Since::default();
        let still = standing(5_000, 6, Some(6));
        assert_eq!(since.due(still, THRESHOLD), Due::default());
    }

    #[test]
    fn a_quiet_group_in_the_way_takes_one_and_then_lets_go() {
        let mut since = Since::default();
        let quiet = standing(10, 3, None);
        assert_eq!(since.due(quiet, THRESHOLD), Due::default());
        let crowded = Standing {
            in_the_way: Some(3),
            ..quiet
        };
        let due = since.due(crowded, THRESHOLD);
        assert_eq!((due.snapshot, due.purge), (true, None));
        let covered = Standing {
            covered: Some(3),
            ..crowded
        };
        let due = since.due(covered, THRESHOLD);
        assert_eq!((due.snapshot, due.purge), (false, Some(3)));
        let purged = Standing {
            purged: Some(3),
            ..covered
        };
        assert_eq!(since.due(purged, THRESHOLD), Due::default());
    }
}
