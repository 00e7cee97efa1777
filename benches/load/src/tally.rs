//! What was counted: outcomes, and how long requests took.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::limits::LATENCY_MAX;

#[cfg(test)]
mod tests;

/// The outcomes of the commands of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) admitted: u64,
    pub(crate) denied: u64,
    pub(crate) errors: u64,
    /// What was wrong with one of the errors.
    pub(crate) complaint: Option<String>,
}

/// What one lane, or all, counted.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) admitted: u64,
    pub(crate) denied: u64,
    pub(crate) errors: u64,
    /// Requests that were due and could not be sent before the end.
    pub(crate) unsent: u64,
    /// What the first error was.
    pub(crate) complaint: Option<String>,
    /// In nanoseconds.
    latencies: Histogram<u64>,
}

// === impl Counted ===

impl Counted {
    pub(crate) fn error(errors: u64, complaint: impl Into<String>) -> Self {
        Self {
            errors,
            complaint: Some(complaint.into()),
            ..Self::default()
        }
    }
}

// === impl Tally ===

impl Tally {
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, nanoseconds(LATENCY_MAX), 3);
        Self {
            admitted: 0,
            denied: 0,
            errors: 0,
            unsent: 0,
            complaint: None,
            latencies: latencies.expect("the bounds are constants"),
        }
    }

    /// Commands that were decided.
    pub(crate) fn decisions(&self) -> u64 {
        self.admitted + self.denied
    }

    pub(crate) fn decided(&mut self, admitted: u64, denied: u64) {
        self.admitted += admitted;
        self.denied += denied;
    }

    pub(crate) fn took(&mut self, latency: Duration) {
        self.latencies.saturating_record(nanoseconds(latency));
    }

    pub(crate) fn failed(&mut self, errors: u64, complaint: Option<String>) {
        self.errors += errors;
        if self.complaint.is_none() {
            self.complaint = complaint;
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.decided(other.admitted, other.denied);
        self.failed(other.errors, other.complaint);
        self.unsent += other.unsent;
        let added = self.latencies.add(&other.latencies);
        added.expect("all histograms have the same bounds");
    }

    /// The latency that a share `quantile` of all requests did not exceed, in microseconds to
    /// three digits; `None` without requests.
    pub(crate) fn quantile_us(&self, quantile: f64) -> Option<f64> {
        let ns = self.latencies.value_at_quantile(quantile);
        (!self.latencies.is_empty()).then(|| microseconds(ns))
    }

    /// The longest latency, in microseconds.
    pub(crate) fn max_us(&self) -> Option<f64> {
        (!self.latencies.is_empty()).then(|| microseconds(self.latencies.max()))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds as microseconds, to a tenth.
fn microseconds(ns: u64) -> f64 {
    (ns as f64 / 100.0).round() / 10.0
}
