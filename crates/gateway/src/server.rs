//! The accept loop: connections up to a bound, each with its deadlines, and an orderly end.
//!
//! HTTP/1.1 only: the gateway stands behind what terminates TLS.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::counters::Counters;
use crate::limits::{ACCEPT_PAUSE, HEAD_BYTES_MAX, HEAD_READ_TIMEOUT, HEADER_LINES_MAX};
use crate::pipeline::Gateway;

// === impl Gateway ===

impl<C: Counters> Gateway<C> {
    /// Serves `listener` until `shutdown` is cancelled, and then drains: nothing more is accepted,
    /// streams that would go on for ever end at once, open requests go on for the drain timeout,
    /// and what is left then is cut off.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        let connections = TaskTracker::new();
        let cut_off = CancellationToken::new();
        let room = Arc::new(Semaphore::new(self.config().connections_max));
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = accept(&listener, &room) => accepted,
            };
            let (stream, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_fatal(&error) => {
                    cut_off.cancel();
                    connections.close();
                    connections.wait().await;
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connection =
                serve_connection(self.clone(), stream, shutdown.clone(), cut_off.clone());
            connections.spawn(async move {
                connection.await;
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

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// Whether the listener itself is broken. Anything else passes: a client that went away, or a
/// machine that is short of descriptors.
fn is_fatal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::NotConnected
    )
}

async fn serve_connection<C: Counters>(
    gateway: Gateway<C>,
    stream: TcpStream,
    shutdown: CancellationToken,
    cut_off: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps Nagle's algorithm");
    }
    let service = service_fn(move |request| {
        let gateway = gateway.clone();
        async move { Ok::<_, Infallible>(gateway.handle(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_READ_TIMEOUT)
        .max_headers(HEADER_LINES_MAX)
        .max_buf_size(2 * HEAD_BYTES_MAX)
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
