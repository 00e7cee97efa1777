//! What a caller learns about a request for units.

use std::time::Duration;

use quotum_limit::{Bound, ItemStates, Refusal};

/// Where in the replicated log a request was decided: the order witness of the history checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub shard: u32,
    pub term: u64,
    pub index: u64,
}

/// What answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// The replicated log.
    Exact,
    /// A final denial that this client remembers.
    DenyCache,
}

/// The answer to an acquire. Item states are in the order of the request. Where items live in
/// several shards, `position` is that of the last shard asked, and an item of a shard that was not
/// asked any more shows its whole `max` as remaining.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// All units were taken. The admission must be used before `valid_for` has passed since the
    /// request was sent, as the ticket's `is_valid` tells.
    Admitted {
        items: ItemStates,
        position: Position,
    },
    Denied {
        /// Index of the item that binds.
        binding: usize,
        /// `None`: asking again never helps, the units are more than `max`.
        retry_after: Option<Duration>,
        items: ItemStates,
        path: Path,
        /// `None` where the log was not asked.
        position: Option<Position>,
    },
    /// A bound of the counter service is reached: always a denial.
    Exhausted(Bound),
    /// The request contradicts itself: a bug of the caller.
    Invalid(Invalid),
    /// No answer within the deadline, or no counter node at all. Units that were taken
    /// nevertheless are given back.
    Unavailable,
}

/// Why a request is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The service could not read the request; its own words.
    #[error("the request is malformed: {0}")]
    Malformed(String),
}

/// The answer to a peek that has none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("no counter node answered within the deadline")]
    Unavailable,
}
