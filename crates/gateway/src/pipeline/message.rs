//! A message: read, understood, and passed on. And the requests that carry none.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use quotum_registry::view::Grant;
use quotum_telemetry::label::Method;
use tokio::time::timeout;

use super::{Inner, Lasts};
use crate::answer::{Body, Caller};
use crate::counters::Counters;
use crate::era::Era;
use crate::forward::{Forward, SendError};
use crate::gate::Units;
use crate::headers::{self, LAST_EVENT_ID, MCP_SESSION_ID};
use crate::hygiene::Verb;
use crate::inspect::Inspector;
use crate::json::{JsonError, Raw, scan_request};
use crate::limits::{BODY_BYTES_MAX, BODY_READ_TIMEOUT};
use crate::method::{self, Extra, INITIALIZE, SUBSCRIPTIONS_LISTEN, TOOLS_CALL, TOOLS_LIST, Tasks};
use crate::relay::reply::{Reply, SessionContext};
use crate::relay::{Audience, Settling};
use crate::room::{Gathered, NoRoom, Taken};
use crate::session::Session;
use crate::shape::{Message, classify};
use crate::status::Refusal;
use crate::task::TaskIds;

/// A message that may pass, and what surrounds it.
pub(super) struct Understood<'a> {
    pub(super) head: &'a Parts,
    pub(super) grant: &'a Arc<Grant>,
    pub(super) message: &'a Message<'a>,
    pub(super) era: Era,
    pub(super) session: Option<Session>,
    pub(super) body: &'a Bytes,
    /// The tasks that its answer may speak of; `None`: the server's tasks are off.
    pub(super) tasks: Option<TaskIds>,
    pub(super) parsed_at: Instant,
}

// === impl Inner ===

impl<C: Counters> Inner<C> {
    /// Answers a message.
    pub(super) async fn post(
        &self,
        head: &Parts,
        body: Incoming,
        grant: &Arc<Grant>,
        label: &mut Method,
    ) -> Response<Body> {
        let body = match read_body(body, self.config.room.take(&grant.id)).await {
            Ok(body) => body,
            Err(refusal) => return self.refuse(&refusal, Caller::Unknown),
        };
        let message = match read_message(&body) {
            Ok(message) => message,
            Err(refusal) => return self.refuse(&refusal, Caller::Unknown),
        };
        *label = match message.call() {
            Some((method, _)) => Method::of(method),
            None => Method::Response,
        };
        let parsed_at = Instant::now();
        let caller = caller_of(&message);
        let (era, session) = match self.understand(head, grant, &message) {
            Ok(understood) => understood,
            Err(refusal) => return self.refuse(&refusal, caller),
        };
        let opened = match self.open_tasks(&message, &body, grant) {
            Ok(opened) => opened,
            Err(refusal) => return self.refuse(&refusal, caller),
        };
        let anew = opened
            .body
            .map(|body| self.config.room.hold(&grant.id, body));
        let anew = match anew.transpose() {
            Ok(anew) => anew,
            Err(NoRoom) => return self.refuse(&Refusal::NoRoom, caller),
        };
        let bytes = anew.as_ref().unwrap_or(&body);
        // What was written anew is read anew: nothing is forwarded that was not checked.
        let anew = anew.as_ref().map(|body| read_message(body));
        let message = match anew.unwrap_or(Ok(message)) {
            Ok(message) => message,
            Err(refusal) => return self.refuse(&refusal, Caller::Unknown),
        };
        let understood = Understood {
            head,
            grant,
            message: &message,
            era,
            session,
            body: bytes,
            tasks: opened.ids,
            parsed_at,
        };
        match &message {
            Message::Request { id, method, params } if method == TOOLS_CALL => {
                self.govern(understood, *id, *params).await
            }
            _ => self.pass(understood).await,
        }
    }

