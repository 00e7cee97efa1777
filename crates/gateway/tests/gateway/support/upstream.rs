//! An upstream that answers as a test tells it, and remembers what it was sent.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request as the upstream got it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What the upstream answers.
pub(crate) type Script = dyn Fn(&Seen) -> Scripted + Send + Sync;

pub(crate) enum Scripted {
    Now(Response<Body>),
    /// Answers when the token is cancelled; `dropped` is cancelled when nobody waits any more.
    When {
        released: CancellationToken,
        dropped: CancellationToken,
        answer: Response<Body>,
    },
}

#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("text"))
    }
}

impl Upstream {
    pub(crate) async fn start(script: impl Fn(&Seen) -> Scripted + Send + Sync + 'static) -> Self {
        Self::serve(None, script).await
    }

    /// The same over TLS. It is reached as `localhost`.
    pub(crate) async fn start_tls(
        tls: TlsAcceptor,
        script: impl Fn(&Seen) -> Scripted + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(tls), script).await
    }

    async fn serve(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Seen) -> Scripted + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let url = match tls {
            Some(_) => format!("https://localhost:{}/up/mcp", address.port()),
            None => format!("http://{address}/up/mcp"),
        };
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let script: Arc<Script> = Arc::new(script);
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, seen) = (Arc::clone(&script), Arc::clone(&kept));
                let service = service_fn(move |request| {
                    answer(Arc::clone(&script), Arc::clone(&seen), request)
                });
                let http = http1::Builder::new();
                match tls.clone() {
                    Some(tls) => drop(tokio::spawn(async move {
                        // A client that trusts nobody here ends the handshake.
                        if let Ok(stream) = tls.accept(stream).await {
                            let _ = http.serve_connection(TokioIo::new(stream), service).await;
                        }
                    })),
                    None => drop(tokio::spawn(
                        http.serve_connection(TokioIo::new(stream), service),
                    )),
                }
            }
        });
        Self { url, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    /// How many calls of tools have arrived.
    pub(crate) fn calls(&self) -> usize {
        let text = |seen: &&Seen| String::from_utf8_lossy(&seen.body).contains("tools");
        self.seen().iter().filter(text).count()
    }
}

async fn answer(
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Seen>>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        // Broken off: nothing was executed.
        return Ok(text(400, "text/plain", ""));
    };
    let one = Seen {
        method: head.method,
        target: head.uri.to_string(),
        headers: head.headers,
        body: body.to_bytes(),
    };
    let scripted = script(&one);
    seen.lock().expect("no panic").push(one);
    match scripted {
        Scripted::Now(answer) => Ok(answer),
        Scripted::When {
            released,
            dropped,
            answer,
        } => {
            let gone = dropped.drop_guard();
            released.cancelled().await;
            gone.disarm();
            Ok(answer)
        }
    }
}

pub(crate) fn text(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).boxed_unsync();
    let builder = Response::builder()
        .status(status)
        .header("content-type", content_type);
    builder.body(body).expect("a response")
}

pub(crate) fn json(status: u16, body: &Value) -> Scripted {
    Scripted::Now(text(status, "application/json", body.to_string()))
}

pub(crate) fn events(body: impl Into<Bytes>) -> Scripted {
    Scripted::Now(text(200, "text/event-stream", body))
}

/// A stream that goes on until its sender is dropped.
pub(crate) fn open_stream() -> (mpsc::UnboundedSender<Bytes>, Response<Body>) {
    let (sender, receiver) = mpsc::unbounded_channel::<Bytes>();
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), receiver))
    });
    let body = StreamBody::new(pieces).boxed_unsync();
    let builder = Response::builder().header("content-type", "text/event-stream");
    (sender, builder.body(body).expect("a response"))
}

/// The usual script: every call succeeds.
pub(crate) fn succeed(seen: &Seen) -> Scripted {
    let id = seen.json()["id"].clone();
    json(
        200,
        &serde_json::json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [] } }),
    )
}
