//! What a person may set from outside: the only place here that reads the environment.

use std::path::PathBuf;

/// Rounds of the scenarios that are repeated with fresh grants.
const ROUNDS: usize = 3;

/// Settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `QUOTUM_REQUIRE_ALL=1`: a missing tool is a failure.
    pub requires_all: bool,
    /// `QUOTUM_BARE=1`: as on a machine that has nothing but Rust, whatever else is installed.
    pub is_bare: bool,
    /// `QUOTUM_BIN`: the binary under test, if not the one beside the test executable.
    pub binary: Option<PathBuf>,
    /// `QUOTUM_E2E_ROUNDS`.
    pub rounds: usize,
}

// === impl Settings ===

impl Settings {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test crate: only what a person may set for a run of the tests"
    )]
    pub fn from_environment() -> Self {
        let rounds = std::env::var("QUOTUM_E2E_ROUNDS").ok();
        let is_set = |name| std::env::var_os(name).is_some_and(|value| value == "1");
        Self {
            requires_all: is_set("QUOTUM_REQUIRE_ALL"),
            is_bare: is_set("QUOTUM_BARE"),
            binary: std::env::var_os("QUOTUM_BIN").map(PathBuf::from),
            rounds: rounds.and_then(|text| text.parse().ok()).unwrap_or(ROUNDS),
        }
    }
}
