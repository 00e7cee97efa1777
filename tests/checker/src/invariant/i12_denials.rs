//! I12: a denial costs nothing and tells the truth: the item that binds does not fit, the wait it
//! names is the rest of the window, and what the log charges, gives back and shows as left is what
//! its admissions add up to.

use super::violation;
use crate::history::Answer;
use crate::index::Index;
use crate::replay::{Kind, Replay};
use crate::report::Violation;

pub(super) fn check(index: &Index, replay: &Replay) -> Vec<Violation> {
    let wrong = replay.of_kind(&[Kind::Wait, Kind::Numbers, Kind::Refund]);
    let mut found: Vec<_> = wrong
        .map(|difference| violation("I12", difference.at_us, difference.what.clone()))
        .collect();
    for request in index.requests.values() {
        let Some(told) = &request.answer else {
            continue;
        };
        let Answer::Denied {
            binding,
            retry_after_ms,
            items,
            cached,
        } = &told.answer
        else {
            continue;
        };
        let fault = match items.get(*binding) {
            None => Some("names an item that was not asked for"),
            Some(state) if state.fits => Some("names an item that fits"),
            // Sliding limits leave units one by one, a remembered denial gets older, and what is held
            // is free again soon.
            Some(state) => retry_after_ms
                .filter(|_| !cached && !request.items().iter().any(|item| item.sliding))
                .filter(|_| !index.rests_on_holds(request))
                .filter(|wait_ms| *wait_ms < state.reset_after_ms)
                .map(|_| "names a wait that is too short"),
        };
        if let Some(fault) = fault {
            let what = format!("the denial of request {} {fault}", request.number);
            found.push(violation("I12", told.at_us, what));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::history::Answer;
    use crate::sample::{
        Sample, acquire, admitted, contended, denied, item, open, refund, reserve, reserved,
    };

    #[test]
    fn a_denied_bundle_that_charges_a_part_is_caught() {
        for (remaining, violated) in [(2, vec![]), (1, vec!["I12"])] {
            let mut sample = Sample::new();
            let both = vec![item("a", 3, 1), item("b", 0, 1)];
            let denial = Answer::Denied {
                binding: 1,
                retry_after_ms: None,
                items: {
                    let mut states = admitted(&[3, 0], 3, 900).states().to_vec();
                    (states[1].fits, states[1].max) = (false, 0);
                    states
                },
                cached: false,
            };
            let bundle = acquire((1, 1), both, denial);
            let next = acquire(
                (1, 2),
                vec![item("a", 3, 1)],
                admitted(&[remaining], 3, 900),
            );
            sample.entry(1, 5_100, vec![open(1), bundle, next]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_wait_that_is_too_short_is_caught() {
        for (wait_ms, violated) in [(900, vec![]), (899, vec!["I12"])] {
            let mut sample = Sample::new();
            let mut denial = denied(0, 1, 900);
            if let Answer::Denied { retry_after_ms, .. } = &mut denial {
                *retry_after_ms = Some(wait_ms);
            }
            let first = acquire((1, 1), vec![item("k", 1, 1)], admitted(&[0], 1, 900));
            let second = acquire((1, 2), vec![item("k", 1, 1)], denial);
            sample.entry(1, 5_100, vec![open(1), first, second]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_refund_into_the_next_window_is_caught() {
        for (units, violated) in [(0, vec![]), (1, vec!["I12"])] {
            let mut sample = Sample::new();
            let first = acquire((1, 1), vec![item("k", 1, 1)], admitted(&[0], 1, 900));
            sample.entry(1, 5_100, vec![open(1), first]);
            let back = refund((1, 1), Answer::Refunded { units });
            sample.wait_us(1_000_000).entry(2, 6_050, vec![back]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_wait_for_holds_is_short_only_where_the_log_has_holds() {
        for (is_held, violated) in [(true, vec![]), (false, vec!["I12"])] {
            let mut minute = item("k", 1, 1);
            minute.window_ms = 60_000;
            let mut sample = Sample::new();
            sample.ask(1, Some((1, 2)), vec![minute.clone()]);
            let (first, second) = match is_held {
                true => (
                    reserve((1, 1), vec![minute.clone()], reserved(&[0], 1, 54_900)),
                    contended(0, 1, 54_900),
                ),
                false => (
                    acquire((1, 1), vec![minute.clone()], admitted(&[0], 1, 54_900)),
                    denied(0, 1, 54_900),
                ),
            };
            let second = acquire((1, 2), vec![minute.clone()], second);
            sample.ask(2, Some((1, 1)), vec![minute.clone()]);
            sample.told(2, Answer::Unknown, None);
            sample.entry(1, 5_100, vec![open(1), first, second]);
            let mut told = denied(0, 1, 54_900);
            if let Answer::Denied { retry_after_ms, .. } = &mut told {
                *retry_after_ms = Some(1_000);
            }
            sample.told(1, told, Some(1));
            assert_eq!(sample.violated(), violated);
        }
    }
}
