use super::*;

const DAY_MS: u64 = 86_400_000;

fn reading(monotonic_ms: u64, reference_ms: Option<u64>) -> Reading {
    Reading {
        monotonic_us: monotonic_ms * 1_000,
        reference_ms,
    }
}

fn stamp(log_ms: u64, reference_ms: u64) -> Stamp {
    Stamp {
        log: LogTime::from_ms(log_ms),
        reference_ms,
    }
}

#[test]
fn the_first_entry_starts_at_the_reference() {
    let mut clock = LogClock::lead(Stamp::default(), reading(5, Some(DAY_MS)));
    assert_eq!(clock.stamp(reading(5, Some(DAY_MS))), stamp(DAY_MS, DAY_MS));
}

#[test]
fn a_new_leader_steps_by_the_proven_gap_less_a_second() {
    let last = stamp(DAY_MS, DAY_MS + 50);
    let clock = LogClock::lead(last, reading(0, Some(DAY_MS + 50 + 60_000)));
    assert_eq!(clock.log_us / 1_000, DAY_MS + 59_000);
}

#[test]
fn a_new_leader_never_steps_back_nor_past_the_reference() {
    let ahead = stamp(DAY_MS + 10_000, DAY_MS);
    let clock = LogClock::lead(ahead, reading(0, Some(DAY_MS + 5_000)));
    assert_eq!(clock.log_us / 1_000, DAY_MS + 10_000);
    // The last leader's reference was two hours behind: no step past the present one.
    let behind = stamp(DAY_MS, DAY_MS - 7_200_000);
    let clock = LogClock::lead(behind, reading(0, Some(DAY_MS + 3_000)));
    assert_eq!(clock.log_us / 1_000, DAY_MS + 3_000);
}

#[test]
fn without_a_reference_log_time_goes_on_from_the_last_stamp() {
    let mut clock = LogClock::lead(stamp(DAY_MS, DAY_MS), reading(1_000, None));
    assert_eq!(clock.stamp(reading(1_250, None)), stamp(DAY_MS + 250, 0));
}

#[test]
fn time_without_a_reference_is_not_stepped_over_later() {
    // A term that had a reference and lost it records the time that passes.
    let mut free = LogClock::lead(stamp(DAY_MS, DAY_MS), reading(0, Some(DAY_MS)));
    let last = free.stamp(reading(600_000, None));
    let next = LogClock::lead(last, reading(0, Some(DAY_MS + 600_500)));
    assert_eq!(next.log_us / 1_000, last.log.ms);
    // One that never had a reference may have followed any gap: the next term does not step.
    let mut blind = LogClock::lead(stamp(DAY_MS, DAY_MS), reading(0, None));
    let last = blind.stamp(reading(1_000, None));
    assert_eq!(last, stamp(DAY_MS + 1_000, 0));
    let next = LogClock::lead(last, reading(0, Some(DAY_MS + 300_000)));
    assert_eq!(next.log_us / 1_000, last.log.ms);
}

#[test]
fn a_jump_of_the_reference_moves_log_time_by_the_slew_only() {
    let start = stamp(DAY_MS, DAY_MS);
    for jump in [3_600_000_i64, -3_600_000] {
        let mut clock = LogClock::lead(start, reading(0, Some(DAY_MS)));
        let reference = (DAY_MS + 10_000).checked_add_signed(jump).unwrap();
        let after = clock.stamp(reading(10_000, Some(reference))).log.ms;
        assert!(
            after.abs_diff(DAY_MS + 10_000) <= 10_000 / SLEW_DIVISOR,
            "{after}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn stamps_never_go_back(
        readings in proptest::collection::vec((0u64..100_000, proptest::option::of(0u64..10_000_000)), 1..50),
        last in (0u64..5_000_000, 0u64..5_000_000),
    ) {
        let first = readings[0];
        let mut clock = LogClock::lead(stamp(last.0, last.1), reading(first.0, first.1));
        let mut before = LogTime::from_ms(last.0);
        for (monotonic_ms, reference_ms) in readings {
            let next = clock.stamp(reading(monotonic_ms, reference_ms)).log;
            proptest::prop_assert!(last == (0, 0) || next >= before);
            before = next;
        }
    }
}
