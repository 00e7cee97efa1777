//! The clock that admissions are timed with. A seam: the simulator brings its own.

use std::fmt;
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};

/// Microseconds since some start, which never go back and go on while the machine sleeps.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

// === impl Clock ===

impl Clock {
    pub fn new(now_us: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_us))
    }

    /// `CLOCK_BOOTTIME`.
    pub fn boottime() -> Self {
        Self::new(|| {
            let now = clock_gettime(ClockId::Boottime);
            let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
            let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
            seconds
                .saturating_mul(1_000_000)
                .saturating_add(nanoseconds / 1_000)
        })
    }

    pub fn now_us(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The instant at which an admission that was sent for at `sent_us` ends. Clocks may differ in
/// rate by half a percent: an admission is used for that much less than it is valid.
pub(crate) fn valid_until_us(sent_us: u64, valid_for_ms: u64) -> u64 {
    sent_us.saturating_add(shortened_us(valid_for_ms))
}

/// A duration of the log clock, in microseconds of this clock that are surely not less.
pub(crate) fn lengthened_us(ms: u64) -> u64 {
    // (ms + 1) * 1000 * (1 + 0.005): durations of the service are rounded down.
    ms.saturating_add(1).saturating_mul(1_005)
}

/// A duration of the log clock, in microseconds of this clock that are surely not more.
pub(crate) fn shortened_us(ms: u64) -> u64 {
    // ms * 1000 * (1 - 0.005)
    ms.saturating_mul(995)
}
