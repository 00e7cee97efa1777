//! The log store: votes, entries, truncations and purges of all shards of a node, in one stream.
//!
//! Segments of one size are zero-filled when they are made and recycled when all in them is
//! purged, so that a sync writes data and nothing else. One writer gathers what is queued, writes
//! it at once, syncs once, and then tells everybody. Promises: what was acknowledged is found
//! again; a torn tail is cut; damage to what was synced is refused with the file named; an error
//! of the disk ends the writer, and nothing is acknowledged after it.
//!
//! # Layout
//! * [`record`]: the bytes of one record. * [`recover`]: from segments to shards.
//! * [`segment`], [`spare`]: files, and who owns their space. * [`writer`]: the one loop that writes.
//! * [`store`]: one shard's log, as openraft sees it. [`read()`]: a log at rest.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc;

use crate::clock::RealClock;
use crate::disk::SharedDisk;
use crate::limits::{
    LOG_KEEP_BYTES, LOG_KEEP_ENTRIES, SEGMENT_BYTES, SEGMENT_BYTES_MIN, WRITER_QUEUE_MAX,
};
use crate::observe::{Unobserved, Watch};
use crate::raft::{Entry, LogId, Vote};

mod read;
pub(crate) mod record;
pub(crate) mod recover;
pub(crate) mod segment;
mod spare;
pub(crate) mod store;
#[cfg(test)]
mod tests;
pub(crate) mod writer;

pub use read::{Recorded, read};
pub use store::LogStore;

/// Names one of a node's Raft groups: 0 to n-1, or the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u32);

/// When an acknowledgement is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When the disk has it.
    Fsync,
    /// When the operating system has it: a power loss may lose it. Votes are synced all the same.
    Os,
}

/// How the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    pub durability: Durability,
    pub segment_bytes: u64,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(
        "{file}: damaged at byte {offset}, where it was already on disk; restore the file, or empty the data directory and let this node rejoin as a new one"
    )]
    Damaged { file: String, offset: u64 },
    #[error("{file}: {what} at byte {offset}; it was written by another version, or by mistake")]
    Contradiction {
        file: String,
        offset: u64,
        what: &'static str,
    },
    #[error("{file}: missing, though {next} is there")]
    Missing { file: String, next: String },
    #[error("segments have at least {SEGMENT_BYTES_MIN} bytes")]
    SegmentTooSmall,
    #[error("{file}")]
    Io {
        file: String,
        #[source]
        source: io::Error,
    },
}

/// One shard's log in memory: all that is not purged.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct ShardLog {
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<LogId>,
    pub(crate) entries: BTreeMap<u64, Entry>,
    /// The bytes of all entries that were ever added here.
    pub(crate) appended_bytes: u64,
    /// Votes of the node for itself that were saved since the start.
    elections: u64,
    /// Entries that are purged and not freed yet: a few go with each that is added.
    garbage: Vec<BTreeMap<u64, Entry>>,
}

/// What the shards and the writer share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    shards: Mutex<BTreeMap<ShardId, ShardLog>>,
    pub(crate) stats: writer::Stats,
}

/// The log of a node. Each shard takes its [`store::LogStore`] from it.
#[derive(Clone)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: mpsc::Sender<writer::Operation>,
}

/// The bytes of an entry in the log, about.
fn entry_bytes(entry: &Entry) -> u64 {
    match &entry.payload {
        openraft::EntryPayload::Normal(payload) => 64 + payload.0.len() as u64,
        openraft::EntryPayload::Blank | openraft::EntryPayload::Membership(_) => 64,
    }
}

// === impl ShardId ===

impl ShardId {
    /// The registry's group.
    pub const REGISTRY: Self = Self(u32::MAX);
}

impl std::str::FromStr for ShardId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "registry" => Ok(Self::REGISTRY),
            number => Ok(Self(number.parse()?)),
        }
    }
}

impl std::fmt::Display for ShardId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::REGISTRY => f.write_str("registry"),
            Self(number) => write!(f, "{number}"),
        }
    }
}

// === impl LogConfig ===

impl LogConfig {
    pub const DEFAULT_SEGMENT_BYTES: u64 = SEGMENT_BYTES;
}

// === impl Shared ===

