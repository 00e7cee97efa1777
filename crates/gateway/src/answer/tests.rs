use serde_json::Value;

use super::*;
use crate::json::JsonError;

async fn text(response: Response<Body>) -> String {
    let bytes = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[tokio::test]
async fn an_error_carries_the_id_as_the_client_wrote_it() {
    for id in ["9007199254740993", "\"a\\u0062\"", "-1"] {
        let response = refusal(&Refusal::MethodForbidden, Caller::Request(id));
        assert_eq!(response.status(), StatusCode::OK);
        let text = text(response).await;
        assert!(text.contains(&format!("\"id\":{id},")), "{text}");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["error"]["code"], -32601);
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_answered_without_an_id() {
    let response = refusal(&Refusal::Json(JsonError::Duplicate(7)), Caller::Unknown);
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let value: Value = serde_json::from_str(&text(response).await).expect("JSON");
    assert_eq!(value["id"], Value::Null);
    assert_eq!(value["error"]["code"], -32700);
}

#[tokio::test]
async fn a_notification_gets_a_status_and_nothing_else() {
    let response = refusal(&Refusal::NotificationForbidden, Caller::NoAnswer);
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(text(response).await, "");
    let response = refusal(&Refusal::MethodForbidden, Caller::NoAnswer);
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[test]
fn refused_tokens_are_told_how_to_authenticate() {
    let response = refusal(&Refusal::TokenInvalid, Caller::Unknown);
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        response.headers()[WWW_AUTHENTICATE],
        "Bearer error=\"invalid_token\""
    );
    let other = refusal(&Refusal::WrongServer, Caller::Unknown);
    assert!(!other.headers().contains_key(WWW_AUTHENTICATE));
}

#[tokio::test]
async fn an_unsupported_version_names_the_supported_ones() {
    let unsupported = Refusal::VersionUnsupported {
        requested: "2027-01-01".to_owned(),
    };
    let response = refusal(&unsupported, Caller::Request("1"));
    let value: Value = serde_json::from_str(&text(response).await).expect("JSON");
    assert_eq!(value["error"]["data"]["requested"], "2027-01-01");
    assert_eq!(value["error"]["data"]["supported"][0], MODERN);
}

#[test]
fn an_ambiguous_length_ends_the_connection() {
    let response = refusal(&Refusal::Framing, Caller::Unknown);
    assert_eq!(response.headers()[CONNECTION], "close");
    let response = refusal(&Refusal::HttpMethodUnknown, Caller::Unknown);
    assert_eq!(response.headers()[ALLOW], "POST, GET, DELETE");
    assert!(!response.headers().contains_key(CONNECTION));
}
