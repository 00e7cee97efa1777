//! What `docs/denials.md` shows is what a gateway answers and records.

use std::time::Duration;

use serde_json::{Value, json};

use super::TOOL;
use super::cluster::{Answer, Dev, send_message, until};

const GUIDE: &str = include_str!("../../../../docs/denials.md");

/// What differs from run to run: compared is what kind it is of.
const VOLATILE: [&str; 8] = [
    "decision_id",
    "policy_revision",
    "reset_after_ms",
    "retry_after_ms",
    "time_ms",
    "grant_id",
    "term",
    "index",
];

/// The blocks of the guide, each with its language.
fn blocks() -> impl Iterator<Item = (&'static str, &'static str)> {
    // Every other piece stands between two fences.
    let inside = GUIDE.split("```").skip(1).step_by(2);
    inside.map(|block| block.split_once('\n').unwrap())
}

fn examples() -> [Value; 3] {
    let json = blocks().filter(|(language, _)| *language == "json");
    let values: Vec<Value> = json
        .map(|(_, text)| serde_json::from_str(text).unwrap())
        .collect();
    values.try_into().expect("two answers and a record")
}

/// Replaces what differs from run to run by what kind it is of.
fn masked(value: &Value) -> Value {
    let kind = |value: &Value| match value {
        Value::Number(_) => json!("a number"),
        Value::String(_) => json!("a text"),
        other => other.clone(),
    };
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match VOLATILE.contains(&name.as_str()) {
                true => (name.clone(), kind(value)),
                false => (name.clone(), masked(value)),
            })
            .collect(),
        Value::Array(values) => values.iter().map(masked).collect(),
        Value::String(text) => match text.split_once("Retry in ") {
            Some((before, _)) => json!(format!("{before}Retry in some seconds.")),
            None => value.clone(),
        },
        other => other.clone(),
    }
}

/// A header's value, and the whole seconds that it ends with.
fn with_seconds(value: &str) -> (&str, u64) {
    let text = value.trim_end_matches(|c: char| c.is_ascii_digit());
    (text, value[text.len()..].parse().unwrap())
}

/// Calls until the limit denies: in one minute or, where it ends, in the next.
fn denied(dev: &Dev) -> Answer {
    let call = json!({
        "jsonrpc": "2.0",
        "id": 31,
        "method": "tools/call",
        "params": { "name": TOOL, "arguments": { "to": "+491700000000", "flow": "welcome" } },
    });
    let mut calls = (0..62).map(|_| send_message(dev.gateway(0), dev.token(0), &call));
    let answer = calls.find(|answer| answer.body["result"]["isError"] == true);
    answer.expect("30 calls a minute are allowed")
}

#[test]
fn the_guide_to_denials_shows_what_a_gateway_answers() {
    let [by_limit, by_rule, record] = examples();
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "1"]);
    let answer = denied(&dev);
    assert_eq!(answer.status, 200);
    assert_eq!(masked(&answer.body), masked(&by_limit));
    let meta = &answer.body["result"]["_meta"]["io.quotum/decision"];
    assert!((1..=60_000).contains(&meta["retry_after_ms"].as_u64().unwrap()));

    let headers = blocks().find(|(_, text)| text.starts_with("RateLimit-Policy: "));
    for line in headers.unwrap().1.lines() {
        let (name, shown) = line.split_once(": ").unwrap();
        let told = answer.header(name);
        let told = told.unwrap_or_else(|| panic!("there is no {name}"));
        let (text, seconds) = with_seconds(told);
        assert_eq!(text, with_seconds(shown).0, "{name}");
        assert!((1..=60).contains(&seconds), "{name}: {told}");
    }

    let id = &meta["decision_id"];
    let mut recorded = None;
    until("the decision's record", Duration::from_secs(10), || {
        let records = dev.records(1);
        recorded = records.into_iter().find(|one| one["decision_id"] == *id);
        recorded.is_some()
    });
    assert_eq!(masked(&recorded.unwrap()), masked(&record));

    let call = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": { "name": "create_charge", "arguments": { "amount": 10_001 } },
    });
    let answer = send_message(dev.gateway(0), dev.token(0), &call);
    assert_eq!(masked(&answer.body), masked(&by_rule));
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(answer.header("ratelimit"), None);
}
