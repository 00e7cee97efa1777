//! `quotum.cluster.v1`: members and their health, for administrators.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use quotum_api::cluster as wire;
use quotum_api::cluster::cluster_server::{Cluster, ClusterServer};
use quotum_replica::node::{GroupStatus, Health, Joining, MemberError, Standing};
use quotum_replica::{Member, Node};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::auth::Tokens;
use crate::backup;

/// Serves administrators of the cluster.
#[derive(Clone)]
pub(crate) struct ClusterService {
    node: Node,
    tokens: Tokens,
}

// === impl ClusterService ===

impl ClusterService {
    pub(crate) fn new(node: Node, tokens: Tokens) -> ClusterServer<Self> {
        ClusterServer::new(Self { node, tokens })
    }

    async fn shard(&self, group: &GroupStatus, with_digest: bool) -> wire::Shard {
        let digested = match with_digest {
            true => self.node.digest(group.shard).await,
            false => None,
        };
        let (applied_index, digest) = digested.unzip();
        let matched = |(node, index): (&u64, &u64)| wire::Matched {
            node: *node,
            index: *index,
        };
        wire::Shard {
            name: group.shard.to_string(),
            term: group.term,
            leader: group.leader.unwrap_or(0),
            last_log_index: group.last_log_index,
            applied_index: applied_index.unwrap_or(group.applied_index),
            voters: group.voters.clone(),
            learners: group.learners.clone(),
            matched: group.matched.iter().map(matched).collect(),
            counters_live: group.counters_live as u64,
            digest,
            log_time_ms: group.log_time_ms,
        }
    }
}

fn node_to_wire((id, member, health): (u64, Member, Result<Health, String>)) -> wire::Node {
    let standing = |standing: &Standing| wire::Standing {
        shard: standing.shard.to_string(),
        last_log_index: standing.last_log_index,
        applied_index: standing.applied_index,
    };
    let (health, failure) = match health {
        Ok(health) => (Some(health), String::new()),
        Err(failure) => (None, failure),
    };
    wire::Node {
        id,
        peer_address: member.peer_address,
        client_address: member.client_address,
        health: health.map(|health| wire::Health {
            version: health.version,
            clock_offset_ms: health.clock_offset_ms,
            standings: health.standings.iter().map(standing).collect(),
            feature_level: health.feature_level,
        }),
        failure,
    }
}

fn refused(error: MemberError) -> Status {
    let text = error.to_string();
    match error {
        // Another node knows more.
        MemberError::Unreachable { .. }
        | MemberError::NoLeader(_)
        | MemberError::NoCluster
        | MemberError::Stopped => Status::unavailable(text),
        MemberError::Late(_) => Status::deadline_exceeded(text),
        MemberError::UnknownNode(_) | MemberError::UnknownShard(_) => Status::not_found(text),
        _ => Status::failed_precondition(text),
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn status(
        &self,
        request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        self.tokens.viewer(request.metadata())?;
        let with_digests = request.into_inner().digests;
        let status = self.node.status();
        let nodes = self.node.all_health().await.into_iter().map(node_to_wire);
        let mut shards = Vec::with_capacity(status.groups.len());
        for group in &status.groups {
            shards.push(self.shard(group, with_digests).await);
        }
        Ok(Response::new(wire::StatusResponse {
            cluster_id: status.cluster,
            node: status.node,
            nodes: nodes.collect(),
            shards,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            feature_level: self.node.feature_level(),
        }))
    }

    async fn init(
        &self,
        request: Request<wire::InitRequest>,
    ) -> Result<Response<wire::InitResponse>, Status> {
        self.tokens.admin(request.metadata())?;
        self.node.init().await.map_err(refused)?;
        let cluster_id = self.node.status().cluster;
        Ok(Response::new(wire::InitResponse { cluster_id }))
    }

    async fn add(
        &self,
        request: Request<wire::AddRequest>,
    ) -> Result<Response<wire::AddResponse>, Status> {
        self.tokens.admin(request.metadata())?;
        let address = request.into_inner().peer_address;
        let added = self.node.add(&address).await.map_err(refused)?;
        let joining = |joining: Joining| wire::Joining {
            shard: joining.shard.to_string(),
            behind: joining.behind,
        };
        Ok(Response::new(wire::AddResponse {
            node: added.node,
            joining: added.joining.into_iter().map(joining).collect(),
        }))
    }

    async fn remove(
        &self,
        request: Request<wire::RemoveRequest>,
    ) -> Result<Response<wire::RemoveResponse>, Status> {
        self.tokens.admin(request.metadata())?;
        self.node
            .remove(request.into_inner().node)
            .await
            .map_err(refused)?;
        Ok(Response::new(wire::RemoveResponse {}))
    }

    type BackupStream = Pin<Box<dyn Stream<Item = Result<wire::BackupChunk, Status>> + Send>>;

    async fn backup(
        &self,
        request: Request<wire::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        self.tokens.admin(request.metadata())?;
        let chunks = self.node.backup().await.map_err(refused)?;
        Ok(Response::new(Box::pin(ReceiverStream::new(chunks).map(Ok))))
    }

    async fn restore(
        &self,
        request: Request<Streaming<wire::RestoreRequest>>,
    ) -> Result<Response<wire::RestoreResponse>, Status> {
        self.tokens.admin(request.metadata())?;
        let backup = backup::receive(request.into_inner()).await?;
        let restored = self.node.restore(backup.saved, backup.accept_over).await;
        restored.map_err(refused)?;
        let cluster_id = self.node.status().cluster;
        Ok(Response::new(wire::RestoreResponse { cluster_id }))
    }

    async fn transfer_leader(
        &self,
        request: Request<wire::TransferLeaderRequest>,
    ) -> Result<Response<wire::TransferLeaderResponse>, Status> {
        self.tokens.admin(request.metadata())?;
        let wire::TransferLeaderRequest { node, shard } = request.into_inner();
        let shard =
            match shard.as_str() {
                "" => None,
                name => Some(name.parse().map_err(|_| {
                    Status::invalid_argument("shard: use a number, or \"registry\"")
                })?),
            };
        let moved = self.node.transfer_leader(node, shard).await;
        let moved = moved.map_err(refused)?;
        let shards = moved.iter().map(ToString::to_string).collect();
        Ok(Response::new(wire::TransferLeaderResponse { shards }))
    }
}
