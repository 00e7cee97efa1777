//! The shipped manifests start a real cluster: their arguments, configurations and probes as they
//! are, pods as processes on addresses of this machine.

use std::time::Duration;

use quotum_authority::{Authority, Identity};
use quotum_e2e::bench::Bench;
use quotum_e2e::burst::Burst;
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::limits::{SETTLE_MAX, VOID_ROUNDS_MAX};
use quotum_e2e::loopback::Loopback;
use quotum_e2e::manifests::{Manifests, Workload};
use quotum_e2e::mcp::{Answer, Session};
use quotum_e2e::minute::MinuteHand;
use quotum_e2e::operator::{Operator, policy_document};
use quotum_e2e::pod::{Cluster, Pod};
use quotum_e2e::poll;
use quotum_e2e::secret;
use quotum_e2e::upstream::Upstream;
use serde_json::{Value, json};

use crate::burst::{CALLS, CLIENTS, MAX};

const TOOL: &str = "echo";
const COUNTER: &str = "echo_rate";
const RULE: &str = "/tools/echo/limits/echo_rate";
const SLOW_TOOL: &str = "wait";
const SERVER: &str = "python";
/// A call that is on its way when a gateway is told to end, and longer than it goes on to accept.
const SLOW: Duration = Duration::from_secs(10);
const ROUND_S: u64 = 25;
const ADMIN_TOKEN: &str = "IB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE=";
const SECRET_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A cluster as the manifests make it.
struct Deployed {
    cluster: Cluster,
    of_counters: Workload,
    counters: Vec<Pod>,
    gateways: Vec<Pod>,
    operator: Operator,
}

pub(crate) async fn the_shipped_manifests_make_a_cluster(bench: &Bench) -> Result {
    let upstream = Upstream::python(bench)?;
    let mut deployed = Deployed::start(bench).await?;
    deployed.put_registry(&upstream)?;
    expect_30_a_minute(bench, &deployed, &upstream).await?;
    expect_drained(bench, &mut deployed).await?;
    expect_rolled(bench, &mut deployed).await
}

/// What deploy/cert-manager makes, for the addresses of the pods here.
fn secrets(cluster: &Cluster, clients: &Authority) -> Vec<(String, Vec<(String, String)>)> {
    let hosts = (0..cluster.counters_count).map(|number| cluster.counter(number).to_string());
    let hosts: Vec<String> = hosts.collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let peers = Authority::new("peers");
    let tls = |authority: &Authority, identity: Identity| {
        let Identity { certificate, key } = identity;
        let ca = authority.pem();
        let files = [("tls.crt", certificate), ("tls.key", key), ("ca.crt", ca)];
        files.map(|(file, text)| (file.to_owned(), text)).to_vec()
    };
    let texts = [("secret-key", SECRET_KEY), ("admin-token", ADMIN_TOKEN)];
    let texts = texts.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let peer = peers.issue(&hosts, Some("peer/quotum-counter"));
    let gateway = clients.issue(&[], Some("gateway/quotum-gateway"));
    let secrets = [
        ("quotum", texts.to_vec()),
        (
            "quotum-counter-tls",
            tls(clients, clients.issue(&hosts, None)),
        ),
        ("quotum-counter-peer-tls", tls(&peers, peer)),
        ("quotum-gateway-tls", tls(clients, gateway)),
    ];
    secrets
        .map(|(name, values)| (name.to_owned(), values))
        .into()
}

fn operator(bench: &Bench, nodes: Vec<String>, clients: &Authority) -> Result<Operator> {
    let identity = clients.issue(&[], Some("operator/quotum-operator"));
    let [ca, cert, key] =
        ["operator-ca.crt", "operator.crt", "operator.key"].map(|f| bench.path(f));
    secret::put(&ca, &clients.pem())?;
    secret::put(&cert, &identity.certificate)?;
    secret::put(&key, &identity.key)?;
    Ok(Operator::of(bench, nodes, ADMIN_TOKEN).with_tls(ca, cert, key))
}

// === impl Deployed ===

impl Deployed {
    async fn start(bench: &Bench) -> Result<Self> {
        let files = [
            "counter-config.yaml",
            "counter.yaml",
            "gateway-config.yaml",
            "gateway.yaml",
        ];
        let manifests = Manifests::read(bench, &files)?;
        let of_counters = manifests.workload("StatefulSet", "quotum-counter")?;
        let of_gateways = manifests.workload("Deployment", "quotum-gateway")?;
        let mut cluster = Cluster {
            net: Loopback::draw(),
            counters: of_counters.name.clone(),
            counters_count: of_counters.replicas,
            secrets: Vec::new(),
        };
        let clients = Authority::new("clients");
        cluster.secrets = secrets(&cluster, &clients);
        let start = |workload: &Workload| -> Result<Vec<Pod>> {
            let pods = 0..workload.replicas;
            pods.map(|number| Pod::start(bench, &cluster, workload, number))
                .collect()
        };
        // In any order, as Kubernetes starts them.
        let (gateways, counters) = (start(&of_gateways)?, start(&of_counters)?);
        ensure!((counters.len(), gateways.len()) == (3, 3), "three of each");
        for pod in counters.iter().chain(&gateways) {
            pod.ready(bench).await?;
        }
        let addresses = counters.iter().map(|pod| pod.url("client", ""));
        let addresses = addresses.collect::<Result<Vec<String>>>()?;
        Ok(Self {
            operator: operator(bench, addresses, &clients)?,
            cluster,
            of_counters,
            counters,
            gateways,
        })
    }

