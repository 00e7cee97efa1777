//! The accept loop: connections up to a bound, each with its deadlines, and an orderly end.
//!
//! HTTP/1.1 only, over TLS or behind what terminates it.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use quotum_transport::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::io::InspectReader;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::counters::Counters;
use crate::framing::{Ambiguity, Ambiguous, Watch};
use crate::limits::{HEAD_READ_TIMEOUT, HEADER_LINES_MAX, READ_BUFFER_BYTES_MAX};
use crate::pipeline::Gateway;

// === impl Gateway ===

impl<C: Counters> Gateway<C> {
    /// Serves `listener` until `shutdown` is cancelled, and then drains: nothing more is accepted,
    /// streams that would go on for ever end at once, open requests go on for the drain timeout,
    /// and what is left then is cut off.
    pub async fn serve(
        self,
        listener: TcpListener,
        acceptor: Acceptor,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let connections = TaskTracker::new();
        let cut_off = CancellationToken::new();
        let acceptor = Arc::new(acceptor);
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = acceptor.accept(&listener) => accepted,
            };
            let (stream, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    cut_off.cancel();
                    connections.close();
                    connections.wait().await;
                    return Err(error);
                }
            };
            let (gateway, acceptor) = (self.clone(), acceptor.clone());
            let (shutdown, cut_off) = (shutdown.clone(), cut_off.clone());
            connections.spawn(async move {
                serve_connection(gateway, &acceptor, stream, shutdown, cut_off).await;
                drop(permit);
            });
        }
        drop(listener);
        self.stop_streams();
        connections.close();
        let drained = tokio::time::timeout(self.config().drain_timeout, connections.wait()).await;
        if drained.is_err() {
            tracing::warn!(
                open = connections.len(),
                "cutting off requests that did not end"
            );
            cut_off.cancel();
            connections.wait().await;
        }
        Ok(())
    }
}

async fn serve_connection<C: Counters>(
    gateway: Gateway<C>,
    acceptor: &Acceptor,
    stream: TcpStream,
    shutdown: CancellationToken,
    cut_off: CancellationToken,
) {
    let secured = tokio::select! {
        biased;
        () = shutdown.cancelled() => return,
        secured = acceptor.secure(stream) => secured,
    };
    let stream = match secured {
        Ok((stream, _)) => stream,
        Err(error) => {
            tracing::debug!(%error, "a connection did not get through TLS");
            return;
        }
    };
    let ambiguity = Ambiguity::default();
    let mut watch = Watch::new(ambiguity.clone());
    let stream = InspectReader::new(stream, move |bytes: &[u8]| watch.see(bytes));
    let service = service_fn(move |mut request: Request<Incoming>| {
        let gateway = gateway.clone();
        if ambiguity.is_found() {
            request.extensions_mut().insert(Ambiguous);
        }
        async move { Ok::<_, Infallible>(gateway.handle(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_READ_TIMEOUT)
        .max_headers(HEADER_LINES_MAX)
        .max_buf_size(READ_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let outcome = tokio::select! {
        biased;
        () = cut_off.cancelled() => return,
        outcome = &mut connection => outcome,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                () = cut_off.cancelled() => return,
                outcome = &mut connection => outcome,
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}
