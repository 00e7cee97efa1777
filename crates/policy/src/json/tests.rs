use super::*;

const SMALL: Bounds = Bounds {
    bytes: 200,
    depth: 3,
    values: 10,
};

fn fault(text: &str) -> (usize, String, Fault) {
    let error = read(text.as_bytes(), SMALL).expect_err(text);
    (error.at, error.pointer.into(), error.fault)
}

#[test]
fn every_value_knows_its_place() {
    let text = r#" {"b" : [1, {"c": "é"}], "a": null} "#;
    let root = read(text.as_bytes(), SMALL).unwrap();
    let inner = root.get("b").unwrap();
    assert_eq!(
        &text[inner.span.start..inner.span.end],
        r#"[1, {"c": "é"}]"#
    );
    for (part, pointer) in [
        ("{\"b\"", ""),
        ("\"b\"", "/b"),
        ("1,", "/b/0"),
        ("\"c\"", "/b/1/c"),
    ] {
        let at = text.find(part).unwrap();
        assert_eq!(root.pointer_to(at).as_str(), pointer, "{part}");
    }
}

#[test]
fn escapes_are_undone() {
    let root = read(
        r#""a\"\\\/\b\f\n\r\tA\u00e9\ud83d\ude00z""#.as_bytes(),
        SMALL,
    )
    .unwrap();
    let Value::String(text) = root.value else {
        panic!("a string")
    };
    assert_eq!(text, "a\"\\/\u{8}\u{c}\n\r\tAé😀z");
}

#[test]
fn a_member_that_stands_twice_is_refused_at_any_depth_and_under_any_spelling() {
    assert_eq!(
        fault(r#"{"a":1,"a":1}"#),
        (7, "/a".into(), Fault::Duplicate)
    );
    assert_eq!(
        fault(r#"[{"a":1,"b":2,"\u0061":3}]"#),
        (14, "/0/a".into(), Fault::Duplicate)
    );
    // The first of several in document order, whatever the order of their names.
    assert_eq!(
        fault(r#"{"z":1,"z":2,"a":1,"a":2}"#),
        (7, "/z".into(), Fault::Duplicate)
    );
}

#[test]
fn bounds_hold() {
    assert!(read(b"[[[1]]]", SMALL).is_ok());
    assert_eq!(fault("[[[[1]]]]"), (3, "/0/0/0".into(), Fault::TooDeep(3)));
    assert_eq!(
        fault(&" ".repeat(201)),
        (0, String::new(), Fault::TooLong(200))
    );
    assert!(read(b"[0,0,0,0,0,0,0,0,0]", SMALL).is_ok());
    let error = fault("[0,0,0,0,0,0,0,0,0,0]");
    assert_eq!(error, (19, "/9".into(), Fault::TooManyValues(10)));
}

#[test]
fn what_is_not_one_json_value_is_refused_where_it_goes_wrong() {
    let number = |text| fault(text).2 == Fault::Number(NumberError::Malformed);
    assert!(number("01") && number("[1.]") && number("-") && number("1e"));
    assert_eq!(
        fault("1e9999999999999999").2,
        Fault::Number(NumberError::Exponent)
    );
    assert_eq!(fault("\u{feff}1"), (0, String::new(), Fault::ByteOrderMark));
    assert_eq!(fault("1 1"), (2, String::new(), Fault::Trailing));
    assert_eq!(
        fault(r#"{"a":tru}"#),
        (5, "/a".into(), Fault::Unexpected('t', "a value"))
    );
    assert_eq!(
        fault("[1,]"),
        (3, "/1".into(), Fault::Unexpected(']', "a value"))
    );
    assert_eq!(fault("{\"a\":\"\n\"}").2, Fault::ControlCharacter);
    assert_eq!(fault(r#""\x""#), (1, String::new(), Fault::Escape));
    assert_eq!(fault(r#""\u00g0""#), (1, String::new(), Fault::Escape));
    for text in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\ud800""#,
        r#""\ud800A""#,
    ] {
        assert_eq!(fault(text), (1, String::new(), Fault::Surrogate), "{text}");
    }
    for text in [
        "", "[", "{", "[1", "{\"a\"", "{\"a\":", "\"a", "\"\\", "[1,",
    ] {
        assert!(matches!(fault(text).2, Fault::End(_)), "{text}");
    }
    for text in [
        "{a:1}",
        "{1:1}",
        "[1 2]",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "'a'",
        "NaN",
        "[é]",
        "//",
    ] {
        assert!(matches!(fault(text).2, Fault::Unexpected(..)), "{text}");
    }
    assert_eq!(read(b"\"a\xff\"", SMALL).unwrap_err().at, 2);
}

#[test]
fn equality_is_by_value_and_not_by_order_of_members() {
    let same = |a: &str, b: &str| {
        let (a, b) = (
            read(a.as_bytes(), SMALL).unwrap(),
            read(b.as_bytes(), SMALL).unwrap(),
        );
        a.value.same(&b.value)
    };
    assert!(same(
        r#"{"a":[1,2.0],"b":null}"#,
        r#"{"b":null,"a":[1e0,2]}"#
    ));
    assert!(same(r#""A""#, r#""\u0041""#));
    for (a, b) in [
        ("[1,2]", "[2,1]"),
        ("[1]", "[1,1]"),
        (r#"{"a":1}"#, r#"{"b":1}"#),
        ("0", "false"),
    ] {
        assert!(!same(a, b), "{a} {b}");
    }
}

/// What serde_json makes of a value, from what we made of it.
fn rebuilt(node: &Node<'_>, text: &str) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(_) => serde_json::from_str(&text[node.span.start..node.span.end]).unwrap(),
        Value::String(text) => (&**text).into(),
        Value::Array(items) => items.iter().map(|item| rebuilt(item, text)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|member| (member.name.to_string(), rebuilt(&member.node, text)))
            .collect(),
    }
}

fn any_json() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1_000_000_i32..1_000_000).prop_map(|number| (f64::from(number) / 64.0).into()),
        ".{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::btree_map(".{0,4}", inner, 0..6)
                .prop_map(|members| members.into_iter().collect::<serde_json::Value>()),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
        let ours = read(&bytes, Bounds::DOCUMENT);
        if ours.is_ok() {
            proptest::prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        }
    }

    // The exponent is negative: digits that follow it make a number small, which both read, and not
    // larger than a double, which only we do.
    #[test]
    fn texts_made_of_tokens_are_read_as_serde_reads_them(
        text in r#"([\[\]{}:, ]|"a"|"b"|"\\n"|"\\u00e9"|1|-0\.5|2e-3|true|null){0,12}"#,
    ) {
        let serde = serde_json::from_str::<serde_json::Value>(&text);
        match (read(text.as_bytes(), Bounds::DOCUMENT), serde) {
            (Ok(root), Ok(value)) => proptest::prop_assert_eq!(rebuilt(&root, &text), value),
            (Err(error), Ok(_)) => proptest::prop_assert_eq!(error.fault, Fault::Duplicate),
            (ours, serde) => proptest::prop_assert_eq!(ours.is_ok(), serde.is_ok()),
        }
    }

    #[test]
    fn what_serde_writes_is_read_as_it_was(value in any_json(), pretty in proptest::bool::ANY) {
        let written = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = written.unwrap();
        let root = read(text.as_bytes(), Bounds::DOCUMENT).unwrap();
        proptest::prop_assert_eq!(rebuilt(&root, &text), value);
        proptest::prop_assert!(root.value.same(&root.clone().into_owned().value));
    }
}
