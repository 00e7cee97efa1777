//! A client that sends exactly what a test says.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::gateway::token;

/// A request to write.
pub(crate) struct Ask {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const MODERN_META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

impl Ask {
    pub(crate) fn new(method: &'static str) -> Self {
        let ask = Self {
            method,
            target: "/mcp/demo".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        ask.header("Host", "gateway.test")
            .header("Authorization", &format!("Bearer {}", token(1)))
            .header("Accept", "application/json, text/event-stream")
    }

    pub(crate) fn post(body: impl Into<Vec<u8>>) -> Self {
        let mut ask = Self::new("POST").header("Content-Type", "application/json");
        ask.body = body.into();
        let length = ask.body.len().to_string();
        ask.header("Content-Length", &length)
    }

    /// A call of the legacy era.
    pub(crate) fn call(tool: &str, arguments: Value) -> Self {
        Self::post(
            json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call",
                    "params": { "name": tool, "arguments": arguments } })
            .to_string(),
        )
    }

    /// A request of the modern era. `params` are its members, without braces.
    pub(crate) fn modern(method: &str, name: Option<&str>, params: &str) -> Self {
        let comma = if params.is_empty() { "" } else { "," };
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":"m","method":"{method}","params":{{{params}{comma}{MODERN_META}}}}}"#
        );
        let mut ask = Self::post(body)
            .header("MCP-Protocol-Version", "2026-07-28")
            .header("Mcp-Method", method);
        if let Some(name) = name {
            ask = ask.header("Mcp-Name", name);
        }
        ask
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn target(mut self, target: &str) -> Self {
        self.target = target.to_owned();
        self
    }

    /// Shows the token of another grant.
    pub(crate) fn grant(self, number: u8) -> Self {
        let bearer = format!("Bearer {}", token(number));
        self.without("Authorization")
            .header("Authorization", &bearer)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        [head.into_bytes(), self.body.clone()].concat()
    }

    /// Sends the request, and reads the answer to its end.
    pub(crate) async fn send(self, to: SocketAddr) -> Answer {
        let bytes = self.header("Connection", "close").bytes();
        let mut stream = TcpStream::connect(to).await.expect("a connection");
        // The gateway may refuse and close before everything is written.
        let _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        let _ = read.expect("an answer in time");
        Answer::parse(&answer)
    }

    /// Sends the request and leaves the connection to the test.
    pub(crate) async fn open(self, to: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(to).await.expect("a connection");
        stream.write_all(&self.bytes()).await.expect("written");
        stream
    }
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .expect("a status");
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
        let body = if chunked {
            unchunk(body)
        } else {
            body.to_owned()
        };
        Self {
            status: status.parse().expect("a number"),
            headers,
            body,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The text that a model reads.
    pub(crate) fn text(&self) -> String {
        self.json()["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        whole.push_str(&rest[..size]);
        body = rest[size..]
            .strip_prefix("\r\n")
            .expect("the end of a chunk");
    }
    whole
}

/// Waits until it is so.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, met)
        .await
        .expect("it happens");
}

/// Reads until `wanted` has come; `None`: the connection ended first.
pub(crate) async fn read_until(stream: &mut TcpStream, wanted: &str) -> Option<String> {
    let mut text = String::new();
    let mut piece = [0; 4096];
    while !text.contains(wanted) {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await;
        match read.expect("something in time") {
            Ok(0) | Err(_) => return None,
            Ok(length) => text.push_str(&String::from_utf8_lossy(&piece[..length])),
        }
    }
    Some(text)
}
