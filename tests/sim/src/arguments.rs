//! The command line.

use std::io;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use quotum_limit::bugs::ALL;

/// Simulates clusters: the same seed, the same run. Exit 1 where a promise is broken.
#[derive(Debug, Clone, Parser)]
#[command(name = "quotum-sim", version)]
pub(crate) struct Arguments {
    /// The first seed
    #[arg(default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many seeds, from the first on
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seeds: u64,
    /// A bug to put in
    #[arg(long, value_name = "NAME")]
    pub(crate) bug: Option<String>,
    /// Stops at the first seed that shows a violation, or catches the bug that is put in
    #[arg(long)]
    pub(crate) first: bool,
    /// Lists the names of the bugs that can be put in, a line each
    #[arg(long)]
    pub(crate) list_bugs: bool,
    /// `json` leaves out everything but the last line
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// Seeds at a time; by default one for each core
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Runs the first seed in this process, and prints its outcome alone
    #[arg(long)]
    pub(crate) one: bool,
    /// With `--one`: where the history is written, and beside it the trace
    #[arg(long, value_name = "FILE", requires = "one")]
    pub(crate) history: Option<PathBuf>,
    /// With `--one`: what the processes log, to standard error
    #[arg(long, requires = "one")]
    pub(crate) log: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

// === impl Arguments ===

impl Arguments {
    /// What the parser cannot know.
    pub(crate) fn check(&self) -> io::Result<()> {
        let Some(name) = &self.bug else { return Ok(()) };
        match ALL.iter().any(|(_, known, _)| known == name) {
            true => Ok(()),
            false => {
                let text = format!("--bug: there is no {name:?}; see --list-bugs");
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
        }
    }
}
