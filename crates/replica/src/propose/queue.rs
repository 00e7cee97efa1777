//! The queue to a shard's proposer.
//!
//! Promises: what waits is bounded in messages, decisions and bytes; what would not fit is refused
//! at once, with nothing done; a message that may be proposed at all finds room in an empty queue.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use quotum_limit::Command;
use tokio::sync::{mpsc, oneshot};

use super::{Decided, ProposeError, estimate};
use crate::limits::{PROPOSE_BYTES_MAX, PROPOSE_COMMANDS_MAX, PROPOSE_QUEUE_MAX};

#[cfg(test)]
mod tests;

/// What the proposer of a shard is asked for.
pub(super) struct Work {
    pub(super) commands: Vec<Command>,
    pub(super) answer: oneshot::Sender<Result<Decided, ProposeError>>,
    /// Given back when the work is taken into an entry.
    room: Room,
}

/// The way to a shard's proposer.
#[derive(Clone)]
pub(crate) struct Proposer {
    queue: mpsc::Sender<Work>,
    waiting: Arc<Mutex<Size>>,
}

/// The proposer's end of it.
pub(super) struct Incoming {
    work: mpsc::Receiver<Work>,
    round: Vec<Work>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    messages: usize,
    commands: usize,
    bytes: usize,
}

/// Room in the queue that something takes.
struct Room {
    size: Size,
    waiting: Arc<Mutex<Size>>,
}

/// A queue that is empty.
pub(super) fn open() -> (Proposer, Incoming) {
    let (queue, work) = mpsc::channel(PROPOSE_QUEUE_MAX);
    let waiting = Arc::default();
    let round = Vec::new();
    (Proposer { queue, waiting }, Incoming { work, round })
}

// === impl Size ===

impl Size {
    const MAX: Self = Self {
        messages: PROPOSE_QUEUE_MAX,
        commands: PROPOSE_COMMANDS_MAX,
        bytes: PROPOSE_BYTES_MAX,
    };

    fn of(commands: &[Command]) -> Self {
        Self {
            messages: 1,
            commands: commands.len(),
            bytes: commands.iter().map(estimate).sum(),
        }
    }

    /// None: both together are more than may wait.
    fn plus(self, more: Self) -> Option<Self> {
        let sum = Self {
            messages: self.messages + more.messages,
            commands: self.commands + more.commands,
            bytes: self.bytes + more.bytes,
        };
        let fits = sum.messages <= Self::MAX.messages
            && sum.commands <= Self::MAX.commands
            && sum.bytes <= Self::MAX.bytes;
        fits.then_some(sum)
    }

    fn minus(self, less: Self) -> Self {
        Self {
            messages: self.messages - less.messages,
            commands: self.commands - less.commands,
            bytes: self.bytes - less.bytes,
        }
    }
}

// === impl Room ===

impl Room {
    fn take(size: Size, waiting: &Arc<Mutex<Size>>) -> Option<Self> {
        let mut taken = waiting.lock().expect("no holder of it panics");
        *taken = taken.plus(size)?;
        Some(Self {
            size,
            waiting: waiting.clone(),
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut taken = self.waiting.lock().expect("no holder of it panics");
        *taken = taken.minus(self.size);
    }
}

// === impl Work ===

impl Work {
    /// The bytes of its commands, estimated.
    pub(super) fn bytes(&self) -> usize {
        self.room.size.bytes
    }
}

// === impl Proposer ===

impl Proposer {
    pub(crate) async fn decide(&self, commands: Vec<Command>) -> Result<Decided, ProposeError> {
        let (answer, decided) = oneshot::channel();
        let size = Size::of(&commands);
        let room = Room::take(size, &self.waiting).ok_or(ProposeError::Overloaded)?;
        let work = Work {
            commands,
            answer,
            room,
        };
        self.queue.try_send(work).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ProposeError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ProposeError::Stopped,
        })?;
        decided.await.unwrap_or(Err(ProposeError::Stopped))
    }
}

// === impl Incoming ===

impl Incoming {
    /// Adds all that has come to `queued`, and waits where that is empty. False: nobody asks any
    /// more.
    pub(super) async fn take(&mut self, queued: &mut VecDeque<Work>) -> bool {
        if queued.is_empty()
            && self
                .work
                .recv_many(&mut self.round, PROPOSE_QUEUE_MAX)
                .await
                == 0
        {
            return false;
        }
        queued.extend(self.round.drain(..));
        // Bounded by what may wait.
        while let Ok(more) = self.work.try_recv() {
            queued.push_back(more);
        }
        true
    }
}
