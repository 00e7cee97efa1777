//! I3: one id is decided once. All answers to it are the same decision, until it is refunded, and
//! it is charged no second time.

use std::collections::BTreeMap;

use super::violation;
use crate::index::{Index, Request};
use crate::replay::{Kind, Replay};
use crate::report::Violation;

pub(super) fn check(index: &Index, replay: &Replay) -> Vec<Violation> {
    let again = replay.of_kind(&[Kind::Repeat]);
    let mut found: Vec<_> = again
        .map(|difference| violation("I3", difference.at_us, difference.what.clone()))
        .collect();
    let mut first: BTreeMap<_, &Request> = BTreeMap::new();
    for request in index.requests.values().filter(|one| one.is_acquire()) {
        let (Some(id), Some(told)) = (request.id, &request.answer) else {
            continue;
        };
        if !told.answer.is_admitted() && !told.answer.is_denied() {
            continue;
        }
        let Some(shard) = told.position.map(|position| position.shard) else {
            continue;
        };
        let before = *first.entry((shard, id)).or_insert(request);
        let said = before.answered().expect("only answered ones are kept");
        if !said.is_same_decision(&told.answer) {
            let (number, other) = (request.number, before.number);
            let answer = &told.answer;
            let what =
                format!("{id:?}: request {number} was told {answer:?}, request {other} {said:?}");
            found.push(violation("I3", told.at_us, what));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::sample::{Sample, acquire, admitted, denied, item, open, refund};

    #[test]
    fn a_repeat_that_is_charged_again_is_caught() {
        for (remaining, violated) in [(2, vec![]), (1, vec!["I3"])] {
            let mut sample = Sample::new();
            let first = acquire((1, 1), vec![item("k", 3, 1)], admitted(&[2], 3, 900));
            let again = admitted(&[remaining], 3, 800);
            let again = acquire((1, 1), vec![item("k", 3, 1)], again);
            sample.entry(1, 5_100, vec![open(1), first]);
            sample.entry(2, 5_200, vec![again]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_refunded_id_is_cancelled_and_nothing_else() {
        use crate::history::Answer;
        for (answer, violated) in [
            (Answer::Cancelled, vec![]),
            (admitted(&[2], 3, 700), vec!["I3"]),
        ] {
            let mut sample = Sample::new();
            let first = acquire((1, 1), vec![item("k", 3, 1)], admitted(&[2], 3, 900));
            let back = refund((1, 1), Answer::Refunded { units: 1 });
            let again = acquire((1, 1), vec![item("k", 3, 1)], answer);
            sample.entry(1, 5_100, vec![open(1), first]);
            sample.entry(2, 5_200, vec![back]);
            sample.entry(3, 5_300, vec![again]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn two_answers_to_one_id_are_caught_without_a_log() {
        for (second, violated) in [
            (admitted(&[0], 1, 800), vec![]),
            (denied(0, 1, 800), vec!["I3"]),
        ] {
            let mut sample = Sample::new();
            sample.ask(1, Some((1, 1)), vec![item("k", 1, 1)]);
            sample.told(1, admitted(&[0], 1, 900), Some(4));
            sample.ask(2, Some((1, 1)), vec![item("k", 1, 1)]);
            sample.told(2, second, Some(5));
            assert_eq!(sample.violated(), violated);
        }
    }
}
