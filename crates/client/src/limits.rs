//! The named maximum of everything in this crate.

use std::time::Duration;

use quotum_limit::limits::{BATCH_COMMANDS_MAX, DEDUP_TTL_MS, HOLD_MS, SLOTS_MAX};

/// The most counter nodes in a configuration.
pub const NODES_MAX: usize = 15;

/// The longest node address, in bytes: a DNS name, a colon and a port.
pub const ADDRESS_BYTES_MAX: usize = 259;

/// The most shards that a cluster may claim to have.
pub const SHARDS_MAX: usize = 1_024;

/// How long a decision may take, unless configured otherwise: longer than a leader change.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// How much sooner than the service forgets an id its last attempt must have been sent: covers an
/// attempt on its way, and log time that runs ahead.
pub const DEADLINE_MARGIN: Duration = Duration::from_secs(5);

/// The longest deadline that can be configured.
pub const DEADLINE_MAX: Duration =
    Duration::from_millis(DEDUP_TTL_MS - DEADLINE_MARGIN.as_millis() as u64);

const _: () = assert!(
    DEADLINE.as_millis() + DEADLINE_MARGIN.as_millis() <= DEDUP_TTL_MS as u128,
    "a request must not be retried after the service has forgotten its id"
);

/// How long one attempt may take before the stream is given up and another node is tried.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long connecting and opening a stream may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);

/// How often a connection is probed, and how long an answer may take.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// See [`KEEPALIVE_INTERVAL`].
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The most requests of one shard that wait, unless configured otherwise.
pub const QUEUE_MAX: usize = 16_384;

/// The most commands of one message.
pub const MESSAGE_COMMANDS_MAX: usize = 256;
const _: () = assert!(MESSAGE_COMMANDS_MAX <= BATCH_COMMANDS_MAX);

/// The most items of one message, over all its commands: keeps it well below what a server reads.
pub const MESSAGE_ITEMS_MAX: usize = 1_024;
const _: () = assert!(quotum_limit::limits::ITEMS_MAX <= MESSAGE_ITEMS_MAX);

/// The most messages on a stream that are not answered yet.
pub const MESSAGES_IN_FLIGHT_MAX: usize = 16;

/// The largest answer to a message that is read: 256 outcomes of 16 items each, with room.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The most seqs above the acknowledged one that are in use.
pub const SEQS_OPEN_MAX: usize = SLOTS_MAX as usize;

/// From this many open seqs on, tickets that stand in the way are no longer waited for.
pub const SEQS_OPEN_PRESSED: usize = SEQS_OPEN_MAX / 4 * 3;

/// How long a ticket can be refunded. Later its units stay charged.
pub const HOLD_US_MAX: u64 = 10_000_000;

/// The most refunds of one shard that are not acknowledged.
pub const REFUNDS_MAX: usize = 65_536;

/// How long a refund is repeated: the service has forgotten the id by then.
pub const REFUND_TTL: Duration = Duration::from_millis(DEDUP_TTL_MS);

/// The most reports of tickets that wait to be read.
pub const REPORTS_MAX: usize = 131_072;

/// How often a request is asked anew under another id.
pub const REASKS_MAX: u8 = 2;

/// The most counters whose denial is remembered, for each shard.
pub const DENIALS_MAX: usize = 8_192;

/// How long a denial is remembered.
pub const DENIAL_US_MAX: u64 = 1_000_000;

/// How long a request waits while units that others have reserved stand in its way, before it is
/// asked again.
pub const CONTENDED_PAUSE: Duration = Duration::from_millis(10);

/// How long before its deadline such a request is denied: time for the answer to arrive.
pub const CONTENDED_MARGIN: Duration = Duration::from_millis(50);
const _: () = assert!(
    HOLD_MS < DEADLINE.as_millis() as u64,
    "holds end within a request's time"
);

/// How long a request that has reserved units in one shard waits for those of the others: what
/// is left of the hold is for confirming them.
pub const RESERVE_WAIT: Duration = Duration::from_millis(HOLD_MS / 10 * 6);

/// The shortest and the longest pause after a failure; a random part of it is left out.
pub const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// See [`BACKOFF_MIN`].
pub const BACKOFF_MAX: Duration = Duration::from_millis(200);

/// The longest pause while a leader is elected, and after how many of these in a row they grow like
/// those after a failure: about a second.
pub const ELECTION_PAUSE: Duration = Duration::from_millis(20);
/// See [`ELECTION_PAUSE`].
pub const ELECTION_PAUSES: u32 = 64;

/// How long a node that failed is not chosen while others are left.
pub const AVOID: Duration = Duration::from_secs(1);

/// The most failed nodes remembered: those configured and as many leaders beside them.
pub const FAILED_NODES_MAX: usize = 2 * NODES_MAX;

/// Refusals in a row after which another node is tried.
pub const REFUSALS_MAX: u32 = 3;

/// How long a client stays with a node before it follows a hint to another.
pub const STAY: Duration = Duration::from_millis(100);

/// The longest explanation that is kept from the service, in characters.
pub const MESSAGE_CHARS_MAX: usize = 256;

/// How long [`crate::Client::shutdown`] waits for refunds to be acknowledged.
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// The longest encoded registry that is read.
pub const REGISTRY_BYTES_MAX: usize = 64 << 20;

/// How long a registry stream may be silent, or behind, before another node is tried.
pub const REGISTRY_SILENCE_MAX: Duration = Duration::from_secs(15);

/// Revisions that wait to be reported on a registry stream.
pub const REGISTRY_REPORTS_MAX: usize = 8;
