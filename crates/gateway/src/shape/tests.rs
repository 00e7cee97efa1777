use super::*;
use crate::json::scan_request;

fn shape(body: &str) -> Result<Message<'_>, Refusal> {
    classify(scan_request(body.as_bytes()).expect("strict JSON"))
}

#[test]
fn the_three_shapes_are_told_by_their_members() {
    assert!(matches!(
        shape(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
        Ok(Message::Request { params: None, .. })
    ));
    assert!(matches!(
        shape(r#"{"jsonrpc":"2.0","id":"a","method":"x","params":{}}"#),
        Ok(Message::Request {
            params: Some(_),
            ..
        })
    ));
    assert!(matches!(
        shape(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
        Ok(Message::Notification { .. })
    ));
    for response in [
        r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
        r#"{"jsonrpc":"2.0","id":"1","error":{"code":1}}"#,
    ] {
        assert!(
            matches!(shape(response), Ok(Message::Response { .. })),
            "{response}"
        );
    }
}

#[test]
fn an_escaped_method_is_read_decoded() {
    let message = shape(r#"{"jsonrpc":"2.0","id":1,"\u006dethod":"tools\u002fcall"}"#);
    assert_eq!(
        message.expect("a request").call().expect("a call").0,
        "tools/call"
    );
}

#[test]
fn a_message_that_could_be_two_things_is_refused() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","result":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","error":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"params":{}}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1e3,"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","xTop":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":["tools/call"]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"tools/call"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"tools/call"}"#,
        r#"{"id":1,"method":"tools/call"}"#,
        r#"{}"#,
    ] {
        assert!(matches!(shape(body), Err(Refusal::Shape(_))), "{body}");
    }
}

#[test]
fn a_long_id_and_a_long_method_are_refused() {
    let id = "9".repeat(REQUEST_ID_BYTES_MAX + 1);
    let body = format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"ping"}}"#);
    assert!(matches!(shape(&body), Err(Refusal::Shape(_))));
    let method = "m".repeat(METHOD_BYTES_MAX + 1);
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
    assert!(matches!(shape(&body), Err(Refusal::Shape(_))));
}

#[test]
fn a_large_integer_id_keeps_its_text() {
    let message = shape(r#"{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}"#);
    let id = message.expect("a request").request_id().expect("an id");
    assert_eq!(id.text(), "9007199254740993");
}
