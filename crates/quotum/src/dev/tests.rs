use std::time::Duration;

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_not_done_in_time_is_told() {
    let deadline = Instant::now() + Duration::from_secs(30);
    let done = in_time(deadline, "nothing is there", async { Ok(7) }).await;
    assert_eq!(done, Ok(7));
    let failed = in_time(deadline, "nothing is there", async {
        Err::<u8, _>(Failure::failed("why"))
    });
    assert_eq!(failed.await, Err(Failure::failed("why")));
    let never = std::future::pending::<Result<u8, Failure>>();
    let failure = in_time(deadline, "nothing is there", never).await;
    let text = failure.unwrap_err().to_string();
    assert!(
        text.starts_with("after 30 s nothing is there; see"),
        "{text}"
    );
    assert_eq!(Instant::now(), deadline);
}
