//! Joining: until a node that was added votes in every shard.
//!
//! It is added with the first request; the others tell how far it is. It gets its votes without
//! anybody who waits, so what is interrupted here is not lost.

use std::time::Instant;

use indicatif::ProgressBar;
use quotum_api::cluster::{AddRequest, AddResponse, Joining};

use super::reach::Cluster;
use crate::failure::Failure;
use crate::limits::{ADMIN_CALL_MAX, JOINING_WAIT_MAX, LOOK_EVERY};
use crate::output;

#[cfg(test)]
mod tests;

/// Adds the node that serves peers at an address, and returns its id when it votes everywhere.
pub(crate) async fn until_it_votes(cluster: &Cluster, peer_address: &str) -> Result<u64, Failure> {
    // Drawn on a terminal only.
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(2 * LOOK_EVERY);
    let begun = Instant::now();
    let mut known: Option<AddResponse> = None;
    loop {
        let request = AddRequest {
            peer_address: peer_address.to_owned(),
        };
        let answer = cluster.members(ADMIN_CALL_MAX, request, |mut client, request| async move {
            client.add(request).await
        });
        let added = match (answer.await, &known) {
            (Ok(added), _) => added,
            (Err(failure), None) => return Err(failure),
            (Err(failure), Some(known)) => return Err(failure.next(later(known.node))),
        };
        if added.joining.is_empty() {
            spinner.finish_and_clear();
            return Ok(added.node);
        }
        if begun.elapsed() >= JOINING_WAIT_MAX {
            spinner.finish_and_clear();
            return Err(Failure::failed(line(&added)).next(later(added.node)));
        }
        if known.is_none() {
            output::note(&format!(
                "node {} is added, and catches up before it votes",
                added.node
            ));
        }
        spinner.set_message(line(&added));
        known = Some(added);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How far a node is.
fn line(added: &AddResponse) -> String {
    let shards = added.joining.iter().map(shard);
    let shards: Vec<String> = shards.collect();
    format!("node {} has no vote yet: {}", added.node, shards.join(", "))
}

fn shard(joining: &Joining) -> String {
    match joining.behind {
        Some(behind) => format!("shard {} is {behind} entries behind", joining.shard),
        None => format!("shard {} is silent", joining.shard),
    }
}

fn later(node: u64) -> String {
    format!(
        "node {node} votes by itself once it has caught up; `quotum cluster status` shows it, and `quotum cluster add` waits for it again"
    )
}