    /// Answers a request that carries no message: it opens or ends a session's stream.
    pub(super) async fn bodiless(
        &self,
        verb: Verb,
        head: &Parts,
        grant: &Arc<Grant>,
    ) -> Response<Body> {
        let (era, session) = match self.understand_bodiless(verb, head, grant) {
            Ok(understood) => understood,
            Err(refusal) => return self.refuse(&refusal, Caller::NoAnswer),
        };
        let last_event = match self.last_event(verb, head, grant, session.as_ref()) {
            Ok(last_event) => last_event,
            Err(refusal) => return self.refuse(&refusal, Caller::NoAnswer),
        };
        let forward = Forward {
            server: &grant.server,
            verb,
            era,
            session: session.as_ref(),
            last_event: last_event.as_deref(),
            call: None,
            client: &head.headers,
            body: &Bytes::new(),
        };
        let label = if verb == Verb::Get {
            Method::Stream
        } else {
            Method::SessionEnd
        };
        let mut settling = self.settling(grant, None, None);
        match self.send(&forward, &mut settling, label).await {
            Ok(answer) => {
                let inspector = Inspector {
                    id: None,
                    lists_tools: false,
                    modern: false,
                    tasks: self.no_tasks(grant),
                };
                let reply =
                    self.reply(grant, inspector, settling, (session, false), Lasts::ForEver);
                reply.relay(answer).await
            }
            Err(error) => self.refuse(&refusal_of(error), Caller::NoAnswer),
        }
    }

    fn understand(
        &self,
        head: &Parts,
        grant: &Grant,
        message: &Message<'_>,
    ) -> Result<(Era, Option<Session>), Refusal> {
        let era = Era::of_message(message, &head.headers)?;
        let session = self.session(era, head, grant)?;
        // Who answers a request must hold the session on whose stream it came.
        if matches!(message, Message::Response { .. }) && session.is_none() {
            return Err(Refusal::SessionMissing);
        }
        let spec = &grant.server.spec;
        method::check(
            message,
            era,
            Extra {
                methods: &spec.methods,
                tasks: Tasks::of(spec),
            },
        )?;
        Ok((era, session))
    }

    fn understand_bodiless(
        &self,
        verb: Verb,
        head: &Parts,
        grant: &Grant,
    ) -> Result<(Era, Option<Session>), Refusal> {
        let era = Era::of_bodiless(&head.headers)?;
        let session = self.session(era, head, grant)?;
        if session.is_none() && verb == Verb::Delete {
            return Err(Refusal::SessionMissing);
        }
        Ok((era, session))
    }

    /// The event after which a client takes up a stream of its session, by the upstream's id: the
    /// upstream knows one caller, the gateway, and may find an event of any of its streams.
    fn last_event(
        &self,
        verb: Verb,
        head: &Parts,
        grant: &Grant,
        session: Option<&Session>,
    ) -> Result<Option<String>, Refusal> {
        let Some(sealed) = headers::text(&head.headers, &LAST_EVENT_ID)? else {
            return Ok(None);
        };
        let session = session.ok_or(Refusal::EventIdWithoutSession)?;
        if verb != Verb::Get {
            return Ok(None);
        }
        let owner = (grant.server.spec.name.as_str(), grant.id.as_str());
        let keys = &self.config.session_keys;
        keys.open_event(owner, session, sealed).map(Some)
    }

    /// The session that a request of the legacy era names. The modern era has none.
    fn session(&self, era: Era, head: &Parts, grant: &Grant) -> Result<Option<Session>, Refusal> {
        if era.is_modern() {
            return Ok(None);
        }
        let Some(sealed) = headers::text(&head.headers, &MCP_SESSION_ID)? else {
            return Ok(None);
        };
        let server = grant.server.spec.name.as_str();
        self.config
            .session_keys
            .open(server, grant.id.as_str(), sealed)
            .map(Some)
    }

    /// Passes on a message that no policy governs.
    async fn pass(&self, understood: Understood<'_>) -> Response<Body> {
        let caller = caller_of(understood.message);
        let call = understood.message.call();
        let forward = understood.forward();
        let label = call.map_or(Method::Response, |(method, _)| Method::of(method));
        let mut settling = self.settling(understood.grant, None, None);
        let answer = match self.send(&forward, &mut settling, label).await {
            Ok(answer) => answer,
            Err(error) => return self.refuse(&refusal_of(error), caller),
        };
        let method = call.map_or("", |(method, _)| method);
        let lasts = if method == SUBSCRIPTIONS_LISTEN {
            Lasts::ForEver
        } else {
            Lasts::ForOneAnswer
        };
        let inspector = understood.inspector();
        let may_mint = method == INITIALIZE && !understood.era.is_modern();
        let grant = understood.grant;
        let reply = self.reply(
            grant,
            inspector,
            settling,
            (understood.session, may_mint),
            lasts,
        );
        reply.relay(answer).await
    }

