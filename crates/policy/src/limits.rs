//! The named maximum of everything in this crate.

/// The longest policy document, and the longest file of cases.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// The longest arguments of a call that conditions are evaluated on.
pub const ARGUMENTS_BYTES_MAX: usize = 4 << 20;

/// The deepest nesting of arrays and objects; the outermost counts one.
pub const DEPTH_MAX: usize = 64;

/// The most values, arrays and objects included, of a document or of the arguments of one call.
/// It bounds the memory that a small text of many small values can ask for.
pub const VALUES_MAX: usize = 100_000;

/// The most digits of a number's exponent, leading zeros aside: sums of exponents stay exact.
pub const EXPONENT_DIGITS_MAX: usize = 15;

/// The most problems that are reported for one document; the rest is counted.
pub const PROBLEMS_MAX: usize = 100;

/// The longest name of a tool, in characters.
pub const TOOL_NAME_CHARS_MAX: usize = 256;

/// The longest name of a counter, in characters.
pub const COUNTER_CHARS_MAX: usize = 128;

/// The longest text for the agent (`on_deny`, `reason`), in characters.
pub const TEXT_CHARS_MAX: usize = 4_096;

/// The longest path of a condition, in characters.
pub const PATH_CHARS_MAX: usize = 512;

/// The most groups of one `require` or `deny_if`.
pub const GROUPS_MAX: usize = 256;

/// The most conditions of one group.
pub const CONDITIONS_MAX: usize = 64;

/// The most regular expressions of one document.
pub const PATTERNS_MAX: usize = 256;

/// The longest regular expression, in characters.
pub const PATTERN_CHARS_MAX: usize = 1_024;

/// The largest compiled regular expression. `[\w-]{1,64}` fits.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 4 << 20;

/// How large the regular expressions of one document are together when compiled.
pub const PATTERNS_COMPILED_BYTES_MAX: usize = 64 << 20;

/// The largest cache that a search with one regular expression keeps.
pub const PATTERN_CACHE_BYTES_MAX: usize = 1 << 20;

/// The deepest nesting inside one regular expression.
pub const PATTERN_DEPTH_MAX: u32 = 64;

/// How much of a name or a value of the document a message shows, in characters.
pub const SHOWN_CHARS_MAX: usize = 64;

/// How often one step of a case may be repeated.
pub const REPEAT_MAX: u64 = 100_000;

/// The most decisions that one file of cases may ask for, repeats included.
pub const CASE_CALLS_MAX: u64 = 1_000_000;
