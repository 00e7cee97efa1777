//! The network between nodes: openraft's client side over `quotum.peer.v1`.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, v2::RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend};
use quotum_api::peer;
use quotum_api::peer::peer_client::PeerClient;
use tonic::Status;
use tonic::transport::Channel;

use crate::limits::{
    COMMIT_HOLD_MAX, PEER_MESSAGE_BYTES_MAX, PEER_PROTOCOL_MIN, SNAPSHOT_BYTES_PER_S_MIN,
    STREAM_OPEN_DEADLINE,
};
use crate::log::ShardId;
use crate::raft::{LogId, Member, Snapshot, TypeConfig, Vote};
use crate::snapshot::Image;
use crate::wire::{
    entry_to_wire, log_id_from_wire, log_id_to_wire, meta_to_wire, vote_from_wire, vote_to_wire,
};

#[cfg(test)]
mod tests;

/// The seam to the network: opens channels to addresses, which connect when they are used.
#[derive(Clone)]
pub struct Dialer(Arc<Open>);

type Open = dyn Fn(&str) -> Result<Channel, tonic::transport::Error> + Send + Sync;

/// 16 bytes that all nodes of a cluster know.
pub type ClusterId = [u8; 16];

/// One channel to each address, opened when it is first asked for. A channel that breaks connects
/// anew when it is next used, and looks its name up again then.
pub struct Channels {
    dialer: Dialer,
    open: Mutex<BTreeMap<String, Channel>>,
}

/// What a node's clients of other nodes share.
pub(crate) struct Peers {
    pub(crate) own: u64,
    pub(crate) incarnation: u64,
    pub(crate) cluster: OnceLock<ClusterId>,
    /// In which protocol other nodes are spoken to.
    protocol: AtomicU32,
    /// Whether one of them spoke in a protocol that is too new.
    met_too_new: AtomicBool,
    channels: Channels,
}

/// Makes the connections of one group.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) peers: Arc<Peers>,
    pub(crate) shard: ShardId,
}

/// The connection of one group to one node.
pub(crate) struct Connection {
    peers: Arc<Peers>,
    shard: ShardId,
    target: u64,
    member: Member,
}

// === impl Dialer ===

impl Dialer {
    pub fn new(
        open: impl Fn(&str) -> Result<Channel, tonic::transport::Error> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(open))
    }

    /// A channel to `HOST:PORT`.
    pub fn dial(&self, address: &str) -> Result<Channel, tonic::transport::Error> {
        (self.0)(address)
    }
}

// === impl Channels ===

impl Channels {
    pub fn new(dialer: Dialer) -> Self {
        Self {
            dialer,
            open: Mutex::default(),
        }
    }

    /// The channel to `HOST:PORT`.
    pub fn get(&self, address: &str) -> Result<Channel, tonic::transport::Error> {
        let mut open = self.open.lock().expect("dialling does not panic");
        if let Some(channel) = open.get(address) {
            return Ok(channel.clone());
        }
        let channel = self.dialer.dial(address)?;
        open.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

// === impl Peers ===

impl Peers {
    pub(crate) fn new(own: u64, incarnation: u64, dialer: Dialer) -> Self {
        Self {
            own,
            incarnation,
            cluster: OnceLock::new(),
            protocol: AtomicU32::new(PEER_PROTOCOL_MIN),
            met_too_new: AtomicBool::new(false),
            channels: Channels::new(dialer),
        }
    }

    /// A client of the node that serves peers at an address.
    pub(crate) fn client(&self, address: &str) -> Result<PeerClient<Channel>, AnyError> {
        let channel = self.channels.get(address).map_err(|e| AnyError::new(&e))?;
        Ok(PeerClient::new(channel)
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX))
    }

    /// From now on other nodes are spoken to in this protocol, which all of them must understand.
    pub(crate) fn speak(&self, protocol: u32) {
        if self.protocol.swap(protocol, Ordering::Relaxed) != protocol {
            tracing::info!(protocol, "peers are spoken to in another protocol");
        }
    }

    /// Notes that somebody spoke in a protocol that is too new; tells whether that is the first time.
    pub(crate) fn is_first_too_new(&self) -> bool {
        !self.met_too_new.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn envelope(
        &self,
        to: u64,
        member: &Member,
        shard: ShardId,
    ) -> Result<peer::Envelope, AnyError> {
        let cluster = self
            .cluster
            .get()
            .ok_or_else(|| AnyError::error("no cluster yet"))?;
        Ok(peer::Envelope {
            cluster_id: bytes::Bytes::copy_from_slice(cluster),
            from: self.own,
            to,
            shard: shard.0,
            protocol: self.protocol.load(Ordering::Relaxed),
            from_incarnation: self.incarnation,
            to_incarnation: member.incarnation,
        })
    }
}

// === impl Network ===

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, member: &Member) -> Connection {
        Connection {
            peers: self.peers.clone(),
            shard: self.shard,
            target,
            member: member.clone(),
        }
    }
}

