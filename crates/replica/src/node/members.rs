//! Members: how nodes join a cluster and leave it, and how its leaders change.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, ForwardReason, RaftError};
use quotum_api::peer;
use tokio::sync::oneshot;

use super::Node;
use super::founding::member_of;
use super::joining::Added;
use crate::limits::{CHANGE_ANSWER_DEADLINE, CHANGE_DEADLINE};
use crate::log::ShardId;
use crate::propose::Group;
use crate::raft::Member;
use crate::wire::{member_from_wire, member_to_wire};

/// How long a leader that cannot change its members yet is asked again, and how often.
const CHANGE_PATIENCE: Duration = Duration::from_secs(2);
/// See [`CHANGE_PATIENCE`].
const CHANGE_INTERVAL: Duration = Duration::from_millis(10);

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
    #[error(
        "node {node} knows feature level {known}, and this cluster is at {level}: start it as a version that knows {level}"
    )]
    FeatureLevel { node: u64, known: u32, level: u32 },
    #[error("this node belongs to a cluster already")]
    AlreadyMember,
    #[error("this node belongs to no cluster yet")]
    NoCluster,
    #[error("shard {0} has no leader at the moment; try again")]
    NoLeader(ShardId),
    #[error("there is no node {0} in this cluster")]
    UnknownNode(u64),
    #[error("there is no shard {0} in this cluster")]
    UnknownShard(ShardId),
    #[error("shard {shard}: node {node} has no vote there, so it cannot lead")]
    NoVoter { shard: ShardId, node: u64 },
    #[error(
        "shard {shard}: node {node} did not take over in time; `quotum cluster status` shows who leads"
    )]
    NotTakenOver { shard: ShardId, node: u64 },
    #[error(
        "shard {0}: the change was not made in time, and may be made yet; `quotum cluster status` shows the members"
    )]
    Late(ShardId),
    #[error("this node has stopped")]
    Stopped,
    #[error("this backup cannot be used: {0}")]
    Backup(String),
    #[error("node {0} is the last voter")]
    LastVoter(u64),
    #[error("shard {shard}: {cause}")]
    Refused { shard: ShardId, cause: String },
    #[error(transparent)]
    Identity(#[from] super::IdentityError),
}

// === impl Node ===

impl Node {
    /// Adds the node that serves peers at `address` to every group, as a learner: see
    /// [`super::joining`] for how it comes to vote. Tells how far it is after [`crate::limits::ADD_WAIT`].
    pub async fn add(&self, address: &str) -> Result<Added, MemberError> {
        let cluster = self.cluster().ok_or(MemberError::NoCluster)?;
        let hello = self.ask_hello(address).await?;
        if !hello.cluster_id.is_empty() && hello.cluster_id != cluster[..] {
            return Err(MemberError::OtherCluster(hello.node));
        }
        let (known, level) = (hello.feature_level.max(1), self.feature_level());
        if known < level {
            let node = hello.node;
            return Err(MemberError::FeatureLevel { node, known, level });
        }
        let (node, member) = member_of(hello);
        let known = self.members().remove(&node);
        if known.is_some_and(|known| known.incarnation != member.incarnation) {
            return Err(MemberError::Replaced(node));
        }
        let asked = self.clone();
        let entered = async move { asked.enter(node, &member).await };
        self.to_its_end(entered).await?;
        Ok(self.wait_for_votes(node).await)
    }

    /// Makes a node a learner in every group.
    async fn enter(&self, node: u64, member: &Member) -> Result<(), MemberError> {
        let entering = self.inner.groups.values().map(|group| {
            let change = peer::change_request::Change::Add(member_to_wire(node, member));
            self.change_at_leader(group, change)
        });
        let entered = futures_util::future::join_all(entering).await;
        entered.into_iter().collect()
    }

    /// Removes a node from every group.
    pub async fn remove(&self, node: u64) -> Result<(), MemberError> {
        if self.cluster().is_none() {
            return Err(MemberError::NoCluster);
        }
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
        match leader == self.id() {
            true => self.change_here(group, change).await,
            false => self.change_at(group, leader, &member, change).await,
        }
    }

