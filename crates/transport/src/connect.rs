//! Connections that go out: TCP, then TLS with whatever credentials are in place at that moment.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use crate::credentials::Credentials;

/// Connects to `https://HOST:PORT`, for `Endpoint::connect_with_connector`. The server's
/// certificate must be valid for HOST, and of an authority that the credentials believe.
#[derive(Debug, Clone)]
pub struct Connector {
    credentials: Credentials,
    deadline: Duration,
}

type Connecting = dyn Future<Output = io::Result<TokioIo<TlsStream<TcpStream>>>> + Send;

// === impl Connector ===

impl Connector {
    /// TCP and TLS together may take so long.
    pub fn new(credentials: Credentials, deadline: Duration) -> Self {
        Self {
            credentials,
            deadline,
        }
    }

    /// Connects to a port of a host, with brackets around an IPv6 address or not.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = self.credentials.client();
        let config = config.ok_or_else(|| io::Error::other("these credentials dial nobody"))?;
        let connecting = async {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(config).connect(name, stream).await
        };
        let connected = tokio::time::timeout(self.deadline, connecting).await;
        connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<Connecting>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let host = uri.host().ok_or_else(|| io::Error::other("no host"))?;
            let port = uri.port_u16().unwrap_or(443);
            connector.connect(host, port).await.map(TokioIo::new)
        })
    }
}
