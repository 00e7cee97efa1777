use proptest::prelude::*;

use super::*;

const DOCUMENT: &str = r#"{"version":"1","default":"allow",
  "all_tools":{"deny_if":[{"conditions":[{"path":"args.env","op":"eq","value":"prod"}]}],
               "limits":[{"counter":"calls","window":"minute","max":60}]},
  "tools":{"pay":{
    "require":[{"conditions":[]}],
    "deny_if":[{"conditions":[{"path":"args.amount","op":"gt","value":100},
                              {"path":"args.currency","op":"neq","value":"eur"}]}],
    "limits":[{"counter":"spend","window":"day","max":1000,"increment_from":"args.amount"},
              {"counter":"tips","window":"day","max":9,"increment_from":"args.tip","mode":"shadow"}]}}}"#;

fn explained(tool: &str, arguments: &str) -> String {
    let policy = Policy::parse(DOCUMENT.as_bytes()).unwrap();
    policy.explain(tool, Some(arguments)).to_string()
}

#[test]
fn an_allowed_call_is_explained_step_by_step() {
    let expected = "\
passes     (listed): the tool may be called
passes     /tools/pay/require/always: no condition: true
  asks     /tools/pay/deny_if/args.amount-gt: args.amount gt 100, the argument is a number: true
  asks     /tools/pay/deny_if/args.amount-gt: args.currency neq \"eur\", the argument is missing: false
passes     /tools/pay/deny_if/args.amount-gt: all 2 conditions together: false
  asks     /all_tools/deny_if/args.env-eq: args.env eq \"prod\", the argument is missing: false
passes     /all_tools/deny_if/args.env-eq: the condition: false
takes      /tools/pay/limits/spend: takes 500 of 1000 per day
would deny /tools/pay/limits/tips: A limit counts args.tip: it must be a whole number from 0 to 9007199254740992.
takes      /all_tools/limits/calls: takes 1 of 60 per minute
allowed, if all these units are there";
    assert_eq!(explained("pay", r#"{"amount":500}"#), expected);
}

#[test]
fn a_denied_call_is_explained_up_to_the_rule_that_denied() {
    let expected = "\
passes     (listed): the tool may be called
passes     /tools/pay/require/always: no condition: true
  asks     /tools/pay/deny_if/args.amount-gt: args.amount gt 100, the argument is a string: undecided
  asks     /tools/pay/deny_if/args.amount-gt: args.currency neq \"eur\", the argument is a string: true
  asks     /tools/pay/deny_if/args.amount-gt: all 2 conditions together: undecided
denies     /tools/pay/deny_if/args.amount-gt: Denied by policy: args.amount gt 100 and args.currency neq \"eur\".
denied by /tools/pay/deny_if/args.amount-gt";
    assert_eq!(
        explained("pay", r#"{"amount":"500","currency":"usd"}"#),
        expected
    );
}

#[test]
fn a_name_alone_may_decide() {
    let explanation = explain(None, "t", None);
    assert_eq!(
        explanation.to_string(),
        "denies     (no policy): This grant has no policy.\ndenied by (no policy)"
    );
}

/// Documents with every kind of rule, over two tools and two arguments.
fn any_document() -> impl Strategy<Value = String> {
    let value = || prop::sample::select(vec!["1", "2.0", "\"1\"", "null", "true", "[1,2]", "\"\""]);
    let condition = prop_oneof![
        (prop::sample::select(vec!["eq", "neq", "contains"]), value()).boxed(),
        (
            prop::sample::select(vec!["lt", "lte", "gt", "gte"]),
            Just("1.5")
        )
            .boxed(),
        (
            prop::sample::select(vec!["in", "not_in"]),
            Just("[1,\"1\",null]")
        )
            .boxed(),
        (Just("exists"), prop::sample::select(vec!["true", "false"])).boxed(),
        (Just("regex"), Just("\"^1?$\"")).boxed(),
    ];
    let condition =
        (prop::sample::select(vec!["a", "b", "b.c"]), condition).prop_map(|(path, (op, value))| {
            format!(r#"{{"path":"args.{path}","op":"{op}","value":{value}}}"#)
        });
    let group = prop::collection::vec(condition, 0..3)
        .prop_map(|conditions| format!(r#"{{"conditions":[{}]}}"#, conditions.join(",")));
    let groups =
        move || prop::collection::vec(group.clone(), 0..3).prop_map(|groups| groups.join(","));
    let rules =
        (groups(), groups()).prop_map(|(r, d)| format!(r#""require":[{r}],"deny_if":[{d}]"#));
    let limits = prop::sample::select(vec![
        r#""limits":[]"#,
        r#""limits":[{"counter":"n","window":"minute","max":1}]"#,
        r#""limits":[{"counter":"n","window":"day","max":9,"increment_from":"args.a"}]"#,
        r#""limits":[{"counter":"n","window":"day","max":9,"increment_from":"args.a","mode":"shadow"}]"#,
    ]);
    let default = prop::sample::select(vec!["allow", "deny"]);
    let hide = prop::sample::select(vec!["[]", "[]", "[]", "[\"u\"]", "[\"*\"]"]);
    let action = prop::sample::select(vec![r#"{"action":"deny"}"#, r#"{"action":"allow"}"#, "{}"]);
    (default, hide, rules.clone(), rules, limits, action).prop_map(
        |(default, hide, all, own, limits, action)| {
            format!(
                r#"{{"version":"1","default":"{default}","hide":{hide},"all_tools":{{{all}}},
                    "tools":{{"t":{{{own},{limits}}},"v":{action}}}}}"#
            )
        },
    )
}

fn any_arguments() -> impl Strategy<Value = Option<String>> {
    let value = || {
        let values = [
            "1",
            "2",
            "-1",
            "0.5",
            "\"1\"",
            "null",
            "[1]",
            "{\"c\":1}",
            "{\"c\":null}",
            "true",
        ];
        prop::sample::select(values.to_vec())
    };
    prop_oneof![
        1 => Just(None),
        1 => prop::sample::select(vec!["[]", "{", "{\"a\":1,\"a\":1}"]).prop_map(|t| Some(t.to_owned())),
        8 => (value(), value()).prop_map(|(a, b)| Some(format!(r#"{{"a":{a},"b":{b}}}"#))),
        2 => value().prop_map(|a| Some(format!(r#"{{"a":{a}}}"#))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn an_explanation_agrees_with_the_decision(
        document in any_document(),
        tool in prop::sample::select(vec!["t", "u", "v"]),
        arguments in any_arguments(),
    ) {
        let policy = Policy::parse(document.as_bytes()).unwrap();
        let verdict = policy.decide(tool, arguments.as_deref());
        let explanation = policy.explain(tool, arguments.as_deref());
        prop_assert_eq!(&explanation.verdict, &verdict);

        let denying: Vec<_> =
            explanation.steps.iter().filter(|step| step.effect == Effect::Denies).collect();
        let taken: Vec<_> = explanation.steps.iter().filter_map(|step| match step.effect {
            Effect::Takes { units } => Some((step.rule.clone(), units)),
            _ => None,
        }).collect();
        match verdict {
            Verdict::Allow { uses, would_deny } => {
                prop_assert!(denying.is_empty());
                let used: Vec<_> = uses.iter()
                    .map(|used| (used.limit.pointer().to_owned(), used.units)).collect();
                prop_assert_eq!(taken, used);
                let shadowed = explanation.steps.iter()
                    .filter(|step| step.effect == Effect::WouldDeny).count();
                prop_assert_eq!(shadowed, would_deny.len());
            }
            Verdict::Deny(denial) => {
                prop_assert_eq!(denying.len(), 1);
                let last = explanation.steps.last().unwrap();
                prop_assert_eq!(last, denying[0]);
                prop_assert_eq!((&last.rule, &last.subject), (&denial.rule, &denial.message));
            }
        }
    }
}
