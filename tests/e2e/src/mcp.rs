//! A plain MCP client over HTTP: nothing between the test and the bytes. Speaks both eras.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use crate::ensure;
use crate::failure::{Failure, Result};
use crate::http::{Http, Reply};

#[cfg(test)]
mod tests;

pub const MODERN: &str = "2026-07-28";
pub const LEGACY: &str = "2025-11-25";

/// Where the gateway says what it decided.
pub const DECISION: &str = "io.quotum/decision";
/// How every denial begins.
pub const DENIED: &str = "[POLICY DENIED] ";

/// One client of one grant.
#[derive(Debug, Clone)]
pub struct Session {
    http: Http,
    url: String,
    token: String,
    era: Era,
    last_id: Arc<AtomicU64>,
}

/// How the client talks, as it found out or was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Era {
    Modern,
    Legacy { session: Option<String> },
}

/// What became of one `tools/call`.
#[derive(Debug, Clone)]
pub struct Answer {
    pub sent: Instant,
    pub received: Instant,
    pub outcome: Outcome,
    /// `None`: no reply at all.
    pub reply: Option<Reply>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The upstream's own result, an error of the tool included.
    Allowed { text: String },
    /// The gateway's denial: its text without [`DENIED`], and its decision.
    Denied { text: String, decision: Value },
    /// A JSON-RPC error.
    Error { code: i64, message: String },
    /// No answer that MCP knows: a status, or a connection that broke.
    Lost { why: String },
}

// === impl Session ===

impl Session {
    /// A client that speaks the newest version and has no session.
    pub fn modern(http: &Http, url: &str, token: &str) -> Self {
        Self {
            http: http.clone(),
            url: url.to_owned(),
            token: token.to_owned(),
            era: Era::Modern,
            last_id: Arc::default(),
        }
    }

    /// A client that opened a session.
    pub async fn legacy(http: &Http, url: &str, token: &str) -> Result<Self> {
        let mut session = Self::modern(http, url, token);
        session.era = Era::Legacy { session: None };
        let params = json!({
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": { "name": "quotum-e2e", "version": "1.0.0" },
        });
        let reply = session.post("initialize", params).await?;
        response(&reply.reply, &reply.id).map_err(|failure| failure.during("initialize"))?;
        let id = reply.reply.header("mcp-session-id");
        session.era = Era::Legacy {
            session: (!id.is_empty()).then(|| id.to_owned()),
        };
        session.notify("notifications/initialized").await?;
        Ok(session)
    }

    /// What the SDKs do by themselves: asks for the newest version, else opens a session.
    pub async fn open(http: &Http, url: &str, token: &str) -> Result<Self> {
        let session = Self::modern(http, url, token);
        let reply = session.post("server/discover", json!({})).await?;
        let answer = response(&reply.reply, &reply.id);
        match answer.is_ok_and(|answer| answer.get("result").is_some()) {
            true => Ok(session),
            false => Self::legacy(http, url, token).await,
        }
    }

    /// The same client, sent to another address.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..self.clone()
        }
    }

    pub fn era(&self) -> &Era {
        &self.era
    }

    /// The names in `tools/list`, in its order.
    pub async fn tools(&self) -> Result<Vec<String>> {
        let reply = self.post("tools/list", json!({})).await?;
        let answer = response(&reply.reply, &reply.id)?;
        let tools = answer.pointer("/result/tools").and_then(Value::as_array);
        let tools = tools.ok_or_else(|| Failure::new(format!("no list of tools: {answer}")))?;
        Ok(tools
            .iter()
            .filter_map(|tool| tool["name"].as_str())
            .map(str::to_owned)
            .collect())
    }

    /// Calls a tool once. Whatever happens is an answer.
    pub async fn call(&self, tool: &str, arguments: Value) -> Answer {
        let sent = Instant::now();
        let posted = self
            .post(
                "tools/call",
                json!({ "name": tool, "arguments": arguments }),
            )
            .await;
        let received = Instant::now();
        match posted {
            Ok(Posted { id, reply }) => {
                let outcome = outcome(&reply, &id);
                Answer {
                    sent,
                    received,
                    outcome,
                    reply: Some(reply),
                }
            }
            Err(failure) => {
                let outcome = Outcome::Lost {
                    why: failure.to_string(),
                };
                Answer {
                    sent,
                    received,
                    outcome,
                    reply: None,
                }
            }
        }
    }

    /// Ends the session, and tells the status of the answer.
    pub async fn end(&self) -> Result<StatusCode> {
        let headers = self.headers("", &Value::Null)?;
        let ended = self.http.send(Method::DELETE, &self.url, &headers, "");
        Ok(ended.await?.status)
    }

    async fn notify(&self, method: &str) -> Result {
        let headers = self.headers(method, &Value::Null)?;
        let body = json!({ "jsonrpc": "2.0", "method": method }).to_string();
        let reply = self
            .http
            .send(Method::POST, &self.url, &headers, body)
            .await?;
        ensure!(
            reply.status.is_success(),
            "{method} was answered {}",
            reply.status
        );
        Ok(())
    }

    async fn post(&self, method: &str, mut params: Value) -> Result<Posted> {
        let id = Value::from(self.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        let headers = self.headers(method, &params)?;
        if self.era == Era::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let reply = self
            .http
            .send(Method::POST, &self.url, &headers, body.to_string())
            .await?;
        Ok(Posted { id, reply })
    }

    fn headers(&self, method: &str, params: &Value) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| -> Result {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
            Ok(())
        };
        put("authorization", &format!("Bearer {}", self.token))?;
        put("content-type", "application/json")?;
        put("accept", "application/json, text/event-stream")?;
        match &self.era {
            Era::Modern => {
                put("mcp-protocol-version", MODERN)?;
                put("mcp-method", method)?;
                if let Some(name) = params["name"].as_str() {
                    put("mcp-name", name)?;
                }
            }
            Era::Legacy { .. } if method == "initialize" => {}
            Era::Legacy { session } => {
                put("mcp-protocol-version", LEGACY)?;
                if let Some(session) = session {
                    put("mcp-session-id", session)?;
                }
            }
        }
        Ok(headers)
    }
}