    async fn change_at(
        &self,
        group: &Group,
        leader: u64,
        member: &Member,
        change: peer::change_request::Change,
    ) -> Result<(), MemberError> {
        let cannot = |cause: String| MemberError::Refused {
            shard: group.shard,
            cause,
        };
        let envelope = self.inner.peers.envelope(leader, member, group.shard);
        let request = peer::ChangeRequest {
            envelope: Some(envelope.map_err(|e| cannot(e.to_string()))?),
            change: Some(change),
        };
        let client = self.inner.peers.client(&member.peer_address);
        let mut client = client.map_err(|e| cannot(e.to_string()))?;
        let answer = tokio::time::timeout(CHANGE_ANSWER_DEADLINE, client.change(request)).await;
        let answer = answer.map_err(|_| MemberError::Late(group.shard))?;
        answer
            .map(drop)
            .map_err(|status| cannot(status.message().to_owned()))
    }

    /// Changes the members of one group that this node leads, and goes on with it when whoever asked
    /// has gone away.
    pub(crate) async fn change_here(
        &self,
        group: &Group,
        change: peer::change_request::Change,
    ) -> Result<(), MemberError> {
        let (node, group) = (self.clone(), group.clone());
        let changed = async move {
            let changing = node.change(&group, change);
            let changed = tokio::time::timeout(CHANGE_DEADLINE, changing).await;
            changed.unwrap_or(Err(MemberError::Late(group.shard)))
        };
        self.to_its_end(changed).await
    }

    /// Runs a task that the node owns, and waits for it.
    async fn to_its_end(
        &self,
        task: impl Future<Output = Result<(), MemberError>> + Send + 'static,
    ) -> Result<(), MemberError> {
        let (done, ended) = oneshot::channel();
        self.spawn(async move {
            // Nobody waits any more when the caller has gone away.
            let _gone = done.send(task.await);
        });
        ended.await.unwrap_or(Err(MemberError::Stopped))
    }

    async fn change(
        &self,
        group: &Group,
        change: peer::change_request::Change,
    ) -> Result<(), MemberError> {
        match change {
            peer::change_request::Change::Add(member) => {
                let (node, place) = member_from_wire(member);
                match group.member(node) {
                    // It was added before, and is on its way to a vote, or has it.
                    Some(known) if known.incarnation == place.incarnation => Ok(()),
                    _ => patiently(group, &Step::Learner(node, place)).await,
                }
            }
            peer::change_request::Change::Remove(node) => self.remove_from(group, node).await,
            peer::change_request::Change::Lead(node) => self.lead(group, node).await,
        }
    }

    /// Removes a node from one group that this node leads.
    async fn remove_from(&self, group: &Group, node: u64) -> Result<(), MemberError> {
        let voters: BTreeSet<u64> = group.raft.voter_ids().collect();
        if voters == BTreeSet::from([node]) {
            return Err(MemberError::LastVoter(node));
        }
        // A leader that removes itself leaves its group without one until the others elect it.
        if node == self.id() {
            self.hand_over(group).await;
            if let Some((leader, member)) = group.leader().filter(|(leader, _)| *leader != node) {
                let change = peer::change_request::Change::Remove(node);
                return self.change_at(group, leader, &member, change).await;
            }
        }
        let change = match voters.contains(&node) {
            true => ChangeMembers::RemoveVoters(BTreeSet::from([node])),
            false => ChangeMembers::RemoveNodes(BTreeSet::from([node])),
        };
        patiently(group, &Step::Change(change)).await
    }

    /// Lets a node lead one group, or all, and returns the groups.
    pub async fn transfer_leader(
        &self,
        node: u64,
        shard: Option<ShardId>,
    ) -> Result<Vec<ShardId>, MemberError> {
        if !self.members().contains_key(&node) {
            return Err(MemberError::UnknownNode(node));
        }
        let mut moved = Vec::new();
        for group in self.inner.groups.values() {
            if shard.is_some_and(|shard| shard != group.shard) {
                continue;
            }
            let change = peer::change_request::Change::Lead(node);
            self.change_at_leader(group, change).await?;
            moved.push(group.shard);
        }
        match shard {
            Some(shard) if moved.is_empty() => Err(MemberError::UnknownShard(shard)),
            _ => Ok(moved),
        }
    }

