//! NU, never under: a request is denied only when the units are really used, by the log or by a
//! denial of the log that its client remembers, and in a window without a fault every request is
//! answered and what is asked for is admitted up to the max.

use std::collections::{BTreeMap, BTreeSet};

use super::violation;
use crate::history::{Answer, ItemState};
use crate::index::{Index, Request};
use crate::limits::DENIAL_MS;
use crate::replay::{Kind, Replay};
use crate::report::Violation;

/// What may be charged to a counter: from when, until when, how many units.
type Charges = Vec<(u64, u64, u64)>;

pub(super) fn check(index: &Index, replay: &Replay) -> Vec<Violation> {
    let under = replay.of_kind(&[Kind::Under]);
    let mut found: Vec<_> = under
        .map(|difference| violation("NU", difference.at_us, difference.what.clone()))
        .collect();
    found.extend(denied_with_room(index));
    found.extend(never_denied(index));
    found.extend(unanswered_in_peace(index));
    found
}

/// A denial although all that may ever have been charged to the counter, in a window's time before
/// it, leaves room for what was asked. Only where the log is not known, whose replay is exact: a
/// client asks again under another id when an answer comes too late, and a denial may be told
/// again under its id when its window is over.
fn denied_with_room(index: &Index) -> Vec<Violation> {
    let mut charged: BTreeMap<(&str, u64), Charges> = BTreeMap::new();
    for request in index.requests.values().filter(|one| one.is_acquire()) {
        let told = request.answer.as_ref();
        let is_unknown = request.is_unknown();
        if !is_unknown && !told.is_some_and(|told| told.answer.is_admitted()) {
            continue;
        }
        // What is unknown may be charged at any time.
        let until_us = told
            .filter(|_| !is_unknown)
            .map_or(u64::MAX, |told| told.at_us);
        for item in request.items() {
            let counter = (item.key.as_str(), item.window_ms);
            let one = (request.sent_us, until_us, item.units);
            charged.entry(counter).or_default().push(one);
        }
    }
    let mut found = Vec::new();
    let mut ids = BTreeSet::new();
    let logged = index.logged_shards();
    for request in index.requests.values() {
        let told = request.answer.as_ref();
        let position = told.and_then(|told| told.position);
        let is_logged = position.is_some_and(|at| logged.contains(&at.shard));
        let is_repeat = request.id.is_some_and(|id| !ids.insert(id));
        if is_logged || is_repeat {
            continue;
        }
        let Some((key, window_ms, units, max)) = binding(request) else {
            continue;
        };
        let told_us = request.answer.as_ref().map_or(0, |told| told.at_us);
        let length_us = index.stretched_us(window_ms * 1_000);
        let earliest_us = request.sent_us.saturating_sub(2 * length_us);
        let used: u64 = charged.get(&(key, window_ms)).map_or(0, |all| {
            let near = all
                .iter()
                .filter(|(sent, until, _)| *sent <= told_us && *until >= earliest_us);
            near.map(|(.., units)| units).sum()
        });
        let is_excused = is_cached(request) || index.rests_on_holds(request);
        if used + units <= max && !is_excused {
            let what = format!(
                "request {} was denied {units} of {max} units of {key}, of which at most {used} \
                 were used",
                request.number
            );
            found.push(violation("NU", told_us, what));
        }
    }
    found
}

fn is_cached(request: &Request) -> bool {
    matches!(
        request.answered(),
        Some(Answer::Denied { cached: true, .. })
    )
}

/// Denials from a client's memory of what it was not denied, or not within a second. Whether an
/// earlier denial was right is not asked again: while there is no leader log time stands still, and
/// a window is as long as that.
fn never_denied(index: &Index) -> Vec<Violation> {
    let mut found = Vec::new();
    for request in index.requests.values().filter(|one| is_cached(one)) {
        let Some(told) = &request.answer else {
            continue;
        };
        if !is_remembered(index, request, told.at_us) {
            let (number, client) = (request.number, &request.client);
            let what =
                format!("request {number} was denied by what {client} should not know, or no more");
            found.push(violation("NU", told.at_us, what));
        }
    }
    found
}

