use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::json::scan_reply;

fn run(text: &str, hidden: &[&str], modern: bool) -> Result<Option<String>, Ambiguous> {
    let sight = Sight {
        visible: &|name| !hidden.contains(&name),
        names_hidden: &|text| hidden.iter().any(|name| text.contains(name)),
    };
    let message = scan_reply(text.as_bytes()).expect("JSON");
    let tasks = Tasks::On;
    let listing = Listing {
        sight,
        modern,
        tasks,
    };
    filter(message, listing)
}

#[test]
fn a_hidden_tool_goes_and_every_other_byte_stays() {
    let text = r#"{ "jsonrpc":"2.0", "id" : 1,"result":{"tools":[ {"name":"a", "x-v":{"n":1.0}} ,{"name":"b"}, {"name":"c"}],"nextCursor":null,"_meta":{"k":[ 1]}}}"#;
    let expected = r#"{ "jsonrpc":"2.0", "id" : 1,"result":{"tools":[{"name":"a", "x-v":{"n":1.0}},{"name":"c"}],"nextCursor":null,"_meta":{"k":[ 1]}}}"#;
    assert_eq!(run(text, &["b"], false), Ok(Some(expected.to_owned())));
}

#[test]
fn nothing_changes_where_nothing_is_hidden() {
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}]}}"#;
    assert_eq!(run(text, &["b"], false), Ok(None));
}

#[test]
fn an_escaped_name_is_the_same_name() {
    let text = r#"{"result":{"t\u006fols":[{"n\u0061me":"\u0062"},{"name":"a"}]}}"#;
    let filtered = run(text, &["b"], false)
        .expect("readable")
        .expect("changed");
    assert!(!filtered.contains("0062") && filtered.contains(r#""name":"a""#));
}

#[test]
fn a_page_may_become_empty_and_keeps_its_cursor() {
    let text = r#"{"id":1,"result":{"tools":[{"name":"b"}],"nextCursor":"c"}}"#;
    let expected = r#"{"id":1,"result":{"tools":[],"nextCursor":"c"}}"#;
    assert_eq!(run(text, &["b"], false), Ok(Some(expected.to_owned())));
}

#[test]
fn every_message_of_an_array_is_filtered() {
    let text = r#"[{"id":1,"result":{}},{"id":2,"result":{"tools":[{"name":"b"},{"name":"a"}]}}]"#;
    let expected = r#"[{"id":1,"result":{}},{"id":2,"result":{"tools":[{"name":"a"}]}}]"#;
    assert_eq!(run(text, &["b"], false), Ok(Some(expected.to_owned())));
    assert_eq!(
        run(r#"[[{"id":2,"result":{"tools":[]}}]]"#, &["b"], false),
        Err(Ambiguous)
    );
}

#[test]
fn elements_without_one_certain_name_are_dropped() {
    let text =
        r#"{"result":{"tools":[{"name":"a","name":"b"},{},"b",{"name":7},["b"],{"name":"c"}]}}"#;
    let expected = r#"{"result":{"tools":[{"name":"c"}]}}"#;
    assert_eq!(run(text, &["b"], false), Ok(Some(expected.to_owned())));
}

#[test]
fn a_list_with_two_readings_is_refused() {
    for text in [
        r#"{"result":{"tools":[]},"result":{"tools":[{"name":"b"}]}}"#,
        r#"{"result":{"tools":[],"tools":[{"name":"b"}]}}"#,
        r#"{"result":{"tools":{"0":{"name":"b"}}}}"#,
        r#"{"result":{"tools":[],"ttlMs":1,"ttlMs":2}}"#,
    ] {
        assert_eq!(run(text, &["b"], false), Err(Ambiguous), "{text}");
    }
}

#[test]
fn a_list_is_private_to_its_grant_and_short_lived() {
    let public = r#"{"result":{"tools":[],"ttlMs":3600000,"cacheScope":"public"}}"#;
    let private = r#"{"result":{"tools":[],"ttlMs":60000,"cacheScope":"private"}}"#;
    assert_eq!(run(public, &[], false), Ok(Some(private.to_owned())));
    assert_eq!(run(private, &[], true), Ok(None));
    let silent = r#"{"result":{"tools":[]}}"#;
    let marked = r#"{"result":{"cacheScope":"private","tools":[]}}"#;
    assert_eq!(run(silent, &[], true), Ok(Some(marked.to_owned())));
    let odd = r#"{"result":{"tools":[],"ttlMs":-1,"cacheScope":null}}"#;
    assert_eq!(run(odd, &[], true), Ok(Some(private.to_owned())));
}

#[test]
fn instructions_that_name_a_hidden_tool_are_emptied() {
    let told = |instructions: &str| {
        format!(r#"{{"id":1,"result":{{"instructions":{instructions},"serverInfo":{{}}}}}}"#)
    };
    for instructions in [
        r#""First call drop_all.""#,
        r#""First call \u0064rop_all.""#,
        r#""See predrop_allow.""#,
        r#"["x",{"y":"drop_all"}]"#,
        r#"{"drop\u005fall":1}"#,
    ] {
        let filtered = run(&told(instructions), &["drop_all"], false);
        assert_eq!(filtered, Ok(Some(told("\"\""))), "{instructions}");
        assert_eq!(run(&told(instructions), &[], false), Ok(None));
    }
    for instructions in [r#""Drop nothing.""#, "null", "7", "{}"] {
        let filtered = run(&told(instructions), &["drop_all"], false);
        assert_eq!(filtered, Ok(None), "{instructions}");
    }
    let twice = r#"{"result":{"instructions":"a","instructions":"drop_all"}}"#;
    assert_eq!(run(twice, &["drop_all"], false), Err(Ambiguous));
}

#[test]
fn other_messages_are_left_alone() {
    for text in [
        r#"{"method":"notifications/tools/list_changed"}"#,
        r#"{"id":1,"error":{"code":-1,"message":"b"}}"#,
        r#"{"id":1,"result":{"content":[],"structuredContent":{"tools":[{"name":"b"}]}}}"#,
        "null",
        "7",
    ] {
        assert_eq!(run(text, &["b"], true), Ok(None), "{text}");
    }
}

proptest! {
    #[test]
    fn the_visible_tools_stay_as_they_are_and_the_hidden_ones_vanish(
        names in prop::collection::vec("[a-e]{1,2}", 0..8),
        hidden in prop::collection::vec("[a-e]{1,2}", 0..4),
        pretty in any::<bool>(),
    ) {
        let tools: Vec<Value> =
            names.iter().map(|name| json!({"name": name, "inputSchema": {"n": 1.5}})).collect();
        let message = json!({"id": 1, "result": {"tools": tools, "x": [1, {"y": null}]}});
        let text = if pretty {
            serde_json::to_string_pretty(&message)
        } else {
            serde_json::to_string(&message)
        }.expect("serializable");
        let hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
        let filtered = run(&text, &hidden, false).expect("readable");
        prop_assert_eq!(
            filtered.is_some(),
            names.iter().any(|name| hidden.contains(&name.as_str()))
        );
        let seen: Value = serde_json::from_str(&filtered.unwrap_or(text)).expect("JSON");
        let mut expected = message;
        expected["result"]["tools"] = tools
            .into_iter()
            .filter(|tool| !hidden.contains(&tool["name"].as_str().expect("a name")))
            .collect();
        prop_assert_eq!(seen, expected);
    }
}
