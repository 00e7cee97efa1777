//! The head of an upstream's answer, and bodies that are read whole.

use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use http::{HeaderValue, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::ending::Ending;
use super::stream::{Relay, Resumption};
use super::{Audience, SILENCE, Settling};
use crate::answer::{self, Body, Caller};
use crate::headers::{self, MCP_SESSION_ID, media_type};
use crate::inspect::Inspector;
use crate::limits::REPLY_BYTES_MAX;
use crate::room::{Gathered, NoRoom, Taken, Whole};
use crate::session::{Session, SessionKeys};
use crate::settle::End;
use crate::status::{Refusal, Row};

/// Everything that relaying one answer takes.
pub struct Reply {
    pub inspector: Inspector,
    pub audience: Audience,
    pub ending: Ending,
    /// What the answer takes of the gateway's room.
    pub room: Taken,
    pub settling: Settling,
    pub sessions: SessionContext,
}

/// What becomes of a session id in an answer.
pub struct SessionContext {
    pub keys: SessionKeys,
    /// The session of the request.
    pub current: Option<Session>,
    /// The request may begin a session.
    pub may_mint: bool,
}

/// What the content of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Json,
    Events,
    Other,
}

// === impl Content ===

impl Content {
    fn form(self) -> Option<HeaderValue> {
        match self {
            Self::Json => Some(HeaderValue::from_static("application/json")),
            Self::Events => Some(HeaderValue::from_static("text/event-stream")),
            Self::Other => None,
        }
    }
}

// === impl Reply ===

impl Reply {
    /// The answer for the client.
    pub async fn relay(mut self, upstream: Response<Incoming>) -> Response<Body> {
        let (head, body) = upstream.into_parts();
        let status = head.status;
        if !may_cross(status) || is_encoded(&head.headers) {
            tracing::warn!(
                server = %self.audience.grant.server.spec.name,
                %status,
                "the upstream's answer cannot cross"
            );
            self.settle_status(status);
            return self.refuse(&Refusal::UpstreamUnreadable);
        }
        let mut headers = HeaderMap::new();
        headers::copy_to_client(&head.headers, &mut headers);
        let Ok(session) = self.put_session(&head.headers, &mut headers) else {
            self.settling.settle(End::Unknown);
            return self.refuse(&Refusal::UpstreamUnreadable);
        };
        let content = content(&head.headers);
        // In its own words: what was inspected as UTF-8 is not to be read as anything else.
        if let Some(form) = content.form() {
            headers.insert(CONTENT_TYPE, form);
        }
        match content {
            Content::Events if status.is_success() => {
                let Self {
                    inspector,
                    audience,
                    ending,
                    room,
                    settling,
                    sessions: SessionContext { keys, .. },
                } = self;
                let resumption = session.map(|session| Resumption { keys, session });
                let relay = Relay::new(
                    body, inspector, audience, ending, room, settling, resumption,
                );
                let mut response = Response::new(relay.into_body());
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                response
            }
            content => self.relay_whole(status, headers, content, body).await,
        }
    }