/// Whether the client was denied the counter a little before, with fewer units left than it asks for
/// now.
fn is_remembered(index: &Index, request: &Request, at_us: u64) -> bool {
    let Some((key, window_ms, units, _)) = binding(request) else {
        return false;
    };
    let is_source = |earlier: &Request| {
        let Some(first) = earlier.answer.as_ref().filter(|_| !is_cached(earlier)) else {
            return false;
        };
        let Answer::Denied { items, .. } = &first.answer else {
            return false;
        };
        let is_known = |state: &ItemState| {
            let known_us = state.reset_after_ms.min(DENIAL_MS) * 1_000;
            let until_us = first.at_us + index.stretched_us(known_us);
            // Known to the client before its caller has heard of it.
            state.remaining < units && (earlier.sent_us..=until_us).contains(&at_us)
        };
        let mut all = earlier.items().iter().zip(items);
        all.any(|(item, state)| (&*item.key, item.window_ms) == (key, window_ms) && is_known(state))
    };
    let all = index.requests.values();
    let mut own = all.filter(|earlier| earlier.client == request.client);
    own.any(is_source)
}

/// The counter that denied a request: its key and window, the units asked, the max in force.
fn binding(request: &Request) -> Option<(&str, u64, u64, u64)> {
    let Some(Answer::Denied { binding, items, .. }) = request.answered() else {
        return None;
    };
    let item = request.items().get(*binding)?;
    let same = |other: &&crate::history::Item| other.key == item.key;
    let units = request.items().iter().filter(same).map(|item| item.units);
    let max = items.get(*binding)?.max;
    Some((&item.key, item.window_ms, units.sum(), max))
}

