//! MCP as the demo server speaks it: one message in, one answer out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use serde_json::{Value, json};

use super::tools;

/// The versions without sessions, and those before.
const MODERN: &str = "2026-07-28";
const LEGACY: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
/// Where the modern era says its version.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

const PARSE_ERROR: i64 = -32_700;
const INVALID_REQUEST: i64 = -32_600;
const METHOD_NOT_FOUND: i64 = -32_601;
const INVALID_PARAMS: i64 = -32_602;
const VERSION_UNSUPPORTED: i64 = -32_022;

/// How often each tool ran. Only tools that exist are counted.
#[derive(Debug, Default)]
pub(crate) struct Executions(Mutex<BTreeMap<String, u64>>);

/// What a message is answered with.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// It was a notification, or a response.
    Accepted,
    Response {
        status: StatusCode,
        message: Value,
    },
}

/// How a client talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Era {
    Legacy,
    Modern,
}

// === impl Executions ===

impl Executions {
    fn count(&self, tool: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(tool.to_owned()).or_default() += 1;
    }

    pub(crate) fn to_json(&self) -> Value {
        json!(*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers one message.
pub(crate) fn answer(message: &[u8], executions: &Executions) -> Answer {
    let Ok(message) = serde_json::from_slice::<Value>(message) else {
        return refuse(
            &Value::Null,
            StatusCode::BAD_REQUEST,
            PARSE_ERROR,
            "this is no JSON",
        );
    };
    let (id, method) = (&message["id"], message["method"].as_str());
    let Some(method) = method else {
        // A response: nothing was asked of anybody here.
        return match message.get("result").or(message.get("error")) {
            Some(_) => Answer::Accepted,
            None => refuse(id, StatusCode::BAD_REQUEST, INVALID_REQUEST, "no method"),
        };
    };
    if id.is_null() {
        return Answer::Accepted;
    }
    let params = &message["params"];
    let era = match params["_meta"][VERSION].as_str() {
        None => Era::Legacy,
        Some(MODERN) => Era::Modern,
        Some(other) => return unsupported(id, other),
    };
    match (method, era) {
        ("initialize", Era::Legacy) => result(id, era, initialized(params)),
        ("ping", Era::Legacy) => result(id, era, json!({})),
        ("server/discover", Era::Modern) => result(id, era, discovered()),
        ("tools/list", _) => result(id, era, cacheable(era, json!({ "tools": tools::list() }))),
        ("tools/call", _) => call(id, era, params, executions),
        _ => {
            let status = match era {
                Era::Legacy => StatusCode::OK,
                Era::Modern => StatusCode::NOT_FOUND,
            };
            refuse(id, status, METHOD_NOT_FOUND, "unknown method")
        }
    }
}

fn initialized(params: &Value) -> Value {
    let asked = params["protocolVersion"].as_str();
    let agreed = asked.filter(|version| LEGACY.contains(version));
    json!({
        "protocolVersion": agreed.unwrap_or(LEGACY[0]),
        "capabilities": { "tools": {} },
        "serverInfo": server_info(),
        "instructions": tools::INSTRUCTIONS,
    })
}

fn discovered() -> Value {
    let versions: Vec<&str> = [MODERN].into_iter().chain(LEGACY).collect();
    let discovered = json!({
        "supportedVersions": versions,
        "capabilities": { "tools": {} },
        "serverInfo": server_info(),
        "instructions": tools::INSTRUCTIONS,
    });
    cacheable(Era::Modern, discovered)
}

fn server_info() -> Value {
    json!({ "name": "quotum-demo", "version": env!("CARGO_PKG_VERSION") })
}

fn call(id: &Value, era: Era, params: &Value, executions: &Executions) -> Answer {
    let name = params["name"].as_str().unwrap_or_default();
    let Some(text) = tools::run(name, &params["arguments"]) else {
        return refuse(id, StatusCode::OK, INVALID_PARAMS, "unknown tool");
    };
    executions.count(name);
    let content = json!({ "content": [{ "type": "text", "text": text }], "isError": false });
    result(id, era, content)
}

/// The same for everybody, for as long as the server runs.
fn cacheable(era: Era, mut result: Value) -> Value {
    if era == Era::Modern {
        result["ttlMs"] = json!(60_000);
        result["cacheScope"] = json!("public");
    }
    result
}

fn result(id: &Value, era: Era, mut result: Value) -> Answer {
    if era == Era::Modern {
        result["resultType"] = json!("complete");
    }
    Answer::Response {
        status: StatusCode::OK,
        message: json!({ "jsonrpc": "2.0", "id": id, "result": result }),
    }
}

fn unsupported(id: &Value, requested: &str) -> Answer {
    let supported: Vec<&str> = [MODERN].into_iter().chain(LEGACY).collect();
    let error = json!({
        "code": VERSION_UNSUPPORTED,
        "message": "this version is not supported",
        "data": { "supported": supported, "requested": requested },
    });
    Answer::Response {
        status: StatusCode::BAD_REQUEST,
        message: json!({ "jsonrpc": "2.0", "id": id, "error": error }),
    }
}

fn refuse(id: &Value, status: StatusCode, code: i64, text: &str) -> Answer {
    let error = json!({ "code": code, "message": text });
    Answer::Response {
        status,
        message: json!({ "jsonrpc": "2.0", "id": id, "error": error }),
    }
}
