//! What the shipped dashboard and rules ask for is there, on a real Prometheus that reads a real
//! cluster.

use std::process::Command;
use std::time::Duration;

use quotum_e2e::balancer::Balancer;
use quotum_e2e::bench::Bench;
use quotum_e2e::burst::Burst;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::mcp::{Answer, Session};
use quotum_e2e::poll;
use quotum_e2e::prometheus::Prometheus;
use serde_json::{Value, json};

use crate::burst::{MAX, TOOL};

/// Two readings of every figure, and what a rate needs.
const DATA_MAX: Duration = Duration::from_secs(40);

pub(crate) async fn every_panel_and_rule_finds_its_figures(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let balancer = Balancer::start(bench, &dev.ready).await?;
    let prometheus = Prometheus::start(bench, &dev.ready).await?;
    let session = Session::open(&bench.http, &balancer.url, dev.token("agent-1")?).await?;
    let stranger = Session::modern(&bench.http, &balancer.url, "nobody");
    let mut pending = expressions(bench)?;
    let asked = pending.len();
    let found = poll::until("every expression to find data", DATA_MAX, async || {
        traffic(&session).await?;
        stranger.call(TOOL, json!({})).await;
        let mut empty = Vec::new();
        for expression in pending.drain(..) {
            if prometheus.query(bench, &expression).await?.is_empty() {
                empty.push(expression);
            }
        }
        pending = empty;
        Ok(pending.is_empty().then_some(()))
    })
    .await;
    found.map_err(|failure| failure.during(format!("no data for:\n{}", pending.join("\n"))))?;
    bench.note(&format!("{asked} expressions found data"));
    for metrics in [
        &dev.ready.gateways[0].metrics,
        &dev.ready.counters[0].metrics,
    ] {
        expect_well_named(bench, metrics).await?;
    }
    dev.stop().await
}

/// Allowed, near the limit, denied by it, free, hidden: a bit of everything.
async fn traffic(session: &Session) -> Result {
    let burst = |tool, calls| Burst {
        clients: vec![session.clone()],
        tool,
        arguments: json!({}),
        calls,
    };
    let limited = burst(TOOL, MAX + 2).run().await?;
    ensure!(limited.count(Answer::is_lost) == 0, "{}", limited.summary());
    burst("list_customers", 2).run().await?;
    burst("delete_account", 1).run().await?;
    Ok(())
}

/// Every expression of the dashboard, with its variables set as Grafana would.
fn expressions(bench: &Bench) -> Result<Vec<String>> {
    let file = bench.tools.shipped("grafana/quotum.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    ensure!(!found.is_empty(), "the dashboard asks for nothing");
    let set = |text: &String| {
        text.replace("$__rate_interval", "1m")
            .replace("$server", ".*")
    };
    Ok(found.iter().map(set).collect())
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(
                members
                    .get("expr")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            members.values().for_each(|value| collect(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// `promtool` finds nothing to complain of in what a process shows.
async fn expect_well_named(bench: &Bench, url: &str) -> Result {
    let text = bench.http.get(url).await?.body;
    let file = bench.path("metrics.txt");
    std::fs::write(&file, &text)?;
    let output = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&file)?)
        .output()
        .map_err(|error| Failure::from(error).during("promtool"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    // A counter is a thing of this product, and Prometheus' word for a kind of metric: its names
    // say the first.
    let is_homonym = |line: &&str| {
        line.starts_with("quotum_counter") && line.ends_with("should not include type 'counter'")
    };
    // These names are those of envoyproxy/ratelimit, for its dashboards.
    let is_of_another = |line: &&str| {
        line.starts_with("ratelimit_service_") && line.ends_with("should have \"_total\" suffix")
    };
    let complaints: Vec<&str> = complaint
        .lines()
        .filter(|line| !is_homonym(line) && !is_of_another(line))
        .collect();
    ensure!(
        complaints.is_empty() && (output.status.success() || !complaint.is_empty()),
        "promtool check metrics of {url}: {complaints:?} ({})",
        output.status
    );
    Ok(())
}
