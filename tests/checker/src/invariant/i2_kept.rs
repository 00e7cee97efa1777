//! I2: what a caller was told is in the log, as the answer to what it asked, and no id is forgotten
//! before its time. A caller that does not know its id has one all the same, which answers nobody
//! else.

use std::collections::BTreeSet;

use super::violation;
use crate::history::{Answer, Ask, Id, Position};
use crate::index::{Entry, Index, Request};
use crate::replay::{Kind, Replay};
use crate::report::Violation;

pub(super) fn check(index: &Index, replay: &Replay) -> Vec<Violation> {
    let early = replay.of_kind(&[Kind::Expiry]);
    let mut found: Vec<_> = early
        .map(|difference| violation("I2", difference.at_us, difference.what.clone()))
        .collect();
    let logged = index.logged_shards();
    let mut taken = BTreeSet::new();
    for request in index.requests.values().filter(|one| one.is_acquire()) {
        let Some(told) = &request.answer else {
            continue;
        };
        let Some(position) = told.position.filter(|at| logged.contains(&at.shard)) else {
            continue;
        };
        // A leader that has no room says so without the log: nothing is charged.
        if told.answer == Answer::Exhausted && replay.may_refuse(request, told.at_us) {
            continue;
        }
        if let Some(what) = lost(index, request, (position, &told.answer), &mut taken) {
            let what = format!(
                "request {} was told {:?}: {what}",
                request.number, told.answer
            );
            found.push(violation("I2", told.at_us, what));
        }
    }
    found
}

/// Ids that answer a caller that does not know its own, each at a place of a shard's log.
type Taken = BTreeSet<(u32, u64, Id)>;

fn lost(
    index: &Index,
    request: &Request,
    (position, told): (Position, &Answer),
    taken: &mut Taken,
) -> Option<String> {
    let Some(entry) = index.entry_of(position) else {
        return Some(format!("there is no entry at {position:?}"));
    };
    if entry.term != position.term {
        return Some(format!(
            "the entry at {position:?} is of term {}",
            entry.term
        ));
    }
    let elsewhere = |shard: Option<u32>| shard.is_some_and(|shard| shard != position.shard);
    if request.items().iter().any(|item| elsewhere(item.shard)) {
        // Parts of this answer were decided in other logs.
        return None;
    }
    let mut ids = ids_told(entry, request, told);
    let is_there = match request.id {
        Some(id) => ids.any(|other| other == id),
        None => ids.any(|id| taken.insert((position.shard, position.index, id))),
    };
    (!is_there).then(|| format!("the entry at {position:?} says something else"))
}

/// The ids that an entry answers so, of commands that ask for what the request does.
fn ids_told<'a>(
    entry: &'a Entry,
    request: &'a Request,
    told: &'a Answer,
) -> impl Iterator<Item = Id> + 'a {
    let said = entry.commands.iter().filter(move |command| {
        let is_asked = matches!(command.ask, Ask::Acquire { .. });
        let is_said = command.answer.is_same_decision(told) || is_told_as(&command.answer, told);
        is_asked && is_said && command.ask.items() == request.items()
    });
    said.filter_map(|command| command.id)
}

/// What holds alone stand in the way of is told as a denial to a caller that has no time left.
fn is_told_as(logged: &Answer, told: &Answer) -> bool {
    matches!(
        (logged, told),
        (Answer::Contended { items: logged, .. }, Answer::Denied { items: told, .. })
            if logged.iter().map(|one| one.remaining).eq(told.iter().map(|one| one.remaining))
    )
}

#[cfg(test)]
mod tests {
    use crate::sample::{Sample, acquire, admitted, denied, item, open};

    fn sample(index: u64) -> Sample {
        let mut sample = Sample::new();
        sample.ask(1, Some((1, 1)), vec![item("k", 1, 1)]);
        let command = acquire((1, 1), vec![item("k", 1, 1)], admitted(&[0], 1, 900));
        sample.entry(1, 5_100, vec![open(1), command]);
        sample.told(1, admitted(&[0], 1, 900), Some(index));
        sample
    }

