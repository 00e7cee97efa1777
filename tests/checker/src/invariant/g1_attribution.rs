//! G1: the units charged to one window never exceed the limit's max. Needs the log, and no clocks.

use std::collections::BTreeMap;

use super::violation;
use crate::index::Index;
use crate::replay::{Admission, Kind, Replay};
use crate::report::Violation;

pub(super) fn check(_index: &Index, replay: &Replay) -> Vec<Violation> {
    let over = replay.of_kind(&[Kind::Over]);
    let mut found: Vec<_> = over
        .map(|difference| violation("G1", difference.at_us, difference.what.clone()))
        .collect();
    found.extend(crowded(replay));
    found
}

/// Counted once more without the model: what stands charged of a window at one time, against the
/// largest max that any command of the window brought. What is held stands as well.
fn crowded(replay: &Replay) -> Vec<Violation> {
    let mut windows: BTreeMap<_, Vec<(usize, &Admission)>> = BTreeMap::new();
    for (at, one) in replay.admissions.iter().enumerate() {
        if one.sliding {
            continue;
        }
        let shard = one.position.shard;
        let number = one.log_ms / one.window_ms.max(1);
        let window = (shard, &one.key, one.window_ms, number);
        windows.entry(window).or_default().push((at, one));
    }
    let mut found = Vec::new();
    for ((shard, key, window_ms, number), admissions) in windows {
        let max = admissions.iter().map(|(_, one)| one.max).max().unwrap_or(0);
        let (units, at_us) = most(&admissions);
        if units > u128::from(max) {
            let what = format!(
                "shard {shard} {key}: {units} units in window {number} of {window_ms} ms, max {max}"
            );
            found.push(violation("G1", at_us, what));
        }
    }
    found
}

/// The most units that stood at one time, and when that was.
fn most(admissions: &[(usize, &Admission)]) -> (u128, u64) {
    let mut freed: Vec<(usize, u64)> = admissions
        .iter()
        .filter_map(|(_, one)| Some((one.freed?, one.units)))
        .collect();
    freed.sort_unstable();
    let mut freed = freed.into_iter().peekable();
    let (mut units, mut most) = (0, (0, 0));
    for (at, one) in admissions {
        while let Some((_, less)) = freed.next_if(|(after, _)| after <= at) {
            units -= u128::from(less);
        }
        units += u128::from(one.units);
        most = most.max((units, one.at_us));
    }
    most
}

#[cfg(test)]
mod tests {
    use crate::sample::{Sample, acquire, admitted, denied, item, open, reserve, reserved};

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

    #[test]
    fn units_that_are_held_count() {
        let mut sample = Sample::new();
        let held = reserve((1, 1), vec![item("k", 2, 2)], reserved(&[0], 2, 900));
        let over = acquire((1, 2), vec![item("k", 2, 1)], admitted(&[0], 2, 800));
        sample.entry(1, 5_100, vec![open(1), held]);
        sample.entry(2, 5_200, vec![over]);
        let report = sample.report();
        let by_both = report.violations.iter().filter(|one| one.invariant == "G1");
        assert_eq!(by_both.count(), 2, "{report:?}");
    }

    #[test]
    fn units_of_a_hold_that_has_ended_do_not_count() {
        let mut sample = Sample::new();
        let minute = |units| {
            let mut item = item("k", 2, units);
            item.window_ms = 60_000;
            vec![item]
        };
        let held = reserve((1, 1), minute(2), reserved(&[0], 2, 54_900));
        let next = acquire((1, 2), minute(2), admitted(&[0], 2, 53_900));
        sample.entry(1, 5_100, vec![open(1), held]);
        sample.wait_us(1_000_000).entry(2, 6_100, vec![next]);
        assert_eq!(sample.violated(), Vec::<&str>::new());
    }
}
