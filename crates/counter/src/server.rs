//! The process: listeners, services, readiness, shutdown.

use std::sync::Arc;

use quotum_registry::MasterKey;
use quotum_registry::secret::token::Token;
use quotum_replica::peer::PeerService;
use quotum_replica::{Channels, Dialer, Node, NodeConfig, NodeError, Seams};
use quotum_telemetry::{CounterMetrics, Exposition, Readiness};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic::transport::server::TcpIncoming;

use crate::auth::Tokens;
use crate::cluster::ClusterService;
use crate::counter::CounterService;
use crate::decide::Decider;
use crate::limits::{
    CONNECTION_STREAMS_MAX, DRAIN_DEADLINE, KEEPALIVE_PING, KEEPALIVE_PING_DEADLINE,
    PENDING_RESETS_MAX,
};
use crate::observe::{Observer, observe};
use crate::registry::RegistryService;

/// Where unpredictable bytes come from: tokens, ids and nonces are made of them.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What a counter node is made of.
pub struct ServerConfig {
    pub node: NodeConfig,
    /// How this node finds the others when a cluster starts; without it, by `cluster init`.
    pub bootstrap: Option<Bootstrap>,
    pub master_key: MasterKey,
    pub admin_token: Token,
    pub random: Random,
}

/// The nodes that start a cluster together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// Where they serve peers, this one included or not.
    pub peers: Vec<String>,
    /// How many they are.
    pub expect: usize,
}

/// The sockets of a node.
pub struct Listeners {
    pub client: TcpListener,
    pub peer: TcpListener,
}

/// What a node serves, and whom.
pub struct Services {
    pub clients: Routes,
    pub peers: Routes,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// A counter node that serves.
pub struct Server {
    node: Node,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Opens plaintext channels, with every bound set.
pub fn dialer() -> Dialer {
    Dialer::new(|address| {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(quotum_replica::limits::CONNECT_DEADLINE)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_PING)
            .keep_alive_timeout(KEEPALIVE_PING_DEADLINE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20);
        Ok(endpoint.connect_lazy())
    })
}

// === impl Server ===

impl Server {
    /// Starts the node on what its disk holds, and serves. It is ready when every group has a
    /// leader and this node has applied what it knows of.
    pub async fn start(
        config: ServerConfig,
        seams: Seams,
        listeners: Listeners,
        exposition: &Exposition,
        readiness: &Readiness,
    ) -> Result<Self, StartError> {
        let (server, services) = Self::assemble(config, seams, exposition, readiness).await?;
        server.serve("clients", services.clients, listeners.client);
        server.serve("peers", services.peers, listeners.peer);
        Ok(server)
    }

    /// The same without sockets: whoever has them serves the services.
    pub async fn assemble(
        config: ServerConfig,
        seams: Seams,
        exposition: &Exposition,
        readiness: &Readiness,
    ) -> Result<(Self, Services), StartError> {
        let caught_up = readiness.latch("every shard has a leader and this node has caught up");
        let metrics = CounterMetrics::new(exposition, config.node.shards);
        let dialer = seams.dialer.clone();
        let seams = Seams {
            observer: Arc::new(Observer::new(metrics.clone(), seams.observer)),
            ..seams
        };
        let node = Node::start(config.node, seams).await?;
        let leaders = Arc::new(Channels::new(dialer));
        let tokens = Tokens::new(&config.admin_token, &config.master_key);
        let decider = Decider::new(node.clone(), leaders.clone(), metrics.clone());
        let counter = CounterService::new(decider);
        let key = Arc::new(config.master_key);
        let registry =
            RegistryService::new(node.clone(), tokens.clone(), key, leaders, config.random);
        let (health, health_service) = tonic_health::server::health_reporter();
        let clients = Routes::new(health_service)
            .add_service(counter.clone().server())
            .add_service(registry)
            .add_service(ClusterService::new(node.clone(), tokens));
        let peers = Routes::new(PeerService::new(node.clone()));
        let server = Self {
            node: node.clone(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        server.spawn(observe(node.clone(), metrics));
        server.spawn(counter.refund_abandoned());
        if let Some(bootstrap) = config.bootstrap {
            let node = node.clone();
            server.spawn(async move {
                if let Err(error) = node.bootstrap(&bootstrap.peers, bootstrap.expect).await {
                    tracing::error!(%error, "the cluster was not founded");
                }
            });
        }
        server.spawn(async move {
            while !node.is_caught_up() {
                tokio::time::sleep(crate::limits::RETRY_INTERVAL).await;
            }
            health
                .set_service_status("", tonic_health::ServingStatus::Serving)
                .await;
            caught_up.release();
            // Held for as long as the node serves: dropping it ends the health streams.
            std::future::pending::<()>().await;
            drop(health);
        });
        Ok((server, Services { clients, peers }))
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    fn serve(&self, what: &'static str, routes: Routes, listener: TcpListener) {
        let router = builder().add_routes(routes);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let served = router.serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
            if let Err(error) = served.await {
                tracing::error!(%error, what, "the server has ended");
            }
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Waits until the node cannot go on, and says why. The process must end then.
    pub async fn failed(&self) -> String {
        self.node.failed().await
    }

    /// Hands leadership over, ends what is open within a bounded time, and stops.
    pub async fn shutdown(self) {
        self.node.hand_over_all().await;
        self.stop.cancel();
        self.tasks.close();
        // Streams that clients keep open end with the process.
        drop(tokio::time::timeout(DRAIN_DEADLINE, self.tasks.wait()).await);
        self.node.shutdown().await;
    }
}

/// A server with every bound of HTTP/2 set.
fn builder() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .max_concurrent_streams(Some(CONNECTION_STREAMS_MAX))
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_PING))
        .http2_keepalive_timeout(Some(KEEPALIVE_PING_DEADLINE))
        .initial_stream_window_size(Some(4 << 20))
        .initial_connection_window_size(Some(16 << 20))
}
