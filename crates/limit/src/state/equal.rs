//! Items of one command that name the same counter: they are one charge.

use smallvec::SmallVec;

use super::verdict::Held;
use crate::command::{Item, Items, Refusal};
use crate::limits::UNITS_MAX;

/// Units of one counter that one command asks for.
pub(super) struct Summed {
    pub(super) total: u64,
    /// Whether this is the first item of its counter: the one that charges for all of them.
    pub(super) first: bool,
}

/// The units of all items that share the counter of item `at`.
pub(super) fn summed_units(items: &Items, at: usize) -> Result<Summed, Refusal> {
    let item = &items[at];
    let mut total: u64 = 0;
    let mut first = true;
    for (other_at, other) in items.iter().enumerate() {
        if other.units > UNITS_MAX || other.max > UNITS_MAX {
            return Err(Refusal::UnitsTooLarge);
        }
        if other_at != at && (other.key != item.key || other.window != item.window) {
            continue;
        }
        let same = (other.max, other.revision, other.algorithm, other.shadow)
            == (item.max, item.revision, item.algorithm, item.shadow);
        if !same {
            return Err(Refusal::ConflictingItems);
        }
        first &= other_at >= at;
        // At most ITEMS_MAX times 2^53: no overflow.
        total += other.units;
    }
    Ok(Summed { total, first })
}

/// Items after the first of an equal key show what that one left.
pub(super) fn settle_equal_keys(items: &Items, held: &mut SmallVec<[Held<&Item>; 1]>) {
    for at in 1..items.len() {
        let same = |other: &Item| other.key == items[at].key && other.window == items[at].window;
        if let Some(first) = items[..at].iter().position(same) {
            held[at].remaining = held[first].remaining;
        }
    }
}
