use super::*;
use crate::compile::operator_test;
use crate::json::{Bounds, read};

fn truth(operator: Operator, value: &str, actual: Option<&str>) -> Truth {
    let value = read(value.as_bytes(), Bounds::DOCUMENT).unwrap();
    let actual = actual.map(|text| read(text.as_bytes(), Bounds::ARGUMENTS).unwrap());
    let test = operator_test(operator, &value.value).unwrap();
    test.truth(actual.as_ref().map(|node| &node.value))
}

/// A value that each operator takes.
const TAKEN: [(Operator, &str); 11] = [
    (Operator::Eq, "null"),
    (Operator::Neq, "1"),
    (Operator::Lt, "1"),
    (Operator::Lte, "1"),
    (Operator::Gt, "-1"),
    (Operator::Gte, "-1"),
    (Operator::In, "[null]"),
    (Operator::NotIn, "[]"),
    (Operator::Exists, "true"),
    (Operator::Regex, "\"\""),
    (Operator::Contains, "\"\""),
];

#[test]
fn nothing_is_true_of_a_missing_argument_but_that_it_is_missing() {
    for (operator, value) in TAKEN {
        for missing in [None, Some("null")] {
            assert_eq!(
                truth(operator, value, missing),
                Truth::False,
                "{}",
                operator.name()
            );
        }
    }
    for missing in [None, Some("null")] {
        assert_eq!(truth(Operator::Exists, "false", missing), Truth::True);
    }
    assert_eq!(truth(Operator::Exists, "false", Some("\"\"")), Truth::False);
}

#[test]
fn an_argument_of_a_type_that_the_test_says_nothing_about_leaves_it_undecided() {
    let rows: [(&[Operator], &str, &[&str]); 4] = [
        (
            &[Operator::Lt, Operator::Lte, Operator::Gt, Operator::Gte],
            "1",
            &["\"1\"", "true", "[1]", "{}"],
        ),
        (&[Operator::Regex], "\"1\"", &["1", "true", "[\"1\"]", "{}"]),
        (
            &[Operator::Contains],
            "\"a\"",
            &["1", "false", "{\"a\":\"a\"}"],
        ),
        (&[Operator::Contains], "1", &["\"1\"", "1", "{}"]),
    ];
    for (operators, value, actuals) in rows {
        for operator in operators {
            for actual in actuals {
                let got = truth(*operator, value, Some(actual));
                assert_eq!(
                    got,
                    Truth::Undecided,
                    "{} {value} {actual}",
                    operator.name()
                );
            }
        }
    }
}

#[test]
fn equality_is_decided_for_every_type() {
    for (value, actual, equal) in [
        ("5", "5.0", true),
        ("5", "\"5\"", false),
        ("9007199254740993", "9007199254740992", false),
        ("1e400", "1e400", true),
        ("1e400", "1e401", false),
        ("{\"a\":1,\"b\":[2]}", "{\"b\":[2.0],\"a\":1}", true),
        ("\"A\"", "\"a\"", false),
        ("false", "0", false),
    ] {
        assert_eq!(
            truth(Operator::Eq, value, Some(actual)),
            equal.into(),
            "{value} {actual}"
        );
        assert_eq!(
            truth(Operator::Neq, value, Some(actual)),
            (!equal).into(),
            "{value} {actual}"
        );
        let list = format!("[[], {value}]");
        assert_eq!(truth(Operator::In, &list, Some(actual)), equal.into());
        assert_eq!(truth(Operator::NotIn, &list, Some(actual)), (!equal).into());
        let actual = format!("[{actual}]");
        assert_eq!(
            truth(Operator::Contains, value, Some(&actual)),
            equal.into()
        );
    }
}