    /// Sends a request, and tells how long the upstream took.
    pub(super) async fn send(
        &self,
        forward: &Forward<'_>,
        settling: &mut Settling,
        label: Method,
    ) -> Result<Response<Incoming>, SendError> {
        let sent_at = Instant::now();
        let outcome = self.upstreams.send(forward, settling).await;
        let status = outcome
            .as_ref()
            .map_or(0, |answer| answer.status().as_u16());
        let server = forward.server.spec.name.as_str();
        self.telemetry
            .metrics
            .upstream(server, label, status, sent_at.elapsed());
        outcome
    }

    pub(super) fn settling(
        &self,
        grant: &Grant,
        units: Option<Arc<dyn Units>>,
        shard: Option<u32>,
    ) -> Settling {
        let metrics = self.telemetry.metrics.clone();
        Settling {
            units,
            rule: grant.server.spec.refund,
            metrics,
            shard,
        }
    }

    pub(super) fn reply(
        &self,
        grant: &Arc<Grant>,
        inspector: Inspector,
        settling: Settling,
        (current, may_mint): (Option<Session>, bool),
        lasts: Lasts,
    ) -> Reply {
        Reply {
            inspector,
            audience: Audience {
                grant: Arc::clone(grant),
                known: self.known.clone(),
            },
            ending: self.ending(lasts),
            room: self.config.room.take(&grant.id),
            settling,
            sessions: SessionContext {
                keys: self.config.session_keys.clone(),
                current,
                may_mint,
            },
        }
    }
}

// === impl Understood ===

impl Understood<'_> {
    pub(super) fn forward(&self) -> Forward<'_> {
        Forward {
            server: &self.grant.server,
            verb: Verb::Post,
            era: self.era,
            session: self.session.as_ref(),
            last_event: None,
            call: self.message.call(),
            client: &self.head.headers,
            body: self.body,
        }
    }

    pub(super) fn inspector(&self) -> Inspector {
        let lists_tools = self
            .message
            .call()
            .is_some_and(|(method, _)| method == TOOLS_LIST);
        Inspector {
            id: self.message.request_id().map(|id| id.text().to_owned()),
            lists_tools,
            modern: self.era.is_modern(),
            tasks: self.tasks.clone(),
        }
    }
}

/// What the client is told of a request that got no answer.
pub(super) fn refusal_of(error: SendError) -> Refusal {
    match error {
        SendError::Unusable
        | SendError::NotSent
        | SendError::Untrusted
        | SendError::Late
        | SendError::Broken => Refusal::UpstreamUnreachable,
        SendError::Timeout => Refusal::UpstreamTimeout,
    }
}

fn caller_of<'a>(message: &Message<'a>) -> Caller<'a> {
    message
        .request_id()
        .map_or(Caller::NoAnswer, |id: Raw<'a>| Caller::Request(id.text()))
}

fn read_message(body: &[u8]) -> Result<Message<'_>, Refusal> {
    let members = scan_request(body).map_err(|error| match error {
        JsonError::NotObject if body.trim_ascii_start().starts_with(b"[") => Refusal::Batch,
        other => Refusal::Json(other),
    })?;
    classify(members)
}

/// Reads a body of bounded size in bounded time.
async fn read_body(body: Incoming, taken: Taken) -> Result<Bytes, Refusal> {
    timeout(BODY_READ_TIMEOUT, read_frames(body, taken))
        .await
        .map_err(|_| Refusal::BodyTimeout)?
}

async fn read_frames(mut body: Incoming, taken: Taken) -> Result<Bytes, Refusal> {
    let bytes_min = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if bytes_min > BODY_BYTES_MAX {
        return Err(Refusal::BodyTooLarge);
    }
    let no_room = |NoRoom| Refusal::NoRoom;
    let mut gathered = Gathered::new(taken, bytes_min).map_err(no_room)?;
    while let Some(frame) = body.frame().await {
        // Trailers are nobody's business.
        let Ok(data) = frame.map_err(|_| Refusal::BodyBroken)?.into_data() else {
            continue;
        };
        if gathered.bytes_held() + data.len() > BODY_BYTES_MAX {
            return Err(Refusal::BodyTooLarge);
        }
        gathered.push(data).map_err(no_room)?;
    }
    Ok(gathered.finish().into_bytes())
}
