use super::*;

const START: Moment = Moment {
    monotonic_us: 1_000_000,
    wall_ms: 1_800_000_000_000,
    reference_ms: 1_800_000_000_000,
};

/// Looks every 250 ms for a minute of the reference. Clocks: how far the wall clock is off at each
/// instant, and how fast the monotonic one runs. Gives when it was found off, and as what.
fn minute(wall_off_ms: impl Fn(u64) -> i64, rate_percent: u64) -> Option<(u64, Off)> {
    let mut clocks = TermClocks::default();
    (0..60_000).step_by(250).find_map(|at_ms| {
        let now = Moment {
            monotonic_us: START.monotonic_us + at_ms * rate_percent * 10,
            wall_ms: (START.wall_ms + at_ms).saturating_add_signed(wall_off_ms(at_ms)),
            reference_ms: START.reference_ms + at_ms,
        };
        Some((at_ms, clocks.look(1, now)?))
    })
}

#[test]
fn clocks_that_agree_are_left_alone() {
    assert_eq!(minute(|_| 0, 100), None);
    assert_eq!(minute(|_| -500, 100), None);
    // An answer that was late.
    assert_eq!(
        minute(|at_ms| if at_ms == 5_000 { 3_600_000 } else { 0 }, 100),
        None
    );
}

#[test]
fn a_wall_clock_that_is_off_is_found_in_a_second() {
    for off_ms in [-3_600_000, -501, 501, 3_600_000] {
        let jump = |at_ms| if at_ms >= 5_000 { off_ms } else { 0 };
        let found = minute(jump, 100);
        assert_eq!(found, Some((6_000, Off::Wall(off_ms.unsigned_abs()))));
    }
}

#[test]
fn a_monotonic_clock_that_drifts_moves_log_time_by_little() {
    for rate_percent in [85, 95, 99, 101, 105, 115] {
        let Some((_, Off::Monotonic(moved_ms))) = minute(|_| 0, rate_percent) else {
            panic!("{rate_percent} % is not found");
        };
        assert!(
            (CLOCK_MOVED_MS..=500).contains(&moved_ms),
            "{rate_percent} %: {moved_ms} ms"
        );
    }
}

#[test]
fn each_term_starts_anew() {
    let mut clocks = TermClocks::default();
    let stepped = Moment {
        reference_ms: START.reference_ms + 3_600_000,
        wall_ms: START.wall_ms + 3_600_000,
        ..START
    };
    assert_eq!(clocks.look(1, START), None);
    assert_eq!(clocks.look(1, stepped), None);
    let later = |us| Moment {
        monotonic_us: stepped.monotonic_us + us,
        wall_ms: stepped.wall_ms + us / 1_000,
        reference_ms: stepped.reference_ms + us / 1_000,
    };
    assert!(matches!(
        clocks.look(1, later(CLOCK_OFF_US)),
        Some(Off::Monotonic(_))
    ));
    // Its successor, or itself again, has log time where it is, and nothing to mend.
    assert_eq!(clocks.look(2, later(CLOCK_OFF_US)), None);
    assert_eq!(clocks.look(2, later(2 * CLOCK_OFF_US)), None);
}
