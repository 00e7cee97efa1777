//! The deny cache: what is surely denied is denied here, so that a caller in a loop costs the
//! service one decision a second.
//!
//! Promises: refuses only what asks for more than a final denial left, of a counter with the same
//! max under the same or an older revision, for at most a second and never past the window's end;
//! holds at most [`DENIALS_MAX`] counters. Pure: time arrives as an argument.

use std::collections::BTreeMap;

use quotum_limit::{Algorithm, Item, ItemState, ItemStates, Key, Window};

use crate::clock::shortened_us;
use crate::limits::{DENIAL_US_MAX, DENIALS_MAX};

#[cfg(test)]
mod tests;

/// Counters as the last denial showed them.
#[derive(Debug, Default)]
pub(crate) struct DenyCache {
    entries: BTreeMap<Counter, Entry>,
    /// The counters by age.
    order: BTreeMap<u64, Counter>,
    next_serial: u64,
}

/// A denial that needs no asking.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) binding: usize,
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) items: ItemStates,
}

type Counter = (Key, Window, Algorithm);

#[derive(Debug)]
struct Entry {
    serial: u64,
    revision: u64,
    /// The max that the denied request named, beside the one in force.
    max_asked: u64,
    max: u64,
    remaining: u64,
    until_us: u64,
    reset_at_us: u64,
    /// Of the counter that bound: the units asked of it, and when they will fit.
    retry: Option<(u64, u64)>,
}

// === impl DenyCache ===

impl DenyCache {
    /// Remembers a final denial of `items` whose request was sent at `sent_us`. `binding` denied
    /// it, for as long as it says.
    pub(crate) fn learn(
        &mut self,
        items: &[Item],
        states: &[ItemState],
        binding: (usize, Option<u64>),
        sent_us: u64,
    ) {
        let after = |ms: u64| sent_us.saturating_add(ms.saturating_mul(1_000));
        for (at, (item, state)) in items.iter().zip(states).enumerate() {
            let retry_ms = binding.1.filter(|_| at == binding.0);
            let valid_us = shortened_us(state.reset_after_ms).min(DENIAL_US_MAX);
            let entry = Entry {
                serial: self.next_serial,
                revision: item.revision,
                max_asked: item.max,
                max: state.max,
                remaining: state.remaining,
                until_us: sent_us.saturating_add(valid_us),
                reset_at_us: after(state.reset_after_ms),
                retry: retry_ms.map(|ms| (units_of_counter(items, item), after(ms))),
            };
            let counter = counter(item);
            self.next_serial += 1;
            self.order.insert(entry.serial, counter.clone());
            if let Some(old) = self.entries.insert(counter, entry) {
                self.order.remove(&old.serial);
            }
        }
        while self.entries.len() > DENIALS_MAX {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.entries.remove(&oldest);
        }
    }

    /// Denies `items` if all their counters are known and one of them surely denies.
    pub(crate) fn refuse(&self, items: &[Item], now_us: u64) -> Option<Denial> {
        if self.entries.is_empty() {
            return None;
        }
        let mut states = ItemStates::with_capacity(items.len());
        let mut binding: Option<(usize, Option<u64>)> = None;
        for (at, item) in items.iter().enumerate() {
            let entry = self.entries.get(&counter(item))?;
            if !entry.speaks_for(item, now_us) {
                return None;
            }
            let units = units_of_counter(items, item);
            let fits = units <= entry.remaining;
            let reset_after_ms = entry.reset_at_us.saturating_sub(now_us).div_ceil(1_000);
            if !fits && !item.shadow {
                let wait_ms = (units <= entry.max).then(|| entry.wait_ms(units, now_us));
                if binding.is_none_or(|(_, longest_ms)| is_longer(wait_ms, longest_ms)) {
                    binding = Some((at, wait_ms));
                }
            }
            let (remaining, max) = (entry.remaining, entry.max);
            states.push(ItemState {
                fits,
                remaining,
                max,
                reset_after_ms,
            });
        }
        let (binding, retry_after_ms) = binding?;
        Some(Denial {
            binding,
            retry_after_ms,
            items: states,
        })
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.order.len());
        self.entries.len()
    }
}

// === impl Entry ===

impl Entry {
    fn speaks_for(&self, item: &Item, now_us: u64) -> bool {
        #[cfg(quotum_bugs)]
        if quotum_limit::bugs::is(quotum_limit::bugs::Bug::DenialKept) {
            return item.max == self.max_asked;
        }
        now_us < self.until_us && item.revision <= self.revision && item.max == self.max_asked
    }

    /// When it is worth asking for these units again. A window that slides gives units back bit by
    /// bit: that is known of as many units as were denied, and else when the first come back.
    fn wait_ms(&self, units: u64, now_us: u64) -> u64 {
        let at_us = match self.retry {
            Some((denied, at_us)) if denied == units => at_us,
            _ => self.reset_at_us,
        };
        at_us.saturating_sub(now_us).div_ceil(1_000)
    }
}

fn counter(item: &Item) -> Counter {
    (item.key.clone(), item.window, item.algorithm)
}

/// Units of all items that share the counter of `item`.
fn units_of_counter(items: &[Item], item: &Item) -> u64 {
    let same = |other: &&Item| other.key == item.key && other.window == item.window;
    items
        .iter()
        .filter(same)
        .fold(0, |sum, other| sum.saturating_add(other.units))
}

/// Whether a wait is longer than another; `None` is for ever.
fn is_longer(wait_ms: Option<u64>, than_ms: Option<u64>) -> bool {
    match (wait_ms, than_ms) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(wait_ms), Some(than_ms)) => wait_ms > than_ms,
    }
}