    async fn relay_whole(
        &mut self,
        status: StatusCode,
        mut headers: HeaderMap,
        content: Content,
        body: Incoming,
    ) -> Response<Body> {
        let whole = match read_whole(body, self.room.split(0)).await {
            Ok(whole) => whole,
            Err(refusal) => {
                self.settle_status(status);
                return self.refuse(&refusal);
            }
        };
        let bytes = &whole.bytes;
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if content != Content::Json || bytes.is_empty() {
            return self.relay_without_message(status, headers, bytes.is_empty());
        }
        let inspected = self.audience.inspect(&mut self.inspector, bytes);
        let Ok(inspected) = inspected else {
            self.settle_status(status);
            return self.refuse(&refusal_of(status));
        };
        match inspected.answer {
            Some(answer) if !refunds_by_status(status) => {
                self.settling.settle(End::Answered(answer));
            }
            _ => self.settle_status(status),
        }
        let bytes = match inspected.text {
            Some(text) => whole.replaced(text),
            None => whole.into_bytes(),
        };
        let mut response = Response::new(answer::full(bytes));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// An answer that holds no message: only its status crosses.
    fn relay_without_message(
        &mut self,
        status: StatusCode,
        mut headers: HeaderMap,
        is_empty: bool,
    ) -> Response<Body> {
        self.settle_status(status);
        let expects_answer = self.inspector.id.is_some();
        if status.is_success() && (expects_answer || !is_empty) {
            return self.refuse(&Refusal::UpstreamUnreadable);
        }
        if !status.is_success() {
            return self.refuse(&refusal_of(status));
        }
        headers.remove(CONTENT_TYPE);
        headers.remove(CONTENT_LENGTH);
        let mut response = answer::empty(status);
        response.headers_mut().extend(headers);
        response
    }

    /// The id that an answer to `initialize` mints is sealed; any other is the client's own, or
    /// does not cross. Gives the session that the answer is in.
    fn put_session(
        &self,
        upstream: &HeaderMap,
        client: &mut HeaderMap,
    ) -> Result<Option<Session>, Refusal> {
        let unreadable = |_| Refusal::UpstreamUnreadable;
        let Some(id) = headers::text(upstream, &MCP_SESSION_ID).map_err(unreadable)? else {
            return Ok(self.sessions.current.clone());
        };
        let current = self.sessions.current.as_ref();
        let session = match current.filter(|session| session.upstream == id) {
            Some(session) => session.clone(),
            None if self.sessions.may_mint => {
                let grant = &self.audience.grant;
                let server = grant.server.spec.name.as_str();
                let sealed = self.sessions.keys.seal(server, grant.id.as_str(), id);
                sealed.ok_or(Refusal::UpstreamUnreadable)?
            }
            None => return Ok(current.cloned()),
        };
        let value =
            HeaderValue::from_str(&session.sealed).map_err(|_| Refusal::UpstreamUnreadable)?;
        client.insert(MCP_SESSION_ID, value);
        Ok(Some(session))
    }

    fn settle_status(&mut self, status: StatusCode) {
        self.settling.settle(if status.is_success() {
            End::Unknown
        } else {
            End::Status(status)
        });
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        if let Row {
            stage: Some(stage),
            status,
            ..
        } = refusal.row()
        {
            self.settling.metrics.refused(stage, status.as_u16());
        }
        let caller = match &self.inspector.id {
            Some(id) => Caller::Request(id),
            None => Caller::NoAnswer,
        };
        answer::refusal(refusal, caller)
    }
}

/// Reads a body to its end, or gives up.
async fn read_whole(mut body: Incoming, taken: Taken) -> Result<Whole, Refusal> {
    let bytes_min = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if bytes_min > REPLY_BYTES_MAX {
        return Err(Refusal::UpstreamUnreadable);
    }
    let no_room = |NoRoom| Refusal::UpstreamNoRoom;
    let mut gathered = Gathered::new(taken, bytes_min).map_err(no_room)?;
    loop {
        let frame = timeout(SILENCE, body.frame())
            .await
            .map_err(|_| Refusal::UpstreamUnreadable)?;
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|_| Refusal::UpstreamUnreadable)?.into_data() else {
            continue;
        };
        if gathered.bytes_held() + data.len() > REPLY_BYTES_MAX {
            return Err(Refusal::UpstreamUnreadable);
        }
        gathered.push(data).map_err(no_room)?;
    }
    Ok(gathered.finish())
}

/// Whether a status means to the client what it means to the gateway. What an upstream says about
/// the gateway's own credential, or about other addresses, is not for the client.
fn may_cross(status: StatusCode) -> bool {
    let code = status.as_u16();
    status.is_success() || (status.is_client_error() && !matches!(code, 401 | 403 | 407 | 421))
}

fn refunds_by_status(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404..=406 | 413 | 415)
}

fn refusal_of(status: StatusCode) -> Refusal {
    if status.is_success() {
        Refusal::UpstreamUnreadable
    } else {
        Refusal::UpstreamRefused(status)
    }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    !headers.get_all(CONTENT_ENCODING).iter().all(identity)
}

fn content(headers: &HeaderMap) -> Content {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    match value.map(|value| media_type(value).0).as_deref() {
        Some("application/json") => Content::Json,
        Some("text/event-stream") => Content::Events,
        _ => Content::Other,
    }
}
