//! Backup and restore: the state of all groups, out of one cluster and into another.
//!
//! Promises: a backup holds everything that was answered before it was asked for; a cluster made
//! from one is another cluster, knows no client of the first, and admits nothing in a window that
//! the first may have used, unless its operator accepts that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use quotum_api::backup::Check;
use quotum_api::cluster::backup_chunk::Part;
use quotum_api::cluster::{BackupChunk, BackupEnd, BackupGroup, BackupHead};
use quotum_api::peer;
use tokio::sync::{mpsc, oneshot};

use super::{MemberError, Node};
use crate::limits::{PROPOSE_DEADLINE, SNAPSHOT_CHUNK_BYTES};
use crate::log::ShardId;
use crate::machine::Frozen;
use crate::network::ClusterId;
use crate::propose::Group;
use crate::raft::{Member, Membership, Snapshot, SnapshotMeta, StoredMembership, Vote};
use crate::wire::{log_id_from_wire, log_id_to_wire};

/// Chunks that wait for whoever takes a backup.
const CHUNKS_MAX: usize = 2;

/// How long the leaders may take to confirm that they lead, and this node to catch up with them.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(10);

/// Leads what was restored, until this node elects itself: node ids start at 1.
const NOBODY: u64 = 0;

/// The state of one group, out of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub group: BackupGroup,
    pub state: Vec<u8>,
}

/// The state of one group, on its way into a backup.
struct Held {
    group: BackupGroup,
    frozen: Frozen,
}

// === impl Node ===

