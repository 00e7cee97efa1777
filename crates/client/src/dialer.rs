//! How a connection to a node is made. A seam: TLS and the simulator bring their own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::limits::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};

type Dial = dyn Fn(&str) -> Result<Channel, DialError> + Send + Sync;

/// Makes a channel to `HOST:PORT`. The channel may connect at its first use.
#[derive(Clone)]
pub struct Dialer(Arc<Dial>);

/// Why no channel can be made to an address.
#[derive(Debug, thiserror::Error)]
#[error("no channel to {address:?}")]
pub struct DialError {
    pub address: String,
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

// === impl Dialer ===

impl Dialer {
    pub fn new(dial: impl Fn(&str) -> Result<Channel, DialError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(dial))
    }

    /// HTTP/2 without TLS.
    pub fn plaintext(connect_timeout: Duration) -> Self {
        Self::new(move |address| Ok(endpoint("http", address, connect_timeout)?.connect_lazy()))
    }

    pub fn dial(&self, address: &str) -> Result<Channel, DialError> {
        (self.0)(address)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialer")
    }
}

/// The settings that every connection to a counter node has, whoever dials: a peer that is gone
/// is noticed though nothing is sent, and nothing waits for a fuller packet.
pub fn endpoint(
    scheme: &str,
    address: &str,
    connect_timeout: Duration,
) -> Result<Endpoint, DialError> {
    let endpoint =
        Endpoint::from_shared(format!("{scheme}://{address}")).map_err(|error| DialError {
            address: address.to_owned(),
            source: Box::new(error),
        })?;
    Ok(endpoint
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}
