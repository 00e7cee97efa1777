//! A cluster as `quotum dev` starts it: every counter node and every gateway a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde::Deserialize;
use serde_json::Value;

use crate::bench::Bench;
use crate::ensure;
use crate::failure::{Failure, Result};
use crate::limits::{READY_MAX, SETTLE_MAX};
use crate::metrics::Figures;
use crate::operator::Operator;
use crate::poll;
use crate::process::{self, Process};

/// What to start.
#[derive(Debug, Clone)]
pub struct Plan {
    pub counters: usize,
    pub gateways: usize,
    /// An MCP server's address and the policy of its grants; `None`: the demo server.
    pub upstream: Option<(String, Value)>,
    /// Who may vouch for that server beside the public authorities.
    pub upstream_authority: Option<PathBuf>,
}

/// A running cluster.
#[derive(Debug)]
pub struct Dev {
    process: Process,
    pub ready: Ready,
    plan: Plan,
    data: PathBuf,
    /// Counter nodes that were started again by hand.
    restarted: Vec<Process>,
}

/// The first line of `dev --output json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    pub gateways: Vec<Gateway>,
    pub counters: Vec<Counter>,
    pub upstream: String,
    pub admin_token: String,
    pub grants: Vec<Grant>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Gateway {
    /// Where MCP clients go.
    pub url: String,
    pub metrics: String,
    pub pid: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Counter {
    pub node: u64,
    pub grpc: String,
    pub metrics: String,
    pub pid: u32,
    /// The program and its arguments that start this very node again.
    #[serde(default)]
    pub command: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Grant {
    pub name: String,
    pub token: String,
}

// === impl Plan ===

impl Plan {
    /// Three counter nodes and three gateways before the demo server.
    pub fn of_three() -> Self {
        Self {
            counters: 3,
            gateways: 3,
            upstream: None,
            upstream_authority: None,
        }
    }

    /// The same before another server.
    pub fn before(url: &str, policy: Value) -> Self {
        Self {
            upstream: Some((url.to_owned(), policy)),
            ..Self::of_three()
        }
    }
}

// === impl Dev ===

impl Dev {
    pub fn start(bench: &Bench, plan: Plan) -> Result<Self> {
        let data = bench.path("data");
        let (process, ready) = launch(bench, &plan, &data)?;
        Ok(Self {
            process,
            ready,
            plan,
            data,
            restarted: Vec::new(),
        })
    }

    /// Kills everything at once, as a power switch would, and returns when nothing is left of it.
    pub async fn kill(&mut self) -> Result {
        self.process.kill();
        self.all_ended().await
    }

    /// Starts the same cluster again on the same data.
    pub fn start_again(&mut self, bench: &Bench) -> Result {
        (self.process, self.ready) = launch(bench, &self.plan, &self.data)?;
        Ok(())
    }

    /// Asks `dev` to end and waits for all its processes; fails if it had to be killed.
    pub async fn stop(mut self) -> Result {
        ensure!(
            self.process.end()?,
            "`dev` did not end when it was asked to"
        );
        self.all_ended().await
    }

    pub fn operator(&self, bench: &Bench) -> Operator {
        Operator::new(bench, &self.ready)
    }

    /// The token of the grant that `dev` made under this name.
    pub fn token(&self, grant: &str) -> Result<&str> {
        let found = self.ready.grants.iter().find(|known| known.name == grant);
        found.map(|grant| grant.token.as_str()).ok_or_else(|| {
            Failure::new(format!(
                "`dev` named no grant {grant}: {:?}",
                self.ready.grants
            ))
        })
    }

    /// A file of its data directory.
    pub fn file(&self, path: &str) -> PathBuf {
        self.data.join(path)
    }

    /// How often the demo server ran a tool.
    pub async fn executions(&self, bench: &Bench, tool: &str) -> Result<u64> {
        let origin = self.ready.upstream.trim_end_matches("/mcp");
        let counts = bench.http.get_json(&format!("{origin}/executions")).await?;
        Ok(counts[tool].as_u64().unwrap_or_default())
    }

    /// The counter node that leads the shard of decisions.
    pub async fn leader(&self, bench: &Bench) -> Result<Counter> {
        poll::until("a leader of shard 0", SETTLE_MAX, async || {
            for counter in &self.ready.counters {
                let Ok(figures) = Figures::read(&bench.http, &counter.metrics).await else {
                    continue;
                };
                let leads = figures.sum("quotum_raft_is_leader", &[("shard", "0")]);
                if leads.is_some_and(|leads| leads > 0.0) {
                    return Ok(Some(counter.clone()));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Sends a signal to every counter node.
    pub fn signal_counters(&self, signal: Signal) -> Result {
        for counter in &self.ready.counters {
            process::send(counter.pid, signal)?;
        }
        Ok(())
    }

    /// Starts a counter node that was killed again, on its own data.
    pub fn start_counter(&mut self, bench: &Bench, node: u64) -> Result {
        let counter = self
            .ready
            .counters
            .iter_mut()
            .find(|counter| counter.node == node);
        let counter = counter.ok_or_else(|| Failure::new(format!("no counter node {node}")))?;
        let Some((program, arguments)) = counter.command.split_first() else {
            return Err(Failure::new(format!(
                "`dev` names no command for counter node {node}"
            )));
        };
        let name = format!("counter-{node}-again");
        let mut command = Command::new(program);
        let process = Process::start(&name, command.args(arguments), &bench.logs())?;
        counter.pid = process.pid();
        self.restarted.push(process);
        Ok(())
    }

    async fn all_ended(&mut self) -> Result {
        self.restarted.clear();
        let gateways = self.ready.gateways.iter().map(|gateway| gateway.pid);
        let counters = self.ready.counters.iter().map(|counter| counter.pid);
        let pids: Vec<u32> = gateways.chain(counters).collect();
        poll::until(
            "the children of `dev` to end with it",
            SETTLE_MAX,
            async || Ok((!pids.iter().any(|pid| process::exists(*pid))).then_some(())),
        )
        .await
    }
}

fn launch(bench: &Bench, plan: &Plan, data: &Path) -> Result<(Process, Ready)> {
    let mut command = Command::new(bench.tools.quotum());
    command
        .args(["dev", "--output", "json"])
        .arg("--data")
        .arg(data);
    command.args(["--counters", &plan.counters.to_string()]);
    command.args(["--gateways", &plan.gateways.to_string()]);
    command.current_dir(bench.logs());
    if let Some((url, policy)) = &plan.upstream {
        let file = bench.path("policy.json");
        std::fs::write(&file, policy.to_string())?;
        command.args(["--upstream", url]).arg("--policy").arg(file);
    }
    if let Some(authority) = &plan.upstream_authority {
        command.arg("--upstream-ca-file").arg(authority);
    }
    let process = Process::start("dev", &mut command, &bench.logs())?;
    let ready: Ready = serde_json::from_value(process.json_line(READY_MAX)?)?;
    ensure!(
        ready.counters.len() == plan.counters,
        "counter nodes: {:?}",
        ready.counters
    );
    ensure!(
        ready.gateways.len() == plan.gateways,
        "gateways: {:?}",
        ready.gateways
    );
    Ok((process, ready))
}
