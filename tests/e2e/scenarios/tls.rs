//! A cluster wholly over TLS with certificates both ways: certificates and authorities are replaced
//! under load and no call is refused; whoever has not the right certificate gets nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quotum_authority::Validity;
use quotum_e2e::authority;
use quotum_e2e::bench::Bench;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::limits::SETTLE_MAX;
use quotum_e2e::mcp::{Answer, Session};
use quotum_e2e::metrics::Figures;
use quotum_e2e::operator::{minute_policy, policy_document};
use quotum_e2e::poll;
use quotum_e2e::sdk::Sdk;
use quotum_e2e::secured::{Authorities, Secured, Shown};
use serde_json::json;
use tokio::task::JoinSet;

use crate::burst::TOOL;

const CLIENTS: usize = 4;

pub(crate) async fn certificates_and_authorities_change_and_no_call_is_refused(
    bench: &Bench,
) -> Result {
    // Its demo server is the upstream; its cluster has nothing to do.
    let dev = Dev::start(
        bench,
        Plan {
            counters: 1,
            gateways: 1,
            ..Plan::of_three()
        },
    )?;
    let (old, new) = (Authorities::new("old"), Authorities::new("new"));
    let mut cluster = Secured::start(bench, &old).await?;
    let alice = operator(&cluster, "alice", &old)?;
    let token = register(bench, &cluster, &alice, &dev.ready.upstream)?;
    for gateway in &cluster.gateways {
        gateway.until_ready(bench).await?;
    }
    let load = Load::start(bench, &cluster, &token);

    cluster.trust(bench, &[&old, &new]).await?;
    cluster.reissue(bench, &new).await?;
    cluster.trust(bench, &[&new]).await?;
    // Connections of before still stand: a node that starts again makes new ones, on all sides.
    for node in 0..cluster.counters.len() {
        cluster.counters[node].restart(bench)?;
        cluster.counters[node].until_ready(bench).await?;
    }
    let fresh = operator(&cluster, "bob", &new)?;
    let status = cluster.json(bench, &fresh, &["cluster", "status"])?;
    ensure!(
        status["nodes"].as_array().map(Vec::len) == Some(3),
        "{status}"
    );
    let mut stale = alice.clone();
    stale.ca = fresh.ca.clone();
    let refused = cluster.run(bench, Some(&stale), &["cluster", "status"])?;
    ensure!(
        !refused.status.success(),
        "the old authority is still believed"
    );

    let (allowed, other) = load.stop().await?;
    bench.note(&format!("{allowed} calls while everything changed"));
    ensure!(
        other.is_empty(),
        "{} calls were refused: {}",
        other.len(),
        other[0]
    );
    ensure!(allowed >= 100, "only {allowed} calls were made");
    let ran = dev.executions(bench, TOOL).await?;
    ensure!(ran == allowed, "{allowed} calls were allowed, {ran} ran");
    dev.stop().await
}

pub(crate) async fn whoever_has_not_the_right_certificate_gets_nothing(bench: &Bench) -> Result {
    let (ours, theirs) = (Authorities::new("ours"), Authorities::new("theirs"));
    let cluster = Secured::start(bench, &ours).await?;
    let alice = operator(&cluster, "alice", &ours)?;
    cluster.json(bench, &alice, &["cluster", "status"])?;
    let role = Some("operator/alice");
    let show = |name: &str, identity| cluster.shown(name, identity, &ours.clients);
    let expired = ours.clients.issue_as(&[], role, Validity::Expired);
    /// Where somebody reads on whose connection ended after the handshake of TLS 1.3.
    const READ_ON: &str = "docs/tls.md";
    let cases = [
        ("none", show("none", None)?, READ_ON),
        (
            "foreign",
            show("foreign", Some(&theirs.clients.issue(&[], role)))?,
            READ_ON,
        ),
        ("expired", show("expired", Some(&expired))?, READ_ON),
        (
            "peer",
            show("peer", Some(&ours.peers.issue(&[], Some("peer/counter-1"))))?,
            READ_ON,
        ),
        (
            "gateway",
            show("gateway", Some(&ours.clients.issue(&[], Some("gateway/g"))))?,
            "has the role gateway",
        ),
        (
            "no role",
            show("no-role", Some(&ours.clients.issue(&[], None)))?,
            "gives no role",
        ),
    ];
    // Each is tried again for a while: all at once.
    let outputs = std::thread::scope(|scope| {
        let tried = cases.iter().map(|(name, shown, told)| {
            let addresses = cluster.addresses();
            let trying = scope.spawn(move || {
                Secured::run_at(bench, &addresses, Some(shown), &["cluster", "status"])
            });
            (*name, *told, trying)
        });
        let tried: Vec<_> = tried.collect();
        let ended = tried
            .into_iter()
            .map(|(name, told, trying)| (name, told, trying.join()));
        ended.collect::<Vec<_>>()
    });
    for (name, told, output) in outputs {
        let output = output.map_err(|_| Failure::new("a command panicked"))??;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "{name}: {output:?}");
        ensure!(complaint.contains(told), "{name}: {complaint}");
    }
    let plaintext = cluster.run(bench, None, &["cluster", "status"])?;
    ensure!(!plaintext.status.success(), "plaintext was answered");
    let at_peers = Secured::run_at(
        bench,
        &cluster.counters[0].peer_address,
        Some(&alice),
        &["cluster", "status"],
    )?;
    ensure!(
        !at_peers.status.success(),
        "an operator reached the port of the peers"
    );

    let impostor = cluster.impostor(bench, &ours, "operator/mallory")?;
    poll::until(
        "the impostor's calls to be refused",
        SETTLE_MAX,
        async || {
            let mut refused = 0.0;
            for counter in &cluster.counters {
                let figures = Figures::read(&bench.http, &counter.metrics).await?;
                let labels = [("listener", "clients"), ("reason", "role")];
                refused += figures
                    .sum("quotum_calls_refused_total", &labels)
                    .unwrap_or_default();
            }
            Ok((refused > 2.0).then_some(()))
        },
    )
    .await?;
    let ready = bench
        .http
        .get(&impostor.metrics.replace("/metrics", "/readyz"))
        .await?;
    ensure!(!ready.status.is_success(), "an impostor is ready");

    // A certificate that has expired is not taken, and the node goes on with the one it has.
    let counter = &cluster.counters[0];
    counter.put_expired(
        &ours
            .clients
            .issue_as(&["127.0.7.1"], None, Validity::Expired),
    )?;
    poll::until(
        "an expired certificate to be refused",
        SETTLE_MAX,
        async || {
            let refused = counter.reloads(bench, "refused").await?;
            Ok((refused > 0.0).then_some(()))
        },
    )
    .await?;
    let output = Secured::run_at(
        bench,
        &counter.address,
        Some(&alice),
        &["cluster", "status"],
    )?;
    ensure!(
        output.status.success(),
        "the old certificate is gone: {output:?}"
    );
    Ok(())
}

