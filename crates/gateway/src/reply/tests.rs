use super::*;
use crate::json::scan_reply;

fn answer(message: &str, id: &str) -> Option<Answer> {
    let message = scan_reply(message.as_bytes()).expect("JSON");
    answer_to(message, scan_reply(id.as_bytes()).expect("JSON"))
}

#[test]
fn an_answer_is_told_by_the_id_of_its_request() {
    let result = r#"{"jsonrpc":"2.0","id":7,"result":{"isError":true}}"#;
    assert_eq!(answer(result, "7"), Some(Answer::Result { is_error: true }));
    assert_eq!(answer(result, "8"), None);
    assert_eq!(answer(result, "\"7\""), None);
    let escaped = r#"{"id":"\u0061","result":{}}"#;
    assert_eq!(
        answer(escaped, "\"a\""),
        Some(Answer::Result { is_error: false })
    );
    let batched = r#"[{"id":1,"result":{}},{"id":7,"error":{"code":-32601}}]"#;
    assert_eq!(
        answer(batched, "7"),
        Some(Answer::Error { code: Some(-32601) })
    );
}

#[test]
fn an_error_without_an_id_answers_the_request() {
    let error = r#"{"id":null,"error":{"code":-32700,"message":"x"}}"#;
    assert_eq!(
        answer(error, "7"),
        Some(Answer::Error { code: Some(-32700) })
    );
    assert_eq!(
        answer(r#"{"error":{"code":"x"}}"#, "7"),
        Some(Answer::Error { code: None })
    );
}

#[test]
fn requests_notifications_and_riddles_are_no_answers() {
    for message in [
        r#"{"id":7,"method":"sampling/createMessage","params":{}}"#,
        r#"{"method":"notifications/progress"}"#,
        r#"{"id":7,"result":{},"error":{"code":-32601}}"#,
        r#"{"id":7}"#,
        "[]",
        "7",
    ] {
        assert_eq!(answer(message, "7"), None, "{message}");
    }
}