impl Shared {
    pub(crate) fn shards(&self) -> MutexGuard<'_, BTreeMap<ShardId, ShardLog>> {
        self.shards.lock().expect("no holder of this lock panics")
    }

    /// What the head of a segment and the recycling need of each shard: all but its entries.
    pub(crate) fn heads(&self) -> BTreeMap<ShardId, ShardLog> {
        let head = |log: &ShardLog| ShardLog {
            vote: log.vote,
            purged: log.purged,
            ..ShardLog::default()
        };
        let shards = self.shards();
        shards
            .iter()
            .map(|(shard, log)| (*shard, head(log)))
            .collect()
    }
}

// === impl Log ===

impl Log {
    /// Recovers what the disk holds and starts the writer.
    pub async fn open(disk: SharedDisk, config: LogConfig) -> Result<Self, LogError> {
        let watch = Watch::new(Arc::new(RealClock), Arc::new(Unobserved));
        Self::open_watched(disk, config, watch).await
    }

    /// The same, with somebody watching.
    pub(crate) async fn open_watched(
        disk: SharedDisk,
        config: LogConfig,
        watch: Watch,
    ) -> Result<Self, LogError> {
        if config.segment_bytes < SEGMENT_BYTES_MIN {
            return Err(LogError::SegmentTooSmall);
        }
        let recovered = recover::recover(disk.as_ref())?;
        let segments = segment::Segments::open(disk.clone(), config, &recovered).await?;
        let shared = Arc::new(Shared {
            shards: Mutex::new(recovered.shards),
            stats: Default::default(),
        });
        let (queue, operations) = mpsc::channel(WRITER_QUEUE_MAX);
        let task = writer::run(
            operations,
            segments,
            shared.clone(),
            config.durability,
            watch,
        );
        disk.spawn("quotum-log", Box::pin(task));
        Ok(Self { shared, queue })
    }

    /// The log of one shard.
    pub fn shard(&self, shard: ShardId) -> store::LogStore {
        self.shared.shards().entry(shard).or_default();
        store::LogStore {
            log: self.clone(),
            shard,
            node: None,
        }
    }

    /// The same of a node that is known: its elections are counted.
    pub(crate) fn shard_of(&self, node: u64, shard: ShardId) -> store::LogStore {
        store::LogStore {
            node: Some(node),
            ..self.shard(shard)
        }
    }

    /// How many elections of a shard the node has started since its start: it votes for itself
    /// first, and no leader is found by a vote that is not in the log.
    pub(crate) fn elections(&self, shard: ShardId) -> u64 {
        self.shared
            .shards()
            .get(&shard)
            .map_or(0, |log| log.elections)
    }

    /// How many bytes of log were written since the start, over all shards.
    pub fn written_bytes(&self) -> u64 {
        self.shared.stats.written_bytes()
    }

    /// How many bytes of entries a shard was given, since the start or found at it.
    pub(crate) fn appended_bytes(&self, shard: ShardId) -> u64 {
        let shards = self.shared.shards();
        shards.get(&shard).map_or(0, |log| log.appended_bytes)
    }

    /// How many of these there are up to entry `covered`. Walks the entries after it: for the start.
    pub(crate) fn appended_bytes_upto(&self, shard: ShardId, covered: Option<u64>) -> u64 {
        let shards = self.shared.shards();
        let Some(log) = shards.get(&shard) else {
            return 0;
        };
        let from = covered.map_or(0, |index| index + 1);
        let uncovered: u64 = log.entries.range(from..).map(|(_, e)| entry_bytes(e)).sum();
        log.appended_bytes.saturating_sub(uncovered)
    }

    /// The first of the newest entries up to `upto` that are at most [`LOG_KEEP_ENTRIES`], and
    /// together at most [`LOG_KEEP_BYTES`].
    pub(crate) fn kept_from(&self, shard: ShardId, upto: u64) -> u64 {
        let shards = self.shared.shards();
        let mut from = upto + 1;
        let mut room = LOG_KEEP_BYTES;
        let entries = shards.get(&shard).map(|log| log.entries.range(..=upto));
        let newest = entries.into_iter().flatten().rev();
        for (index, entry) in newest.take(LOG_KEEP_ENTRIES as usize) {
            match room.checked_sub(entry_bytes(entry)) {
                Some(rest) => room = rest,
                None => break,
            }
            from = *index;
        }
        from
    }

    /// How many times the disk was synced since the start.
    pub fn syncs(&self) -> u64 {
        self.shared.stats.syncs()
    }
}
