//! Members come and go, under load: no call is refused for it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quotum_e2e::bench::{self, Bench};
use quotum_e2e::dev::{Counter, Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::limits::{DECISION_MAX, SETTLE_MAX};
use quotum_e2e::mcp::{Answer, Session};
use quotum_e2e::operator::{Operator, minute_policy, policy_document};
use quotum_e2e::poll;
use quotum_e2e::process::{self, Process};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::burst::TOOL;

/// Clients that call again as soon as they were answered.
const CLIENTS: usize = 8;
/// More than they can call in a minute.
const PLENTY: u64 = 1_000_000;
/// Between two calls of a client: the machine has other work too.
const PAUSE: Duration = Duration::from_millis(10);
/// Answers that count as load between two changes.
const ANSWERS_MIN: usize = 100;

/// Calls without a pause, until it is ended.
struct Load {
    ended: Arc<AtomicBool>,
    answered: Arc<std::sync::atomic::AtomicUsize>,
    tasks: JoinSet<Vec<Answer>>,
}

/// A counter node that `dev` knows nothing of.
struct Joined {
    process: Process,
    peer: String,
    node: u64,
}

pub(crate) async fn a_rolling_restart_refuses_no_call(bench: &Bench) -> Result {
    let mut dev = Dev::start(bench, Plan::of_three())?;
    let operator = dev.operator(bench);
    let before = dev.executions(bench, TOOL).await?;
    let load = Load::start(bench, &dev, &operator).await?;
    // The leader goes last, so that each of the others has led once when its turn comes.
    let leader = dev.leader(bench).await?.node;
    let mut turns: Vec<Counter> = dev.ready.counters.clone();
    turns.sort_by_key(|counter| counter.node == leader);
    for counter in turns {
        if counter.node != leader {
            operator.json(&["cluster", "transfer-leader", &counter.node.to_string()])?;
            let status = operator.cluster_status()?;
            let leads = &status["shards"][0]["leader"];
            ensure!(*leads == counter.node, "node {leads} leads");
        }
        load.goes_on(ANSWERS_MIN).await?;
        process::send(counter.pid, Signal::TERM)?;
        poll::until("a counter node to end", SETTLE_MAX, async || {
            Ok((!process::exists(counter.pid)).then_some(()))
        })
        .await?;
        load.goes_on(ANSWERS_MIN).await?;
        dev.start_counter(bench, counter.node)?;
        settled(&operator, 3).await?;
    }
    let answers = load.end().await?;
    let ran = dev.executions(bench, TOOL).await? - before;
    let slowest = expect_all_allowed(&answers)?;
    bench.note(&format!(
        "{} calls through three restarts, the slowest took {slowest:?}",
        answers.len()
    ));
    ensure!(
        ran == answers.len() as u64,
        "{ran} ran, {} were answered",
        answers.len()
    );
    dev.stop().await
}

pub(crate) async fn three_nodes_become_five_and_three_again(bench: &Bench) -> Result {
    let dev = Dev::start(bench, Plan::of_three())?;
    let operator = dev.operator(bench);
    let load = Load::start(bench, &dev, &operator).await?;
    let mut joined = Vec::new();
    for node in [4, 5] {
        let new = Joined::start(bench, &dev, node)?;
        // Its port opens when it has started.
        poll::until("a new node to be added", SETTLE_MAX, async || {
            let added = operator.run(&["cluster", "add", &new.peer])?;
            Ok(added.status.success().then_some(()))
        })
        .await?;
        load.goes_on(ANSWERS_MIN).await?;
        joined.push(new);
    }
    let status = settled(&operator, 5).await?;
    ensure!(voters(&status) == [1, 2, 3, 4, 5], "{status}");
    // The leader goes, and another of the first three.
    let leader = dev.leader(bench).await?.node;
    let other = if leader == 1 { 2 } else { 1 };
    for node in [leader, other] {
        operator.json(&["cluster", "remove", &node.to_string()])?;
        load.goes_on(ANSWERS_MIN).await?;
        let gone = dev
            .ready
            .counters
            .iter()
            .find(|counter| counter.node == node);
        let gone =
            gone.ok_or_else(|| Failure::new(format!("node {node} leads, but is none of dev's")))?;
        process::send(gone.pid, Signal::TERM)?;
        load.goes_on(ANSWERS_MIN).await?;
    }
    let status = settled(&operator, 3).await?;
    let left: Vec<u64> = (1..=5)
        .filter(|node| *node != leader && *node != other)
        .collect();
    ensure!(voters(&status) == left, "{left:?} should be left: {status}");
    let answers = load.end().await?;
    let slowest = expect_all_allowed(&answers)?;
    bench.note(&format!(
        "{} calls from three nodes to five and back, the slowest took {slowest:?}",
        answers.len()
    ));
    dev.stop().await?;
    for mut new in joined {
        ensure!(
            new.process.end()?,
            "node {} did not end by itself",
            new.node
        );
    }
    Ok(())
}

/// Every call was answered, as allowed, in the time that a decision may take. The longest.
fn expect_all_allowed(answers: &[Answer]) -> Result<Duration> {
    let refused: Vec<_> = answers.iter().filter(|a| !a.is_allowed()).collect();
    ensure!(
        refused.is_empty(),
        "{} of {} calls were refused, the first: {:?}",
        refused.len(),
        answers.len(),
        refused[0].outcome
    );
    let took = answers.iter().map(|answer| answer.received - answer.sent);
    let slowest = took.max().unwrap_or_default();
    ensure!(slowest <= DECISION_MAX, "a call took {slowest:?}");
    Ok(slowest)
}

/// Waits until `nodes` nodes answer, vote, and have applied what there is but for a moment's worth.
async fn settled(operator: &Operator, nodes: usize) -> Result<Value> {
    poll::until("the cluster to settle", SETTLE_MAX, async || {
        let status = operator.cluster_status()?;
        let all = status["nodes"].as_array().cloned().unwrap_or_default();
        let fine = all.iter().all(|node| {
            node["failure"].is_null()
                && node["role"] == "voter"
                && node["behind"].as_u64().is_some_and(|behind| behind < 100)
        });
        Ok((fine && all.len() == nodes).then_some(status))
    })
    .await
}

fn voters(status: &Value) -> Vec<u64> {
    let voters = status["shards"][0]["voters"].as_array();
    voters
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .collect()
}

// === impl Load ===

impl Load {
    async fn start(bench: &Bench, dev: &Dev, operator: &Operator) -> Result<Self> {
        operator.apply(&[policy_document("plenty", &minute_policy(TOOL, PLENTY))])?;
        let grant = operator.create_grant("load", "plenty")?;
        let ended = Arc::new(AtomicBool::new(false));
        let answered = Arc::<std::sync::atomic::AtomicUsize>::default();
        let mut tasks = JoinSet::new();
        for client in 0..CLIENTS {
            let url = &dev.ready.gateways[client % dev.ready.gateways.len()].url;
            let session = Session::open(&bench.http, url, &grant.token).await?;
            let (ended, answered) = (ended.clone(), answered.clone());
            tasks.spawn(async move {
                let mut answers = Vec::new();
                while !ended.load(Ordering::Relaxed) {
                    answers.push(session.call(TOOL, json!({})).await);
                    answered.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
                answers
            });
        }
        Ok(Self {
            ended,
            answered,
            tasks,
        })
    }

    /// Waits for more answers.
    async fn goes_on(&self, answers: usize) -> Result {
        let goal = self.answered.load(Ordering::Relaxed) + answers;
        poll::until("calls to be answered", SETTLE_MAX, async || {
            Ok((self.answered.load(Ordering::Relaxed) >= goal).then_some(()))
        })
        .await
    }

    async fn end(self) -> Result<Vec<Answer>> {
        self.ended.store(true, Ordering::Relaxed);
        Ok(self.tasks.join_all().await.concat())
    }
}

// === impl Joined ===

impl Joined {
    /// Starts a node with the settings of the first one, but for its place.
    fn start(bench: &Bench, dev: &Dev, node: u64) -> Result<Self> {
        let first = &dev.ready.counters[0];
        let file = first.command.iter().find(|word| word.ends_with(".toml"));
        let file = PathBuf::from(file.ok_or_else(|| Failure::new("no configuration is named"))?);
        let peer = format!("127.0.0.1:{}", bench::free_port()?);
        let own = [
            (
                "data_dir",
                bench.path(&format!("counter-{node}")).display().to_string(),
            ),
            ("listen", format!("127.0.0.1:{}", bench::free_port()?)),
            ("peer_listen", peer.clone()),
            ("admin_listen", format!("127.0.0.1:{}", bench::free_port()?)),
        ];
        let ours = |line: &&str| {
            let key = line.split(" = ").next().unwrap_or_default();
            let replaced = ["node_id", "peers", "bootstrap_expect"];
            !replaced.contains(&key) && own.iter().all(|(own, _)| *own != key)
        };
        let text = std::fs::read_to_string(&file)?;
        let mut lines: Vec<String> = text.lines().filter(ours).map(str::to_owned).collect();
        lines.push(format!("node_id = {node}"));
        lines.extend(own.iter().map(|(key, value)| format!("{key} = {value:?}")));
        let config = bench.path(&format!("counter-{node}.toml"));
        std::fs::write(&config, lines.join("\n"))?;
        let mut command = Command::new(bench.tools.quotum());
        command.arg("counter").arg("--config").arg(config);
        let process = Process::start(&format!("counter-{node}"), &mut command, &bench.logs())?;
        Ok(Self {
            process,
            peer,
            node,
        })
    }
}
