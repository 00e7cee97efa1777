use super::*;

#[test]
fn each_grant_has_its_own_bound_and_ended_requests_make_room() {
    let all = OpenRequests::new(2);
    let (one, two) = (
        GrantId::new("one").expect("an id"),
        GrantId::new("two").expect("an id"),
    );
    let first = all.open(&one).expect("room");
    let second = all.open(&one).expect("room");
    assert_eq!(all.open(&one).map(drop), Err(Refusal::TooManyOpen));
    assert!(all.open(&two).is_ok());
    drop(first);
    assert!(all.open(&one).is_ok());
    drop(second);
    assert!(all.counts.lock().expect("no panic").is_empty());
}
