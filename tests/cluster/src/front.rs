//! Gateways in front of a cluster, each on a host of its own, an upstream behind them, and callers
//! that go through all of them in turn.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::http::Http;
use quotum_e2e::mcp::{Answer, Outcome, Session};
use quotum_e2e::poll;
use quotum_e2e::process::Process;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use toml::Table;

use crate::cluster::Cluster;
use crate::limits::{HEAL_MAX, READY_MAX};
use crate::network::Host;
use crate::upstream::Upstream;

/// The tool that is called.
const TOOL: &str = "charge";
/// Its limit: used up in each window.
const CALLS_MAX: u64 = 40;
const WINDOW: &str = "5s";
/// The hosts of gateways are numbered from here on.
const FIRST_HOST: u8 = 101;
/// The settings of certificates, and their files.
const TLS_FILES: [(&str, &str); 3] = [
    ("counters_tls_ca_file", "clients-ca.crt"),
    ("counters_tls_cert_file", "clients.crt"),
    ("counters_tls_key_file", "clients.key"),
];
const PORT: u16 = 8080;
const ADMIN_PORT: u16 = 8081;
/// Callers, and how often each calls.
const CALLERS: usize = 4;
const BEAT: Duration = Duration::from_millis(100);

/// Gateways under load. Processes go before their hosts.
#[derive(Debug)]
pub struct Front {
    callers: JoinSet<()>,
    stop: CancellationToken,
    answers: Arc<Mutex<Vec<Answer>>>,
    _gateways: Vec<Process>,
    hosts: Vec<Host>,
    upstream: Upstream,
}

// === impl Front ===

impl Front {
    /// So many gateways that serve, and callers that never stop.
    pub async fn start(bench: &Bench, cluster: &mut Cluster, gateways: u8) -> Result<Self> {
        let upstream = Upstream::start().await?;
        register(bench, cluster, &upstream).await?;
        let mut hosts = Vec::new();
        let mut processes = Vec::new();
        for number in FIRST_HOST..FIRST_HOST + gateways {
            let host = cluster.network.host(number)?;
            processes.push(launch(bench, cluster, &host, number)?);
            ready(bench, &host).await?;
            hosts.push(host);
        }
        let created = cluster
            .command(&[
                "grant", "create", "agent", "--server", "cluster", "--policy", "cluster", "--wait",
                "--output", "json",
            ])
            .await?;
        let created: Value = serde_json::from_str(&created)?;
        let token = created["token"].as_str();
        let token = token.ok_or_else(|| Failure::new(format!("no token in {created}")))?;
        let urls: Vec<String> = hosts
            .iter()
            .map(|host| format!("http://{}:{PORT}/mcp/cluster", host.ip))
            .collect();
        let mut front = Self {
            callers: JoinSet::new(),
            stop: CancellationToken::new(),
            answers: Arc::default(),
            _gateways: processes,
            hosts,
            upstream,
        };
        front.call(&urls, token);
        Ok(front)
    }

    /// Where the gateways show their metrics.
    pub fn metrics_urls(&self) -> Vec<String> {
        let ips = self.hosts.iter().map(|host| host.ip);
        ips.map(|ip| format!("http://{ip}:{ADMIN_PORT}/metrics"))
            .collect()
    }

