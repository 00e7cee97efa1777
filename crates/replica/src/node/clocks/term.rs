//! The clocks of a leader in one term, judged by the reference.
//!
//! Knows nothing of nodes: what the clocks show arrives. Off for a moment is not off: a node that
//! answers late makes the reference jump a little.

use std::fmt;

use quotum_limit::limits::SLEW_DIVISOR;

use crate::limits::{CLOCK_AGREEMENT_MS, CLOCK_MOVED_MS, CLOCK_OFF_US};

#[cfg(test)]
mod tests;

/// What the clocks of a leader and the reference show at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) monotonic_us: u64,
    pub(super) wall_ms: u64,
    pub(super) reference_ms: u64,
}

/// What is known of the clocks in one term.
#[derive(Debug, Default)]
pub(super) struct TermClocks {
    term: u64,
    /// The first moment of the term with a reference.
    first: Option<Moment>,
    off_since_us: Option<u64>,
}

/// What is wrong with the clocks, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Off {
    /// The wall clock is so far from the reference.
    Wall(u64),
    /// The monotonic clock has moved log time so far from the reference in this term.
    Monotonic(u64),
}

// === impl TermClocks ===

impl TermClocks {
    /// Looks again; tells what has been off for long enough.
    pub(super) fn look(&mut self, term: u64, now: Moment) -> Option<Off> {
        if self.term != term {
            *self = Self {
                term,
                ..Self::default()
            };
        }
        let first = *self.first.get_or_insert(now);
        let Some(off) = off(first, now) else {
            self.off_since_us = None;
            return None;
        };
        let since_us = *self.off_since_us.get_or_insert(now.monotonic_us);
        (now.monotonic_us.saturating_sub(since_us) >= CLOCK_OFF_US).then_some(off)
    }
}

fn off(first: Moment, now: Moment) -> Option<Off> {
    let elapsed_ms = now.monotonic_us.saturating_sub(first.monotonic_us) / 1_000;
    let passed_ms = now.reference_ms.saturating_sub(first.reference_ms);
    // Slewing takes log time back by so much.
    let moved_ms = passed_ms
        .abs_diff(elapsed_ms)
        .saturating_sub(elapsed_ms / SLEW_DIVISOR);
    if moved_ms > CLOCK_MOVED_MS {
        return Some(Off::Monotonic(moved_ms));
    }
    let wall_ms = now.wall_ms.abs_diff(now.reference_ms);
    (wall_ms > CLOCK_AGREEMENT_MS).then_some(Off::Wall(wall_ms))
}

// === impl Off ===

impl fmt::Display for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wall(ms) => write!(f, "this node's wall clock is {ms} ms off"),
            Self::Monotonic(ms) => {
                write!(
                    f,
                    "this node's monotonic clock has moved log time by {ms} ms"
                )
            }
        }
    }
}
