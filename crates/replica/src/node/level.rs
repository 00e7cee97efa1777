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
//!
//! The level also tells in which protocol the nodes speak to each other: the newest that the level's
//! build understands. So a new build speaks to old ones as they do, and nobody has to ask first.
//!
//! `--cfg quotum_next` stands for the build after this one, which knows one more level and one more
//! protocol, and does nothing with them: `tests/cluster` upgrades the real build to it.

use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use quotum_api::peer;

use super::Node;
use crate::limits::{PEER_PROTOCOL, PEER_PROTOCOL_MIN};
use crate::propose::ProposeError;

/// How often a leader asks the members whether they know more.
const LEVEL_INTERVAL: Duration = Duration::from_millis(250);

/// Levels, and which protocol is spoken from there on.
const PROTOCOLS: &[(u32, u32)] = if cfg!(quotum_next) {
    &[(1, PEER_PROTOCOL_MIN), (3, PEER_PROTOCOL)]
} else {
    &[(1, PEER_PROTOCOL)]
};

/// The protocol of a cluster at this level.
fn protocol(level: u32) -> u32 {
    let spoken = PROTOCOLS.iter().rev().find(|(from, _)| *from <= level);
    spoken.map_or(PEER_PROTOCOL_MIN, |(_, protocol)| *protocol)
}

// === impl Node ===

impl Node {
    /// The feature level of the cluster, as far as this node has applied the registry.
    pub fn feature_level(&self) -> u32 {
        self.registry_group().applier.feature_level()
    }

    /// Refuses a message in a protocol that this build does not understand. A newer one is how a
    /// cluster speaks that has no place for this build any more: that is logged, once.
    pub(crate) fn understands(&self, envelope: &peer::Envelope) -> Result<(), String> {
        let (protocol, from) = (envelope.protocol, envelope.from);
        if (PEER_PROTOCOL_MIN..=PEER_PROTOCOL).contains(&protocol) {
            return Ok(());
        }
        let text = format!(
            "protocols {PEER_PROTOCOL_MIN} to {PEER_PROTOCOL} are understood here, not {protocol}"
        );
        if protocol > PEER_PROTOCOL && self.inner.peers.is_first_too_new() {
            tracing::error!(
                from,
                "{text}: this build is too old for its cluster, and takes no part"
            );
        }
        Err(text)
    }

    /// Whether the cluster may yet agree on a higher level that this node takes part in.
    pub fn is_below_level(&self) -> bool {
        self.feature_level() < self.inner.config.feature_level
    }

    /// Raises the level whenever all members know more, and speaks as it has it.
    pub(super) async fn keep_level(&self) {
        let raft = &self.registry_group().raft;
        let mut metrics = raft.metrics();
        loop {
            let led = raft.is_leader();
            // Another leader tries, or this one again.
            if let Ok(Some(level)) = self.raise_level().await {
                tracing::info!(level, "the feature level of the cluster is raised");
            }
            self.inner.peers.speak(protocol(self.feature_level()));
            let becomes_leader = async {
                while led || !raft.is_leader() {
                    // The consensus has ended.
                    if metrics.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            // Either way it is time to look again.
            let _elapsed = tokio::time::timeout(LEVEL_INTERVAL, becomes_leader).await;
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
