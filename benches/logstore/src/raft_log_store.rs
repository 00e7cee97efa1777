//! raft-log: a log of its own, and so a sync of its own, for each shard. It does not linger.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use bytes::Bytes;
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Config, RaftLog, Types};

use crate::{Failure, Shard};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Kind;

impl Types for Kind {
    type LogId = (u64, u64);
    type LogPayload = Vec<u8>;
    type Vote = (u64, u64);
    type Callback = SyncSender<Result<(), io::Error>>;
    type UserData = String;

    fn log_index(log_id: &Self::LogId) -> u64 {
        log_id.1
    }

    fn payload_size(payload: &Self::LogPayload) -> u64 {
        payload.len() as u64
    }
}

struct Log(RaftLog<Kind>);

pub(crate) fn open(folder: &Path, shards: usize) -> Result<Vec<Box<dyn Shard>>, Failure> {
    let shard = |number| -> Result<Box<dyn Shard>, Failure> {
        let folder = folder.join(format!("shard-{number}"));
        std::fs::create_dir_all(&folder)?;
        let mut config = Config::new(folder.display());
        config.wal.flush_batch_wait = Some(Duration::ZERO);
        // As ours.
        config.wal.chunk_max_size = Some(64 << 20);
        Ok(Box::new(Log(RaftLog::open(Arc::new(config))?)))
    };
    (0..shards).map(shard).collect()
}

impl Shard for Log {
    fn append(&mut self, first: u64, entries: &[Bytes]) -> Result<(), Failure> {
        let entry = |(index, payload): (u64, &Bytes)| ((1, index), payload.to_vec());
        self.0.append((first..).zip(entries).map(entry))?;
        let (done, flushed) = std::sync::mpsc::sync_channel(1);
        self.0.flush(true, Some(done))?;
        Ok(flushed.recv()??)
    }

    fn purge(&mut self, index: u64) -> Result<(), Failure> {
        self.0.purge((1, index - 1))?;
        Ok(())
    }

    fn entries(&mut self) -> Result<Vec<(u64, Bytes)>, Failure> {
        let entry = |read: Result<((u64, u64), Vec<u8>), io::Error>| -> Result<_, Failure> {
            let ((_, index), payload) = read?;
            Ok((index, Bytes::from(payload)))
        };
        self.0.read(0, u64::MAX).map(entry).collect()
    }
}
