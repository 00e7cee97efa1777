//! The peer service: openraft's server side over `quotum.peer.v1`.
//!
//! Promises: a message for another cluster, another node, an unknown group or another protocol is
//! refused before anything reads it; so is one of a sender whose certificate is another node's.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use openraft::errors::RaftError;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest,
};
use quotum_api::peer;
use quotum_api::peer::peer_server::{Peer, PeerServer};
use tonic::{Request, Response, Status, Streaming};

use crate::limits::{PEER_MESSAGE_BYTES_MAX, SNAPSHOT_BYTES_MAX};
use crate::node::Node;
use crate::propose::Group;
use crate::raft::{Runtime, Snapshot, TypeConfig};
use crate::snapshot::{Image, Receiver};
use crate::wire::{
    Malformed, entry_from_wire, log_id_from_wire, log_id_to_wire, meta_from_wire, vote_from_wire,
    vote_to_wire,
};

/// What vouches for whoever sends a request: says whether its certificate is valid for a host. An
/// extension of requests; where there is none, senders are believed.
#[derive(Clone)]
pub struct Voucher(Arc<dyn Fn(&str) -> bool + Send + Sync>);

/// Serves the other nodes.
#[derive(Clone)]
pub struct PeerService {
    node: Node,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

// === impl Voucher ===

impl Voucher {
    pub fn new(covers: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(covers))
    }

    fn of<T>(request: &Request<T>) -> Option<Self> {
        request.extensions().get().cloned()
    }

    /// Whether the certificate is one of the node that serves peers at `HOST:PORT`.
    fn is_for(&self, peer_address: &str) -> bool {
        let host = peer_address.rsplit_once(':').map(|(host, _)| host);
        host.is_some_and(|host| (self.0)(host))
    }
}

// === impl PeerService ===

impl PeerService {
    pub fn new(node: Node) -> PeerServer<Self> {
        PeerServer::new(Self { node })
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
    }

    /// The group that a message is for.
    async fn group(
        &self,
        voucher: Option<Voucher>,
        envelope: Option<peer::Envelope>,
    ) -> Result<Group, Status> {
        let envelope = envelope.ok_or_else(|| Status::invalid_argument("envelope is missing"))?;
        if let Err(text) = self.node.understands(&envelope) {
            return Err(Status::failed_precondition(text));
        }
        if envelope.to != self.node.id() {
            let text = format!("this is node {}, not {}", self.node.id(), envelope.to);
            return Err(Status::failed_precondition(text));
        }
        self.node.check_receiver(envelope.to_incarnation)?;
        self.node.belong(&envelope.cluster_id).await?;
        let shard = crate::ShardId(envelope.shard);
        let group = self.node.group(shard);
        let group =
            group.ok_or_else(|| Status::not_found(format!("there is no shard {shard} here")))?;
        check_voucher(group, envelope.from, voucher)?;
        check_sender(group, envelope.from, envelope.from_incarnation)?;
        Ok(group.clone())
    }
}

/// Refuses a sender that speaks as a node with another certificate. One that the group does not
/// know is believed to be new: it has no vote, and this node may be behind.
fn check_voucher(group: &Group, from: u64, voucher: Option<Voucher>) -> Result<(), Status> {
    match (group.member(from), voucher) {
        (Some(known), Some(voucher)) if !voucher.is_for(&known.peer_address) => {
            let text = format!(
                "the certificate of the sender is not one of node {from}, which is at {}",
                known.peer_address
            );
            Err(Status::permission_denied(text))
        }
        _ => Ok(()),
    }
}

/// Refuses a sender that the group knows with another disk.
fn check_sender(group: &Group, from: u64, incarnation: u64) -> Result<(), Status> {
    match group.member(from) {
        Some(known) if known.incarnation != incarnation => {
            let text = format!("node {from} of this cluster has another disk than the sender");
            Err(Status::failed_precondition(text))
        }
        _ => Ok(()),
    }
}

