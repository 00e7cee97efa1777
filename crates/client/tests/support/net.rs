//! A network of pipes in one process: addresses, connections, and nodes that die.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use hyper_util::rt::TokioIo;
use quotum_client::Dialer;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tonic::transport::Endpoint;

#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<BTreeMap<String, Host>>>);

struct Host {
    connections: mpsc::UnboundedSender<DuplexStream>,
    killed: watch::Sender<bool>,
}

/// What a node gets of the network.
pub(crate) struct Port {
    pub(crate) connections: mpsc::UnboundedReceiver<DuplexStream>,
    pub(crate) killed: watch::Receiver<bool>,
}

// === impl Net ===

impl Net {
    pub(crate) fn listen(&self, address: &str) -> Port {
        let (sender, connections) = mpsc::unbounded_channel();
        let (kill, killed) = watch::channel(false);
        let host = Host {
            connections: sender,
            killed: kill,
        };
        self.0.lock().unwrap().insert(address.to_owned(), host);
        Port {
            connections,
            killed,
        }
    }

    /// Ends the node's streams and refuses new connections.
    pub(crate) fn kill(&self, address: &str) {
        if let Some(host) = self.0.lock().unwrap().remove(address) {
            host.killed.send_replace(true);
        }
    }

    pub(crate) fn dialer(&self) -> Dialer {
        let net = self.clone();
        Dialer::new(move |address| {
            let (net, address) = (net.clone(), address.to_owned());
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            Ok(
                endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
                    std::future::ready(net.connect(&address).map(TokioIo::new))
                })),
            )
        })
    }

    fn connect(&self, address: &str) -> io::Result<DuplexStream> {
        let hosts = self.0.lock().unwrap();
        let host = hosts.get(address).ok_or(io::ErrorKind::ConnectionRefused)?;
        let (ours, theirs) = duplex(64 << 10);
        host.connections
            .send(theirs)
            .map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(ours)
    }
}
