use super::*;

#[test]
fn a_snapshot_from_a_file_keeps_the_age_it_had() {
    let view = Arc::new(View::empty());
    let age = Duration::from_secs(3_000);
    let snapshot = Snapshot::new(Arc::clone(&view), age);
    assert!(snapshot.age() >= age && snapshot.age() < age + Duration::from_secs(60));
    assert_eq!(Snapshot::new(view, Duration::MAX).age(), Duration::MAX);
}
