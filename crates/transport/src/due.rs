//! A request that has to be there in time.
//!
//! Promises: it ends with `DEADLINE_EXCEEDED` when the rest has not come by then. What is there at
//! once costs no timer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;

/// The body of a request, and until when it has to come.
pub(crate) struct Due<B, F> {
    body: B,
    until: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    late: Option<F>,
}

// === impl Due ===

impl<B, F> Due<B, F> {
    /// `late` is called if it is.
    pub(crate) fn new(body: B, within: Duration, late: F) -> Self {
        Self {
            body,
            until: Instant::now() + within,
            timer: None,
            late: Some(late),
        }
    }
}

impl<B, F> Body for Due<B, F>
where
    B: Body<Data = Bytes> + Unpin,
    F: FnOnce() + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let until = this.until;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        match timer.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                if let Some(late) = this.late.take() {
                    late();
                }
                let late = Status::deadline_exceeded("the request did not come in time");
                Poll::Ready(Some(Err(late.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
