//! What is promised, as numbers: written anew here, so that a constant of the product that is
//! changed by mistake is noticed.

/// Violations of one invariant that are reported; the rest is counted.
pub const SHOWN_MAX: usize = 5;

/// How long a decided id is remembered at least, in milliseconds of log time.
pub const DEDUP_MS: u64 = 30_000;

/// The most units that an item can ask for, and the largest max.
pub const UNITS_MAX: u64 = 1 << 53;

/// An epoch that sends nothing for this long may be forgotten.
pub const EPOCH_IDLE_MS: u64 = 600_000;

/// How long a leader waits for an entry at the most before it stamps the next.
pub const GIVE_UP_US: u64 = 5_000_000;

/// How much faster than real time log time may run beside the drift of clocks: 1 part in 500.
pub const SLEW_PPM: u64 = 2_000;

/// What readings in milliseconds may be off, and the reference clock by the way of a message.
pub const CLOCK_SLACK_US: u64 = 250_000;

/// A sliding window is cut into buckets of this part of it, rounded down.
pub const BUCKETS_OF_WINDOW: u64 = 60;

/// Units of a sliding limit count for its window and so many buckets more, each counted whole.
pub const BUCKETS_MORE: u64 = 2;

/// How long a client may answer from a denial that it remembers.
pub const DENIAL_MS: u64 = 1_000;

/// How far behind the log a leader may be that refuses for want of room by its own state.
pub const REFUSE_FRESH_US: u64 = 100_000;

/// The most items of a command.
pub const ITEMS_MAX: usize = 16;

/// How long units are held that are reserved and not confirmed, in milliseconds of log time.
pub const HOLD_MS: u64 = 1_000;
