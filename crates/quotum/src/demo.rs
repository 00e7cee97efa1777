//! The demo MCP server: what `dev` puts behind the gateways when nothing else is named.
//!
//! Speaks 2026-07-28 and the versions from 2025-03-26 on, stateless, with JSON answers. Its tools do
//! nothing but count: `GET /executions` tells how often each of them really ran. On loopback only.
//!
//! # Layout
//! * [`protocol`]: messages and their answers, without any IO. [`tools`]: the tools.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::{DEMO_BODY_BYTES_MAX, DEMO_CONNECTIONS_MAX, DEMO_HEAD_MAX, LOOK_EVERY};

mod protocol;
mod tools;

#[cfg(test)]
mod tests;

use protocol::{Answer, Executions};

/// Serves until `shutdown` is cancelled; then cuts off what is open.
pub(crate) async fn serve(listener: TcpListener, shutdown: CancellationToken) {
    let executions = Arc::new(Executions::default());
    let places = Arc::new(Semaphore::new(DEMO_CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => {
                let place = place.expect("the semaphore is never closed");
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => break,
                    accepted = listener.accept() => accepted.map(|(stream, _)| (stream, place)),
                }
            }
        };
        match accepted {
            Ok((stream, place)) => {
                let connection = serve_connection(stream, executions.clone());
                let shutdown = shutdown.clone();
                connections.spawn(async move {
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => {}
                        () = connection => {}
                    }
                    drop(place);
                });
            }
            // For want of file descriptors, which others free.
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
    connections.close();
    connections.wait().await;
}

async fn serve_connection(stream: TcpStream, executions: Arc<Executions>) {
    let service = service_fn(move |request| {
        let executions = executions.clone();
        async move { Ok::<_, Infallible>(answer(request, &executions).await) }
    });
    // Answers leave at once, or a kept connection waits for acknowledgements.
    let _ = stream.set_nodelay(true);
    // How a connection ends is of no interest here: its client sees it.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(DEMO_HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, executions: &Executions) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/mcp") => {
            let body = Limited::new(request.into_body(), DEMO_BODY_BYTES_MAX);
            match body.collect().await {
                Ok(body) => mcp(&body.to_bytes(), executions),
                Err(_) => plain(StatusCode::PAYLOAD_TOO_LARGE, "the message is too long\n"),
            }
        }
        (_, "/mcp") => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only POST\n");
            let post = HeaderValue::from_static("POST");
            response.headers_mut().insert(ALLOW, post);
            response
        }
        (&Method::GET, "/executions") => json(StatusCode::OK, executions.to_json().to_string()),
        _ => plain(StatusCode::NOT_FOUND, "see /mcp and /executions\n"),
    }
}

fn mcp(message: &[u8], executions: &Executions) -> Response<Full<Bytes>> {
    match protocol::answer(message, executions) {
        Answer::Accepted => plain(StatusCode::ACCEPTED, ""),
        Answer::Response { status, message } => json(status, message.to_string()),
    }
}

fn json(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    respond(status, "application/json", text)
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text)
}

fn respond(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
