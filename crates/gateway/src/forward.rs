//! Forwarding: the validated bytes to the configured address, with headers written afresh. What
//! may have been received is never sent again, and no redirect is followed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use quotum_registry::view::Server;
use rustls::ClientConfig;

use crate::era::{Era, routing_name};
use crate::gate::{Gate, GatedBody, Passage};
use crate::headers::{
    self, LAST_EVENT_ID, MCP_METHOD, MCP_NAME, MCP_PROTOCOL_VERSION, MCP_SESSION_ID,
};
use crate::hygiene::Verb;
use crate::json::Raw;
use crate::limits::{
    UPSTREAM_CONNECT_TIMEOUT, UPSTREAM_IDLE_MAX, UPSTREAM_IDLE_TIMEOUT, UPSTREAM_KEEPALIVE_AFTER,
    UPSTREAM_KEEPALIVE_INTERVAL, UPSTREAM_KEEPALIVE_RETRIES, UPSTREAM_LEAVE_TIMEOUT,
};
use crate::relay::Settling;
use crate::session::Session;
use crate::settle::End;

#[cfg(test)]
mod tests;

/// The connections to all upstreams. Cheap to clone.
#[derive(Clone)]
pub struct Upstreams {
    client: Client<HttpsConnector<HttpConnector>, GatedBody>,
    head_timeout: Duration,
}

/// A request as the gateway has understood it.
#[derive(Debug, Clone, Copy)]
pub struct Forward<'a> {
    pub server: &'a Server,
    pub verb: Verb,
    pub era: Era,
    pub session: Option<&'a Session>,
    /// The event after which a stream is taken up, by the upstream's own id.
    pub last_event: Option<&'a str>,
    /// The method and the parameters of the message, if it has any.
    pub call: Option<(&'a str, Option<Raw<'a>>)>,
    /// The headers that the client sent.
    pub client: &'a HeaderMap,
    /// The message, byte for byte as it was checked.
    pub body: &'a Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the upstream cannot be used as it is configured")]
    Unusable,
    #[error("the upstream cannot be reached")]
    NotSent,
    #[error("the upstream shows a certificate that is not accepted here")]
    Untrusted,
    #[error("the admission ended before the request could leave")]
    Late,
    #[error("the upstream did not begin to answer in time")]
    Timeout,
    #[error("the connection broke before the upstream answered")]
    Broken,
}

/// How often a request is tried whose earlier attempts provably did not leave: a kept connection
/// may have been closed by the other side in the meantime.
const ATTEMPTS_MAX: usize = 2;

// === impl Upstreams ===

impl Upstreams {
    /// Connects with `tls` to upstreams over https. `head_timeout`: how long an upstream may take
    /// until its reply begins.
    pub fn new(tls: ClientConfig, head_timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(UPSTREAM_CONNECT_TIMEOUT));
        tcp.set_keepalive(Some(UPSTREAM_KEEPALIVE_AFTER));
        tcp.set_keepalive_interval(Some(UPSTREAM_KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(UPSTREAM_KEEPALIVE_RETRIES));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(UPSTREAM_IDLE_TIMEOUT)
            .pool_max_idle_per_host(UPSTREAM_IDLE_MAX)
            .retry_canceled_requests(false)
            .set_host(true)
            .build(connector);
        Self {
            client,
            head_timeout,
        }
    }

    /// Sends a request and waits for the head of its answer. The units of `settling` must hold in the
    /// instant in which it leaves. If this is dropped before, they are settled as of a request that
    /// was not sent; else, that is left to the caller.
    pub async fn send(
        &self,
        forward: &Forward<'_>,
        settling: &mut Settling,
    ) -> Result<Response<Incoming>, SendError> {
        let mut attempts = 1;
        loop {
            let gate = Gate::new(settling.units.clone());
            let request = forward.request(&gate).ok_or(SendError::Unusable)?;
            let waiting = Waiting {
                gate: &gate,
                settling: Some(&mut *settling),
            };
            let outcome = self.try_send(request, &gate).await;
            waiting.end();
            let failed = match outcome {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            if failed.retry == Retry::Useless || attempts == ATTEMPTS_MAX {
                let server = forward.server.spec.name.as_str();
                let (error, cause) = (failed.error, failed.cause);
                tracing::warn!(server, %error, cause, "a request to an upstream failed");
                return Err(error);
            }
            attempts += 1;
        }
    }

    async fn try_send(
        &self,
        request: Request<GatedBody>,
        gate: &Gate,
    ) -> Result<Response<Incoming>, Failed> {
        // The gate of a request without a body is never asked.
        let bodiless = http_body::Body::is_end_stream(request.body());
        let outcome = tokio::select! {
            biased;
            outcome = self.client.request(request) => outcome,
            () = kept_waiting(gate), if !bodiless => {
                return Err(Failed::late(SendError::NotSent));
            }
            () = tokio::time::sleep(self.head_timeout) => {
                return Err(Failed::late(match gate.close() {
                    Passage::None if !bodiless => SendError::NotSent,
                    Passage::Late => SendError::Late,
                    Passage::None | Passage::Left => SendError::Timeout,
                }));
            }
        };
        outcome.map_err(|error| {
            let cause = trace(&error);
            let (error, retry) = match gate.close() {
                Passage::Late => (SendError::Late, Retry::Useless),
                Passage::Left => (SendError::Broken, Retry::Useless),
                Passage::None if error.is_connect() && cause.rejects_certificate => {
                    (SendError::Untrusted, Retry::Useless)
                }
                Passage::None if error.is_connect() => (SendError::NotSent, Retry::Useless),
                Passage::None if bodiless => (SendError::Broken, Retry::Useless),
                Passage::None => (SendError::NotSent, Retry::Sensible),
            };
            Failed {
                error,
                cause: cause.text,
                retry,
            }
        })
    }
}

/// Returns when a request has waited too long to leave: nothing of it leaves any more. Of one that
/// leaves in time, it says nothing.
async fn kept_waiting(gate: &Gate) {
    tokio::time::sleep(UPSTREAM_LEAVE_TIMEOUT).await;
    if gate.close() != Passage::None {
        std::future::pending::<()>().await;
    }
}

/// Somebody waits for the answer to a request. Dropped while it waits, since the client has left:
/// what has not left by then never will.
struct Waiting<'a> {
    gate: &'a Gate,
    /// `None`: nobody waits any more.
    settling: Option<&'a mut Settling>,
}

