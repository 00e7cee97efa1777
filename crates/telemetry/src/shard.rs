//! Shards as a label: `0` to `n-1`, `registry`, and `other` past a bound.

use std::fmt;

use crate::limits::SHARDS_MAX;

/// Which Raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shard {
    Counters(u32),
    Registry,
    Other,
}

// === impl Shard ===

impl Shard {
    /// The same, or `Other` for a number that no node has.
    pub(crate) fn bounded(self) -> Self {
        match self {
            Self::Counters(number) if number >= SHARDS_MAX => Self::Other,
            shard => shard,
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Counters(number) => number,
            Self::Registry => SHARDS_MAX,
            Self::Other => SHARDS_MAX + 1,
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counters(number) => write!(f, "{number}"),
            Self::Registry => f.write_str("registry"),
            Self::Other => f.write_str("other"),
        }
    }
}
