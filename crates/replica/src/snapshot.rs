//! Snapshot files: one a group, replaced whole, written and read in pieces.
//!
//! Promises: a file takes its name when all of it is on the disk; an older snapshot never takes the
//! place of a later one; what is damaged is refused with the file named; a file says what its state
//! digests to, so that what was decoded can be compared with what was written. All work on the bytes
//! is done beside the tasks that serve.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use prost::Message;
use quotum_api::peer::{self, StateDigest};
use tokio::sync::{mpsc, oneshot};

use crate::disk::{File, SharedDisk, Source};
use crate::limits::SNAPSHOT_CHUNK_BYTES;
use crate::log::ShardId;
use crate::raft::{LogId, SnapshotMeta};
use crate::wire::{meta_from_wire, meta_to_wire};

#[cfg(test)]
mod tests;

/// What a file starts with: its kind and layout.
const MAGIC: &[u8; 8] = b"QTMSNAP1";

/// The longest head: a membership and two log ids.
const HEAD_BYTES_MAX: u64 = 1 << 20;

/// The checksum that ends a file.
const SUM_BYTES: u64 = 4;

/// How much of a file is written between two syncs.
const EASE_BYTES: u64 = 2 << 20;

/// Pieces that wait for the disk, or for the network.
const PIECES_MAX: usize = 2;

/// The snapshots of one group.
#[derive(Clone)]
pub(crate) struct SnapshotStore {
    pub(crate) disk: SharedDisk,
    pub(crate) shard: ShardId,
    /// The last entry that the file covers. Held while it is replaced: openraft builds a snapshot
    /// while it installs another.
    covered: Arc<tokio::sync::Mutex<Option<LogId>>>,
    received: Arc<AtomicU64>,
}

/// One snapshot, to be read in pieces: also after a later one has taken its name.
#[derive(Clone)]
pub struct Image {
    disk: SharedDisk,
    file: String,
    source: Arc<dyn Source>,
    /// Where the state is in the file.
    state: Range<u64>,
    digest: Option<StateDigest>,
    /// What came from a peer and is not installed yet.
    incoming: Option<Arc<Incoming>>,
}

/// A file that is removed, unless it has been given its name.
struct Incoming {
    disk: SharedDisk,
    name: String,
}

/// A snapshot on its way in: pieces of its state are sent here.
pub(crate) struct Receiver {
    pieces: mpsc::Sender<Bytes>,
    written: oneshot::Receiver<io::Result<(Image, u32)>>,
}

/// Reads the state of an image from its start to its end, and then compares the checksum.
struct Pieces<'a> {
    image: &'a Image,
    sum: crc32fast::Hasher,
    at: u64,
    ended: bool,
}

/// Writes one file from its start to its end.
struct Writer {
    file: Box<dyn File>,
    at: u64,
    /// Up to here it is on the disk.
    synced: u64,
    sum: crc32fast::Hasher,
}

// === impl SnapshotStore ===

impl SnapshotStore {
    /// The snapshots of `shard`. What was on its way in when the node ended is removed.
    pub(crate) fn open(disk: SharedDisk, shard: ShardId) -> io::Result<Self> {
        let store = Self {
            disk,
            shard,
            covered: Arc::default(),
            received: Arc::default(),
        };
        let unfinished = format!("{}.", store.name());
        for name in store.disk.list()? {
            if name.starts_with(&unfinished) {
                store.disk.remove(&name)?;
            }
        }
        Ok(store)
    }

    fn name(&self) -> String {
        format!("snapshot-{}.bin", self.shard)
    }

    /// Writes the pieces of a state that was frozen, and before them what it digests to. None if a
    /// later one was written meanwhile.
    pub(crate) async fn build(
        &self,
        meta: &SnapshotMeta,
        digest: impl FnOnce() -> Option<StateDigest> + Send + 'static,
        pieces: impl Iterator<Item = Vec<u8>> + Send + 'static,
    ) -> io::Result<Option<Image>> {
        let mut covered = self.covered.lock().await;
        if *covered > meta.last_log_id {
            return Ok(None);
        }
        let (done, written) = oneshot::channel();
        let (disk, name) = (self.disk.clone(), self.name());
        let meta_written = meta.clone();
        let task = async move {
            let head = head(&meta_written, digest());
            let temporary = format!("{name}.new");
            let write = async {
                let mut writer = Writer::begin(&disk, &temporary, &head)?;
                for piece in pieces {
                    writer.write(&piece)?;
                    writer.ease().await?;
                    // A disk in memory has no thread of its own.
                    tokio::task::yield_now().await;
                }
                writer.end().await?;
                let image = Image::open(&disk, &temporary)?.1;
                give_name(&disk, &temporary, &name)?;
                Ok(image)
            };
            // Nobody waits any more when the node stops.
            let _gone = done.send(write.await);
        };
        self.disk.spawn("quotum-snapshot", Box::pin(task));
        let image = written.await.unwrap_or_else(|_| Err(stopped()))?;
        *covered = meta.last_log_id;
        Ok(Some(image))
    }

