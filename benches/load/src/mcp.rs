//! `http`: calls of one tool by POST, as clients without a session make them, over connections that
//! are kept, one for each call in flight.

use std::borrow::Cow;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::arguments::{Http, is_secured};
use crate::failure::{Failure, line, shortened};
use crate::limits::{BODY_BYTES_MAX, CONNECT_TIMEOUT};
use crate::pool::{Ask, Pool};
use crate::tally::Counted;
use crate::tls;

#[cfg(test)]
mod tests;

/// The newest protocol version that knows sessions, which are optional in it.
const VERSION: &str = "2025-11-25";

/// How a denial begins, and what follows when no counter answered.
const DENIED: &str = "[POLICY DENIED] ";
const UNAVAILABLE: &str = "The rate limit cannot be checked right now.";

/// Connections with one call on each.
pub(crate) type Link = Pool<Connection>;

/// A connection and the call that it repeats.
#[derive(Debug)]
pub(crate) struct Connection {
    call: Call,
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes; ends with this.
    _driver: AbortOnDropHandle<()>,
}

/// The call that one connection repeats.
#[derive(Debug, Clone)]
struct Call {
    url: Uri,
    /// `None`: plaintext.
    tls: Option<Arc<ClientConfig>>,
    headers: HeaderMap,
    body: Bytes,
}

/// A JSON-RPC response, as much of it as is counted.
#[derive(Debug, Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    result: Option<CallResult<'a>>,
    #[serde(borrow)]
    error: Option<RpcError<'a>>,
}

#[derive(Debug, Deserialize)]
struct CallResult<'a> {
    #[serde(rename = "isError", default)]
    is_error: bool,
    #[serde(borrow, default)]
    content: Vec<Content<'a>>,
}

#[derive(Debug, Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    text: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct RpcError<'a> {
    code: i64,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
}

/// The token in a file, or the one given.
pub(crate) fn token(file: Option<&Path>, given: Option<String>) -> Result<Option<String>, Failure> {
    let Some(file) = file else {
        return Ok(given);
    };
    let token = std::fs::read_to_string(file).map_err(|source| Failure::File {
        file: file.to_owned(),
        source,
    })?;
    Ok(Some(token.trim().to_owned()))
}

/// Opens as many connections as calls may be in flight, to the URLs in turn.
pub(crate) async fn open(http: &Http, token: Option<&str>) -> Result<Link, Failure> {
    let params = serde_json::json!({ "name": http.tool, "arguments": http.arguments });
    let body = serde_json::json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params,
    });
    let body = Bytes::from(body.to_string());
    let tls = tls::config(&http.tls)?;
    let mut connections = Vec::new();
    for url in http.urls.iter().cycle().take(http.load.in_flight as usize) {
        let call = Call {
            url: url.clone(),
            tls: tls.clone(),
            headers: headers(url, token)?,
            body: body.clone(),
        };
        connections.push(Connection::open(call).await?);
    }
    Pool::new(connections)
}

// === impl Connection ===

impl Connection {
    async fn open(call: Call) -> Result<Self, Failure> {
        let host = call.url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let by_scheme = if is_secured(&call.url) { 443 } else { 80 };
        let port = call.url.port_u16().unwrap_or(by_scheme);
        let connected = timeout(CONNECT_TIMEOUT, connect(host, port, call.tls.clone())).await;
        let connected = connected.unwrap_or_else(|elapsed| Err(elapsed.into()));
        let (sender, driver) = connected.map_err(|source| Failure::Connect {
            address: format!("{host}:{port}"),
            source,
        })?;
        Ok(Self {
            call,
            sender,
            _driver: driver,
        })
    }

    async fn exchange(&mut self) -> Result<Counted, Box<dyn Error + Send + Sync>> {
        let mut request = Request::new(Full::new(self.call.body.clone()));
        *request.method_mut() = Method::POST;
        request.headers_mut().clone_from(&self.call.headers);
        let path = self.call.url.path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX)
            .collect()
            .await?
            .to_bytes();
        let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let is_stream = kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"));
        Ok(count(head.status, is_stream, &body))
    }
}

impl Ask for Connection {
    /// Makes one call. A connection that the other side has closed is opened again, before or
    /// after the call, never for a second attempt.
    async fn ask(mut self) -> Result<(Self, Counted), Failure> {
        if self.sender.ready().await.is_err() {
            self = Self::open(self.call).await?;
        }
        let counted = match self.exchange().await {
            Ok(counted) => counted,
            Err(error) => {
                self = Self::open(self.call).await?;
                Counted::error(1, line(error.as_ref()))
            }
        };
        Ok((self, counted))
    }
}

type Driven = (SendRequest<Full<Bytes>>, AbortOnDropHandle<()>);

async fn connect(
    host: &str,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Driven, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    match tls {
        None => start(stream).await,
        Some(config) => {
            let name = ServerName::try_from(host.to_owned())?;
            start(TlsConnector::from(config).connect(name, stream).await?).await
        }
    }
}

/// HTTP/1.1 on a connection, and what moves its bytes.
async fn start(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Driven, Box<dyn Error + Send + Sync>> {
    let (sender, driver) = handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(async move {
        // The call that is on it hears of it too.
        let _ended = driver.await;
    });
    Ok((sender, AbortOnDropHandle::new(driver)))
}

fn headers(url: &Uri, token: Option<&str>) -> Result<HeaderMap, Failure> {
    const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
    let mut headers = HeaderMap::new();
    let host = url.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(host).expect("a URL is visible ASCII");
    headers.insert(HOST, host);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = HeaderValue::from_static("application/json, text/event-stream");
    headers.insert(ACCEPT, accept);
    headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(VERSION));
    if let Some(token) = token {
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut bearer = bearer.map_err(|_| Failure::Token)?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
}

/// What an answer says of its call.
fn count(status: StatusCode, is_stream: bool, body: &[u8]) -> Counted {
    let complain = |what: &str| Counted::error(1, shortened(&format!("{status}: {what}")));
    let response = match is_stream {
        false => serde_json::from_slice(body).ok(),
        true => last_event(body),
    };
    let Some(response) = response else {
        return complain(&String::from_utf8_lossy(body));
    };
    let (result, error): (Option<CallResult<'_>>, Option<RpcError<'_>>) =
        (response.result, response.error);
    if let Some(error) = error {
        return complain(&format!("error {}: {}", error.code, error.message));
    }
    let Some(result) = result.filter(|_| status == StatusCode::OK) else {
        return complain("no result");
    };
    let text = result.content.first().map_or("", |content| &content.text);
    match text.strip_prefix(DENIED) {
        _ if !result.is_error => Counted {
            admitted: 1,
            ..Counted::default()
        },
        Some(reason) if !reason.starts_with(UNAVAILABLE) => Counted {
            denied: 1,
            ..Counted::default()
        },
        _ => complain(text),
    }
}

/// The response in an event stream: events before it are notifications.
fn last_event(body: &[u8]) -> Option<Response<'_>> {
    let lines = body.split(|byte| *byte == b'\n').rev();
    let data = lines.filter_map(|line| line.strip_prefix(b"data:"));
    let mut responses = data.filter_map(|data| serde_json::from_slice(data).ok());
    responses.find(|response: &Response<'_>| response.result.is_some() || response.error.is_some())
}
