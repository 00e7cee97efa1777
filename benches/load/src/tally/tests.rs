use super::*;

fn close(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() <= expected / 1_000.0 + 0.1)
}

#[test]
fn percentiles_are_those_of_the_sorted_latencies() {
    let mut tally = Tally::new();
    for us in 1..=10_000 {
        tally.took(Duration::from_micros(us));
    }
    assert!(close(tally.quantile_us(0.5), 5_000.0), "{tally:?}");
    assert!(close(tally.quantile_us(0.99), 9_900.0));
    assert!(close(tally.quantile_us(0.999), 9_990.0));
    assert!(close(tally.max_us(), 10_000.0));
}

#[test]
fn short_latencies_are_told_apart() {
    let mut tally = Tally::new();
    tally.took(Duration::from_nanos(1_200));
    assert_eq!(tally.quantile_us(0.5), Some(1.2));
}

#[test]
fn a_latency_beyond_all_bounds_counts_as_the_highest() {
    let mut tally = Tally::new();
    tally.took(Duration::from_secs(1_000_000));
    assert!(tally.max_us() >= Some(LATENCY_MAX.as_micros() as f64));
}

#[test]
fn without_requests_there_are_no_percentiles() {
    let tally = Tally::new();
    assert_eq!((tally.quantile_us(0.5), tally.max_us()), (None, None));
}

#[test]
fn tallies_add_up_and_keep_the_first_complaint() {
    let mut one = Tally::new();
    one.decided(3, 1);
    one.took(Duration::from_micros(10));
    let mut two = Tally::new();
    two.decided(2, 0);
    two.failed(4, Some("first".to_owned()));
    two.failed(1, Some("second".to_owned()));
    two.unsent = 7;
    two.took(Duration::from_micros(1_000));
    one.add(two);
    assert_eq!((one.admitted, one.denied, one.decisions()), (5, 1, 6));
    assert_eq!((one.errors, one.unsent), (5, 7));
    assert_eq!(one.complaint.as_deref(), Some("first"));
    assert!(close(one.quantile_us(0.5), 10.0));
    assert!(close(one.max_us(), 1_000.0));
}
