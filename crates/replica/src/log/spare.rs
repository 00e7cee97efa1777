//! Spares: empty segments, filled with zeroes before they are needed.
//!
//! One is made beside the log while its predecessor is written, so that no decision waits for it.
//! Promises: what is taken is whole and on the disk; what was being made when the process ended is
//! removed at the next start, and never taken for a segment; that none can be made ahead is no error
//! before one is needed.

use std::io;

use tokio::sync::oneshot;

use crate::disk::{File, SharedDisk};
use crate::limits::SPARE_SEGMENTS_MAX;

/// Zeroes are written in pieces of this size.
const FILL_BYTES: usize = 1 << 20;

/// What is filled beside the log is synced as often: one sync of all of it would hold up the log's.
const EASE_BYTES: u64 = 2 << 20;

/// The empty segments.
pub(super) struct Spares {
    disk: SharedDisk,
    segment_bytes: u64,
    ready: Vec<String>,
    ahead: Option<Making>,
    /// The last segment for which one was begun ahead: what fails is not tried all the time.
    begun_in: u64,
    made: u64,
}

/// One that is being made.
struct Making {
    name: String,
    filled: oneshot::Receiver<io::Result<()>>,
}

// === impl Spares ===

impl Spares {
    /// The spares on the disk, without those that are not whole, or too many.
    pub(super) fn open(disk: SharedDisk, segment_bytes: u64) -> io::Result<Self> {
        let mut ready = Vec::new();
        let names = disk.list()?;
        for name in names.into_iter().filter(|name| name.starts_with("spare-")) {
            match name.ends_with(".seg") && ready.len() < SPARE_SEGMENTS_MAX {
                true => ready.push(name),
                false => disk.remove(&name)?,
            }
        }
        Ok(Self {
            disk,
            segment_bytes,
            ready,
            ahead: None,
            begun_in: 0,
            made: 0,
        })
    }

    /// A file that becomes a spare. It is made here, and not where it is filled: a process that
    /// takes over removes its name, and what is written to it later reaches nobody.
    fn create(&mut self, segment: u64) -> io::Result<(String, Box<dyn File>)> {
        self.made += 1;
        let name = format!("spare-new-{segment}-{}.tmp", self.made);
        let file = self.disk.open(&name)?;
        Ok((name, file))
    }

    /// Begins one while `segment` is written, if there is none.
    pub(super) fn make_ahead(&mut self, segment: u64) {
        if !self.ready.is_empty() || self.ahead.is_some() || self.begun_in == segment {
            return;
        }
        self.begun_in = segment;
        // What is wrong may be over when one is needed.
        let Ok((name, file)) = self.create(segment) else {
            return;
        };
        let (done, filled) = oneshot::channel();
        let bytes = self.segment_bytes;
        let task = async move {
            // Nobody waits any more when the node stops.
            let _gone = done.send(fill(file, bytes, EASE_BYTES).await);
        };
        self.disk.spawn("quotum-spare", Box::pin(task));
        self.ahead = Some(Making { name, filled });
    }

    /// A spare, as it becomes `segment`. It is made here where there is none.
    pub(super) async fn take(&mut self, segment: u64) -> io::Result<String> {
        if let Some(ready) = self.ready.pop() {
            return Ok(ready);
        }
        if let Some(Making { name, filled }) = self.ahead.take() {
            match filled.await {
                Ok(Ok(())) => return Ok(name),
                // What is wrong shows below, if it still is.
                Ok(Err(_)) | Err(_) => self.disk.remove(&name)?,
            }
        }
        let (name, file) = self.create(segment)?;
        fill(file, self.segment_bytes, self.segment_bytes).await?;
        Ok(name)
    }

    /// Keeps the file of a segment that is given up, or removes it.
    pub(super) fn keep(&mut self, name: &str, segment: u64) -> io::Result<()> {
        if self.ready.len() >= SPARE_SEGMENTS_MAX {
            return self.disk.remove(name);
        }
        let spare = format!("spare-{segment:016}.seg");
        self.disk.rename(name, &spare)?;
        self.ready.push(spare);
        Ok(())
    }
}

/// Fills a file with zeroes, and syncs it after so many bytes and at the end.
async fn fill(mut file: Box<dyn File>, bytes: u64, ease_bytes: u64) -> io::Result<()> {
    file.set_len(0)?;
    let zeroes = vec![0; FILL_BYTES];
    let (mut at, mut synced) = (0, 0);
    while at < bytes {
        let piece = usize::try_from(bytes - at)
            .unwrap_or(FILL_BYTES)
            .min(FILL_BYTES);
        file.write_at(at, &zeroes[..piece])?;
        at += piece as u64;
        if at - synced >= ease_bytes && at < bytes {
            file.sync().await?;
            synced = at;
        }
    }
    file.sync().await
}
