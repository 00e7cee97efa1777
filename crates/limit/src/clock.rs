//! The log clock: how a leader turns monotonic time and the reference clock into log time.
//!
//! Promises: stamps never go back; between two stamps log time advances by the monotonic time
//! between them, slewed by at most 1 part in [`SLEW_DIVISOR`]; the only step is at the start of a
//! term, forward, and no larger than the reference clock proves. Reads no clock: readings arrive.

use crate::LogTime;
use crate::limits::{SLEW_DIVISOR, STEP_MARGIN_MS};

#[cfg(test)]
mod tests;

/// What a log entry carries of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    pub log: LogTime,
    /// The reference clock that the leader saw, in milliseconds since the Unix epoch; 0 while its
    /// term has seen none. After the term has seen one it goes on with the monotonic clock, so that
    /// it is never less than the time that has really passed, and no later leader steps over that.
    pub reference_ms: u64,
}

/// What a leader reads when it stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_BOOTTIME`, microseconds since some start.
    pub monotonic_us: u64,
    /// The reference clock, while a majority agrees on it: milliseconds since the Unix epoch.
    pub reference_ms: Option<u64>,
}

/// The log clock of one leader in one term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogClock {
    log_us: u64,
    monotonic_us: u64,
    reference_us: u64,
}

// === impl LogClock ===

impl LogClock {
    /// Starts a term after `last`, the stamp of the last entry applied. Log time goes on from
    /// there; it steps forward by what the reference clock proves has passed since that entry,
    /// less [`STEP_MARGIN_MS`], and never past the reference. The first entry of all starts at it.
    pub fn lead(last: Stamp, reading: Reading) -> Self {
        let start_ms = match reading.reference_ms {
            Some(now_ms) if last == Stamp::default() => now_ms,
            Some(now_ms) if last.reference_ms > 0 => {
                let gap_ms = now_ms
                    .saturating_sub(last.reference_ms)
                    .saturating_sub(STEP_MARGIN_MS);
                last.log
                    .ms
                    .saturating_add(gap_ms)
                    .min(now_ms)
                    .max(last.log.ms)
            }
            _ => last.log.ms,
        };
        Self {
            log_us: start_ms.saturating_mul(1_000),
            monotonic_us: reading.monotonic_us,
            reference_us: reading.reference_ms.unwrap_or(0).saturating_mul(1_000),
        }
    }

    /// The stamp of the next entry.
    pub fn stamp(&mut self, reading: Reading) -> Stamp {
        #[cfg(quotum_bugs)]
        if let Some(stamp) = crate::bugs::stamp_of(reading) {
            return stamp;
        }
        let elapsed_us = reading.monotonic_us.saturating_sub(self.monotonic_us);
        self.monotonic_us = self.monotonic_us.max(reading.monotonic_us);
        self.log_us = self.log_us.saturating_add(elapsed_us);
        if self.reference_us > 0 {
            self.reference_us = self.reference_us.saturating_add(elapsed_us);
        }
        if let Some(reference_ms) = reading.reference_ms {
            // Time that has passed may be stretched or squeezed, so log time never goes back.
            let most_us = elapsed_us / SLEW_DIVISOR;
            let reference_us = reference_ms.saturating_mul(1_000);
            self.log_us = if reference_us >= self.log_us {
                self.log_us + most_us.min(reference_us - self.log_us)
            } else {
                self.log_us - most_us.min(self.log_us - reference_us)
            };
            self.reference_us = self.reference_us.max(reference_us);
        }
        Stamp {
            log: LogTime::from_ms(self.log_us / 1_000),
            reference_ms: self.reference_us / 1_000,
        }
    }

    /// How far log time is from the reference, in milliseconds; positive: ahead of it.
    pub fn offset_ms(&self, reference_ms: u64) -> i64 {
        let log_ms = i64::try_from(self.log_us / 1_000).unwrap_or(i64::MAX);
        log_ms.saturating_sub(i64::try_from(reference_ms).unwrap_or(i64::MAX))
    }
}
