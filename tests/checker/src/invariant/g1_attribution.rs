//! G1: the units charged to one window never exceed the limit's max. Needs the log, and no clocks.

use std::collections::BTreeMap;

use super::violation;
use crate::index::Index;
use crate::replay::{Kind, Replay};
use crate::report::Violation;

pub(super) fn check(_index: &Index, replay: &Replay) -> Vec<Violation> {
    let over = replay.of_kind(&[Kind::Over]);
    let mut found: Vec<_> = over
        .map(|difference| violation("G1", difference.at_us, difference.what.clone()))
        .collect();
    // Counted once more without the model: units that stay charged, against the largest max that
    // any command of the window brought.
    let mut windows: BTreeMap<_, (u64, u64, u64)> = BTreeMap::new();
    for one in replay.admissions.iter().filter(|one| !one.sliding) {
        let shard = one.position.shard;
        let window = (
            shard,
            &one.key,
            one.window_ms,
            one.log_ms / one.window_ms.max(1),
        );
        let (units, max, at_us) = windows.entry(window).or_default();
        *units += one.units - one.refunded;
        *max = one.max.max(*max);
        *at_us = one.at_us;
    }
    for ((shard, key, window_ms, number), (units, max, at_us)) in windows {
        if units > max {
            let what = format!(
                "shard {shard} {key}: {units} units in window {number} of {window_ms} ms, max {max}"
            );
            found.push(violation("G1", at_us, what));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::sample::{Sample, acquire, admitted, denied, item, open};

    #[test]
    fn a_full_window_admits_no_more_and_the_next_does() {
        let mut sample = Sample::new();
        let full = acquire((1, 2), vec![item("k", 2, 2)], denied(1, 2, 900));
        let first = acquire((1, 1), vec![item("k", 2, 1)], admitted(&[1], 2, 900));
        sample.entry(1, 5_100, vec![open(1), first, full]);
        let next = acquire((1, 3), vec![item("k", 2, 2)], admitted(&[0], 2, 900));
        sample.wait_us(1_000_000).entry(2, 6_100, vec![next]);
        assert_eq!(sample.violated(), Vec::<&str>::new());
    }

    #[test]
    fn one_unit_too_many_is_caught() {
        let mut sample = Sample::new();
        let first = acquire((1, 1), vec![item("k", 2, 2)], admitted(&[0], 2, 900));
        let second = acquire((1, 2), vec![item("k", 2, 1)], admitted(&[0], 2, 800));
        sample.entry(1, 5_100, vec![open(1), first]);
        sample.entry(2, 5_200, vec![second]);
        assert!(sample.violated().contains(&"G1"));
    }
}
