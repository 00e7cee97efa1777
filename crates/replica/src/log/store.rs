//! One shard's log, as openraft sees it.

use std::fmt::Debug;
use std::io;
use std::ops::RangeBounds;

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::vote::RaftLeaderId;
use tokio::sync::oneshot;

use super::record::Record;
use super::writer::{Done, Operation};
use super::{Log, ShardId};
use crate::limits::APPEND_BYTES_MAX;
use crate::raft::{Entry, LogId, TypeConfig, Vote};

/// The log of one shard. Clones share it.
#[derive(Clone)]
pub struct LogStore {
    pub(crate) log: Log,
    pub(crate) shard: ShardId,
    /// Whose log it is, if that is known.
    pub(crate) node: Option<u64>,
}

// === impl LogStore ===

impl LogStore {
    async fn write(&self, record: Record) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.submit(vec![record], Done::Caller(done)).await?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn submit(&self, records: Vec<Record>, done: Done) -> io::Result<()> {
        self.log
            .queue
            .send(Operation { records, done })
            .await
            .map_err(|_| stopped())
    }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the log's writer has stopped")
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        let shards = self.log.shared.shards();
        let log = &shards[&self.shard];
        Ok(log
            .entries
            .range(range)
            .map(|(_, entry)| entry.clone())
            .collect())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        let shards = self.log.shared.shards();
        let log = &shards[&self.shard];
        let mut bytes = 0;
        let mut entries = Vec::new();
        for (_, entry) in log.entries.range(start..end) {
            if let openraft::EntryPayload::Normal(payload) = &entry.payload {
                bytes += payload.0.len();
            }
            if !entries.is_empty() && bytes > APPEND_BYTES_MAX {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.log.shared.shards()[&self.shard].vote)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let shards = self.log.shared.shards();
        let log = &shards[&self.shard];
        Ok(LogState {
            last_purged_log_id: log.purged,
            last_log_id: log.last_log_id(),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        {
            let mut shards = self.log.shared.shards();
            let log = shards.entry(self.shard).or_default();
            let stands = !vote.is_committed() && self.node == Some(*vote.leader_id().node_id());
            log.elections += u64::from(stands && log.vote != Some(*vote));
            log.vote = Some(*vote);
        }
        self.write(Record::Vote(self.shard, *vote)).await
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        {
            let mut shards = self.log.shared.shards();
            let log = shards.entry(self.shard).or_default();
            for entry in entries {
                log.append(entry.clone()).map_err(io::Error::other)?;
                records.push(Record::Entry(self.shard, entry));
            }
        }
        self.submit(records, Done::Raft(done)).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index() + 1);
        self.log
            .shared
            .shards()
            .entry(self.shard)
            .or_default()
            .truncate(from);
        self.write(Record::Truncate(self.shard, from)).await
    }

    async fn purge(&mut self, id: LogId) -> Result<(), io::Error> {
        self.log
            .shared
            .shards()
            .entry(self.shard)
            .or_default()
            .purge(id);
        self.write(Record::Purge(self.shard, id)).await
    }
}
