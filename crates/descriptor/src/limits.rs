//! The named maximum of everything in this crate.

/// The longest file of descriptors.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// The most files of one configuration.
pub const FILES_MAX: usize = 1_000;

/// The deepest nesting of lists and mappings; the outermost counts one.
pub const DEPTH_MAX: usize = 64;

/// The most values of one file, lists and mappings and what aliases repeat included. It bounds the
/// memory that a small text can ask for.
pub const VALUES_MAX: usize = 500_000;

/// The most problems that are told at a time; the rest is counted.
pub const PROBLEMS_MAX: usize = 100;

/// How much of a name or a value a problem shows, in characters.
pub const SHOWN_CHARS_MAX: usize = 64;

/// The longest domain, key or value of a request, in bytes.
pub const TEXT_BYTES_MAX: usize = 16 << 10;

/// The most entries of one descriptor of a request.
pub const ENTRIES_MAX: usize = 64;

/// The most descriptors of a request.
pub const DESCRIPTORS_MAX: usize = 256;

/// The most descriptors of a request that limits apply to: the items of one decision.
pub const LIMITED_MAX: usize = quotum_limit::limits::ITEMS_MAX;
