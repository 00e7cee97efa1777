//! Waiting: until every live gateway serves a revision of the registry.
//!
//! A node that does not answer may have gateways that nobody else knows of. While it is silent for
//! the leader it has no leader, so it has told them nothing, and each looks for another node once it
//! has heard nothing for a while. So after that while no gateway is at such a node any more: those
//! that live are listed elsewhere, with what they serve.

use std::collections::BTreeMap;

use indicatif::ProgressBar;
use quotum_api::registry::{GatewaysRequest, GatewaysResponse};
use tokio::time::{Instant, timeout_at};

use super::reach::Cluster;
use crate::failure::Failure;
use crate::limits::{LOOK_EVERY, SILENT_NODE_MS_MIN, WAIT_MAX};
use crate::output;

#[cfg(test)]
mod tests;

/// How far the gateways are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    gateways: usize,
    /// Gateways that serve an older revision, and which.
    behind: BTreeMap<String, u64>,
    /// Nodes that do not answer, and may have gateways yet.
    silent_nodes: Vec<u64>,
    /// Nodes that have been silent for so long that they have none any more.
    left_nodes: Vec<u64>,
}

/// Returns when every live gateway serves `revision`, with their number.
pub(crate) async fn until_served(cluster: &Cluster, revision: u64) -> Result<usize, Failure> {
    until_served_by(cluster, revision, Instant::now() + WAIT_MAX).await
}

/// The same with a deadline.
pub(crate) async fn until_served_by(
    cluster: &Cluster,
    revision: u64,
    deadline: Instant,
) -> Result<usize, Failure> {
    // Drawn on a terminal only.
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(2 * LOOK_EVERY);
    loop {
        let answer = cluster.registry(GatewaysRequest {}, |mut client, request| async move {
            client.gateways(request).await
        });
        let Ok(answer) = timeout_at(deadline, answer).await else {
            spinner.finish_and_clear();
            return Err(Progress::unknown(revision));
        };
        let progress = Progress::of(answer?, revision);
        if progress.is_done() {
            spinner.finish_and_clear();
            if let Some(text) = progress.note() {
                output::note(&text);
            }
            return Ok(progress.gateways);
        }
        if Instant::now() >= deadline {
            spinner.finish_and_clear();
            return Err(progress.failure(revision));
        }
        spinner.set_message(progress.line(revision));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

// === impl Progress ===

impl Progress {
    fn of(answer: GatewaysResponse, revision: u64) -> Self {
        let mut served = BTreeMap::<String, u64>::new();
        for gateway in answer.gateways {
            // One that has moved to another node may still be listed at the one before.
            let known = served.entry(gateway.name).or_default();
            *known = gateway.revision.max(*known);
        }
        let has_left = |node: &u64| {
            let silent_ms = answer.silent_ms.get(node).copied().unwrap_or(0);
            silent_ms >= SILENT_NODE_MS_MIN
        };
        let (left_nodes, silent_nodes) =
            answer.silent_nodes.iter().partition(|node| has_left(node));
        Self {
            gateways: served.len(),
            behind: served
                .into_iter()
                .filter(|(_, at)| *at < revision)
                .collect(),
            silent_nodes,
            left_nodes,
        }
    }

    fn is_done(&self) -> bool {
        self.behind.is_empty() && self.silent_nodes.is_empty()
    }

    fn line(&self, revision: u64) -> String {
        let served = self.gateways - self.behind.len();
        format!(
            "revision {revision}: {served} of {} gateways",
            self.gateways
        )
    }

    /// What to tell of nodes that did not answer.
    fn note(&self) -> Option<String> {
        let nodes: Vec<String> = self.left_nodes.iter().map(u64::to_string).collect();
        let nodes = match &nodes[..] {
            [] => return None,
            [node] => format!("node {node} does not answer"),
            more => format!("nodes {} do not answer", more.join(", ")),
        };
        Some(format!(
            "{nodes}: gateways that watched there have had {} s to find another node",
            SILENT_NODE_MS_MIN / 1_000
        ))
    }

    /// No node has said how far they are.
    fn unknown(revision: u64) -> Failure {
        let text = "the change is made, but no node says which gateways serve revision";
        Failure::failed(format!("{text} {revision}"))
            .next("`quotum cluster status` shows who is missing")
    }

    fn failure(&self, revision: u64) -> Failure {
        let text = format!("the change is made, but not all gateways serve revision {revision}");
        let mut causes = Vec::new();
        for (name, at) in &self.behind {
            causes.push(format!("{name} serves revision {at}"));
        }
        for node in &self.silent_nodes {
            causes.push(format!("node {node} does not say which gateways watch it"));
        }
        Failure::failed(format!("{text}: {}", causes.join(", ")))
            .next("look at the logs of those named here")
    }
}
