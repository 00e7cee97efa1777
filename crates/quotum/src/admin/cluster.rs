//! `quotum cluster`: the counter nodes, and which of them belong to the cluster.

use std::fmt::Write;

use quotum_api::cluster::{
    InitRequest, Node, RemoveRequest, Shard, StatusRequest, StatusResponse, TransferLeaderRequest,
};
use quotum_registry::documents::timestamp;
use serde_json::{Value, json};

use super::reach::Cluster as Reached;
use super::{backup, joining};
use crate::arguments::{Cluster, ClusterTransferLeader};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::limits::ADMIN_CALL_MAX;
use crate::output::{self, Format};

#[cfg(test)]
mod tests;

pub(crate) fn run(
    command: &Cluster,
    environment: &Environment,
    format: Format,
) -> Result<(), Failure> {
    let reach = match command {
        Cluster::Status(options) => &options.reach,
        Cluster::Init(options) => &options.reach,
        Cluster::Add(options) => &options.reach,
        Cluster::Remove(options) => &options.reach,
        Cluster::TransferLeader(options) => &options.reach,
        Cluster::Backup(options) => &options.reach,
        Cluster::Restore(options) => &options.reach,
    };
    super::block_on(reach, environment, async |cluster: Reached| match command {
        Cluster::Status(options) => status(&cluster, options.digests, format).await,
        Cluster::Init(_) => init(&cluster, format).await,
        Cluster::Add(options) => add(&cluster, &options.peer_address, format).await,
        Cluster::Remove(options) => remove(&cluster, options.node, format).await,
        Cluster::TransferLeader(options) => transfer_leader(&cluster, options, format).await,
        Cluster::Backup(options) => backup::backup(&cluster, &options.file, format).await,
        Cluster::Restore(options) => {
            backup::restore(&cluster, &options.file, options.accept_over, format).await
        }
    })
}

async fn status(cluster: &Reached, digests: bool, format: Format) -> Result<(), Failure> {
    let answer = cluster.members(
        ADMIN_CALL_MAX,
        StatusRequest { digests },
        |mut client, request| async move { client.status(request).await },
    );
    let status = answer.await?;
    output::show(format, || text(&status), &value(&status))
}

async fn init(cluster: &Reached, format: Format) -> Result<(), Failure> {
    let answer = cluster.members(
        ADMIN_CALL_MAX,
        InitRequest {},
        |mut client, request| async move { client.init(request).await },
    );
    let id = answer.await?.cluster_id;
    let text = || format!("cluster {id} of one node; `quotum cluster add` adds others");
    output::show(format, text, &json!({ "cluster_id": id }))
}

async fn add(cluster: &Reached, peer_address: &str, format: Format) -> Result<(), Failure> {
    let node = joining::until_it_votes(cluster, peer_address).await?;
    let text = || format!("node {node} has caught up and votes");
    output::show(format, text, &json!({ "node": node }))
}

async fn remove(cluster: &Reached, node: u64, format: Format) -> Result<(), Failure> {
    let answer = cluster.members(
        ADMIN_CALL_MAX,
        RemoveRequest { node },
        |mut client, request| async move { client.remove(request).await },
    );
    answer.await?;
    let text = || format!("node {node} is removed; its data must not be used again");
    output::show(format, text, &json!({ "node": node }))
}

async fn transfer_leader(
    cluster: &Reached,
    options: &ClusterTransferLeader,
    format: Format,
) -> Result<(), Failure> {
    let node = options.node;
    let request = TransferLeaderRequest {
        node,
        shard: options.shard.clone().unwrap_or_default(),
    };
    let answer = cluster.members(ADMIN_CALL_MAX, request, |mut client, request| async move {
        client.transfer_leader(request).await
    });
    let shards = answer.await?.shards;
    let text = || format!("node {node} leads {}", shards.join(", "));
    output::show(format, text, &json!({ "node": node, "shards": shards }))
}

fn text(status: &StatusResponse) -> String {
    let id = match status.cluster_id.is_empty() {
        true => "none: this node is new",
        false => &status.cluster_id,
    };
    let mut text = format!(
        "cluster {id}\nas node {} sees it, version {}, feature level {}\n\n",
        status.node, status.version, status.feature_level
    );
    let nodes = status.nodes.iter().map(|node| node_row(status, node));
    let nodes: Vec<Vec<String>> = nodes.collect();
    let header = [
        "NODE", "ROLE", "LEADS", "BEHIND", "CLOCK", "VERSION", "CLIENTS", "PEERS", "STATE",
    ];
    writeln!(text, "{}\n", output::table(&header, &nodes)).expect("a string grows");
    let mut shards: Vec<Vec<String>> = status.shards.iter().map(row).collect();
    let mut header = vec![
        "SHARD", "LEADER", "TERM", "LAST", "APPLIED", "VOTERS", "LEARNERS", "COUNTERS", "LOG TIME",
        "BEHIND",
    ];
    if status.shards.iter().any(|shard| shard.digest.is_some()) {
        header.push("DIGEST");
        for (row, shard) in shards.iter_mut().zip(&status.shards) {
            row.push(or_none(shard.digest.map(digest)));
        }
    }
    text.push_str(&output::table(&header, &shards));
    text
}

