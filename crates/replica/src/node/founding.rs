//! Founding: how a cluster starts, and how a node comes to belong to one.
//!
//! Promises: of the nodes that start a cluster together one draws its id and founds its groups;
//! cut off in the middle, the same one goes on. A node belongs to one cluster for as long as it
//! has its data, and a replaced disk is not taken for the one that was lost.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use quotum_api::peer;
use tonic::Status;

use super::{MemberError, Node};
use crate::network::ClusterId;
use crate::raft::Member;

#[cfg(test)]
mod tests;

/// How long between two looks at peers that are not all there yet.
const BOOTSTRAP_INTERVAL: Duration = Duration::from_millis(100);

/// Looks that find a peer in a cluster before this node says so: its founding may be on its way
/// here.
const FOREIGN_LOOKS_MAX: usize = 50;

/// What a node that is to start a cluster with others does next.
#[derive(Debug, PartialEq, Eq)]
enum Founding {
    /// Others are missing, or another one acts.
    Wait,
    /// This node founds the cluster of these members.
    Act(BTreeMap<u64, Member>),
    /// A peer belongs to a cluster that this node does not belong to.
    Foreign,
}

/// What a node knows of itself when it looks at the others.
#[derive(Debug)]
struct Own {
    node: u64,
    member: Member,
    cluster: Option<ClusterId>,
    founder: bool,
}

/// The first of all that are there acts, once all are there and none belongs elsewhere.
fn founding(own: &Own, heard: Vec<peer::HelloResponse>, expect: usize) -> Founding {
    // A node that was added to a cluster gets its groups from their leaders.
    if own.cluster.is_some() && !own.founder {
        return Founding::Wait;
    }
    let mut present = BTreeMap::from([(own.node, own.member.clone())]);
    for hello in heard {
        let joined = own.cluster.is_some_and(|id| hello.cluster_id == id[..]);
        if hello.node != own.node && !hello.cluster_id.is_empty() && !joined {
            return Founding::Foreign;
        }
        let (node, member) = member_of(hello);
        present.insert(node, member);
    }
    let first = present.first_key_value().map(|(node, _)| *node);
    if present.len() != expect || first != Some(own.node) {
        return Founding::Wait;
    }
    Founding::Act(present)
}

/// Who has answered.
pub(super) fn member_of(hello: peer::HelloResponse) -> (u64, Member) {
    let member = Member {
        peer_address: hello.peer_address,
        client_address: hello.client_address,
        incarnation: hello.incarnation,
    };
    (hello.node, member)
}

// === impl Node ===

impl Node {
    /// Makes this pristine node a cluster of its own, or goes on where that was cut off.
    pub async fn init(&self) -> Result<ClusterId, MemberError> {
        let cut_off = self.inner.identity.lock().await.founder && !self.all_initialized().await;
        if self.cluster().is_some() && !cut_off {
            return Err(MemberError::AlreadyMember);
        }
        let members = BTreeMap::from([(self.id(), self.member().clone())]);
        self.found(members).await
    }

    /// Starts a cluster of `expect` nodes together with the others at `addresses`, unless this
    /// node belongs to one. All must be there and pristine; the one with the lowest id acts.
    /// Returns when this node belongs to a cluster and has all its groups.
    pub async fn bootstrap(&self, addresses: &[String], expect: usize) -> Result<(), MemberError> {
        let mut foreign_looks = 0;
        while !self.all_initialized().await {
            let own = Own {
                node: self.id(),
                member: self.member().clone(),
                cluster: self.cluster(),
                founder: self.inner.identity.lock().await.founder,
            };
            let asked = addresses.iter().map(|address| self.ask_hello(address));
            let heard = futures_util::future::join_all(asked).await;
            match founding(&own, heard.into_iter().flatten().collect(), expect) {
                Founding::Act(members) => match self.found(members).await {
                    // Another cluster has come first.
                    Err(MemberError::AlreadyMember) => continue,
                    founded => return founded.map(drop),
                },
                Founding::Foreign => foreign_looks += 1,
                Founding::Wait => foreign_looks = 0,
            }
            if foreign_looks == FOREIGN_LOOKS_MAX {
                tracing::warn!(
                    node = self.id(),
                    peer_address = self.member().peer_address,
                    "the peers belong to a cluster already, and this node is new: \
                     `quotum cluster add` makes it a member"
                );
            }
            tokio::time::sleep(BOOTSTRAP_INTERVAL).await;
        }
        Ok(())
    }

