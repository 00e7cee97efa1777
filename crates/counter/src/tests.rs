use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use quotum_api::cluster::cluster_client::ClusterClient;
use quotum_api::counter::counter_client::CounterClient;
use quotum_api::counter::outcome::Kind;
use quotum_api::counter::{self as wire, item};
use quotum_api::registry::registry_client::RegistryClient;
use quotum_api::{cluster, registry};
use quotum_limit::Caps;
use quotum_registry::secret::token::{Token, TokenKind};
use quotum_replica::clock::RealClock;
use quotum_replica::disk::memory::MemoryDisk;
use quotum_replica::limits::FEATURE_LEVEL;
use quotum_replica::node::Timings;
use quotum_replica::{Dialer, Durability, LogConfig, Member, NodeConfig, Seams};
use quotum_telemetry::{BuildInfo, Exposition, Readiness};
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::*;
use crate::counter::CounterService;
use crate::decide::Decider;
use crate::envoy::Envoy;

mod administrators;
mod digests;
mod documents;
mod figures;
mod forwarded;
mod level;
mod peers;
mod readiness;
mod reflected;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
    addresses: Vec<String>,
    pub(crate) expositions: Vec<Exposition>,
    /// Of each node.
    readiness: Vec<Readiness>,
    admin: Token,
    key_bytes: [u8; 32],
}

/// Bytes that differ, and repeat from run to run.
fn random() -> Random {
    let next = AtomicU64::new(1);
    Arc::new(move |bytes: &mut [u8]| {
        for byte in bytes {
            let drawn = next.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            *byte = (drawn.wrapping_mul(drawn | 1) >> 40).to_le_bytes()[0];
        }
    })
}

impl Cluster {
    async fn start(nodes: u64) -> Self {
        Self::start_with(nodes, Ports::plaintext(), dialer()).await
    }

    async fn start_with(nodes: u64, ports: Ports, dialer: Dialer) -> Self {
        Self::start_as(nodes, ports, dialer, |_| None).await
    }

    /// A cluster whose nodes serve the rate-limit API as `envoy` says, with their metrics.
    pub(crate) async fn start_limited(
        nodes: u64,
        envoy: impl Fn(&Exposition) -> Option<Envoy>,
    ) -> Self {
        Self::start_as(nodes, Ports::plaintext(), dialer(), envoy).await
    }

    async fn start_as(
        nodes: u64,
        ports: Ports,
        dialer: Dialer,
        envoy: impl Fn(&Exposition) -> Option<Envoy>,
    ) -> Self {
        let admin = Token::from_random(TokenKind::Admin, &[9; 32]);
        let mut key_bytes = [7; 32];
        key_bytes[0] = 1;
        let mut sockets = Vec::new();
        for _ in 0..nodes {
            let client = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sockets.push(Listeners {
                client,
                peer,
                ports: ports.clone(),
            });
        }
        let address = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
        let peers: Vec<String> = sockets.iter().map(|s| address(&s.peer)).collect();
        let addresses: Vec<String> = sockets.iter().map(|s| address(&s.client)).collect();
        let mut servers = Vec::new();
        let mut expositions = Vec::new();
        let readiness: Vec<_> = sockets.iter().map(|_| Readiness::new()).collect();
        for (id, listeners) in (1..).zip(sockets) {
            let build = BuildInfo {
                version: "test".into(),
                revision: "test".into(),
            };
            let exposition = Exposition::new(&build);
            let config = ServerConfig {
                node: NodeConfig {
                    id: Some(id),
                    member: Member {
                        peer_address: address(&listeners.peer),
                        client_address: address(&listeners.client),
                        ..Member::default()
                    },
                    shards: 2,
                    caps: Caps {
                        counters_max: 100,
                        tenant_counters_max: 100,
                    },
                    log: LogConfig {
                        durability: Durability::Fsync,
                        segment_bytes: 1 << 20,
                    },
                    timings: Timings::STANDARD,
                    feature_level: FEATURE_LEVEL,
                },
                bootstrap: Some(Bootstrap {
                    peers: peers.clone(),
                    expect: peers.len(),
                }),
                master_key: quotum_registry::MasterKey::from_bytes(&key_bytes).unwrap(),
                admin_token: Token::from_random(TokenKind::Admin, &[9; 32]),
                envoy: envoy(&exposition),
                random: random(),
            };
            let seams = Seams {
                disk: Arc::new(MemoryDisk::new()),
                clock: Arc::new(RealClock),
                dialer: dialer.clone(),
                observer: Arc::new(quotum_replica::observe::Unobserved),
                seed: id,
            };
            let readiness = &readiness[servers.len()];
            let server = Server::start(config, seams, listeners, &exposition, readiness).await;
            servers.push(server.unwrap());
            expositions.push(exposition);
        }
        let ready = async {
            while !readiness.iter().all(Readiness::is_ready) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready)
            .await
            .expect("the cluster is ready");
        Self {
            servers,
            addresses,
            expositions,
            readiness,
            admin,
            key_bytes,
        }
    }

