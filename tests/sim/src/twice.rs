//! Requests that arrive twice. While the network of a machine does that, a part of the messages that
//! reach it comes again a while later, as a request of its own whose answer nobody reads. A stream of
//! bytes hides a segment that is sent twice; what the receiver can see of it is a message.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use tonic::service::Routes;
use tower::Service;

use crate::record::Recorder;
use crate::rng::Rng;

/// What may come again: all but the commands of an operator, which are said to be given once.
const REPEATED: [&str; 10] = [
    "/quotum.counter.v1.Counter/Acquire",
    "/quotum.counter.v1.Counter/Decide",
    "/quotum.counter.v1.Counter/DecideBatch",
    "/quotum.counter.v1.Counter/Refund",
    "/quotum.peer.v1.Peer/Append",
    "/quotum.peer.v1.Peer/Health",
    "/quotum.peer.v1.Peer/StreamAppend",
    "/quotum.peer.v1.Peer/TransferLeader",
    "/quotum.peer.v1.Peer/Vote",
    SNAPSHOT,
];

/// A message of this stream means nothing without those before it: they come again together.
const SNAPSHOT: &str = "/quotum.peer.v1.Peer/Snapshot";

/// How long what comes again may take: then nobody listens.
const TRY: Duration = Duration::from_secs(1);

/// The length of what stands before each message: a flag, and how many bytes it has.
const HEAD_BYTES: usize = 5;

/// The services of a node, to which some requests come twice.
#[derive(Clone)]
pub(crate) struct Twice {
    routes: Routes,
    shared: Arc<Shared>,
}

struct Shared {
    /// So many messages of a hundred.
    percent: Arc<AtomicU64>,
    rng: Mutex<Rng>,
    recorder: Recorder,
    machine: u64,
}

/// The body of a request, of which messages are copied as they come.
struct Copied {
    body: Incoming,
    twice: Twice,
    parts: Parts,
    is_snapshot: bool,
    message: Message,
}

/// Where a body is in its messages.
#[derive(Default)]
struct Message {
    head: Vec<u8>,
    /// How many bytes it has still to come, if its head is there.
    left: usize,
    is_repeated: bool,
    copy: Vec<u8>,
}

// === impl Twice ===

impl Twice {
    pub(crate) fn new(
        routes: Routes,
        percent: Arc<AtomicU64>,
        rng: Rng,
        recorder: Recorder,
        machine: u64,
    ) -> Self {
        let shared = Shared {
            percent,
            rng: Mutex::new(rng),
            recorder,
            machine,
        };
        Self {
            routes,
            shared: Arc::new(shared),
        }
    }

    fn draw(&self) -> bool {
        let percent = self.shared.percent.load(Ordering::Relaxed);
        percent > 0 && self.shared.rng.lock().expect("one thread").percent(percent)
    }

    /// Asks what was asked once more, after a while.
    fn ask_again(&self, parts: &Parts, message: Vec<u8>) {
        let Shared {
            rng,
            recorder,
            machine,
            ..
        } = &*self.shared;
        let pause_ms = {
            let mut rng = rng.lock().expect("one thread");
            let most_ms = rng.pick(&[3, 50, 500, 2_500]).unwrap_or_default();
            rng.between(0, most_ms)
        };
        recorder.trace(|| {
            format!(
                "n{machine} gets {} again in {pause_ms} ms",
                parts.uri.path()
            )
        });
        let request = Request::from_parts(parts.clone(), Full::new(Bytes::from(message)));
        let mut routes = self.routes.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            let answered = async {
                let Ok(response) = routes.call(request).await;
                // Read to its end, for the service to go on to its own.
                drop(response.into_body().collect().await);
            };
            drop(tokio::time::timeout(TRY, answered).await);
        });
    }
}

impl hyper::service::Service<Request<Incoming>> for Twice {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut routes = self.routes.clone();
        let path = request.uri().path();
        if !REPEATED.contains(&path) {
            return Box::pin(routes.call(request));
        }
        let is_snapshot = path == SNAPSHOT;
        let (parts, body) = request.into_parts();
        let copied = Copied {
            body,
            twice: self.clone(),
            parts: parts.clone(),
            is_snapshot,
            message: Message::default(),
        };
        Box::pin(routes.call(Request::from_parts(parts, copied)))
    }
}

// === impl Copied ===

impl Copied {
    fn take(&mut self, mut bytes: &[u8]) {
        let message = &mut self.message;
        while !bytes.is_empty() {
            if message.head.is_empty() {
                message.is_repeated = self.twice.draw();
            }
            let is_head = message.head.len() < HEAD_BYTES;
            let wanted = match is_head {
                true => HEAD_BYTES - message.head.len(),
                false => message.left,
            };
            let (now, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if message.is_repeated || self.is_snapshot {
                message.copy.extend_from_slice(now);
            }
            match is_head {
                true => message.begin(now),
                false => message.left -= now.len(),
            }
            if message.head.len() == HEAD_BYTES && message.left == 0 {
                message.head.clear();
                if message.is_repeated {
                    self.twice.ask_again(&self.parts, message.copy.clone());
                }
                if !self.is_snapshot {
                    message.copy.clear();
                }
            }
        }
    }
}

impl Body for Copied {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(bytes) = frame.data_ref()
        {
            self.take(bytes);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Message ===

impl Message {
    /// Takes a part of the head.
    fn begin(&mut self, part: &[u8]) {
        self.head.extend_from_slice(part);
        if let [_, length @ ..] = &self.head[..]
            && let Ok(length) = length.try_into()
        {
            self.left = usize::try_from(u32::from_be_bytes(length)).expect("small");
        }
    }
}
