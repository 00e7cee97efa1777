//! Segments: files of one size, zero-filled once, recycled when all in them is purged.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use super::record::{Place, Record};
use super::recover::{Found, Recovered, name_of};
use super::spare::Spares;
use super::{LogConfig, LogError, ShardId, ShardLog};
use crate::disk::{File, SharedDisk};

/// A spare is made ahead when this part of a segment is written: a node at rest needs none.
const AHEAD_FROM: u64 = 4;

/// The files of the log, and the one that is written.
pub(crate) struct Segments {
    disk: SharedDisk,
    segment_bytes: u64,
    file: Box<dyn File>,
    /// Where the next record goes.
    pub(crate) end: Place,
    /// Everything before this is on disk.
    pub(crate) synced: Place,
    /// All segments, the written one last.
    found: VecDeque<Found>,
    spares: Spares,
}

// === impl Segments ===

impl Segments {
    /// Opens the last segment for writing, its torn tail wiped, or makes the first.
    pub(crate) async fn open(
        disk: SharedDisk,
        config: LogConfig,
        recovered: &Recovered,
    ) -> Result<Self, LogError> {
        let folder = disk.describe("");
        let io = |source| LogError::Io {
            file: folder.clone(),
            source,
        };
        let spares = Spares::open(disk.clone(), config.segment_bytes).map_err(io)?;
        let mut segments = Self {
            file: Box::new(NoFile),
            segment_bytes: config.segment_bytes,
            end: recovered.end,
            synced: recovered.end,
            found: recovered.segments.iter().cloned().collect(),
            spares,
            disk,
        };
        segments.resume(recovered).await.map_err(io)?;
        Ok(segments)
    }

    async fn resume(&mut self, recovered: &Recovered) -> io::Result<()> {
        let Some(last) = recovered.segments.last() else {
            return self.start(1, &recovered.shards).await;
        };
        // Segments after a torn one hold nothing that counts.
        for name in self.disk.list()? {
            if name.starts_with("log-") && name > name_of(last.number) {
                self.disk.remove(&name)?;
            }
        }
        self.disk.sync_names()?;
        if recovered.sealed {
            // After a crash of the process alone, its end may not be on disk yet.
            self.disk.open(&name_of(last.number))?.sync().await?;
            return self.start(last.number + 1, &recovered.shards).await;
        }
        self.file = self.disk.open(&name_of(last.number))?;
        if let Some((from, to)) = recovered.torn {
            let zeroes = vec![0; (to - from) as usize];
            self.file.write_at(u64::from(from), &zeroes)?;
        }
        // After a crash of the process alone, what was read may not be on disk yet.
        self.sync().await?;
        // A crash may have come before the segment's head was written. Without one, what older
        // segments say would be forgotten when they are recycled.
        let head = head(self.end.segment, self.synced, &recovered.shards);
        if !self.has_room(head.len()) {
            return self.rotate(&recovered.shards).await;
        }
        self.write(&head)?;
        self.sync().await
    }

    /// Whether `bytes` more fit beside the record that closes the segment.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let seal = Record::Seal.bytes_max();
        u64::from(self.end.offset) + (bytes + seal) as u64 <= self.segment_bytes
    }

    /// The most bytes that one record may take.
    pub(crate) fn record_bytes_max(&self) -> usize {
        usize::try_from(self.segment_bytes / 2).unwrap_or(usize::MAX)
    }

    /// Writes whole records at the end. They are not on disk before [`Segments::sync`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(u64::from(self.end.offset), bytes)?;
        let end = u64::from(self.end.offset) + bytes.len() as u64;
        self.end.offset = u32::try_from(end).map_err(io::Error::other)?;
        Ok(())
    }

    pub(crate) async fn sync(&mut self) -> io::Result<()> {
        self.file.sync().await?;
        self.synced = self.end;
        Ok(())
    }

    /// Makes a spare beside the log, once enough of this segment is written and there is none.
    pub(crate) fn make_ahead(&mut self) {
        if u64::from(self.end.offset) >= self.segment_bytes / AHEAD_FROM {
            self.spares.make_ahead(self.end.segment);
        }
    }

    /// Notes that the written segment holds this entry.
    pub(crate) fn note(&mut self, shard: ShardId, index: u64) {
        let written = self.found.back_mut().expect("a segment is open");
        let last = written.last.entry(shard).or_default();
        *last = (*last).max(index);
    }

    /// Closes the written segment and goes on in the next.
    pub(crate) async fn rotate(&mut self, shards: &BTreeMap<ShardId, ShardLog>) -> io::Result<()> {
        let mut seal = Vec::new();
        Record::Seal.encode(self.end.segment, self.synced, &mut seal);
        self.write(&seal)?;
        self.sync().await?;
        self.start(self.end.segment + 1, shards).await
    }

    /// Makes segment `number`. It starts with what every shard must remember of older ones.
    async fn start(&mut self, number: u64, shards: &BTreeMap<ShardId, ShardLog>) -> io::Result<()> {
        let name = name_of(number);
        let spare = self.spares.take(number).await?;
        self.disk.rename(&spare, &name)?;
        self.disk.sync_names()?;
        self.file = self.disk.open(&name)?;
        self.end = Place {
            segment: number,
            offset: 0,
        };
        self.synced = self.end;
        self.found.push_back(Found {
            number,
            last: BTreeMap::new(),
        });
        self.write(&head(number, self.synced, shards))?;
        self.sync().await
    }

    /// Gives up the oldest segments while all their entries are purged.
    pub(crate) fn recycle(&mut self, shards: &BTreeMap<ShardId, ShardLog>) -> io::Result<()> {
        let purged = |(shard, last): (&ShardId, &u64)| {
            let purged = shards.get(shard).and_then(|log| log.purged);
            purged.is_some_and(|purged| purged.index() >= *last)
        };
        while self.found.len() > 1 && self.found[0].last.iter().all(purged) {
            let number = self.found[0].number;
            self.spares.keep(&name_of(number), number)?;
            self.disk.sync_names()?;
            self.found.pop_front();
        }
        Ok(())
    }

    /// The oldest segment, while it is not the written one.
    pub(crate) fn oldest(&self) -> Option<&Found> {
        self.found.front().filter(|_| self.found.len() > 1)
    }

    /// How many bytes of segments are in use.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.found.len() as u64 * self.segment_bytes
    }
}

/// What a segment must say of every shard, so that older ones can be given up. At least one record:
/// it shows that everything before it was synced.
fn head(number: u64, synced: Place, shards: &BTreeMap<ShardId, ShardLog>) -> Vec<u8> {
    let mut head = Vec::new();
    for (shard, log) in shards {
        if let Some(vote) = log.vote {
            Record::Vote(*shard, vote).encode(number, synced, &mut head);
        }
        if let Some(purged) = log.purged {
            Record::Purge(*shard, purged).encode(number, synced, &mut head);
        }
    }
    Record::Mark.encode(number, synced, &mut head);
    head
}

/// Stands where no segment is open yet.
struct NoFile;

impl File for NoFile {
    fn write_at(&mut self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::Error::other("no segment is open"))
    }

    fn sync(&mut self) -> crate::disk::BoxFuture<'_, io::Result<()>> {
        Box::pin(std::future::ready(Err(io::Error::other(
            "no segment is open",
        ))))
    }

    fn set_len(&mut self, _bytes: u64) -> io::Result<()> {
        Err(io::Error::other("no segment is open"))
    }
}
