use super::*;

#[tokio::test]
async fn an_instant_is_never_reached_early() {
    let mut timer = Timer::new().unwrap();
    for us in [0, 1, 200, 1_500, 3_000] {
        let due = Instant::now() + Duration::from_micros(us);
        timer.until(due).await.unwrap();
        assert!(Instant::now() >= due);
    }
}

#[tokio::test]
async fn a_wait_that_was_given_up_does_not_end_the_next() {
    let mut timer = Timer::new().unwrap();
    let soon = Instant::now() + Duration::from_millis(2);
    let later = soon + Duration::from_millis(5);
    tokio::select! {
        biased;
        waited = timer.until(soon) => panic!("before anything else: {waited:?}"),
        () = std::future::ready(()) => {}
    }
    timer.until(later).await.unwrap();
    assert!(Instant::now() >= later);
    // The same instant again: armed once.
    let due = Instant::now() + Duration::from_millis(3);
    tokio::select! {
        biased;
        waited = timer.until(due) => panic!("before anything else: {waited:?}"),
        () = std::future::ready(()) => {}
    }
    timer.until(due).await.unwrap();
    assert!(Instant::now() >= due);
}
