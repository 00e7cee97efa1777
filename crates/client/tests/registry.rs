//! The watch of the registry against nodes in memory.

mod support;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quotum_api::registry::registry_server::{Registry, RegistryServer};
use quotum_api::registry::{self, WatchRequest, WatchResponse};
use quotum_client::ConfigError;
use quotum_client::registry::{RegistryWatch, WatchConfig, watch};
use support::net::Net;
use support::{clock, until};
use tokio::sync::{mpsc, watch as watch_channel};
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

type Answers = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

/// What a node saw, and how to make it speak.
#[derive(Default)]
struct Seen {
    tokens: Vec<String>,
    reports: Vec<(String, u64)>,
    speak: Option<mpsc::Sender<Result<WatchResponse, Status>>>,
}

#[derive(Clone, Default)]
struct Node(Arc<Mutex<Seen>>);

struct World {
    net: Net,
    nodes: [Node; 2],
    serves: watch_channel::Sender<u64>,
    watch: RegistryWatch,
}

// === impl Node ===

impl Node {
    fn serve(&self, net: &Net, address: &str) {
        let port = net.listen(address);
        let connections =
            UnboundedReceiverStream::new(port.connections).map(Ok::<_, std::io::Error>);
        let server =
            tonic::transport::Server::builder().add_service(RegistryServer::new(self.clone()));
        tokio::spawn(async move {
            // The port lives as long as the node.
            let _killed = port.killed;
            server.serve_with_incoming(connections).await
        });
    }

    fn is_watched(&self) -> bool {
        self.0.lock().unwrap().speak.is_some()
    }

    async fn say(&self, revision: u64, state: &'static str) {
        let speak = self.0.lock().unwrap().speak.clone().unwrap();
        let state = Bytes::from_static(state.as_bytes());
        speak
            .send(Ok(WatchResponse { revision, state }))
            .await
            .unwrap();
    }

    /// Ends the stream.
    fn hang_up(&self) {
        self.0.lock().unwrap().speak = None;
    }

    fn reports(&self) -> Vec<(String, u64)> {
        self.0.lock().unwrap().reports.clone()
    }
}

fn unimplemented<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("only the watch is tested"))
}

#[tonic::async_trait]
impl Registry for Node {
    type WatchStream = Answers;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let token = request
            .metadata()
            .get("authorization")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let (speak, answers) = mpsc::channel(8);
        {
            let mut seen = self.0.lock().unwrap();
            seen.tokens.push(token);
            seen.speak = Some(speak);
        }
        let seen = self.0.clone();
        let mut reports = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(report)) = reports.message().await {
                seen.lock()
                    .unwrap()
                    .reports
                    .push((report.gateway, report.revision));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn apply(
        &self,
        _: Request<registry::ApplyRequest>,
    ) -> Result<Response<registry::ApplyResponse>, Status> {
        unimplemented()
    }

    async fn plan(
        &self,
        _: Request<registry::ApplyRequest>,
    ) -> Result<Response<registry::PlanResponse>, Status> {
        unimplemented()
    }

    async fn get(
        &self,
        _: Request<registry::GetRequest>,
    ) -> Result<Response<registry::GetResponse>, Status> {
        unimplemented()
    }

    async fn create_grant(
        &self,
        _: Request<registry::CreateGrantRequest>,
    ) -> Result<Response<registry::GrantResponse>, Status> {
        unimplemented()
    }

    async fn rotate_grant(
        &self,
        _: Request<registry::RotateGrantRequest>,
    ) -> Result<Response<registry::GrantResponse>, Status> {
        unimplemented()
    }

    async fn revoke_grant(
        &self,
        _: Request<registry::RevokeGrantRequest>,
    ) -> Result<Response<registry::RevokeGrantResponse>, Status> {
        unimplemented()
    }

    async fn gateways(
        &self,
        _: Request<registry::GatewaysRequest>,
    ) -> Result<Response<registry::GatewaysResponse>, Status> {
        unimplemented()
    }

    async fn create_administrator(
        &self,
        _: Request<registry::CreateAdministratorRequest>,
    ) -> Result<Response<registry::CreateAdministratorResponse>, Status> {
        unimplemented()
    }

    async fn list_administrators(
        &self,
        _: Request<registry::ListAdministratorsRequest>,
    ) -> Result<Response<registry::ListAdministratorsResponse>, Status> {
        unimplemented()
    }

    async fn delete_administrator(
        &self,
        _: Request<registry::DeleteAdministratorRequest>,
    ) -> Result<Response<registry::DeleteAdministratorResponse>, Status> {
        unimplemented()
    }
}

