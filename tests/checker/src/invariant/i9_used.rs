//! I9: what callers forward is charged for good, in the log of each of its shards: acquired there,
//! or reserved and confirmed, and in its window where an answer tells which that is. A call that was
//! forwarded on units that were merely held, or held in one of its shards only, used units that
//! somebody else may have.

use std::collections::{BTreeMap, BTreeSet};

use super::violation;
use crate::index::{Index, Request};
use crate::replay::Replay;
use crate::report::Violation;

/// Shard, key and window, and of which window of log time, or of all.
type Place<'a> = (u32, &'a str, u64, Option<u64>);

pub(super) fn check(index: &Index, replay: &Replay) -> Vec<Violation> {
    let mut charged: BTreeMap<Place<'_>, u64> = BTreeMap::new();
    for one in replay.admissions.iter().filter(|one| !one.is_held) {
        let end_ms = (one.log_ms / one.window_ms.max(1) + 1).saturating_mul(one.window_ms);
        let window = Some(end_ms).filter(|_| !one.sliding);
        // Those of its window, and those of all together.
        for end_ms in BTreeSet::from([window, None]) {
            let place = (one.position.shard, &*one.key, one.window_ms, end_ms);
            let units = charged.entry(place).or_default();
            *units = units.saturating_add(one.kept());
        }
    }
    let logged = index.logged_shards();
    let mut used: BTreeMap<Place<'_>, (u64, u64)> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for request in index.requests.values() {
        let (Some(forwarded_us), Some(told)) = (request.forwarded_us, &request.answer) else {
            continue;
        };
        let place = told.position.map(|position| position.shard);
        let windows: BTreeMap<usize, u64> = windows(index, request).collect();
        for (at, item) in request.items().iter().enumerate() {
            let shard = item.shard.or(place);
            let Some(shard) = shard.filter(|shard| logged.contains(shard)) else {
                continue;
            };
            let fits = told.answer.states().get(at).is_none_or(|state| state.fits);
            let is_repeat = request.id.is_some_and(|id| !ids.insert((shard, id, at)));
            if !fits || is_repeat {
                continue;
            }
            for end_ms in BTreeSet::from([windows.get(&at).copied(), None]) {
                let place = (shard, &*item.key, item.window_ms, end_ms);
                let (units, at_us) = used.entry(place).or_default();
                *units = units.saturating_add(item.units);
                *at_us = forwarded_us.max(*at_us);
            }
        }
    }
    let mut found = Vec::new();
    for (place, (units, at_us)) in used {
        let charged = charged.get(&place).copied().unwrap_or(0);
        if units > charged {
            let (shard, key, _, end_ms) = place;
            let window = end_ms.map_or(String::new(), |end_ms| format!(" up to {end_ms}"));
            let what = format!(
                "shard {shard} {key}{window}: {units} units were forwarded, and {charged} are charged"
            );
            found.push(violation("I9", at_us, what));
        }
    }
    found
}

/// The end of the window of each item of a request, where it is told: not by a repeat that came when
/// the window was over.
fn windows<'a>(
    index: &'a Index,
    request: &'a Request,
) -> impl Iterator<Item = (usize, u64)> + use<'a> {
    let charged = index.charged(request).into_iter();
    charged.filter_map(|(at, item, counted)| {
        let (.., end_ms) = counted.filter(|_| !item.sliding)?;
        end_ms
            .is_multiple_of(item.window_ms.max(1))
            .then_some((at, end_ms))
    })
}

#[cfg(test)]
mod tests {
    use crate::history::Item;
    use crate::sample::{Sample, acquire, admitted, confirm, item, open, reserve, reserved};

    fn in_shard(shard: u32, key: &str) -> Item {
        Item {
            shard: Some(shard),
            ..item(key, 5, 1)
        }
    }

    /// A call that is forwarded when it has reserved in both shards, and has confirmed in these.
    fn confirmed_in(shards: &[u32]) -> Sample {
        let mut sample = Sample::new();
        sample.ask(1, None, vec![in_shard(0, "a"), in_shard(1, "b")]);
        for (shard, key) in [(0, "a"), (1, "b")] {
            let held = reserve((1, 1), vec![in_shard(shard, key)], reserved(&[4], 5, 900));
            sample.entry_of_shard(shard, 1, 5_100, vec![open(1), held]);
        }
        for shard in shards {
            let kept = confirm((1, 1), admitted(&[4], 5, 850));
            sample.entry_of_shard(*shard, 2, 5_150, vec![kept]);
        }
        let answer = admitted(&[4, 4], 5, 850);
        sample.told(1, answer, None).forward(1);
        sample
    }

    #[test]
    fn a_call_that_is_confirmed_in_both_shards_is_right() {
        assert_eq!(confirmed_in(&[0, 1]).violated(), Vec::<&str>::new());
    }

    #[test]
    fn a_call_that_is_confirmed_in_one_shard_only_is_caught() {
        assert_eq!(confirmed_in(&[0]).violated(), ["I9"]);
        assert_eq!(confirmed_in(&[]).report().violations_total, 2);
    }

    #[test]
    fn units_of_another_window_do_not_count() {
        let mut sample = Sample::new();
        let once = |seq| acquire((1, seq), vec![in_shard(0, "a")], admitted(&[4], 5, 900));
        // Charged once in each of two windows, and used twice in the first.
        for request in [1, 2] {
            sample.ask(request, None, vec![in_shard(0, "a")]);
        }
        sample.entry(1, 5_100, vec![open(1), once(1)]);
        for request in [1, 2] {
            let answer = admitted(&[4], 5, 900);
            sample.told(request, answer, Some(1)).forward(request);
        }
        sample.wait_us(1_000_000).entry(2, 6_100, vec![once(2)]);
        assert!(sample.violated().contains(&"I9"));
    }

    #[test]
    fn a_call_that_was_never_charged_is_caught() {
        for (is_charged, violated) in [(true, vec![]), (false, vec!["I9"])] {
            let mut sample = Sample::new();
            sample.ask(1, None, vec![in_shard(0, "a")]);
            let taken = acquire((1, 1), vec![in_shard(0, "a")], admitted(&[4], 5, 900));
            let taken = Some(taken).filter(|_| is_charged);
            let commands = [open(1)].into_iter().chain(taken);
            sample.entry(1, 5_100, commands.collect());
            sample.told(1, admitted(&[4], 5, 900), None).forward(1);
            assert_eq!(sample.violated(), violated);
        }
    }
}
