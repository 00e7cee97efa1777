//! Programs of the system that must succeed.

use std::process::Command;

use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};

/// Runs a program to its end and gives what it printed. What it complained of goes into the
/// failure.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .map_err(|error| Failure::from(error).during(format!("{command:?}")))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a line of words, none of which has a space in it.
pub fn line(words: &str) -> Result<String> {
    let mut words = words.split_whitespace();
    let program = words.next().unwrap_or_default();
    run(Command::new(program).args(words))
}