fn config(token: &str) -> WatchConfig {
    let nodes = vec!["node0:1".to_owned(), "node1:1".to_owned()];
    WatchConfig::new(nodes, "gateway-a".to_owned(), token.to_owned(), 0)
}

async fn world() -> World {
    let net = Net::default();
    let nodes = [Node::default(), Node::default()];
    for (node, address) in nodes.iter().zip(["node0:1", "node1:1"]) {
        node.serve(&net, address);
    }
    let (serves, served) = watch_channel::channel(0);
    let watch = watch(config("secret"), net.dialer(), clock(), served).unwrap();
    until("watched", || nodes[0].is_watched()).await;
    World {
        net,
        nodes,
        serves,
        watch,
    }
}

#[tokio::test(start_paused = true)]
async fn states_arrive_and_what_is_served_is_reported() {
    let world = world().await;
    let mut states = world.watch.states();
    assert_eq!(*states.borrow(), None);
    world.nodes[0].say(3, "three").await;
    states.changed().await.unwrap();
    let state = states.borrow_and_update().clone().unwrap();
    assert_eq!((state.revision, &state.state[..]), (3, &b"three"[..]));
    world.serves.send_replace(3);
    until("reported", || world.nodes[0].reports().len() == 2).await;
    let reports = world.nodes[0].reports();
    assert_eq!(reports, [("gateway-a".to_owned(), 0), (String::new(), 3)]);
    assert_eq!(world.nodes[0].0.lock().unwrap().tokens, ["Bearer secret"]);
    world.watch.shutdown().await;
    assert!(states.changed().await.is_err(), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_moves_the_instant_and_wakes_nobody() {
    let world = world().await;
    let mut states = world.watch.states();
    world.nodes[0].say(3, "three").await;
    states.changed().await.unwrap();
    let before_us = states.borrow_and_update().as_ref().unwrap().heard_us;
    tokio::time::advance(Duration::from_secs(5)).await;
    world.nodes[0].say(3, "").await;
    let heard_us = || states.borrow().as_ref().unwrap().heard_us;
    until("heard", || heard_us() >= before_us + 5_000_000).await;
    assert!(!states.has_changed().unwrap());
    assert_eq!(&states.borrow().as_ref().unwrap().state[..], b"three");
}

#[tokio::test(start_paused = true)]
async fn another_node_is_watched_when_one_is_lost_and_nothing_goes_back() {
    let world = world().await;
    let mut states = world.watch.states();
    world.nodes[0].say(3, "three").await;
    states.changed().await.unwrap();
    let before_us = states.borrow_and_update().as_ref().unwrap().heard_us;
    world.serves.send_replace(3);
    world.net.kill("node0:1");
    world.nodes[0].hang_up();
    until("watched elsewhere", || world.nodes[1].is_watched()).await;
    until("introduced", || !world.nodes[1].reports().is_empty()).await;
    assert_eq!(world.nodes[1].reports(), [("gateway-a".to_owned(), 3)]);
    // This node is behind: what it says is neither taken over nor counted as heard.
    world.nodes[1].say(2, "two").await;
    world.nodes[1].say(2, "").await;
    tokio::time::advance(Duration::from_secs(1)).await;
    world.nodes[1].say(4, "four").await;
    states.changed().await.unwrap();
    let state = states.borrow_and_update().clone().unwrap();
    assert_eq!((state.revision, &state.state[..]), (4, &b"four"[..]));
    assert!(state.heard_us >= before_us + 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_silent_or_behind_is_left() {
    let world = world().await;
    world.nodes[0].say(3, "three").await;
    let mut states = world.watch.states();
    states.changed().await.unwrap();
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(4)).await;
        world.nodes[0].say(2, "").await;
    }
    until("left", || world.nodes[1].is_watched()).await;
    let heard_us = states.borrow_and_update().as_ref().unwrap().heard_us;
    assert!(
        heard_us < 1_000_000,
        "a node that is behind confirms nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn bad_tokens_names_and_nodes_are_refused_at_the_start() {
    let net = Net::default();
    let refusal = |config| {
        let (_, served) = watch_channel::channel(0);
        watch(config, net.dialer(), clock(), served).unwrap_err()
    };
    assert_eq!(refusal(config("")), ConfigError::Gateway);
    assert_eq!(refusal(config("line\nbreak")), ConfigError::Gateway);
    assert_eq!(
        refusal(WatchConfig {
            nodes: Vec::new(),
            ..config("secret")
        }),
        ConfigError::NodeCount(0)
    );
    assert!(!format!("{:?}", config("secret")).contains("secret"));
}
