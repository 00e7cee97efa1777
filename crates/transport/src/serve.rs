//! gRPC on the connections of a port, with every bound of HTTP/2 set.
//!
//! Promises: a connection that says nothing, does not answer pings, breaks off streams without end
//! or is too old is closed; beyond the bound on calls a call is refused, not queued; so is a request
//! that does not come in time; when it stops, what is open may end first. tonic's own server accepts, and cannot do most of this.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use quotum_telemetry::label::{CallRefusal, ConnectionRefusal};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;
use tower::Service;

use crate::accept::{Acceptor, Bounds};
use crate::caller::Caller;
use crate::direct::{Answer, Calls};
use crate::due::Due;
use crate::gather::{Gather, Open, OpenCall};
use crate::limits::{
    CONNECTION_WINDOW_BYTES, HEADER_LIST_BYTES_MAX, KEEPALIVE_PING, KEEPALIVE_PING_DEADLINE,
    LOCAL_ERROR_RESETS_MAX, PENDING_RESETS_MAX, PREFACE_BYTES, SEND_BUFFER_BYTES_MAX,
    STREAM_WINDOW_BYTES,
};
use crate::prompt::Prompt;

/// Says of a call by its path, `/package.Service/Method`, whether a caller may make it, and how its
/// messages come in. None: it may not.
pub type Guard = fn(&Caller, &str) -> Option<Form>;

/// How the messages of a call come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One message, which has to be there in time.
    Message,
    /// As many as there are, for as long as it takes.
    Stream,
}

/// What a port serves: `routes`, but for the calls that are answered directly.
#[derive(Clone)]
pub struct Services {
    pub calls: Calls,
    pub routes: Routes,
}

// === impl Services ===

impl From<Routes> for Services {
    fn from(routes: Routes) -> Self {
        let calls = Calls::default();
        Self { calls, routes }
    }
}

/// Serves `services` on `listener` until `stop` is cancelled and what was open then has ended.
/// Requests to `routes` carry their [`Caller`] as an extension, and the addresses of their connection.
pub async fn serve(
    listener: TcpListener,
    acceptor: Acceptor,
    guard: Guard,
    services: Services,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let connections = TaskTracker::new();
    let port = Arc::new(Port {
        calls: Arc::new(Semaphore::new(acceptor.bounds().calls_max)),
        acceptor,
        guard,
        services: Services {
            calls: services.calls,
            routes: services.routes.prepare(),
        },
        number: AtomicU64::new(0),
    });
    let ended = loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break Ok(()),
            accepted = port.acceptor.accept(&listener) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let (port, stop) = (port.clone(), stop.clone());
                connections.spawn(async move {
                    port.connection(stream, stop).await;
                    drop(permit);
                });
            }
            Err(error) => break Err(error),
        }
    };
    drop(listener);
    connections.close();
    connections.wait().await;
    ended
}

/// What the connections of a port share.
struct Port {
    acceptor: Acceptor,
    guard: Guard,
    services: Services,
    calls: Arc<Semaphore>,
    /// Of the next connection.
    number: AtomicU64,
}

// === impl Port ===

