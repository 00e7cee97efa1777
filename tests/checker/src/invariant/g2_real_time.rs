//! G2: the units whose admission instant lies in the real interval in which log time is in a window
//! never exceed the limit's max. The admission instant is when the caller forwards.
//!
//! Log time has surely passed the end of a window when an entry with a later stamp has been seen
//! applied: a call that is forwarded after that, on the strength of that window, takes units of a
//! window that is over. And what is forwarded while log time is surely in a window is counted.

use std::collections::BTreeMap;

use super::violation;
use crate::index::Index;
use crate::replay::Replay;
use crate::report::Violation;

/// What a counter was used for: when, how many units, under which max.
type Uses = Vec<(u64, u64, u64)>;

pub(super) fn check(index: &Index, _replay: &Replay) -> Vec<Violation> {
    let mut found = late(index);
    found.extend(crowded(index));
    found
}

/// Calls that were forwarded after their window.
fn late(index: &Index) -> Vec<Violation> {
    let mut found = Vec::new();
    for request in index.requests.values() {
        let (Some(forwarded_us), Some(told)) = (request.forwarded_us, &request.answer) else {
            continue;
        };
        let states = told.answer.states();
        for (at, item, counted) in index.charged(request) {
            if item.shadow || item.sliding {
                continue;
            }
            let over_us = match counted {
                Some((shard, _, _, end_ms)) => passed_us(index, shard, end_ms),
                // Without the log: the window was to end so long after the answer, at the latest.
                None => states
                    .get(at)
                    .map(|state| index.stretched_us(state.reset_after_ms * 1_000))
                    .map(|rest_us| told.at_us.saturating_add(rest_us)),
            };
            if let Some(over_us) = over_us.filter(|over_us| forwarded_us > *over_us) {
                let late_us = forwarded_us - over_us;
                let (number, key) = (request.number, &item.key);
                let what = format!(
                    "request {number} was forwarded {late_us} us after its window of {key}"
                );
                found.push(violation("G2", forwarded_us, what));
            }
        }
    }
    found
}

/// When log time had surely reached `end_ms`.
fn passed_us(index: &Index, shard: u32, end_ms: u64) -> Option<u64> {
    let log = index.entries.range((shard, 0)..=(shard, u64::MAX));
    let mut later = log.filter(|(_, entry)| entry.log_ms >= end_ms);
    later.next().map(|(_, entry)| entry.at_us)
}

/// Windows in whose real interval too much was forwarded.
fn crowded(index: &Index) -> Vec<Violation> {
    let mut uses: BTreeMap<(u32, &str, u64), Uses> = BTreeMap::new();
    for request in index.requests.values() {
        let Some(forwarded_us) = request.forwarded_us else {
            continue;
        };
        for (_, item, counted) in index.charged(request) {
            let Some((shard, key, window_ms, _)) = counted else {
                continue;
            };
            if !item.shadow && !item.sliding {
                let one = (forwarded_us, item.units, item.max);
                uses.entry((shard, key, window_ms)).or_default().push(one);
            }
        }
    }
    let mut found = Vec::new();
    for ((shard, key, window_ms), uses) in uses {
        for (from_us, to_us) in intervals(index, shard, window_ms) {
            let within = uses.iter().filter(|(at, ..)| (from_us..to_us).contains(at));
            let units: u64 = within.clone().map(|(_, units, _)| units).sum();
            let max = within.map(|(.., max)| *max).max().unwrap_or(0);
            if units > max {
                let what = format!("{key}: {units} units forwarded within one window, max {max}");
                found.push(violation("G2", to_us, what));
            }
        }
    }
    found
}

/// The real intervals in which log time was surely in one window: from when an entry of it was
/// seen applied to just before the one before its last was, for no entry is stamped before that. At
/// that very instant an entry of the next window may be seen as well.
fn intervals(index: &Index, shard: u32, window_ms: u64) -> Vec<(u64, u64)> {
    let mut intervals: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
    for (_, entry) in index.entries.range((shard, 0)..=(shard, u64::MAX)) {
        let number = entry.log_ms / window_ms.max(1);
        let (_, sure_us, last_us) =
            intervals
                .entry(number)
                .or_insert((entry.at_us, entry.at_us, entry.at_us));
        *sure_us = *last_us;
        *last_us = entry.at_us;
    }
    let sure = |(from_us, sure_us, _): (u64, u64, u64)| (from_us, sure_us);
    intervals.into_values().map(sure).collect()
}