/// What a node is to the shards.
fn role(status: &StatusResponse, node: u64) -> &'static str {
    let votes = |shard: &Shard| shard.voters.contains(&node);
    match status.shards.iter().filter(|shard| votes(shard)).count() {
        0 => "learner",
        some if some < status.shards.len() => "joining",
        _ => "voter",
    }
}

/// How many entries a node has yet to apply, in all shards: of those that any node has.
fn behind(status: &StatusResponse, node: &Node) -> Option<u64> {
    let last = |name: &str| {
        let standings = status.nodes.iter().filter_map(|node| node.health.as_ref());
        let standings = standings.flat_map(|health| &health.standings);
        let same = standings.filter(|standing| standing.shard == name);
        same.map(|standing| standing.last_log_index).max()
    };
    let standings = &node.health.as_ref()?.standings;
    let behind = standings.iter().map(|standing| {
        let last = last(&standing.shard).unwrap_or(0);
        last.saturating_sub(standing.applied_index)
    });
    Some(behind.sum())
}

fn leads(status: &StatusResponse, node: u64) -> Vec<&str> {
    let led = status.shards.iter().filter(|shard| shard.leader == node);
    led.map(|shard| shard.name.as_str()).collect()
}

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn node_row(status: &StatusResponse, node: &Node) -> Vec<String> {
    let health = node.health.as_ref();
    let leads = leads(status, node.id);
    vec![
        node.id.to_string(),
        role(status, node.id).to_owned(),
        or_none((!leads.is_empty()).then(|| leads.join(","))),
        or_none(behind(status, node).map(|entries| entries.to_string())),
        or_none(
            health
                .and_then(|health| health.clock_offset_ms)
                .map(|ms| format!("{ms:+} ms")),
        ),
        or_none(health.map(|health| health.version.clone())),
        node.client_address.clone(),
        node.peer_address.clone(),
        match node.failure.as_str() {
            "" => "up".to_owned(),
            failure => failure.to_owned(),
        },
    ]
}

fn row(shard: &Shard) -> Vec<String> {
    let list = |nodes: &[u64]| match nodes.is_empty() {
        true => "-".to_owned(),
        false => nodes
            .iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(","),
    };
    let behind = shard
        .matched
        .iter()
        .filter(|matched| matched.index < shard.last_log_index);
    let behind: Vec<String> = behind
        .map(|matched| {
            format!(
                "{} by {}",
                matched.node,
                shard.last_log_index - matched.index
            )
        })
        .collect();
    vec![
        shard.name.clone(),
        match shard.leader {
            0 => "none".to_owned(),
            leader => leader.to_string(),
        },
        shard.term.to_string(),
        shard.last_log_index.to_string(),
        shard.applied_index.to_string(),
        list(&shard.voters),
        list(&shard.learners),
        shard.counters_live.to_string(),
        match shard.log_time_ms {
            0 => "-".to_owned(),
            at_ms => timestamp::format(at_ms),
        },
        match behind.is_empty() {
            true => "-".to_owned(),
            false => behind.join(", "),
        },
    ]
}

/// As text, because it needs all of 64 bits.
fn digest(digest: u64) -> String {
    format!("{digest:016x}")
}

fn value(status: &StatusResponse) -> Value {
    let node = |node: &Node| {
        let health = node.health.as_ref();
        json!({
            "id": node.id,
            "peer_address": node.peer_address,
            "client_address": node.client_address,
            "role": role(status, node.id),
            "leads": leads(status, node.id),
            "behind": behind(status, node),
            "clock_offset_ms": health.and_then(|health| health.clock_offset_ms),
            "version": health.map(|health| &health.version),
            "feature_level": health.map(|health| health.feature_level),
            "failure": (!node.failure.is_empty()).then_some(&node.failure),
        })
    };
    let shard = |shard: &Shard| {
        let matched = |matched: &quotum_api::cluster::Matched| json!({ "node": matched.node, "index": matched.index });
        json!({
            "name": shard.name,
            "term": shard.term,
            "leader": (shard.leader != 0).then_some(shard.leader),
            "last_log_index": shard.last_log_index,
            "applied_index": shard.applied_index,
            "voters": shard.voters,
            "learners": shard.learners,
            "matched": shard.matched.iter().map(matched).collect::<Vec<_>>(),
            "counters_live": shard.counters_live,
            "digest": shard.digest.map(digest),
            "log_time_ms": shard.log_time_ms,
        })
    };
    json!({
        "cluster_id": status.cluster_id,
        "node": status.node,
        "version": status.version,
        "feature_level": status.feature_level,
        "nodes": status.nodes.iter().map(node).collect::<Vec<_>>(),
        "shards": status.shards.iter().map(shard).collect::<Vec<_>>(),
    })
}
