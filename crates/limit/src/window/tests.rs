use super::*;

fn at(ms: u64) -> LogTime {
    LogTime::from_ms(ms)
}

const JAN_31_2026: u64 = 1_769_817_600_000; // 2026-01-31T00:00:00Z, a Saturday

#[test]
fn months_follow_the_calendar() {
    let january = Window::Month.interval(at(JAN_31_2026));
    assert_eq!(january.start, at(1_767_225_600_000)); // 2026-01-01
    assert_eq!(january.end, at(1_769_904_000_000)); // 2026-02-01
    // February of a leap year: 2028-02-29T12:00Z
    let leap = Window::Month.interval(at(1_835_438_400_000));
    assert_eq!(leap.end.ms - leap.start.ms, 29 * DAY);
    // 2100 is no leap year: 2100-02-10
    let century = Window::Month.interval(at(4_105_900_800_000));
    assert_eq!(century.end.ms - century.start.ms, 28 * DAY);
}

#[test]
fn weeks_start_on_monday() {
    let week = Window::Week.interval(at(JAN_31_2026));
    assert_eq!(week.start, at(JAN_31_2026 - 5 * DAY)); // Monday 2026-01-26
    assert_eq!(week.end, at(JAN_31_2026 + 2 * DAY));
    assert_eq!(Window::Week.interval(week.end).start, week.end);
    // The epoch itself lies in a week that began before it.
    assert_eq!(
        Window::Week.interval(at(0)),
        Interval {
            start: at(0),
            end: at(4 * DAY)
        }
    );
}

#[test]
fn durations_start_at_multiples_of_themselves() {
    let window: Window = "90s".parse().unwrap();
    let interval = window.interval(at(JAN_31_2026 + 89_999));
    assert_eq!(interval.start.ms % 90_000, 0);
    assert_eq!(interval.end.ms - interval.start.ms, 90_000);
}

#[test]
fn a_length_with_a_name_is_that_window() {
    assert_eq!("60s".parse(), Ok(Window::Minute));
    assert_eq!("1d".parse(), Ok(Window::Day));
    assert_eq!("24h".parse(), Ok(Window::Day));
    // A week of days starts on Thursday: not the same window.
    assert_eq!("7d".parse(), Ok(Window::Duration { ms: WEEK }));
}

#[test]
fn what_is_no_window_is_refused() {
    for text in [
        "",
        "fortnight",
        "s",
        "0s",
        "09s",
        "-1s",
        "1.5m",
        "10 m",
        "10M",
        "١s",
        "90",
    ] {
        assert!(
            matches!(text.parse::<Window>(), Err(WindowError::Unknown(_))),
            "{text:?}"
        );
    }
    for text in [
        "1ms",
        "999ms",
        "367d",
        "99999999999999999999s",
        "18446744073709551615d",
    ] {
        assert_eq!(
            text.parse::<Window>(),
            Err(WindowError::OutOfRange),
            "{text:?}"
        );
    }
}

#[test]
fn the_end_of_time_does_not_overflow() {
    for window in [
        Window::Second,
        Window::Week,
        Window::Month,
        Window::Duration { ms: 90_000 },
    ] {
        let interval = window.interval(at(u64::MAX));
        assert!(interval.start <= interval.end, "{window}");
    }
}

proptest::proptest! {
    #[test]
    fn an_interval_contains_its_instant_and_touches_the_next(
        ms in 0u64..10_000_000_000_000, code in 1u64..=6, duration in WINDOW_MS_MIN..WINDOW_MS_MAX,
    ) {
        for window in [Window::from_code(code).unwrap(), Window::duration(duration).unwrap()] {
            let interval = window.interval(at(ms));
            proptest::prop_assert!(interval.start <= at(ms) && at(ms) < interval.end);
            proptest::prop_assert_eq!(window.interval(interval.end).start, interval.end);
            proptest::prop_assert_eq!(window.interval(interval.start), interval);
        }
    }

    #[test]
    fn text_and_code_name_the_same_window(duration in WINDOW_MS_MIN..WINDOW_MS_MAX) {
        let window = Window::duration(duration).unwrap();
        proptest::prop_assert_eq!(window.to_string().parse(), Ok(window));
        proptest::prop_assert_eq!(Window::from_code(window.code()), Ok(window));
    }
}
