//! The catalog: every metric of Quotum, once, with its kind, its labels and its help.
//!
//! Names are stable API: a name here is never given another meaning, and is documented in
//! `docs/metrics.md`, which a test compares with this file.

#[cfg(test)]
mod tests;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric.
#[derive(Debug, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
    /// The upper bounds of a histogram's buckets, rising.
    pub buckets: &'static [f64],
}

const DECISION_SECONDS: &[f64] = &[
    1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2,
    5e-2, 0.1, 0.25, 0.5, 1.0, 2.5,
];
const REQUEST_SECONDS: &[f64] = &[
    1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
const DISK_SECONDS: &[f64] = &[
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5,
    1.0, 2.5,
];
const SNAPSHOT_SECONDS: &[f64] = &[1e-3, 1e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const BATCH_SIZES: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0,
];

macro_rules! catalog {
    ($($(#[$doc:meta])* $id:ident: $kind:ident $name:literal $labels:tt $([$buckets:ident])? $help:literal;)+) => {
        $($(#[$doc])* pub const $id: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            labels: &$labels,
            help: $help,
            buckets: catalog!(@buckets $($buckets)?),
        };)+

        /// All of them.
        pub const ALL: &[&Metric] = &[$(&$id,)+];
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

catalog! {
    DECISIONS: Counter "quotum_decisions_total" ["server", "tool", "outcome", "reason", "path"]
        "Governed calls that a gateway has decided.";
    GRANT_DECISIONS: Counter "quotum_grant_decisions_total" ["server", "grant", "outcome"]
        "The same by grant, for servers whose grants may be labels.";
    REQUESTS_REFUSED: Counter "quotum_requests_refused_total" ["stage", "status_class"]
        "Requests that a gateway refused before any decision.";
    DECISION_DURATION: Histogram "quotum_decision_duration_seconds" ["path"] [DECISION_SECONDS]
        "Time from a parsed call to its decision.";
    GATEWAY_REQUEST_DURATION: Histogram "quotum_gateway_request_duration_seconds"
        ["server", "method", "status_class"] [REQUEST_SECONDS]
        "Time from a request's head to the end of its answer.";
    UPSTREAM_DURATION: Histogram "quotum_upstream_duration_seconds"
        ["server", "method", "status_class"] [REQUEST_SECONDS]
        "Time from forwarding to the head of the upstream's answer.";
    LIMIT_NEAR: Counter "quotum_limit_near_total" ["server", "tool", "counter"]
        "Admitted calls that left less than a tenth of a limit.";
    REFUNDS: Counter "quotum_refunds_total" ["shard", "reason"]
        "Decisions whose units were given back.";
    REGISTRY_REVISION: Gauge "quotum_registry_revision" []
        "The revision of the registry that this process serves.";
    REGISTRY_AGE: Gauge "quotum_registry_age_seconds" []
        "Time since this process last heard from the registry.";
    RECORDS_DROPPED: Counter "quotum_records_dropped_total" ["reason"]
        "Decision records that were not written.";
    COUNTER_DECISIONS: Counter "quotum_counter_decisions_total" ["shard", "api", "outcome"]
        "Decisions of the counter service, whoever asked.";
    LOG_CLOCK_OFFSET: Gauge "quotum_log_clock_offset_seconds" ["shard"]
        "Log clock minus reference clock.";
    CLOCK_OFFSET: Gauge "quotum_clock_offset_seconds" []
        "The node's wall clock minus its reference clock, the median of the voters' clocks.";
    CLOCKS_AGREE: Gauge "quotum_clocks_agree" []
        "1 while the wall clocks of a majority of the voters agree, else 0.";
    COUNTERS_LIVE: Gauge "quotum_counters_live" ["shard"]
        "Counters whose windows have not ended.";
    DEDUP_HITS: Counter "quotum_dedup_hits_total" ["shard"]
        "Repeated requests that got the outcome of the first.";
    ADMITTED_AFTER_RESTORE: Counter "quotum_admitted_after_restore_total" ["shard"]
        "Items admitted though their window contains a restore that accepted overruns.";
    RAFT_IS_LEADER: Gauge "quotum_raft_is_leader" ["shard"]
        "1 on the leader of the shard while a majority hears it, else 0.";
    RAFT_TERM: Gauge "quotum_raft_term" ["shard"]
        "The term of the shard.";
    RAFT_VOTERS: Gauge "quotum_raft_voters" ["shard"]
        "Counter nodes that vote in the shard, as this node knows.";
    RAFT_LAST_LOG_INDEX: Gauge "quotum_raft_last_log_index" ["shard"]
        "The index of the last entry in this node's log.";
    RAFT_COMMIT: Histogram "quotum_raft_commit_seconds" ["shard"] [DISK_SECONDS]
        "Time from proposing an entry to its commit.";
    RAFT_APPLY: Histogram "quotum_raft_apply_seconds" ["shard"] [DISK_SECONDS]
        "Time to apply one entry.";
    RAFT_BATCH: Histogram "quotum_raft_batch_decisions" ["shard"] [BATCH_SIZES]
        "Decisions in one log entry.";
    RAFT_APPEND: Histogram "quotum_raft_append_seconds" [] [DISK_SECONDS]
        "Time to write one batch to the log, with the sync where it has one.";
    RAFT_SYNC: Histogram "quotum_raft_sync_seconds" [] [DISK_SECONDS]
        "Time to sync the log to disk.";
    RAFT_SNAPSHOT: Histogram "quotum_raft_snapshot_seconds" ["shard"] [SNAPSHOT_SECONDS]
        "Time to write one snapshot.";
    RAFT_ELECTIONS: Counter "quotum_raft_election_total" ["shard"]
        "Elections that this node has started.";
    RAFT_LOG_BYTES: Gauge "quotum_raft_log_bytes" []
        "Bytes in use of this node's log on disk, which is one for all shards.";
    ENVOY_TOTAL_HITS: Counter "ratelimit_service_rate_limit_total_hits" ["domain", "key1", "key2"]
        "Units asked through Envoy's API.";
    ENVOY_WITHIN_LIMIT: Counter "ratelimit_service_rate_limit_within_limit" ["domain", "key1", "key2"]
        "Units admitted through Envoy's API.";
    ENVOY_NEAR_LIMIT: Counter "ratelimit_service_rate_limit_near_limit" ["domain", "key1", "key2"]
        "Units admitted through Envoy's API close to the limit.";
    ENVOY_OVER_LIMIT: Counter "ratelimit_service_rate_limit_over_limit" ["domain", "key1", "key2"]
        "Units denied through Envoy's API.";
    ENVOY_SHADOW_MODE: Counter "ratelimit_service_rate_limit_shadow_mode" ["domain", "key1", "key2"]
        "Units let through in shadow mode that a limit would have denied.";
    ENVOY_REQUESTS: Counter "ratelimit_service_total_requests" ["grpc_method"]
        "Requests through Envoy's API.";
    ENVOY_RESPONSE_TIME: Histogram "ratelimit_service_response_time_seconds" ["grpc_method"]
        [DECISION_SECONDS] "Time to answer a request through Envoy's API.";
    ENVOY_ERRORS: Counter "ratelimit_service_should_rate_limit_error" ["err_type"]
        "Requests through Envoy's API that failed.";
    ENVOY_DOMAIN_NOT_FOUND: Counter "ratelimit_service_rate_limit_domain_not_found" []
        "Requests through Envoy's API for a domain that no configuration names: they pass.";
    ENVOY_CONFIG_LOADED: Counter "ratelimit_service_config_load_success" []
        "Configurations of Envoy's API that were loaded.";
    ENVOY_CONFIG_REFUSED: Counter "ratelimit_service_config_load_error" []
        "Configurations of Envoy's API that were refused.";
    CONNECTIONS_OPEN: Gauge "quotum_connections_open" ["listener"]
        "Connections that are open.";
    CONNECTIONS_REFUSED: Counter "quotum_connections_refused_total" ["listener", "reason"]
        "Connections that were closed before their first request.";
    CALLS_REFUSED: Counter "quotum_calls_refused_total" ["listener", "reason"]
        "Calls between processes that were refused before any service saw them.";
    TLS_EXPIRY: Gauge "quotum_tls_certificate_expiry_timestamp_seconds" ["certificate"]
        "When the certificate in use expires, in seconds since 1970.";
    TLS_RELOADS: Counter "quotum_tls_reloads_total" ["certificate", "outcome"]
        "Changed files of certificates that were taken into use, or refused.";
    LABEL_OVERFLOW: Counter "quotum_label_overflow_total" ["bound"]
        "Names or label sets that became other because a bound was reached.";
    BUILD_INFO: Gauge "quotum_build_info" ["version", "revision"]
        "1, with what this process was built from.";
}
