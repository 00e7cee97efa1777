//! Restored: what a state that was brought back from a backup must not admit.
//!
//! Between the backup and the end of the cluster that it was taken from, units were admitted that
//! the backup knows nothing of. So whatever key, the window that contains the restore is as if it
//! was used up, and the next one is counted as ever.

use crate::LogTime;
use crate::command::{Algorithm, Item};
use crate::limits::{LOG_TIME_MS_MAX, RESTORE_EPOCHS, RESTORE_MARGIN_MS};
use crate::state::State;
use crate::state::holds::Holds;

#[cfg(test)]
mod tests;

/// That a state was restored, and when in log time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Unknown until the first entry after it.
    pub(crate) at: Option<LogTime>,
    /// Admits all the same: the operator has accepted that limits may be exceeded.
    pub(crate) accept_over: bool,
}

// === impl Restored ===

impl Restored {
    /// Log time has reached `now`.
    pub(crate) fn pass(&mut self, now: LogTime) {
        // The log clock of the old cluster may have been a little ahead.
        let margin = now.ms.saturating_add(RESTORE_MARGIN_MS);
        let margin = LogTime::from_ms(margin.min(LOG_TIME_MS_MAX));
        self.at.get_or_insert(margin);
    }

    pub(crate) fn digest(&self) -> u64 {
        let at_ms = self.at.map_or(0, |at| at.ms + 1);
        (at_ms << 1 | u64::from(self.accept_over)).rotate_left(17)
    }

    /// Until when the units of `item` may have been admitted by the cluster of before.
    fn until(&self, item: &Item, now: LogTime) -> Option<LogTime> {
        let until = ends(item, self.at.unwrap_or(now));
        (now < until).then_some(until)
    }
}

/// When the last window of `item` that contains `at` ends.
fn ends(item: &Item, at: LogTime) -> LogTime {
    let end = item.window.interval(at).end;
    match item.algorithm {
        Algorithm::Fixed => end,
        // What was admitted then counts for the length of a window.
        Algorithm::Sliding => item.window.interval(end).end,
    }
}

// === impl State ===

impl State {
    /// Makes this state, which a backup holds, one that a new cluster can go on from: no client of
    /// before is known, and unless `accept_over` no key is admitted anything in the window that
    /// contains the next entry.
    pub fn restore(&mut self, accept_over: bool) {
        self.clients.burn(RESTORE_EPOCHS);
        // What they held stays charged: nobody confirms it, and nobody gives it back.
        self.holds = Holds::default();
        self.restored = Some(Restored {
            at: None,
            accept_over,
        });
    }

    /// How many items were admitted though the window contains a restore, since this state was
    /// made. Not part of what replicas agree on.
    pub fn admitted_after_restore(&self) -> u64 {
        self.admitted_after_restore
    }

    /// Until when `item` is refused because its window contains a restore.
    pub(crate) fn withheld_until(&self, item: &Item) -> Option<LogTime> {
        let refusing = self.restored.filter(|restored| !restored.accept_over);
        refusing?.until(item, self.last.log)
    }

    /// Whether the window of `item` contains a restore.
    pub(crate) fn is_concerned(&self, item: &Item) -> bool {
        let until = |restored: Restored| restored.until(item, self.last.log);
        self.restored.and_then(until).is_some()
    }
}
