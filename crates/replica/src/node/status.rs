//! Status: what a node knows of itself and its groups.

use std::collections::BTreeMap;

use openraft::async_runtime::WatchReceiver;
use tokio::sync::oneshot;

use super::Node;
use quotum_limit::Stamp;

use crate::log::ShardId;
use crate::machine::Machine;
use crate::propose::Group;
use crate::raft::Member;

/// One node's view of its cluster.
#[derive(Debug, Clone)]
pub struct Status {
    pub node: u64,
    /// As people read it; empty while the node is pristine.
    pub cluster: String,
    pub members: BTreeMap<u64, Member>,
    pub groups: Vec<GroupStatus>,
    pub log_used_bytes: u64,
    pub log_written_bytes: u64,
    pub log_syncs: u64,
}

/// One group, as this node sees it.
#[derive(Debug, Clone)]
pub struct GroupStatus {
    pub shard: ShardId,
    pub term: u64,
    /// Elections that this node has started, since its start.
    pub elections: u64,
    pub is_leader: bool,
    /// Whether this node hears of the leader or, as the leader, is heard by a majority.
    pub is_in_contact: bool,
    pub leader: Option<u64>,
    pub last_log_index: u64,
    pub applied_index: u64,
    pub voters: Vec<u64>,
    pub learners: Vec<u64>,
    /// On the leader: the last index that each other member has on its disk.
    pub matched: BTreeMap<u64, u64>,
    pub counters_live: usize,
    pub requests_held: usize,
    /// Requests that repeated an id which was decided before, since the start.
    pub repeats: u64,
    /// Items admitted though their window contains a restore, since the start.
    pub admitted_after_restore: u64,
    pub log_time_ms: u64,
    /// Log time less the reference clock when the last entry was stamped, in milliseconds.
    pub log_clock_offset_ms: Option<i64>,
}

// === impl Node ===

impl Node {
    pub fn status(&self) -> Status {
        let stats = &self.inner.log.shared.stats;
        Status {
            node: self.id(),
            cluster: self
                .cluster()
                .as_ref()
                .map(super::identity::hex)
                .unwrap_or_default(),
            members: self.members(),
            groups: self
                .inner
                .groups
                .values()
                .map(|group| self.group_status(group))
                .collect(),
            log_used_bytes: stats.used_bytes(),
            log_written_bytes: stats.written_bytes(),
            log_syncs: stats.syncs(),
        }
    }

    /// The digest of a group's state and the index up to which it is applied; none where it cannot be
    /// computed. Computed beside the tasks that serve, on a copy that shares what it can: none of them
    /// waits for it. One at a time, whoever asks: it reads every counter.
    pub async fn digest(&self, shard: ShardId) -> Option<(u64, u64)> {
        let turn = self.inner.digesting.clone().lock_owned().await;
        let (index, frozen) = {
            let applied = self.inner.groups.get(&shard)?.applier.read();
            let index = applied.last.map_or(0, |id| id.index());
            (index, applied.machine.freeze())
        };
        let (done, digest) = oneshot::channel();
        let task = async move {
            // Nobody waits any more when the caller has gone away.
            let _gone = done.send(frozen.digest());
            drop(turn);
        };
        self.inner.disk.spawn("quotum-digest", Box::pin(task));
        Some((index, digest.await.ok()?))
    }

    /// Whether every group knows its leader and this node has applied what it knows of.
    pub fn is_caught_up(&self) -> bool {
        self.inner.groups.values().all(has_caught_up)
    }

    /// Whether this node is a member of every group and hears of its leader or, where it leads, is heard
    /// by a majority: see [`CONTACT_MAX`](crate::limits::CONTACT_MAX).
    pub fn is_in_contact(&self) -> bool {
        let mut groups = self.inner.groups.values();
        groups.all(|group| group.is_in_contact(self.id()))
    }

    /// Up to which entry each group is committed, as far as this node knows.
    pub fn committed(&self) -> BTreeMap<ShardId, u64> {
        let committed = |(shard, group): (&ShardId, &Group)| {
            let metrics = group.raft.metrics();
            let committed = metrics.borrow_watched().cluster_committed;
            (*shard, committed.map_or(0, |id| id.index()))
        };
        self.inner.groups.iter().map(committed).collect()
    }

    /// Whether this node has applied as much of every group as `indexes` say.
    pub fn has_applied(&self, indexes: &BTreeMap<ShardId, u64>) -> bool {
        indexes.iter().all(|(shard, index)| {
            let group = self.inner.groups.get(shard);
            let applied =
                group.and_then(|group| group.raft.metrics().borrow_watched().last_applied);
            applied.map_or(0, |id| id.index()) >= *index
        })
    }

    /// Whether this node knows the leader of the registry and has applied what it knows of.
    pub fn knows_registry(&self) -> bool {
        let registry = self.inner.groups.get(&ShardId::REGISTRY);
        registry.is_some_and(has_caught_up)
    }

    fn group_status(&self, group: &Group) -> GroupStatus {
        let metrics = group.raft.metrics();
        let metrics = metrics.borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let matched = metrics.replication.iter().flatten();
        let (counters_live, requests_held, repeats, admitted_after_restore, stamp) =
            match &group.applier.read().machine {
                Machine::Counters(state) => (
                    state.counters_live(),
                    state.requests_held(),
                    state.repeats(),
                    state.admitted_after_restore(),
                    state.last_stamp(),
                ),
                Machine::Registry(_) => (0, 0, 0, 0, Stamp::default()),
            };
        let is_leader = metrics.current_leader == Some(self.id());
        let log_ms = i64::try_from(stamp.log.ms).unwrap_or(i64::MAX);
        let reference_ms = i64::try_from(stamp.reference_ms).unwrap_or(i64::MAX);
        GroupStatus {
            shard: group.shard,
            term: metrics.current_term,
            elections: self.inner.log.elections(group.shard),
            is_leader,
            is_in_contact: group.is_in_contact(self.id()),
            leader: metrics.current_leader,
            last_log_index: metrics.last_log_index.unwrap_or(0),
            applied_index: metrics.last_applied.map_or(0, |id| id.index()),
            voters: membership.voter_ids().collect(),
            learners: membership.learner_ids().collect(),
            matched: matched
                .map(|(node, id)| (*node, id.as_ref().map_or(0, |id| id.index())))
                .collect(),
            counters_live,
            requests_held,
            repeats,
            admitted_after_restore,
            log_time_ms: stamp.log.ms,
            log_clock_offset_ms: (stamp.reference_ms > 0)
                .then(|| log_ms.saturating_sub(reference_ms)),
        }
    }
}

/// Whether a group has a leader and this node has applied what it knows to be committed.
fn has_caught_up(group: &Group) -> bool {
    let metrics = group.raft.metrics();
    let metrics = metrics.borrow_watched();
    let applied = metrics.last_applied.map(|id| id.index());
    let committed = metrics.cluster_committed.map(|id| id.index());
    metrics.current_leader.is_some() && committed.is_some() && applied >= committed
}
