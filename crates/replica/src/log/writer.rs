//! The writer: the one loop that writes the log.
//!
//! It takes everything that is queued, writes it, syncs once, and answers everybody in order.
//! After an error it answers only that error: a sync is never tried again.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};

use super::record::Record;
use super::segment::Segments;
use super::{Durability, ShardId, Shared};
use crate::limits::WRITE_BYTES_MAX;
use crate::observe::{Step, Watch};
use crate::raft::TypeConfig;

/// What a shard asks of the writer: records, and who waits for them.
pub(crate) struct Operation {
    pub(crate) records: Vec<Record>,
    pub(crate) done: Done,
}

/// Who waits until records are on disk.
pub(crate) enum Done {
    Raft(IOFlushed<TypeConfig>),
    Caller(oneshot::Sender<io::Result<()>>),
}

/// What the writer has done since its start.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    written_bytes: AtomicU64,
    used_bytes: AtomicU64,
    syncs: AtomicU64,
    oldest: Mutex<Oldest>,
}

/// The oldest segment, while it is not the written one.
#[derive(Debug, Default)]
struct Oldest {
    number: Option<u64>,
    /// The last entry of each shard in it.
    last: BTreeMap<ShardId, u64>,
}

// === impl Stats ===

impl Stats {
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn oldest(&self) -> BTreeMap<ShardId, u64> {
        let oldest = self.oldest.lock().expect("no holder of it panics");
        oldest.last.clone()
    }

    /// Notes which segments are in use.
    fn note(&self, segments: &Segments) {
        self.used_bytes
            .store(segments.used_bytes(), Ordering::Relaxed);
        let found = segments.oldest();
        let number = found.map(|found| found.number);
        let mut oldest = self.oldest.lock().expect("no holder of it panics");
        if oldest.number != number {
            let last = found.map(|found| found.last.clone()).unwrap_or_default();
            *oldest = Oldest { number, last };
        }
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

// === impl Done ===

impl Done {
    pub(crate) fn complete(self, result: io::Result<()>) {
        match self {
            Self::Raft(flushed) => flushed.io_completed(result),
            // A caller that has gone away needs no answer.
            Self::Caller(caller) => drop(caller.send(result)),
        }
    }
}

/// Serves operations until all their senders are gone.
pub(crate) async fn run(
    mut operations: mpsc::Receiver<Operation>,
    mut segments: Segments,
    shared: Arc<Shared>,
    durability: Durability,
    watch: Watch,
) {
    let mut failed: Option<(io::ErrorKind, String)> = None;
    let mut round = Vec::new();
    while operations.recv_many(&mut round, 1_024).await > 0 {
        let mut waiting = Vec::with_capacity(round.len());
        let mut records = Vec::with_capacity(round.len());
        for operation in round.drain(..) {
            records.extend(operation.records);
            waiting.push(operation.done);
        }
        #[cfg(quotum_bugs)]
        if failed.is_none() && quotum_limit::bugs::is(quotum_limit::bugs::Bug::AckBeforeSync) {
            waiting
                .drain(..)
                .for_each(|done: Done| done.complete(Ok(())));
        }
        if failed.is_none() {
            let idle = operations.is_empty();
            if let Err(error) =
                write(records, &mut segments, &shared, durability, idle, &watch).await
            {
                tracing::error!(%error, "the log cannot be written: this node stops");
                failed = Some((error.kind(), error.to_string()));
            }
        }
        for done in waiting {
            let result = match &failed {
                None => Ok(()),
                Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            };
            done.complete(result);
        }
    }
}

/// Writes one round and syncs it.
async fn write(
    records: Vec<Record>,
    segments: &mut Segments,
    shared: &Shared,
    durability: Durability,
    idle: bool,
    watch: &Watch,
) -> io::Result<()> {
    let start_us = watch.start_us();
    let mut buffer = Vec::new();
    let mut purges = false;
    let mut must_sync = durability == Durability::Fsync;
    for record in records {
        let bytes = record.bytes_max();
        if bytes > segments.record_bytes_max() {
            let text = format!("a record of {bytes} bytes does not fit into a log segment");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if !segments.has_room(buffer.len() + bytes) {
            flush(&mut buffer, segments, shared)?;
            // The head of the new segment may say more than has been written yet: what a shard
            // holds in memory is queued right behind it.
            let shards = shared.heads();
            segments.rotate(&shards).await?;
        } else if buffer.len() >= WRITE_BYTES_MAX {
            flush(&mut buffer, segments, shared)?;
        }
        match &record {
            Record::Entry(shard, entry) => segments.note(*shard, entry.log_id.index()),
            Record::Vote(..) => must_sync = true,
            Record::Purge(..) => purges = true,
            Record::Truncate(..) | Record::Mark | Record::Seal => {}
        }
        record.encode(segments.end.segment, segments.synced, &mut buffer);
    }
    flush(&mut buffer, segments, shared)?;
    if must_sync {
        let sync_us = watch.start_us();
        segments.sync().await?;
        watch.took(Step::Sync, sync_us);
        shared.stats.syncs.fetch_add(1, Ordering::Relaxed);
        // With nothing to follow soon, a mark says that all before it was synced: damage to the
        // last records can then be told from a torn write.
        if idle && segments.has_room(Record::Mark.bytes_max()) {
            Record::Mark.encode(segments.end.segment, segments.synced, &mut buffer);
            flush(&mut buffer, segments, shared)?;
        }
    }
    watch.took(Step::Append, start_us);
    if purges {
        let shards = shared.heads();
        segments.recycle(&shards)?;
    }
    segments.make_ahead();
    shared.stats.note(segments);
    Ok(())
}

fn flush(buffer: &mut Vec<u8>, segments: &mut Segments, shared: &Shared) -> io::Result<()> {
    if buffer.is_empty() {
        return Ok(());
    }
    segments.write(buffer)?;
    shared
        .stats
        .written_bytes
        .fetch_add(buffer.len() as u64, Ordering::Relaxed);
    buffer.clear();
    Ok(())
}
