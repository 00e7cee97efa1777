//! The verdict on a history.

use serde::Serialize;

use crate::coverage::Coverage;
use crate::history::{Event, HistoryError};
use crate::index::Index;
use crate::invariant;
use crate::limits::SHOWN_MAX;
use crate::replay::Replay;

/// Something that must not happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The name of the invariant: a file of [`crate::invariant`].
    pub invariant: &'static str,
    pub at_us: u64,
    pub what: String,
}

/// What a history shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// At most [`SHOWN_MAX`] of each invariant, in the order of time.
    pub violations: Vec<Violation>,
    pub violations_total: usize,
    /// Acquires that were answered with a decision.
    pub decisions: usize,
    pub faults: usize,
    pub coverage: Coverage,
}

/// Judges a history.
pub fn check(events: &[Event]) -> Result<Report, HistoryError> {
    let index = Index::new(events)?;
    let replay = Replay::new(&index);
    let mut violations = Vec::new();
    let mut violations_total = 0;
    for (_, invariant) in invariant::ALL {
        let found = invariant(&index, &replay);
        violations_total += found.len();
        violations.extend(found.into_iter().take(SHOWN_MAX));
    }
    violations.sort_by_key(|violation| violation.at_us);
    let is_decision = |answer: Option<&crate::history::Answer>| {
        answer.is_some_and(|answer| answer.is_admitted() || answer.is_denied())
    };
    let decided = index
        .requests
        .values()
        .filter(|request| request.is_acquire() && is_decision(request.answered()));
    Ok(Report {
        violations,
        violations_total,
        decisions: decided.count(),
        faults: index.faults.len(),
        coverage: Coverage::of(&index),
    })
}

// === impl Report ===

impl Report {
    pub fn is_sound(&self) -> bool {
        self.violations_total == 0
    }
}
