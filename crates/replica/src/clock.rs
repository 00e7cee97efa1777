//! The seam to the clocks, and the reference clock: the median of the voters' wall clocks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::limits::{CLOCK_AGREEMENT_MS, CLOCK_FRESH};

#[cfg(test)]
mod tests;

/// The clocks of one machine.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds of real time since some start, also while the machine sleeps.
    fn monotonic_us(&self) -> u64;

    /// Milliseconds since the Unix epoch, as the machine believes.
    fn wall_ms(&self) -> u64;
}

/// The clocks of a node.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealClock;

/// What is known of the wall clocks of other nodes, each as its distance from our monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    heard: BTreeMap<u64, Heard>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    /// Wall clock less monotonic clock, in milliseconds.
    ahead_ms: i64,
    at_us: u64,
}

// === impl RealClock ===

impl Clock for RealClock {
    fn monotonic_us(&self) -> u64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let micros = u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000;
        seconds.saturating_mul(1_000_000).saturating_add(micros)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the seam to the wall clock"
    )]
    fn wall_ms(&self) -> u64 {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}

// === impl Reference ===

impl Reference {
    /// Notes what `node` said its wall clock showed, asked at `sent_us` and answered at `heard_us`.
    pub(crate) fn hear(&mut self, node: u64, wall_ms: u64, sent_us: u64, heard_us: u64) {
        let middle_us = sent_us + heard_us.saturating_sub(sent_us) / 2;
        let heard = Heard {
            ahead_ms: ahead_ms(wall_ms, middle_us),
            at_us: heard_us,
        };
        self.heard.insert(node, heard);
    }

    /// The reference clock now: the median of the voters' clocks, while a majority of the voters
    /// was heard of lately and agrees. `own` is this node, which is heard of always.
    pub(crate) fn now_ms(&self, voters: &[u64], own: u64, clock: &dyn Clock) -> Option<u64> {
        let now_us = clock.monotonic_us();
        let fresh_us = u64::try_from(CLOCK_FRESH.as_micros()).unwrap_or(u64::MAX);
        let ahead = |node: &u64| {
            if *node == own {
                return Some(ahead_ms(clock.wall_ms(), now_us));
            }
            let heard = self.heard.get(node)?;
            (now_us.saturating_sub(heard.at_us) <= fresh_us).then_some(heard.ahead_ms)
        };
        let mut known: Vec<i64> = voters.iter().filter_map(ahead).collect();
        known.sort_unstable();
        #[cfg(quotum_bugs)]
        crate::bugs::follow_the_fastest(&mut known);
        let majority = voters.len() / 2 + 1;
        let median = *known.get(known.len() / 2)?;
        let near = |ahead: &&i64| ahead.abs_diff(median) <= CLOCK_AGREEMENT_MS;
        if known.iter().filter(near).count() < majority {
            return None;
        }
        let now_ms = i64::try_from(now_us / 1_000).ok()?;
        u64::try_from(median.checked_add(now_ms)?).ok()
    }

    /// Whether the wall clock of `node` was heard of lately and agrees with the reference.
    pub(crate) fn agrees(&self, node: u64, reference_ms: u64, now_us: u64) -> bool {
        let reference = ahead_ms(reference_ms, now_us);
        self.heard.get(&node).is_some_and(|heard| {
            let is_fresh =
                u128::from(now_us.saturating_sub(heard.at_us)) <= CLOCK_FRESH.as_micros();
            is_fresh && heard.ahead_ms.abs_diff(reference) <= CLOCK_AGREEMENT_MS
        })
    }

    /// When `node` was last heard of, on the monotonic clock.
    pub(crate) fn heard_us(&self, node: u64) -> Option<u64> {
        self.heard.get(&node).map(|heard| heard.at_us)
    }

    /// How far this node's wall clock is from what `node` last said, in milliseconds.
    pub(crate) fn offset_ms(&self, node: u64, clock: &dyn Clock) -> Option<i64> {
        let heard = self.heard.get(&node)?;
        Some(
            heard
                .ahead_ms
                .saturating_sub(ahead_ms(clock.wall_ms(), clock.monotonic_us())),
        )
    }
}

fn ahead_ms(wall_ms: u64, monotonic_us: u64) -> i64 {
    let wall_ms = i64::try_from(wall_ms).unwrap_or(i64::MAX);
    wall_ms.saturating_sub(i64::try_from(monotonic_us / 1_000).unwrap_or(i64::MAX))
}
