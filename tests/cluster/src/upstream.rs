//! The MCP server behind the gateways: it runs what arrives, and counts it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use quotum_e2e::failure::Result;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::network::OUTSIDE;

/// The largest message.
const BODY_BYTES_MAX: usize = 64 << 10;

/// A server on the bridge; it ends with this.
#[derive(Debug)]
pub struct Upstream {
    pub url: String,
    executions: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

// === impl Upstream ===

impl Upstream {
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((OUTSIDE, 0))).await?;
        let url = format!("http://{}/mcp", listener.local_addr()?);
        let executions = Arc::<AtomicU64>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, executions.clone()));
        Ok(Self {
            url,
            executions,
            _tasks: tasks,
        })
    }

    /// How many calls ran.
    pub fn executions(&self) -> u64 {
        self.executions.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, executions: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let executions = executions.clone();
        let service = service_fn(move |request| {
            let executions = executions.clone();
            async move { Ok::<_, Infallible>(answer(request, &executions).await) }
        });
        connections.spawn(async move {
            // How a connection ends, its client sees.
            let _ended = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>, executions: &AtomicU64) -> Response<Full<Bytes>> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX);
    let body = body.collect().await.map(|body| body.to_bytes());
    let message: Value = body
        .ok()
        .and_then(|body| serde_json::from_slice(&body).ok())
        .unwrap_or_default();
    let (status, answer) = match message["method"].as_str() {
        Some("tools/call") => {
            let number = executions.fetch_add(1, Ordering::SeqCst) + 1;
            let content = json!([{ "type": "text", "text": format!("call {number}") }]);
            let result = json!({ "content": content, "isError": false, "resultType": "complete" });
            (StatusCode::OK, json!({ "result": result }))
        }
        _ => {
            let error = json!({ "code": -32_601, "message": "unknown method" });
            (StatusCode::NOT_FOUND, json!({ "error": error }))
        }
    };
    let mut answer = answer;
    answer["jsonrpc"] = "2.0".into();
    answer["id"] = message["id"].clone();
    let mut response = Response::new(Full::from(answer.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
