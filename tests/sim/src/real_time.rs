//! The clocks of the operating system, as this process sees them: they stand still between steps of
//! the simulation.
//!
//! h2 forgets streams that were reset by `std::time::Instant`, a real second later, and answers what
//! comes for them differently from then on; hyper writes the real date into headers. Neither can be
//! given another clock, so the function that all of them end in is defined here.

use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where these clocks start: 2026-11-25, in seconds since the Unix epoch.
const START_SECONDS: u64 = 1_795_600_000;

static NOW_US: AtomicU64 = AtomicU64::new(0);

/// How much passes with each look until the clocks are set: quanta waits for time to pass before it
/// can be used.
static STEP_US: AtomicU64 = AtomicU64::new(1_000);

/// Sets all clocks of the operating system to so long after the start.
pub(crate) fn set(since_start: Duration) {
    let us = u64::try_from(since_start.as_micros()).unwrap_or(u64::MAX);
    STEP_US.store(0, Ordering::Relaxed);
    NOW_US.store(us, Ordering::Relaxed);
}

/// As C has it where `time_t` and `long` have the same size.
#[repr(C)]
struct Timespec {
    seconds: c_long,
    nanoseconds: c_long,
}

/// Takes the place of the C library's function in this program.
#[allow(unsafe_code)] // Nothing else in the program has this name.
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(_clock: c_int, time: Option<&mut Timespec>) -> c_int {
    let now_us = NOW_US.fetch_add(STEP_US.load(Ordering::Relaxed), Ordering::Relaxed);
    if let Some(time) = time {
        time.seconds = (START_SECONDS + now_us / 1_000_000) as c_long;
        time.nanoseconds = (now_us % 1_000_000 * 1_000) as c_long;
    }
    0
}
