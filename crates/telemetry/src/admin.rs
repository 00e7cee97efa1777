//! The admin endpoint: `/metrics`, `/healthz` and `/readyz` on a port of its own.
//!
//! Promises: bounded connections, heads and times, so that whoever reaches the port cannot hold it;
//! no secret and no name of a caller is shown. Serves plain HTTP/1.1: who may connect is the
//! business of the network.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::exposition::Exposition;
use crate::limits::{
    ADMIN_CONNECTION_DURATION_MAX, ADMIN_CONNECTIONS_MAX, ADMIN_DRAIN_DURATION_MAX,
    ADMIN_HEADER_BYTES_MAX, ADMIN_HEADER_DURATION_MAX, UPKEEP_INTERVAL,
};
use crate::readiness::Readiness;

#[cfg(test)]
mod tests;

/// What the endpoint shows.
#[derive(Clone)]
struct Shown {
    exposition: Exposition,
    readiness: Readiness,
}

/// Where a refused accept is tried again: it fails for want of file descriptors, which others free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Serves until `shutdown` is cancelled, then waits a little for answers on their way.
///
/// The same loop does the upkeep of the histograms: without it their samples take memory.
pub async fn serve_admin(
    listener: TcpListener,
    exposition: Exposition,
    readiness: Readiness,
    shutdown: CancellationToken,
) {
    let shown = Shown {
        exposition,
        readiness,
    };
    let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    let mut upkeep = interval(UPKEEP_INTERVAL);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = upkeep.tick() => {
                let exposition = shown.exposition.clone();
                connections.spawn_blocking(move || exposition.upkeep());
            }
            (stream, place) = accept(&listener, &places) => {
                connections.spawn(serve(stream, place, shown.clone(), shutdown.clone()));
            }
        }
    }
    connections.close();
    if timeout(ADMIN_DRAIN_DURATION_MAX, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!("admin connections were still open at shutdown");
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "the admin endpoint cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    shown: Shown,
    shutdown: CancellationToken,
) {
    let service = service_fn(move |request| {
        let shown = shown.clone();
        async move { Ok::<_, Infallible>(answer(&request, shown).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ADMIN_HEADER_DURATION_MAX)
        .max_buf_size(ADMIN_HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let whole = async {
        tokio::select! {
            biased;
            result = connection.as_mut() => result,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    // How a scraper's connection ends is of no interest: it comes again.
    let _ = timeout(ADMIN_CONNECTION_DURATION_MAX, whole).await;
}

async fn answer(request: &Request<Incoming>, shown: Shown) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => respond(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => ready(&shown.readiness),
        "/metrics" => {
            let rendered = tokio::task::spawn_blocking(move || shown.exposition.render()).await;
            match rendered {
                Ok(text) => respond(StatusCode::OK, PROMETHEUS, text),
                Err(error) => {
                    tracing::error!(%error, "the metrics could not be rendered");
                    respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "no metrics\n")
                }
            }
        }
        _ => respond(
            StatusCode::NOT_FOUND,
            TEXT,
            "see /metrics, /healthz and /readyz\n",
        ),
    }
}

fn ready(readiness: &Readiness) -> Response<Full<Bytes>> {
    let waiting_for = readiness.waiting_for();
    let is_ready = waiting_for.is_empty();
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = serde_json::json!({ "ready": is_ready, "waiting_for": waiting_for });
    respond(status, JSON, format!("{body}\n"))
}

fn respond(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