impl Node {
    /// The state of all groups, with everything in it that was answered before the call.
    pub async fn backup(&self) -> Result<mpsc::Receiver<BackupChunk>, MemberError> {
        let cluster = self.cluster().ok_or(MemberError::NoCluster)?;
        self.catch_up().await?;
        let held = self.hold();
        let head = BackupHead {
            cluster_id: super::identity::hex(&cluster),
            groups: u32::try_from(held.len()).expect("a node has few groups"),
            taken_at_ms: self.now_ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let (chunks, taken) = mpsc::channel(CHUNKS_MAX);
        let task = async move {
            // Whoever took it has gone away, and knows that it has no end.
            let _gone = send(head, held, &chunks).await;
        };
        self.inner.disk.spawn("quotum-backup", Box::pin(task));
        Ok(taken)
    }

    /// Waits until this node has applied what was answered before the call. Each leader confirms that
    /// it leads: one that was cut off does not know what its successor has answered.
    async fn catch_up(&self) -> Result<(), MemberError> {
        let catching_up = self.inner.groups.values().map(|group| async move {
            let reached = tokio::time::timeout(CATCH_UP_DEADLINE, self.reach(group)).await;
            let reached = reached.ok().flatten();
            reached.ok_or(MemberError::NoLeader(group.shard))
        });
        let caught_up = futures_util::future::join_all(catching_up).await;
        caught_up.into_iter().collect()
    }

    /// None: the group has no leader that can confirm that it is one.
    async fn reach(&self, group: &Group) -> Option<()> {
        let (leader, member) = group.leader()?;
        let goal = match leader == self.id() {
            true => group.read_index().await.ok()?,
            false => self.ask_read_index(group, leader, &member).await?,
        };
        let mut progress = group.applier.progress();
        let reached = progress.wait_for(|applied| *applied >= goal).await;
        reached.ok().map(drop)
    }

    async fn ask_read_index(&self, group: &Group, leader: u64, member: &Member) -> Option<u64> {
        let envelope = self.inner.peers.envelope(leader, member, group.shard);
        let request = peer::ReadIndexRequest {
            envelope: Some(envelope.ok()?),
        };
        let mut client = self.inner.peers.client(&member.peer_address).ok()?;
        let answer = client.read_index(request).await;
        let unconfirmed = |status: &tonic::Status| {
            let shard = group.shard;
            tracing::warn!(%shard, leader, status = status.message(), "a leader does not confirm that it leads");
        };
        Some(answer.inspect_err(unconfirmed).ok()?.into_inner().index)
    }

    /// All groups as they are at one moment.
    fn hold(&self) -> Vec<Held> {
        let groups = self.inner.groups.values();
        let applied: Vec<_> = groups
            .map(|group| (group.shard, group.applier.read()))
            .collect();
        let hold =
            |(shard, applied): &(ShardId, std::sync::MutexGuard<'_, crate::apply::Applied>)| {
                let last = applied.last.as_ref().map(log_id_to_wire);
                let last = last.unwrap_or_default();
                Held {
                    group: BackupGroup {
                        shard: shard.0,
                        term: last.term,
                        node: last.node,
                        index: last.index,
                    },
                    frozen: applied.machine.freeze(),
                }
            };
        applied.iter().map(hold).collect()
    }

    /// Makes this pristine node a cluster of its own, with the state of a backup. `accept_over`
    /// admits units in windows that the cluster of before may have used up.
    pub async fn restore(
        &self,
        saved: Vec<Saved>,
        accept_over: bool,
    ) -> Result<ClusterId, MemberError> {
        if self.cluster().is_some() {
            return Err(MemberError::AlreadyMember);
        }
        let shards: BTreeSet<u32> = saved.iter().map(|saved| saved.group.shard).collect();
        let own: BTreeSet<u32> = self.inner.groups.keys().map(|shard| shard.0).collect();
        if shards != own || saved.len() != own.len() {
            let shards = self.shards();
            let text =
                format!("it does not hold {shards} shards and the registry, as this node has");
            return Err(MemberError::Backup(text));
        }
        // All of it is read before anything is changed.
        let mut states = Vec::with_capacity(saved.len());
        for Saved { group, state } in saved {
            let frozen = self.thaw(ShardId(group.shard), state, accept_over).await?;
            states.push((group, frozen));
        }
        let cluster = self.draw_cluster();
        self.join_cluster(cluster, false).await?;
        for (saved, frozen) in states {
            let group = &self.inner.groups[&ShardId(saved.shard)];
            self.install(group, &saved, frozen).await?;
        }
        Ok(cluster)
    }

    /// A state that a new cluster can go on from, decoded beside the tasks that serve.
    async fn thaw(
        &self,
        shard: ShardId,
        state: Vec<u8>,
        accept_over: bool,
    ) -> Result<Frozen, MemberError> {
        let group = &self.inner.groups[&shard];
        let mut machine = group.applier.empty();
        let (seed, known) = (self.draw_seed(), self.inner.config.feature_level);
        let (done, thawed) = oneshot::channel();
        let task = async move {
            let restored = machine.restore(&state, seed, known);
            let _gone = done.send(restored.map(|()| machine.into_restored(accept_over)));
        };
        self.inner.disk.spawn("quotum-restore", Box::pin(task));
        let unusable = |cause: String| MemberError::Backup(format!("shard {shard}: {cause}"));
        let thawed = thawed.await.map_err(|error| unusable(error.to_string()))?;
        thawed.map_err(|error| unusable(error.to_string()))
    }

    /// Gives a group its state, as a snapshot of a leader that is nobody.
    async fn install(
        &self,
        group: &Group,
        saved: &BackupGroup,
        frozen: Frozen,
    ) -> Result<(), MemberError> {
        let refused = |error: &dyn std::error::Error| super::members::refused(group, error);
        let last = log_id_from_wire(peer::LogId {
            term: saved.term,
            node: saved.node,
            index: saved.index,
        });
        let members = BTreeMap::from([(self.id(), self.member().clone())]);
        let membership = Membership::new(vec![BTreeSet::from([self.id()])], members);
        let membership = membership.map_err(|error| refused(&error))?;
        let meta = SnapshotMeta {
            last_log_id: Some(last),
            last_membership: StoredMembership::new(Some(last), membership),
        };
        let receiver = group.applier.receive_snapshot(&meta, None);
        for piece in frozen.into_pieces() {
            // The disk has failed: the end says how.
            if receiver.piece(Bytes::from(piece)).await.is_err() {
                break;
            }
        }
        let (image, _) = receiver.end().await.map_err(|error| refused(&error))?;
        let vote = Vote::new_committed(saved.term + 1, NOBODY);
        let snapshot = Snapshot {
            meta,
            snapshot: image,
        };
        let installed = group.raft.install_full_snapshot(vote, snapshot).await;
        installed.map(drop).map_err(|error| refused(&error))?;
        // Installed is what the group has applied.
        let waited = group.raft.wait(Some(PROPOSE_DEADLINE));
        let waited = waited.metrics(|metrics| metrics.last_applied >= Some(last), "the restore");
        waited.await.map(drop).map_err(|error| refused(&error))
    }
}

/// Sends a whole backup. None: nobody takes it any more.
async fn send(head: BackupHead, held: Vec<Held>, chunks: &mpsc::Sender<BackupChunk>) -> Option<()> {
    let mut check = Check::default();
    let mut parts = async |part: Part| {
        let chunk = BackupChunk { part: Some(part) };
        check.take(&chunk).expect("parts are sent in order");
        let sum = check.sum();
        chunks.send(chunk).await.ok()?;
        Some(sum)
    };
    parts(Part::Head(head)).await?;
    let mut crc32 = 0;
    for Held { group, frozen } in held {
        crc32 = parts(Part::Group(group)).await?;
        for piece in frozen.into_pieces() {
            // The registry comes in one piece, which may be larger than a message.
            let mut piece = Bytes::from(piece);
            while !piece.is_empty() {
                let part = piece.split_to(piece.len().min(SNAPSHOT_CHUNK_BYTES));
                crc32 = parts(Part::Piece(part)).await?;
            }
        }
    }
    let end = Part::End(BackupEnd { crc32 });
    chunks.send(BackupChunk { part: Some(end) }).await.ok()
}
