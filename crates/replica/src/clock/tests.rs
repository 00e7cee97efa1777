use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

struct Hands {
    monotonic_us: AtomicU64,
    wall_ms: AtomicU64,
}

impl Clock for Hands {
    fn monotonic_us(&self) -> u64 {
        self.monotonic_us.load(Ordering::Relaxed)
    }

    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::Relaxed)
    }
}

const WALL: u64 = 1_767_610_800_000;
const HOUR: u64 = 3_600_000;

fn hands(wall_ms: u64) -> Hands {
    Hands {
        monotonic_us: AtomicU64::new(50_000_000),
        wall_ms: AtomicU64::new(wall_ms),
    }
}

fn reference(walls: &[(u64, u64)]) -> Reference {
    let mut reference = Reference::default();
    for (node, wall_ms) in walls {
        reference.hear(*node, *wall_ms, 49_999_000, 50_000_000);
    }
    reference
}

#[test]
fn a_wrong_clock_of_a_minority_moves_nothing() {
    for wrong in [WALL + HOUR, WALL - HOUR] {
        let now = reference(&[(2, wrong), (3, WALL + 2)]).now_ms(&[1, 2, 3], 1, &hands(WALL));
        assert!(now.unwrap().abs_diff(WALL) <= 5, "{now:?}");
        // Also when the wrong clock is our own.
        let now = reference(&[(2, WALL), (3, WALL)]).now_ms(&[1, 2, 3], 1, &hands(wrong));
        assert!(now.unwrap().abs_diff(WALL) <= 5, "{now:?}");
    }
}

#[test]
fn without_agreement_there_is_no_reference() {
    let apart = reference(&[(2, WALL + HOUR), (3, WALL - HOUR)]);
    assert_eq!(apart.now_ms(&[1, 2, 3], 1, &hands(WALL)), None);
    let unheard = reference(&[]);
    assert_eq!(unheard.now_ms(&[1, 2, 3], 1, &hands(WALL)), None);
}

#[test]
fn what_was_heard_long_ago_does_not_count() {
    let heard = reference(&[(2, WALL), (3, WALL)]);
    let clock = hands(WALL);
    clock
        .monotonic_us
        .store(50_000_000 + 1_100_000, Ordering::Relaxed);
    assert_eq!(heard.now_ms(&[1, 2, 3], 1, &clock), None);
}

#[test]
fn a_single_voter_is_its_own_reference() {
    assert_eq!(reference(&[]).now_ms(&[1], 1, &hands(WALL)), Some(WALL));
}

#[test]
fn only_a_clock_that_was_heard_of_lately_agrees() {
    let heard = reference(&[(2, WALL + 400), (3, WALL + HOUR)]);
    let (now_us, later_us) = (50_000_000, 51_100_000);
    let agrees = |node, now_us| heard.agrees(node, WALL + (now_us - 50_000_000) / 1_000, now_us);
    assert!(agrees(2, now_us));
    assert!(!agrees(3, now_us));
    assert!(!agrees(4, now_us));
    assert!(!agrees(2, later_us));
    assert_eq!(
        (heard.heard_us(2), heard.heard_us(4)),
        (Some(50_000_000), None)
    );
}