/// A request without an answer though nothing was wrong for a window's time around it.
fn unanswered_in_peace(index: &Index) -> Vec<Violation> {
    let mut found = Vec::new();
    let until_us = index.until_us();
    for request in index.requests.values().filter(|one| one.is_acquire()) {
        let longest_ms = request.items().iter().map(|item| item.window_ms).max();
        let around_us = index.stretched_us(longest_ms.unwrap_or(0) * 1_000);
        let from_us = request.sent_us.saturating_sub(around_us);
        let to_us = request.sent_us + around_us;
        let is_over = to_us <= until_us;
        let has_started = index.leaders.iter().any(|(at_us, ..)| *at_us < from_us);
        if request.is_unknown() && is_over && has_started && !index.is_disturbed(from_us, to_us) {
            let what = format!("request {} has no answer, and no fault", request.number);
            found.push(violation("NU", request.sent_us, what));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::What;
    use crate::history::{Answer, Ask, Edge};
    use crate::sample::{Sample, acquire, admitted, denied, item, open};

    #[test]
    fn a_denial_with_room_is_caught_by_the_log() {
        let mut sample = Sample::new();
        let denial = acquire((1, 1), vec![item("k", 1, 1)], denied(0, 1, 900));
        sample.entry(1, 5_100, vec![open(1), denial]);
        assert_eq!(sample.violated(), ["NU"]);
    }

    #[test]
    fn a_denial_with_room_is_caught_without_a_log() {
        for (units, violated) in [(2, vec![]), (1, vec!["NU"])] {
            let mut sample = Sample::new();
            sample.ask(1, None, vec![item("k", 2, units)]);
            sample.told(1, admitted(&[2 - units], 2, 900), None);
            sample.ask(2, None, vec![item("k", 2, 1)]);
            sample.told(2, denied(0, 2, 900), None);
            assert_eq!(sample.violated(), violated);
        }
    }

    /// A client was denied a counter that is full for nine seconds; so long after that, one is denied
    /// from its memory.
    fn remembered(client: &str, wait_us: u64, units: u64) -> Sample {
        let mut sample = Sample::new();
        sample.ask(1, None, vec![item("k", 2, 2)]);
        sample.told(1, admitted(&[0], 2, 900), None);
        sample.ask(2, None, vec![item("k", 2, 1)]);
        sample.told(2, denied(0, 2, 9_000), None);
        sample.wait_us(wait_us).push(What::Sent {
            request: 3,
            client: client.into(),
            id: None,
            ask: Ask::Acquire {
                items: vec![item("k", 2, units)],
            },
        });
        let mut denial = denied(0, 2, 8_000);
        if let Answer::Denied { cached, .. } = &mut denial {
            *cached = true;
        }
        sample.told(3, denial, None);
        sample
    }

    #[test]
    fn a_client_may_remember_a_denial_for_a_second() {
        for (wait_us, violated) in [(900_000, vec![]), (1_400_000, vec!["NU"])] {
            assert_eq!(remembered("g", wait_us, 1).violated(), violated);
        }
    }

    #[test]
    fn a_denial_of_another_client_or_of_more_units_is_no_memory() {
        assert_eq!(remembered("h", 100_000, 1).violated(), ["NU"]);
        assert_eq!(remembered("g", 100_000, 0).violated(), ["NU"]);
    }

    #[test]
    fn a_sliding_denial_needs_units_of_its_window_and_two_buckets() {
        let sliding = |key: &str| {
            let mut item = item(key, 1, 1);
            item.sliding = true;
            item
        };
        // Taken at 5,008 ms, in the bucket from there on: it counts until 6,048 ms.
        for (log_ms, violated) in [(6_047, vec![]), (6_048, vec!["NU"])] {
            let mut sample = Sample::new();
            let mut first = denied(0, 1, 1_040);
            first = match first {
                Answer::Denied { items, .. } => Answer::Admitted {
                    valid_for_ms: Some(16),
                    items,
                },
                other => other,
            };
            first.states_mut()[0].fits = true;
            let first = acquire((1, 1), vec![sliding("s")], first);
            sample.entry(1, 5_008, vec![open(1), first]);
            // In a bundle with one that has room.
            let both = vec![sliding("s"), item("k", 1, 1)];
            let mut denial = denied(0, 1, 1);
            if let Answer::Denied { items, .. } = &mut denial {
                let rest_ms = 7_000 - log_ms;
                items.push(admitted(&[1], 1, rest_ms).states()[0]);
            }
            let second = acquire((1, 2), both, denial);
            sample.wait_us(1_040_000).entry(2, log_ms, vec![second]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_plain_request_that_is_called_invalid_is_caught() {
        let twice = vec![item("k", 1, 1), item("k", 2, 1)];
        for (items, violated) in [(twice, vec![]), (vec![item("k", 1, 1)], vec!["NU"])] {
            let mut sample = Sample::new();
            let refused = acquire((1, 1), items, Answer::Invalid);
            sample.entry(1, 5_100, vec![open(1), refused]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn what_is_unknown_may_be_used() {
        let mut sample = Sample::new();
        sample.ask(1, None, vec![item("k", 1, 1)]);
        sample.told(1, Answer::Unknown, None);
        sample
            .wait_us(60_000_000)
            .ask(2, None, vec![item("k", 1, 1)]);
        sample.told(2, denied(0, 1, 900), None);
        assert_eq!(sample.violated(), Vec::<&str>::new());
    }

    #[test]
    fn a_request_without_an_answer_needs_a_fault() {
        for (is_disturbed, violated) in [(true, vec![]), (false, vec!["NU"])] {
            let mut sample = Sample::new();
            sample.leader(1, 0, 1).wait_us(5_000_000);
            sample.ask(1, None, vec![item("k", 1, 1)]);
            if is_disturbed {
                sample.fault("crash", Edge::Once);
            }
            sample.told(1, Answer::Unknown, None);
            sample.wait_us(5_000_000).leader(1, 1, 1);
            assert_eq!(sample.violated(), violated);
        }
    }
}
