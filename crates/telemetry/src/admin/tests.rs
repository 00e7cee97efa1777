use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;
use crate::exposition::BuildInfo;
use crate::gateway::GatewayMetrics;

struct Admin {
    address: std::net::SocketAddr,
    readiness: Readiness,
    exposition: Exposition,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn start() -> Admin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let build = BuildInfo {
        version: "1".to_owned(),
        revision: "r".to_owned(),
    };
    let exposition = Exposition::new(&build);
    let (readiness, shutdown) = (Readiness::new(), CancellationToken::new());
    let serving = serve_admin(
        listener,
        exposition.clone(),
        readiness.clone(),
        shutdown.clone(),
    );
    Admin {
        address,
        readiness,
        exposition,
        shutdown,
        task: tokio::spawn(serving),
    }
}

async fn ask(admin: &Admin, head: &str) -> String {
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    let request = format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn each_path_has_its_answer_and_others_none() {
    let admin = start().await;
    let health = ask(&admin, "GET /healthz").await;
    assert!(health.starts_with("HTTP/1.1 200 OK\r\n") && health.ends_with("\r\n\r\nok\n"));
    for path in [
        "/",
        "/metrics/",
        "/debug/pprof",
        "/healthz/../x",
        "//metrics",
    ] {
        let answer = ask(&admin, &format!("GET {path}")).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    let posted = ask(&admin, "POST /metrics").await;
    assert!(posted.starts_with("HTTP/1.1 405 ") && posted.contains("allow: GET, HEAD"));
    let head = ask(&admin, "HEAD /healthz").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"));
}

#[tokio::test]
async fn metrics_are_text_that_passes_the_lint() {
    let admin = start().await;
    let metrics = GatewayMetrics::new(&admin.exposition);
    metrics.refused(crate::label::Stage::Parse, 400);
    let answer = ask(&admin, "GET /metrics").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{head}"
    );
    assert!(body.contains(r#"quotum_requests_refused_total{stage="parse",status_class="4xx"} 1"#));
    crate::exposition_lint::lint(body);
}

#[tokio::test]
async fn readiness_says_what_is_missing_and_can_be_taken_back() {
    let admin = start().await;
    let latches = [
        admin.readiness.latch("registry"),
        admin.readiness.latch("counters"),
    ];
    let waiting = ask(&admin, "GET /readyz").await;
    assert!(waiting.starts_with("HTTP/1.1 503 "), "{waiting}");
    assert!(waiting.ends_with("{\"ready\":false,\"waiting_for\":[\"counters\",\"registry\"]}\n"));
    drop(latches);
    let ready = ask(&admin, "GET /readyz").await;
    assert!(
        ready.starts_with("HTTP/1.1 200 ") && ready.contains("\"ready\":true"),
        "{ready}"
    );
    let _draining = admin.readiness.latch("draining");
    assert!(
        ask(&admin, "GET /readyz")
            .await
            .starts_with("HTTP/1.1 503 ")
    );
}

#[tokio::test]
async fn shutdown_ends_idle_connections_and_the_task() {
    let admin = start().await;
    let mut idle = TcpStream::connect(admin.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    admin.shutdown.cancel();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    admin.task.await.unwrap();
    assert!(TcpStream::connect(admin.address).await.is_err());
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let admin = start().await;
    let mut stream = TcpStream::connect(admin.address).await.unwrap();
    let long = format!(
        "GET /{} HTTP/1.1\r\n",
        "x".repeat(4 * ADMIN_HEADER_BYTES_MAX)
    );
    // The answer may come, and the connection end, before all of it is sent.
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        !answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}
