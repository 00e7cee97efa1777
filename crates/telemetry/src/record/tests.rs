use super::*;
use crate::escape::is_escaped;

pub(crate) fn record(number: u64) -> DecisionRecord {
    DecisionRecord {
        time_ms: 1_800_000_000_000 + number,
        decision_id: format!("d{number}"),
        grant_id: "01hzy".to_owned(),
        grant: "alice".to_owned(),
        server: "demo".to_owned(),
        method: "tools/call".to_owned(),
        tool: Some("create_charge".to_owned()),
        policy: Some(PolicyRevision {
            name: "strict".to_owned(),
            revision: 7,
        }),
        outcome: Outcome::Denied,
        rule: "/tools/create_charge/limits/spend".to_owned(),
        path: Path::Exact,
        position: Some(LogPosition {
            shard: 0,
            term: 2,
            index: 41,
        }),
        arguments: vec!["reason".to_owned(), "amount".to_owned()],
        upstream: Some(UpstreamAnswer {
            status: 200,
            latency_us: 1_250,
        }),
        client_request_id: Some("17".to_owned()),
        trace_id: None,
    }
}

#[test]
fn a_record_is_one_line_with_sorted_argument_names() {
    assert_eq!(
        record(3).to_line(),
        concat!(
            r#"{"kind":"decision","time_ms":1800000000003,"decision_id":"d3","grant":"alice","#,
            r#""grant_id":"01hzy","server":"demo","method":"tools/call","tool":"create_charge","#,
            r#""policy":"strict","policy_revision":7,"outcome":"denied","#,
            r#""rule":"/tools/create_charge/limits/spend","path":"exact","#,
            r#""position":{"shard":0,"term":2,"index":41},"arguments":["amount","reason"],"#,
            r#""upstream":{"status":200,"latency_us":1250},"client_request_id":"17","trace_id":null}"#,
            "\n"
        )
    );
}

#[test]
fn no_name_can_break_a_line() {
    let hostile = "x\",\"outcome\":\"allowed\"}\n{\u{85}\u{2028}\u{202e}\u{9b}31m\0\r\\";
    let mut record = record(1);
    record.tool = Some(hostile.to_owned());
    record.arguments = vec![hostile.to_owned(), "\u{7f}\u{e0041}".to_owned()];
    record.client_request_id = Some(hostile.to_owned());
    record.rule = hostile.to_owned();
    let line = record.to_line();
    let content = line.strip_suffix('\n').unwrap();
    assert!(!content.chars().any(is_escaped), "{line:?}");
    let read: serde_json::Value = serde_json::from_str(content).unwrap();
    assert_eq!(read["tool"], hostile);
    assert_eq!(read["outcome"], "denied");
    assert_eq!(read["arguments"][0], hostile);
}

#[test]
fn every_control_character_of_unicode_is_escaped() {
    let mut record = record(1);
    for c in (0..=0x2fff)
        .filter_map(char::from_u32)
        .filter(|c| c.is_control())
    {
        record.tool = Some(c.to_string());
        let line = record.to_line();
        assert!(!line.trim_end_matches('\n').contains(c), "{c:?}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&line).unwrap()["tool"],
            c.to_string()
        );
    }
}

#[test]
fn long_texts_and_many_arguments_are_cut() {
    let mut record = record(1);
    record.tool = Some("é".repeat(100_000));
    record.arguments = (0..1_000).map(|number| format!("a{number:04}")).collect();
    let line = record.to_line();
    assert!(line.len() < 4_096, "{}", line.len());
    let read: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        read["tool"].as_str().unwrap(),
        format!("{}...", "é".repeat(128))
    );
    assert_eq!(
        read["arguments"].as_array().unwrap().len(),
        RECORD_ARGUMENTS_MAX
    );
    assert_eq!(read["arguments_omitted"], 1_000 - RECORD_ARGUMENTS_MAX);
}
