//! The seam to whoever watches: how long things took. The metrics, or a simulation's trace.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::log::ShardId;

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

/// Takes note of what took how long. Called often: it must neither wait nor allocate.
pub trait Observe: Send + Sync + 'static {
    fn took(&self, step: Step, duration: Duration);
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

    pub(crate) fn took(&self, step: Step, start_us: u64) {
        let micros = self.clock.monotonic_us().saturating_sub(start_us);
        self.observer.took(step, Duration::from_micros(micros));
    }
}
