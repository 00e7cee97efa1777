//! The named maximum of everything in this crate, and the timings of the consensus.

use std::time::Duration;

/// The size of a log segment: zero-filled when it is made, and recycled.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// The smallest segment that can be configured: room for the largest record twice.
pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;

/// The largest record of the log: an entry with a full batch.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// How many bytes of log a shard writes before it takes a snapshot.
pub const SNAPSHOT_LOG_BYTES: u64 = 64 << 20;

/// How many entries stay in the log after a snapshot, for followers that are a little behind.
pub const LOG_KEEP_ENTRIES: u64 = 1_000;

/// The most bytes of these: what is kept is in memory, too.
pub const LOG_KEEP_BYTES: u64 = 16 << 20;

/// Empty segments kept for reuse: as many as come free together, so that they are not filled again.
pub const SPARE_SEGMENTS_MAX: usize = 4;

/// Operations that wait for the log's writer.
pub const WRITER_QUEUE_MAX: usize = 65_536;

/// The most bytes that the writer puts into one write.
pub const WRITE_BYTES_MAX: usize = 8 << 20;

/// How many entries a node that joins may be behind its leader, on its disk and applied, when it
/// gets its vote.
pub const JOINING_LAG_MAX: u64 = 500;

/// How long one change of a group's members may take.
pub const CHANGE_DEADLINE: Duration = Duration::from_secs(8);

/// The same, at another node: it tells first.
pub const CHANGE_ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// How long a node that adds another waits for its votes before it tells how far it is.
pub const ADD_WAIT: Duration = Duration::from_secs(1);

/// The most shards of a cluster.
pub const SHARDS_MAX: u32 = 64;

/// Messages that wait for a shard's proposer; beyond it callers are told to back off.
pub const PROPOSE_QUEUE_MAX: usize = 16_384;

/// The most decisions in these messages: as many as a client has in flight, and others beside it.
pub const PROPOSE_COMMANDS_MAX: usize = 65_536;

/// The most bytes in them, estimated: they are in memory, for each shard.
pub const PROPOSE_BYTES_MAX: usize = 32 << 20;
const _: () = assert!(
    PROPOSE_COMMANDS_MAX >= quotum_limit::limits::BATCH_COMMANDS_MAX
        && PROPOSE_BYTES_MAX >= ENTRY_BYTES_MAX
);

/// The most bytes of commands in one entry, estimated.
pub const ENTRY_BYTES_MAX: usize = 4 << 20;

/// The largest message between peers: an append with several entries.
pub const PEER_MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The bytes of entries in one append request.
pub const APPEND_BYTES_MAX: usize = 8 << 20;

/// The chunk of a snapshot on the wire.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;

/// The slowest connection on which a snapshot reaches a follower.
pub const SNAPSHOT_BYTES_PER_S_MIN: u64 = 1 << 20;

/// The largest snapshot that is accepted from a peer.
pub const SNAPSHOT_BYTES_MAX: u64 = 8 << 30;

/// How far log time may have gone on since the last entry that a leader applied, for it to refuse
/// commands by its own state instead of proposing them.
pub const REFUSE_FRESH_MS: u64 = 100;

/// How long a proposal may take until its caller is told that its fate is unknown.
pub const PROPOSE_DEADLINE: Duration = Duration::from_secs(5);

/// How often the clock of each peer is asked for.
pub const CLOCK_INTERVAL: Duration = Duration::from_millis(250);

/// A peer's clock counts while its last answer is not older than this.
pub const CLOCK_FRESH: Duration = Duration::from_millis(1_000);

/// A majority of the clocks must agree within this for the reference clock to count.
pub const CLOCK_AGREEMENT_MS: u64 = 500;

/// How far a leader's monotonic clock may move log time until the leader hands over.
pub const CLOCK_MOVED_MS: u64 = 250;

/// For how long the clocks of a leader must be off until it hands over.
pub const CLOCK_OFF_US: u64 = 1_000_000;

/// How long a leader whose clocks are off waits until it tries to hand over again.
pub const HAND_OVER_PAUSE: Duration = Duration::from_secs(10);

/// How long a leader may be silent, or unheard by a majority, until a group counts as without one.
pub const CONTACT_MAX: Duration = Duration::from_millis(1_000);

/// How long a connection to a peer may take.
pub const CONNECT_DEADLINE: Duration = Duration::from_millis(500);

/// How long a node that is asked for its name may take.
pub const HELLO_DEADLINE: Duration = Duration::from_millis(500);

/// The oldest protocol between peers that this build understands.
pub const PEER_PROTOCOL_MIN: u32 = 1;

/// The newest one: see `node/level.rs` for which of them is spoken.
pub const PEER_PROTOCOL: u32 = if cfg!(quotum_next) { 2 } else { 1 };

/// The highest feature level that this build knows: see `node/level.rs`.
pub const FEATURE_LEVEL: u32 = if cfg!(quotum_next) { 3 } else { 2 };

/// How long the first message of a replication stream may take, with all its entries.
pub const STREAM_OPEN_DEADLINE: Duration = Duration::from_secs(2);

/// How long a follower may hear later of what is committed, so that it hears it with the next entry.
pub const COMMIT_HOLD_MAX: Duration = Duration::from_millis(2);

/// Segments in use before groups give up the entries that they keep for followers a little behind:
/// a group at rest must not hold the log of the others.
pub const KEPT_SEGMENTS_MAX: u64 = 4;