    async fn all_initialized(&self) -> bool {
        for group in self.inner.groups.values() {
            if !group.raft.is_initialized().await.unwrap_or(false) {
                return false;
            }
        }
        true
    }

    /// Founds the cluster, or finishes a founding that was cut off.
    async fn found(&self, members: BTreeMap<u64, Member>) -> Result<ClusterId, MemberError> {
        let cluster = match self.cluster() {
            Some(cluster) => cluster,
            None => {
                let id = self.draw_cluster();
                self.join_cluster(id, true).await?
            }
        };
        // All groups have the members of the first, whoever is there when this goes on.
        let members = self.founded().unwrap_or(members);
        for group in self.inner.groups.values() {
            if group.raft.is_initialized().await.unwrap_or(false) {
                continue;
            }
            let result = group.raft.initialize(members.clone()).await;
            result.map_err(|error| super::members::refused(group, &error))?;
        }
        Ok(cluster)
    }

    /// The id of a cluster that there was never before.
    pub(super) fn draw_cluster(&self) -> ClusterId {
        let mut id = ClusterId::default();
        id[..8].copy_from_slice(&self.draw_seed().to_le_bytes());
        id[8..].copy_from_slice(&self.draw_seed().to_le_bytes());
        id
    }

    /// The members of a group that was founded before.
    fn founded(&self) -> Option<BTreeMap<u64, Member>> {
        self.inner.groups.values().find_map(|group| {
            let metrics = group.raft.metrics();
            let metrics = metrics.borrow_watched();
            let nodes = metrics.membership_config.membership().nodes();
            let nodes: BTreeMap<_, _> = nodes.map(|(id, member)| (*id, member.clone())).collect();
            (!nodes.is_empty()).then_some(nodes)
        })
    }

    /// Remembers the cluster before anything is done in its name, and returns the one that counts:
    /// another may have come first.
    pub(super) async fn join_cluster(
        &self,
        cluster: ClusterId,
        founder: bool,
    ) -> Result<ClusterId, MemberError> {
        let mut identity = self.inner.identity.lock().await;
        if let Some(joined) = identity.cluster {
            // Whoever was faster founds it.
            return match joined == cluster || !founder {
                true => Ok(joined),
                false => Err(MemberError::AlreadyMember),
            };
        }
        let mut joined = identity.clone();
        joined.cluster = Some(cluster);
        joined.founder = founder;
        joined.save(&self.inner.disk).await?;
        *identity = joined;
        let set = self.inner.peers.cluster.set(cluster);
        set.expect("it is set under the lock above, once");
        Ok(cluster)
    }

    /// Refuses a message for a disk that this node has no longer.
    pub(crate) fn check_receiver(&self, incarnation: u64) -> Result<(), Status> {
        if incarnation == self.member().incarnation {
            return Ok(());
        }
        let id = self.id();
        let text = format!(
            "the disk of node {id} was replaced: remove the node with `quotum cluster remove {id}`, and add it again"
        );
        if self.inner.replaced.set(()).is_ok() {
            tracing::error!(text);
        }
        Err(Status::failed_precondition(text))
    }

    /// Whether a message of `cluster` is for this node. A pristine node joins the first cluster
    /// that speaks to it under its own id and incarnation.
    pub(crate) async fn belong(&self, cluster: &[u8]) -> Result<(), Status> {
        let cluster = ClusterId::try_from(cluster)
            .map_err(|_| Status::invalid_argument("a cluster id has 16 bytes"))?;
        if self.cluster().is_none() {
            self.join_cluster(cluster, false)
                .await
                .map_err(|e| Status::unavailable(e.to_string()))?;
        }
        if self.cluster() != Some(cluster) {
            return Err(Status::failed_precondition(
                "this node belongs to another cluster",
            ));
        }
        Ok(())
    }
}
