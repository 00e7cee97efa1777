//! Any bytes are a policy, or are refused with at least one problem that has a place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quotum_policy::{Policy, cases};

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = Policy::parse(bytes) {
        assert!(!error.problems().is_empty());
        for problem in error.problems() {
            assert!(problem.line >= 1 && problem.column >= 1 && !problem.message.is_empty());
        }
    }
    // Files of cases go through the same reader; small ones also run.
    if bytes.len() < 4_096
        && let Ok(report) = cases::run(bytes)
    {
        assert_eq!(
            report.passed(),
            report.steps.iter().all(|step| step.failures.is_empty())
        );
    }
});