    fn call(&mut self, urls: &[String], token: &str) {
        let turn = Arc::<AtomicUsize>::default();
        for _ in 0..CALLERS {
            let sessions: Vec<Session> = urls
                .iter()
                .map(|url| Session::modern(&Http::default(), url, token))
                .collect();
            let (stop, answers, turn) = (self.stop.clone(), self.answers.clone(), turn.clone());
            self.callers.spawn(async move {
                let mut beats = tokio::time::interval(BEAT);
                beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        _ = beats.tick() => {}
                    }
                    let at = turn.fetch_add(1, Ordering::Relaxed) % sessions.len();
                    let answer = sessions[at].call(TOOL, json!({})).await;
                    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                    answers.push(answer);
                }
            });
        }
    }

    /// Stops calling, and judges: everything was answered as MCP has it, what was answered as run
    /// ran, once, and calls were denied by their limit or, where counters may lack, for want of one.
    pub async fn settle(mut self, bench: &Bench, availability: Availability) -> Result {
        self.stop.cancel();
        while let Some(ended) = self.callers.join_next().await {
            ended?;
        }
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = answers.iter().filter(|answer| answer.is_allowed()).count();
        let unavailable = answers
            .iter()
            .filter(|answer| answer.is_unavailable())
            .count();
        let denied = answers
            .iter()
            .filter(|answer| matches!(answer.outcome, Outcome::Denied { .. }))
            .count();
        let ran = self.upstream.executions();
        bench.note(&format!(
            "{} calls through gateways: {allowed} allowed, {denied} denied, {unavailable} of them \
             for want of a counter",
            answers.len()
        ));
        let other = answers.iter().find(|answer| {
            !matches!(
                answer.outcome,
                Outcome::Allowed { .. } | Outcome::Denied { .. }
            )
        });
        ensure!(other.is_none(), "a call was answered {other:?}");
        ensure!(
            ran == allowed as u64,
            "{allowed} calls were answered as run, and {ran} ran"
        );
        ensure!(allowed > 0 && denied > unavailable, "nothing was at stake");
        ensure!(
            unavailable == 0 || availability == Availability::MayLack,
            "{unavailable} calls were denied for want of a counter"
        );
        Ok(())
    }
}

/// Whether calls may be denied because no counter answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    Always,
    MayLack,
}

async fn register(bench: &Bench, cluster: &Cluster, upstream: &Upstream) -> Result {
    let limit = json!({
        "counter": "charges", "window": WINDOW, "max": CALLS_MAX, "scope": "grant",
    });
    let policy = json!({
        "version": "1",
        "default": "deny",
        "tools": { TOOL: { "limits": [limit] } },
    });
    let documents = [
        json!({ "kind": "Server", "name": "cluster", "url": upstream.url }),
        json!({ "kind": "Policy", "name": "cluster", "document": policy }),
    ];
    let file = bench.path("registry.json");
    std::fs::write(&file, Value::from(documents.to_vec()).to_string())?;
    cluster
        .command(&["apply", "-f", &file.to_string_lossy()])
        .await?;
    Ok(())
}

fn launch(bench: &Bench, cluster: &mut Cluster, host: &Host, number: u8) -> Result<Process> {
    let name = format!("gateway-{number}");
    let counters: Vec<String> = cluster
        .nodes
        .iter()
        .map(|node| node.client_address().to_string())
        .collect();
    let mut table = Table::new();
    let mut put = |key: &str, value: toml::Value| drop(table.insert(key.to_owned(), value));
    put("listen", format!("{}:{PORT}", host.ip).into());
    put("admin_listen", format!("{}:{ADMIN_PORT}", host.ip).into());
    put("counters", counters.into());
    let key_file = cluster.secrets.key_file.to_string_lossy().into_owned();
    put("secret_key_file", key_file.into());
    put("name", name.clone().into());
    put("log_format", "text".into());
    // As for the nodes. A load balancer that ends TLS would stand before it.
    let mut insecure = vec!["listen"];
    match &mut cluster.certificates {
        None => insecure.push("counters"),
        Some(certificates) => {
            let folder = certificates.add_gateway(&name)?;
            for (key, file) in TLS_FILES {
                put(key, folder.join(file).to_string_lossy().into_owned().into());
            }
        }
    }
    put("insecure", insecure.into());
    let config = bench.path(&format!("{name}.toml"));
    std::fs::write(&config, table.to_string())?;
    let mut command = host.command("env");
    command
        .args(["-i", "PATH=/usr/bin:/bin"])
        .arg(bench.tools.quotum())
        .args(["gateway", "--config"])
        .arg(config);
    Process::start(&name, &mut command, &bench.logs())
}

async fn ready(bench: &Bench, host: &Host) -> Result {
    let url = format!("http://{}:{ADMIN_PORT}/readyz", host.ip);
    poll::until(
        "a gateway to be ready",
        READY_MAX.max(HEAL_MAX),
        async || {
            let is_ready = bench.http.get(&url).await?.status.is_success();
            Ok(is_ready.then_some(()))
        },
    )
    .await
}
