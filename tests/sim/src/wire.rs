//! The simulated network: channels and sockets of the real services on turmoil's links.
//!
//! turmoil drops what it sends into a cut and never sends it again, so a stream that has lost a
//! segment would hang for ever. Real networks send again: a cut here holds segments, and a link
//! that drops them breaks its connections when it is mended.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint, Uri};
use turmoil::net::{TcpListener, TcpStream};

use crate::machine::Dial;

/// Connections that are open, by the pair of their ends.
#[derive(Default)]
struct Links {
    /// How often each pair's connections were broken.
    breaks: BTreeMap<Pair, u64>,
    wakers: BTreeMap<u64, (Pair, Waker)>,
    next: u64,
}

type Pair = (String, String);

thread_local! {
    // turmoil runs all hosts on one thread, and a process runs one simulation.
    static LINKS: RefCell<Links> = RefCell::default();
}

fn pair(a: &str, b: &str) -> Pair {
    match a <= b {
        true => (a.to_owned(), b.to_owned()),
        false => (b.to_owned(), a.to_owned()),
    }
}

/// Breaks all connections between two hosts.
pub(crate) fn break_between(a: &str, b: &str) {
    let pair = pair(a, b);
    let woken: Vec<Waker> = LINKS.with(|links| {
        let mut links = links.borrow_mut();
        *links.breaks.entry(pair.clone()).or_default() += 1;
        let waiting = links.wakers.values().filter(|(of, _)| *of == pair);
        waiting.map(|(_, waker)| waker.clone()).collect()
    });
    woken.into_iter().for_each(Waker::wake);
}

/// One end of a connection.
pub(crate) struct Wire {
    stream: TcpStream,
    number: u64,
    pair: Pair,
    breaks: u64,
}

// === impl Wire ===

impl Wire {
    /// Connects to `HOST:PORT`.
    pub(crate) async fn connect(authority: &str) -> io::Result<Self> {
        Ok(Self::new(TcpStream::connect(authority).await?))
    }

    fn new(stream: TcpStream) -> Self {
        let name = |address: io::Result<std::net::SocketAddr>| {
            let ip = address.map(|address| address.ip()).ok();
            ip.and_then(turmoil::reverse_lookup).unwrap_or_default()
        };
        let pair = pair(&name(stream.local_addr()), &name(stream.peer_addr()));
        LINKS.with(|links| {
            let mut links = links.borrow_mut();
            links.next += 1;
            Self {
                number: links.next,
                breaks: links.breaks.get(&pair).copied().unwrap_or(0),
                stream,
                pair,
            }
        })
    }

    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        LINKS.with(|links| {
            let mut links = links.borrow_mut();
            if links.breaks.get(&self.pair).copied().unwrap_or(0) != self.breaks {
                return Err(io::Error::from(io::ErrorKind::ConnectionReset));
            }
            let waiting = (self.pair.clone(), context.waker().clone());
            links.wakers.insert(self.number, waiting);
            Ok(())
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        LINKS.with(|links| links.borrow_mut().wakers.remove(&self.number));
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Connections that come in at a port.
pub(crate) async fn incoming(port: u16) -> io::Result<impl Stream<Item = io::Result<Wire>>> {
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    Ok(futures_util::stream::unfold(
        listener,
        |listener| async move {
            let accepted = listener.accept().await;
            Some((accepted.map(|(stream, _)| Wire::new(stream)), listener))
        },
    ))
}

/// A channel to `HOST:PORT` with the settings of `endpoint`, which connects when it is used.
pub(crate) fn channel(endpoint: &Endpoint) -> Channel {
    let connect = |authority: String| async move { Wire::connect(&authority).await };
    channel_by(endpoint, connect)
}

/// The same, connected by `connect`.
fn channel_by<C, F, W>(endpoint: &Endpoint, connect: C) -> Channel
where
    C: Fn(String) -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<W>> + Send + 'static,
    W: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    endpoint.connect_with_connector_lazy(tower::service_fn(move |uri: Uri| {
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let connected = connect(authority);
        async move { connected.await.map(TokioIo::new) }
    }))
}

/// How counter nodes reach each other, by way of their machines.
pub(crate) fn node_dialer(dial: mpsc::Sender<Dial>) -> quotum_replica::Dialer {
    quotum_replica::Dialer::new(move |address| {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(quotum_replica::limits::CONNECT_DEADLINE)
            .http2_keep_alive_interval(quotum_counter::limits::KEEPALIVE_PING)
            .keep_alive_timeout(quotum_counter::limits::KEEPALIVE_PING_DEADLINE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20);
        let dial = dial.clone();
        Ok(channel_by(&endpoint, move |authority| {
            let dial = dial.clone();
            async move { Dial::open(&dial, authority).await }
        }))
    })
}

/// How clients reach counter nodes.
pub(crate) fn client_dialer(timeout: std::time::Duration) -> quotum_client::Dialer {
    quotum_client::Dialer::new(move |address| {
        let endpoint = quotum_client::dialer::endpoint("http", address, timeout)?;
        Ok(channel(&endpoint))
    })
}
