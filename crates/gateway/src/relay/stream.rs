//! Event streams on their way to the client: each event is inspected when it is complete, and the
//! stream ends when its grant does.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::ending::{Ending, Standing};
use super::{Audience, SILENCE, Settling};
use crate::answer::{self, Body};
use crate::inspect::Inspector;
use crate::room::Taken;
use crate::session::{Session, SessionKeys};
use crate::settle::End;
use crate::sse::{Event, EventTooLarge, Splitter, encode_message};
use crate::status::{INTERNAL_ERROR, Refusal};

#[cfg(test)]
mod tests;

/// A stream that is being relayed.
pub struct Relay {
    pub upstream: Incoming,
    pub inspector: Inspector,
    pub audience: Audience,
    pub ending: Ending,
    /// What the part of the stream that is held takes of the gateway's room.
    pub room: Taken,
    pub settling: Settling,
    pub resumption: Option<Resumption>,
    state: State,
    splitter: Splitter,
}

/// The session in which a client may resume a stream, and what its events' ids are sealed with.
pub struct Resumption {
    pub keys: SessionKeys,
    pub session: Session,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The answer to the request has passed.
    Answered,
    /// A message was held back, so the answer may be missing.
    Damaged,
    Ended,
}

// === impl Relay ===

impl Relay {
    pub fn new(
        upstream: Incoming,
        inspector: Inspector,
        audience: Audience,
        ending: Ending,
        room: Taken,
        settling: Settling,
        resumption: Option<Resumption>,
    ) -> Self {
        let splitter = Splitter::new();
        Self {
            upstream,
            inspector,
            audience,
            ending,
            room,
            settling,
            resumption,
            state: State::Open,
            splitter,
        }
    }

    /// The stream as a body.
    pub fn into_body(self) -> Body {
        let pieces = stream::unfold(self, |mut relay| async move {
            let piece = relay.next_piece().await?;
            Some((Ok::<_, Infallible>(Frame::data(piece)), relay))
        });
        StreamBody::new(pieces).boxed_unsync()
    }

    /// The next bytes for the client; `None`: the stream has ended.
    async fn next_piece(&mut self) -> Option<Bytes> {
        // One deadline for all turns: looking at the grant meanwhile is no word of the upstream.
        let mut silent_until = Instant::now() + SILENCE;
        while self.state != State::Ended {
            match self.take_events() {
                Ok(Some(piece)) => {
                    let given = self.room.split(self.splitter.bytes_held());
                    return Some(given.carry(piece));
                }
                Ok(None) => {}
                Err(EventTooLarge) => {
                    self.state = State::Damaged;
                    return self.end();
                }
            }
            tokio::select! {
                biased;
                standing = self.ending.watch(&self.audience.grant) => match standing {
                    Standing::Good(grant) => self.audience.grant = grant,
                    Standing::Ended => return self.end(),
                },
                frame = timeout_at(silent_until, self.upstream.frame()) => match frame {
                    Ok(Some(Ok(frame))) => {
                        silent_until = Instant::now() + SILENCE;
                        // Trailers end here.
                        if let Ok(data) = frame.into_data() {
                            self.splitter.push(&data);
                            if self.room.resize(self.splitter.bytes_held()).is_err() {
                                return self.end_for_room();
                            }
                        }
                    }
                    Ok(None | Some(Err(_))) | Err(_) => return self.end(),
                },
            }
        }
        None
    }

    /// What of the complete events may pass.
    fn take_events(&mut self) -> Result<Option<Bytes>, EventTooLarge> {
        let Some(first) = self.splitter.next_event()? else {
            return Ok(None);
        };
        let first = self.pass(first);
        let Some(second) = self.splitter.next_event()? else {
            return Ok(Some(first));
        };
        let mut piece = BytesMut::from(&first[..]);
        piece.extend_from_slice(&self.pass(second));
        while let Some(event) = self.splitter.next_event()? {
            piece.extend_from_slice(&self.pass(event));
        }
        Ok(Some(piece.freeze()))
    }

    /// The event under an id that only its own session can resume after. What has none, or none that
    /// could be sent back, is resumed after an earlier event.
    fn seal_id(&self, event: Event) -> Event {
        let id = event.id().filter(|id| !id.is_empty());
        let (Some(id), Some(resumption)) = (id, &self.resumption) else {
            return event;
        };
        let grant = &self.audience.grant;
        let owner = (grant.server.spec.name.as_str(), grant.id.as_str());
        let sealed = std::str::from_utf8(id).ok().and_then(|id| {
            let Resumption { keys, session } = resumption;
            keys.seal_event(owner, session, id)
        });
        event.with_id(sealed.as_deref())
    }

    /// An event as the client may have it.
    fn pass(&mut self, event: Event) -> Bytes {
        let event = self.seal_id(event);
        let data = event.data().filter(|data| !data.is_empty());
        let Some(data) = data else {
            return if event.has_unknown_lines() {
                event.with_data(None)
            } else {
                event.raw().clone()
            };
        };
        // Readers of messages take no other events; what they hold nobody has inspected.
        if !event.is_message() {
            return event.with_data(None);
        }
        let inspected = self.audience.inspect(&mut self.inspector, &data);
        let Ok(inspected) = inspected else {
            let server = &self.audience.grant.server.spec.name;
            tracing::warn!(%server, "held back an unreadable event");
            if self.state == State::Open {
                self.state = State::Damaged;
            }
            return event.with_data(None);
        };
        if let Some(answer) = inspected.answer {
            self.state = State::Answered;
            self.settling.settle(End::Answered(answer));
        }
        match inspected.text {
            Some(text) => event.with_data(Some(text.as_bytes())),
            None if event.has_unknown_lines() => event.with_data(Some(&data)),
            None => event.raw().clone(),
        }
    }

    /// Ends the stream because the gateway cannot hold the event that is coming.
    fn end_for_room(&mut self) -> Option<Bytes> {
        let row = Refusal::UpstreamNoRoom.row();
        if let Some(stage) = row.stage {
            self.settling.metrics.refused(stage, row.status.as_u16());
        }
        self.state = match self.state {
            State::Answered => State::Answered,
            _ => State::Damaged,
        };
        self.end_telling(row.text)
    }

    /// Ends the stream. A client whose answer was held back is told so; one whose stream broke off
    /// may resume it.
    fn end(&mut self) -> Option<Bytes> {
        self.end_telling(Refusal::UpstreamUnreadable.row().text)
    }

    fn end_telling(&mut self, text: &str) -> Option<Bytes> {
        let damaged = self.state == State::Damaged;
        self.state = State::Ended;
        self.settling.settle(End::Unknown);
        let id = self.inspector.id.as_deref().filter(|_| damaged)?;
        Some(encode_message(&answer::error_text(
            id,
            INTERNAL_ERROR,
            text,
            None,
        )))
    }
}
