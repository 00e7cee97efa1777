//! A gateway with a small registry: a server `demo`, grants of it, and one of another server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quotum_gateway::room::Room;
use quotum_gateway::session::{SessionKey, SessionKeys};
use quotum_gateway::{Clock, Config, Gateway, Hosts, Snapshot, Telemetry, limits};
use quotum_registry::command::CredentialChange;
use quotum_registry::grant::GrantSpec;
use quotum_registry::name::{GrantId, GrantName, Name};
use quotum_registry::policy::Document;
use quotum_registry::secret::credential::{Headers, SealedCredential};
use quotum_registry::secret::sealing::SealNonce;
use quotum_registry::secret::token::{Token, TokenKind};
use quotum_registry::server::{Refund, ServerSpec};
use quotum_registry::upstream::Upstream as Address;
use quotum_registry::{Change, Command, MasterKey, Outcome, State, View};
use quotum_telemetry::label::Listener;
use quotum_telemetry::record::writer::RecordWriter;
use quotum_telemetry::{BuildInfo, Exposition, GatewayMetrics, ListenerMetrics};
use quotum_transport::{Acceptor, Bounds, Security};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Memory;

pub(crate) struct RigBuilder {
    policy: String,
    refund: Refund,
    methods: Vec<String>,
    drain: Duration,
    head_timeout: Duration,
    open_max: usize,
    room: Room,
    age: Duration,
    roots: RootCertStore,
    tasks: bool,
    origins: Vec<String>,
}

/// A running gateway, and what it was given.
pub(crate) struct Rig {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) memory: Memory,
    pub(crate) exposition: Exposition,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
    pub(crate) now_ms: Arc<AtomicU64>,
    registry: watch::Sender<Snapshot>,
    state: State,
    records: RecordWriter,
    lines: Arc<std::sync::Mutex<Vec<u8>>>,
}

#[derive(Clone)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn master_key() -> MasterKey {
    let bytes: [u8; 32] = std::array::from_fn(|at| at as u8);
    MasterKey::from_bytes(&bytes).expect("a key")
}

/// The token of the grant with this number.
pub(crate) fn token(number: u8) -> String {
    Token::from_random(TokenKind::Grant, &[number; 32])
        .as_str()
        .to_owned()
}

/// Policies of the tests: two calls a minute of `echo`, `hidden` hidden.
pub(crate) const POLICY: &str = r#"{"version":"1","default":"deny","hide":["hidden"],"tools":{
    "hidden":{}, "free":{}, "slow":{},
    "echo":{"limits":[{"counter":"echo_rate","window":"minute","max":2}]},
    "open":{"limits":[{"counter":"open_rate","window":"minute","max":2,"on_unavailable":"allow"}]},
    "shadow":{"limits":[{"counter":"shadow_rate","window":"minute","max":1,"mode":"shadow"}]},
    "pay":{"deny_if":[{"conditions":[{"path":"args.amount","op":"gt","value":100}]}]}
}}"#;

impl Default for RigBuilder {
    fn default() -> Self {
        Self {
            policy: POLICY.to_owned(),
            refund: Refund::NotExecuted,
            methods: Vec::new(),
            drain: Duration::from_secs(20),
            head_timeout: Duration::from_secs(30),
            open_max: 64,
            room: Room::new(limits::BUFFERED_BYTES_MAX),
            age: Duration::ZERO,
            roots: RootCertStore::empty(),
            tasks: false,
            origins: Vec::new(),
        }
    }
}

impl RigBuilder {
    pub(crate) fn policy(mut self, policy: &str) -> Self {
        self.policy = policy.to_owned();
        self
    }

    pub(crate) fn refund(mut self, refund: Refund) -> Self {
        self.refund = refund;
        self
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        self.methods.push(method.to_owned());
        self
    }

    pub(crate) fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// How long an upstream may take until its reply begins.
    pub(crate) fn head_timeout(mut self, head_timeout: Duration) -> Self {
        self.head_timeout = head_timeout;
        self
    }

    pub(crate) fn open_max(mut self, open_max: usize) -> Self {
        self.open_max = open_max;
        self
    }

    /// Where the bodies are that it holds.
    pub(crate) fn room(mut self, room: &Room) -> Self {
        self.room = room.clone();
        self
    }

    /// How old the registry's copy is at the start.
    pub(crate) fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// The authorities that may vouch for upstreams.
    pub(crate) fn roots(mut self, roots: RootCertStore) -> Self {
        self.roots = roots;
        self
    }

    /// A page that may call.
    pub(crate) fn origin(mut self, origin: &str) -> Self {
        self.origins.push(origin.to_owned());
        self
    }

    /// Calls may become tasks.
    pub(crate) fn tasks(mut self) -> Self {
        self.tasks = true;
        self
    }

