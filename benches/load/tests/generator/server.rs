//! An MCP server of one tool, which admits as many calls as it is told and denies the others.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A server that serves until the test ends.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) url: String,
    max: u64,
    /// Ends each connection after this many calls.
    calls_per_connection: Option<u64>,
    /// `None`: plaintext.
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    calls: AtomicU64,
    connections: AtomicU64,
    last: Mutex<(HeaderMap, Value)>,
}

// === impl Server ===

impl Server {
    pub(crate) async fn start(max: u64, calls_per_connection: Option<u64>) -> Self {
        Self::start_with("http", max, calls_per_connection, None).await
    }

    pub(crate) async fn secured(max: u64, config: ServerConfig) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start_with("https", max, None, Some(acceptor)).await
    }

    async fn start_with(
        scheme: &str,
        max: u64,
        calls_per_connection: Option<u64>,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("{scheme}://{}/mcp/demo", listener.local_addr().unwrap()),
            max,
            calls_per_connection,
            tls,
            shared: Arc::default(),
        };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.shared.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serving.clone().shake(stream));
            }
        });
        server
    }

    pub(crate) fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The last request.
    pub(crate) fn last(&self) -> (HeaderMap, Value) {
        self.shared.last.lock().unwrap().clone()
    }

    async fn shake(self, stream: TcpStream) {
        match self.tls.clone() {
            None => self.serve(stream).await,
            Some(tls) => {
                // Who is not believed goes away.
                if let Ok(stream) = tls.accept(stream).await {
                    self.serve(stream).await;
                }
            }
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) {
        let stream = TokioIo::new(stream);
        let calls = AtomicU64::new(0);
        let (server, calls) = (&self, &calls);
        let service = service_fn(|request| async move {
            let mut response = server.answer(request).await;
            if server.calls_per_connection == Some(calls.fetch_add(1, Ordering::Relaxed) + 1) {
                let close = http::HeaderValue::from_static("close");
                response
                    .headers_mut()
                    .insert(http::header::CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        });
        let served = hyper::server::conn::http1::Builder::new().serve_connection(stream, service);
        // The client leaves when it is done.
        let _left = served.await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let message = serde_json::from_slice(&body).unwrap();
        *self.shared.last.lock().unwrap() = (head.headers, message);
        let is_allowed = self.shared.calls.fetch_add(1, Ordering::Relaxed) < self.max;
        let text = match is_allowed {
            true => "done",
            false => "[POLICY DENIED] Rate limit reached.",
        };
        let result = serde_json::json!({
            "jsonrpc": "2.0", "id": 1,
            "result": { "content": [{ "type": "text", "text": text }], "isError": !is_allowed },
        });
        let mut response = Response::new(Full::new(Bytes::from(result.to_string())));
        let json = http::HeaderValue::from_static("application/json");
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, json);
        response
    }
}
