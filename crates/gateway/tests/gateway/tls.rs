//! Upstreams over https: what is trusted, and what becomes of a call to one that is not.

use serde_json::json;
use tokio::net::TcpListener;

use crate::support::authority::{Authority, Until};
use crate::support::upstream::{events, succeed};
use crate::support::{Ask, Rig, RigBuilder, Upstream};

fn echo() -> Ask {
    Ask::call("echo", json!({}))
}

async fn trusting(authority: &Authority, url: &str) -> Rig {
    RigBuilder::default()
        .roots(authority.roots())
        .start(url)
        .await
}

/// A call that must fail because of the upstream's certificate: nothing of it arrives, and its
/// units are free again.
async fn assert_refused(rig: Rig, upstream: &Upstream) {
    for _ in 0..3 {
        let answer = echo().send(rig.address).await;
        assert_eq!(answer.status, 502, "{answer:?}");
        assert_eq!(answer.json()["error"]["code"], -32603);
        assert_eq!(
            answer.json()["error"]["message"],
            "the MCP server cannot be reached"
        );
    }
    assert_eq!(upstream.seen().len(), 0);
    assert_eq!((rig.memory.acquires(), rig.memory.charged()), (3, 0));
    let records = rig.records();
    assert_eq!(records.len(), 3);
    assert_eq!(records[0]["outcome"], "allowed");
    assert_eq!(records[0]["upstream"]["status"], 0);
}

#[tokio::test]
async fn a_call_over_https_arrives_with_the_upstreams_credential() {
    let authority = Authority::new();
    let tls = authority.vouch("localhost", Until::FarAhead);
    let upstream = Upstream::start_tls(tls, succeed).await;
    let rig = trusting(&authority, &upstream.url).await;
    for _ in 0..2 {
        assert_eq!(echo().send(rig.address).await.status, 200);
    }
    assert!(
        echo()
            .send(rig.address)
            .await
            .text()
            .contains("Rate limit of 2")
    );
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(
        seen[0].header("authorization"),
        Some("Bearer upstream-secret")
    );
    assert_eq!(
        seen[0].header("host"),
        upstream
            .url
            .strip_prefix("https://")
            .and_then(|rest| rest.strip_suffix("/up/mcp"))
    );
}

#[tokio::test]
async fn an_address_is_a_name_too() {
    let authority = Authority::new();
    let tls = authority.vouch("127.0.0.1", Until::FarAhead);
    let upstream = Upstream::start_tls(tls, succeed).await;
    let by_address = upstream.url.replace("localhost", "127.0.0.1");
    let rig = trusting(&authority, &by_address).await;
    assert_eq!(echo().send(rig.address).await.status, 200);
    let rig = trusting(&authority, &upstream.url).await;
    assert_eq!(echo().send(rig.address).await.status, 502);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn lists_in_a_stream_over_https_are_filtered() {
    let authority = Authority::new();
    let tls = authority.vouch("localhost", Until::FarAhead);
    let upstream = Upstream::start_tls(tls, |_| {
        events("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"hidden\"},{\"name\":\"free\"}]}}\n\n")
    })
    .await;
    let rig = trusting(&authority, &upstream.url).await;
    let list = Ask::post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    let answer = list.send(rig.address).await;
    assert!(
        answer.body.contains("free") && !answer.body.contains("hidden"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let tls = Authority::new().vouch("localhost", Until::FarAhead);
    let upstream = Upstream::start_tls(tls, succeed).await;
    let rig = trusting(&Authority::new(), &upstream.url).await;
    assert_refused(rig, &upstream).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let tls = authority.vouch("other.test", Until::FarAhead);
    let upstream = Upstream::start_tls(tls, succeed).await;
    let rig = trusting(&authority, &upstream.url).await;
    assert_refused(rig, &upstream).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let tls = authority.vouch("localhost", Until::LongAgo);
    let upstream = Upstream::start_tls(tls, succeed).await;
    let rig = trusting(&authority, &upstream.url).await;
    assert_refused(rig, &upstream).await;
}

#[tokio::test]
async fn an_upstream_that_speaks_no_tls_is_not_spoken_to() {
    let upstream = Upstream::start(succeed).await;
    let url = upstream.url.replace("http://", "https://");
    let rig = trusting(&Authority::new(), &url).await;
    assert_refused(rig, &upstream).await;
}

/// The handshake breaks off: nothing of the call was sent.
#[tokio::test]
async fn a_handshake_that_breaks_off_gives_the_units_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let closing = tokio::spawn(async move {
        let mut closed = 0;
        while closed < 2 {
            drop(listener.accept().await.expect("a connection"));
            closed += 1;
        }
    });
    let authority = Authority::new();
    let rig = trusting(&authority, &format!("https://localhost:{port}/mcp")).await;
    for _ in 0..2 {
        assert_eq!(echo().send(rig.address).await.status, 502);
    }
    closing.await.expect("both came");
    assert_eq!((rig.memory.acquires(), rig.memory.charged()), (2, 0));
}
