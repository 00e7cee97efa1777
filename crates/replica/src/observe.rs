//! The seam to whoever watches: what was applied and how long things took. The metrics, or a
//! simulation's history.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Clock;
use crate::log::ShardId;
use crate::machine::Machine;
use crate::raft::Reply;

/// What takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// From the proposal of an entry to its answer, on the leader.
    Commit(ShardId),
    /// One entry, in the state machine.
    Apply(ShardId),
    /// One round of the log: written and, if asked for, synced.
    Append,
    /// One sync of the log.
    Sync,
    /// One snapshot: encoded and on the disk.
    Snapshot(ShardId),
}

/// One entry of a log, when this node has applied it.
pub struct AppliedEntry<'a> {
    pub shard: ShardId,
    pub term: u64,
    pub index: u64,
    /// What the entry carries; none if only the consensus reads it.
    pub payload: Option<&'a Bytes>,
    pub reply: &'a Reply,
    /// As the entry left it.
    pub machine: &'a Machine,
}

/// Takes note of what happens. Called often: it must not wait.
pub trait Observe: Send + Sync + 'static {
    fn took(&self, step: Step, duration: Duration);

    /// Called with the state locked, in the order of the log.
    fn applied(&self, _entry: &AppliedEntry<'_>) {}

    /// Whether [`Observe::applied`] reads the outcomes of counters. Where it does not, an entry that
    /// nobody waits for has none.
    fn reads_outcomes(&self) -> bool {
        false
    }

    /// A snapshot of another node's has taken the place of the state: it covers the log up to
    /// `index`.
    fn installed(&self, _shard: ShardId, _index: u64) {}
}

/// Whoever watches a node.
pub type SharedObserver = Arc<dyn Observe>;

/// Nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

/// A watch on the monotonic clock.
#[derive(Clone)]
pub(crate) struct Watch {
    clock: Arc<dyn Clock>,
    observer: SharedObserver,
}

impl Observe for Unobserved {
    fn took(&self, _step: Step, _duration: Duration) {}
}

// === impl Watch ===

impl Watch {
    pub(crate) fn new(clock: Arc<dyn Clock>, observer: SharedObserver) -> Self {
        Self { clock, observer }
    }

    /// Starts to measure: the result is given to [`Watch::took`].
    pub(crate) fn start_us(&self) -> u64 {
        self.clock.monotonic_us()
    }

    #[cfg(quotum_bugs)]
    pub(crate) fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    pub(crate) fn took(&self, step: Step, start_us: u64) {
        let micros = self.clock.monotonic_us().saturating_sub(start_us);
        self.observer.took(step, Duration::from_micros(micros));
    }

    pub(crate) fn applied(&self, entry: &AppliedEntry<'_>) {
        self.observer.applied(entry);
    }

    pub(crate) fn reads_outcomes(&self) -> bool {
        self.observer.reads_outcomes()
    }

    pub(crate) fn installed(&self, shard: ShardId, index: u64) {
        self.observer.installed(shard, index);
    }
}
