//! The named maximum of everything in this crate.

/// The longest name of a server or a policy: a DNS label.
pub const NAME_BYTES_MAX: usize = 63;

/// The longest name and the longest id of a grant.
pub const GRANT_NAME_BYTES_MAX: usize = 64;

/// The longest upstream address.
pub const URL_BYTES_MAX: usize = 2_048;

/// The longest host of an upstream address.
pub const HOST_BYTES_MAX: usize = 253;

/// The most servers of a registry.
pub const SERVERS_MAX: usize = 1_000;

/// The most policies of a registry.
pub const POLICIES_MAX: usize = 10_000;

/// The most grants of a registry.
pub const GRANTS_MAX: usize = 100_000;

/// The most administrators of a registry. Each call looks at all of them, so that the time it takes
/// tells nothing.
pub const ADMINISTRATORS_MAX: usize = 1_000;

/// The longest policy document.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// The most bytes of all policy documents together: they are all kept in memory on every node.
pub const DOCUMENT_BYTES_TOTAL_MAX: usize = 64 << 20;

/// The most MCP methods that a server allows beside the usual ones.
pub const METHODS_MAX: usize = 64;

/// The longest name of such a method.
pub const METHOD_BYTES_MAX: usize = 128;

/// The most headers of one credential.
pub const CREDENTIAL_HEADERS_MAX: usize = 16;

/// The most bytes of one credential: names and values.
pub const CREDENTIAL_BYTES_MAX: usize = 16 << 10;

/// The most bytes that are ever sealed at once, so that a seal from elsewhere has a bound too.
pub const SEALED_BYTES_MAX: usize = 32 << 10;

/// The longest time that a rotated token goes on beside its successor: 30 days.
pub const OVERLAP_MS_MAX: u64 = 30 * 86_400_000;

/// The latest instant that the registry can name: the end of the year 9999.
pub const INSTANT_MS_MAX: u64 = 253_402_300_799_999;

/// The most changes of one command.
pub const CHANGES_MAX: usize = 10_000;

/// The longest encoded command.
pub const COMMAND_BYTES_MAX: usize = 8 << 20;

/// The longest encoded state.
pub const STATE_BYTES_MAX: usize = 512 << 20;

/// The most documents of one `apply -f`.
pub const DOCUMENTS_MAX: usize = 10_000;

/// How many users of an object a refusal names; the others are a number.
pub const USERS_NAMED_MAX: usize = 5;
