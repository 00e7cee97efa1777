//! A log at rest: its entries for whoever judges afterwards what happened. Changes nothing.

use bytes::Bytes;
use openraft::EntryPayload;

use super::{LogError, ShardId, recover};
use crate::disk::Disk;

/// One entry of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub term: u64,
    pub index: u64,
    /// What the shard's machine applies; `None` where only the consensus reads the entry.
    pub payload: Option<Bytes>,
}

/// Reads the entries of one shard that are not purged, from a disk that no node uses. The last ones
/// may never have been committed.
pub fn read(disk: &dyn Disk, shard: ShardId) -> Result<Vec<Recorded>, LogError> {
    let mut recovered = recover::recover(disk)?;
    let log = recovered.shards.remove(&shard).unwrap_or_default();
    let recorded = |(index, entry): (u64, crate::raft::Entry)| Recorded {
        term: entry.log_id.committed_leader_id().term,
        index,
        payload: match entry.payload {
            EntryPayload::Normal(payload) => Some(payload.0),
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        },
    };
    Ok(log.entries.into_iter().map(recorded).collect())
}
