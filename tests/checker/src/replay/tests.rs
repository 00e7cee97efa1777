use super::*;
use crate::index::Index;
use crate::sample::{Sample, acquire, admitted, denied, item, open, refund};

fn kinds(sample: &Sample) -> Vec<Kind> {
    let index = Index::new(&sample.events).unwrap();
    let replay = Replay::new(&index);
    replay.differences.iter().map(|one| one.kind).collect()
}

#[test]
fn refunds_acknowledgements_and_new_windows_are_followed() {
    let mut sample = Sample::new();
    let take = acquire((1, 1), vec![item("k", 1, 1)], admitted(&[0], 1, 900));
    let full = acquire((1, 2), vec![item("k", 1, 1)], denied(0, 1, 900));
    let back = refund((1, 1), Answer::Refunded { units: 1 });
    let again = acquire((1, 3), vec![item("k", 1, 1)], admitted(&[0], 1, 800));
    sample.entry(1, 5_100, vec![open(1), take, full]);
    sample.entry(2, 5_200, vec![back, again]);
    let mut acked = acquire((1, 4), vec![item("k", 1, 1)], admitted(&[0], 1, 990));
    acked.acked_seq = 3;
    let late = acquire((1, 2), vec![item("k", 1, 1)], Answer::Expired);
    sample.wait_us(1_000_000).entry(3, 6_010, vec![acked, late]);
    assert_eq!(kinds(&sample), []);
}

#[test]
fn a_newer_revision_counts_and_an_older_one_does_not_raise_it() {
    let revised = |max: u64, revision: u64| {
        let mut item = item("k", max, 1);
        item.revision = revision;
        vec![item]
    };
    let mut sample = Sample::new();
    let old = acquire((1, 1), revised(9, 1), admitted(&[8], 9, 900));
    let new = acquire((1, 2), revised(2, 2), admitted(&[0], 2, 900));
    let stale = acquire((1, 3), revised(9, 1), denied(0, 2, 900));
    sample.entry(1, 5_100, vec![open(1), old, new, stale]);
    assert_eq!(kinds(&sample), []);
    let wrong = acquire((1, 4), revised(9, 1), admitted(&[6], 9, 900));
    sample.entry(2, 5_100, vec![wrong]);
    assert_eq!(kinds(&sample), [Kind::Over]);
}

#[test]
fn an_unknown_epoch_is_expired() {
    let mut sample = Sample::new();
    let stranger = acquire((7, 1), vec![item("k", 1, 1)], Answer::Expired);
    sample.entry(1, 5_100, vec![stranger]);
    assert_eq!(kinds(&sample), []);
}

#[test]
fn a_dedup_entry_that_is_lost_is_a_repeat() {
    let mut sample = Sample::new();
    let first = acquire((1, 1), vec![item("k", 5, 1)], admitted(&[4], 5, 900));
    let anew = acquire((1, 1), vec![item("k", 5, 1)], admitted(&[3], 5, 900));
    sample.entry(1, 5_100, vec![open(1), first, anew]);
    assert_eq!(kinds(&sample), [Kind::Repeat]);
}

#[test]
fn less_than_nothing_is_invalid_whatever_became_of_its_id() {
    let negative = || vec![item("k", 5, 1_u64.wrapping_neg())];
    let mut sample = Sample::new();
    let refused = acquire((1, 1), negative(), Answer::Invalid);
    let back = refund((1, 1), Answer::Refunded { units: 0 });
    let again = acquire((1, 1), negative(), Answer::Invalid);
    sample.entry(1, 5_100, vec![open(1), refused, back, again]);
    assert_eq!(kinds(&sample), []);
    let taken = acquire((1, 2), negative(), admitted(&[6], 5, 900));
    sample.entry(2, 5_200, vec![taken]);
    assert_eq!(kinds(&sample), [Kind::Over]);
}

#[test]
fn a_sliding_unit_is_given_back_beyond_the_end_of_a_fixed_window() {
    let sliding = || {
        let mut item = item("k", 1, 1);
        item.sliding = true;
        vec![item]
    };
    let mut sample = Sample::new();
    let take = acquire((1, 1), sliding(), admitted(&[0], 1, 1_016));
    sample.entry(1, 5_900, vec![open(1), take]);
    let back = refund((1, 1), Answer::Refunded { units: 1 });
    let again = acquire((1, 2), sliding(), admitted(&[0], 1, 1_016));
    sample.entry(2, 6_100, vec![back, again]);
    let index = Index::new(&sample.events).unwrap();
    let is_freed = |one: &Admission| one.freed.is_some();
    let admissions = Replay::new(&index).admissions;
    assert_eq!(
        admissions.iter().map(is_freed).collect::<Vec<_>>(),
        [true, false]
    );
}

#[test]
fn another_command_under_an_id_is_invalid_and_nothing_else() {
    for (answer, found) in [
        (Answer::Invalid, vec![]),
        (admitted(&[4], 5, 900), vec![Kind::Repeat]),
    ] {
        let mut sample = Sample::new();
        let first = acquire((1, 1), vec![item("k", 5, 1)], admitted(&[4], 5, 900));
        let other = acquire((1, 1), vec![item("k", 5, 2)], answer);
        sample.entry(1, 5_100, vec![open(1), first, other]);
        assert_eq!(kinds(&sample), found);
    }
}
