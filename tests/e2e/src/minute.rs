//! The minute of the log clock, which cuts the windows: read from the `RateLimit` header of a
//! governed call, never from the wall clock here.

use std::time::Duration;

use serde_json::json;

use crate::failure::{Failure, Result};
use crate::mcp::Session;
use crate::poll;

#[cfg(test)]
mod tests;

/// A window of a minute, and what its end may be late by.
const MINUTE_MAX: Duration = Duration::from_secs(75);

/// What `RateLimit` says of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitState {
    pub remaining: u64,
    /// Seconds until the window ends.
    pub reset_s: u64,
}

/// A tool with a limit by the minute, called with a grant that the scenario does not count.
#[derive(Debug, Clone)]
pub struct MinuteHand {
    pub session: Session,
    pub tool: &'static str,
    pub counter: &'static str,
    pub arguments: serde_json::Value,
}

/// A moment in a minute of the log clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecondsLeft(pub u64);

// === impl MinuteHand ===

impl MinuteHand {
    /// The hand of the demo server.
    pub fn of_demo(session: Session) -> Self {
        Self {
            session,
            tool: "send_interactive_flow",
            counter: "send_interactive_flow_rate",
            arguments: json!({}),
        }
    }

    /// Seconds that this minute still has. Costs one call.
    pub async fn left(&self) -> Result<SecondsLeft> {
        let answer = self.session.call(self.tool, self.arguments.clone()).await;
        let header = answer.header("ratelimit");
        let state = limit_state(header, self.counter).ok_or_else(|| {
            let outcome = &answer.outcome;
            Failure::new(format!(
                "RateLimit {header:?} lacks {}: {outcome:?}",
                self.counter
            ))
        })?;
        Ok(SecondsLeft(state.reset_s))
    }

    /// Returns in a minute that has at least `seconds` left: at once if this one has, else when the
    /// next has begun.
    pub async fn with_at_least(&self, seconds: u64) -> Result<SecondsLeft> {
        poll::until(
            "a minute with enough seconds left",
            MINUTE_MAX,
            async || {
                let left = self.left().await?;
                Ok((left.0 >= seconds).then_some(left))
            },
        )
        .await
    }

    /// Whether the minute that had `then` left is still the same, not longer than a minute later.
    pub async fn is_same_minute(&self, then: SecondsLeft) -> Result<bool> {
        Ok(self.left().await? <= then)
    }
}

/// The member of a `RateLimit` header that speaks of `counter`.
pub fn limit_state(header: &str, counter: &str) -> Option<LimitState> {
    let name = format!("\"{counter}\"");
    let member = header.split(',').map(str::trim).find(|member| {
        member
            .strip_prefix(&name)
            .is_some_and(|rest| rest.starts_with(';'))
    })?;
    let parameter = |key: &str| {
        let found = member
            .split(';')
            .find_map(|part| part.trim().strip_prefix(key));
        found.and_then(|value| value.parse().ok())
    };
    Some(LimitState {
        remaining: parameter("r=")?,
        reset_s: parameter("t=")?,
    })
}
