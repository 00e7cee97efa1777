//! Sessions of the legacy era: sealed, bound to a grant, known to every gateway.

use serde_json::json;

use crate::support::upstream::text;
use crate::support::{Ask, Rig, Scripted, Seen, Upstream};

/// A server with sessions: it mints one, and repeats it on every answer.
async fn with_sessions() -> Upstream {
    Upstream::start(|seen: &Seen| {
        let request = seen.json();
        let status = if request["method"].is_null() {
            202
        } else {
            200
        };
        let body = if request["method"].is_null() {
            String::new()
        } else {
            let result = json!({ "content": [] });
            json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }).to_string()
        };
        let mut answer = text(status, "application/json", body);
        answer
            .headers_mut()
            .insert("mcp-session-id", "upstream-session".parse().expect("id"));
        Scripted::Now(answer)
    })
    .await
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

async fn opened(rig: &Rig) -> String {
    let answer = Ask::post(INITIALIZE).send(rig.address).await;
    answer
        .header("mcp-session-id")
        .expect("a session")
        .to_owned()
}

#[tokio::test]
async fn a_session_of_one_gateway_is_known_to_the_other() {
    let upstream = with_sessions().await;
    let (first, second) = (
        Rig::start(&upstream.url).await,
        Rig::start(&upstream.url).await,
    );
    let session = opened(&first).await;
    assert!(!session.contains("upstream"), "{session}");
    for rig in [&first, &second] {
        let answer = Ask::call("free", json!({}))
            .header("Mcp-Session-Id", &session)
            .header("MCP-Protocol-Version", "2025-11-25")
            .send(rig.address)
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("mcp-session-id"), Some(&*session));
    }
    for seen in &upstream.seen()[1..] {
        assert_eq!(seen.header("mcp-session-id"), Some("upstream-session"));
        assert_eq!(seen.header("mcp-protocol-version"), Some("2025-11-25"));
    }
}

#[tokio::test]
async fn nobody_else_can_use_it() {
    let upstream = with_sessions().await;
    let rig = Rig::start(&upstream.url).await;
    let session = opened(&rig).await;
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    for ask in [
        Ask::call("free", json!({})).grant(2),
        Ask::post(response).grant(2),
        Ask::new("GET").grant(2),
        Ask::new("DELETE").grant(2),
        Ask::new("GET").grant(3).target("/mcp/other"),
    ] {
        let answer = ask
            .header("Mcp-Session-Id", &session)
            .send(rig.address)
            .await;
        assert_eq!(answer.status, 404, "{answer:?}");
    }
    let unsealed = Ask::call("free", json!({}))
        .header("Mcp-Session-Id", "upstream-session")
        .send(rig.address);
    assert_eq!(unsealed.await.status, 404);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_response_needs_the_session_on_whose_stream_its_request_came() {
    let upstream = with_sessions().await;
    let rig = Rig::start(&upstream.url).await;
    let response = r#"{"jsonrpc":"2.0","id":"sampling-1","result":{"role":"assistant"}}"#;
    assert_eq!(Ask::post(response).send(rig.address).await.status, 400);
    assert_eq!(upstream.seen().len(), 0);
    let session = opened(&rig).await;
    let bound = Ask::post(response)
        .header("Mcp-Session-Id", &session)
        .send(rig.address)
        .await;
    assert_eq!(bound.status, 202);
    assert_eq!(upstream.seen()[1].body, response);
}

#[tokio::test]
async fn a_session_is_ended_by_its_owner() {
    let upstream = with_sessions().await;
    let rig = Rig::start(&upstream.url).await;
    assert_eq!(Ask::new("DELETE").send(rig.address).await.status, 400);
    let session = opened(&rig).await;
    let ended = Ask::new("DELETE")
        .header("Mcp-Session-Id", &session)
        .send(rig.address)
        .await;
    assert_eq!(ended.status, 202);
    let seen = upstream.seen().remove(1);
    assert_eq!(seen.method, http::Method::DELETE);
    assert_eq!(seen.header("mcp-session-id"), Some("upstream-session"));
    let modern = Ask::new("DELETE")
        .header("Mcp-Session-Id", &session)
        .header("MCP-Protocol-Version", "2026-07-28")
        .send(rig.address)
        .await;
    assert_eq!((modern.status, modern.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn only_initialize_mints_a_session() {
    let upstream = with_sessions().await;
    let rig = Rig::start(&upstream.url).await;
    let answer = Ask::call("free", json!({})).send(rig.address).await;
    assert_eq!(
        (answer.status, answer.header("mcp-session-id")),
        (200, None)
    );
}
