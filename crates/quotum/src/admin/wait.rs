//! Waiting: until every live gateway serves a revision of the registry.

use std::collections::BTreeMap;
use std::time::Instant;

use indicatif::ProgressBar;
use quotum_api::registry::{GatewaysRequest, GatewaysResponse};

use super::reach::Cluster;
use crate::failure::Failure;
use crate::limits::{LOOK_EVERY, WAIT_MAX};

#[cfg(test)]
mod tests;

/// How far the gateways are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    gateways: usize,
    /// Gateways that serve an older revision, and which.
    behind: BTreeMap<String, u64>,
    silent_nodes: Vec<u64>,
}

/// Returns when every live gateway serves `revision`, with their number.
pub(crate) async fn until_served(cluster: &Cluster, revision: u64) -> Result<usize, Failure> {
    // Drawn on a terminal only.
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(2 * LOOK_EVERY);
    let begun = Instant::now();
    loop {
        let answer = cluster.registry(GatewaysRequest {}, |mut client, request| async move {
            client.gateways(request).await
        });
        let progress = Progress::of(answer.await?, revision);
        if progress.is_done() {
            spinner.finish_and_clear();
            return Ok(progress.gateways);
        }
        if begun.elapsed() >= WAIT_MAX {
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
        Self {
            gateways: served.len(),
            behind: served
                .into_iter()
                .filter(|(_, at)| *at < revision)
                .collect(),
            silent_nodes: answer.silent_nodes,
        }
    }

    /// A node that is silent may have gateways that nobody knows of: they find another within
    /// seconds.
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
