//! The feature level: which kinds of commands the logs of a cluster may hold.
//!
//! A node says how high a level it knows. The registry has the cluster's level, and its leader
//! raises it when every member, voter or learner, knows more. Promises: no log holds a command of a
//! higher level than the cluster's; the level never falls, so a node that knows less is refused as a
//! new member, and stops as an old one. Until the last node of an upgrade says more, every node can
//! go back to the build it came from.
//!
//! | level | what logs may hold from there on |
//! |---|---|
//! | 1 | everything but what follows |
//! | 2 | reservations: calls whose limits live in two shards |

use std::time::Duration;

use super::Node;
use crate::propose::ProposeError;

/// How often a leader asks the members whether they know more.
const LEVEL_INTERVAL: Duration = Duration::from_millis(250);

// === impl Node ===

impl Node {
    /// The feature level of the cluster, as far as this node has applied the registry.
    pub fn feature_level(&self) -> u32 {
        self.registry_group().applier.feature_level()
    }

    /// Raises the level whenever all members know more.
    pub(super) async fn keep_level(&self) {
        loop {
            // Another leader tries, or this one again.
            if let Ok(Some(level)) = self.raise_level().await {
                tracing::info!(level, "the feature level of the cluster is raised");
            }
            tokio::time::sleep(LEVEL_INTERVAL).await;
        }
    }

    /// Raises the level to what all members know, if this node leads the registry and that is more.
    async fn raise_level(&self) -> Result<Option<u32>, ProposeError> {
        let current = self.feature_level();
        let may_rise = self.inner.config.feature_level > current;
        if !may_rise || !self.registry_group().raft.is_leader() {
            return Ok(None);
        }
        let health = self.all_health().await.into_iter();
        // Who does not answer may know no more than what was agreed.
        let known = health.map(|(.., health)| health.map_or(current, |one| one.feature_level));
        let level = known.min().unwrap_or(current);
        if level <= current {
            return Ok(None);
        }
        let command = quotum_registry::Command::RaiseLevel { level };
        self.change_registry(&command).await?;
        Ok(Some(level))
    }
}
