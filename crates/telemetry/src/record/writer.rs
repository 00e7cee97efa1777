//! The writer: a bounded queue, and a thread that turns records into lines.
//!
//! Promises: handing over a record never waits; a record that is lost is counted with its reason;
//! closing writes what was queued before it. The output may block: only the thread waits for it.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::thread;
use std::time::Duration;

use super::DecisionRecord;
use crate::catalog;
use crate::exposition::{Count, Exposition};
use crate::label::{ClosedLabel, DropReason};

#[cfg(test)]
mod tests;

/// Takes records. Cheap to clone; what is taken after closing is dropped and counted.
#[derive(Clone)]
pub struct Records {
    queue: Arc<RwLock<Option<SyncSender<DecisionRecord>>>>,
    dropped: Arc<Dropped>,
}

/// Owns the thread that writes.
#[must_use = "records are written until the writer is closed"]
pub struct RecordWriter {
    records: Records,
    done: Receiver<()>,
}

/// What was queued could not be written in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("decision records were still being written after {0:?}")]
pub struct CloseError(Duration);

struct Dropped {
    queue_full: Count,
    write_failed: Count,
}

/// A piece is written once it has this many bytes, or there is nothing more to add.
const PIECE_BYTES: usize = 64 << 10;

// === impl RecordWriter ===

impl RecordWriter {
    /// Starts to write to `output`, with room for `queued_max` records on their way.
    pub fn start(
        output: impl Write + Send + 'static,
        queued_max: usize,
        exposition: &Exposition,
    ) -> io::Result<Self> {
        let count =
            |reason: DropReason| exposition.count(&catalog::RECORDS_DROPPED, &[reason.as_str()]);
        let dropped = Arc::new(Dropped {
            queue_full: count(DropReason::QueueFull),
            write_failed: count(DropReason::WriteFailed),
        });
        let (queue, queued) = mpsc::sync_channel(queued_max);
        let (finished, done) = mpsc::channel();
        let counts = Arc::clone(&dropped);
        thread::Builder::new()
            .name("decision-records".to_owned())
            .spawn(move || {
                write_all(output, &queued, &counts);
                // Nobody listens if closing was given up.
                let _ = finished.send(());
            })?;
        let records = Records {
            queue: Arc::new(RwLock::new(Some(queue))),
            dropped,
        };
        Ok(Self { records, done })
    }

    /// Where records are handed over.
    pub fn records(&self) -> Records {
        self.records.clone()
    }

    /// Takes no more records, and waits until those before are written, for `patience` at most.
    pub fn close(self, patience: Duration) -> Result<(), CloseError> {
        self.records
            .queue
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match self.done.recv_timeout(patience) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Ok(()),
            Err(RecvTimeoutError::Timeout) => Err(CloseError(patience)),
        }
    }
}

impl std::fmt::Debug for RecordWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordWriter")
    }
}

// === impl Records ===

impl Records {
    /// Queues a record, or drops and counts it.
    pub fn write(&self, record: DecisionRecord) {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        let result = match &*queue {
            Some(queue) => queue.try_send(record),
            None => Err(TrySendError::Disconnected(record)),
        };
        match result {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.dropped.queue_full.one(),
            Err(TrySendError::Disconnected(_)) => self.dropped.write_failed.one(),
        }
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Records")
    }
}

/// Writes until the queue is closed: whatever is queued goes out in one piece. What an output
/// refuses is lost and counted; the next records are tried again, since a full disk may get room.
fn write_all(mut output: impl Write, queued: &Receiver<DecisionRecord>, dropped: &Dropped) {
    let mut piece = String::new();
    while let Ok(first) = queued.recv() {
        piece.push_str(&first.to_line());
        let mut lines = 1;
        while piece.len() < PIECE_BYTES
            && let Ok(next) = queued.try_recv()
        {
            piece.push_str(&next.to_line());
            lines += 1;
        }
        if output
            .write_all(piece.as_bytes())
            .and_then(|()| output.flush())
            .is_err()
        {
            dropped.write_failed.add(lines);
        }
        piece.clear();
    }
}
