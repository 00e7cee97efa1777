//! I2: what a caller was told is in the log, with the same answer, and no id is forgotten before its
//! time.

use super::violation;
use crate::history::{Answer, Ask, Position};
use crate::index::{Entry, Index, Request};
use crate::replay::{Kind, Replay};
use crate::report::Violation;

pub(super) fn check(index: &Index, replay: &Replay) -> Vec<Violation> {
    let early = replay.of_kind(&[Kind::Expiry]);
    let mut found: Vec<_> = early
        .map(|difference| violation("I2", difference.at_us, difference.what.clone()))
        .collect();
    let logged = index.logged_shards();
    for request in index.requests.values().filter(|one| one.is_acquire()) {
        let Some(told) = &request.answer else {
            continue;
        };
        let Some(position) = told.position.filter(|at| logged.contains(&at.shard)) else {
            continue;
        };
        if let Some(what) = lost(index, request, position, &told.answer) {
            let what = format!(
                "request {} was told {:?}: {what}",
                request.number, told.answer
            );
            found.push(violation("I2", told.at_us, what));
        }
    }
    found
}

fn lost(index: &Index, request: &Request, position: Position, told: &Answer) -> Option<String> {
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
    match is_in(entry, request, told) {
        true => None,
        false => Some(format!("the entry at {position:?} says something else")),
    }
}

fn is_in(entry: &Entry, request: &Request, told: &Answer) -> bool {
    entry.commands.iter().any(|command| {
        let is_named = request.id.is_none_or(|id| command.id == Some(id));
        let is_acquire = matches!(command.ask, Ask::Acquire { .. });
        let is_said = command.answer.is_same_decision(told) || is_told_as(&command.answer, told);
        is_named && is_acquire && is_said
    })
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
