//! Quotum's own log: one for all shards, one sync for all that is queued.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::vote::RaftLeaderId;
use openraft_rt::deterministic_rng::DeterministicRng;
use openraft_rt_tokio::TokioRuntime;
use quotum_replica::disk::real::RealDisk;
use quotum_replica::log::{Log, LogStore};
use quotum_replica::raft::{Payload, TypeConfig};
use quotum_replica::{Durability, LogConfig, ShardId};
use tokio::runtime::Runtime;

use crate::{Failure, Shard};

struct Ours {
    runtime: Arc<Runtime>,
    store: LogStore,
}

pub(crate) fn open(folder: &Path, shards: usize) -> Result<Vec<Box<dyn Shard>>, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let runtime = Arc::new(runtime);
    let config = LogConfig {
        durability: Durability::Fsync,
        segment_bytes: 64 << 20,
    };
    let disk = Arc::new(RealDisk::open(folder)?);
    let log = runtime.block_on(scoped(Log::open(disk, config)))?;
    let shard = |number| -> Result<Box<dyn Shard>, Failure> {
        Ok(Box::new(Ours {
            runtime: runtime.clone(),
            store: log.shard(ShardId(u32::try_from(number)?)),
        }))
    };
    (0..shards).map(shard).collect()
}

/// openraft draws its random numbers from the task.
async fn scoped<T>(work: impl Future<Output = T>) -> T {
    DeterministicRng::<TokioRuntime>::scope(1, work).await
}

fn log_id(index: u64) -> openraft::alias::LogIdOf<TypeConfig> {
    let leader = openraft::alias::LeaderIdOf::<TypeConfig>::new(1, 1);
    openraft::alias::LogIdOf::<TypeConfig>::new(leader.to_committed(), index)
}

impl Shard for Ours {
    fn append(&mut self, first: u64, entries: &[Bytes]) -> Result<(), Failure> {
        let entries: Vec<_> = (first..)
            .zip(entries)
            .map(|(index, payload)| openraft::alias::EntryOf::<TypeConfig> {
                log_id: log_id(index),
                payload: EntryPayload::Normal(Payload(payload.clone())),
            })
            .collect();
        let (sender, receiver) = <TypeConfig as TypeConfigExt>::oneshot();
        self.runtime.clone().block_on(scoped(async {
            let done = IOFlushed::signal(sender);
            self.store.append(entries, done).await?;
            receiver.await??;
            Ok(())
        }))
    }

    fn purge(&mut self, index: u64) -> Result<(), Failure> {
        let purged = self.store.purge(log_id(index - 1));
        Ok(self.runtime.clone().block_on(scoped(purged))?)
    }

    fn entries(&mut self) -> Result<Vec<(u64, Bytes)>, Failure> {
        let found = self.store.try_get_log_entries(..);
        let found = self.runtime.clone().block_on(scoped(found))?;
        let entry = |entry: openraft::alias::EntryOf<TypeConfig>| match entry.payload {
            EntryPayload::Normal(payload) => Some((entry.log_id.index(), payload.0)),
            _ => None,
        };
        Ok(found.into_iter().filter_map(entry).collect())
    }
}
