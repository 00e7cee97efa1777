//! What a scrape shows.

use super::*;

/// The value of a sample, as the exposition writes its name and labels.
fn value(exposition: &Exposition, sample: &str) -> Option<f64> {
    let text = exposition.render();
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
    values.next()
}

/// Waits until a sample has that value.
pub(crate) async fn shows(exposition: &Exposition, sample: &str, wanted: f64) {
    let looks = async {
        while value(exposition, sample) != Some(wanted) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, looks).await;
    found.unwrap_or_else(|_| panic!("{sample} is {:?}", value(exposition, sample)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_shows_what_a_node_did() {
    let cluster = Cluster::start(1).await;
    let shown = &cluster.expositions[0];
    for shard in ["0", "1", "registry"] {
        for name in ["is_leader", "voters", "election_total"] {
            let sample = format!("quotum_raft_{name}{{shard=\"{shard}\"}}");
            shows(shown, &sample, 1.0).await;
        }
    }
    // One log for all shards: its figures stand once.
    let log_bytes = value(shown, "quotum_raft_log_bytes");
    assert!(log_bytes.is_some_and(|bytes| bytes > 0.0), "{log_bytes:?}");
    let syncs = value(shown, "quotum_raft_sync_seconds_count");
    assert!(syncs.is_some_and(|syncs| syncs > 0.0), "{syncs:?}");
    cluster.stop().await;
}