    /// Takes a snapshot from a peer: to a file of its own, until it is installed.
    pub(crate) fn receive(&self, meta: &SnapshotMeta, digest: Option<StateDigest>) -> Receiver {
        let number = self.received.fetch_add(1, Ordering::Relaxed);
        let incoming = Arc::new(Incoming {
            disk: self.disk.clone(),
            name: format!("{}.incoming-{number}", self.name()),
        });
        let (pieces, mut arriving) = mpsc::channel::<Bytes>(PIECES_MAX);
        let (done, written) = oneshot::channel();
        let head = head(meta, digest);
        let task = async move {
            let write = async {
                let mut writer = Writer::begin(&incoming.disk, &incoming.name, &head)?;
                let mut sum = crc32fast::Hasher::new();
                while let Some(piece) = arriving.recv().await {
                    sum.update(&piece);
                    writer.write(&piece)?;
                    writer.ease().await?;
                }
                writer.end().await?;
                let mut image = Image::open(&incoming.disk, &incoming.name)?.1;
                image.incoming = Some(incoming.clone());
                Ok((image, sum.finalize()))
            };
            let _gone = done.send(write.await);
        };
        self.disk.spawn("quotum-snapshot", Box::pin(task));
        Receiver { pieces, written }
    }

    /// Gives a snapshot that came from a peer its name.
    pub(crate) async fn install(&self, meta: &SnapshotMeta, image: &Image) -> io::Result<()> {
        let Some(incoming) = &image.incoming else {
            // One that another store has built: a node is given none, openraft's own tests do it.
            let (state, digest) = (image.load()?, image.digest);
            let built = self.build(meta, move || digest, std::iter::once(state));
            return built.await.map(drop);
        };
        let mut covered = self.covered.lock().await;
        if *covered > meta.last_log_id {
            return Ok(());
        }
        give_name(&self.disk, &incoming.name, &self.name())?;
        *covered = meta.last_log_id;
        Ok(())
    }

