//! Input: a policy, a tool name and arguments, with zero bytes between them. A decision is made
//! whatever the arguments, its explanation agrees, and what is allowed takes units that counters
//! know.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quotum_policy::{Effect, Policy, Subject, Verdict, counter_key};

/// The largest number of units that counters take.
const UNITS_MAX: u64 = 1 << 53;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let (Some(document), Some(tool), arguments) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    let (Ok(policy), Ok(tool)) = (Policy::parse(document), str::from_utf8(tool)) else {
        return;
    };
    let Ok(arguments) = arguments.map(str::from_utf8).transpose() else {
        return;
    };

    let verdict = policy.decide(tool, arguments);
    let explanation = policy.explain(tool, arguments);
    assert_eq!(explanation.verdict, verdict);
    let denies = explanation
        .steps
        .iter()
        .any(|step| step.effect == Effect::Denies);
    match verdict {
        Verdict::Deny(denial) => {
            assert!(denies && !denial.rule.is_empty() && !denial.message.is_empty());
            assert!(denial.rule == "(hidden)" || !policy.hides(tool));
        }
        Verdict::Allow { uses, .. } => {
            assert!(!denies && !policy.hides(tool));
            for used in uses {
                assert!(used.units <= UNITS_MAX && used.limit.max() <= UNITS_MAX);
                let key = counter_key("server", Subject::Grant("grant"), &used.limit);
                assert!(!key.as_bytes().is_empty());
            }
        }
    }
});
