//! A wall clock that is wrong: libfaketime stands between a node and its machine's clock, and reads
//! from a file by how much.
//!
//! Only the wall clock: the monotonic clocks of a machine do not jump.

use std::path::PathBuf;

use quotum_e2e::failure::Result;

use crate::needs::FAKETIME;
use crate::node::Node;

/// The wall clock of one node.
#[derive(Debug)]
pub struct WallClock {
    file: PathBuf,
}

// === impl WallClock ===

impl WallClock {
    /// Puts the clock in between, right at first; before the node starts.
    pub fn of(node: &mut Node) -> Result<Self> {
        let clock = Self {
            file: node.beside("wall-clock"),
        };
        clock.set("+0")?;
        let file = clock.file.to_string_lossy().into_owned();
        let variables = [
            ("LD_PRELOAD", FAKETIME),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DISABLE_SHM", "1"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        node.environment.extend(variables);
        Ok(clock)
    }

    /// By how much it is off from now on, as libfaketime writes it: `+3600`, `-1h`, `+0 x1.05`.
    pub fn set(&self, off: &str) -> Result {
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{off}\n"))?;
        Ok(std::fs::rename(next, &self.file)?)
    }
}