    /// Hands a group that this node leads over to `node`, and waits until it leads.
    async fn lead(&self, group: &Group, node: u64) -> Result<(), MemberError> {
        if !group.voters().contains(&node) {
            return Err(MemberError::NoVoter {
                shard: group.shard,
                node,
            });
        }
        if node == self.id() || hand_over_to(group, self.id(), node).await == Some(node) {
            return Ok(());
        }
        Err(MemberError::NotTakenOver {
            shard: group.shard,
            node,
        })
    }

    /// Lets the follower that is furthest lead a group that this node leads, or the next if it does
    /// not.
    pub(super) async fn hand_over(&self, group: &Group) {
        self.hand_over_to_one(group, |_| true).await;
    }

    /// The same, to one of those that may.
    pub(super) async fn hand_over_to_one(&self, group: &Group, may: impl Fn(u64) -> bool) {
        if !group.raft.is_leader() {
            return;
        }
        let successors = successors(group, self.id());
        for successor in successors.into_iter().filter(|node| may(*node)) {
            // Without a successor in time the others elect one.
            if hand_over_to(group, self.id(), successor).await.is_some() {
                return;
            }
        }
    }
}

/// The other voters, the furthest first.
fn successors(group: &Group, own: u64) -> Vec<u64> {
    let metrics = group.raft.metrics();
    let metrics = metrics.borrow_watched();
    let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
    let matched = metrics.replication.iter().flatten();
    let mut others: Vec<_> = matched
        .filter(|(node, _)| **node != own && voters.contains(node))
        .map(|(node, matched)| (matched.as_ref().map(|id| id.index()), *node))
        .collect();
    others.sort_unstable();
    others.into_iter().rev().map(|(_, node)| node).collect()
}

/// Hands over to `to`, and waits until another node leads. Which one that is; none if it takes too
/// long.
async fn hand_over_to(group: &Group, own: u64, to: u64) -> Option<u64> {
    let mut metrics = group.raft.metrics();
    group.raft.trigger().transfer_leader(to).await.ok()?;
    let other_leads = async {
        loop {
            let leader = metrics.borrow_watched().current_leader;
            if let Some(leader) = leader.filter(|leader| *leader != own) {
                return Some(leader);
            }
            metrics.changed().await.ok()?;
        }
    };
    tokio::time::timeout(HAND_OVER_DEADLINE, other_leads)
        .await
        .ok()?
}

/// One change of a group's members.
pub(super) enum Step {
    Learner(u64, Member),
    Change(ChangeMembers<u64, Member>),
}

/// Changes a membership. A leader that was just elected, or whose last change is on its way, is
/// asked again for a while.
pub(super) async fn patiently(group: &Group, step: &Step) -> Result<(), MemberError> {
    let deadline = tokio::time::Instant::now() + CHANGE_PATIENCE;
    loop {
        let changed = match step {
            Step::Learner(node, place) => group.raft.add_learner(*node, place.clone(), false).await,
            Step::Change(change) => group.raft.change_membership(change.clone(), false).await,
        };
        let error = match changed {
            Ok(_) => return Ok(()),
            Err(RaftError::APIError(error)) => error,
            Err(error) => return Err(refused(group, &error)),
        };
        let passes = match &error {
            ClientWriteError::ForwardToLeader(forward) => {
                forward.reason == ForwardReason::LeaseExpired && group.raft.is_leader()
            }
            ClientWriteError::ChangeMembershipError(error) => {
                matches!(error, ChangeMembershipError::InProgress(_))
            }
            _ => false,
        };
        if !passes || tokio::time::Instant::now() >= deadline {
            return Err(refused(group, &error));
        }
        tokio::time::sleep(CHANGE_INTERVAL).await;
    }
}

pub(super) fn refused(group: &Group, error: &dyn std::error::Error) -> MemberError {
    MemberError::Refused {
        shard: group.shard,
        cause: error.to_string(),
    }
}
