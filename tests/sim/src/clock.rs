//! Simulated clocks: one true time, from which each machine's clocks are off.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use quotum_replica::clock::Clock;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// Where wall clocks start: 2026-11-25, in milliseconds since the Unix epoch.
const START_MS: u64 = 1_795_600_000_000;

/// The clocks of one machine.
#[derive(Clone)]
pub(crate) struct SimClock {
    /// How far the wall clock is from the truth.
    skew_ms: Arc<AtomicI64>,
    /// How much faster the monotonic clock runs than the truth.
    drift_ppm: i64,
    /// What the monotonic clock showed when the simulation started.
    offset_us: u64,
}

thread_local! {
    /// When the tick began that is on, and what the clock of the runtime showed then that it is for.
    static TICK: Cell<Option<(Duration, Instant)>> = const { Cell::new(None) };
}

/// The tick of a runtime beside those of turmoil.
pub(crate) struct Inside;

/// Begins one.
pub(crate) fn enter(now: Duration, runtime: &Runtime) -> Inside {
    let _context = runtime.enter();
    TICK.set(Some((now, Instant::now())));
    Inside
}

/// True time since the start of the simulation, in microseconds.
pub(crate) fn true_us() -> u64 {
    let elapsed = match TICK.get() {
        Some((began, clock)) => began + clock.elapsed(),
        None => turmoil::sim_elapsed().unwrap_or_default(),
    };
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

// === impl Inside ===

impl Drop for Inside {
    fn drop(&mut self) {
        TICK.set(None);
    }
}

// === impl SimClock ===

impl SimClock {
    pub(crate) fn new(skew_ms: i64, drift_ppm: i64, offset_us: u64) -> Self {
        Self {
            skew_ms: Arc::new(AtomicI64::new(skew_ms)),
            drift_ppm,
            offset_us,
        }
    }

    pub(crate) fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }

    fn drifted_us(&self) -> u64 {
        let true_us = true_us();
        let most = i64::try_from(true_us).unwrap_or(i64::MAX);
        true_us.saturating_add_signed(most.saturating_mul(self.drift_ppm) / 1_000_000)
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.offset_us + self.drifted_us()
    }
}

impl Clock for SimClock {
    fn monotonic_us(&self) -> u64 {
        self.now_us()
    }

    fn wall_ms(&self) -> u64 {
        // Kept on time by a time service: off by its skew, not by the drift.
        let now_ms = START_MS + true_us() / 1_000;
        now_ms.saturating_add_signed(self.skew_ms.load(Ordering::Relaxed))
    }
}
