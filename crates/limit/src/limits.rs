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
