//! I1: the units of one window that callers were told they have never exceed the limit's max.
//!
//! With the log, an answer's place tells its window. Without, the answer tells how long the window
//! had to go: answers whose windows end at about the same instant share one.

use std::collections::{BTreeMap, BTreeSet};

use super::violation;
use crate::history::Ask;
use crate::index::Index;
use crate::replay::Replay;
use crate::report::Violation;

/// An admission: about when its window ends, its units, its max, when it was told.
type Told = (u64, u64, u64, u64);

pub(super) fn check(index: &Index, _replay: &Replay) -> Vec<Violation> {
    let mut windows: BTreeMap<_, (u64, u64, u64)> = BTreeMap::new();
    let mut unplaced: BTreeMap<(&str, u64), Vec<Told>> = BTreeMap::new();
    // Units of an id that anybody asked to refund may be free again.
    let refunds = index.requests.values().filter(|one| one.ask == Ask::Refund);
    let refunded: BTreeSet<_> = refunds.filter_map(|one| one.id).collect();
    let mut ids = BTreeSet::new();
    for request in index.requests.values() {
        if request.id.is_some_and(|id| refunded.contains(&id)) {
            continue;
        }
        let Some(told) = request
            .answer
            .as_ref()
            .filter(|_| request.given_back_us.is_none())
        else {
            continue;
        };
        let shard = told.position.map(|position| position.shard);
        if request.id.is_some_and(|id| !ids.insert((shard, id))) {
            continue;
        }
        let states = told.answer.states();
        for (at, item, counted) in index.charged(request) {
            let fits = states.get(at).is_none_or(|state| state.fits);
            if item.sliding || !fits {
                continue;
            }
            let Some(counted) = counted else {
                let rest_us = states
                    .get(at)
                    .map_or(0, |state| state.reset_after_ms * 1_000);
                let end_us = (request.sent_us + told.at_us) / 2 + rest_us;
                let one = (end_us, item.units, item.max, told.at_us);
                let counter = (item.key.as_str(), item.window_ms);
                unplaced.entry(counter).or_default().push(one);
                continue;
            };
            let (units, max, at_us) = windows.entry(counted).or_default();
            *units = units.saturating_add(item.units);
            *max = item.max.max(*max);
            *at_us = told.at_us.max(*at_us);
        }
    }
    let mut found = Vec::new();
    for ((_, key, window_ms, end_ms), (units, max, at_us)) in windows {
        if units > max {
            let what = format!(
                "{key}: callers have {units} units of the {window_ms} ms up to {end_ms}, max {max}"
            );
            found.push(violation("I1", at_us, what));
        }
    }
    for ((key, window_ms), told) in unplaced {
        found.extend(crowded(key, window_ms, told));
    }
    found
}

fn crowded(key: &str, window_ms: u64, mut told: Vec<Told>) -> Vec<Violation> {
    told.sort_unstable();
    let mut found = Vec::new();
    let (mut units, mut max, mut last_us) = (0, 0, 0);
    for (end_us, more, its_max, at_us) in told {
        if end_us > last_us + window_ms * 500 {
            (units, max) = (0, 0);
        }
        last_us = end_us;
        units += more;
        max = its_max.max(max);
        if units > max {
            let what = format!("{key}: callers have {units} units of one window, max {max}");
            found.push(violation("I1", at_us, what));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::history::Ask;
    use crate::sample::{Sample, admitted, item};

    fn two(rest_ms: u64, wait_us: u64) -> Sample {
        let mut sample = Sample::new();
        sample.ask(1, None, vec![item("k", 1, 1)]);
        sample.told(1, admitted(&[0], 1, 900), None);
        sample.wait_us(wait_us).ask(2, None, vec![item("k", 1, 1)]);
        sample.told(2, admitted(&[0], 1, rest_ms), None);
        sample
    }

    #[test]
    fn units_of_two_windows_are_counted_apart() {
        assert_eq!(two(900, 1_000_000).violated(), Vec::<&str>::new());
    }

    #[test]
    fn too_many_units_of_one_window_are_caught() {
        assert_eq!(two(600, 300_000).violated(), ["I1"]);
    }

    #[test]
    fn units_that_were_given_back_do_not_count() {
        let mut sample = two(600, 300_000);
        sample.push(crate::What::GivenBack { request: 1 });
        assert_eq!(sample.violated(), Vec::<&str>::new());
    }

    #[test]
    fn units_of_a_refunded_id_do_not_count() {
        for (is_refunded, violated) in [(true, vec![]), (false, vec!["I1"])] {
            let mut sample = Sample::new();
            sample.ask(1, Some((1, 1)), vec![item("k", 1, 1)]);
            sample.told(1, admitted(&[0], 1, 900), None);
            if is_refunded {
                sample.push(crate::What::Sent {
                    request: 2,
                    client: "g".into(),
                    id: Some(crate::history::Id { epoch: 1, seq: 1 }),
                    ask: Ask::Refund,
                });
            }
            sample.ask(3, Some((1, 2)), vec![item("k", 1, 1)]);
            sample.told(3, admitted(&[0], 1, 890), None);
            assert_eq!(sample.violated(), violated);
        }
    }
}
