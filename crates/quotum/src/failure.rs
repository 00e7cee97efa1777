//! Failures: how a command ends when it does not succeed, and with which exit code.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

#[cfg(test)]
mod tests;

/// Every exit code of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Success = 0,
    /// What was asked for could not be done, or a check failed.
    Failed = 1,
    /// The command line or the configuration is wrong: nothing was started. `EX_USAGE`.
    Usage = 64,
}

/// Why a command failed, in one line: what, why, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    text: String,
    next: Option<String>,
    /// Something was decided on what has changed since: deciding again may help.
    is_stale: bool,
}

// === impl Exit ===

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

// === impl Failure ===

impl Failure {
    /// Bad usage or configuration.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            text: text.into(),
            next: None,
            is_stale: false,
        }
    }

    /// Everything else.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            text: text.into(),
            next: None,
            is_stale: false,
        }
    }

    /// Adds an error and all that caused it.
    #[must_use]
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
        let mut cause = Some(error);
        let mut last = String::new();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors repeat their source in their own text.
            if !text.is_empty() && !last.contains(&text) {
                self.text = format!("{}: {text}", self.text);
                last = text;
            }
            cause = error.source();
        }
        self
    }

    /// The same as bad usage: what was named on the command line is at fault.
    #[must_use]
    pub(crate) fn into_usage(mut self) -> Self {
        self.exit = Exit::Usage;
        self
    }

    /// Says that deciding again may help.
    #[must_use]
    pub(crate) fn stale(mut self) -> Self {
        self.is_stale = true;
        self
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn next(mut self, advice: impl Into<String>) -> Self {
        self.next = Some(advice.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.next {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}
