//! Prometheus with the shipped configuration, reading every process of a cluster.

use std::process::Command;

use serde_json::{Value, json};

use crate::balancer::authority;
use crate::bench::{Bench, free_port};
use crate::dev::Ready;
use crate::ensure;
use crate::failure::{Failure, Result};
use crate::limits::{PORT_TRIES_MAX, SETTLE_MAX};
use crate::poll;
use crate::process::Process;

/// How often the shipped configuration reads figures, and how often the tests do.
const SHIPPED_INTERVAL: &str = "scrape_interval: 15s";
const TEST_INTERVAL: &str = "scrape_interval: 1s";

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    url: String,
}

// === impl Prometheus ===

impl Prometheus {
    /// Starts it, and returns when it has read every process once.
    pub async fn start(bench: &Bench, ready: &Ready) -> Result<Self> {
        let config = write_config(bench, ready)?;
        for _ in 0..PORT_TRIES_MAX {
            let port = free_port()?;
            let mut command = Command::new("prometheus");
            command.arg(format!("--config.file={}", config.display()));
            command.arg(format!(
                "--storage.tsdb.path={}",
                bench.path("prometheus-data").display()
            ));
            command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
            let process = Process::start("prometheus", &mut command, &bench.logs())?;
            let mut prometheus = Self {
                process,
                url: format!("http://127.0.0.1:{port}"),
            };
            let targets = ready.gateways.len() + ready.counters.len();
            if prometheus.reads(bench, targets).await? {
                return Ok(prometheus);
            }
        }
        Err(Failure::new(
            "Prometheus ended again and again, as its log says",
        ))
    }

    /// The series that an expression has now.
    pub async fn query(&self, bench: &Bench, expression: &str) -> Result<Vec<Value>> {
        let url = format!("{}/api/v1/query?query={}", self.url, encode(expression));
        let answer = bench.http.get_json(&url).await?;
        let series = answer.pointer("/data/result").and_then(Value::as_array);
        Ok(series
            .ok_or_else(|| Failure::new(format!("{expression}: {answer}")))?
            .clone())
    }

    /// Waits until it has read that many processes; `false`: it has ended.
    async fn reads(&mut self, bench: &Bench, targets: usize) -> Result<bool> {
        let wanted = targets.to_string();
        poll::until(
            &format!("Prometheus to read {targets} processes"),
            SETTLE_MAX,
            async || {
                if !self.process.is_running() {
                    return Ok(Some(false));
                }
                let up = self.query(bench, "count(up == 1)").await?;
                let count = up.first().and_then(|series| series["value"][1].as_str());
                Ok((count == Some(wanted.as_str())).then_some(true))
            },
        )
        .await
    }
}

/// The shipped file, with the cluster's addresses beside it and a shorter interval.
fn write_config(bench: &Bench, ready: &Ready) -> Result<std::path::PathBuf> {
    let shipped = std::fs::read_to_string(bench.tools.shipped("prometheus/prometheus.yml"))?;
    ensure!(
        shipped.contains(SHIPPED_INTERVAL),
        "prometheus.yml has no `{SHIPPED_INTERVAL}`"
    );
    let folder = bench.path("prometheus");
    std::fs::create_dir_all(folder.join("targets"))?;
    std::fs::copy(
        bench.tools.shipped("prometheus/rules.yml"),
        folder.join("rules.yml"),
    )?;
    let gateways = ready
        .gateways
        .iter()
        .map(|gateway| gateway.metrics.as_str());
    let counters = ready
        .counters
        .iter()
        .map(|counter| counter.metrics.as_str());
    for (name, urls) in [
        ("gateways", gateways.collect::<Vec<_>>()),
        ("counters", counters.collect()),
    ] {
        let targets = urls
            .into_iter()
            .map(authority)
            .collect::<Result<Vec<_>>>()?;
        let file = folder.join(format!("targets/{name}.json"));
        std::fs::write(file, json!([{ "targets": targets }]).to_string())?;
    }
    let config = folder.join("prometheus.yml");
    std::fs::write(&config, shipped.replace(SHIPPED_INTERVAL, TEST_INTERVAL))?;
    Ok(config)
}

fn encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    });
    encoded.collect()
}
