//! A group's state machine, as openraft sees it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use quotum_api::peer::StateDigest;
use tokio::sync::{oneshot, watch};

use crate::machine::Machine;
use crate::observe::{AppliedEntry, Step, Watch};
use crate::raft::{LogId, Reply, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::snapshot::{Image, Receiver, SnapshotStore};

#[cfg(test)]
mod tests;

/// The machine of a group and where it stands. Clones share it.
#[derive(Clone)]
pub struct Applier {
    shared: Arc<Mutex<Applied>>,
    snapshots: SnapshotStore,
    /// Where keys go in hash tables; no outcome depends on it.
    seed: u64,
    /// The highest feature level that this node knows.
    known: u32,
    watch: Watch,
    /// The index of the last entry applied.
    progress: Arc<watch::Sender<u64>>,
}

/// What has been applied.
pub struct Applied {
    pub machine: Machine,
    pub(crate) last: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

// === impl Applier ===

impl Applier {
    /// Starts from the snapshot on the disk, or from nothing.
    pub(crate) fn open(
        machine: Machine,
        snapshots: SnapshotStore,
        seed: u64,
        known: u32,
        watch: Watch,
    ) -> io::Result<Self> {
        let mut applied = Applied {
            machine,
            last: None,
            membership: StoredMembership::default(),
        };
        if let Some((meta, image)) = snapshots.current()? {
            restore(&mut applied.machine, &image, seed, known)?;
            applied.last = meta.last_log_id;
            applied.membership = meta.last_membership;
        }
        let index = applied.last.map_or(0, |id| id.index());
        let progress = Arc::new(watch::Sender::new(index));
        Ok(Self {
            shared: Arc::new(Mutex::new(applied)),
            snapshots,
            seed,
            known,
            watch,
            progress,
        })
    }

    /// The state, for reading. Held for no longer than a read takes.
    pub fn read(&self) -> MutexGuard<'_, Applied> {
        self.shared.lock().expect("apply does not panic")
    }

    /// Tells when entries have been applied.
    pub fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    /// Takes a snapshot from a peer.
    pub(crate) fn receive_snapshot(
        &self,
        meta: &SnapshotMeta,
        digest: Option<StateDigest>,
    ) -> Receiver {
        self.snapshots.receive(meta, digest)
    }

    /// The feature level of the cluster, where this is the registry's group.
    pub(crate) fn feature_level(&self) -> u32 {
        match &self.read().machine {
            Machine::Registry(state) => state.feature_level(),
            Machine::Counters(_) => unreachable!("the registry's group has a registry"),
        }
    }

    /// A machine of this group's kind that has built nothing.
    pub(crate) fn empty(&self) -> Machine {
        match &self.read().machine {
            Machine::Counters(_) => Machine::Counters(quotum_limit::State::new(self.seed)),
            Machine::Registry(_) => Machine::Registry(quotum_registry::State::new()),
        }
    }

    /// A state from a snapshot, decoded beside the tasks that serve.
    async fn decode(&self, image: Image) -> io::Result<Machine> {
        let mut fresh = self.empty();
        let (seed, known) = (self.seed, self.known);
        let (done, decoded) = oneshot::channel();
        let task = async move {
            let restored = restore(&mut fresh, &image, seed, known);
            // Nobody waits any more when the node stops.
            let _gone = done.send(restored.map(|()| fresh));
        };
        self.snapshots.disk.spawn("quotum-snapshot", Box::pin(task));
        let stopped = |_| Err(io::Error::other("the snapshot's reader has stopped"));
        decoded.await.unwrap_or_else(stopped)
    }

    fn meta(applied: &Applied) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: applied.last,
            last_membership: applied.membership.clone(),
        }
    }
}

/// Decodes the state of a snapshot, and compares it with what was written. Blocks.
fn restore(machine: &mut Machine, image: &Image, seed: u64, known: u32) -> io::Result<()> {
    let restored = machine.restore(&image.load()?, seed, known);
    restored.map_err(io::Error::other)?;
    #[cfg(quotum_bugs)]
    if crate::bugs::compares_nothing() {
        return Ok(());
    }
    image.compare(machine.freeze().state_digest())
}

impl RaftStateMachine<TypeConfig> for Applier {
    type SnapshotData = Image;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let applied = self.read();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let start_us = self.watch.start_us();
            let is_answered = responder.is_some() || self.watch.reads_outcomes();
            let reply = {
                let mut applied = self.read();
                let mut carried = None;
                let reply = match entry.payload {
                    EntryPayload::Blank => Reply::None,
                    EntryPayload::Normal(payload) => {
                        let payload = carried.insert(payload.0);
                        #[cfg(quotum_bugs)]
                        crate::bugs::read_local_clock(&mut applied.machine, &self.watch);
                        applied.machine.apply(payload, is_answered, self.known).map_err(|error| {
                            tracing::error!(%error, index = entry.log_id.index(), "this node stops");
                            io::Error::other(error)
                        })?
                    }
                    EntryPayload::Membership(membership) => {
                        applied.membership = StoredMembership::new(Some(entry.log_id), membership);
                        Reply::None
                    }
                };
                applied.last = Some(entry.log_id);
                self.watch.applied(&AppliedEntry {
                    shard: self.snapshots.shard,
                    term: entry.log_id.committed_leader_id().term,
                    index: entry.log_id.index(),
                    payload: carried.as_ref(),
                    reply: &reply,
                    machine: &applied.machine,
                });
                reply
            };
            self.watch.took(Step::Apply(self.snapshots.shard), start_us);
            if let Some(responder) = responder {
                responder.send(reply);
            }
            self.progress.send_replace(entry.log_id.index());
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        image: Image,
    ) -> Result<(), io::Error> {
        // Decoded before it replaces what is on disk: a snapshot that cannot be read is refused.
        let fresh = self.decode(image.clone()).await?;
        self.snapshots.install(meta, &image).await?;
        let old = {
            let mut applied = self.read();
            applied.last = meta.last_log_id;
            applied.membership = meta.last_membership.clone();
            std::mem::replace(&mut applied.machine, fresh)
        };
        // Freed without the lock and beside the tasks that serve: it may be large.
        let freeing = async move { drop(old) };
        self.snapshots.disk.spawn("quotum-free", Box::pin(freeing));
        let index = meta.last_log_id.map_or(0, |id| id.index());
        let shard = self.snapshots.shard;
        tracing::info!(%shard, index, "a snapshot is installed");
        self.watch.installed(shard, index);
        self.progress.send_replace(index);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let found = self.snapshots.current()?;
        Ok(found.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Applier {
    type SnapshotData = Image;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let start_us = self.watch.start_us();
        let (meta, frozen, digested) = {
            let applied = self.read();
            let machine = &applied.machine;
            (Self::meta(&applied), machine.freeze(), machine.freeze())
        };
        let digest = move || Some(digested.state_digest());
        let pieces = std::iter::once_with(|| frozen.into_pieces()).flatten();
        let written = self.snapshots.build(&meta, digest, pieces).await?;
        self.watch
            .took(Step::Snapshot(self.snapshots.shard), start_us);
        if let Some(snapshot) = written {
            return Ok(Snapshot { meta, snapshot });
        }
        // A snapshot of the leader's has come in between, and covers more.
        let later = self.snapshots.current()?;
        let (meta, snapshot) =
            later.ok_or_else(|| io::Error::other("the later snapshot is gone"))?;
        Ok(Snapshot { meta, snapshot })
    }
}
