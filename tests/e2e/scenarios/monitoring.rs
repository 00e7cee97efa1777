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
use quotum_e2e::limits::SETTLE_MAX;
use quotum_e2e::mcp::{Answer, Session};
use quotum_e2e::prometheus::Prometheus;
use quotum_e2e::{poll, process};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::burst::{MAX, TOOL};

/// Two readings of every figure, and what a rate needs.
const DATA_MAX: Duration = Duration::from_secs(40);

/// Panels whose figures are known of a cluster of three where nothing is wrong.
const WHOLE: &[(&str, f64)] = &[
    ("Admitted after a restore", 0.0),
    ("Counter nodes", 3.0),
    ("Counter nodes to spare", 1.0),
    ("Shards with a leader", 1.0),
    ("Revisions in use", 1.0),
];

/// The same when one of its counter nodes is dead and the others have settled.
const WITHOUT_ONE: &[(&str, f64)] = &[
    ("Counter nodes", 2.0),
    ("Counter nodes to spare", 0.0),
    ("Shards with a leader", 1.0),
    ("Revisions in use", 1.0),
];

pub(crate) async fn every_panel_and_rule_finds_its_figures(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let balancer = Balancer::start(bench, &dev.ready).await?;
    let prometheus = Prometheus::start(bench, &dev.ready).await?;
    let session = Session::open(&bench.http, &balancer.url, dev.token("agent-1")?).await?;
    let stranger = Session::modern(&bench.http, &balancer.url, "nobody");
    let panels = panels(bench)?;
    let mut pending: Vec<String> = panels.iter().map(|panel| panel.asks.clone()).collect();
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
    expect_figures(bench, &prometheus, &panels, WHOLE).await?;
    for metrics in [
        &dev.ready.gateways[0].metrics,
        &dev.ready.counters[0].metrics,
    ] {
        expect_well_named(bench, metrics).await?;
    }
    let leader = dev.leader(bench).await?;
    process::send(leader.pid, Signal::KILL)?;
    expect_figures(bench, &prometheus, &panels, WITHOUT_ONE).await?;
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

/// Waits until all of these panels show what they should.
async fn expect_figures(
    bench: &Bench,
    prometheus: &Prometheus,
    panels: &[Panel],
    figures: &[(&str, f64)],
) -> Result {
    for (title, figure) in figures {
        let panel = panels.iter().find(|panel| panel.title == *title);
        let panel = panel.ok_or_else(|| Failure::new(format!("there is no panel {title:?}")))?;
        let mut shown = Vec::new();
        let found = poll::until("a panel's figure", SETTLE_MAX, async || {
            shown = prometheus.query(bench, &panel.asks).await?;
            let [series] = &shown[..] else {
                return Ok(None);
            };
            let value = series["value"][1].as_str().map(str::parse);
            Ok((value == Some(Ok(*figure))).then_some(()))
        });
        found.await.map_err(|failure| {
            failure.during(format!("{title}: {figure} is right, not {shown:?}"))
        })?;
    }
    Ok(())
}

/// One expression of the dashboard, and the panel that shows it.
struct Panel {
    title: String,
    asks: String,
}

/// Every expression of the dashboard, with its variables set as Grafana would.
fn panels(bench: &Bench) -> Result<Vec<Panel>> {
    let file = bench.tools.shipped("grafana/quotum.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let mut found = Vec::new();
    collect(&dashboard, "", &mut found);
    ensure!(!found.is_empty(), "the dashboard asks for nothing");
    Ok(found)
}

fn collect(value: &Value, title: &str, found: &mut Vec<Panel>) {
    match value {
        Value::Object(members) => {
            let title = members
                .get("title")
                .and_then(Value::as_str)
                .unwrap_or(title);
            let asks = members.get("expr").and_then(Value::as_str);
            found.extend(asks.map(|text| {
                Panel {
                    title: title.to_owned(),
                    asks: text
                        .replace("$__rate_interval", "1m")
                        .replace("$server", ".*"),
                }
            }));
            members
                .values()
                .for_each(|value| collect(value, title, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, title, found)),
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
