//! What the log store costs: one round appends entries of 4 KiB and waits until they are durable.
//!
//! `cargo bench -p quotum-replica`, on a quiet machine. In memory it is our own work alone; on the
//! disk of the folder for temporary files (`TMPDIR`) a round has its sync too. `thrpt` is entries a second.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use openraft::EntryPayload;
use openraft::alias::{EntryOf, LeaderIdOf, LogIdOf};
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::vote::RaftLeaderId;
use openraft_rt::deterministic_rng::DeterministicRng;
use openraft_rt_tokio::TokioRuntime;
use quotum_replica::disk::SharedDisk;
use quotum_replica::disk::memory::MemoryDisk;
use quotum_replica::disk::real::RealDisk;
use quotum_replica::log::{Log, LogStore};
use quotum_replica::raft::{Payload, TypeConfig};
use quotum_replica::{Durability, LogConfig, ShardId};
use tokio::runtime::Runtime;

const ENTRY_BYTES: usize = 4 << 10;
const CONFIG: LogConfig = LogConfig {
    durability: Durability::Fsync,
    segment_bytes: 16 << 20,
};
/// So many entries are kept, so that segments are used again.
const KEPT: u64 = 2_048;

/// The log of one shard on a disk of its own.
struct Shard {
    runtime: Runtime,
    store: LogStore,
    next: u64,
}

// === impl Shard ===

impl Shard {
    fn open(disk: SharedDisk) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let log = runtime.block_on(scoped(Log::open(disk, CONFIG)));
        Self {
            store: log.expect("an empty disk").shard(ShardId(0)),
            runtime,
            next: 0,
        }
    }

    /// Appends so many entries at once, waits for them, and purges what is old.
    fn round(&mut self, count: u64, payload: &Bytes) {
        let entries: Vec<_> = (self.next..self.next + count)
            .map(|index| EntryOf::<TypeConfig> {
                log_id: log_id(index),
                payload: EntryPayload::Normal(Payload(payload.clone())),
            })
            .collect();
        self.next += count;
        let purged = self.next.checked_sub(KEPT).filter(|at| at % KEPT < count);
        let (sender, receiver) = <TypeConfig as TypeConfigExt>::oneshot();
        let store = &mut self.store;
        self.runtime.block_on(scoped(async {
            let done = IOFlushed::signal(sender);
            store.append(entries, done).await.expect("appended");
            receiver.await.expect("an answer").expect("durable");
            if let Some(purged) = purged {
                store.purge(log_id(purged)).await.expect("purged");
            }
        }));
    }

    /// Reads the newest entries.
    fn read(&mut self, count: u64) -> usize {
        let newest = self.next - count..self.next;
        let store = &mut self.store;
        let read = scoped(store.try_get_log_entries(newest));
        self.runtime.block_on(read).expect("readable").len()
    }
}

/// openraft draws its random numbers from the task.
async fn scoped<T>(work: impl Future<Output = T>) -> T {
    DeterministicRng::<TokioRuntime>::scope(1, work).await
}

fn log_id(index: u64) -> LogIdOf<TypeConfig> {
    let leader = LeaderIdOf::<TypeConfig>::new(1, 1);
    LogIdOf::<TypeConfig>::new(leader.to_committed(), index)
}

fn append(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let payload = Bytes::from(vec![7; ENTRY_BYTES]);
    let mut group = criterion.benchmark_group("log/append");
    for count in [1, 4, 64] {
        group.throughput(Throughput::Elements(count));
        let own = folder.path().join(count.to_string());
        std::fs::create_dir(&own).expect("a new folder");
        let real = RealDisk::open(&own).expect("a disk");
        let disks: [(&str, SharedDisk); 2] = [
            ("in memory", Arc::new(MemoryDisk::new())),
            ("on disk", Arc::new(real)),
        ];
        for (name, disk) in disks {
            let mut shard = Shard::open(disk);
            group.bench_function(format!("{count} entries, {name}"), |bencher| {
                bencher.iter(|| shard.round(count, &payload));
            });
        }
    }
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let payload = Bytes::from(vec![7; ENTRY_BYTES]);
    let mut shard = Shard::open(Arc::new(MemoryDisk::new()));
    shard.round(KEPT, &payload);
    let mut group = criterion.benchmark_group("log/read");
    for count in [1, 64] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("the newest {count}"), |bencher| {
            bencher.iter(|| assert_eq!(black_box(shard.read(count)) as u64, count));
        });
    }
    group.finish();
}

criterion_group!(benches, append, read);
criterion_main!(benches);
