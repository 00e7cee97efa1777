//! A plain HTTP client: one request, one whole reply, within a deadline.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::limits::{BODY_BYTES_MAX, EXCHANGE_MAX};

/// Keeps connections open; cloning shares them.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A reply that was read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

// === impl Http ===

impl Default for Http {
    fn default() -> Self {
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            // A connection that the other side may have closed meanwhile is not used again.
            .pool_idle_timeout(Duration::from_secs(2))
            .build_http();
        Self { client }
    }
}

impl Http {
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &HeaderMap,
        body: impl Into<Bytes>,
    ) -> Result<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .body(Full::new(body.into()))?;
        *request.headers_mut() = headers.clone();
        let exchange = async {
            let (parts, body) = self.client.request(request).await?.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX)
                .collect()
                .await
                .map_err(|error| Failure::new(format!("reading the body: {error}")))?;
            let body = body.to_bytes();
            Ok(Reply {
                status: parts.status,
                headers: parts.headers,
                body,
            })
        };
        match tokio::time::timeout(EXCHANGE_MAX, exchange).await {
            Ok(reply) => reply.map_err(|failure: Failure| failure.during(url)),
            Err(_) => Err(Failure::new(format!(
                "{url}: no whole reply in {EXCHANGE_MAX:?}"
            ))),
        }
    }

    pub async fn get(&self, url: &str) -> Result<Reply> {
        self.send(Method::GET, url, &HeaderMap::new(), Bytes::new())
            .await
    }

    /// A document that must be there.
    pub async fn get_json(&self, url: &str) -> Result<Value> {
        let reply = self.get(url).await?;
        crate::ensure!(reply.status.is_success(), "{url} answered {}", reply.status);
        Ok(serde_json::from_slice(&reply.body)?)
    }
}

// === impl Reply ===

impl Reply {
    /// A header's text; absent is empty.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