// === impl Connection ===

fn unreachable(error: &AnyError) -> Unreachable<TypeConfig> {
    Unreachable::new(error)
}

fn rpc_error(status: &Status) -> RPCError<TypeConfig> {
    match status.code() {
        // The peer cannot be reached at all: wait before the next attempt.
        tonic::Code::Unavailable => Unreachable::new(status).into(),
        _ => NetworkError::new(status).into(),
    }
}

impl Connection {
    fn client(&self) -> Result<PeerClient<Channel>, Unreachable<TypeConfig>> {
        self.peers
            .client(&self.member.peer_address)
            .map_err(|e| unreachable(&e))
    }

    fn envelope(&self) -> Result<peer::Envelope, Unreachable<TypeConfig>> {
        self.peers
            .envelope(self.target, &self.member, self.shard)
            .map_err(|e| unreachable(&e))
    }

    fn timeout(&self, action: RPCTypes, option: &RPCOption) -> RPCError<TypeConfig> {
        RPCError::Timeout(Timeout {
            action,
            id: self.peers.own,
            target: self.target,
            timeout: option.hard_ttl(),
        })
    }

    async fn ask_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        pre_vote: bool,
        option: &RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let message = peer::VoteRequest {
            envelope: Some(self.envelope()?),
            vote: Some(vote_to_wire(&request.vote)),
            last_log_id: request.last_log_id.as_ref().map(log_id_to_wire),
            pre_vote,
            leadership_transfer: request.leadership_transfer,
        };
        let mut client = self.client()?;
        let answer = tokio::time::timeout(option.hard_ttl(), client.vote(message)).await;
        let response = answer
            .map_err(|_| self.timeout(RPCTypes::Vote, option))?
            .map_err(|status| rpc_error(&status))?
            .into_inner();
        Ok(VoteResponse {
            vote: vote_from_wire(response.vote).map_err(|e| NetworkError::new(&e))?,
            vote_granted: response.granted,
            last_log_id: response.last_log_id.map(log_id_from_wire),
        })
    }
}

fn append_to_wire(
    request: AppendEntriesRequest<TypeConfig>,
    envelope: peer::Envelope,
) -> peer::AppendRequest {
    peer::AppendRequest {
        envelope: Some(envelope),
        vote: Some(vote_to_wire(&request.vote)),
        prev_log_id: request.prev_log_id.as_ref().map(log_id_to_wire),
        entries: request.entries.into_iter().map(entry_to_wire).collect(),
        leader_commit: request.leader_commit.as_ref().map(log_id_to_wire),
    }
}

/// Holds back a request without entries, which only says what is committed: mostly one with entries
/// follows at once, says it too, and takes its place. So a round of consensus is one message to each
/// follower and not two. openraft takes the answer to the later one for both.
fn with_entries<S>(input: S) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin,
{
    futures_util::stream::unfold(input.fuse(), |mut input| async move {
        let mut request = input.next().await?;
        let until = tokio::time::Instant::now() + COMMIT_HOLD_MAX;
        while request.entries.is_empty() {
            match tokio::time::timeout_at(until, input.next()).await {
                Ok(Some(next)) => request = next,
                // It ends after this one, or it has been held for long enough.
                Ok(None) | Err(_) => break,
            }
        }
        Some((request, input))
    })
}

fn append_result(
    response: peer::AppendResponse,
) -> Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>> {
    use peer::append_response::Result as Wire;
    match response.result {
        Some(Wire::Flushed(flushed)) => Ok(Ok(flushed.log_id.map(log_id_from_wire))),
        Some(Wire::Conflict(id)) => Ok(Err(StreamAppendError::Conflict(log_id_from_wire(id)))),
        Some(Wire::HigherVote(vote)) => {
            let vote = vote_from_wire(Some(vote)).map_err(|e| NetworkError::new(&e))?;
            Ok(Err(StreamAppendError::HigherVote(vote)))
        }
        None => Err(NetworkError::new(&io::Error::other("an empty answer to an append")).into()),
    }
}

/// How long a snapshot may be on its way, beside what any may take.
fn time_for(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SNAPSHOT_BYTES_PER_S_MIN)
}