pub(crate) async fn agents_come_over_tls_to_gateways_that_ask_over_tls(bench: &Bench) -> Result {
    let plan = Plan {
        counters: 1,
        gateways: 1,
        ..Plan::of_three()
    };
    // Its demo server is the upstream; its cluster has nothing to do.
    let dev = Dev::start(bench, plan)?;
    let authorities = Authorities::new("ours");
    let cluster = Secured::start(bench, &authorities).await?;
    let alice = operator(&cluster, "alice", &authorities)?;
    let token = register(bench, &cluster, &alice, &dev.ready.upstream)?;
    let agents = authority::Authority::new(bench, "agents")?;
    let shown = agents.vouch(bench, "127.0.0.1")?;
    let gateway = cluster.gateway_for_agents(bench, &authorities, &shown)?;
    gateway.until_ready(bench).await?;

    let url = format!("https://{}/mcp/demo", gateway.address);
    let calls = [(TOOL, json!({})), (TOOL, json!({}))];
    for sdk in [Sdk::PythonAuto, Sdk::TypeScript2] {
        let report = sdk
            .work_trusting(&agents.file, bench, &url, &token, &calls)
            .await?;
        let ran = report.calls.iter().filter(|call| !call.is_error).count();
        ensure!(ran == calls.len(), "{sdk:?}: {:?}", report.calls);
        // Whoever does not believe its authority says nothing to it, and no token.
        let stranger = sdk.work(bench, &url, &token, &calls).await;
        ensure!(stranger.is_err(), "{sdk:?} believed anybody");
    }
    let ran = dev.executions(bench, TOOL).await?;
    ensure!(ran == 4, "{ran} calls ran");
    let plain = format!("http://{}/mcp/demo", gateway.address);
    let plain = Session::open(&bench.http, &plain, &token).await;
    ensure!(plain.is_err(), "a gateway with TLS answers without");
    dev.stop().await
}

/// The files of an operator.
fn operator(cluster: &Secured, name: &str, authorities: &Authorities) -> Result<Shown> {
    let role = format!("operator/{name}");
    let identity = authorities.clients.issue(&[], Some(&role));
    cluster.shown(name, Some(&identity), &authorities.clients)
}

/// Registers a server, a policy and a grant, and gives the grant's token.
fn register(bench: &Bench, cluster: &Secured, shown: &Shown, upstream: &str) -> Result<String> {
    let file = bench.path("documents.yaml");
    let server = json!({ "kind": "Server", "name": "demo", "url": upstream });
    let policy = policy_document("demo", &minute_policy(TOOL, 1_000_000));
    std::fs::write(&file, format!("{server}\n---\n{policy}\n"))?;
    cluster.json(bench, shown, &["apply", "-f", &file.to_string_lossy()])?;
    let create = [
        "grant", "create", "agent", "--server", "demo", "--policy", "demo", "--wait",
    ];
    let made = cluster.json(bench, shown, &create)?;
    let token = made["token"].as_str();
    Ok(token
        .ok_or_else(|| Failure::new(format!("no token in {made}")))?
        .to_owned())
}

/// Calls that never cease, through both gateways.
struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<(u64, Vec<String>)>,
}

// === impl Load ===

impl Load {
    fn start(bench: &Bench, cluster: &Secured, token: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let gateway = &cluster.gateways[client % cluster.gateways.len()];
            let url = format!("http://{}/mcp/demo", gateway.address);
            let session = Session::modern(&bench.http, &url, token);
            let stop = stop.clone();
            clients.spawn(async move {
                let (mut allowed, mut other) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let answer = session.call(TOOL, json!({})).await;
                    match Answer::is_allowed(&answer) {
                        true => allowed += 1,
                        false => other.push(format!("{:?}", answer.outcome)),
                    }
                }
                (allowed, other)
            });
        }
        Self { stop, clients }
    }

    /// How many calls were allowed, and what the others were told.
    async fn stop(mut self) -> Result<(u64, Vec<String>)> {
        self.stop.store(true, Ordering::Relaxed);
        let (mut allowed, mut other) = (0, Vec::new());
        while let Some(ended) = self.clients.join_next().await {
            let (one, told) = ended?;
            allowed += one;
            other.extend(told);
        }
        Ok((allowed, other))
    }
}