    pub(crate) fn channel(&self, node: usize) -> Channel {
        dialer().dial(&self.addresses[node]).unwrap()
    }

    fn counter(&self, node: usize) -> CounterClient<Channel> {
        CounterClient::new(self.channel(node))
    }

    fn registry(&self, node: usize) -> RegistryClient<Channel> {
        RegistryClient::new(self.channel(node))
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        with_token(message, self.admin.as_str())
    }

    pub(crate) async fn stop(self) {
        for server in self.servers {
            server.shutdown().await;
        }
    }
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

fn item(key: &str, max: u64) -> wire::Item {
    wire::Item {
        key: key.as_bytes().to_vec().into(),
        max,
        revision: 1,
        window: Some(item::Window::Calendar(wire::Calendar::Month.into())),
        algorithm: wire::Algorithm::Fixed.into(),
        units: 1,
        shadow: false,
    }
}

fn acquire(shard: u32, items: Vec<wire::Item>) -> wire::AcquireRequest {
    wire::AcquireRequest {
        shard,
        items,
        ..Default::default()
    }
}

fn is_admitted(response: &wire::AcquireResponse) -> bool {
    let kind = response
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.kind.as_ref());
    matches!(kind, Some(Kind::Admitted(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_decides_and_all_count_as_one() {
    let cluster = Cluster::start(3).await;
    for shard in 0..2 {
        let calls = (0..90).map(|call| {
            let mut client = cluster.counter(call % 3);
            tokio::spawn(async move {
                client
                    .acquire(acquire(shard, vec![item("k", 30)]))
                    .await
                    .unwrap()
                    .into_inner()
            })
        });
        let mut admitted = 0;
        for call in calls.collect::<Vec<_>>() {
            admitted += usize::from(is_admitted(&call.await.unwrap()));
        }
        assert_eq!(admitted, 30, "shard {shard}");
    }
    let shown: String = cluster.expositions.iter().map(Exposition::render).collect();
    let count = |outcome: &str| -> u64 {
        let line = format!(
            "quotum_counter_decisions_total{{shard=\"0\",api=\"native_unary\",outcome=\"{outcome}\"}} "
        );
        shown
            .lines()
            .filter_map(|text| text.strip_prefix(&line)?.parse::<u64>().ok())
            .sum()
    };
    assert_eq!((count("admitted"), count("denied")), (30, 60), "{shown}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_of_the_caller_counts_once_on_any_node() {
    let cluster = Cluster::start(3).await;
    let epoch = cluster
        .counter(0)
        .open(wire::OpenRequest { shard: 0 })
        .await
        .unwrap();
    let epoch = epoch.into_inner().epoch;
    for node in [0, 1, 2, 0] {
        let request = wire::AcquireRequest {
            epoch,
            seq: 1,
            ..acquire(0, vec![item("k", 5)])
        };
        let response = cluster
            .counter(node)
            .acquire(request)
            .await
            .unwrap()
            .into_inner();
        assert!(is_admitted(&response));
        let known = cluster.addresses.contains(&response.leader);
        assert!(known, "the leader is named: {:?}", response.leader);
    }
    let peek = wire::PeekRequest {
        shard: 0,
        items: vec![item("k", 5)],
    };
    let peeked = cluster
        .counter(1)
        .peek(peek.clone())
        .await
        .unwrap()
        .into_inner();
    let Some(Kind::Peeked(state)) = peeked.outcome.unwrap().kind else {
        panic!()
    };
    assert_eq!(state.items[0].remaining, 4);
    let refund = wire::RefundRequest {
        shard: 0,
        epoch,
        seq: 1,
    };
    cluster.counter(2).refund(refund).await.unwrap();
    let peeked = cluster.counter(0).peek(peek).await.unwrap().into_inner();
    let Some(Kind::Peeked(state)) = peeked.outcome.unwrap().kind else {
        panic!()
    };
    assert_eq!(state.items[0].remaining, 5);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_are_refused_by_their_place() {
    let cluster = Cluster::start(1).await;
    let cases = [
        (acquire(7, vec![item("k", 1)]), "shard"),
        (acquire(0, vec![]), "items"),
        (acquire(0, vec![item("", 1)]), "items[0].key"),
        (acquire(0, vec![item(&"k".repeat(129), 1)]), "items[0].key"),
        (
            acquire(
                0,
                vec![wire::Item {
                    window: None,
                    ..item("k", 1)
                }],
            ),
            "items[0].window",
        ),
    ];
    for (request, place) in cases {
        let status = cluster.counter(0).acquire(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(place), "{place}: {status}");
    }
    let many = wire::DecideRequest {
        commands: vec![wire::Command { kind: None }; 9_000].into(),
        ..Default::default()
    };
    let response = cluster
        .counter(0)
        .decide_batch(many)
        .await
        .unwrap()
        .into_inner();
    assert!(
        format!("{response:?}").contains("too many commands"),
        "{response:?}"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_answers_every_message_by_its_tag() {
    let cluster = Cluster::start(3).await;
    let epoch = cluster
        .counter(0)
        .open(wire::OpenRequest { shard: 1 })
        .await
        .unwrap();
    let epoch = epoch.into_inner().epoch;
    let message = move |tag: u64| wire::DecideRequest {
        tag,
        shard: 1,
        epoch,
        commands: vec![wire::Command {
            kind: Some(wire::command::Kind::Acquire(wire::command::Acquire {
                seq: tag,
                items: vec![item("s", 10)],
            })),
        }]
        .into(),
        ..Default::default()
    };
    let messages = tokio_stream::iter((1..=40).map(message));
    let mut answers = cluster
        .counter(2)
        .decide(messages)
        .await
        .unwrap()
        .into_inner();
    let mut tags = Vec::new();
    let mut admitted = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        tags.push(answer.tag);
        let Some(wire::decide_response::Result::Decided(decided)) = answer.result else {
            panic!("{answer:?}")
        };
        let outcomes = decided.into_outcomes();
        admitted += usize::from(matches!(outcomes[0].kind, Some(Kind::Admitted(_))));
    }
    tags.sort_unstable();
    assert_eq!(tags, (1..=40).collect::<Vec<_>>());
    assert_eq!(admitted, 10);
    cluster.stop().await;
}

const DOCUMENTS: &str = r#"[
  {"kind": "Server", "name": "demo", "url": "http://127.0.0.1:9/mcp",
   "credential": {"headers": {"X-Key": {"env": "KEY"}}}},
  {"kind": "Policy", "name": "p", "document": {"version": "1", "default": "deny"}},
  {"kind": "Grant", "name": "g", "server": "demo", "policy": "p"}
]"#;

fn apply(documents: &str) -> registry::ApplyRequest {
    let headers = [("X-Key".to_owned(), "secret-value".to_owned())]
        .into_iter()
        .collect();
    registry::ApplyRequest {
        documents_json: documents.as_bytes().to_vec().into(),
        credentials: [("demo".to_owned(), registry::Credential { headers })]
            .into_iter()
            .collect(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_is_changed_through_any_node_and_shows_no_secret() {
    let cluster = Cluster::start(3).await;
    let applied = cluster
        .registry(1)
        .apply(cluster.signed(apply(DOCUMENTS)))
        .await
        .unwrap();
    let applied = applied.into_inner();
    assert_eq!(
        (applied.revision, applied.changes.len()),
        (1, 3),
        "{applied:?}"
    );
    let again = cluster
        .registry(2)
        .apply(cluster.signed(apply(DOCUMENTS)))
        .await
        .unwrap();
    assert_eq!(again.into_inner().revision, 1, "nothing changed");
    for node in 0..3 {
        let get = cluster.signed(registry::GetRequest::default());
        let got = cluster.registry(node).get(get).await.unwrap().into_inner();
        let text = String::from_utf8(got.documents_json.to_vec()).unwrap();
        assert!(
            text.contains("\"sealed\"") && !text.contains("secret-value"),
            "{text}"
        );
    }
    let create = registry::CreateGrantRequest {
        name: "agent".into(),
        server: "demo".into(),
        policy: "p".into(),
        expires_at_ms: 0,
    };
    let granted = cluster
        .registry(0)
        .create_grant(cluster.signed(create.clone()))
        .await
        .unwrap();
    let granted = granted.into_inner();
    assert!(granted.token.starts_with("qtm_"), "{granted:?}");
    let twice = cluster
        .registry(1)
        .create_grant(cluster.signed(create))
        .await
        .unwrap_err();
    assert_eq!(twice.code(), Code::AlreadyExists);
    let bad = apply(r#"[{"kind": "Grant", "name": "h", "server": "nowhere"}]"#);
    let refused = cluster
        .registry(2)
        .apply(cluster.signed(bad))
        .await
        .unwrap_err();
    assert!(refused.message().contains("nowhere"), "{refused}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watching_gateway_sees_each_change_and_is_listed() {
    let cluster = Cluster::start(3).await;
    let key = quotum_registry::MasterKey::from_bytes(&cluster.key_bytes).unwrap();
    let (requests, sent) = tokio::sync::mpsc::channel(4);
    let hello = registry::WatchRequest {
        gateway: "gw-1".into(),
        revision: 0,
    };
    requests.send(hello).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(sent);
    let watch = with_token(stream, &gateway_token(&key));
    let mut states = cluster.registry(2).watch(watch).await.unwrap().into_inner();
    cluster
        .registry(0)
        .apply(cluster.signed(apply(DOCUMENTS)))
        .await
        .unwrap();
    let view = loop {
        let message = tokio::time::timeout(PATIENCE, states.message())
            .await
            .unwrap();
        let message = message.unwrap().expect("the stream lives");
        if message.revision == 1 && !message.state.is_empty() {
            break quotum_registry::View::decode(&message.state, &key, None).unwrap();
        }
    };
    let credential = view.server("demo").unwrap().credential().unwrap();
    assert_eq!(
        credential.iter().collect::<Vec<_>>(),
        [("x-key", "secret-value")]
    );
    requests
        .send(registry::WatchRequest {
            gateway: String::new(),
            revision: 1,
        })
        .await
        .unwrap();
    let listed = async {
        loop {
            let ask = cluster.signed(registry::GatewaysRequest {});
            let known = cluster
                .registry(0)
                .gateways(ask)
                .await
                .unwrap()
                .into_inner();
            let revisions: BTreeMap<_, _> = known
                .gateways
                .into_iter()
                .map(|g| (g.name, g.revision))
                .collect();
            if revisions.get("gw-1") == Some(&1) && known.silent_nodes.is_empty() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, listed)
        .await
        .expect("the gateway is listed");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_token_nothing_is_told() {
    let cluster = Cluster::start(1).await;
    let wrong = Token::from_random(TokenKind::Admin, &[8; 32]);
    let key = quotum_registry::MasterKey::from_bytes(&cluster.key_bytes).unwrap();
    for token in [wrong.as_str(), "", &gateway_token(&key)] {
        let apply = with_token(apply(DOCUMENTS), token);
        let status = cluster.registry(0).apply(apply).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        let status = with_token(cluster::StatusRequest::default(), token);
        let status = ClusterClient::new(cluster.channel(0))
            .status(status)
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    let requests = tokio_stream::iter([registry::WatchRequest::default()]);
    let watch = with_token(requests, cluster.admin.as_str());
    let status = cluster.registry(0).watch(watch).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let none = cluster
        .registry(0)
        .get(registry::GetRequest::default())
        .await
        .unwrap_err();
    assert_eq!(none.code(), Code::Unauthenticated);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_hands_its_shards_over() {
    let mut cluster = Cluster::start(3).await;
    let mut client = cluster.counter(0);
    client
        .acquire(acquire(0, vec![item("k", 9)]))
        .await
        .unwrap();
    let leader = cluster.servers[0]
        .node()
        .leader(quotum_replica::ShardId(0))
        .unwrap()
        .0;
    let at = usize::try_from(leader).unwrap() - 1;
    cluster.servers.remove(at).shutdown().await;
    let other = usize::from(at == 0);
    let response = cluster
        .counter(other)
        .acquire(acquire(0, vec![item("k", 9)]))
        .await
        .unwrap();
    let response = response.into_inner();
    let Some(Kind::Admitted(admitted)) = response.outcome.unwrap().kind else {
        panic!()
    };
    assert_eq!(admitted.items[0].remaining, 7);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_without_ids_has_left_behind_is_given_back() {
    let cluster = Cluster::start(1).await;
    let node = cluster.servers[0].node().clone();
    let metrics = quotum_telemetry::CounterMetrics::new(&cluster.expositions[0], 2);
    let leaders = Arc::new(quotum_replica::Channels::new(dialer()));
    let service = CounterService::new(Decider::new(node.clone(), leaders, metrics));
    let items = items("k", 9);
    let (decision, first) = service.acquire_minted(0, &items).await.unwrap();
    assert!(matches!(
        decision.outcome,
        quotum_limit::Outcome::Admitted { .. }
    ));
    let leaving = service.acquire_minted(0, &items);
    assert!(leaving.now_or_never().is_none(), "its caller goes");
    // Whether it was decided is open: here it is, after its caller has gone.
    let late = wire::DecideRequest {
        epoch: first.epoch,
        commands: vec![wire::Command {
            kind: Some(wire::command::Kind::Acquire(wire::command::Acquire {
                seq: first.seq + 1,
                items: vec![item("k", 9)],
            })),
        }]
        .into(),
        ..wire::DecideRequest::default()
    };
    node.decide(0, late.into_commands().unwrap()).await.unwrap();
    let mut client = cluster.counter(0);
    assert_eq!(remaining(&mut client).await, 7);
    let refunds = tokio::spawn(service.clone().refund_abandoned());
    let given_back = async { while remaining(&mut client).await != 8 {} };
    tokio::time::timeout(PATIENCE, given_back)
        .await
        .expect("its unit is given back");
    let acknowledged = async {
        loop {
            let next = service.acquire_minted(0, &items);
            if next.await.unwrap().1.acked_seq > first.seq {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, acknowledged)
        .await
        .expect("its id is acknowledged");
    refunds.abort();
    cluster.stop().await;
}

fn items(key: &str, max: u64) -> quotum_limit::Items {
    quotum_api::items_from_wire(vec![item(key, max)]).unwrap()
}

async fn remaining(client: &mut CounterClient<Channel>) -> u64 {
    let peek = wire::PeekRequest {
        shard: 0,
        items: vec![item("k", 9)],
    };
    let peeked = client.peek(peek).await.unwrap().into_inner();
    match peeked.outcome.unwrap().kind {
        Some(Kind::Peeked(peeked)) => peeked.items[0].remaining,
        other => panic!("{other:?}"),
    }
}