    fn put_registry(&self, upstream: &Upstream) -> Result {
        let limit = json!({ "counter": COUNTER, "window": "minute", "max": MAX, "scope": "grant" });
        let policy = json!({
            "version": "1",
            "default": "deny",
            "tools": { TOOL: { "limits": [limit] }, SLOW_TOOL: {} },
        });
        let server = json!({ "kind": "Server", "name": SERVER, "url": upstream.url });
        let applied = self
            .operator
            .apply(&[server, policy_document("thirty", &policy)])?;
        ensure!(applied["gateways"] == 3, "applied {applied}");
        Ok(())
    }

    fn grant(&self, name: &str) -> Result<String> {
        self.operator.create_grant_on(SERVER, name, "thirty")
    }

    /// Sessions of one grant, spread over the gateways as a Service spreads connections.
    async fn sessions(&self, bench: &Bench, token: &str, count: usize) -> Result<Vec<Session>> {
        let path = format!("/mcp/{SERVER}");
        let urls = self.gateways.iter().map(|pod| pod.url("mcp", &path));
        let urls = urls.collect::<Result<Vec<String>>>()?;
        let session = Session::open(&bench.http, &urls[0], token).await?;
        let spread = urls.iter().cycle().take(count);
        Ok(spread.map(|url| session.at(url)).collect())
    }
}

async fn expect_30_a_minute(bench: &Bench, deployed: &Deployed, upstream: &Upstream) -> Result {
    let clock = deployed
        .sessions(bench, &deployed.grant("clock")?, 1)
        .await?;
    let hand = MinuteHand {
        session: clock[0].clone(),
        tool: TOOL,
        counter: COUNTER,
        arguments: json!({ "message": "x" }),
    };
    for round in 0..=VOID_ROUNDS_MAX {
        let token = deployed.grant(&format!("agent-{round}"))?;
        let clients = deployed.sessions(bench, &token, CLIENTS).await?;
        let begin = hand.with_at_least(ROUND_S).await?;
        let before = upstream.executions(bench, TOOL).await?;
        let burst = Burst {
            clients,
            tool: TOOL,
            arguments: json!({ "message": "x" }),
            calls: CALLS,
        };
        let answers = burst.run().await?;
        let ran = upstream.executions(bench, TOOL).await? - before;
        if !hand.is_same_minute(begin).await? {
            continue;
        }
        bench.note(&format!("{CALLS} calls: {}; {ran} ran", answers.summary()));
        let expected = |answer: &Answer| answer.is_allowed() || answer.is_denied_by(RULE);
        let other = answers.first_other(expected);
        ensure!(other.is_none(), "{other:?}; {}", answers.summary());
        let allowed = answers.count(Answer::is_allowed);
        ensure!(
            (allowed, ran) == (MAX, MAX as u64),
            "{}; {ran} ran",
            answers.summary()
        );
        return Ok(());
    }
    Err(Failure::new("no round fitted into a minute"))
}

/// A gateway that is told to end answers what it has begun, takes nothing new, and ends in time.
async fn expect_drained(bench: &Bench, deployed: &mut Deployed) -> Result {
    let sessions = deployed
        .sessions(bench, &deployed.grant("slow")?, 3)
        .await?;
    let (first, second) = (sessions[0].clone(), sessions[1].clone());
    let seconds = json!({ "seconds": SLOW.as_secs() });
    let slow = tokio::spawn(async move { first.call(SLOW_TOOL, seconds).await });
    let mut pod = deployed.gateways.remove(0);
    let url = pod.url("mcp", "/")?;
    let ending = async {
        let closed = poll::until("the gateway to accept nothing", SETTLE_MAX, async || {
            Ok(bench.http.get(&url).await.is_err().then_some(()))
        });
        closed.await?;
        ensure!(
            !slow.is_finished(),
            "it closed when its last call had ended"
        );
        let answer = slow.await?;
        ensure!(
            answer.is_allowed(),
            "a call on its way: {:?}",
            answer.outcome
        );
        Ok(())
    };
    let (ended, drained) = tokio::join!(pod.terminate(), ending);
    ended?;
    drained?;
    let answer = second.call(SLOW_TOOL, json!({ "seconds": 0 })).await;
    ensure!(
        answer.is_allowed(),
        "at another gateway: {:?}",
        answer.outcome
    );
    Ok(())
}

/// The leader is ended and started again, as when its pod is replaced: nobody misses it.
async fn expect_rolled(bench: &Bench, deployed: &mut Deployed) -> Result {
    let status = deployed.operator.cluster_status()?;
    let leader = &status["shards"][0]["leader"];
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let node = nodes.iter().find(|node| node["id"] == *leader);
    let address = node.and_then(|node| node["client_address"].as_str());
    let address = address.ok_or_else(|| Failure::new(format!("no leader in {status}")))?;
    let is_leader = |pod: &Pod| address.starts_with(&format!("{}:", pod.host));
    let number = deployed.counters.iter().position(is_leader);
    let number = number.ok_or_else(|| Failure::new(format!("{address} is no pod")))?;
    // Made while all nodes are there: `--wait` asks each of them for its gateways.
    let token = deployed.grant("late")?;
    let sessions = deployed.sessions(bench, &token, 2).await?;
    deployed.counters[number].terminate().await?;
    for session in &sessions {
        let answer = session.call(TOOL, json!({ "message": "x" })).await;
        ensure!(
            answer.is_allowed(),
            "without one node: {:?}",
            answer.outcome
        );
    }
    let ordinal = u64::try_from(number)?;
    let pod = Pod::start(bench, &deployed.cluster, &deployed.of_counters, ordinal)?;
    pod.ready(bench).await?;
    deployed.counters[number] = pod;
    let voters = |status: &Value| status["shards"][0]["voters"].clone();
    let after = deployed.operator.cluster_status()?;
    ensure!(voters(&after) == voters(&status), "{after}");
    Ok(())
}
