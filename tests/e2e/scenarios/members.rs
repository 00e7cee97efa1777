//! A cluster made node by node with the commands, under load all the while: what was counted stays
//! counted, whoever joins, leaves or dies.

use std::time::Instant;

use quotum_e2e::bench::Bench;
use quotum_e2e::drip::Drip;
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::limits::SETTLE_MAX;
use quotum_e2e::loopback::Loopback;
use quotum_e2e::mcp::Session;
use quotum_e2e::minute::limit_state;
use quotum_e2e::operator::{Operator, policy_document};
use quotum_e2e::plain::{Secrets, Server};
use quotum_e2e::poll;
use quotum_e2e::upstream::Upstream;
use serde_json::{Value, json};

const TOOL: &str = "echo";
const COUNTER: &str = "calls";
const SERVER: &str = "python";
/// More than the load can use up.
const MAX: u64 = 1_000_000;
/// So many calls must have been allowed before the next change.
const CALLS_BETWEEN: usize = 20;
const CLIENTS: usize = 4;

pub(crate) async fn a_cluster_made_by_commands_counts_through_every_change(
    bench: &Bench,
) -> Result {
    let upstream = Upstream::python(bench)?;
    let secrets = Secrets::write(bench)?;
    let net = Loopback::draw();
    let mut nodes = Vec::new();
    for number in 1..=4 {
        let name = format!("counter-{number}");
        nodes.push(Server::counter(bench, &secrets, &name, net.host(number))?);
    }
    let addresses: Vec<String> = nodes.iter().map(Server::client_address).collect();
    let operator = Operator::of(bench, addresses.clone(), &secrets.admin_token);
    let first = operator.only(&addresses[0]);
    make(&first, &nodes)?;

    let gateway = Server::gateway(bench, &secrets, "gateway", net.host(9), &addresses)?;
    gateway.ready(bench).await?;
    let token = grant(&first, &upstream)?;
    let session = Session::open(&bench.http, &gateway.mcp_url(SERVER), &token).await?;
    let mut drip = Drip::start(
        vec![session.clone(); CLIENTS],
        TOOL,
        &json!({ "message": "x" }),
    );
    drip.after(CALLS_BETWEEN).await?;

    // It grows to three.
    for node in &nodes[1..3] {
        first.json(&["cluster", "add", &node.peer_address()])?;
        drip.after(CALLS_BETWEEN).await?;
    }
    let founder = voters(&first.cluster_status()?)?;
    ensure!(
        founder.len() == 3,
        "voters after two additions: {founder:?}"
    );
    let grown = Instant::now();

    // The node that leads everything dies, and comes back.
    nodes[0].kill_and_start_again(bench)?;
    drip.after(CALLS_BETWEEN).await?;
    in_step(&operator.only(&addresses[0])).await?;

    // A fourth joins, the leader is removed, another one dies for good.
    operator.json(&["cluster", "add", &nodes[3].peer_address()])?;
    drip.after(CALLS_BETWEEN).await?;
    let status = operator.cluster_status()?;
    let leader = status["shards"][0]["leader"].clone();
    let index = index_of(&status, &leader, &addresses)?;
    operator.json(&["cluster", "remove", &leader.to_string()])?;
    ensure!(nodes[index].end()?, "the removed node did not end");
    drip.after(CALLS_BETWEEN).await?;
    let rest: Vec<String> = (0..4)
        .filter(|other| *other != index)
        .map(|other| addresses[other].clone())
        .collect();
    let rest = Operator::of(bench, rest, &secrets.admin_token);
    let left = voters(&rest.cluster_status()?)?;
    ensure!(
        left.len() == 3 && !left.contains(&leader),
        "voters without node {leader}: {left:?}"
    );
    nodes[(index + 1) % 4].kill();
    drip.after(CALLS_BETWEEN).await?;

    let answers = drip.stop().await?;
    // Nobody waits for a node that joins.
    let held_up = answers.count(|answer| answer.received <= grown && !answer.is_allowed());
    ensure!(
        held_up == 0,
        "{held_up} calls failed while the cluster grew"
    );
    let other = answers.first_other(|answer| answer.is_allowed() || answer.is_unavailable());
    bench.note(&answers.summary());
    ensure!(other.is_none(), "{other:?}; {}", answers.summary());
    let allowed = answers.count(quotum_e2e::mcp::Answer::is_allowed) as u64;
    let ran = upstream.executions(bench, TOOL).await?;
    ensure!(ran == allowed, "{ran} ran, {}", answers.summary());
    expect_counted(&session, allowed).await
}

