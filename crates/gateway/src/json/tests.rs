use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn nested(depth: usize) -> Vec<u8> {
    format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    use JsonError::*;
    let cases: &[(&[u8], JsonError)] = &[
        (br#"[{"a":1}]"#, NotObject),
        (br#""a""#, NotObject),
        (b"", NotObject),
        (b"   ", NotObject),
        (b"\xef\xbb\xbf{}", NotObject),
        (b"\xff\xfe{\0}\0", NotUtf8),
        (b"{\"a\":\"x\xff\"}", NotUtf8),
        (b"{\"a\":\"tools\xc0\xafcall\"}", NotUtf8),
        (br#"{"a":1,"a":2}"#, Duplicate(13)),
        (br#"{"name":1,"n\u0061me":2}"#, Duplicate(24)),
        (br#"{"x":[{"y":{"k":1,"k":2}}]}"#, Duplicate(24)),
        (br#"{"a":"\ud800"}"#, Syntax(12)),
        (br#"{"a":"\ud800\u0041"}"#, Syntax(18)),
        (br#"{"a":"\udc00"}"#, Syntax(12)),
        (br#"{"\ud800":1}"#, Syntax(8)),
        (br#"{"a":1} {}"#, Syntax(8)),
        (b"{\"a\":1}\0", Syntax(7)),
        (br#"{"a":1,}"#, Syntax(7)),
        (br#"{"a":[1,]}"#, Syntax(8)),
        (
            br#"{"a":1 // no
        }"#,
            Syntax(7),
        ),
        (br#"{"a":NaN}"#, Syntax(5)),
        (br#"{"a":Infinity}"#, Syntax(5)),
        (br#"{"a":01}"#, Syntax(6)),
        (br#"{"a":+1}"#, Syntax(5)),
        (br#"{"a":.5}"#, Syntax(5)),
        (br#"{"a":1.}"#, Syntax(7)),
        (br#"{"a":1e}"#, Syntax(7)),
        (br#"{"a":1e400}"#, NumberOutOfRange(5)),
        (b"{\"a\":\"\n\"}", Syntax(6)),
        (br#"{"a":"\x41"}"#, Syntax(7)),
        (br#"{a:1}"#, Syntax(1)),
        (br#"{'a':1}"#, Syntax(1)),
        (br#"{"a" 1}"#, Syntax(5)),
        (br#"{"a":1"#, Syntax(6)),
        (br#"{"a":"#, Syntax(5)),
        (br#"{"a":tru}"#, Syntax(5)),
        (br#"{"a":True}"#, Syntax(5)),
    ];
    for (body, expected) in cases {
        assert_eq!(
            scan_request(body),
            Err(*expected),
            "{}",
            body.escape_ascii()
        );
    }
}

#[test]
fn the_members_keep_their_order_their_bytes_and_their_decoded_names() {
    let body = br#" { "\u006dethod" : "tools\/call" , "params":{ "n": 1.0 } ,"id": 12345678901234567890 } "#;
    let members = scan_request(body).expect("valid");
    let seen: Vec<(&str, &str)> = members
        .iter()
        .map(|(name, value)| (name.as_ref(), value.text()))
        .collect();
    assert_eq!(
        seen,
        [
            ("method", r#""tools\/call""#),
            ("params", r#"{ "n": 1.0 }"#),
            ("id", "12345678901234567890"),
        ]
    );
    assert_eq!(members[0].1.string().expect("a string"), "tools/call");
    assert!(members[2].1.is_integer());
}

#[test]
fn depth_is_bounded_and_the_bound_itself_is_accepted() {
    assert!(scan_request(&nested(JSON_DEPTH_MAX - 1)).is_ok());
    assert!(matches!(
        scan_request(&nested(JSON_DEPTH_MAX)),
        Err(JsonError::TooDeep(_))
    ));
    assert!(matches!(
        scan_request(&nested(200_000)),
        Err(JsonError::TooDeep(_))
    ));
    assert!(matches!(
        scan_reply(&nested(200_000)),
        Err(JsonError::TooDeep(_))
    ));
}

#[test]
fn members_of_one_object_are_bounded() {
    let object = |count: usize| {
        let members: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    };
    assert_eq!(
        scan_request(&object(JSON_MEMBERS_MAX)).map(|m| m.len()),
        Ok(JSON_MEMBERS_MAX)
    );
    assert!(matches!(
        scan_request(&object(JSON_MEMBERS_MAX + 1)),
        Err(JsonError::TooManyMembers(_))
    ));
}

#[test]
fn a_number_of_five_thousand_digits_is_out_of_range() {
    let body = format!("{{\"a\":{}}}", "9".repeat(5_000));
    assert_eq!(
        scan_request(body.as_bytes()),
        Err(JsonError::NumberOutOfRange(5))
    );
    assert!(scan_request(br#"{"a":123456789012345678901234567890}"#).is_ok());
}

#[test]
fn a_reply_may_hold_a_lone_surrogate_and_reads_as_a_replacement_character() {
    let reply = scan_reply(br#" {"a\ud800":"\udc00x\ud83d\ude00"} "#).expect("readable");
    let (name, value) = reply.members().next().expect("one member");
    assert_eq!(name, "a\u{fffd}");
    assert_eq!(value.string().expect("a string"), "\u{fffd}x😀");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |n| n.is_finite())
            .prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn rebuild(raw: Raw<'_>) -> Value {
    match raw.kind() {
        Kind::Object => raw
            .members()
            .map(|(name, value)| (name.into_owned(), rebuild(value)))
            .collect(),
        Kind::Array => raw.elements().map(rebuild).collect(),
        Kind::String => Value::from(raw.string().expect("a string").into_owned()),
        _ => serde_json::from_str(raw.text()).expect("a leaf"),
    }
}

proptest! {
    #[test]
    fn every_object_that_serde_writes_is_accepted_and_read_alike(
        members in prop::collection::btree_map(any::<String>(), any_json(), 0..6),
        pretty in any::<bool>(),
    ) {
        let value = Value::Object(members.into_iter().collect());
        let text = if pretty {
            serde_json::to_string_pretty(&value)
        } else {
            serde_json::to_string(&value)
        }.expect("serializable");
        // Read back by the same reader: writing and reading a double may change its last digit.
        let value: Value = serde_json::from_str(&text).expect("JSON");
        let scanned: BTreeMap<String, Value> = scan_request(text.as_bytes())
            .expect("valid")
            .into_iter()
            .map(|(name, raw)| (name.into_owned(), rebuild(raw)))
            .collect();
        prop_assert_eq!(Value::Object(scanned.into_iter().collect()), value.clone());
        prop_assert_eq!(rebuild(scan_reply(text.as_bytes()).expect("valid")), value);
    }

    /// Mutated documents: what the strict scan accepts, serde accepts; what only serde accepts is
    /// refused by one of the stricter rules, never as bad syntax.
    #[test]
    fn agrees_with_serde_about_what_is_json(
        value in any_json(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = serde_json::to_vec(&serde_json::json!({ "a": value })).expect("bytes");
        for (index, byte) in edits {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let serde = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes);
        match scan_request(&bytes) {
            Ok(_) => prop_assert!(serde.is_ok(), "{}", bytes.escape_ascii()),
            Err(
                JsonError::Duplicate(_)
                | JsonError::TooDeep(_)
                | JsonError::TooManyMembers(_)
                | JsonError::NumberOutOfRange(_),
            ) => {}
            Err(_) => prop_assert!(serde.is_err(), "{}", bytes.escape_ascii()),
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let request = scan_request(&bytes);
        let reply = scan_reply(&bytes);
        prop_assert!(request.is_err() || reply.is_ok());
    }
}
