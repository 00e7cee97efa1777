//! The named maximum of everything in this crate.

use std::time::Duration;

/// The most distinct values of one open label (`server`, `tool`, `counter`, `grant`, `domain`,
/// keys). Later ones are `other`.
pub const LABEL_VALUES_MAX: usize = 1_000;

/// The longest label value; a longer one is `other`.
pub const LABEL_BYTES_MAX: usize = 128;

/// The most label sets of one counter with open labels. Later ones have `other` for every open
/// label, which adds at most one label set for each combination of the closed labels.
pub const COUNTER_SERIES_MAX: usize = 10_000;

/// The same for a histogram, each of whose label sets is some twenty series.
pub const HISTOGRAM_SERIES_MAX: usize = 1_000;

/// The most shards that a node shows.
pub const SHARDS_MAX: u32 = 64;

/// Decision records that wait for the writer. One that finds no room is dropped and counted.
pub const RECORD_QUEUE_MAX: usize = 65_536;

/// The longest text of one field of a record, in bytes before escaping.
pub const RECORD_TEXT_BYTES_MAX: usize = 256;

/// The most argument names of one record; the others are a number.
pub const RECORD_ARGUMENTS_MAX: usize = 64;

/// Connections to the admin endpoint at one time. More wait to be accepted.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;

/// The longest that a connection to the admin endpoint lives, and so the longest that a client may
/// take to read its answer.
pub const ADMIN_CONNECTION_DURATION_MAX: Duration = Duration::from_secs(60);

/// The longest wait for the head of a request, the time between two requests included.
pub const ADMIN_HEADER_DURATION_MAX: Duration = Duration::from_secs(10);

/// The most bytes of a request's head.
pub const ADMIN_HEADER_BYTES_MAX: usize = 16 << 10;

/// The longest that shutdown waits for answers on their way.
pub const ADMIN_DRAIN_DURATION_MAX: Duration = Duration::from_secs(2);

/// How often waiting samples are gathered into histograms. Between two rounds each sample takes 16
/// bytes.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The most causes for which readiness waits at one time.
pub const LATCHES_MAX: usize = 64;