    pub(crate) async fn start(self, upstream: &str) -> Rig {
        let key = Arc::new(master_key());
        let state = self.registry(upstream, &key);
        let view = Arc::new(View::of(&state, &key, None));
        assert_eq!(view.problems(), &[]);
        let (registry, snapshots) = watch::channel(Snapshot::new(view, self.age));
        let build = BuildInfo {
            version: "0".to_owned(),
            revision: "0".to_owned(),
        };
        let exposition = Exposition::new(&build);
        let lines = Lines(Arc::default());
        let records = RecordWriter::start(lines.clone(), 1_000, &exposition).expect("a thread");
        let telemetry = Telemetry {
            metrics: GatewayMetrics::new(&exposition),
            records: records.records(),
        };
        let memory = Memory::default();
        let now_ms = Arc::new(AtomicU64::new(1_000_000));
        let config = self.config(&key, Arc::clone(&now_ms));
        let tls = tls(self.roots);
        let gateway =
            Gateway::new(config, snapshots, memory.clone(), tls, telemetry).expect("randomness");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let metrics = ListenerMetrics::new(&exposition, Listener::Agents);
        let acceptor = Acceptor::new(Security::Plaintext, Bounds::new(100, 100), metrics);
        let served = tokio::spawn(gateway.serve(listener, acceptor, shutdown.clone()));
        let lines = lines.0;
        Rig {
            address,
            memory,
            exposition,
            shutdown,
            served,
            now_ms,
            registry,
            state,
            records,
            lines,
        }
    }

    fn config(&self, key: &Arc<MasterKey>, now_ms: Arc<AtomicU64>) -> Config {
        let session_key = SessionKey {
            id: "a".to_owned(),
            key: Arc::clone(key),
        };
        Config {
            hosts: Hosts::Any,
            origins: self.origins.clone(),
            master_key: Arc::clone(key),
            session_keys: SessionKeys::new(vec![session_key]).expect("keys"),
            registry_staleness_max: Duration::from_secs(3_600),
            drain_timeout: self.drain,
            upstream_head_timeout: self.head_timeout,
            open_requests_per_grant_max: self.open_max,
            room: self.room.clone(),
            clock: Clock(Arc::new(move || now_ms.load(Ordering::SeqCst))),
        }
    }

    fn registry(&self, upstream: &str, key: &MasterKey) -> State {
        let mut state = State::new();
        let server = |text: &str| {
            let address = Address::new(upstream).expect("an address");
            let mut server = ServerSpec::new(name(text), address);
            server.refund = self.refund;
            server.tasks = self.tasks;
            server.methods = self.methods.iter().cloned().collect();
            let headers = Headers::new([("authorization", "Bearer upstream-secret")]);
            let sealed = SealedCredential::seal(
                key,
                SealNonce([7; SealNonce::BYTES]),
                &name(text),
                &headers.expect("headers"),
            );
            let credential = CredentialChange::Set(sealed.expect("sealed"));
            Change::PutServer { server, credential }
        };
        let grant = |number: u8, server: &str, policy: Option<&str>| Change::PutGrant {
            grant: GrantSpec {
                id: GrantId::new(&format!("g{number}")).expect("an id"),
                name: GrantName::new(&format!("grant{number}")).expect("a name"),
                server: name(server),
                policy: policy.map(name),
                expires_at_ms: Some(2_000_000),
            },
            token: Some(key.token_hash(&Token::parse(&token(number)).expect("a token"))),
        };
        let changes = vec![
            server("demo"),
            server("other"),
            Change::PutPolicy {
                name: name("p"),
                document: Document::new(&self.policy),
            },
            grant(1, "demo", Some("p")),
            grant(2, "demo", Some("p")),
            grant(3, "other", Some("p")),
            grant(4, "demo", None),
        ];
        let outcome = state.apply(&Command::apply(1, changes));
        assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}");
        state
    }
}

impl Rig {
    pub(crate) async fn start(upstream: &str) -> Self {
        RigBuilder::default().start(upstream).await
    }

    /// Changes the registry while the gateway runs.
    pub(crate) fn change(&mut self, change: Change) {
        let outcome = self.state.apply(&Command::apply(2, vec![change]));
        assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}");
        let view = Arc::new(View::of(&self.state, &master_key(), None));
        self.registry
            .send_replace(Snapshot::new(view, Duration::ZERO));
    }

    /// The decision records so far, after which no more are written.
    pub(crate) fn records(self) -> Vec<serde_json::Value> {
        self.records
            .close(Duration::from_secs(10))
            .expect("written");
        let bytes = self.lines.lock().expect("no panic").clone();
        let text = String::from_utf8(bytes).expect("text");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

fn tls(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
