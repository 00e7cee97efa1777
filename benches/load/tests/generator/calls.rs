//! Calls over HTTP: allowed and denied ones counted, on connections that are kept.

use crate::program::{load, load_with, unused_address};
use crate::server::Server;

const SHORT: &str = "--warmup-secs 0 --output json";

#[tokio::test(flavor = "multi_thread")]
async fn allowed_and_denied_calls_are_counted_over_kept_connections() {
    let server = Server::start(25, None).await;
    let line = format!(
        "http --addr {} --in-flight 3 --secs 1 --tool echo {SHORT}",
        server.url
    );
    let run = load_with(
        &format!("{line} --args {{\"n\":7}}"),
        &[("QUOTUM_TOKEN", "secret")],
    )
    .await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        (run.count("admitted"), run.count("errors")),
        (25, 0),
        "{run:?}"
    );
    assert!(run.count("denied") > 0);
    assert_eq!(run.count("admitted") + run.count("denied"), server.calls());
    assert_eq!(server.connections(), 3);

    let (headers, message) = server.last();
    assert_eq!(headers["authorization"], "Bearer secret");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["accept"], "application/json, text/event-stream");
    assert_eq!(headers["mcp-protocol-version"], "2025-11-25");
    assert!(server.url.contains(headers["host"].to_str().unwrap()));
    assert_eq!(message["method"], "tools/call");
    assert_eq!(
        message["params"],
        serde_json::json!({ "name": "echo", "arguments": { "n": 7 } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_urls_are_called_in_turn() {
    let (one, two) = (
        Server::start(1 << 40, None).await,
        Server::start(1 << 40, None).await,
    );
    let run = load(&format!(
        "http --addr {},{} --in-flight 4 --rate 100 --secs 1 --tool echo {SHORT}",
        one.url, two.url
    ))
    .await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.count("admitted") + run.count("unsent"), 100, "{run:?}");
    assert_eq!(run.count("admitted"), one.calls() + two.calls());
    assert_eq!((one.connections(), two.connections()), (2, 2));
    assert!(!one.last().0.contains_key("authorization"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_ends_is_opened_again() {
    let server = Server::start(1 << 40, Some(5)).await;
    let run = load(&format!(
        "http --addr {} --in-flight 2 --secs 0.3 --tool echo {SHORT}",
        server.url
    ))
    .await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.count("admitted"), server.calls());
    assert!(server.connections() >= server.calls() / 5, "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_ends_with_1() {
    let dead = unused_address().await;
    let run = load(&format!(
        "http --addr http://{dead}/ --in-flight 1 --secs 1 --tool t"
    ))
    .await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(run.count("errors"), 1, "{run:?}");
    assert!(run.complaints.contains(&dead), "{run:?}");
}
