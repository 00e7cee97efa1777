//! Members: how nodes join a cluster and leave it, and how its leaders change.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use quotum_api::peer;

use super::Node;
use super::founding::member_of;
use crate::log::ShardId;
use crate::propose::Group;
use crate::raft::Member;
use crate::wire::{member_from_wire, member_to_wire};

/// How long a successor may take to lead.
const HAND_OVER_DEADLINE: Duration = Duration::from_millis(1_000);

/// Why the members were not changed.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    #[error("{address} cannot be reached: {cause}")]
    Unreachable { address: String, cause: String },
    #[error("node {0} belongs to another cluster; empty its data directory to use it here")]
    OtherCluster(u64),
    #[error(
        "node {0} is a member with another disk: remove it first with `quotum cluster remove {0}`"
    )]
    Replaced(u64),
    #[error("this node belongs to a cluster already")]
    AlreadyMember,
    #[error("this node belongs to no cluster yet")]
    NoCluster,
    #[error("shard {0} has no leader at the moment; try again")]
    NoLeader(ShardId),
    #[error("there is no node {0} in this cluster")]
    UnknownNode(u64),
    #[error("node {0} is the last voter")]
    LastVoter(u64),
    #[error("shard {shard}: {cause}")]
    Refused { shard: ShardId, cause: String },
    #[error(transparent)]
    Identity(#[from] super::IdentityError),
}

// === impl Node ===

impl Node {
    /// Adds the node that serves peers at `address` to every group.
    pub async fn add(&self, address: &str) -> Result<u64, MemberError> {
        let cluster = self.cluster().ok_or(MemberError::NoCluster)?;
        let hello = self.ask_hello(address).await?;
        if !hello.cluster_id.is_empty() && hello.cluster_id != cluster[..] {
            return Err(MemberError::OtherCluster(hello.node));
        }
        let (node, member) = member_of(hello);
        let known = self.members().remove(&node);
        if known.is_some_and(|known| known.incarnation != member.incarnation) {
            return Err(MemberError::Replaced(node));
        }
        for group in self.inner.groups.values() {
            let change = peer::change_request::Change::Add(member_to_wire(node, &member));
            self.change_at_leader(group, change).await?;
        }
        Ok(node)
    }

    /// Removes a node from every group.
    pub async fn remove(&self, node: u64) -> Result<(), MemberError> {
        if !self.members().contains_key(&node) {
            return Err(MemberError::UnknownNode(node));
        }
        for group in self.inner.groups.values() {
            let change = peer::change_request::Change::Remove(node);
            self.change_at_leader(group, change).await?;
        }
        Ok(())
    }

    async fn change_at_leader(
        &self,
        group: &Group,
        change: peer::change_request::Change,
    ) -> Result<(), MemberError> {
        let (leader, member) = group.leader().ok_or(MemberError::NoLeader(group.shard))?;
        if leader == self.id() {
            return self.change_here(group, change).await;
        }
        let cannot = |cause: String| MemberError::Refused {
            shard: group.shard,
            cause,
        };
        let envelope = self.inner.peers.envelope(leader, &member, group.shard);
        let request = peer::ChangeRequest {
            envelope: Some(envelope.map_err(|e| cannot(e.to_string()))?),
            change: Some(change),
        };
        let client = self.inner.peers.client(&member.peer_address);
        let mut client = client.map_err(|e| cannot(e.to_string()))?;
        let answer = client.change(request).await;
        answer
            .map(drop)
            .map_err(|status| cannot(status.message().to_owned()))
    }

    /// Changes the members of one group that this node leads.
    pub(crate) async fn change_here(
        &self,
        group: &Group,
        change: peer::change_request::Change,
    ) -> Result<(), MemberError> {
        match change {
            peer::change_request::Change::Add(member) => {
                let (node, place) = member_from_wire(member);
                self.add_to(group, node, place).await
            }
            peer::change_request::Change::Remove(node) => self.remove_from(group, node).await,
        }
    }

    /// As a learner, then as a voter.
    async fn add_to(&self, group: &Group, node: u64, place: Member) -> Result<(), MemberError> {
        let added = group.raft.add_learner(node, place, true).await;
        added.map_err(|error| refused(group, &error))?;
        let voters = ChangeMembers::AddVoterIds(BTreeSet::from([node]));
        let changed = group.raft.change_membership(voters, false).await;
        changed.map(drop).map_err(|error| refused(group, &error))
    }

    /// Removes a node from one group that this node leads.
    async fn remove_from(&self, group: &Group, node: u64) -> Result<(), MemberError> {
        let voters: BTreeSet<u64> = group.raft.voter_ids().collect();
        if voters == BTreeSet::from([node]) {
            return Err(MemberError::LastVoter(node));
        }
        let change = match voters.contains(&node) {
            true => ChangeMembers::RemoveVoters(BTreeSet::from([node])),
            false => ChangeMembers::RemoveNodes(BTreeSet::from([node])),
        };
        let changed = group.raft.change_membership(change, false).await;
        changed.map(drop).map_err(|error| refused(group, &error))
    }

    /// Lets the follower that is furthest lead a group that this node leads.
    pub(super) async fn hand_over(&self, group: &Group) {
        if !group.raft.is_leader() {
            return;
        }
        let mut metrics = group.raft.metrics();
        let successor = {
            let metrics = metrics.borrow_watched();
            let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
            let matched = metrics.replication.iter().flatten();
            matched
                .filter(|(node, _)| **node != self.id() && voters.contains(node))
                .max_by_key(|(node, matched)| (matched.as_ref().map(|id| id.index()), **node))
                .map(|(node, _)| *node)
        };
        let Some(successor) = successor else { return };
        if group
            .raft
            .trigger()
            .transfer_leader(successor)
            .await
            .is_err()
        {
            return;
        }
        let other_leads = async {
            loop {
                let leader = metrics.borrow_watched().current_leader;
                if leader.is_some_and(|leader| leader != self.id()) {
                    return;
                }
                if metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        // Without a successor in time the others elect one.
        drop(tokio::time::timeout(HAND_OVER_DEADLINE, other_leads).await);
    }
}

pub(super) fn refused(group: &Group, error: &dyn std::error::Error) -> MemberError {
    MemberError::Refused {
        shard: group.shard,
        cause: error.to_string(),
    }
}