    /// The snapshot, if there is one. Its checksum is not verified before it is read.
    pub(crate) fn current(&self) -> io::Result<Option<(SnapshotMeta, Image)>> {
        match Image::open(&self.disk, &self.name()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("the snapshot's writer has stopped")
}

fn head(meta: &SnapshotMeta, digest: Option<StateDigest>) -> Vec<u8> {
    let head = meta_to_wire(meta, 0, digest).encode_to_vec();
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(head.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&head);
    bytes
}

fn give_name(disk: &SharedDisk, temporary: &str, name: &str) -> io::Result<()> {
    disk.rename(temporary, name)?;
    disk.sync_names()
}

// === impl Writer ===

impl Writer {
    fn begin(disk: &SharedDisk, name: &str, head: &[u8]) -> io::Result<Self> {
        let mut file = disk.open(name)?;
        file.set_len(0)?;
        let mut writer = Self {
            file,
            at: 0,
            synced: 0,
            sum: crc32fast::Hasher::new(),
        };
        writer.write(head)?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.file.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Syncs every few megabytes: one sync of all of them would hold up the log's, on the same disk.
    async fn ease(&mut self) -> io::Result<()> {
        if self.at - self.synced >= EASE_BYTES {
            self.file.sync().await?;
            self.synced = self.at;
        }
        Ok(())
    }

    async fn end(mut self) -> io::Result<()> {
        let sum = self.sum.clone().finalize();
        self.write(&sum.to_le_bytes())?;
        self.file.sync().await
    }
}

// === impl Incoming ===

impl Drop for Incoming {
    fn drop(&mut self) {
        // One that was installed has another name.
        let _installed = self.disk.remove(&self.name);
    }
}

// === impl Receiver ===

impl Receiver {
    /// Waits for the disk. An error means that it has failed: [`Receiver::end`] says how.
    pub(crate) async fn piece(&self, piece: Bytes) -> io::Result<()> {
        self.pieces.send(piece).await.map_err(|_| stopped())
    }

    /// The whole of it, on the disk, and the checksum of its state.
    pub(crate) async fn end(self) -> io::Result<(Image, u32)> {
        drop(self.pieces);
        self.written.await.unwrap_or_else(|_| Err(stopped()))
    }
}

// === impl Image ===

impl Image {
    fn open(disk: &SharedDisk, name: &str) -> io::Result<(SnapshotMeta, Self)> {
        let source = disk.source(name)?;
        let mut image = Self {
            disk: disk.clone(),
            file: disk.describe(name),
            source: source.into(),
            state: 0..0,
            digest: None,
            incoming: None,
        };
        let start = MAGIC.len() as u64 + 8;
        let bytes = image.source.bytes();
        if bytes < start + SUM_BYTES {
            return Err(image.damaged("the file is too short"));
        }
        let fixed = image.read(0..start)?;
        if fixed[..MAGIC.len()] != MAGIC[..] {
            return Err(image.damaged("this is no snapshot of this version"));
        }
        let length = fixed[MAGIC.len()..].try_into().expect("eight bytes");
        let length = u64::from_le_bytes(length);
        if length > HEAD_BYTES_MAX || start + length + SUM_BYTES > bytes {
            return Err(image.damaged("the file is too short"));
        }
        image.state = start + length..bytes - SUM_BYTES;
        let head = image.read(start..image.state.start)?;
        let meta = peer::SnapshotMeta::decode(head)
            .map_err(|_| image.damaged("the head cannot be decoded"))?;
        image.digest = meta.digest;
        let meta = meta_from_wire(meta).map_err(|e| image.damaged(e.0))?;
        Ok((meta, image))
    }

    fn damaged(&self, what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", self.file))
    }

    /// What whoever built it says that its state digests to.
    pub(crate) fn digest(&self) -> Option<StateDigest> {
        self.digest
    }

    /// Refuses a state that was decoded from this and is another one. Builds with other rules for
    /// digests are believed.
    pub(crate) fn compare(&self, decoded: StateDigest) -> io::Result<()> {
        match self.digest {
            Some(written) if written.rules == decoded.rules && written.sum != decoded.sum => {
                let text = format!(
                    "its state digests to {:016x}, and to {:016x} where it was written: it is refused",
                    decoded.sum, written.sum
                );
                Err(self.damaged(&text))
            }
            _ => Ok(()),
        }
    }

    /// How many bytes the state has.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.end - self.state.start
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut bytes =
            vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
        self.source.read_at(range.start, &mut bytes)?;
        Ok(bytes.into())
    }

    /// The whole state, verified. Blocks.
    pub(crate) fn load(&self) -> io::Result<Vec<u8>> {
        let bytes = usize::try_from(self.bytes()).map_err(io::Error::other)?;
        let mut state = Vec::with_capacity(bytes);
        for piece in Pieces::of(self) {
            state.extend_from_slice(&piece?);
        }
        Ok(state)
    }

    /// Reads the state beside the tasks that serve, in pieces. The last one is followed by an error
    /// if the file is damaged.
    pub(crate) fn pieces(&self) -> mpsc::Receiver<io::Result<Bytes>> {
        let (pieces, reading) = mpsc::channel(PIECES_MAX);
        let image = self.clone();
        let task = async move {
            for piece in Pieces::of(&image) {
                if let Err(error) = &piece {
                    tracing::error!(%error, "this snapshot is sent to nobody; the next takes its place");
                }
                // Nobody reads any more when the transfer was cut off.
                if pieces.send(piece).await.is_err() {
                    return;
                }
            }
        };
        self.disk.spawn("quotum-snapshot", Box::pin(task));
        reading
    }
}

// === impl Pieces ===

impl<'a> Pieces<'a> {
    fn of(image: &'a Image) -> Self {
        Self {
            image,
            sum: crc32fast::Hasher::new(),
            at: 0,
            ended: false,
        }
    }

    fn read(&mut self, to: u64) -> io::Result<Bytes> {
        let bytes = self.image.read(self.at..to)?;
        self.sum.update(&bytes);
        self.at = to;
        Ok(bytes)
    }

    fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        let state = self.image.state.clone();
        if self.at == 0 {
            self.read(state.start)?;
        }
        if self.at < state.end {
            let to = state.end.min(self.at + SNAPSHOT_CHUNK_BYTES as u64);
            return self.read(to).map(Some);
        }
        let stored = self.image.read(state.end..state.end + SUM_BYTES)?;
        match self.sum.clone().finalize().to_le_bytes() == stored[..] {
            true => Ok(None),
            false => Err(self.image.damaged("the checksum is wrong")),
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_piece();
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}
