//! I13: every charge in the log is some caller's. Under an id that callers name, it is what they
//! asked for under it; and of a counter that callers name, no more units stay charged than were asked
//! for in requests that were not denied, however often those were sent again.
//!
//! Counters that no request of the history names are other callers', and not looked at.

use std::collections::BTreeMap;

use super::violation;
use crate::history::{Id, Item};
use crate::index::Index;
use crate::replay::Replay;
use crate::report::Violation;

/// What callers asked of one counter.
#[derive(Debug, Default)]
struct Asked {
    units: u64,
    /// By id, where callers know it.
    ids: BTreeMap<Id, u64>,
    /// A caller does not know its ids: any may be its.
    has_unknown_ids: bool,
}

type Counter<'a> = (&'a str, u64);

pub(super) fn check(index: &Index, replay: &Replay) -> Vec<Violation> {
    let asked = asked(index);
    let mut found = Vec::new();
    let mut standing: BTreeMap<Counter<'_>, (u64, u64)> = BTreeMap::new();
    let mut by_id: BTreeMap<(u32, Id, Counter<'_>), (u64, u64)> = BTreeMap::new();
    for one in &replay.admissions {
        let counter = (one.key.as_str(), one.window_ms);
        if !asked.contains_key(&counter) {
            continue;
        }
        let (units, at_us) = standing.entry(counter).or_default();
        *units += one.kept();
        *at_us = one.at_us.max(*at_us);
        if let Some(id) = one.id {
            let place = (one.position.shard, id, counter);
            let (units, at_us) = by_id.entry(place).or_default();
            *units += one.units;
            *at_us = one.at_us;
        }
    }
    for ((key, window_ms), (units, at_us)) in standing {
        let most = asked[&(key, window_ms)].units;
        if units > most {
            let what = format!("{key}: {units} units are charged, and {most} were asked for");
            found.push(violation("I13", at_us, what));
        }
    }
    for ((shard, id, counter), (units, at_us)) in by_id {
        let asked = &asked[&counter];
        let expected = asked.ids.get(&id).copied();
        let is_wrong = match expected {
            Some(expected) => units != expected,
            None => !asked.has_unknown_ids,
        };
        if is_wrong {
            let what = format!(
                "shard {shard}: {id:?} is charged {units} units of {}, and asked for {}",
                counter.0,
                expected.map_or("nothing".to_owned(), |units| units.to_string())
            );
            found.push(violation("I13", at_us, what));
        }
    }
    found
}

fn asked(index: &Index) -> BTreeMap<Counter<'_>, Asked> {
    let mut asked: BTreeMap<Counter<'_>, Asked> = BTreeMap::new();
    for request in index.requests.values().filter(|one| one.is_acquire()) {
        let is_denied = request.answered().is_some_and(|answer| answer.is_denied());
        let mut own: BTreeMap<Counter<'_>, u64> = BTreeMap::new();
        for Item {
            key,
            window_ms,
            units,
            ..
        } in request.items()
        {
            *own.entry((key, *window_ms)).or_default() += units;
        }
        for (counter, units) in own {
            let asked = asked.entry(counter).or_default();
            let is_repeat = request
                .id
                .is_some_and(|id| asked.ids.insert(id, units).is_some());
            asked.has_unknown_ids |= request.id.is_none();
            if !is_denied && !is_repeat {
                asked.units += units;
            }
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use crate::history::Answer;
    use crate::sample::{Sample, acquire, admitted, item, open, refund};

    #[test]
    fn a_charge_that_no_request_explains_is_caught() {
        // Two were asked for; a third charge is nobody's.
        for (charges, violated) in [(2, vec![]), (3, vec!["I13"])] {
            let mut sample = Sample::new();
            sample.ask(1, None, vec![item("k", 9, 1)]);
            sample.told(1, Answer::Unknown, None);
            sample.ask(2, None, vec![item("k", 9, 1)]);
            let mut commands = vec![open(1)];
            commands.extend((1..=charges).map(|seq| {
                let answer = admitted(&[9 - seq], 9, 900);
                acquire((1, seq), vec![item("k", 9, 1)], answer)
            }));
            sample.entry(1, 5_100, commands);
            sample.told(2, admitted(&[7], 9, 900), Some(1));
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_second_id_of_a_request_needs_the_first_to_be_given_back() {
        for (is_given_back, violated) in [(true, vec![]), (false, vec!["I13"])] {
            let mut sample = Sample::new();
            sample.ask(1, None, vec![item("k", 9, 1)]);
            let first = acquire((1, 1), vec![item("k", 9, 1)], admitted(&[8], 9, 900));
            let second = acquire((1, 2), vec![item("k", 9, 1)], admitted(&[7], 9, 900));
            sample.entry(1, 5_100, vec![open(1), first, second]);
            sample.told(1, admitted(&[7], 9, 900), Some(1));
            let back = refund((1, 1), Answer::Refunded { units: 1 });
            let back = Some(back).filter(|_| is_given_back);
            sample.entry(2, 5_200, back.into_iter().collect());
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn an_id_that_nobody_bears_is_caught_and_so_is_another_number_of_units() {
        for (seq, units, violated) in [(1, 1, vec![]), (2, 1, vec!["I13"]), (1, 2, vec!["I13"])] {
            let mut sample = Sample::new();
            sample.ask(1, Some((1, 1)), vec![item("k", 9, 1)]);
            sample.told(1, Answer::Unknown, None);
            sample.ask(2, Some((1, 3)), vec![item("k", 9, 5)]);
            let answer = admitted(&[9 - units], 9, 900);
            let charge = acquire((1, seq), vec![item("k", 9, units)], answer);
            sample.entry(1, 5_100, vec![open(1), charge]);
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_counter_that_no_request_names_is_not_looked_at() {
        let mut sample = Sample::new();
        let charge = acquire((1, 1), vec![item("k", 9, 1)], admitted(&[8], 9, 900));
        sample.entry(1, 5_100, vec![open(1), charge]);
        assert_eq!(sample.violated(), Vec::<&str>::new());
    }
}
