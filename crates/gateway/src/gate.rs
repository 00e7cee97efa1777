//! The gate of a request to an upstream: its body leaves only while its admission holds.
//!
//! The HTTP client asks for the body in the instant in which it writes the request, connected and
//! on its own connection. The gate checks the ticket there, and remembers whether anything left:
//! a request whose gate was closed before that was provably not sent.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::counters::Ticket;

#[cfg(test)]
mod tests;

/// The units of a call, while it is undecided whether they are used.
pub trait Units: Send + Sync {
    /// Whether they may still be used.
    fn hold(&self) -> bool;

    /// Gives them back, once.
    fn give_back(&self);
}

/// The units of a ticket.
#[derive(Debug)]
pub struct Held<T> {
    ticket: Mutex<Option<T>>,
    use_by: UseBy,
}

/// Until when units may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseBy {
    /// While the ticket is valid.
    Ticket,
    /// At any time: they are counted, and bind nobody.
    Whenever,
}

/// Whether a request has left.
pub struct Gate {
    state: AtomicU8,
    units: Option<Arc<dyn Units>>,
}

/// The body of a request to an upstream.
pub struct GatedBody {
    bytes: Option<Bytes>,
    gate: Arc<Gate>,
}

/// The body was asked for when it must not leave any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the admission of the call has ended")]
pub struct Shut;

/// How a gate was found when it was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// Nothing has left, and nothing will.
    None,
    /// Nothing has left: the admission had run out.
    Late,
    /// The request may have been received.
    Left,
}

const WAITING: u8 = 0;
const LEFT: u8 = 1;
const LATE: u8 = 2;
const CLOSED: u8 = 3;

// === impl Held ===

impl<T: Ticket> Held<T> {
    pub fn new(ticket: T, use_by: UseBy) -> Self {
        Self {
            ticket: Mutex::new(Some(ticket)),
            use_by,
        }
    }
}

impl<T: Ticket> Units for Held<T> {
    fn hold(&self) -> bool {
        let ticket = self.ticket.lock().unwrap_or_else(PoisonError::into_inner);
        let valid = |ticket: &T| self.use_by == UseBy::Whenever || ticket.is_valid();
        ticket.as_ref().is_some_and(valid)
    }

    fn give_back(&self) {
        let ticket = self
            .ticket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(ticket) = ticket {
            ticket.refund();
        }
    }
}

// === impl Gate ===

impl Gate {
    /// A gate for a request that uses `units`, or none.
    pub fn new(units: Option<Arc<dyn Units>>) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(WAITING),
            units,
        })
    }

    /// Lets the body pass, once.
    fn open(&self) -> Result<(), Shut> {
        let next = match &self.units {
            Some(units) if !units.hold() => LATE,
            _ => LEFT,
        };
        let changed =
            self.state
                .compare_exchange(WAITING, next, Ordering::AcqRel, Ordering::Acquire);
        if changed.is_ok() && next == LEFT {
            Ok(())
        } else {
            Err(Shut)
        }
    }

    /// Lets nothing pass from now on, and tells whether something did.
    pub fn close(&self) -> Passage {
        let before =
            self.state
                .compare_exchange(WAITING, CLOSED, Ordering::AcqRel, Ordering::Acquire);
        match before {
            Ok(_) | Err(CLOSED) => Passage::None,
            Err(LATE) => Passage::Late,
            Err(_) => Passage::Left,
        }
    }
}

// === impl GatedBody ===

impl GatedBody {
    pub fn new(bytes: Bytes, gate: Arc<Gate>) -> Self {
        Self {
            bytes: Some(bytes),
            gate,
        }
    }
}

impl Body for GatedBody {
    type Data = Bytes;
    type Error = Shut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Shut>>> {
        let Some(bytes) = self.bytes.take() else {
            return Poll::Ready(None);
        };
        match self.gate.open() {
            Ok(()) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Err(shut) => Poll::Ready(Some(Err(shut))),
        }
    }

    fn is_end_stream(&self) -> bool {
        // A request without a body has left as soon as its head is written: its body is empty.
        self.bytes.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64)
    }
}
