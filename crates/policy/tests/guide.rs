//! The examples of the guide are what it says they are.

use quotum_policy::{Policy, Verdict, cases};

const GUIDE: &str = include_str!("../../../docs/policy.md");

/// The JSON examples of the guide that have this at their outermost level.
fn examples(member: &str) -> Vec<&'static str> {
    let blocks = GUIDE
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    blocks
        .filter(|block| block.contains(&format!("\n  \"{member}\":")))
        .collect()
}

#[test]
fn the_first_example_is_a_policy_and_does_what_is_said_of_it() {
    let [document] = examples("version")[..] else {
        panic!("one policy")
    };
    let policy = Policy::parse(document.as_bytes()).unwrap();
    let rules = |tool: &str, arguments: &str| match policy.decide(tool, Some(arguments)) {
        Verdict::Allow { uses, .. } => uses
            .iter()
            .map(|used| used.limit.pointer().to_owned())
            .collect(),
        Verdict::Deny(denial) => vec![denial.rule],
    };
    assert_eq!(rules("list_customers", "{}"), ["/all_tools/limits/calls"]);
    assert_eq!(
        rules("send_interactive_flow", "{}"),
        [
            "/tools/send_interactive_flow/limits/send_interactive_flow_rate",
            "/all_tools/limits/calls"
        ]
    );
    assert_eq!(
        rules("create_charge", "{}"),
        ["/tools/create_charge/require/args.reason-exists"]
    );
    let too_much = r#"{"reason":"x","amount":10001}"#;
    assert_eq!(
        rules("create_charge", too_much),
        ["/tools/create_charge/deny_if/args.amount-gt"]
    );
    let fine = r#"{"reason":"x","amount":10000}"#;
    assert_eq!(
        rules("create_charge", fine),
        [
            "/tools/create_charge/limits/spend",
            "/all_tools/limits/calls"
        ]
    );
    assert_eq!(rules("delete_account", "{}"), ["(hidden)"]);
    assert_eq!(rules("other", "{}"), ["(default deny)"]);
}

#[test]
fn the_example_of_cases_passes() {
    let [file] = examples("steps")[..] else {
        panic!("one file of cases")
    };
    let report = cases::run(file.as_bytes()).unwrap();
    assert!(report.passed() && report.steps.len() == 3, "{report}");
}
