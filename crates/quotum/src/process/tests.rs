use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

#[tokio::test]
async fn a_process_is_not_ready_before_it_has_started() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (admin, starting) = Admin::start(listener, exposition());

    let early = readyz(address).await;
    assert!(early.starts_with("HTTP/1.1 503 "), "{early}");
    assert!(early.contains(r#""waiting_for":["start"]"#), "{early}");
    let registry = admin.readiness.latch("registry");
    starting.release();
    assert!(readyz(address).await.starts_with("HTTP/1.1 503 "));
    registry.release();
    let ready = readyz(address).await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    admin.shutdown().await;
}

/// The answer to `GET /readyz`, head and body.
async fn readyz(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
