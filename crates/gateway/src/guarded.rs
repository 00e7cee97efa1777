//! The body of an answer together with what has to last as long as it does.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use quotum_telemetry::GatewayMetrics;
use quotum_telemetry::label::Method;

use crate::answer::Body;
use crate::open::OpenRequest;

/// What ends with the body: the open request, and the time it took.
pub struct Lasting {
    /// Held, and given up with the body.
    pub _open: OpenRequest,
    pub metrics: GatewayMetrics,
    pub server: String,
    pub method: Method,
    pub status: u16,
    pub started_at: Instant,
}

struct Guarded {
    body: Body,
    _lasting: Lasting,
}

/// Ties `lasting` to the answer.
pub fn guard(response: Response<Body>, mut lasting: Lasting) -> Response<Body> {
    lasting.status = response.status().as_u16();
    response.map(|body| {
        Guarded {
            body,
            _lasting: lasting,
        }
        .boxed_unsync()
    })
}

// === impl Lasting ===

impl Drop for Lasting {
    fn drop(&mut self) {
        self.metrics.request(
            &self.server,
            self.method,
            self.status,
            self.started_at.elapsed(),
        );
    }
}

// === impl Guarded ===

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
