//! I13: every charge in the log is some caller's. Under an id that callers name, it is what they
//! asked for under it. And of a counter that callers name, no more units stay charged than were asked
//! for in requests that were not denied, however often and under however many ids those were sent.
//!
//! Counters that no request of the history names are other callers', and not looked at. A charge counts
//! when its client has settled it: one that ended in between leaves units charged that nobody uses.

use std::collections::{BTreeMap, BTreeSet};

use super::violation;
use crate::history::Id;
use crate::index::{Index, Request};
use crate::limits::UNITS_MAX;
use crate::replay::{Admission, Replay};
use crate::report::Violation;

/// What callers asked of one counter.
#[derive(Debug, Default)]
struct Asked {
    units: u64,
    /// By id, where callers know it.
    ids: BTreeMap<Id, BTreeSet<u64>>,
    /// A caller does not know its ids: any may be its.
    has_unknown_ids: bool,
}

/// Shard, key and window.
type Counter<'a> = (u32, &'a str, u64);

pub(super) fn check(index: &Index, replay: &Replay) -> Vec<Violation> {
    let asked = asked(index);
    let mut found = Vec::new();
    let mut standing: BTreeMap<Counter<'_>, (u64, u64)> = BTreeMap::new();
    let mut by_id: BTreeMap<(Id, Counter<'_>), (u64, u64)> = BTreeMap::new();
    for one in &replay.admissions {
        let counter = (one.position.shard, one.key.as_str(), one.window_ms);
        let Some(id) = one.id.filter(|_| asked.contains_key(&counter)) else {
            continue;
        };
        let (units, at_us) = standing.entry(counter).or_default();
        if is_settled(replay, one, id) {
            *units = units.saturating_add(one.kept());
        }
        *at_us = one.at_us.max(*at_us);
        let (units, at_us) = by_id.entry((id, counter)).or_default();
        *units = units.saturating_add(one.units);
        *at_us = one.at_us;
    }
    for (counter, (units, at_us)) in standing {
        let most = asked[&counter].units;
        if units > most {
            let (shard, key, _) = counter;
            let what = format!(
                "shard {shard} {key}: {units} units are charged, and {most} were asked for"
            );
            found.push(violation("I13", at_us, what));
        }
    }
    for ((id, counter), (units, at_us)) in by_id {
        let asked = &asked[&counter];
        let is_right = match asked.ids.get(&id) {
            Some(expected) => expected.contains(&units),
            None => asked.has_unknown_ids,
        };
        if !is_right {
            let (shard, key, _) = counter;
            let expected = asked.ids.get(&id);
            let what = format!(
                "shard {shard} {key}: {id:?} is charged {units} units, and asked for {expected:?}"
            );
            found.push(violation("I13", at_us, what));
        }
    }
    found
}

/// Whether the client has said that it has done with the id.
fn is_settled(replay: &Replay, one: &Admission, id: Id) -> bool {
    let acked = replay.acked.get(&(one.position.shard, id.epoch));
    acked.is_some_and(|acked| id.seq <= *acked)
}

fn asked(index: &Index) -> BTreeMap<Counter<'_>, Asked> {
    let mut asked: BTreeMap<Counter<'_>, Asked> = BTreeMap::new();
    for request in index.requests.values().filter(|one| one.is_acquire()) {
        let is_denied = request.answered().is_some_and(|answer| answer.is_denied());
        for (counter, units) in counters(request) {
            let asked = asked.entry(counter).or_default();
            let is_repeat = match request.id {
                Some(id) => {
                    let known = asked.ids.entry(id).or_default();
                    known.insert(units);
                    known.len() > 1
                }
                None => false,
            };
            asked.has_unknown_ids |= request.id.is_none();
            if !is_denied && !is_repeat {
                asked.units += units;
            }
        }
    }
    asked
}

/// What a request asks of each counter.
fn counters(request: &Request) -> BTreeMap<Counter<'_>, u64> {
    let position = request.answer.as_ref().and_then(|told| told.position);
    let place = position.map_or(0, |position| position.shard);
    let mut own: BTreeMap<Counter<'_>, u64> = BTreeMap::new();
    for item in request.items() {
        let counter = (item.shard.unwrap_or(place), &*item.key, item.window_ms);
        // What asks for more than can be counted asks for nothing.
        let units = Some(item.units).filter(|units| *units <= UNITS_MAX);
        *own.entry(counter).or_default() += units.unwrap_or(0);
    }
    own
}

#[cfg(test)]
mod tests {
    use crate::history::{Answer, Command};
    use crate::sample::{Sample, acquire, admitted, item, open, refund};

    /// The client has settled everything up to a seq.
    fn settled(seq: u64) -> Command {
        let mut other = acquire((1, 99), vec![item("other", 1, 1)], Answer::Exhausted);
        other.acked_seq = seq;
        other
    }

    #[test]
    fn a_charge_that_no_request_explains_is_caught() {
        // Two were asked for; a third charge is nobody's.
        for (charges, acked, violated) in [
            (2, 2, vec![]),
            (3, 3, vec!["I13"]),
            // Of a client that ended in between, as far as is known.
            (3, 2, vec![]),
        ] {
            let mut sample = Sample::new();
            sample.ask(1, None, vec![item("k", 9, 1)]);
            sample.told(1, Answer::Unknown, None);
            sample.ask(2, None, vec![item("k", 9, 1)]);
            let mut commands = vec![open(1)];
            commands.extend((1..=charges).map(|seq| {
                let answer = admitted(&[9 - seq], 9, 900);
                acquire((1, seq), vec![item("k", 9, 1)], answer)
            }));
            commands.push(settled(acked));
            sample.entry(1, 5_100, commands);
            sample.told(2, admitted(&[7], 9, 900), Some(1));
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn a_second_id_of_a_request_needs_the_first_to_be_given_back() {
        // Too late, when its window is over, gives nothing back, and is asked for all the same.
        let late = (6_200, 0);
        for (refund_at, violated) in [
            (Some((5_200, 1)), vec![]),
            (Some(late), vec![]),
            (None, vec!["I13"]),
        ] {
            let mut sample = Sample::new();
            sample.ask(1, None, vec![item("k", 9, 1)]);
            let first = acquire((1, 1), vec![item("k", 9, 1)], admitted(&[8], 9, 900));
            let second = acquire((1, 2), vec![item("k", 9, 1)], admitted(&[7], 9, 900));
            sample.entry(1, 5_100, vec![open(1), first, second]);
            sample.told(1, admitted(&[7], 9, 900), Some(1));
            let (log_ms, units) = refund_at.unwrap_or(late);
            let back = refund((1, 1), Answer::Refunded { units });
            let back = Some(back).filter(|_| refund_at.is_some());
            sample.wait_us((log_ms - 5_100) * 1_000);
            let commands = back.into_iter().chain([settled(2)]);
            sample.entry(2, log_ms, commands.collect());
            assert_eq!(sample.violated(), violated);
        }
    }

    #[test]
    fn an_id_that_nobody_bears_is_caught_and_so_is_another_number_of_units() {
        for (seq, units, violated) in [(1, 1, vec![]), (2, 1, vec!["I13"]), (1, 2, vec!["I13"])] {
            let mut sample = Sample::new();
            sample.ask(1, Some((1, 1)), vec![item("k", 9, 1)]);
            sample.told(1, Answer::Unknown, None);
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
        sample.entry(1, 5_100, vec![open(1), charge, settled(1)]);
        assert_eq!(sample.violated(), Vec::<&str>::new());
    }
}