/// Makes the first node a cluster; it is one once only, and nothing can be added before.
fn make(first: &Operator, nodes: &[Server]) -> Result {
    let early = first.run(&["cluster", "add", &nodes[1].peer_address()])?;
    ensure!(
        early.status.code() == Some(1),
        "added to nothing: {early:?}"
    );
    let status = first.cluster_status()?;
    ensure!(status["cluster_id"] == "", "a new node is in {status}");
    let made = first.json(&["cluster", "init"])?;
    let id = made["cluster_id"].as_str().unwrap_or_default();
    ensure!(!id.is_empty(), "made {made}");
    let again = first.run(&["cluster", "init"])?;
    ensure!(again.status.code() == Some(1), "made twice: {again:?}");
    ensure!(
        voters(&first.cluster_status()?)?.len() == 1,
        "a cluster of one"
    );
    Ok(())
}

/// Puts the upstream and a policy into the registry, and gives a grant's token.
fn grant(operator: &Operator, upstream: &Upstream) -> Result<String> {
    let limit = json!({ "counter": COUNTER, "window": "week", "max": MAX, "scope": "grant" });
    let policy = json!({
        "version": "1",
        "default": "deny",
        "tools": { TOOL: { "limits": [limit] } },
    });
    let server = json!({ "kind": "Server", "name": SERVER, "url": upstream.url });
    operator.apply(&[server, policy_document("all", &policy)])?;
    operator.create_grant_on(SERVER, "agent", "all")
}

/// The voters, which must be the same in every group.
fn voters(status: &Value) -> Result<Vec<Value>> {
    let shards = status["shards"]
        .as_array()
        .filter(|shards| !shards.is_empty());
    let shards = shards.ok_or_else(|| Failure::new(format!("no shards in {status}")))?;
    let of_first = &shards[0]["voters"];
    let same = shards.iter().all(|shard| &shard["voters"] == of_first);
    ensure!(same, "groups differ: {status}");
    Ok(of_first.as_array().cloned().unwrap_or_default())
}

/// Waits until a node follows a leader in every group.
async fn in_step(node: &Operator) -> Result {
    poll::until("the node to follow again", SETTLE_MAX, async || {
        let status = node.cluster_status()?;
        let shards = status["shards"].as_array().cloned().unwrap_or_default();
        let follows = |shard: &Value| !shard["leader"].is_null();
        Ok((!shards.is_empty() && shards.iter().all(follows)).then_some(()))
    })
    .await
}

fn index_of(status: &Value, node: &Value, addresses: &[String]) -> Result<usize> {
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let found = nodes.iter().find(|known| known["id"] == *node);
    let address = found.and_then(|found| found["client_address"].as_str());
    let index = addresses
        .iter()
        .position(|one| Some(one.as_str()) == address);
    index.ok_or_else(|| Failure::new(format!("node {node} is not in {status}")))
}

/// The count is what was allowed; what calls gave back that were not answered comes back soon.
async fn expect_counted(session: &Session, mut allowed: u64) -> Result {
    poll::until(
        "the count to be that of the calls",
        SETTLE_MAX,
        async || {
            let answer = session.call(TOOL, json!({ "message": "x" })).await;
            ensure!(answer.is_allowed(), "{:?}", answer.outcome);
            allowed += 1;
            let state = limit_state(answer.header("ratelimit"), COUNTER);
            let used = state.map(|state| MAX - state.remaining);
            match used == Some(allowed) {
                true => Ok(Some(())),
                false => Err(Failure::new(format!("{used:?} used, {allowed} allowed"))),
            }
        },
    )
    .await
}
