//! G3: for a sliding limit, the units admitted in any interval of its length never exceed its max:
//! in log time, and, shortened by what clocks may be off, in real time.

use std::collections::BTreeMap;

use super::violation;
use crate::index::Index;
use crate::limits::{CLOCK_SLACK_US, SLEW_PPM};
use crate::replay::Replay;
use crate::report::Violation;

/// When how many units were taken, and under which max.
type Uses = Vec<(u64, u64, u64)>;

pub(super) fn check(index: &Index, replay: &Replay) -> Vec<Violation> {
    let mut logged: BTreeMap<(&str, u64), Uses> = BTreeMap::new();
    for one in replay.admissions.iter().filter(|one| one.sliding) {
        let counter = (one.key.as_str(), one.window_ms);
        let used = (one.log_ms, one.freed.map_or(one.units, |_| 0), one.max);
        logged.entry(counter).or_default().push(used);
    }
    let mut found = Vec::new();
    for ((key, window_ms), uses) in logged {
        let at_us = index.end_us;
        if let Some(what) = crowded(uses, window_ms) {
            found.push(violation("G3", at_us, format!("{key}, log time: {what}")));
        }
    }
    let mut forwarded: BTreeMap<(&str, u64), Uses> = BTreeMap::new();
    for request in index.requests.values() {
        let Some(at_us) = request.forwarded_us else {
            continue;
        };
        for item in request
            .items()
            .iter()
            .filter(|item| item.sliding && !item.shadow)
        {
            let counter = (item.key.as_str(), item.window_ms);
            let used = (at_us, item.units, item.max);
            forwarded.entry(counter).or_default().push(used);
        }
    }
    let ppm = SLEW_PPM + 2 * index.drift_ppm;
    for ((key, window_ms), uses) in forwarded {
        let length_us = window_ms * 1_000;
        let shorter_us = (length_us - length_us / 1_000_000 * ppm).saturating_sub(CLOCK_SLACK_US);
        if let Some(what) = crowded(uses, shorter_us) {
            found.push(violation(
                "G3",
                index.end_us,
                format!("{key}, real time: {what}"),
            ));
        }
    }
    found
}

/// The first interval `(a, a + length]` in which more is used than the largest max in it allows.
fn crowded(mut uses: Uses, length: u64) -> Option<String> {
    uses.sort_unstable();
    let mut from = 0;
    let mut units = 0;
    for to in 0..uses.len() {
        units += uses[to].1;
        while uses[from].0 + length <= uses[to].0 {
            units -= uses[from].1;
            from += 1;
        }
        let max = uses[from..=to].iter().map(|(.., max)| *max).max()?;
        if units > max {
            let (start, end) = (uses[from].0, uses[to].0);
            return Some(format!("{units} units from {start} to {end}, max {max}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::history::Item;
    use crate::sample::{Sample, acquire, admitted, item, open};

    fn sliding(units: u64) -> Vec<Item> {
        let mut item = item("s", 2, units);
        item.sliding = true;
        vec![item]
    }

    #[test]
    fn an_interval_across_a_boundary_counts() {
        for (second_ms, violated) in [(6_928, vec![]), (6_400, vec!["G1", "G3"])] {
            let mut sample = Sample::new();
            let first = acquire((1, 1), sliding(2), admitted(&[0], 2, 100));
            let second = acquire((1, 2), sliding(1), admitted(&[1], 2, 100));
            sample.entry(1, 5_900, vec![open(1), first]);
            sample.wait_us(1_000_000).entry(2, second_ms, vec![second]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn calls_close_together_in_real_time_are_caught_without_a_log() {
        for (wait_us, violated) in [(1_100_000, vec![]), (600_000, vec!["G3"])] {
            let mut sample = Sample::new();
            sample.ask(1, None, sliding(2));
            sample.told(1, admitted(&[0], 2, 900), None).forward(1);
            sample.wait_us(wait_us).ask(2, None, sliding(1));
            sample.told(2, admitted(&[1], 2, 900), None).forward(2);
            assert_eq!(sample.violated(), violated);
        }
    }
}
