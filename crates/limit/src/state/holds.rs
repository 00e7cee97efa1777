//! Holds: units that are reserved, and not confirmed yet.
//!
//! A call whose limits live in two groups reserves units in each and confirms both before it is
//! forwarded. Promises: a hold that is not confirmed ends by log time, and its units are free then,
//! whatever has become of its client; what stands in the way only because of holds is known.

use std::collections::{BTreeMap, BTreeSet};

use super::verdict::Charge;
use crate::command::{Algorithm, Item, RequestId};
use crate::{Key, LogTime, Window};

#[derive(Debug, Clone, Default)]
pub(crate) struct Holds {
    /// The holds by when they end.
    ends: BTreeSet<(LogTime, RequestId)>,
    /// Units that are held of each counter.
    units: BTreeMap<Counter, u64>,
}

/// A counter; a fixed one in the window that ends then.
type Counter = (Key, Window, Algorithm, LogTime);

fn counter(item: &Item, end: LogTime) -> Counter {
    let end = match item.algorithm {
        Algorithm::Fixed => end,
        Algorithm::Sliding => LogTime::ZERO,
    };
    (item.key.detached(), item.window, item.algorithm, end)
}

// === impl Holds ===

impl Holds {
    pub(crate) fn begin(&mut self, id: RequestId, until: LogTime, charges: &[Charge]) {
        self.ends.insert((until, id));
        for (item, end, units) in charges {
            let held = self.units.entry(counter(item, *end)).or_default();
            *held = held.saturating_add(*units);
        }
    }

    pub(crate) fn end(&mut self, id: RequestId, until: LogTime, charges: &[Charge]) {
        if !self.ends.remove(&(until, id)) {
            return;
        }
        for (item, end, units) in charges {
            let counter = counter(item, *end);
            if let Some(held) = self.units.get_mut(&counter) {
                *held = held.saturating_sub(*units);
                if *held == 0 {
                    self.units.remove(&counter);
                }
            }
        }
    }

    /// The first hold that ends by `now`.
    pub(crate) fn due(&self, now: LogTime) -> Option<(LogTime, RequestId)> {
        self.ends
            .first()
            .copied()
            .filter(|(until, _)| *until <= now)
    }

    /// Units that are held of an item's counter, where units taken now count until `end`.
    pub(crate) fn of(&self, item: &Item, end: LogTime) -> u64 {
        if self.units.is_empty() {
            return 0;
        }
        self.units.get(&counter(item, end)).copied().unwrap_or(0)
    }
}