fn malformed(error: Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

fn fatal<E: std::error::Error>(error: RaftError<TypeConfig, E>) -> Status {
    Status::unavailable(error.to_string())
}

fn append_from_wire(
    message: peer::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, Malformed> {
    let entries = message.entries.into_iter().map(entry_from_wire);
    Ok(AppendEntriesRequest {
        vote: vote_from_wire(message.vote)?,
        prev_log_id: message.prev_log_id.map(log_id_from_wire),
        entries: entries.collect::<Result<_, _>>()?,
        leader_commit: message.leader_commit.map(log_id_from_wire),
    })
}

fn append_to_wire(result: StreamAppendResult<TypeConfig>) -> peer::AppendResponse {
    use peer::append_response::Result as Wire;
    let result = match result {
        Ok(flushed) => {
            let log_id = flushed.as_ref().map(log_id_to_wire);
            Wire::Flushed(peer::MaybeLogId { log_id })
        }
        Err(StreamAppendError::Conflict(id)) => Wire::Conflict(log_id_to_wire(&id)),
        Err(StreamAppendError::HigherVote(vote)) => Wire::HigherVote(vote_to_wire(&vote)),
    };
    peer::AppendResponse {
        result: Some(result),
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type StreamAppendStream = Answers<peer::AppendResponse>;

    async fn hello(
        &self,
        _request: Request<peer::HelloRequest>,
    ) -> Result<Response<peer::HelloResponse>, Status> {
        Ok(Response::new(self.node.hello()))
    }

    async fn append(
        &self,
        request: Request<peer::AppendRequest>,
    ) -> Result<Response<peer::AppendResponse>, Status> {
        let voucher = Voucher::of(&request);
        let mut message = request.into_inner();
        let group = self.group(voucher, message.envelope.take()).await?;
        let request = append_from_wire(message).map_err(malformed)?;
        group.hear(&request);
        let last = request
            .entries
            .last()
            .map(|entry| entry.log_id)
            .or(request.prev_log_id);
        let prev = request.prev_log_id;
        let response = group.raft.append_entries(request).await.map_err(fatal)?;
        Ok(Response::new(append_to_wire(
            response.into_stream_result(prev, last),
        )))
    }

    async fn stream_append(
        &self,
        request: Request<Streaming<peer::AppendRequest>>,
    ) -> Result<Response<Self::StreamAppendStream>, Status> {
        let voucher = Voucher::of(&request);
        let mut incoming = request.into_inner();
        let first = incoming.message().await?;
        let Some(mut first) = first else {
            return Ok(Response::new(Box::pin(futures_util::stream::empty())));
        };
        let envelope = first.envelope.take();
        let group = self.group(voucher, envelope.clone()).await?;
        let first = append_from_wire(first).map_err(malformed)?;
        // The first message speaks for the stream: those after it must name the same group.
        let rest = incoming.map(move |message| {
            let mut message = message?;
            if message.envelope.take() != envelope {
                return Err(Status::invalid_argument(
                    "the envelope changed within a stream",
                ));
            }
            append_from_wire(message).map_err(malformed)
        });
        // openraft takes requests only: a broken message ends the stream, and the leader opens
        // another one.
        let requests = futures_util::stream::iter([first]).chain(
            rest.take_while(|request| std::future::ready(request.is_ok()))
                .filter_map(|request| std::future::ready(request.ok())),
        );
        let hearing = group.clone();
        let requests = requests.inspect(move |request| hearing.hear(request));
        let seed = self.node.draw_seed();
        let answers = Runtime::scope(seed, async { group.raft.stream_append(requests) }).await;
        let answers = answers.map(|answer| match answer {
            Ok(result) => Ok(append_to_wire(result)),
            Err(error) => Err(Status::unavailable(error.to_string())),
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn vote(
        &self,
        request: Request<peer::VoteRequest>,
    ) -> Result<Response<peer::VoteResponse>, Status> {
        let voucher = Voucher::of(&request);
        let message = request.into_inner();
        let group = self.group(voucher, message.envelope).await?;
        let request = VoteRequest {
            vote: vote_from_wire(message.vote).map_err(malformed)?,
            last_log_id: message.last_log_id.map(log_id_from_wire),
            leadership_transfer: message.leadership_transfer,
        };
        let response = match message.pre_vote {
            true => group.raft.pre_vote(request).await.map_err(fatal)?,
            false => group.raft.vote(request).await.map_err(fatal)?,
        };
        Ok(Response::new(peer::VoteResponse {
            vote: Some(vote_to_wire(&response.vote)),
            granted: response.vote_granted,
            last_log_id: response.last_log_id.as_ref().map(log_id_to_wire),
        }))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<peer::SnapshotRequest>>,
    ) -> Result<Response<peer::SnapshotResponse>, Status> {
        let voucher = Voucher::of(&request);
        let mut incoming = request.into_inner();
        let first = incoming.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("an empty snapshot stream"))?;
        let group = self.group(voucher, first.envelope).await?;
        let vote = vote_from_wire(first.vote).map_err(malformed)?;
        let meta = first
            .meta
            .ok_or_else(|| Status::invalid_argument("meta is missing"))?;
        let size = meta.bytes;
        if size > SNAPSHOT_BYTES_MAX {
            return Err(Status::invalid_argument("the snapshot is too large"));
        }
        let digest = meta.digest;
        let meta = meta_from_wire(meta).map_err(malformed)?;
        let receiver = group.applier.receive_snapshot(&meta, digest);
        let snapshot = receive(&mut incoming, receiver, size).await?;
        let snapshot = Snapshot { meta, snapshot };
        let response = group.raft.install_full_snapshot(vote, snapshot).await;
        let response = response.map_err(|error| Status::unavailable(error.to_string()))?;
        let vote = Some(vote_to_wire(&response.vote));
        Ok(Response::new(peer::SnapshotResponse { vote }))
    }

    async fn transfer_leader(
        &self,
        request: Request<peer::TransferLeaderRequest>,
    ) -> Result<Response<peer::TransferLeaderResponse>, Status> {
        let voucher = Voucher::of(&request);
        let message = request.into_inner();
        let group = self.group(voucher, message.envelope).await?;
        let from = vote_from_wire(message.from_leader).map_err(malformed)?;
        let last = message.last_log_id.map(log_id_from_wire);
        let request = TransferLeaderRequest::new(from, message.to, last);
        let answer = group.raft.handle_transfer_leader(request).await;
        let answer = answer.map_err(|error| Status::unavailable(error.to_string()))?;
        let refused = answer
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        Ok(Response::new(peer::TransferLeaderResponse { refused }))
    }

    async fn change(
        &self,
        request: Request<peer::ChangeRequest>,
    ) -> Result<Response<peer::ChangeResponse>, Status> {
        let voucher = Voucher::of(&request);
        let message = request.into_inner();
        let group = self.group(voucher, message.envelope).await?;
        let change = message.change;
        let change = change.ok_or_else(|| Status::invalid_argument("change is missing"))?;
        let changed = self.node.change_here(&group, change).await;
        changed.map_err(|error| Status::failed_precondition(error.to_string()))?;
        Ok(Response::new(peer::ChangeResponse {}))
    }

    async fn read_index(
        &self,
        request: Request<peer::ReadIndexRequest>,
    ) -> Result<Response<peer::ReadIndexResponse>, Status> {
        let voucher = Voucher::of(&request);
        let group = self.group(voucher, request.into_inner().envelope).await?;
        let index = group.read_index().await;
        let index = index.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(peer::ReadIndexResponse { index }))
    }

    async fn health(
        &self,
        request: Request<peer::HealthRequest>,
    ) -> Result<Response<peer::HealthResponse>, Status> {
        let voucher = Voucher::of(&request);
        self.group(voucher, request.into_inner().envelope).await?;
        Ok(Response::new(self.node.health().into()))
    }

    async fn watchers(
        &self,
        request: Request<peer::WatchersRequest>,
    ) -> Result<Response<peer::WatchersResponse>, Status> {
        let voucher = Voucher::of(&request);
        self.group(voucher, request.into_inner().envelope).await?;
        let watcher = |(gateway, revision)| peer::watchers_response::Watcher { gateway, revision };
        let watchers = self.node.watchers().into_iter().map(watcher).collect();
        Ok(Response::new(peer::WatchersResponse { watchers }))
    }
}

/// A snapshot on the disk, checked against the announced number of bytes and their checksum.
async fn receive(
    incoming: &mut Streaming<peer::SnapshotRequest>,
    receiver: Receiver,
    size: u64,
) -> Result<Image, Status> {
    let mut bytes = 0;
    let sum = loop {
        let message = incoming.message().await?;
        let message = message.ok_or_else(|| Status::aborted("the snapshot ends too early"))?;
        bytes += message.chunk.len() as u64;
        if bytes > size {
            return Err(Status::invalid_argument(
                "the snapshot is longer than announced",
            ));
        }
        if !message.chunk.is_empty() && receiver.piece(message.chunk).await.is_err() {
            break None;
        }
        if message.crc32.is_some() {
            break message.crc32;
        }
    };
    let written = receiver.end().await;
    let (image, written_sum) = written
        .map_err(|error| Status::unavailable(format!("the snapshot cannot be kept: {error}")))?;
    if bytes != size || sum != Some(written_sum) {
        return Err(Status::data_loss("the snapshot was damaged on its way"));
    }
    Ok(image)
}