#[cfg(test)]
mod tests {
    use crate::sample::{Sample, acquire, admitted, item, open};

    /// One admission at 5.1 s of log time, forwarded before or after the log is at 6 s.
    fn sample(is_late: bool) -> Sample {
        let mut sample = Sample::new();
        let admission = admitted(&[0], 1, 900);
        sample.ask(1, Some((1, 1)), vec![item("k", 1, 1)]);
        let first = acquire((1, 1), vec![item("k", 1, 1)], admission.clone());
        sample.entry(1, 5_100, vec![open(1), first]);
        sample.told(1, admission, Some(1));
        if !is_late {
            sample.forward(1);
        }
        sample.wait_us(1_000_000);
        sample.entry(2, 6_010, vec![open(2)]);
        if is_late {
            sample.forward(1);
        }
        sample
    }

    #[test]
    fn a_call_within_its_window_is_right() {
        assert_eq!(sample(false).violated(), Vec::<&str>::new());
    }

    #[test]
    fn a_call_after_its_window_is_caught() {
        assert_eq!(sample(true).violated(), ["G2"]);
    }

    #[test]
    fn without_a_log_the_answer_says_when_the_window_ends() {
        for (wait_us, violated) in [(500_000, vec![]), (1_500_000, vec!["G2"])] {
            let mut sample = Sample::new();
            sample.ask(1, None, vec![item("k", 1, 1)]);
            sample.told(1, admitted(&[0], 1, 900), None);
            sample.wait_us(wait_us).forward(1);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn an_item_of_no_units_does_not_shift_the_others() {
        let mut long = item("long", 9, 0);
        long.window_ms = 60_000;
        let mut sample = Sample::new();
        sample.ask(1, None, vec![long, item("k", 9, 1)]);
        let mut answer = admitted(&[9, 8], 9, 900);
        answer.states_mut()[0].reset_after_ms = 54_900;
        sample.told(1, answer, None);
        sample.wait_us(1_500_000).forward(1);
        assert_eq!(sample.violated(), ["G2"]);
    }

    #[test]
    fn the_first_answer_of_a_window_may_tell_of_the_last_entries_of_the_one_before() {
        // Of a window of one unit that is used; nothing is heard of its last two entries until then.
        let mut sample = Sample::new();
        sample.ask(1, Some((1, 1)), vec![item("k", 1, 1)]);
        let old = acquire((1, 1), vec![item("k", 1, 1)], admitted(&[0], 1, 900));
        sample.entry(1, 5_100, vec![open(1), old]);
        sample.told(1, admitted(&[0], 1, 900), Some(1)).forward(1);
        sample.wait_us(900_000);
        let new = acquire((1, 2), vec![item("k", 1, 1)], admitted(&[0], 1, 990));
        sample.ask(2, Some((1, 2)), vec![item("k", 1, 1)]);
        sample.entry(2, 5_200, vec![]).entry(3, 5_900, vec![]);
        sample.entry(4, 6_010, vec![new]);
        sample.told(2, admitted(&[0], 1, 990), Some(4)).forward(2);
        sample.at_once(5);
        assert_eq!(sample.violated(), Vec::<&str>::new());
    }

    #[test]
    fn too_much_in_the_interval_of_a_window_is_caught() {
        let mut sample = Sample::new();
        // Charged to the window before, and used in this one, whose own units are used as well.
        let old = acquire((1, 1), vec![item("k", 1, 1)], admitted(&[0], 1, 100));
        sample.ask(1, Some((1, 1)), vec![item("k", 1, 1)]);
        sample.entry(1, 5_900, vec![open(1), old]);
        sample.told(1, admitted(&[0], 1, 100), Some(1));
        sample.wait_us(200_000);
        let new = acquire((1, 2), vec![item("k", 1, 1)], admitted(&[0], 1, 900));
        sample.ask(2, Some((1, 2)), vec![item("k", 1, 1)]);
        sample.entry(2, 6_100, vec![new]);
        sample.told(2, admitted(&[0], 1, 900), Some(2));
        sample.forward(2).forward(1);
        sample.entry(3, 6_200, vec![]).entry(4, 6_300, vec![]);
        let report = sample.report();
        let crowded = |one: &crate::Violation| one.what.contains("2 units forwarded");
        assert!(report.violations.iter().any(crowded), "{report:?}");
    }
}
