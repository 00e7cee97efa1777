//! When requests are due. Pure: time arrives as an argument.

use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// When the next request of one lane is due.
#[derive(Debug, Clone)]
pub(crate) enum Pace {
    /// As soon as there is room for it.
    Closed,
    /// At its time, whatever became of the ones before it.
    Open(Schedule),
}

/// Evenly spaced instants, of which each lane takes every so manyth.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    start: Instant,
    requests_per_s: f64,
    lanes: u64,
    next: u64,
}

// === impl Schedule ===

impl Schedule {
    /// The share of `lane` in `requests_per_s` of all `lanes`.
    pub(crate) fn new(start: Instant, requests_per_s: f64, lane: u64, lanes: u64) -> Self {
        assert!(requests_per_s > 0.0 && lane < lanes, "a lane has a share");
        Self {
            start,
            requests_per_s,
            lanes,
            next: lane,
        }
    }

    /// When the next request is due. Counted from the start, so that nothing adds up.
    pub(crate) fn due(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.next as f64 / self.requests_per_s)
    }

    pub(crate) fn advance(&mut self) {
        self.next += self.lanes;
    }
}
