//! The named maximum of everything in this crate.

use std::time::Duration;

use quotum_limit::limits::{BATCH_COMMANDS_MAX, SLOTS_MAX};

/// The most requests in flight.
pub(crate) const IN_FLIGHT_MAX: u32 = 8_192;

/// The most connections: below what a process may have open by default.
pub(crate) const CONNECTIONS_MAX: usize = 768;

/// The most commands of one message.
pub(crate) const BATCH_MAX: u32 = 8_192;
const _: () = assert!(BATCH_MAX as usize <= BATCH_COMMANDS_MAX);

/// The most messages that one stream has in flight: as many as a node decides at a time.
pub(crate) const STREAM_MESSAGES_MAX: usize = 64;

/// The most ids of one epoch that are on their way: half of what a node keeps, because answers
/// overtake each other.
pub(crate) const STREAM_IDS_MAX: usize = 32_768;

/// From the first id without an outcome to the last that was drawn.
pub(crate) const IDS_SPAN_MAX: u64 = SLOTS_MAX;
const _: () = assert!(STREAM_IDS_MAX as u64 <= IDS_SPAN_MAX);
const _: () = assert!(BATCH_MAX as usize <= STREAM_IDS_MAX);

/// Unary requests in flight from which another connection is used, and the most connections.
pub(crate) const UNARY_PER_CONNECTION: usize = 128;
/// See [`UNARY_PER_CONNECTION`].
pub(crate) const UNARY_CONNECTIONS_MAX: usize = 8;

/// The most keys: their numbers have eight hexadecimal digits.
pub(crate) const KEYS_MAX: u32 = 100_000_000;

/// The most addresses, and the most processes that are watched.
pub(crate) const ADDRESSES_MAX: usize = 16;
/// See [`ADDRESSES_MAX`].
pub(crate) const PIDS_MAX: usize = 64;

/// The highest rate, in decisions a second.
pub(crate) const RATE_MAX: f64 = 100_000_000.0;

/// The longest run, and the longest warm-up.
pub(crate) const RUN_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How long connecting may take, and a question before the load starts.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// See [`CONNECT_TIMEOUT`].
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a leader may be unknown before the load starts, and how often it is asked for.
pub(crate) const ELECTION_MAX: Duration = Duration::from_secs(10);
/// See [`ELECTION_MAX`].
pub(crate) const ELECTION_INTERVAL: Duration = Duration::from_millis(100);

/// How long answers are waited for after the last request.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(10);

/// The highest latency that is told apart; anything above counts as this.
pub(crate) const LATENCY_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The largest body of an HTTP answer.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;

/// The longest line of a server that speaks Redis' protocol, and the most numbers of an answer.
pub(crate) const REPLY_BYTES_MAX: usize = 64 << 10;
/// See [`REPLY_BYTES_MAX`].
pub(crate) const REPLY_ELEMENTS_MAX: i64 = 16;

/// The longest text of a complaint, in characters.
pub(crate) const COMPLAINT_CHARS_MAX: usize = 300;

/// The windows of HTTP/2, as the services set them.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// See [`STREAM_WINDOW_BYTES`].
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
