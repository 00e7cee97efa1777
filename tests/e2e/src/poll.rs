//! Waiting for something that another program does: look, and look again, up to a deadline.

use std::time::Duration;

use tokio::time::Instant;

use crate::failure::{Failure, Result};
use crate::limits::LOOK_EVERY;

/// Looks until `look` finds something, at most for `time_max`. `what` is for the failure.
pub async fn until<T>(
    what: &str,
    time_max: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + time_max;
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let last = match look().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(failure) => Some(failure),
        };
        if Instant::now() >= deadline {
            let why = last
                .map(|failure| format!(" (last: {failure})"))
                .unwrap_or_default();
            return Err(Failure::new(format!(
                "waited {time_max:?} in vain for {what}{why}"
            )));
        }
    }
}
