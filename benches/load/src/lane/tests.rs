use super::*;
use crate::pace::Schedule;

const MS: Duration = Duration::from_millis(1);

/// A run of 10 ms of warm-up and 100 ms of measurement.
fn phases() -> Phases {
    Phases::new(Instant::now(), 10 * MS, 100 * MS)
}

fn open(phases: Phases, requests_per_s: f64, in_flight: usize) -> Lane {
    let schedule = Schedule::new(phases.start, requests_per_s, 0, 1);
    Lane::new(phases, Pace::Open(schedule), in_flight, 1)
}

fn admitted(count: u64) -> Counted {
    Counted {
        admitted: count,
        ..Counted::default()
    }
}

fn send(lane: &mut Lane, now: Instant) -> Order {
    match lane.next(now) {
        Next::Send(order) => order,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_closed_lane_sends_as_many_as_may_be_in_flight_and_then_one_for_each_answer() {
    let phases = phases();
    let mut lane = Lane::new(phases, Pace::Closed, 2, 1);
    let now = phases.measured_from;
    assert_eq!(send(&mut lane, now).ordinal, 0);
    assert_eq!(send(&mut lane, now).ordinal, 1);
    assert_eq!(lane.next(now), Next::Full);
    lane.answer(1, now + MS, admitted(1));
    assert_eq!(send(&mut lane, now + MS).ordinal, 2);
    assert_eq!(lane.next(now + MS), Next::Full);
    assert_eq!(lane.next(phases.end), Next::Over);
}

#[test]
fn ids_are_drawn_in_order_and_acknowledged_without_gaps() {
    let phases = phases();
    let mut lane = Lane::new(phases, Pace::Closed, 4, 3);
    let now = phases.start;
    let orders: Vec<_> = (0..3).map(|_| send(&mut lane, now)).collect();
    let firsts: Vec<_> = orders.iter().map(|order| order.first_seq).collect();
    assert_eq!(firsts, [1, 4, 7]);
    lane.answer(1, now, admitted(3));
    assert_eq!(send(&mut lane, now).acked_seq, 0);
    lane.answer(0, now, admitted(3));
    let order = send(&mut lane, now);
    assert_eq!((order.first_seq, order.acked_seq), (13, 6));
}

#[test]
fn a_lane_never_draws_more_ids_than_a_node_keeps() {
    let phases = phases();
    let batch = IDS_SPAN_MAX / 4;
    let mut lane = Lane::new(phases, Pace::Closed, 100, batch);
    let now = phases.start;
    for ordinal in 0..4 {
        assert_eq!(send(&mut lane, now).ordinal, ordinal);
    }
    assert_eq!(lane.next(now), Next::Full);
    // The first is still open: what comes after it stays in the span.
    lane.answer(3, now, admitted(batch));
    assert_eq!(lane.next(now), Next::Full);
    lane.answer(0, now, admitted(batch));
    assert_eq!(send(&mut lane, now).acked_seq, batch);
}

#[test]
fn an_open_lane_waits_until_a_request_is_due() {
    let phases = phases();
    let mut lane = open(phases, 1_000.0, 10);
    assert_eq!(send(&mut lane, phases.start).ordinal, 0);
    assert_eq!(lane.next(phases.start), Next::Wait(phases.start + MS));
    assert_eq!(send(&mut lane, phases.start + MS).ordinal, 1);
}

#[test]
fn a_request_that_had_to_wait_for_room_took_as_long_as_since_it_was_due() {
    let phases = phases();
    let mut lane = open(phases, 1_000.0, 1);
    let mut now = phases.start;
    for ordinal in 0..10 {
        send(&mut lane, now);
        lane.answer(ordinal, now, admitted(1));
        now += MS;
    }
    // The first measured request stalls for 50 ms: those behind it were due meanwhile.
    send(&mut lane, now);
    assert_eq!(lane.next(now + 49 * MS), Next::Full);
    now += 50 * MS;
    lane.answer(10, now, admitted(1));
    for ordinal in 11..=60 {
        send(&mut lane, now);
        lane.answer(ordinal, now, admitted(1));
    }
    let tally = lane.close();
    assert_eq!(tally.admitted, 51);
    let median = tally.quantile_us(0.5).unwrap();
    assert!((24_000.0..27_000.0).contains(&median), "{median}");
}

#[test]
fn the_warm_up_is_not_measured_but_its_errors_count() {
    let phases = phases();
    let mut lane = Lane::new(phases, Pace::Closed, 2, 1);
    send(&mut lane, phases.start);
    send(&mut lane, phases.start);
    // Sent in the warm-up, answered after it.
    lane.answer(0, phases.measured_from + MS, admitted(1));
    lane.answer(1, phases.start, Counted::error(1, "bad"));
    send(&mut lane, phases.measured_from);
    // Sent in time, answered after the end.
    lane.answer(2, phases.end + MS, admitted(1));
    assert!(lane.is_idle());
    let tally = lane.close();
    assert_eq!((tally.admitted, tally.errors), (1, 1));
    assert_eq!(tally.complaint.as_deref(), Some("bad"));
    assert!(tally.quantile_us(0.0) >= Some(100_000.0));
}

#[test]
fn an_unanswered_request_is_an_error_for_each_of_its_commands() {
    let phases = phases();
    let mut lane = Lane::new(phases, Pace::Closed, 2, 5);
    send(&mut lane, phases.start);
    send(&mut lane, phases.start);
    lane.answer(1, phases.start, admitted(5));
    assert_eq!(lane.close().errors, 5);
}

#[test]
fn an_answer_to_nothing_is_an_error() {
    let phases = phases();
    let mut lane = Lane::new(phases, Pace::Closed, 1, 1);
    send(&mut lane, phases.measured_from);
    lane.answer(0, phases.measured_from, admitted(1));
    lane.answer(0, phases.measured_from, admitted(1));
    lane.answer(9, phases.measured_from, admitted(1));
    let tally = lane.close();
    assert_eq!((tally.admitted, tally.errors), (1, 2));
}

#[test]
fn what_was_due_and_not_sent_shows_in_the_latencies() {
    let phases = phases();
    // 11 requests are due, one of them in the warm-up; nothing is ever answered after the second.
    let mut lane = open(phases, 100.0, 1);
    send(&mut lane, phases.start);
    lane.answer(0, phases.start, admitted(1));
    send(&mut lane, phases.start + 10 * MS);
    assert_eq!(lane.next(phases.start + 20 * MS), Next::Full);
    lane.answer(1, phases.end, admitted(1));
    assert_eq!(lane.next(phases.end), Next::Over);
    let tally = lane.close();
    assert_eq!((tally.admitted, tally.unsent, tally.errors), (1, 9, 0));
    // 10, 20, ... 90 ms, and the one that took 100 ms.
    assert!(tally.max_us() >= Some(99_900.0));
    let median = tally.quantile_us(0.5).unwrap();
    assert!((49_000.0..51_000.0).contains(&median), "{median}");
}

#[test]
fn a_lane_that_breaks_off_has_an_error_even_when_nothing_was_open() {
    let lane = Lane::new(phases(), Pace::Closed, 1, 1);
    let tally = lane.break_off("the stream ended".to_owned());
    assert_eq!(tally.errors, 1);
    assert_eq!(tally.complaint.as_deref(), Some("the stream ended"));
}
