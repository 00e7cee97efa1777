//! Health: how each member is, as it says itself.

use openraft::async_runtime::WatchReceiver;
use quotum_api::peer;
use quotum_api::peer::health_response::Standing as WireStanding;

use super::Node;
use crate::limits::HELLO_DEADLINE;
use crate::log::ShardId;
use crate::raft::Member;

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub version: String,
    /// Its wall clock less its reference clock; none while the clocks of a majority disagree.
    pub clock_offset_ms: Option<i64>,
    pub standings: Vec<Standing>,
    /// The highest feature level that it knows.
    pub feature_level: u32,
}

/// Where a node stands in one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub shard: ShardId,
    pub last_log_index: u64,
    pub applied_index: u64,
}

// === impl Node ===

impl Node {
    /// How this node is.
    pub fn health(&self) -> Health {
        let groups = self.inner.groups.values();
        let standing = |group: &crate::propose::Group| {
            let metrics = group.raft.metrics();
            let metrics = metrics.borrow_watched();
            Standing {
                shard: group.shard,
                last_log_index: metrics.last_log_index.unwrap_or(0),
                applied_index: metrics.last_applied.map_or(0, |id| id.index()),
            }
        };
        Health {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            clock_offset_ms: self.clock_offset_ms(),
            standings: groups.map(standing).collect(),
            feature_level: self.inner.config.feature_level,
        }
    }

    /// How each member is, or why it did not answer in time.
    pub async fn all_health(&self) -> Vec<(u64, Member, Result<Health, String>)> {
        let ask = |(id, member): (u64, Member)| async move {
            let health = match id == self.id() {
                true => Ok(self.health()),
                false => self.ask_health(id, &member).await,
            };
            (id, member, health)
        };
        futures_util::future::join_all(self.members().into_iter().map(ask)).await
    }

    pub(super) async fn ask_health(&self, id: u64, member: &Member) -> Result<Health, String> {
        let peers = &self.inner.peers;
        let envelope = peers.envelope(id, member, ShardId::REGISTRY);
        let request = peer::HealthRequest {
            envelope: Some(envelope.map_err(|error| error.to_string())?),
        };
        let client = peers.client(&member.peer_address);
        let mut client = client.map_err(|error| error.to_string())?;
        let answer = tokio::time::timeout(HELLO_DEADLINE, client.health(request)).await;
        let answer = answer.map_err(|_| "no answer in time".to_owned())?;
        let answer = answer.map_err(|status| status.message().to_owned())?;
        Ok(answer.into_inner().into())
    }
}

// === impl Health ===

impl From<peer::HealthResponse> for Health {
    fn from(wire: peer::HealthResponse) -> Self {
        let standing = |standing: WireStanding| Standing {
            shard: ShardId(standing.shard),
            last_log_index: standing.last_log_index,
            applied_index: standing.applied_index,
        };
        Self {
            version: wire.version,
            clock_offset_ms: wire.clock_offset_ms,
            standings: wire.standings.into_iter().map(standing).collect(),
            feature_level: wire.feature_level.max(1),
        }
    }
}

impl From<Health> for peer::HealthResponse {
    fn from(health: Health) -> Self {
        let standing = |standing: Standing| WireStanding {
            shard: standing.shard.0,
            last_log_index: standing.last_log_index,
            applied_index: standing.applied_index,
        };
        Self {
            version: health.version,
            clock_offset_ms: health.clock_offset_ms,
            standings: health.standings.into_iter().map(standing).collect(),
            feature_level: health.feature_level,
        }
    }
}
