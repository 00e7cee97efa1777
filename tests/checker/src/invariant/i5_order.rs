//! I5: requests are decided in the order of real time: what was answered before another was sent is
//! earlier in the log. The place in the log is the witness, so no search is needed. What is refused for
//! want of room may have no place of its own, but that up to which the leader had applied the log.

use std::collections::BTreeMap;

use super::violation;
use crate::history::Answer;
use crate::index::Index;
use crate::replay::Replay;
use crate::report::Violation;

pub(super) fn check(index: &Index, _replay: &Replay) -> Vec<Violation> {
    // Of each shard: when sent, when answered, where, which request.
    let mut shards: BTreeMap<u32, Vec<(u64, u64, u64, u64)>> = BTreeMap::new();
    for request in index.requests.values() {
        let Some(told) = &request.answer else {
            continue;
        };
        let Some(position) = told.position else {
            continue;
        };
        // Decided after all up to that place: between it and the next.
        let place = match told.answer {
            Answer::Exhausted => 2 * position.index + 1,
            _ => 2 * position.index,
        };
        let one = (request.sent_us, told.at_us, place, request.number);
        shards.entry(position.shard).or_default().push(one);
    }
    let mut found = Vec::new();
    for (shard, mut by_sent) in shards {
        let mut by_told = by_sent.clone();
        by_sent.sort_unstable();
        by_told.sort_unstable_by_key(|(_, told_us, ..)| *told_us);
        let mut told = by_told.into_iter().peekable();
        // The furthest place that was answered so far, and by which request.
        let mut furthest = (0, 0);
        for (sent_us, told_us, at, number) in by_sent {
            while let Some((.., place, other)) = told.next_if(|(_, told_us, ..)| *told_us < sent_us)
            {
                // One between two places is not behind another there.
                furthest = furthest.max((place & !1, other));
            }
            if at <= furthest.0 {
                let (at, (place, other)) = (at / 2, (furthest.0 / 2, furthest.1));
                let what = format!(
                    "shard {shard}: request {number} is at {at}, but was sent after request \
                     {other} was answered at {place}"
                );
                found.push(violation("I5", told_us, what));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sample, denied, item};

    fn sample(places: [u64; 2], concurrent: bool) -> Sample {
        let mut sample = Sample::new();
        sample.ask(1, None, vec![item("k", 0, 1)]);
        if concurrent {
            sample.ask(2, None, vec![item("k", 0, 1)]);
        }
        sample.told(1, denied(0, 0, 900), Some(places[0]));
        if !concurrent {
            sample.ask(2, None, vec![item("k", 0, 1)]);
        }
        sample.told(2, denied(0, 0, 900), Some(places[1]));
        sample
    }

    fn is_caught(sample: &Sample) -> bool {
        sample.violated().contains(&"I5")
    }

    #[test]
    fn a_later_request_is_later_in_the_log() {
        assert!(!is_caught(&sample([7, 8], false)));
        assert!(!is_caught(&sample([8, 7], true)));
    }

    #[test]
    fn what_is_refused_without_the_log_is_behind_what_was_applied() {
        for (place, caught) in [(7, false), (6, true)] {
            let mut sample = Sample::new();
            for (request, place) in [(1, 7), (2, place), (3, 8)] {
                sample.ask(request, None, vec![item("k", 0, 1)]);
                let answer = match request {
                    2 => Answer::Exhausted,
                    _ => denied(0, 0, 900),
                };
                sample.told(request, answer, Some(place));
            }
            assert_eq!(is_caught(&sample), caught);
        }
    }

    #[test]
    fn a_later_request_that_is_earlier_in_the_log_is_caught() {
        assert!(is_caught(&sample([8, 7], false)));
        // One entry cannot hold what was sent after it was answered.
        assert!(is_caught(&sample([7, 7], false)));
    }
}