    #[test]
    fn an_answer_is_found_in_the_log() {
        assert_eq!(sample(1).violated(), Vec::<&str>::new());
    }

    #[test]
    fn an_answer_that_the_log_has_lost_is_caught() {
        assert_eq!(sample(2).violated(), ["I2"]);
    }

    #[test]
    fn an_answer_that_the_log_gives_otherwise_is_caught() {
        let mut sample = Sample::new();
        sample.ask(1, Some((1, 1)), vec![item("k", 0, 1)]);
        let command = acquire((1, 1), vec![item("k", 1, 1)], admitted(&[0], 1, 900));
        sample.entry(1, 5_100, vec![open(1), command]);
        sample.told(1, denied(0, 1, 900), Some(1));
        assert!(sample.violated().contains(&"I2"));
    }

    #[test]
    fn answers_that_are_swapped_within_an_entry_are_caught() {
        let (a, b) = (vec![item("a", 9, 1)], vec![item("b", 9, 1)]);
        let (to_a, to_b) = (admitted(&[8], 9, 900), denied(0, 9, 900));
        for (told, violated) in [([&to_a, &to_b], vec![]), ([&to_b, &to_a], vec!["I2"])] {
            let mut sample = Sample::new();
            sample.ask(1, None, a.clone()).ask(2, None, b.clone());
            sample.ask(3, None, vec![item("b", 9, 9)]);
            let full = acquire((1, 3), vec![item("b", 9, 9)], admitted(&[0], 9, 900));
            let first = acquire((1, 1), a.clone(), to_a.clone());
            let second = acquire((1, 2), b.clone(), to_b.clone());
            sample.entry(1, 5_100, vec![open(1), full, first, second]);
            sample
                .told(1, told[0].clone(), Some(1))
                .told(2, told[1].clone(), Some(1));
            sample.told(3, admitted(&[0], 9, 900), Some(1));
            let caught: Vec<_> = sample.violated();
            let caught = caught.into_iter().filter(|name| *name == "I2");
            assert_eq!(caught.collect::<Vec<_>>(), violated);
        }
    }

    #[test]
    fn an_answer_that_two_callers_are_told_is_caught() {
        for (ids, violated) in [(2, vec![]), (1, vec!["I2"])] {
            let mut sample = Sample::new();
            let asked = || vec![item("k", 0, 1)];
            sample.ask(1, None, asked()).ask(2, None, asked());
            let denials = (1..=ids).map(|seq| {
                let mut denial = denied(0, 0, 900);
                if let crate::history::Answer::Denied { retry_after_ms, .. } = &mut denial {
                    *retry_after_ms = None;
                }
                acquire((1, seq), asked(), denial)
            });
            let commands = [open(1)].into_iter().chain(denials);
            sample.entry(1, 5_100, commands.collect());
            for request in [1, 2] {
                sample.told(request, denied(0, 0, 900), Some(1));
            }
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_leader_without_room_refuses_without_the_log() {
        for (counters_max, violated) in [(1, vec![]), (2, vec!["I2"])] {
            let mut sample = Sample::new();
            sample.counters_max = Some(counters_max);
            let first = acquire((1, 1), vec![item("a", 1, 1)], admitted(&[0], 1, 900));
            sample.entry(1, 5_100, vec![open(1), first]);
            let mut other = item("b", 1, 1);
            other.shard = Some(0);
            sample.ask(1, Some((1, 2)), vec![other]);
            sample.told(1, crate::history::Answer::Exhausted, Some(1));
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn an_id_that_is_forgotten_too_early_is_caught() {
        for (log_ms, violated) in [(35_200, vec![]), (34_000, vec!["I2"])] {
            let mut sample = Sample::new();
            let first = acquire((1, 1), vec![item("k", 1, 1)], admitted(&[0], 1, 900));
            sample.entry(1, 5_100, vec![open(1), first]);
            let again = acquire(
                (1, 1),
                vec![item("k", 1, 1)],
                crate::history::Answer::Expired,
            );
            sample.wait_us(31_000_000).entry(2, log_ms, vec![again]);
            assert_eq!(sample.violated(), violated);
        }
    }
}
