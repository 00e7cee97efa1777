use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::{Outcome, outcome, response};
use crate::http::Reply;

fn reply(content_type: &'static str, body: &str) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static(content_type));
    Reply {
        status: StatusCode::OK,
        headers,
        body: Bytes::from(body.to_owned()),
    }
}

#[test]
fn a_denial_is_told_from_an_error_of_the_tool() {
    let body = |text: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "result": {
            "content": [{"type": "text", "text": text}], "isError": true,
            "_meta": {"io.quotum/decision": {"rule": "(default deny)"}},
        }})
        .to_string()
    };
    let denied = outcome(
        &reply("application/json", &body("[POLICY DENIED] no")),
        &json!(1),
    );
    let decision = json!({"rule": "(default deny)"});
    assert_eq!(
        denied,
        Outcome::Denied {
            text: "no".into(),
            decision
        }
    );
    let failed = outcome(&reply("application/json", &body("no")), &json!(1));
    assert_eq!(failed, Outcome::Allowed { text: "no".into() });
}

#[test]
fn a_response_is_found_among_the_events_of_a_stream() {
    let stream = "id: 1\ndata:\n\nevent: message\r\ndata: {\"method\":\"x\"}\r\n\r\n\
                  data: {\"id\":7,\ndata: \"result\":{}}\n\n";
    let found = response(&reply("text/event-stream", stream), &json!(7));
    assert_eq!(found.expect("there is one"), json!({"id": 7, "result": {}}));
}

#[test]
fn a_second_response_to_the_same_request_is_a_failure() {
    let stream = "data: {\"id\":7,\"result\":{}}\n\ndata: {\"id\":7,\"result\":{}}\n\n";
    let twice = response(&reply("text/event-stream", stream), &json!(7));
    assert!(twice.is_err_and(|failure| failure.to_string().contains("answered twice")));
}

#[test]
fn a_reply_that_is_no_message_is_lost() {
    let lost = outcome(&reply("text/html", "<html>"), &Value::from(1));
    assert!(matches!(lost, Outcome::Lost { .. }));
}