// === impl Waiting ===

impl Waiting<'_> {
    fn end(mut self) {
        self.settling = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(settling) = self.settling.take()
            && self.gate.close() != Passage::Left
        {
            settling.settle(End::NotSent);
        }
    }
}

/// An attempt that got no answer.
struct Failed {
    error: SendError,
    /// For the log.
    cause: String,
    retry: Retry,
}

/// Whether another attempt could help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    Sensible,
    Useless,
}

// === impl Failed ===

impl Failed {
    /// Time has run out.
    fn late(error: SendError) -> Self {
        Self {
            error,
            cause: "timeout".to_owned(),
            retry: Retry::Useless,
        }
    }
}

/// What an error of the HTTP client goes back to.
struct Trace {
    text: String,
    rejects_certificate: bool,
}

/// Follows an error to its first cause. What an `io::Error` was made of is no source of its own, so
/// it is looked for inside.
fn trace(error: &(dyn std::error::Error + 'static)) -> Trace {
    let mut trace = Trace {
        text: error.to_string(),
        rejects_certificate: false,
    };
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(inside) = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
        {
            next = Some(inside);
            continue;
        }
        trace.rejects_certificate |= matches!(
            error.downcast_ref::<rustls::Error>(),
            Some(rustls::Error::InvalidCertificate(_))
        );
        trace.text.push_str(": ");
        trace.text.push_str(&error.to_string());
        next = error.source();
    }
    trace
}

// === impl Forward ===

impl Forward<'_> {
    /// The request; `None`: the server's entry makes none.
    fn request(&self, gate: &Arc<Gate>) -> Option<Request<GatedBody>> {
        let uri: Uri = self.server.spec.url.as_str().parse().ok()?;
        let bytes = match self.verb {
            Verb::Post => self.body.clone(),
            Verb::Get | Verb::Delete => Bytes::new(),
        };
        let mut request = Request::new(GatedBody::new(bytes, Arc::clone(gate)));
        *request.method_mut() = match self.verb {
            Verb::Post => Method::POST,
            Verb::Get => Method::GET,
            Verb::Delete => Method::DELETE,
        };
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers()?;
        Some(request)
    }

    fn headers(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(16);
        headers::copy_to_upstream(self.client, &mut headers);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static("quotum"));
        if self.verb == Verb::Post {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(version) = self.era.version() {
            headers.insert(MCP_PROTOCOL_VERSION, HeaderValue::from_static(version));
        }
        match self.era {
            Era::Modern => self.put_routing(&mut headers)?,
            Era::Legacy(_) => self.put_session(&mut headers)?,
        }
        for (name, value) in self.server.credential().ok()?.iter() {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Some(headers)
    }

    /// The routing headers of the modern era, from the body.
    fn put_routing(&self, headers: &mut HeaderMap) -> Option<()> {
        let (method, params) = self.call?;
        headers.insert(MCP_METHOD, HeaderValue::from_str(method).ok()?);
        if let Some(name) = routing_name(method, params) {
            headers.insert(MCP_NAME, HeaderValue::from_str(&name).ok()?);
        }
        headers::copy_params_to_upstream(self.client, headers);
        Some(())
    }

    fn put_session(&self, headers: &mut HeaderMap) -> Option<()> {
        if let Some(session) = self.session {
            headers.insert(
                MCP_SESSION_ID,
                HeaderValue::from_str(&session.upstream).ok()?,
            );
        }
        if let Some(last) = self.last_event {
            headers.insert(LAST_EVENT_ID, HeaderValue::from_str(last).ok()?);
        }
        Some(())
    }
}
