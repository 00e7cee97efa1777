use super::*;
use crate::limit::{Increment, Mode, OnUnavailable};
use crate::limits::{
    GROUPS_MAX, PATTERN_COMPILED_BYTES_MAX, PATTERNS_COMPILED_BYTES_MAX, PATTERNS_MAX,
};
use crate::problem::Problem;

fn tools(rules: &str) -> String {
    format!(r#"{{"version":"1","default":"deny","tools":{{"t":{rules}}}}}"#)
}

fn limit(members: &str) -> String {
    tools(&format!(
        r#"{{"limits":[{{"counter":"n","window":"minute","max":1{members}}}]}}"#
    ))
}

fn condition(members: &str) -> String {
    tools(&format!(
        r#"{{"deny_if":[{{"conditions":[{{{members}}}]}}]}}"#
    ))
}

fn problems(document: &str) -> Vec<Problem> {
    match Policy::parse(document.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().to_vec(),
    }
}

/// The pointer and message of the only problem.
#[track_caller]
fn only_problem(document: &str) -> (String, String) {
    match &problems(document)[..] {
        [problem] => (problem.pointer.clone(), problem.message.clone()),
        other => panic!("{document} has {other:?}"),
    }
}

#[test]
fn everything_that_is_wrong_is_told_in_document_order() {
    let document = r#"{
  "version": "1",
  "defualt": "deny",
  "tools": {
    "a": { "limts": [], "limits": [ { "counter": "n", "window": "minuet", "max": "3" } ] },
    "b": { "deny_if": [ { "conditions": [ { "path": "args.x", "op": "gt", "value": 1, "path": 2 } ] } ] }
  },
  "hide": "x"
}"#;
    let error = Policy::parse(document.as_bytes()).unwrap_err();
    let expected = "\
line 1, column 1: `default` is missing
line 3, column 3 (/defualt): unknown member `defualt` of the policy, did you mean `default`?
line 5, column 12 (/tools/a/limts): unknown member `limts` of a tool, did you mean `limits`?
line 5, column 65 (/tools/a/limits/0/window): unknown window \"minuet\": use second, minute, hour, \
day, week, month, or a duration such as \"90s\", \"10m\", \"6h\", \"2d\", did you mean `minute`?
line 5, column 82 (/tools/a/limits/0/max): `max` must be a whole number from 0 to 9007199254740992
line 6, column 87 (/tools/b/deny_if/0/conditions/0/path): this member stands here twice
line 8, column 11 (/hide): `hide` must be an array, not a string";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn many_problems_are_counted() {
    let hide = vec!["1"; 130].join(",");
    let document = format!(r#"{{"version":"1","default":"deny","hide":[{hide}]}}"#);
    let error = Policy::parse(document.as_bytes()).unwrap_err();
    assert_eq!(error.problems().len(), 100);
    assert!(error.to_string().ends_with("\nand 30 more"));
}

#[test]
fn a_text_that_is_no_json_is_refused_where_it_goes_wrong() {
    let error = Policy::parse(b"{\"version\": \"1\",\n \"tools\": {\"t\": {\"limits\": [tru]}}}");
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with("line 2, column 29 (/tools/t/limits/0): 't' stands where"),
        "{text}"
    );
    let error = Policy::parse(b"{\n\"\xff\"}").unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 2: this is not UTF-8");
    let error = Policy::parse("\u{feff}{}".as_bytes()).unwrap_err();
    assert_eq!(error.problems()[0].pointer, "");
    let long = " ".repeat(crate::limits::DOCUMENT_BYTES_MAX + 1);
    assert_eq!(problems(&long).len(), 1);
    let deep = limit(&format!(r#","x":{}{}"#, "[".repeat(65), "]".repeat(65)));
    assert!(only_problem(&deep).1.contains("nested more than 64 deep"));
}

#[test]
fn what_is_not_supported_yet_is_refused_by_name() {
    let problem = only_problem(&tools(r#"{"action":"require_approval"}"#));
    assert_eq!(problem.0, "/tools/t/action");
    assert!(problem.1.ends_with("not supported yet"));
}

#[test]
fn limits_are_checked() {
    for (members, member) in [
        (r#","increment":1.5"#, "/increment"),
        (r#","increment":9007199254740993"#, "/increment"),
        (r#","increment_from":"amount""#, "/increment_from"),
        (r#","increment":1,"increment_from":"args.a""#, ""),
        (r#","mode":"audit""#, "/mode"),
        (r#","on_unavailable":true"#, "/on_unavailable"),
        (r#","on_deny":5"#, "/on_deny"),
        (r#","algorithm":"token_bucket""#, "/algorithm"),
        (r#","scope":null"#, "/scope"),
    ] {
        assert_eq!(
            only_problem(&limit(members)).0,
            format!("/tools/t/limits/0{member}")
        );
    }
    let policy = Policy::parse(limit(
        r#","increment_from":"args.a","mode":"shadow","on_unavailable":"allow","scope":"server""#,
    ).as_bytes());
    let policy = policy.unwrap();
    let found = policy.limits().next().unwrap();
    assert_eq!(
        (found.mode(), found.on_unavailable()),
        (Mode::Shadow, OnUnavailable::Allow)
    );
    assert_eq!(
        (found.scope(), found.pointer()),
        (Scope::Server, "/tools/t/limits/n")
    );
    assert!(matches!(found.increment(), Increment::Argument(path) if path.as_str() == "args.a"));
    assert_eq!((found.owner(), found.counter(), found.max()), ("t", "n", 1));
}

#[test]
fn counter_names_are_counted_in_characters() {
    let named = |length| {
        let counter = "é".repeat(length);
        tools(&format!(
            r#"{{"limits":[{{"counter":"{counter}","window":"day","max":5.0}}]}}"#
        ))
    };
    assert!(problems(&named(128)).is_empty());
    assert_eq!(only_problem(&named(129)).0, "/tools/t/limits/0/counter");
}

#[test]
fn the_shorthand_of_a_rate_is_one_limit() {
    for (rate, max, window) in [
        (r#""10/minute""#, 10, "minute"),
        (r#""0/90s""#, 0, "90s"),
        (r#"{"max":3,"window":60}"#, 3, "minute"),
        (r#"{"max":3,"window":90.0}"#, 3, "90s"),
        (r#"{"max":3,"window":"week"}"#, 3, "week"),
    ] {
        let policy = Policy::parse(tools(&format!(r#"{{"rate_limit":{rate}}}"#)).as_bytes());
        let policy = policy.unwrap();
        let found = policy.limits().next().unwrap();
        assert_eq!(
            (found.counter(), found.max(), found.scope()),
            ("t_rate", max, Scope::Grant)
        );
        assert_eq!(found.window().to_string(), window);
    }
    for (rate, member) in [
        (r#""10""#, ""),
        (r#""10/fortnight""#, ""),
        (r#""-1/minute""#, ""),
        (r#""+1/minute""#, ""),
        (r#""1.5/minute""#, ""),
        (r#""9007199254740993/minute""#, ""),
        ("10", ""),
        (r#"{"max":3}"#, ""),
        (r#"{"max":3,"window":0}"#, "/window"),
        (r#"{"max":3,"window":1e30}"#, "/window"),
        (r#"{"max":3,"window":true}"#, "/window"),
        (r#"{"max":3,"window":60,"scope":"grant"}"#, "/scope"),
    ] {
        let problem = only_problem(&tools(&format!(r#"{{"rate_limit":{rate}}}"#)));
        assert_eq!(problem.0, format!("/tools/t/rate_limit{member}"), "{rate}");
    }
}

#[test]
fn a_counter_belongs_to_one_limit() {
    let document = tools(
        r#"{"limits":[{"counter":"t_rate","window":"hour","max":1}],"rate_limit":"1/minute"}"#,
    );
    assert_eq!(only_problem(&document).0, "/tools/t/rate_limit");
    let document = tools(
        r#"{"rate_limit":"1/minute","limits":[{"counter":"t_rate","window":"hour","max":1}]}"#,
    );
    assert_eq!(only_problem(&document).0, "/tools/t/limits/0/counter");
}

#[test]
fn global_counters_agree_and_are_taken_once() {
    let global = |window: &str, max: u64| {
        format!(
            r#"{{"limits":[{{"counter":"n","window":"{window}","max":{max},"scope":"global"}}]}}"#
        )
    };
    let document = |all: &str, a: &str, b: &str| {
        format!(
            r#"{{"version":"1","default":"deny","all_tools":{all},"tools":{{"z":{a},"b":{b}}}}}"#
        )
    };
    let minute = global("minute", 1);
    assert!(problems(&document("{}", &minute, &minute)).is_empty());
    assert!(problems(&document(&global("hour", 2), &minute, &minute)).is_empty());
    let (pointer, message) = only_problem(&document("{}", &minute, &global("minute", 2)));
    assert_eq!(pointer, "/tools/b/limits/0/counter");
    assert!(message.contains("`max` 1"));
    let (pointer, message) = only_problem(&document(&minute, &minute, "{}"));
    assert_eq!(pointer, "/tools/z/limits/0/counter");
    assert!(message.contains("twice"));
}

#[test]
fn a_call_takes_from_no_more_counters_than_one_acquire_has_items() {
    let limits = |count: usize| {
        let limit = |n| format!(r#"{{"counter":"n{n}","window":"minute","max":1}}"#);
        let limits: Vec<_> = (0..count).map(limit).collect();
        format!(r#"{{"limits":[{}]}}"#, limits.join(","))
    };
    let document = |all: usize, own: usize| {
        let (all, own) = (limits(all), limits(own));
        format!(r#"{{"version":"1","default":"deny","all_tools":{all},"tools":{{"t":{own}}}}}"#)
    };
    assert!(problems(&document(4, ITEMS_MAX - 4)).is_empty());
    assert_eq!(only_problem(&document(4, ITEMS_MAX - 3)).0, "/tools/t");
    assert_eq!(
        only_problem(&document(ITEMS_MAX + 1, 0)).0,
        "/all_tools/limits"
    );
}

#[test]
fn conditions_are_checked() {
    for (members, member) in [
        (r#""path":"args.a","op":"eq""#, ""),
        (r#""path":"args.a","value":1"#, ""),
        (r#""op":"eq","value":1"#, ""),
        (r#""path":"args.","op":"eq","value":1"#, "/path"),
        (r#""path":"args.a..b","op":"eq","value":1"#, "/path"),
        (r#""path":7,"op":"eq","value":1"#, "/path"),
        (r#""path":"args.a","op":"exists","value":"yes""#, "/value"),
        (r#""path":"args.a","op":"not_in","value":{}"#, "/value"),
        (r#""path":"args.a","op":"regex","value":5"#, "/value"),
        (r#""path":"args.a","op":"EQ","value":5"#, "/op"),
        (r#""path":"args.a","op":"eq","value":5,"note":"x""#, "/note"),
    ] {
        let expected = format!("/tools/t/deny_if/0/conditions/0{member}");
        assert_eq!(only_problem(&condition(members)).0, expected, "{members}");
    }
    assert_eq!(
        only_problem(&tools(r#"{"require":[{}]}"#)).0,
        "/tools/t/require/0"
    );
    let groups = vec![r#"{"conditions":[]}"#; GROUPS_MAX + 1].join(",");
    let document = tools(&format!(r#"{{"require":[{groups}]}}"#));
    assert_eq!(only_problem(&document).0, "/tools/t/require");
}

#[test]
fn regular_expressions_are_bounded() {
    let pattern = |pattern: &str| {
        condition(&format!(
            r#""path":"args.a","op":"regex","value":"{pattern}""#
        ))
    };
    for fits in [
        r"^[\\w-]{1,64}$",
        r"(?i)\\bdrop\\s+table\\b",
        "^.{1,1000}$",
        "",
    ] {
        assert_eq!(problems(&pattern(fits)), [], "{fits}");
    }
    assert!(only_problem(&pattern(r"\\w{900}")).1.contains("too large"));
    assert!(
        only_problem(&pattern(&"a".repeat(1025)))
            .1
            .contains("at most 1024 characters")
    );
    assert!(only_problem(&pattern("(")).1.contains("unclosed group"));
    assert!(
        only_problem(&pattern(r"(a)\\1"))
            .1
            .contains("backreferences are not supported")
    );
    assert!(only_problem(&pattern("(?=a)")).1.contains("look-around"));
    let nested = format!("{}{}", "(".repeat(70), ")".repeat(70));
    assert!(only_problem(&pattern(&nested)).1.contains("nest"));
}

#[test]
fn regular_expressions_are_bounded_together() {
    let value = "/tools/t/deny_if/0/conditions/0/value";
    let group = |pattern: &str| {
        format!(r#"{{"conditions":[{{"path":"args.a","op":"regex","value":"{pattern}"}}]}}"#)
    };
    let document = |many: &str, count: usize, more: &str| {
        let groups = vec![group(many); count].join(",");
        tools(&format!(r#"{{"require":[{groups}],"deny_if":[{more}]}}"#))
    };
    assert!(problems(&document("a", PATTERNS_MAX, "")).is_empty());
    assert_eq!(
        only_problem(&document("a", PATTERNS_MAX, &group("a"))).0,
        value
    );

    let large = r"^[\\w-]{1,64}$";
    let fit = PATTERNS_COMPILED_BYTES_MAX / PATTERN_COMPILED_BYTES_MAX;
    assert!(problems(&document(large, fit, "")).is_empty());
    let (pointer, message) = only_problem(&document(large, fit, &group(large)));
    assert_eq!(pointer, value);
    assert!(message.contains("together"), "{message}");
}

#[test]
fn tools_are_named_exactly() {
    let named =
        |name: &str| format!(r#"{{"version":"1","default":"deny","tools":{{"{name}":{{}}}}}}"#);
    for name in [
        "a.b",
        "Cross-Platform",
        "with space",
        "a/b~c",
        "fetch__get_url",
        "日本",
    ] {
        assert!(problems(&named(name)).is_empty(), "{name}");
    }
    assert_eq!(only_problem(&named("")).0, "/tools/");
    assert!(only_problem(&named("*")).1.contains("all_tools"));
    assert!(only_problem(&named(&"x".repeat(257))).1.contains("256"));
}

#[test]
fn shorthands_stand_as_they_may() {
    for (rules, member) in [
        (r#"{"reason":"x"}"#, "/reason"),
        (r#"{"action":"deny","require":[]}"#, ""),
        (r#"{"action":"deny","rate_limit":"1/minute"}"#, ""),
        (r#"{"action":"refuse"}"#, "/action"),
        (r#"{"action":"deny","reason":1}"#, "/reason"),
        ("[]", ""),
    ] {
        assert_eq!(
            only_problem(&tools(rules)).0,
            format!("/tools/t{member}"),
            "{rules}"
        );
    }
    assert!(problems(&tools(r#"{"action":"allow","reason":"it reads only"}"#)).is_empty());
}

#[test]
fn a_minimal_document_is_a_policy() {
    let policy = Policy::parse(br#"{"version":"1","default":"allow"}"#).unwrap();
    assert_eq!(policy.unlisted(), Unlisted::Allow);
    assert!(!policy.hides("t") && !policy.lists("t") && policy.limits().next().is_none());
    for document in ["[]", "null", "1", "\"\"", "{}"] {
        assert!(!problems(document).is_empty(), "{document}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_policy_or_refused(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..128),
    ) {
        if let Err(error) = Policy::parse(&bytes) {
            proptest::prop_assert!(!error.problems().is_empty() && !error.to_string().is_empty());
        }
    }

    /// A true document with one byte changed: close to the edges of every check.
    #[test]
    fn a_damaged_document_is_a_policy_or_refused(at in 0_usize..400, byte in proptest::num::u8::ANY) {
        let mut bytes = limit(
            r#","on_deny":"no","increment_from":"args.a.b"},{"counter":"m","window":90,"max":1e2"#,
        ).into_bytes();
        let length = bytes.len();
        bytes[at % length] = byte;
        if let Err(error) = Policy::parse(&bytes) {
            for problem in error.problems() {
                proptest::prop_assert!(problem.line >= 1 && problem.column >= 1);
            }
        }
    }
}
