//! The result of a run, as it is printed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::cpu::{Usage, Usages, us_per_decision};
use crate::failure::{line, shortened};
use crate::tally::Tally;

#[cfg(test)]
mod tests;

/// Times are in microseconds, and absent where nothing was measured.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) decisions_per_s: f64,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) p999_us: Option<f64>,
    pub(crate) max_us: Option<f64>,
    pub(crate) admitted: u64,
    pub(crate) denied: u64,
    pub(crate) errors: u64,
    /// Requests that were due, and for which there was no room until the end.
    pub(crate) unsent: u64,
    /// The counter node that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leader: Option<String>,
    /// By process id: what each process used, and its two parts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) cpu_us_per_decision: BTreeMap<u32, Option<f64>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) cpu_user_us_per_decision: BTreeMap<u32, Option<f64>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) cpu_sys_us_per_decision: BTreeMap<u32, Option<f64>>,
    /// What this program itself used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generator_cpu_us_per_decision: Option<f64>,
    /// For standard error.
    #[serde(skip)]
    pub(crate) complaints: Vec<String>,
}

/// CPU time of the measured interval.
#[derive(Debug, Clone, Default)]
pub(crate) struct Used {
    pub(crate) processes: Usages,
    pub(crate) own: Usage,
}

// === impl Report ===

impl Report {
    /// Nothing was measured.
    pub(crate) fn failed(error: &(dyn std::error::Error + 'static)) -> Self {
        Self {
            errors: 1,
            complaints: vec![line(error)],
            ..Self::default()
        }
    }

    pub(crate) fn new(tally: Tally, measured: Duration, used: &Used) -> Self {
        let decisions = tally.decisions();
        let each = |part: fn(Usage) -> Duration| {
            let share = |used: &Usage| us_per_decision(part(*used), decisions);
            let processes = used.processes.iter();
            processes.map(|(pid, used)| (*pid, share(used))).collect()
        };
        Self {
            decisions_per_s: per_s(decisions, measured),
            p50_us: tally.quantile_us(0.5),
            p99_us: tally.quantile_us(0.99),
            p999_us: tally.quantile_us(0.999),
            max_us: tally.max_us(),
            admitted: tally.admitted,
            denied: tally.denied,
            errors: tally.errors,
            unsent: tally.unsent,
            leader: None,
            cpu_us_per_decision: each(Usage::total),
            cpu_user_us_per_decision: each(|used| used.user),
            cpu_sys_us_per_decision: each(|used| used.system),
            generator_cpu_us_per_decision: us_per_decision(used.own.total(), decisions),
            complaints: tally
                .complaint
                .as_deref()
                .map(shortened)
                .into_iter()
                .collect(),
        }
    }
}

/// To a tenth.
fn per_s(count: u64, time: Duration) -> f64 {
    (count as f64 / time.as_secs_f64() * 10.0).round() / 10.0
}
