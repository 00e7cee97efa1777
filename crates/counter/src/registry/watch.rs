//! Watching: the registry's state to a gateway, now and after each change.

use std::pin::Pin;

use futures_util::Stream;
use quotum_api::registry as wire;
use quotum_replica::{Node, ShardId};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use crate::limits::{GATEWAY_NAME_BYTES_MAX, KEEPALIVE_INTERVAL, WATCHERS_MAX};

type Answers = Pin<Box<dyn Stream<Item = Result<wire::WatchResponse, Status>> + Send>>;

/// Forgets a gateway when its stream ends, however that happens.
struct Watcher {
    node: Node,
    gateway: String,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.node.note_watcher(&self.gateway, None);
    }
}

pub(super) async fn watch(
    node: Node,
    mut incoming: Streaming<wire::WatchRequest>,
) -> Result<Response<Answers>, Status> {
    let first = incoming.message().await?;
    let first = first.ok_or_else(|| Status::invalid_argument("the gateway's name is missing"))?;
    if first.gateway.is_empty() || first.gateway.len() > GATEWAY_NAME_BYTES_MAX {
        let text = format!("gateway: a name has 1 to {GATEWAY_NAME_BYTES_MAX} bytes");
        return Err(Status::invalid_argument(text));
    }
    // It knows nothing yet, and may be in no cluster for ever: the gateway asks another.
    if !node.knows_registry() {
        return Err(Status::unavailable(
            "this node does not know the registry of a cluster",
        ));
    }
    if node.watchers().len() >= WATCHERS_MAX {
        return Err(Status::resource_exhausted(
            "too many gateways watch this node",
        ));
    }
    node.note_watcher(&first.gateway, Some(first.revision));
    let watcher = Watcher {
        node: node.clone(),
        gateway: first.gateway,
    };
    let (sender, answers) = mpsc::channel(2);
    // The task ends with the stream: when the gateway is gone, sending fails.
    tokio::spawn(serve(node, watcher, incoming, sender));
    Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
}

async fn serve(
    node: Node,
    watcher: Watcher,
    mut incoming: Streaming<wire::WatchRequest>,
    sender: mpsc::Sender<Result<wire::WatchResponse, Status>>,
) {
    let mut progress = node.registry_progress();
    let mut sent: Option<u64> = None;
    let mut keepalive = tokio::time::interval(KEEPALIVE_INTERVAL);
    let mut left = std::pin::pin!(node.left());
    loop {
        let state = node.registry();
        if sent != Some(state.revision()) {
            let revision = state.revision();
            let message = wire::WatchResponse {
                revision,
                state: state.encode().into(),
            };
            if sender.send(Ok(message)).await.is_err() {
                return;
            }
            sent = Some(revision);
        }
        tokio::select! {
            biased;
            () = &mut left => return,
            message = incoming.message() => match message {
                Ok(Some(request)) => {
                    watcher.node.note_watcher(&watcher.gateway, Some(request.revision));
                }
                Ok(None) | Err(_) => return,
            },
            changed = progress.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            _ = keepalive.tick() => {
                // Without a leader nobody knows whether this state is current.
                let current = node.leader(ShardId::REGISTRY).is_some();
                if let (Some(revision), true) = (sent, current) {
                    let message = wire::WatchResponse { revision, state: Default::default() };
                    if sender.send(Ok(message)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