/// The messages after the first: the state and its checksum. They end without one if the file
/// cannot be read.
fn chunks(image: &Image) -> impl Stream<Item = peer::SnapshotRequest> + Send + use<> {
    let start = (image.pieces(), Some(crc32fast::Hasher::new()));
    futures_util::stream::unfold(start, |(mut pieces, sum)| async move {
        let mut sum = sum?;
        let message = match pieces.recv().await {
            Some(Err(_)) => return None,
            Some(Ok(chunk)) => {
                sum.update(&chunk);
                let message = peer::SnapshotRequest {
                    chunk,
                    ..Default::default()
                };
                return Some((message, (pieces, Some(sum))));
            }
            None => peer::SnapshotRequest {
                crc32: Some(sum.finalize()),
                ..Default::default()
            },
        };
        Some((message, (pieces, None)))
    })
}

impl RaftNetworkV2<TypeConfig> for Connection {
    type SnapshotData = Image;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let message = append_to_wire(request, self.envelope()?);
        let mut client = self.client()?;
        let answer = tokio::time::timeout(option.hard_ttl(), client.append(message)).await;
        let response = answer
            .map_err(|_| self.timeout(RPCTypes::AppendEntries, &option))?
            .map_err(|status| rpc_error(&status))?;
        Ok(append_result(response.into_inner())?.into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<
            BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>,
            RPCError<TypeConfig>,
        >,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            // While the peer is given time to come back, openraft holds the first request back for
            // longer than a call may take: only what follows it is timed.
            let Some(first) = input.next().await else {
                let none: BoxStream<'s, _> = Box::pin(futures_util::stream::empty());
                return Ok(none);
            };
            let envelope = self.envelope()?;
            let requests = futures_util::stream::iter([first]).chain(with_entries(input));
            let outgoing = requests.map(move |request| append_to_wire(request, envelope.clone()));
            let mut client = self.client()?;
            // The first message may hold megabytes: more than a heartbeat's time for it.
            let opened = tokio::time::timeout(STREAM_OPEN_DEADLINE, client.stream_append(outgoing));
            let answers = opened
                .await
                .map_err(|_| self.timeout(RPCTypes::AppendEntries, &option))?
                .map_err(|status| rpc_error(&status))?
                .into_inner();
            let results = answers.map(|answer| match answer {
                Ok(response) => append_result(response),
                Err(status) => Err(rpc_error(&status)),
            });
            let results: BoxStream<'s, _> = Box::pin(results);
            Ok(results)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(request, false, &option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(request, true, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let image = snapshot.snapshot;
        let head = peer::SnapshotRequest {
            envelope: Some(self.envelope()?),
            vote: Some(vote_to_wire(&vote)),
            meta: Some(meta_to_wire(&snapshot.meta, image.bytes(), image.digest())),
            ..Default::default()
        };
        let deadline = option.hard_ttl() + time_for(image.bytes());
        let messages = futures_util::stream::iter([head]).chain(chunks(&image));
        let mut client = self.client()?;
        let answer = tokio::select! {
            biased;
            closed = cancel => return Err(closed.into()),
            answer = tokio::time::timeout(deadline, client.snapshot(messages)) => answer,
        };
        let response = answer
            .map_err(|_| {
                StreamingError::Timeout(Timeout {
                    action: RPCTypes::InstallSnapshot,
                    id: self.peers.own,
                    target: self.target,
                    timeout: deadline,
                })
            })?
            .map_err(|status| match status.code() {
                tonic::Code::Unavailable => StreamingError::from(Unreachable::new(&status)),
                _ => StreamingError::from(NetworkError::new(&status)),
            })?
            .into_inner();
        let vote = vote_from_wire(response.vote).map_err(|e| NetworkError::new(&e))?;
        Ok(SnapshotResponse::new(vote))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let message = peer::TransferLeaderRequest {
            envelope: Some(self.envelope()?),
            from_leader: Some(vote_to_wire(request.from_leader())),
            to: *request.to_node_id(),
            last_log_id: request.last_log_id().map(|id: &LogId| log_id_to_wire(id)),
        };
        let mut client = self.client()?;
        let answer = tokio::time::timeout(option.hard_ttl(), client.transfer_leader(message)).await;
        let response = answer
            .map_err(|_| self.timeout(RPCTypes::TransferLeader, &option))?
            .map_err(|status| rpc_error(&status))?
            .into_inner();
        match response.refused.is_empty() {
            true => Ok(Ok(())),
            false => Err(NetworkError::new(&io::Error::other(response.refused)).into()),
        }
    }
}
