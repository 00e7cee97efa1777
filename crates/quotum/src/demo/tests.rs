use http::StatusCode;
use serde_json::{Value, json};

use super::protocol::{Answer, Executions, answer};

fn ask(executions: &Executions, message: &Value) -> (StatusCode, Value) {
    match answer(message.to_string().as_bytes(), executions) {
        Answer::Response { status, message } => (status, message),
        Answer::Accepted => panic!("{message} was answered by nothing"),
    }
}

fn request(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
    request(method, params)
}

#[test]
fn the_version_that_is_asked_for_is_agreed_on_if_it_is_known() {
    let executions = Executions::default();
    for (asked, agreed) in [("2025-03-26", "2025-03-26"), ("2024-11-05", "2025-11-25")] {
        let initialize = request("initialize", json!({ "protocolVersion": asked }));
        let (status, answer) = ask(&executions, &initialize);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer["result"]["protocolVersion"], agreed);
        assert_eq!(answer["id"], 7);
    }
}

#[test]
fn the_modern_era_discovers_and_needs_no_handshake() {
    let executions = Executions::default();
    let (_, answer) = ask(&executions, &modern("server/discover", json!({})));
    assert_eq!(answer["result"]["supportedVersions"][0], "2026-07-28");
    assert_eq!(answer["result"]["resultType"], "complete");
    let (_, answer) = ask(&executions, &modern("tools/list", json!({})));
    assert_eq!(answer["result"]["tools"].as_array().unwrap().len(), 4);
    assert_eq!(answer["result"]["resultType"], "complete");
    let (status, answer) = ask(&executions, &modern("initialize", json!({})));
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!(-32_601))
    );
}

#[test]
fn an_unknown_modern_version_is_refused_with_those_that_are_known() {
    let mut message = modern("tools/list", json!({}));
    message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2030-01-01");
    let (status, answer) = ask(&Executions::default(), &message);
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(answer["error"]["data"]["requested"], "2030-01-01");
}

#[test]
fn only_calls_that_ran_are_counted() {
    let executions = Executions::default();
    let call = json!({ "name": "create_charge", "arguments": { "amount": 5 } });
    let (_, answer) = ask(&executions, &request("tools/call", call.clone()));
    assert_eq!(answer["result"]["content"][0]["text"], "charged 5 to c-1");
    assert_eq!(answer["result"].get("resultType"), None);
    ask(&executions, &modern("tools/call", call));
    let (_, answer) = ask(
        &executions,
        &request("tools/call", json!({ "name": "other" })),
    );
    assert_eq!(answer["error"]["code"], -32_602);
    let (_, answer) = ask(&executions, &request("other", json!({})));
    assert_eq!(answer["error"]["code"], -32_601);
    assert_eq!(executions.to_json(), json!({ "create_charge": 2 }));
}

#[test]
fn notifications_and_responses_get_no_answer() {
    let executions = Executions::default();
    for message in [
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 1, "result": {} }),
    ] {
        assert_eq!(
            answer(message.to_string().as_bytes(), &executions),
            Answer::Accepted
        );
    }
}

#[test]
fn what_is_no_message_is_an_error() {
    let executions = Executions::default();
    for (text, code) in [
        ("{", -32_700),
        ("{}", -32_600),
        ("[]", -32_600),
        ("7", -32_600),
    ] {
        let Answer::Response { message, .. } = answer(text.as_bytes(), &executions) else {
            panic!("{text}")
        };
        assert_eq!(message["error"]["code"], code, "{text}");
    }
}
