//! What a message is, by the presence of its members and nothing else: a request, a notification
//! or a response. A message that could be taken for two of them is refused.

use std::borrow::Cow;

use crate::json::{Kind, Member, Raw};
use crate::limits::{METHOD_BYTES_MAX, REQUEST_ID_BYTES_MAX};
use crate::status::Refusal;

#[cfg(test)]
mod tests;

/// A JSON-RPC message from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    Request {
        /// A string or an integer, as the client wrote it.
        id: Raw<'a>,
        method: Cow<'a, str>,
        /// An object.
        params: Option<Raw<'a>>,
    },
    Notification {
        method: Cow<'a, str>,
        /// An object.
        params: Option<Raw<'a>>,
    },
    /// The answer to a request that the upstream sent on a stream.
    Response { id: Raw<'a> },
}

/// The members that a message has, each at most once.
#[derive(Default)]
struct Parts<'a> {
    version: Option<Raw<'a>>,
    id: Option<Raw<'a>>,
    method: Option<Raw<'a>>,
    params: Option<Raw<'a>>,
    result: Option<Raw<'a>>,
    error: Option<Raw<'a>>,
}

/// Tells which message these top-level members make.
pub fn classify<'a>(members: Vec<Member<'a>>) -> Result<Message<'a>, Refusal> {
    let parts = Parts::take(members)?;
    if parts.version.and_then(Raw::string).as_deref() != Some("2.0") {
        return Err(Refusal::Shape("jsonrpc must be \"2.0\""));
    }
    if let Some(id) = parts.id
        && !is_id(id)
    {
        return Err(Refusal::Shape("id must be a string or an integer"));
    }
    match (parts.method, parts.result, parts.error) {
        (Some(method), None, None) => parts.call(method),
        (None, Some(_), None) | (None, None, Some(_)) => parts.response(),
        (Some(_), ..) => Err(Refusal::Shape("a message has either a method or a result")),
        (None, Some(_), Some(_)) => Err(Refusal::Shape("a response has a result or an error")),
        (None, None, None) => Err(Refusal::Shape("method is missing")),
    }
}

fn is_id(id: Raw<'_>) -> bool {
    let kind = id.kind() == Kind::String || id.is_integer();
    kind && id.text().len() <= REQUEST_ID_BYTES_MAX
}

// === impl Message ===

impl<'a> Message<'a> {
    /// The id to answer with; `None` where nothing may be answered.
    pub fn request_id(&self) -> Option<Raw<'a>> {
        match self {
            Self::Request { id, .. } => Some(*id),
            Self::Notification { .. } | Self::Response { .. } => None,
        }
    }

    /// The method and its parameters; `None` for a response.
    pub fn call(&self) -> Option<(&str, Option<Raw<'a>>)> {
        match self {
            Self::Request { method, params, .. } | Self::Notification { method, params } => {
                Some((method, *params))
            }
            Self::Response { .. } => None,
        }
    }
}

// === impl Parts ===

impl<'a> Parts<'a> {
    fn take(members: Vec<Member<'a>>) -> Result<Self, Refusal> {
        let mut parts = Self::default();
        for (name, value) in members {
            let place = match name.as_ref() {
                "jsonrpc" => &mut parts.version,
                "id" => &mut parts.id,
                "method" => &mut parts.method,
                "params" => &mut parts.params,
                "result" => &mut parts.result,
                "error" => &mut parts.error,
                _ => {
                    return Err(Refusal::Shape(
                        "unknown member beside jsonrpc, id and method",
                    ));
                }
            };
            *place = Some(value);
        }
        Ok(parts)
    }

    fn call(self, method: Raw<'a>) -> Result<Message<'a>, Refusal> {
        let method = method
            .string()
            .filter(|name| name.len() <= METHOD_BYTES_MAX);
        let Some(method) = method else {
            return Err(Refusal::Shape("method must be a short string"));
        };
        if self
            .params
            .is_some_and(|params| params.kind() != Kind::Object)
        {
            return Err(Refusal::Shape("params must be an object"));
        }
        Ok(match self.id {
            Some(id) => Message::Request {
                id,
                method,
                params: self.params,
            },
            None => Message::Notification {
                method,
                params: self.params,
            },
        })
    }

    fn response(self) -> Result<Message<'a>, Refusal> {
        match self.id {
            Some(id) if self.params.is_none() => Ok(Message::Response { id }),
            _ => Err(Refusal::Shape("a response has an id and no params")),
        }
    }
}
