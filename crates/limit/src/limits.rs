//! The named maximum of everything in this crate.

/// The longest counter key, in bytes. A longer identity is hashed by whoever encodes it.
pub const KEY_BYTES_MAX: usize = 128;

/// The largest `max` of a limit and the most units of one item: integers that every JSON
/// implementation keeps exact.
pub const UNITS_MAX: u64 = 1 << 53;

/// The shortest and the longest duration of a window that is no calendar window, in milliseconds.
pub const WINDOW_MS_MIN: u64 = 1_000;
/// See [`WINDOW_MS_MIN`]: 366 days.
pub const WINDOW_MS_MAX: u64 = 366 * 86_400_000;

/// The most items of one acquire. [`crate::Refusal::ItemCount`] names this number.
pub const ITEMS_MAX: usize = 16;

/// How many seqs above its watermark a client epoch may use: the most undelivered outcomes of one
/// client. A seq further ahead is [`crate::Bound::Requests`].
pub const SLOTS_MAX: u64 = 65_536;

/// How long a resolved request id is remembered, in milliseconds of log time, unless the client
/// acknowledges it before. A client retries under one id for less than this.
pub const DEDUP_TTL_MS: u64 = 30_000;

/// How long reserved units are held without being confirmed, in milliseconds of log time: longer
/// than a leader change, and shorter than a client asks for others.
pub const HOLD_MS: u64 = 1_000;
const _: () = assert!(HOLD_MS + MARK_MS < DEDUP_TTL_MS);

/// An epoch that sends nothing for this long is forgotten: its client opens another.
pub const EPOCH_IDLE_MS_MAX: u64 = 600_000;

/// How far a restore moves the next client epoch: beyond all that the cluster of before can have
/// opened after its backup.
pub(crate) const RESTORE_EPOCHS: u64 = 1 << 32;

/// How far the log clock of a cluster may have been ahead when its backup is restored.
pub(crate) const RESTORE_MARGIN_MS: u64 = 2_000;

/// The most client epochs at a time.
pub const EPOCHS_MAX: usize = 65_536;

/// The most of them that one caller has open: no caller takes the room of all others.
pub const EPOCHS_PER_CALLER_MAX: usize = 2_048;

/// The most items that are remembered with request ids: about 250 bytes each. At the bound new
/// requests are [`crate::Bound::Ids`].
pub const ITEMS_HELD_MAX: usize = 1 << 20;

/// The most of them of one caller's epochs.
pub const ITEMS_HELD_PER_CALLER_MAX: usize = 1 << 18;

/// How long after a seq was first seen it is marked: see `state::client`.
pub(crate) const MARK_MS: u64 = 1_000;

/// Into how many parts the counters are divided, each shared with a snapshot until it is touched.
pub const PARTS: usize = 4_096;

/// Counters visited by the sweep for each command applied, and for each entry beside that: more
/// than twice what a command can add, so that counters that are over never pile up.
pub(crate) const SWEEP_PER_COMMAND: usize = 40;
/// See [`SWEEP_PER_COMMAND`].
pub(crate) const SWEEP_PER_ENTRY: usize = 64;

/// The memory of a fixed counter, in bytes, beside its key, which takes at most an eighth more than
/// its length.
pub const COUNTER_BYTES_MAX: usize = 64;

/// What the tables of a shard's counters take beside that: its parts, and the slots of tenants.
pub const COUNTERS_BASE_BYTES_MAX: usize = 4 << 20;

/// The same of a sliding counter, with units in each of its buckets.
pub const SLIDING_COUNTER_BYTES_MAX: usize = COUNTER_BYTES_MAX + 1_200;

/// A leader slews log time towards the reference clock by at most 1 part in this.
pub const SLEW_DIVISOR: u64 = 500;

/// What a new leader leaves unclaimed of the gap that the reference clock proves.
pub const STEP_MARGIN_MS: u64 = 1_000;

/// The most commands of one log entry.
pub const BATCH_COMMANDS_MAX: usize = 8_192;

/// No epoch is opened from here on.
pub const EPOCH_MAX: u64 = 1 << 62;

/// The latest log time, in milliseconds since the Unix epoch: far from where windows would overflow.
pub const LOG_TIME_MS_MAX: u64 = 1 << 53;
