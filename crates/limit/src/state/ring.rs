//! Rings: the units of a sliding window, by the part of it in which they were taken.
//!
//! A window W is cut into buckets of W / 60, rounded down. A unit taken in one bucket may be used
//! for one bucket's time, and is counted until no use of it can share a window with a use of what
//! is taken now: so W + 2 buckets are kept, each counted whole while any part of it counts.

use crate::{LogTime, Window};

#[cfg(test)]
mod tests;

/// Into how many buckets a window is cut, at the least.
const BUCKETS_MIN: u64 = 60;

/// The most buckets of a ring: 1,019 ms make 64 buckets of 16 ms, and two more are kept.
pub(crate) const SPOTS_MAX: usize = 66;

/// How a sliding window is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    bucket_ms: u64,
    /// Buckets of a window, the last one begun counting whole.
    buckets: u64,
}

/// Units taken in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) bucket: u64,
    pub(crate) units: u64,
}

/// The buckets with units, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    spots: Vec<Spot>,
}

// === impl Grid ===

impl Grid {
    pub(crate) fn of(window: Window) -> Self {
        let window_ms = window.sliding_ms();
        let bucket_ms = window_ms / BUCKETS_MIN;
        Self {
            bucket_ms,
            buckets: window_ms.div_ceil(bucket_ms),
        }
    }

    pub(crate) fn bucket_ms(self) -> u64 {
        self.bucket_ms
    }

    pub(crate) fn bucket(self, at: LogTime) -> u64 {
        at.ms / self.bucket_ms
    }

    /// The oldest bucket that counts at `now`.
    pub(crate) fn oldest(self, now: LogTime) -> u64 {
        self.bucket(now).saturating_sub(self.buckets + 1)
    }

    /// When a bucket counts no more.
    pub(crate) fn free_at(self, bucket: u64) -> LogTime {
        let after = bucket.saturating_add(self.buckets + 2);
        LogTime::from_ms(after.saturating_mul(self.bucket_ms))
    }

    /// The bucket that counts until `free_at`.
    pub(crate) fn bucket_until(self, free_at: LogTime) -> u64 {
        (free_at.ms / self.bucket_ms).saturating_sub(self.buckets + 2)
    }
}

// === impl Ring ===

impl Ring {
    /// Takes spots that ascend, as [`Ring::counted`] gives them.
    pub(crate) fn new(spots: Vec<Spot>) -> Self {
        Self { spots }
    }

    /// The spots that count at `now`.
    pub(crate) fn counted(&self, grid: Grid, now: LogTime) -> &[Spot] {
        let oldest = grid.oldest(now);
        let first = self.spots.partition_point(|spot| spot.bucket < oldest);
        &self.spots[first..]
    }

    /// Adds units at `now`, and forgets what counts no more.
    pub(crate) fn add(&mut self, grid: Grid, now: LogTime, units: u64) {
        let oldest = grid.oldest(now);
        let passed = self.spots.partition_point(|spot| spot.bucket < oldest);
        self.spots.drain(..passed);
        let bucket = grid.bucket(now);
        match self.spots.last_mut() {
            Some(last) if last.bucket == bucket => last.units += units,
            _ => {
                if self.spots.len() == self.spots.capacity() {
                    let more = self.spots.len().max(2);
                    let room = SPOTS_MAX.saturating_sub(self.spots.len()).max(1);
                    self.spots.reserve_exact(more.min(room));
                }
                self.spots.push(Spot { bucket, units });
            }
        }
    }

    /// Takes units out of a bucket, and says how many were there to take.
    pub(crate) fn take(&mut self, bucket: u64, units: u64) -> u64 {
        let Ok(at) = self.spots.binary_search_by_key(&bucket, |spot| spot.bucket) else {
            return 0;
        };
        let back = units.min(self.spots[at].units);
        self.spots[at].units -= back;
        if self.spots[at].units == 0 {
            self.spots.remove(at);
        }
        back
    }

    pub(crate) fn bytes(&self) -> usize {
        self.spots.capacity() * size_of::<Spot>()
    }
}

/// Units that these spots count.
pub(crate) fn sum(spots: &[Spot]) -> u64 {
    spots.iter().map(|spot| spot.units).sum()
}

/// When at most `most` of the units of these spots still count, if nothing is added.
pub(crate) fn at_most(spots: &[Spot], grid: Grid, most: u64) -> Option<LogTime> {
    let mut left = sum(spots);
    let mut at = None;
    for spot in spots {
        if left <= most {
            break;
        }
        left -= spot.units;
        at = Some(grid.free_at(spot.bucket));
    }
    at
}
