use super::*;
use crate::exposition::BuildInfo;
use crate::exposition_lint::lint;

fn exposition() -> Exposition {
    Exposition::new(&BuildInfo {
        version: "1.2.3".to_owned(),
        revision: "abc".to_owned(),
    })
}

fn denied<'a>(server: &'a str, tool: Option<&'a str>) -> DecisionLabels<'a> {
    DecisionLabels {
        server,
        tool,
        outcome: Outcome::Denied,
        reason: Reason::Limit,
        path: Path::Exact,
    }
}

#[test]
fn a_fresh_gateway_shows_its_closed_label_sets_at_zero() {
    let exposition = exposition();
    let _metrics = GatewayMetrics::new(&exposition);
    let metrics = lint(&exposition.render());
    let refused = &metrics["quotum_requests_refused_total"].samples;
    assert_eq!(refused.len(), Stage::ALL.len() * StatusClass::ALL.len());
    assert!(refused.values().all(|value| *value == 0.0));
    let durations = &metrics["quotum_decision_duration_seconds"];
    assert_eq!(durations.kind, "histogram");
    let buckets = catalog::DECISION_DURATION.buckets.len() + 1;
    assert_eq!(durations.samples.len(), Path::ALL.len() * (buckets + 2));
    for name in ["quotum_registry_revision", "quotum_build_info"] {
        assert!(metrics.contains_key(name), "{name}");
    }
}

#[test]
fn everything_that_a_gateway_records_passes_the_lint() {
    let exposition = exposition();
    let metrics = GatewayMetrics::new(&exposition);
    let second = Duration::from_secs(1);
    metrics.decision(&denied("demo", Some("send\"\n\\")), second);
    metrics.decision(&denied("demo", None), Duration::from_micros(3));
    metrics.grant_decision("demo", "alice@example.com", Outcome::Allowed);
    metrics.refused(Stage::Auth, 401);
    metrics.limit_near("demo", Some("send"), "send_rate");
    metrics.limit_near("demo", None, "send_rate");
    metrics.request("demo", Method::ToolsCall, 200, second);
    metrics.upstream("demo", Method::ToolsCall, 0, second);
    metrics.refund(Shard::Counters(3), RefundReason::NotExecuted);
    metrics.refund(Shard::Counters(u32::MAX), RefundReason::Abandoned);
    metrics.refund(Shard::Registry, RefundReason::Abandoned);
    metrics.registry(12, second);
    let text = exposition.render();
    let exposed = lint(&text);
    for line in [
        r#"quotum_decisions_total{server="demo",tool="send___",outcome="denied",reason="limit",path="exact"} 1"#,
        r#"quotum_decisions_total{server="demo",tool="unknown",outcome="denied",reason="limit",path="exact"} 1"#,
        r#"quotum_grant_decisions_total{server="demo",grant="alice@example.com",outcome="allowed"} 1"#,
        r#"quotum_requests_refused_total{stage="auth",status_class="4xx"} 1"#,
        r#"quotum_limit_near_total{server="demo",tool="send",counter="send_rate"} 1"#,
        r#"quotum_limit_near_total{server="demo",tool="unknown",counter="send_rate"} 1"#,
        r#"quotum_refunds_total{shard="3",reason="not_executed"} 1"#,
        r#"quotum_refunds_total{shard="other",reason="abandoned"} 1"#,
        r#"quotum_refunds_total{shard="registry",reason="abandoned"} 1"#,
        "quotum_registry_revision 12",
        "quotum_registry_age_seconds 1",
        r#"quotum_build_info{version="1.2.3",revision="abc"} 1"#,
        r#"quotum_decision_duration_seconds_count{path="exact"} 2"#,
        r#"quotum_decision_duration_seconds_bucket{path="exact",le="0.000005"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert_eq!(
        exposed["quotum_upstream_duration_seconds"].kind,
        "histogram"
    );
}

#[test]
fn a_million_random_names_make_a_bounded_number_of_series() {
    let exposition = exposition();
    let metrics = GatewayMetrics::new(&exposition);
    let (mut state, mut server, mut tool) = (1u64, String::new(), String::new());
    let mut random = |text: &mut String| {
        use std::fmt::Write;
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.clear();
        write!(text, "n{:x}", state >> 20).unwrap();
    };
    for number in 0..1_000_000u32 {
        random(&mut server);
        random(&mut tool);
        let mut labels = denied(&server, Some(&tool));
        labels.reason = Reason::ALL[number as usize % Reason::ALL.len()];
        metrics.decision(&labels, Duration::ZERO);
        if number % 16 == 0 {
            metrics.limit_near(&server, Some(&tool), &tool);
            metrics.grant_decision(&server, &tool, Outcome::Allowed);
            metrics.request(&server, Method::ToolsCall, 200, Duration::ZERO);
        }
        if number % 65_536 == 0 {
            exposition.upkeep();
        }
    }
    let exposed = lint(&exposition.render());
    let overflow = Outcome::ALL.len() * Reason::ALL.len() * Path::ALL.len();
    let decisions = &exposed["quotum_decisions_total"].samples;
    assert!(
        decisions.len() <= COUNTER_SERIES_MAX + overflow,
        "{}",
        decisions.len()
    );
    assert_eq!(decisions.values().sum::<f64>(), 1_000_000.0);
    assert!(exposed["quotum_limit_near_total"].samples.len() <= COUNTER_SERIES_MAX + 1);
    assert!(exposed["quotum_grant_decisions_total"].samples.len() <= COUNTER_SERIES_MAX + 5);
    let requests = &exposed["quotum_gateway_request_duration_seconds"].samples;
    let buckets = catalog::GATEWAY_REQUEST_DURATION.buckets.len() + 3;
    assert!(
        requests.len() <= (HISTOGRAM_SERIES_MAX + 1) * buckets,
        "{}",
        requests.len()
    );
    let overflows = &exposed["quotum_label_overflow_total"].samples;
    assert!(overflows.values().sum::<f64>() > 900_000.0);
}
