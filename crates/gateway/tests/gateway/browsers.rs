//! Pages in browsers: those that are listed may call and read, and no others.

use crate::support::upstream::succeed;
use crate::support::{Ask, Rig, RigBuilder, Upstream};

const PAGE: &str = "https://app.example";

fn question(origin: &str) -> Ask {
    Ask::new("OPTIONS")
        .without("Authorization")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header(
            "Access-Control-Request-Headers",
            "authorization,content-type",
        )
}

fn ping(origin: &str) -> Ask {
    Ask::post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).header("Origin", origin)
}

#[tokio::test]
async fn a_listed_page_may_call_and_read() {
    let upstream = Upstream::start(succeed).await;
    let rig = RigBuilder::default()
        .origin(PAGE)
        .start(&upstream.url)
        .await;
    let answer = question(PAGE).send(rig.address).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("POST, GET, DELETE")
    );
    let allowed = answer
        .header("access-control-allow-headers")
        .unwrap_or_default();
    assert!(allowed.contains("authorization") && allowed.contains("mcp-session-id"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    for (ask, status) in [
        (ping(PAGE), 200),
        (ping(PAGE).without("Authorization"), 401),
    ] {
        let answer = ask.send(rig.address).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn no_other_page_may_call_or_ask() {
    let upstream = Upstream::start(succeed).await;
    let listed = RigBuilder::default()
        .origin(PAGE)
        .start(&upstream.url)
        .await;
    let none = Rig::start(&upstream.url).await;
    for rig in [&listed, &none] {
        for origin in [
            "https://app.example.evil.test",
            "http://app.example",
            "null",
        ] {
            for ask in [question(origin), ping(origin)] {
                let answer = ask.send(rig.address).await;
                assert_eq!(answer.status, 403, "{origin}: {answer:?}");
                assert_eq!(answer.header("access-control-allow-origin"), None);
            }
        }
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn what_is_no_question_of_a_browser_is_no_method() {
    let upstream = Upstream::start(succeed).await;
    let rig = RigBuilder::default()
        .origin(PAGE)
        .start(&upstream.url)
        .await;
    for method in ["OPTIONS", "HEAD", "PUT", "PATCH", "TRACE"] {
        let answer = Ask::new(method).send(rig.address).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(
            answer.header("allow"),
            Some("POST, GET, DELETE"),
            "{method}"
        );
    }
    let elsewhere = question(PAGE).target("/metrics").send(rig.address).await;
    assert_eq!(elsewhere.status, 404);
    assert_eq!(upstream.seen().len(), 0);
}
