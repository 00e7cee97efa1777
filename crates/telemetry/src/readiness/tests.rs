use super::*;

#[test]
fn a_process_is_ready_when_every_latch_is_released() {
    let readiness = Readiness::new();
    assert!(readiness.is_ready());
    let (registry, counters) = (readiness.latch("registry"), readiness.latch("counters"));
    assert_eq!(readiness.waiting_for(), ["counters", "registry"]);
    registry.release();
    assert_eq!(readiness.waiting_for(), ["counters"]);
    drop(counters);
    assert!(readiness.is_ready());
}

#[test]
fn two_latches_of_one_cause_are_both_waited_for() {
    let readiness = Readiness::new();
    let (first, second) = (readiness.latch("shard"), readiness.latch("shard"));
    drop(first);
    assert!(!readiness.is_ready());
    drop(second);
    assert!(readiness.is_ready());
}

#[test]
fn draining_takes_readiness_away_again() {
    let readiness = Readiness::new();
    readiness.latch("registry").release();
    let draining = readiness.latch("draining");
    assert_eq!(readiness.waiting_for(), ["draining"]);
    drop(draining);
}
