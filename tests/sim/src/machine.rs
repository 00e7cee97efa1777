//! The host of one machine: what its operating system does with connections, whether the process that
//! they are for runs or is stopped.

use std::io;

use futures_util::StreamExt;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::{mpsc, oneshot};

use crate::wire::{Wire, incoming};
use crate::world::World;

/// What is buffered in each direction between a connection and the process.
const BUFFER_BYTES: usize = 64 << 10;

/// Connections that wait to be accepted, or to be opened. One more is refused.
const BACKLOG: usize = 128;

/// What a process has of the network.
pub(crate) struct Sockets {
    pub(crate) clients: mpsc::Receiver<DuplexStream>,
    pub(crate) peers: mpsc::Receiver<DuplexStream>,
    pub(crate) dial: mpsc::Sender<Dial>,
}

/// A connection that a process asks for.
pub(crate) struct Dial {
    pub(crate) authority: String,
    pub(crate) opened: oneshot::Sender<io::Result<DuplexStream>>,
}

/// Runs until the machine or its process ends.
pub(crate) async fn run(world: World, machine: u64) -> turmoil::Result {
    let (to_clients, clients) = mpsc::channel(BACKLOG);
    let (to_peers, peers) = mpsc::channel(BACKLOG);
    let (dial, mut dials) = mpsc::channel(BACKLOG);
    let mut at_clients = std::pin::pin!(incoming(7000).await?);
    let mut at_peers = std::pin::pin!(incoming(7001).await?);
    let sockets = Sockets {
        clients,
        peers,
        dial,
    };
    world.boot(machine, sockets);
    loop {
        tokio::select! {
            biased;
            Some(Ok(wire)) = at_clients.next() => drop(to_clients.try_send(buffered(wire))),
            Some(Ok(wire)) = at_peers.next() => drop(to_peers.try_send(buffered(wire))),
            Some(Dial { authority, opened }) = dials.recv() => {
                tokio::spawn(async move {
                    let wire = Wire::connect(&authority).await;
                    // Nobody waits for it any more, if the process has ended.
                    drop(opened.send(wire.map(buffered)));
                });
            }
        }
    }
}

/// The process's end of a connection.
fn buffered(mut wire: Wire) -> DuplexStream {
    let (mut near, far) = duplex(BUFFER_BYTES);
    tokio::spawn(async move { drop(copy_bidirectional(&mut wire, &mut near).await) });
    far
}

// === impl Dial ===

impl Dial {
    /// Opens a connection by way of the machine.
    pub(crate) async fn open(
        dial: &mpsc::Sender<Self>,
        authority: String,
    ) -> io::Result<DuplexStream> {
        let (opened, is_open) = oneshot::channel();
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let asked = dial.try_send(Self { authority, opened });
        asked.map_err(|_| refused())?;
        is_open.await.map_err(|_| refused())?
    }
}
