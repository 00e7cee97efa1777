//! The life of requests and streams: bounds, revocation, clients that leave, the end.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quotum_registry::Change;
use quotum_registry::name::GrantId;
use quotum_registry::server::Refund;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::client::{PATIENCE, read_until, until};
use crate::support::upstream::{Body, open_stream, succeed, text};
use crate::support::{Ask, Rig, RigBuilder, Scripted, Upstream};

/// An upstream whose first GET is an open stream.
async fn streaming() -> (tokio::sync::mpsc::UnboundedSender<bytes::Bytes>, Upstream) {
    let (sender, answer) = open_stream();
    sender.send(": open\n\n".into()).expect("open");
    let answer: Mutex<Option<http::Response<Body>>> = Mutex::new(Some(answer));
    let upstream = Upstream::start(move |seen| {
        if seen.method == http::Method::GET {
            let answer = answer.lock().expect("no panic").take();
            return Scripted::Now(answer.unwrap_or_else(|| text(405, "text/plain", "")));
        }
        succeed(seen)
    })
    .await;
    (sender, upstream)
}

/// An upstream that answers calls when it is released.
async fn waiting() -> (CancellationToken, CancellationToken, Upstream) {
    let (released, dropped) = (CancellationToken::new(), CancellationToken::new());
    let (release, drop) = (released.clone(), dropped.clone());
    let upstream = Upstream::start(move |_| Scripted::When {
        released: release.clone(),
        dropped: drop.clone(),
        answer: text(
            200,
            "application/json",
            json!({ "jsonrpc": "2.0", "id": 7, "result": { "content": [] } }).to_string(),
        ),
    })
    .await;
    (released, dropped, upstream)
}

#[tokio::test]
async fn a_stream_ends_when_its_grant_is_revoked() {
    let (_sender, upstream) = streaming().await;
    let mut rig = Rig::start(&upstream.url).await;
    let mut client = Ask::new("GET").open(rig.address).await;
    assert!(read_until(&mut client, ": open").await.is_some());
    rig.change(Change::RevokeGrant {
        id: GrantId::new("g1").expect("an id"),
    });
    // The end of a chunked body.
    assert!(read_until(&mut client, "0\r\n\r\n").await.is_some());
    let after = Ask::call("free", json!({})).send(rig.address).await;
    assert_eq!(after.status, 401);
}

#[tokio::test]
async fn a_tool_that_is_hidden_meanwhile_is_hidden_on_open_streams() {
    let (sender, upstream) = streaming().await;
    let mut rig = Rig::start(&upstream.url).await;
    let mut client = Ask::new("GET").open(rig.address).await;
    assert!(read_until(&mut client, ": open").await.is_some());
    let document = r#"{"version":"1","default":"allow","hide":["echo"]}"#;
    rig.change(Change::PutPolicy {
        name: quotum_registry::name::Name::new("p").expect("a name"),
        document: quotum_registry::policy::Document::new(document),
    });
    let list = r#"data: {"id":7,"result":{"tools":[{"name":"echo"},{"name":"last"}]}}"#;
    sender.send(format!("{list}\n\n").into()).expect("open");
    let seen = read_until(&mut client, "last").await.expect("a list");
    assert!(!seen.contains("echo"), "{seen}");
}

