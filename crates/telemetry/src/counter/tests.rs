use std::time::Duration;

use super::*;
use crate::envoy::{Descriptor, EnvoyMetrics, Hits};
use crate::exposition::BuildInfo;
use crate::exposition_lint::lint;
use crate::label::EnvoyMethod;

fn exposition() -> Exposition {
    Exposition::new(&BuildInfo {
        version: "1".to_owned(),
        revision: "r".to_owned(),
    })
}

#[test]
fn a_fresh_node_shows_every_decision_at_zero() {
    let exposition = exposition();
    let metrics = CounterMetrics::new(&exposition, 2);
    let exposed = lint(&exposition.render());
    let decisions = &exposed["quotum_counter_decisions_total"].samples;
    assert_eq!(
        decisions.len(),
        3 * Api::ALL.len() * CounterOutcome::ALL.len()
    );
    assert!(decisions.values().all(|value| *value == 0.0));
    assert_eq!(
        exposed["quotum_admitted_after_restore_total"].samples.len(),
        3
    );
    assert!(metrics.shard(Shard::Counters(1)).is_some());
    assert!(metrics.shard(Shard::Counters(2)).is_none());
    assert!(metrics.shard(Shard::Other).is_none());
}

#[test]
fn a_node_records_under_its_shards() {
    let exposition = exposition();
    let metrics = CounterMetrics::new(&exposition, 1);
    let shard = metrics.shard(Shard::Counters(0)).unwrap();
    shard.decision(Api::Envoy, CounterOutcome::Denied);
    shard.commit.observe(Duration::from_millis(2));
    shard.batch.observe(3);
    shard.is_leader.set(1.0);
    shard.log_clock_offset.set(-0.25);
    metrics.shard(Shard::Registry).unwrap().term.set_integer(4);
    metrics.registry_revision(9);
    let text = exposition.render();
    lint(&text);
    for line in [
        r#"quotum_counter_decisions_total{shard="0",api="envoy",outcome="denied"} 1"#,
        r#"quotum_raft_commit_seconds_bucket{shard="0",le="0.0025"} 1"#,
        r#"quotum_raft_commit_seconds_bucket{shard="0",le="0.001"} 0"#,
        r#"quotum_raft_batch_decisions_bucket{shard="0",le="4"} 1"#,
        r#"quotum_raft_is_leader{shard="0"} 1"#,
        r#"quotum_log_clock_offset_seconds{shard="0"} -0.25"#,
        r#"quotum_raft_term{shard="registry"} 4"#,
        "quotum_registry_revision 9",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[test]
fn envoys_names_count_units() {
    let exposition = exposition();
    let metrics = EnvoyMetrics::new(&exposition);
    let descriptor = Descriptor {
        domain: "edge",
        key1: "path",
        key2: "",
    };
    metrics.hits(&descriptor, Hits::Within, 2);
    metrics.hits(&descriptor, Hits::Near, 1);
    metrics.hits(&descriptor, Hits::Over, 5);
    metrics.hits(&descriptor, Hits::Shadow, 7);
    metrics.request(EnvoyMethod::ShouldRateLimit, Duration::from_micros(40));
    metrics.service_error();
    metrics.config_loaded();
    let text = exposition.render();
    let exposed = lint(&text);
    let value = |name: &str| exposed[name].samples.values().sum::<f64>();
    assert_eq!(value("ratelimit_service_rate_limit_total_hits"), 15.0);
    assert_eq!(value("ratelimit_service_rate_limit_within_limit"), 3.0);
    assert_eq!(value("ratelimit_service_rate_limit_near_limit"), 1.0);
    assert_eq!(value("ratelimit_service_rate_limit_over_limit"), 12.0);
    assert_eq!(value("ratelimit_service_rate_limit_shadow_mode"), 7.0);
    assert_eq!(value("ratelimit_service_config_load_success"), 1.0);
    assert_eq!(value("ratelimit_service_config_load_error"), 0.0);
    assert!(text.contains(r#"ratelimit_service_total_requests{grpc_method="ShouldRateLimit"} 1"#));
}
