//! The process: listeners, services, readiness, shutdown.

use std::sync::Arc;
use std::time::Duration;

use quotum_registry::MasterKey;
use quotum_registry::secret::token::Token;
use quotum_replica::peer::PeerService;
use quotum_replica::{Channels, Dialer, Node, NodeConfig, NodeError, Seams};
use quotum_telemetry::label::Listener;
use quotum_telemetry::{CounterMetrics, Exposition, ListenerMetrics, Readiness};
use quotum_transport::serve::Guard;
use quotum_transport::{Acceptor, Bounds, Calls, Connector, Credentials, Security};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;

use crate::auth::Tokens;
use crate::cluster::ClusterService;
use crate::counter::CounterService;
use crate::decide::Decider;
use crate::envoy::{Asker, Envoy, RateLimits};
use crate::limits::{
    CLIENT_CONNECTIONS_MAX, CLIENT_CONNECTIONS_PER_IP_MAX, DRAIN_DEADLINE, KEEPALIVE_PING,
    KEEPALIVE_PING_DEADLINE, PEER_CONNECTIONS_MAX, PEERS_END_DEADLINE,
};
use crate::observe::{Observer, observe};
use crate::ready::{Farewell, Teller};
use crate::registry::RegistryService;
use crate::{reflection, roles};

/// Where unpredictable bytes come from: tokens, ids and nonces are made of them.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What a counter node is made of.
pub struct ServerConfig {
    pub node: NodeConfig,
    /// How this node finds the others when a cluster starts; without it, by `cluster init`.
    pub bootstrap: Option<Bootstrap>,
    pub master_key: MasterKey,
    pub admin_token: Token,
    /// The rate-limit API, if it is served.
    pub envoy: Option<Envoy>,
    pub random: Random,
}

/// How the two ports of a node talk, and what they have room for.
#[derive(Debug, Clone)]
pub struct Ports {
    pub client: Port,
    pub peer: Port,
}

/// How one port talks, and what it has room for.
#[derive(Debug, Clone)]
pub struct Port {
    pub security: Security,
    pub bounds: Bounds,
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
    pub ports: Ports,
}

/// What a node serves, and whom.
pub struct Services {
    pub clients: quotum_transport::Services,
    pub peers: quotum_transport::Services,
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
    clients: Tasks,
    /// Ended last: a node that leaves counts in its groups until its clients are answered.
    peers: Tasks,
    farewell: Farewell,
}

/// Tasks, and what ends them.
#[derive(Default)]
struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// Opens plaintext channels to other nodes, with every bound set.
pub fn dialer() -> Dialer {
    Dialer::new(|address| Ok(endpoint("http", address)?.connect_lazy()))
}

/// Opens channels to other nodes over TLS, with the credentials that are in place when they connect.
pub fn tls_dialer(credentials: Credentials) -> Dialer {
    let connector = Connector::new(credentials, quotum_replica::limits::CONNECT_DEADLINE);
    Dialer::new(move |address| {
        Ok(endpoint("https", address)?.connect_with_connector_lazy(connector.clone()))
    })
}

fn endpoint(scheme: &str, address: &str) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
        .connect_timeout(quotum_replica::limits::CONNECT_DEADLINE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_PING)
        .keep_alive_timeout(KEEPALIVE_PING_DEADLINE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20);
    Ok(endpoint)
}

// === impl Ports ===

impl Ports {
    /// Both in plaintext, with the room that they have by default.
    pub fn plaintext() -> Self {
        Self::new(Security::Plaintext, Security::Plaintext)
    }

    /// With the room that they have by default.
    pub fn new(client: Security, peer: Security) -> Self {
        let of_clients = Bounds::new(CLIENT_CONNECTIONS_MAX, CLIENT_CONNECTIONS_PER_IP_MAX);
        Self {
            client: Port {
                security: client,
                bounds: of_clients,
            },
            peer: Port {
                security: peer,
                bounds: Bounds::new(PEER_CONNECTIONS_MAX, PEER_CONNECTIONS_MAX),
            },
        }
    }
}

// === impl Port ===

impl Port {
    fn acceptor(self, exposition: &Exposition, listener: Listener) -> Acceptor {
        let metrics = ListenerMetrics::new(exposition, listener);
        Acceptor::new(self.security, self.bounds, metrics)
    }
}