#[tokio::test]
async fn an_expired_grant_and_an_old_registry_open_nothing() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    rig.now_ms.store(2_000_000, Ordering::SeqCst);
    assert_eq!(
        Ask::call("free", json!({})).send(rig.address).await.status,
        401
    );
    let stale = RigBuilder::default()
        .age(Duration::from_secs(3_601))
        .start(&upstream.url)
        .await;
    let answer = Ask::call("free", json!({})).send(stale.address).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("5"))
    );
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn open_requests_of_a_grant_are_bounded() {
    let (released, _dropped, upstream) = waiting().await;
    let rig = RigBuilder::default().open_max(1).start(&upstream.url).await;
    let mut first = Ask::call("free", json!({})).open(rig.address).await;
    until(|| upstream.seen().len() == 1).await;
    let second = Ask::call("free", json!({})).send(rig.address).await;
    assert_eq!(
        (second.status, second.header("retry-after")),
        (429, Some("1"))
    );
    released.cancel();
    assert!(read_until(&mut first, "content").await.is_some());
    drop(first);
    let other = Ask::call("free", json!({}))
        .grant(2)
        .send(rig.address)
        .await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn the_upstream_request_ends_with_its_client() {
    let (_released, dropped, upstream) = waiting().await;
    let rig = Rig::start(&upstream.url).await;
    let client = Ask::modern("tools/call", Some("echo"), r#""name":"echo""#)
        .open(rig.address)
        .await;
    until(|| upstream.seen().len() == 1).await;
    drop(client);
    tokio::time::timeout(PATIENCE, dropped.cancelled())
        .await
        .expect("the upstream is told");
    assert_eq!(rig.memory.charged(), 1, "it may have run");
    let records = rig.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["outcome"], "allowed");
}

/// What Linux tells of a connection: 2 stands for the timer of its next keepalive probe.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_silent_connection_to_an_upstream_is_probed() {
    let (_sender, upstream) = streaming().await;
    let rig = Rig::start(&upstream.url).await;
    let mut client = Ask::new("GET").open(rig.address).await;
    assert!(read_until(&mut client, ": open").await.is_some());
    let port: u16 = upstream.url["http://127.0.0.1:".len()..]
        .split('/')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    let remote = format!("0100007F:{port:04X}");
    let timer = || {
        let table = std::fs::read_to_string("/proc/self/net/tcp").expect("a table");
        let mut fields = table.lines().map(|line| line.split_whitespace());
        let mut line = fields.find(|line| line.clone().nth(2) == Some(&remote))?;
        line.nth(5)?.split(':').next().map(str::to_owned)
    };
    until(|| timer().as_deref() == Some("02")).await;
}

/// An upstream over https that takes connections and never says a word, and its address.
async fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, format!("https://127.0.0.1:{port}/mcp"))
}

#[tokio::test]
async fn a_client_that_leaves_before_its_call_does_gets_its_units_back() {
    for (refund, charged) in [(Refund::NotExecuted, 0), (Refund::Never, 1)] {
        let (listener, url) = mute().await;
        let rig = RigBuilder::default().refund(refund).start(&url).await;
        let client = Ask::call("echo", json!({})).open(rig.address).await;
        let connection = tokio::time::timeout(PATIENCE, listener.accept()).await;
        let _connection = connection.expect("in time").expect("a connection");
        assert_eq!(rig.memory.charged(), 1);
        drop(client);
        // Told when the call is given up, after its units are settled.
        let decided = r#"quotum_decisions_total{server="demo",tool="echo","#;
        until(|| rig.exposition.render().contains(decided)).await;
        assert_eq!(rig.memory.charged(), charged, "{refund:?}");
        let refunded = r#"quotum_refunds_total{shard="0",reason="not_executed"} 1"#;
        let told = rig.exposition.render().contains(refunded);
        assert_eq!(told, charged == 0, "{refund:?}");
    }
}