/// An agent must not slip past a rule by a fraction that the server rounds away.
#[test]
fn a_fraction_that_a_double_would_round_across_the_line_leaves_it_undecided() {
    let close = ["9999.99999999999999999", "99999999999999999999e-16"];
    for actual in close {
        for (operator, decided) in [
            (Operator::Lt, None),
            (Operator::Lte, Some(Truth::True)),
            (Operator::Gt, Some(Truth::False)),
            (Operator::Gte, None),
            (Operator::Eq, None),
            (Operator::Neq, None),
        ] {
            let got = truth(operator, "10000", Some(actual));
            let name = operator.name();
            assert_eq!(got, decided.unwrap_or(Truth::Undecided), "{name} {actual}");
        }
        for (operator, value, nested) in [
            (Operator::In, "[1,10000]", actual.to_owned()),
            (Operator::NotIn, "[10000]", actual.to_owned()),
            (Operator::Contains, "10000", format!("[1,{actual}]")),
            (
                Operator::Eq,
                "{\"a\":[10000]}",
                format!("{{\"a\":[{actual}]}}"),
            ),
        ] {
            let got = truth(operator, value, Some(&nested));
            assert_eq!(got, Truth::Undecided, "{} {nested}", operator.name());
        }
    }
    assert_eq!(truth(Operator::Eq, "0", Some("1e-400")), Truth::Undecided);
    assert_eq!(
        truth(Operator::Eq, "0.1", Some("0.10000000000000001")),
        Truth::Undecided
    );
    // What a double wrote, and whole numbers of 64 bits, are what they are.
    for (operator, value, actual, expected) in [
        (Operator::Eq, "0.1", "0.1", Truth::True),
        (Operator::Eq, "0.3", "0.30000000000000004", Truth::False),
        (Operator::Lt, "0.3", "0.30000000000000004", Truth::False),
        (
            Operator::Gt,
            "9007199254740992",
            "9007199254740993",
            Truth::True,
        ),
        (Operator::Lt, "1", "5e-324", Truth::True),
    ] {
        assert_eq!(truth(operator, value, Some(actual)), expected, "{actual}");
    }
}

/// Nor by a whole number that only few programs keep.
#[test]
fn a_whole_number_of_more_than_64_bits_that_a_double_would_round_across_the_line_is_undecided() {
    let (above, below) = ("18446744073709551616", "-9223372036854775808");
    for (operator, value, actual, expected) in [
        (
            Operator::Eq,
            above,
            "18446744073709551617",
            Truth::Undecided,
        ),
        (
            Operator::Gt,
            above,
            "18446744073709551617",
            Truth::Undecided,
        ),
        (Operator::Gte, above, "18446744073709551617", Truth::True),
        (
            Operator::NotIn,
            "[18446744073709551616]",
            "18446744073709551617",
            Truth::Undecided,
        ),
        (
            Operator::Lt,
            below,
            "-9223372036854775809",
            Truth::Undecided,
        ),
        (Operator::Lte, below, "-9223372036854775809", Truth::True),
        // The last ones of 64 bits, and a double of more.
        (Operator::Eq, above, "18446744073709551615", Truth::False),
        (Operator::Lt, above, "18446744073709551615", Truth::True),
        (Operator::Lt, "-9223372036854775807", below, Truth::True),
        (Operator::Eq, above, above, Truth::True),
        (Operator::Gt, above, "1e22", Truth::True),
        (Operator::Eq, "10000000000000000000000", "1e22", Truth::True),
    ] {
        let got = truth(operator, value, Some(actual));
        assert_eq!(got, expected, "{} {actual}", operator.name());
    }
}

#[test]
fn paths_descend_objects_only() {
    let arguments = r#"{"a":{"b":{"c":1}},"d":[{"b":2}],"e.f":3,"g":null,"":{"h":4}}"#;
    let arguments = read(arguments.as_bytes(), Bounds::ARGUMENTS).unwrap();
    let found = |path: &str| {
        ArgumentPath::parse(path)
            .unwrap()
            .find(&arguments)
            .is_some()
    };
    assert!(found("args.a") && found("args.a.b.c") && found("args.g"));
    for missing in [
        "args.b", "args.a.c", "args.d.0", "args.d.b", "args.e.f", "args.g.h", "args.h",
    ] {
        assert!(!found(missing), "{missing}");
    }
    for path in [
        "", "args", "args.", "args..a", "args.a.", "arg.a", "Args.a", " args.a", "a.args.b",
    ] {
        assert_eq!(ArgumentPath::parse(path), None, "{path}");
    }
}

#[test]
fn a_group_is_false_before_it_is_undecided() {
    let all = [Truth::True, Truth::False, Truth::Undecided];
    for a in all {
        for b in all {
            let expected = if a == Truth::False || b == Truth::False {
                Truth::False
            } else if a == Truth::Undecided || b == Truth::Undecided {
                Truth::Undecided
            } else {
                Truth::True
            };
            assert_eq!(a.and(b), expected, "{a} {b}");
        }
    }
}

#[test]
fn names_and_operators_agree() {
    for (name, operator) in Operator::NAMED {
        assert_eq!(operator.name(), name);
    }
}
