//! Connections that come in: up to a bound in all and from one address, TLS within a deadline.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use quotum_telemetry::ListenerMetrics;
use quotum_telemetry::label::ConnectionRefusal;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::caller::Caller;
use crate::credentials::Credentials;
use crate::limits::{
    ACCEPT_PAUSE, CONNECTION_AGE_GRACE, CONNECTION_AGE_MAX, HANDSHAKE_DEADLINE, PREFACE_DEADLINE,
    REQUEST_DEADLINE,
};

/// How a port talks.
#[derive(Debug, Clone)]
pub enum Security {
    /// As it is: on loopback, in a test, or where somebody asked for it.
    Plaintext,
    Tls(Credentials),
}

/// What a port has room and time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// In all; those beyond it wait in the system's queue.
    pub connections_max: usize,
    /// From one address; those beyond it are closed.
    pub connections_per_ip_max: usize,
    /// Streams and calls of one connection at a time.
    pub streams_max: u32,
    /// Calls of all connections at a time.
    pub calls_max: usize,
    pub handshake_deadline: Duration,
    pub preface_deadline: Duration,
    /// For the whole request of a call that is no stream.
    pub request_deadline: Duration,
    /// How long a connection lives, give or take a tenth; what is open then has the grace.
    pub age_max: Duration,
    pub age_grace: Duration,
}

/// Takes connections of one port.
#[derive(Debug)]
pub struct Acceptor {
    security: Security,
    bounds: Bounds,
    room: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    metrics: Arc<ListenerMetrics>,
}

/// The right to one connection, for as long as it lives.
#[derive(Debug)]
pub struct Permit {
    ip: IpAddr,
    addresses: Arc<Addresses>,
    metrics: Arc<ListenerMetrics>,
    _room: OwnedSemaphorePermit,
}

/// A connection that may talk.
#[derive(Debug)]
pub enum Secured {
    Plaintext(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How many connections each address has. Not more addresses than connections, which are bounded.
#[derive(Debug, Default)]
struct Addresses(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

// === impl Bounds ===

impl Bounds {
    /// So many connections; all deadlines as they stand in the limits.
    pub fn new(connections_max: usize, connections_per_ip_max: usize) -> Self {
        Self {
            connections_max,
            connections_per_ip_max,
            streams_max: 1_024,
            calls_max: 65_536,
            handshake_deadline: HANDSHAKE_DEADLINE,
            preface_deadline: PREFACE_DEADLINE,
            request_deadline: REQUEST_DEADLINE,
            age_max: CONNECTION_AGE_MAX,
            age_grace: CONNECTION_AGE_GRACE,
        }
    }
}

// === impl Acceptor ===

impl Acceptor {
    pub fn new(security: Security, bounds: Bounds, metrics: ListenerMetrics) -> Self {
        Self {
            security,
            bounds,
            room: Arc::new(Semaphore::new(bounds.connections_max)),
            addresses: Arc::default(),
            metrics: Arc::new(metrics),
        }
    }

    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub fn metrics(&self) -> &Arc<ListenerMetrics> {
        &self.metrics
    }

    /// The next connection that there is room for. Fails only where the listener is broken: what
    /// passes, such as a machine that is short of descriptors, is waited for.
    pub async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, Permit)> {
        loop {
            let room = Arc::clone(&self.room).acquire_owned().await;
            let room = room.map_err(io::Error::other)?;
            let (stream, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let ip = from.ip().to_canonical();
            let Some(open) = self.addresses.enter(ip, self.bounds.connections_per_ip_max) else {
                self.metrics.refused(ConnectionRefusal::Address);
                continue;
            };
            self.metrics.open(open);
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps Nagle's algorithm");
            }
            let permit = Permit {
                ip,
                addresses: self.addresses.clone(),
                metrics: self.metrics.clone(),
                _room: room,
            };
            return Ok((stream, permit));
        }
    }

    /// Gets a connection through TLS, if this port has it, and says who is at its other end.
    pub async fn secure(&self, stream: TcpStream) -> io::Result<(Secured, Caller)> {
        let Security::Tls(credentials) = &self.security else {
            return Ok((Secured::Plaintext(stream), Caller::Anonymous));
        };
        let config = credentials.server();
        let config = config.ok_or_else(|| io::Error::other("these credentials serve nobody"))?;
        let shaking = TlsAcceptor::from(config).accept(stream);
        let shaken = tokio::time::timeout(self.bounds.handshake_deadline, shaking).await;
        let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match shaken {
            Ok(stream) => {
                let caller = Caller::of(stream.get_ref().1.peer_certificates());
                Ok((Secured::Tls(Box::new(stream)), caller))
            }
            Err(error) => {
                self.metrics.refused(ConnectionRefusal::Handshake);
                Err(error)
            }
        }
    }
}

/// Whether the listener itself is broken. Anything else passes.
fn is_fatal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::NotConnected
    )
}

// === impl Addresses ===

impl Addresses {
    /// Counts one more from `ip` unless it has as many as it may; gives how many there are in all.
    fn enter(&self, ip: IpAddr, most: usize) -> Option<usize> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = counts.by_ip.get(&ip).copied().unwrap_or(0);
        if before >= most {
            return None;
        }
        counts.by_ip.insert(ip, before + 1);
        counts.all += 1;
        Some(counts.all)
    }

    /// Counts one less from `ip`, and gives how many are left in all.
    fn leave(&self, ip: IpAddr) -> usize {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.by_ip.get(&ip).copied() {
            Some(before) if before > 1 => drop(counts.by_ip.insert(ip, before - 1)),
            _ => drop(counts.by_ip.remove(&ip)),
        }
        counts.all -= 1;
        counts.all
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.metrics.open(self.addresses.leave(self.ip));
    }
}

// === impl Secured ===

impl AsyncRead for Secured {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plaintext(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plaintext(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plaintext(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plaintext(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plaintext(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plaintext(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
