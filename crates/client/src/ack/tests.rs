use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[test]
fn only_a_run_of_settled_seqs_is_acknowledged() {
    let mut window = SeqWindow::default();
    assert_eq!(
        (1..=3).map(|_| window.draw().unwrap()).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    window.settle(2);
    window.advance(0);
    assert_eq!(window.acked(), 0);
    window.settle(1);
    window.advance(0);
    assert_eq!(window.acked(), 2);
    assert_eq!(window.draw(), Some(4));
}

#[test]
fn a_ticket_holds_its_seq_for_ten_seconds() {
    let mut window = SeqWindow::default();
    let seq = window.draw().unwrap();
    window.hold(seq, 5);
    assert_eq!(window.advance(5 + HOLD_US_MAX), 0);
    assert!(window.reopen(seq));
    window.hold(seq, 5);
    assert_eq!(window.advance(6 + HOLD_US_MAX), 1);
    assert_eq!(window.acked(), 1);
    assert!(!window.reopen(seq), "a refund comes too late");
}

#[test]
fn a_full_window_draws_no_seq_until_the_first_is_settled() {
    let mut window = SeqWindow::default();
    for _ in 0..SEQS_OPEN_MAX {
        window.draw().unwrap();
    }
    assert_eq!(window.draw(), None);
    window.settle(1);
    window.advance(0);
    assert_eq!(window.draw(), Some(SEQS_OPEN_MAX as u64 + 1));
    assert_eq!(window.draw(), None);
}

#[test]
fn a_window_that_fills_does_not_wait_for_tickets() {
    let mut window = SeqWindow::default();
    for _ in 0..SEQS_OPEN_PRESSED {
        let seq = window.draw().unwrap();
        window.hold(seq, 0);
    }
    assert_eq!(window.advance(1), 1);
    assert_eq!(window.acked(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Draw,
    Hold(u64),
    Reopen(u64),
    Settle(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Draw),
        1 => (1_u64..40).prop_map(Step::Hold),
        1 => (1_u64..40).prop_map(Step::Reopen),
        3 => (1_u64..40).prop_map(Step::Settle),
        1 => (0..HOLD_US_MAX).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn nothing_open_is_ever_acknowledged(steps in proptest::collection::vec(step(), 0..200)) {
        let mut window = SeqWindow::default();
        let mut open = BTreeSet::new();
        let mut held = BTreeMap::new();
        let (mut now_us, mut drawn) = (0, 0);
        for step in steps {
            match step {
                Step::Draw => {
                    drawn += 1;
                    prop_assert_eq!(window.draw(), Some(drawn));
                    open.insert(drawn);
                }
                Step::Hold(seq) if open.remove(&seq) => {
                    window.hold(seq, now_us);
                    held.insert(seq, now_us);
                }
                Step::Reopen(seq) if held.contains_key(&seq) => {
                    let reopened = window.reopen(seq);
                    prop_assert_eq!(reopened, seq > window.acked());
                    held.remove(&seq);
                    if reopened {
                        open.insert(seq);
                    }
                }
                Step::Settle(seq) if seq <= drawn => {
                    window.settle(seq);
                    open.remove(&seq);
                    held.remove(&seq);
                }
                Step::Wait(us) => now_us += us,
                _ => {}
            }
            window.advance(now_us);
            let acked = window.acked();
            prop_assert!(acked <= drawn);
            prop_assert!(open.iter().all(|seq| *seq > acked));
            prop_assert!(held.iter().all(|(seq, at)| *seq > acked || now_us - at > HOLD_US_MAX));
            let is_unsettled = |seq: &u64| {
                open.contains(seq) || held.get(seq).is_some_and(|at| now_us - at <= HOLD_US_MAX)
            };
            prop_assert!(acked == drawn || is_unsettled(&(acked + 1)), "stuck at {}", acked);
        }
    }
}
