//! Snapshot files: one a group, replaced whole.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use quotum_api::peer;
use tokio::sync::oneshot;

use crate::disk::{self, SharedDisk};
use crate::log::ShardId;
use crate::raft::{LogId, SnapshotMeta};
use crate::wire::{meta_from_wire, meta_to_wire};

/// What a file starts with: its kind and layout.
const MAGIC: &[u8; 8] = b"QTMSNAP1";

/// The snapshots of one group.
#[derive(Clone)]
pub(crate) struct SnapshotStore {
    pub(crate) disk: SharedDisk,
    pub(crate) shard: ShardId,
    /// The last entry that the file covers. Held while it is replaced: openraft builds a snapshot
    /// while it installs another.
    covered: Arc<tokio::sync::Mutex<Option<LogId>>>,
}

// === impl SnapshotStore ===

impl SnapshotStore {
    pub(crate) fn new(disk: SharedDisk, shard: ShardId) -> Self {
        Self {
            disk,
            shard,
            covered: Arc::default(),
        }
    }

    fn name(&self) -> String {
        format!("snapshot-{}.bin", self.shard)
    }

    fn damaged(&self, what: &str) -> io::Error {
        let file = self.disk.describe(&self.name());
        io::Error::new(io::ErrorKind::InvalidData, format!("{file}: {what}"))
    }

    /// Encodes and writes a snapshot on the disk's own thread. None if a later one was written.
    pub(crate) async fn write(
        &self,
        meta: &SnapshotMeta,
        encode: impl FnOnce() -> Bytes + Send + 'static,
    ) -> io::Result<Option<Bytes>> {
        let mut covered = self.covered.lock().await;
        if *covered > meta.last_log_id {
            return Ok(None);
        }
        let last = meta.last_log_id;
        let (done, answer) = oneshot::channel();
        let (disk, name) = (self.disk.clone(), self.name());
        let meta = meta_to_wire(meta, 0);
        let task = async move {
            let data = encode();
            let head = peer::SnapshotMeta {
                bytes: data.len() as u64,
                ..meta
            }
            .encode_to_vec();
            let mut file = Vec::with_capacity(data.len() + head.len() + 32);
            file.extend_from_slice(MAGIC);
            file.extend_from_slice(&(head.len() as u64).to_le_bytes());
            file.extend_from_slice(&head);
            file.extend_from_slice(&data);
            let sum = crc32fast::hash(&file);
            file.extend_from_slice(&sum.to_le_bytes());
            let result = disk::replace(disk.as_ref(), &name, &file).await;
            // Nobody waits any more when the node stops.
            drop(done.send(result.map(|()| data)));
        };
        self.disk.spawn("quotum-snapshot", Box::pin(task));
        let stopped = |_| Err(io::Error::other("the snapshot's writer has stopped"));
        let data = answer.await.unwrap_or_else(stopped)?;
        *covered = last;
        Ok(Some(data))
    }

    /// Reads the snapshot, if there is one.
    pub(crate) fn read(&self) -> io::Result<Option<(SnapshotMeta, Bytes)>> {
        let file = match self.disk.read(&self.name()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => Bytes::from(result?),
        };
        let short = || self.damaged("the file is too short");
        let summed = file.len().checked_sub(4).ok_or_else(short)?;
        if crc32fast::hash(&file[..summed]).to_le_bytes() != file[summed..] {
            return Err(self.damaged("the checksum is wrong"));
        }
        if file.get(..8) != Some(MAGIC) {
            return Err(self.damaged("this is no snapshot of this version"));
        }
        let length = file
            .get(8..16)
            .ok_or_else(short)?
            .try_into()
            .expect("eight bytes");
        let head_end = usize::try_from(u64::from_le_bytes(length))
            .ok()
            .and_then(|length| length.checked_add(16))
            .filter(|end| *end <= summed)
            .ok_or_else(short)?;
        let meta = peer::SnapshotMeta::decode(&file[16..head_end])
            .map_err(|_| self.damaged("the head cannot be decoded"))?;
        let meta = meta_from_wire(meta).map_err(|e| self.damaged(e.0))?;
        Ok(Some((meta, file.slice(head_end..summed))))
    }
}
