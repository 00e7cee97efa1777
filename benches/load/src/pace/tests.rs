use super::*;

fn due_before(schedule: &mut Schedule, end: Instant) -> Vec<Instant> {
    let mut due = Vec::new();
    while schedule.due() < end {
        due.push(schedule.due());
        schedule.advance();
    }
    due
}

#[test]
fn a_second_has_exactly_as_many_requests_as_the_rate_says() {
    let start = Instant::now();
    for rate in [1, 3, 7, 200, 999, 44_100] {
        let mut schedule = Schedule::new(start, f64::from(rate), 0, 1);
        let due = due_before(&mut schedule, start + Duration::from_secs(1));
        assert_eq!(due.len(), usize::try_from(rate).unwrap());
        assert_eq!(due[0], start);
    }
}

#[test]
fn lanes_share_the_schedule_without_gap_or_overlap() {
    let start = Instant::now();
    let end = start + Duration::from_secs(1);
    let whole = due_before(&mut Schedule::new(start, 100.0, 0, 1), end);
    let mut shared: Vec<_> = (0..3)
        .flat_map(|lane| due_before(&mut Schedule::new(start, 100.0, lane, 3), end))
        .collect();
    shared.sort();
    assert_eq!(shared, whole);
}

#[test]
fn a_long_schedule_does_not_drift() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start, 3_000.0, 0, 1);
    schedule.next = 3_000 * 86_400;
    assert_eq!(schedule.due(), start + Duration::from_secs(86_400));
}
