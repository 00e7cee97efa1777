use super::*;

const STAT: &str = "4242 (a ) b (c) S 1 4242 4242 0 -1 4194560 1771 0 0 0 150 25 9 9 20 0 5 0 \
                    123456 1024000 300 18446744073709551615";

#[test]
fn the_name_of_a_process_does_not_move_the_fields() {
    let usage = parse(STAT, 100).unwrap();
    assert_eq!(usage.user, Duration::from_millis(1_500));
    assert_eq!(usage.system, Duration::from_millis(250));
    assert_eq!(usage.total(), Duration::from_millis(1_750));
}

#[test]
fn the_length_of_a_tick_counts() {
    let usage = parse(STAT, 1_000).unwrap();
    assert_eq!(usage.user, Duration::from_millis(150));
}

#[test]
fn what_is_no_stat_has_no_usage() {
    for stat in [
        "",
        "1 (x",
        "1 (x) S 1 2",
        "1 (x) S 1 2 3 4 5 6 7 8 9 10 x 12",
    ] {
        assert_eq!(parse(stat, 100), None, "{stat}");
    }
}

#[test]
fn usage_between_two_samples_is_divided_by_the_decisions() {
    let earlier = Usage {
        user: Duration::from_millis(100),
        system: Duration::from_millis(50),
    };
    let later = Usage {
        user: Duration::from_millis(400),
        system: Duration::from_millis(90),
    };
    let used = later.since(earlier);
    assert_eq!(us_per_decision(used.user, 100_000), Some(3.0));
    assert_eq!(us_per_decision(used.system, 100_000), Some(0.4));
    assert_eq!(us_per_decision(used.total(), 30_000), Some(11.333));
    assert_eq!(us_per_decision(used.total(), 0), None);
    // A counter that goes back is no usage.
    assert_eq!(earlier.since(later), Usage::default());
}

#[test]
fn this_process_has_a_usage_and_a_missing_one_is_named() {
    assert!(Usage::own().is_ok());
    assert!(usages(&[std::process::id()]).is_ok());
    let missing = u32::MAX;
    let failure = usages(&[missing]).unwrap_err();
    assert!(failure.to_string().contains(&missing.to_string()));
}
