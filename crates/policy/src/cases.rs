//! Cases: documents with calls and the decisions that they must lead to, or tables of conditions
//! and of refused documents.
//!
//! They run against the real policy and the real counters, at the times that they name.

use std::fmt;

use crate::checker::Checker;
use crate::json::{self, Bounds, Node};
use crate::problem::PolicyError;

mod conversation;
mod counters;
mod tables;
#[cfg(test)]
mod tests;
mod time;

/// How a file of cases came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the file says about itself.
    pub about: String,
    /// In file order.
    pub steps: Vec<StepReport>,
}

/// How one step, or one row of a table, came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    pub title: String,
    /// What differed from what was expected; empty if nothing did.
    pub failures: Vec<String>,
}

/// Why a file of cases was not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    #[error("this is no file of cases:\n{0}")]
    File(#[source] PolicyError),
    #[error("the policy of this file is refused:\n{0}")]
    Policy(#[source] PolicyError),
}

/// A file of cases, read.
struct Source<'a> {
    text: &'a str,
    root: Node<'a>,
    duplicates: Vec<usize>,
}

/// Runs one file of cases: `steps` with a `policy`, or `rows` of conditions or refused documents.
pub fn run(bytes: &[u8]) -> Result<Report, CaseError> {
    let syntax = |error| CaseError::File(PolicyError::syntax(bytes, error));
    let text = json::decode(bytes, Bounds::DOCUMENT).map_err(syntax)?;
    let (root, duplicates) = json::read_all(text, Bounds::DOCUMENT).map_err(syntax)?;
    let source = Source {
        text,
        root,
        duplicates,
    };
    match source.root.get("rows") {
        Some(_) => tables::run(&source),
        None => conversation::run(&source),
    }
}

// === impl Source ===

impl Source<'_> {
    fn checker(&self) -> Checker {
        Checker::with_duplicates(&self.root, &self.duplicates)
    }

    fn finish<T>(&self, checker: Checker, checked: Option<T>) -> Result<T, CaseError> {
        checker
            .finish(self.text, &self.root, checked)
            .map_err(CaseError::File)
    }
}

// === impl Report ===

impl Report {
    pub fn passed(&self) -> bool {
        self.steps.iter().all(StepReport::passed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.about)?;
        for step in &self.steps {
            let sign = if step.passed() { "ok" } else { "FAILED" };
            write!(f, "\n{sign:<6} {}", step.title)?;
            for failure in &step.failures {
                write!(f, "\n       {failure}")?;
            }
        }
        Ok(())
    }
}

// === impl StepReport ===

impl StepReport {
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}