impl Port {
    async fn connection(self: Arc<Self>, stream: TcpStream, stop: CancellationToken) {
        let bounds = *self.acceptor.bounds();
        let address = TcpConnectInfo {
            local_addr: stream.local_addr().ok(),
            remote_addr: stream.peer_addr().ok(),
        };
        let secured = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            secured = self.acceptor.secure(stream) => secured,
        };
        let (stream, caller) = match secured {
            Ok(secured) => secured,
            Err(error) => {
                tracing::debug!(%error, "a connection did not get through TLS");
                return;
            }
        };
        let (stream, heard) = Prompt::new(stream);
        let age = age(bounds.age_max, self.number.fetch_add(1, Ordering::Relaxed));
        let port = self.clone();
        let open = Open::default();
        let stream = Gather::new(stream, open.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (port, caller) = (port.clone(), caller.clone());
            port.call(request, caller, address.clone(), open.call())
        });
        let connection = http(&bounds).serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let silent = async {
            tokio::time::sleep(bounds.preface_deadline).await;
            if heard.load(Ordering::Relaxed) >= PREFACE_BYTES {
                std::future::pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            biased;
            ended = &mut connection => Some(ended),
            () = silent => {
                self.acceptor.metrics().refused(ConnectionRefusal::Silent);
                return;
            }
            () = stop.cancelled() => None,
            () = tokio::time::sleep(age) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                match stop.is_cancelled() {
                    // Whoever stops us says how long this may take.
                    true => connection.await,
                    false => match tokio::time::timeout(bounds.age_grace, connection).await {
                        Ok(ended) => ended,
                        Err(_) => Ok(()),
                    },
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    async fn call(
        self: Arc<Self>,
        request: Request<Incoming>,
        caller: Caller,
        address: TcpConnectInfo,
        open: OpenCall,
    ) -> Result<Response<Reply>, Infallible> {
        let metrics = self.acceptor.metrics();
        let Some(form) = (self.guard)(&caller, request.uri().path()) else {
            metrics.call_refused(CallRefusal::Role);
            return Ok(refused(&caller).map(Reply::of_none));
        };
        let Ok(room) = Arc::clone(&self.calls).try_acquire_owned() else {
            metrics.call_refused(CallRefusal::Busy);
            let busy = Status::resource_exhausted("as many calls as this node takes are open");
            return Ok(busy.into_http().map(Reply::of_none));
        };
        let reply = |body| Reply {
            body,
            _held: Some((room, open)),
        };
        if form == Form::Stream {
            let routed = Box::pin(self.route(request, caller, address)).await?;
            return Ok(routed.map(|body| reply(ReplyBody::Routed(body))));
        }
        let within = self.acceptor.bounds().request_deadline;
        let late = {
            let metrics = metrics.clone();
            move || metrics.call_refused(CallRefusal::Late)
        };
        let request = request.map(|body| Due::new(body, within, late));
        if let Some(call) = self.services.calls.get(request.uri().path()) {
            return Ok(match call.respond(request).await {
                Ok(response) => response.map(|answer| reply(ReplyBody::Direct(answer))),
                Err(status) => {
                    let response = status.into_http();
                    response.map(|body| reply(ReplyBody::Routed(body)))
                }
            });
        }
        let routed = Box::pin(self.route(request, caller, address)).await?;
        Ok(routed.map(|body| reply(ReplyBody::Routed(body))))
    }

    async fn route<B>(
        &self,
        mut request: Request<B>,
        caller: Caller,
        address: TcpConnectInfo,
    ) -> Result<Response<Body>, Infallible>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        request.extensions_mut().insert(caller);
        // `tonic::Request::remote_addr` reads it.
        request.extensions_mut().insert(address);
        self.services.routes.clone().call(request).await
    }
}

fn refused(caller: &Caller) -> Response<Body> {
    let text = match caller {
        Caller::Anonymous => "this call needs a certificate".to_owned(),
        Caller::Certified(certified) => match &certified.role {
            Some((role, name)) => format!(
                "the certificate of {name} has the role {}, which does not open this call",
                role.as_str()
            ),
            None => "the certificate gives no role: it needs the SAN \
                     URI:spiffe://TRUST-DOMAIN/quotum/ROLE/NAME"
                .to_owned(),
        },
    };
    Status::permission_denied(text).into_http()
}

/// How long the connection of this number lives: a tenth more or less, spread evenly, so that
/// those that began together do not end together.
fn age(max: Duration, number: u64) -> Duration {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
    max.mul_f64(0.9 + 0.2 * spread as f64 / f64::from(1 << 20))
}

fn http(bounds: &Bounds) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.streams_max)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_ERROR_RESETS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(KEEPALIVE_PING)
        .keep_alive_timeout(KEEPALIVE_PING_DEADLINE);
    builder
}

/// An answer that counts as an open call until it has ended.
struct Reply {
    body: ReplyBody,
    _held: Option<(OwnedSemaphorePermit, OpenCall)>,
}

enum ReplyBody {
    Direct(Answer),
    Routed(Body),
}

// === impl Reply ===

impl Reply {
    /// An answer to a call that was not taken.
    fn of_none(body: Body) -> Self {
        Self {
            body: ReplyBody::Routed(body),
            _held: None,
        }
    }
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut self.body {
            ReplyBody::Direct(answer) => Pin::new(answer).poll_frame(cx),
            ReplyBody::Routed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            ReplyBody::Direct(answer) => answer.is_end_stream(),
            ReplyBody::Routed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            ReplyBody::Direct(answer) => answer.size_hint(),
            ReplyBody::Routed(body) => body.size_hint(),
        }
    }
}