struct Posted {
    id: Value,
    reply: Reply,
}

// === impl Answer ===

impl Answer {
    pub fn is_allowed(&self) -> bool {
        matches!(self.outcome, Outcome::Allowed { .. })
    }

    pub fn is_lost(&self) -> bool {
        matches!(self.outcome, Outcome::Lost { .. })
    }

    /// Whether a limit with units left over from nothing denied it, and said so as documented.
    pub fn is_denied_by(&self, rule: &str) -> bool {
        matches!(&self.outcome, Outcome::Denied { decision, .. } if decision["rule"] == rule)
    }

    /// Whether it was denied because no counter answered.
    pub fn is_unavailable(&self) -> bool {
        const TEXT: &str = "The rate limit cannot be checked right now. Retry later.";
        matches!(&self.outcome, Outcome::Denied { text, .. } if text == TEXT)
    }

    pub fn header(&self, name: &str) -> &str {
        self.reply.as_ref().map_or("", |reply| reply.header(name))
    }
}

/// The one response to request `id` in a reply, which is JSON or an event stream.
pub fn response(reply: &Reply, id: &Value) -> Result<Value> {
    let messages = messages(reply)?;
    let mut responses = messages.into_iter().filter(|message| message["id"] == *id);
    let first = responses.next();
    let first = first.ok_or_else(|| {
        Failure::new(format!(
            "status {} and no response: {}",
            reply.status,
            reply.text()
        ))
    })?;
    ensure!(
        responses.next().is_none(),
        "request {id} was answered twice: {}",
        reply.text()
    );
    Ok(first)
}

fn messages(reply: &Reply) -> Result<Vec<Value>> {
    if !reply
        .header("content-type")
        .starts_with("text/event-stream")
    {
        return Ok(vec![
            serde_json::from_slice(&reply.body).unwrap_or(Value::Null),
        ]);
    }
    let text = reply.text().replace("\r\n", "\n");
    let data = text.split("\n\n").map(|event| {
        let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
        lines
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n")
    });
    // The first event of a stream may have an id and no data.
    let data = data.filter(|data| !data.is_empty());
    data.map(|data| Ok(serde_json::from_str(&data)?)).collect()
}

fn outcome(reply: &Reply, id: &Value) -> Outcome {
    let answer = match response(reply, id) {
        Ok(answer) => answer,
        Err(failure) => {
            return Outcome::Lost {
                why: failure.to_string(),
            };
        }
    };
    if let Some(error) = answer.get("error") {
        let message = error["message"].as_str().unwrap_or_default().to_owned();
        return Outcome::Error {
            code: error["code"].as_i64().unwrap_or_default(),
            message,
        };
    }
    let result = &answer["result"];
    let text = result
        .pointer("/content/0/text")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match (text.strip_prefix(DENIED), result["isError"].as_bool()) {
        (Some(text), Some(true)) => Outcome::Denied {
            text: text.to_owned(),
            decision: result["_meta"][DECISION].clone(),
        },
        _ => Outcome::Allowed {
            text: text.to_owned(),
        },
    }
}
