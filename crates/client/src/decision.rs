//! What a caller learns about a request for units, and where its counters live.

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

/// Names the shard of an item: equal routes share a shard, so their items are one atomic decision.
/// The hash of a grant's id, of a server's name, of an Envoy domain, or [`Route::GLOBAL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route(pub u64);

// === impl Route ===

impl Route {
    /// The slot of limits that the whole cluster shares.
    pub const GLOBAL: Self = Self(0);

    /// The route of a name: FNV-1a, which is fixed for ever, since it decides where counters live.
    pub fn of(name: &[u8]) -> Self {
        let hash = name.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(hash)
    }

    /// The shard of this route among `shards`, of which there must be at least one. Mixed first,
    /// because the low bits of a route may be alike; fixed for ever, as [`Route::of`] is.
    pub fn shard(self, shards: u32) -> u32 {
        let shard = mix(self.0) % u64::from(shards);
        u32::try_from(shard).expect("less than a u32")
    }
}

/// The finalizer of splitmix64: each input bit changes each output bit half of the time.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