#[tokio::test]
async fn a_call_that_ran_out_of_time_keeps_its_units_only_if_it_had_left() {
    let (_listener, url) = mute().await;
    let impatient = || RigBuilder::default().head_timeout(Duration::from_millis(200));
    let rig = impatient().start(&url).await;
    let answer = Ask::call("echo", json!({})).send(rig.address).await;
    assert_eq!((answer.status, rig.memory.charged()), (502, 0));
    let (_released, _dropped, upstream) = waiting().await;
    let rig = impatient().start(&upstream.url).await;
    let answer = Ask::call("echo", json!({})).send(rig.address).await;
    assert_eq!((answer.status, rig.memory.charged()), (504, 1));
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn draining_finishes_calls_and_ends_streams() {
    let (released, _dropped, upstream) = waiting().await;
    let (_sender, streams) = streaming().await;
    let rig = Rig::start(&upstream.url).await;
    let streaming_rig = Rig::start(&streams.url).await;
    let mut call = Ask::call("echo", json!({})).open(rig.address).await;
    until(|| upstream.seen().len() == 1).await;
    rig.shutdown.cancel();
    let refused = async {
        while tokio::net::TcpStream::connect(rig.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused)
        .await
        .expect("nothing more is accepted");
    released.cancel();
    assert!(
        read_until(&mut call, "content").await.is_some(),
        "the call is finished"
    );
    let served = tokio::time::timeout(PATIENCE, rig.served)
        .await
        .expect("it stops");
    assert!(served.expect("no panic").is_ok());

    let mut stream = Ask::new("GET").open(streaming_rig.address).await;
    assert!(read_until(&mut stream, ": open").await.is_some());
    streaming_rig.shutdown.cancel();
    assert!(
        read_until(&mut stream, "0\r\n\r\n").await.is_some(),
        "the stream is ended"
    );
    let served = tokio::time::timeout(PATIENCE, streaming_rig.served)
        .await
        .expect("it stops");
    assert!(served.expect("no panic").is_ok());
}

#[tokio::test]
async fn draining_has_a_deadline() {
    let (_released, dropped, upstream) = waiting().await;
    let rig = RigBuilder::default()
        .drain(Duration::from_millis(50))
        .start(&upstream.url)
        .await;
    let _call = Ask::call("echo", json!({})).open(rig.address).await;
    until(|| upstream.seen().len() == 1).await;
    rig.shutdown.cancel();
    let served = tokio::time::timeout(PATIENCE, rig.served)
        .await
        .expect("it stops");
    assert!(served.expect("no panic").is_ok());
    tokio::time::timeout(PATIENCE, dropped.cancelled())
        .await
        .expect("the call is cut off");
}

#[tokio::test]
async fn metrics_name_only_tools_that_are_known() {
    let upstream = Upstream::start(succeed).await;
    let rig = Rig::start(&upstream.url).await;
    Ask::call("free", json!({})).send(rig.address).await;
    Ask::call("made-up", json!({})).send(rig.address).await;
    Ask::post("{").send(rig.address).await;
    let text = rig.exposition.render();
    let has = |parts: &[&str]| {
        text.lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    };
    assert!(
        has(&[
            "quotum_decisions_total{",
            "tool=\"free\"",
            "outcome=\"allowed\""
        ]),
        "{text}"
    );
    assert!(has(&[
        "quotum_decisions_total{",
        "tool=\"unknown\"",
        "reason=\"default_deny\""
    ]));
    assert!(!text.contains("made-up"));
    assert!(has(&[
        "quotum_requests_refused_total{stage=\"parse\",status_class=\"4xx\"} 1"
    ]));
}

#[tokio::test]
async fn a_made_up_tool_that_a_policy_allows_is_no_label_either() {
    let upstream = Upstream::start(succeed).await;
    let policy = r#"{"version":"1","default":"allow","tools":{"free":{}},"all_tools":
        {"limits":[{"counter":"all","window":"minute","max":1}]}}"#;
    let rig = RigBuilder::default()
        .policy(policy)
        .start(&upstream.url)
        .await;
    // Each takes the last unit of its grant.
    for (grant, tool) in [(1, "made-up"), (2, "free")] {
        let ask = Ask::call(tool, json!({})).grant(grant);
        ask.send(rig.address).await;
    }
    assert_eq!(upstream.calls(), 2);
    let text = rig.exposition.render();
    assert!(!text.contains("made-up"), "{text}");
    for tool in ["unknown", "free"] {
        let near =
            format!(r#"quotum_limit_near_total{{server="demo",tool="{tool}",counter="all"}} 1"#);
        assert!(text.contains(&near), "{text}");
    }
}