// === impl Server ===

impl Server {
    /// Starts the node on what its disk holds, and serves. It is ready when every group has a
    /// leader and this node has applied what it knows of, and for as long as it hears of them.
    pub async fn start(
        config: ServerConfig,
        seams: Seams,
        listeners: Listeners,
        exposition: &Exposition,
        readiness: &Readiness,
    ) -> Result<Self, StartError> {
        let (server, services) = Self::assemble(config, seams, exposition, readiness).await?;
        let Ports { client, peer } = listeners.ports;
        let acceptor = client.acceptor(exposition, Listener::Clients);
        server
            .clients
            .serve(listeners.client, acceptor, roles::clients, services.clients);
        let acceptor = peer.acceptor(exposition, Listener::Peers);
        server
            .peers
            .serve(listeners.peer, acceptor, roles::peers, services.peers);
        Ok(server)
    }

    /// The same without sockets: whoever has them serves the services.
    pub async fn assemble(
        config: ServerConfig,
        seams: Seams,
        exposition: &Exposition,
        readiness: &Readiness,
    ) -> Result<(Self, Services), StartError> {
        let metrics = CounterMetrics::new(exposition, config.node.shards);
        let dialer = seams.dialer.clone();
        let seams = Seams {
            observer: Arc::new(Observer::new(metrics.clone(), seams.observer)),
            ..seams
        };
        let node = Node::start(config.node, seams).await?;
        let leaders = Arc::new(Channels::new(dialer));
        let key = Arc::new(config.master_key);
        let tokens = Tokens::new(&config.admin_token, key.clone(), node.clone());
        let decider = Decider::new(node.clone(), leaders.clone(), metrics.clone());
        let counter = CounterService::new(decider);
        let registry =
            RegistryService::new(node.clone(), tokens.clone(), key, leaders, config.random);
        let (health, health_service) = tonic_health::server::health_reporter();
        // What other nodes pass on comes in at the port of the peers.
        let peer = InterceptedService::new(PeerService::new(node.clone()), roles::vouch);
        let peers = Routes::new(peer)
            .add_service(health_service.clone())
            .add_service(counter.clone().of_peers().server())
            .add_service(registry.clone().of_peers().server());
        let mut clients = Routes::new(health_service)
            .add_service(counter.clone().server())
            .add_service(registry.server())
            .add_service(ClusterService::new(node.clone(), tokens))
            .add_service(reflection::service(config.envoy.is_some()));
        let mut calls = counter.clone().calls(Calls::default());
        if let Some(envoy) = config.envoy {
            let limits = RateLimits::new(envoy, Asker::new(counter.clone()));
            clients = clients
                .add_service(limits.envoy())
                .add_service(limits.kuadrant());
            calls = limits.calls(calls);
        }
        let server = Self {
            node: node.clone(),
            clients: Tasks::default(),
            peers: Tasks::default(),
            farewell: Farewell::default(),
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
        let teller = Teller::new(node, readiness.clone(), health).await;
        server.spawn(teller.run(server.farewell.clone()));
        let services = Services {
            clients: quotum_transport::Services {
                calls,
                routes: clients,
            },
            peers: peers.into(),
        };
        Ok((server, services))
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.clients.stop.clone();
        self.clients.tracker.spawn(async move {
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

    /// Says that the node is not ready, hands leadership over, answers what is open within a bounded
    /// time, and stops. Until then the node counts in its groups.
    pub async fn shutdown(self) {
        self.farewell.say().await;
        self.node.leave().await;
        self.clients.end(DRAIN_DEADLINE).await;
        self.node.shutdown().await;
        self.peers.end(PEERS_END_DEADLINE).await;
    }
}

// === impl Tasks ===

impl Tasks {
    fn serve(
        &self,
        listener: TcpListener,
        acceptor: Acceptor,
        guard: Guard,
        services: quotum_transport::Services,
    ) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            let served = quotum_transport::serve(listener, acceptor, guard, services, stop).await;
            if let Err(error) = served {
                tracing::error!(%error, "a port is no longer served");
            }
        });
    }

    /// Asks them to end, and waits for that.
    async fn end(self, deadline: Duration) {
        self.stop.cancel();
        self.tracker.close();
        // What has not ended by then ends with the process.
        let _ended = tokio::time::timeout(deadline, self.tracker.wait()).await;
    }
}
