use super::*;

fn policy(document: &str) -> Policy {
    Policy::parse(document.as_bytes()).unwrap()
}

#[track_caller]
fn denial(policy: &Policy, tool: &str, arguments: Option<&str>) -> Denial {
    match policy.decide(tool, arguments) {
        Verdict::Deny(denial) => denial,
        other => panic!("{tool} {arguments:?}: {other:?}"),
    }
}

#[track_caller]
fn uses(policy: &Policy, tool: &str, arguments: Option<&str>) -> Vec<(String, u64)> {
    match policy.decide(tool, arguments) {
        Verdict::Allow { uses, .. } => uses
            .iter()
            .map(|used| (used.limit.pointer().to_owned(), used.units))
            .collect(),
        other => panic!("{tool} {arguments:?}: {other:?}"),
    }
}

#[test]
fn a_grant_without_a_policy_may_call_nothing() {
    let Verdict::Deny(denial) = decide(None, "t", None) else {
        panic!("allowed")
    };
    assert_eq!(
        (denial.reason, &*denial.rule),
        (Reason::NoPolicy, "(no policy)")
    );
    assert_eq!(denial.message, "This grant has no policy.");
}

#[test]
fn a_hidden_tool_looks_like_one_that_is_not_there() {
    let allowing = policy(r#"{"version":"1","default":"allow","hide":["t"],"tools":{"t":{}}}"#);
    let hidden = denial(&allowing, "t", None);
    assert_eq!((hidden.reason, &*hidden.rule), (Reason::Hidden, "(hidden)"));
    assert!(hidden.unknown_tool);
    assert_eq!(hidden.message, "Unknown tool: t");

    let denying = policy(r#"{"version":"1","default":"deny","hide":["t"]}"#);
    let (hidden, unlisted) = (denial(&denying, "t", None), denial(&denying, "u", None));
    assert_eq!(hidden.message, "Tool \"t\" is not permitted by policy.");
    assert_eq!(unlisted.message, "Tool \"u\" is not permitted by policy.");
    assert!(!hidden.unknown_tool && !unlisted.unknown_tool);
    assert_eq!(hidden.rule, "(hidden)");
    assert_eq!(hidden.shown_rule(), unlisted.shown_rule());
}

#[test]
fn hiding_is_by_exact_name_or_all() {
    let some = policy(r#"{"version":"1","default":"allow","hide":["t"]}"#);
    assert!(some.hides("t") && !some.hides("T") && !some.hides("t "));
    let all = policy(r#"{"version":"1","default":"allow","hide":["*","t"]}"#);
    assert!(all.hides("anything") && all.hides("t") && all.hides("*"));
}

#[test]
fn a_text_names_a_hidden_tool_that_it_holds_anywhere() {
    let some = policy(r#"{"version":"1","default":"allow","hide":["drop_all","x/y"]}"#);
    for text in ["drop_all", "Use drop_all.", "`drop_all_now`", "x/y"] {
        assert!(some.names_hidden(text), "{text}");
    }
    for text in ["", "drop all", "DROP_ALL", "x", "y"] {
        assert!(!some.names_hidden(text), "{text}");
    }
    let all = policy(r#"{"version":"1","default":"allow","hide":["*"]}"#);
    assert!(all.names_hidden("anything") && all.names_hidden(""));
    let none = policy(r#"{"version":"1","default":"deny"}"#);
    assert!(!none.names_hidden("anything") && !none.names_hidden(""));
}

#[test]
fn only_a_tool_whose_name_is_permitted_has_limits() {
    let limit = |counter: &str| {
        format!(r#"{{"limits":[{{"counter":"{counter}","window":"minute","max":1}}]}}"#)
    };
    let document = |unlisted: &str| {
        let (own, all) = (limit("own"), limit("all"));
        policy(&format!(
            r#"{{"version":"1","default":"{unlisted}","hide":["h"],"tools":{{"t":{own},"h":{own}}},"all_tools":{all}}}"#
        ))
    };
    let counters = |policy: &Policy, tool: &str| -> Vec<String> {
        let limits = policy.limits_of(tool);
        limits.map(|limit| limit.counter().to_owned()).collect()
    };
    let (denying, allowing) = (document("deny"), document("allow"));
    assert_eq!(counters(&denying, "t"), ["own", "all"]);
    assert_eq!(counters(&allowing, "u"), ["all"]);
    for (policy, tool) in [(&denying, "u"), (&denying, "h"), (&allowing, "h")] {
        assert!(counters(policy, tool).is_empty(), "{tool}");
    }
}

#[test]
fn an_action_decides_before_any_condition() {
    let policy = policy(
        r#"{"version":"1","default":"deny",
            "all_tools":{"require":[{"conditions":[{"path":"args.a","op":"exists","value":true}]}]},
            "tools":{"drop":{"action":"deny"}, "read":{"action":"allow"}}}"#,
    );
    let denied = denial(&policy, "drop", None);
    assert_eq!(
        (denied.reason, &*denied.rule),
        (Reason::Action, "/tools/drop/action")
    );
    assert_eq!(denied.message, "Tool \"drop\" is denied by policy.");
    assert_eq!(denial(&policy, "read", None).reason, Reason::Require);
    assert!(uses(&policy, "read", Some(r#"{"a":1}"#)).is_empty());
}

#[test]
fn the_tool_comes_before_all_tools_and_require_before_deny_if() {
    let rules = |name: &str| {
        format!(
            r#"{{"require":[{{"conditions":[{{"path":"args.{name}r","op":"exists","value":true}}]}}],
                 "deny_if":[{{"conditions":[{{"path":"args.{name}d","op":"exists","value":true}}]}}],
                 "limits":[{{"counter":"{name}","window":"minute","max":1}}]}}"#
        )
    };
    let policy = policy(&format!(
        r#"{{"version":"1","default":"allow","all_tools":{},"tools":{{"t":{}}}}}"#,
        rules("a"),
        rules("t")
    ));
    let rule = |arguments: &str| denial(&policy, "t", Some(arguments)).rule;
    assert_eq!(
        rule(r#"{"td":1,"ad":1}"#),
        "/tools/t/require/args.tr-exists"
    );
    assert_eq!(
        rule(r#"{"td":1,"ad":1,"tr":1}"#),
        "/all_tools/require/args.ar-exists"
    );
    assert_eq!(
        rule(r#"{"td":1,"ad":1,"tr":1,"ar":1}"#),
        "/tools/t/deny_if/args.td-exists"
    );
    assert_eq!(
        rule(r#"{"ad":1,"tr":1,"ar":1}"#),
        "/all_tools/deny_if/args.ad-exists"
    );
    let both = uses(&policy, "t", Some(r#"{"tr":1,"ar":1}"#));
    assert_eq!(
        both,
        [
            ("/tools/t/limits/t".into(), 1),
            ("/all_tools/limits/a".into(), 1)
        ]
    );
    let other = uses(&policy, "other", Some(r#"{"ar":1}"#));
    assert_eq!(other, [("/all_tools/limits/a".into(), 1)]);
}

#[test]
fn rules_are_named_by_escaped_pointers() {
    let policy = policy(
        r#"{"version":"1","default":"deny","tools":{"a/b~c":{
            "deny_if":[{"conditions":[{"path":"args.x/y","op":"eq","value":1}]}],
            "limits":[{"counter":"n/~","window":"minute","max":1,"increment_from":"args.n"}]}}}"#,
    );
    let rule = |arguments: &str| denial(&policy, "a/b~c", Some(arguments)).rule;
    assert_eq!(rule(r#"{"x/y":1}"#), "/tools/a~1b~0c/deny_if/args.x~1y-eq");
    assert_eq!(rule("{}"), "/tools/a~1b~0c/limits/n~1~0");
}

#[test]
fn undecided_denies_on_both_sides() {
    let group = r#"[{"conditions":[{"path":"args.n","op":"lt","value":5}]}]"#;
    let policy = policy(&format!(
        r#"{{"version":"1","default":"deny",
            "tools":{{"r":{{"require":{group}}},"d":{{"deny_if":{group}}}}}}}"#
    ));
    assert_eq!(
        denial(&policy, "r", Some(r#"{"n":"4"}"#)).reason,
        Reason::Require
    );
    assert_eq!(
        denial(&policy, "d", Some(r#"{"n":"9"}"#)).reason,
        Reason::DenyIf
    );
    assert!(uses(&policy, "r", Some(r#"{"n":4}"#)).is_empty());
    assert!(uses(&policy, "d", Some(r#"{"n":9}"#)).is_empty());
}

#[test]
fn default_texts_say_what_was_asked() {
    let policy = policy(
        r#"{"version":"1","default":"deny","tools":{
            "r":{"require":[{"conditions":[{"path":"args.reason","op":"exists","value":true}]}]},
            "n":{"require":[{"conditions":[{"path":"args.force","op":"exists","value":false}]}]},
            "d":{"deny_if":[{"conditions":[{"path":"args.amount","op":"gt","value": 1e2 },
                                           {"path":"args.env","op":"in","value":["a \" b",
 "live" ]}]}]},
            "a":{"deny_if":[{"conditions":[]}]}}}"#,
    );
    let message = |tool: &str, arguments: &str| denial(&policy, tool, Some(arguments)).message;
    assert_eq!(
        message("r", "{}"),
        "Required by policy: args.reason exists."
    );
    assert_eq!(
        message("n", r#"{"force":1}"#),
        "Required by policy: args.force does not exist."
    );
    assert_eq!(
        message("d", r#"{"amount":101,"env":"live"}"#),
        r#"Denied by policy: args.amount gt 1e2 and args.env in ["a \" b","live"]."#
    );
    assert_eq!(message("a", "{}"), "Denied by policy.");
    assert_eq!(denial(&policy, "a", None).rule, "/tools/a/deny_if/always");
}

#[test]
fn units_come_from_the_argument_exactly() {
    let policy = policy(
        r#"{"version":"1","default":"deny","tools":{"pay":{"limits":[
            {"counter":"calls","window":"minute","max":9,"increment":3},
            {"counter":"spend","window":"day","max":9,"increment_from":"args.a.n"}]}}}"#,
    );
    for (text, units) in [
        ("0", 0),
        ("-0.0", 0),
        ("5.0", 5),
        ("9007199254740992", 1 << 53),
    ] {
        let arguments = format!(r#"{{"a":{{"n":{text}}}}}"#);
        let expected = [
            ("/tools/pay/limits/calls".to_owned(), 3),
            ("/tools/pay/limits/spend".to_owned(), units),
        ];
        assert_eq!(uses(&policy, "pay", Some(&arguments)), expected);
    }
    for text in [
        "-1",
        "0.5",
        "\"5\"",
        "null",
        "[5]",
        "9007199254740993",
        "1e999999999",
    ] {
        let denied = denial(&policy, "pay", Some(&format!(r#"{{"a":{{"n":{text}}}}}"#)));
        assert_eq!(
            (denied.reason, &*denied.rule),
            (Reason::Units, "/tools/pay/limits/spend")
        );
        let message =
            "A limit counts args.a.n: it must be a whole number from 0 to 9007199254740992.";
        assert_eq!(denied.message, message);
    }
}

#[test]
fn a_shadow_limit_without_units_says_so_and_lets_the_call_pass() {
    let policy = policy(
        r#"{"version":"1","default":"deny","tools":{"pay":{"limits":[
            {"counter":"s","window":"day","max":9,"increment_from":"args.n","mode":"shadow"},
            {"counter":"e","window":"day","max":9}]}}}"#,
    );
    let Verdict::Allow { uses, would_deny } = policy.decide("pay", None) else {
        panic!("denied")
    };
    assert_eq!((uses.len(), uses[0].limit.counter()), (1, "e"));
    assert_eq!((would_deny.len(), would_deny[0].reason), (1, Reason::Units));
    assert_eq!(would_deny[0].rule, "/tools/pay/limits/s");
}

#[test]
fn arguments_that_are_no_object_are_denied_whatever_the_rules() {
    let policy = policy(
        r#"{"version":"1","default":"allow","tools":{
            "c":{"deny_if":[{"conditions":[{"path":"args.a","op":"exists","value":true}]}]}}}"#,
    );
    for tool in ["c", "plain"] {
        for arguments in ["[]", "null", "1", "\"{}\"", "", " ", "{", "}"] {
            let denied = denial(&policy, tool, Some(arguments));
            assert_eq!(denied.reason, Reason::Arguments, "{tool} {arguments}");
            assert_eq!(denied.rule, "(arguments)");
        }
        assert!(uses(&policy, tool, Some(" {} ")).is_empty());
        assert!(uses(&policy, tool, None).is_empty());
    }
    for arguments in [r#"{"a":1,"a":2}"#, r#"{"b":}"#, "{}{}"] {
        assert_eq!(
            denial(&policy, "c", Some(arguments)).reason,
            Reason::Arguments
        );
    }
}

#[test]
fn arguments_with_too_many_values_are_denied_only_where_a_rule_reads_them() {
    let policy = policy(
        r#"{"version":"1","default":"allow","tools":{
            "c":{"deny_if":[{"conditions":[{"path":"args.a","op":"exists","value":true}]}]}}}"#,
    );
    let arguments = format!(r#"{{"b":[{}0]}}"#, "0,".repeat(crate::limits::VALUES_MAX));
    assert_eq!(
        denial(&policy, "c", Some(&arguments)).reason,
        Reason::Arguments
    );
    assert!(uses(&policy, "plain", Some(&arguments)).is_empty());
}

#[test]
fn an_item_carries_the_limit() {
    let policy = policy(
        r#"{"version":"1","default":"deny","tools":{"t":{"limits":[
            {"counter":"n","window":"90s","max":7,"increment":2,"mode":"shadow"}]}}}"#,
    );
    let Verdict::Allow { uses, .. } = policy.decide("t", None) else {
        panic!("denied")
    };
    let key = quotum_limit::Key::new(b"k").unwrap();
    let item = uses[0].item(key.clone(), 3);
    assert_eq!(
        (item.key, item.max, item.revision, item.units),
        (key, 7, 3, 2)
    );
    assert_eq!(
        (item.window.to_string().as_str(), item.shadow),
        ("90s", true)
    );
}
