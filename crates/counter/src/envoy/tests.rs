use futures_util::poll;
use quotum_api::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use quotum_api::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::{
    Entry, RateLimitOverride,
};
use quotum_api::envoy::service::ratelimit::v3::rate_limit_response::{Code, DescriptorStatus};
use quotum_api::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use quotum_api::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use quotum_api::kuadrant::service::ratelimit::v1::rate_limit_service_client as kuadrant;
use quotum_descriptor::{Asked, Entry as Named, File, Plan, Request};
use quotum_limit::Route;
use quotum_replica::Channels;
use quotum_telemetry::label::Api;
use quotum_telemetry::{CounterMetrics, Exposition};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;

use super::*;
use crate::counter::CounterService;
use crate::decide::Decider;
use crate::dialer;
use crate::tests::{Cluster, PATIENCE};

const FILE: &str = "
domain: shop
descriptors:
  - key: user
    rate_limit: {unit: year, requests_per_unit: 30, name: per-user}
  - key: path
    value: /pay*
    share_threshold: true
    metadata: {tier: gold}
    rate_limit: {unit: hour, requests_per_unit: 2}
  - key: tokens
    rate_limit: {unit: year, requests_per_unit: 100}
  - key: open
    rate_limit: {unlimited: true}
  - key: spent
    x_takes_rest: true
    rate_limit: {unit: year, requests_per_unit: 100}
";

fn config() -> Config {
    let file = File {
        name: "shop.yaml".into(),
        text: FILE.into(),
    };
    Config::parse(&[file], 1).unwrap()
}

fn envoy(exposition: &Exposition) -> Envoy {
    let names = ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"];
    Envoy {
        config: watch::Sender::new(Some(Arc::new(config()))).subscribe(),
        headers: Some(HeaderNames::new(names).unwrap()),
        metrics: EnvoyMetrics::new(exposition),
    }
}

async fn start(nodes: u64) -> Cluster {
    Cluster::start_limited(nodes, |exposition| Some(envoy(exposition))).await
}

fn client(cluster: &Cluster, node: usize) -> RateLimitServiceClient<Channel> {
    RateLimitServiceClient::new(cluster.channel(node))
}

fn descriptor(key: &str, value: &str) -> RateLimitDescriptor {
    RateLimitDescriptor {
        entries: vec![Entry {
            key: key.into(),
            value: value.into(),
        }],
        ..Default::default()
    }
}

fn request(descriptors: &[(&str, &str)]) -> RateLimitRequest {
    let descriptors = descriptors.iter();
    RateLimitRequest {
        domain: "shop".into(),
        descriptors: descriptors
            .map(|(key, value)| descriptor(key, value))
            .collect(),
        hits_addend: 0,
    }
}

async fn ask(cluster: &Cluster, node: usize, request: RateLimitRequest) -> RateLimitResponse {
    let answer = client(cluster, node).should_rate_limit(request).await;
    answer.unwrap().into_inner()
}

fn requests(status: &DescriptorStatus) -> u32 {
    let limit = status.current_limit.as_ref();
    limit.expect("the status has its limit").requests_per_unit
}

/// The sum over all nodes of the figures of a line of metrics.
fn figure(cluster: &Cluster, line: &str) -> f64 {
    let shown: String = cluster.expositions.iter().map(Exposition::render).collect();
    let figures = shown.lines().filter_map(|text| text.strip_prefix(line));
    figures
        .map(|text| text.trim().parse::<f64>().unwrap())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_together_admit_exactly_the_limit() {
    let cluster = start(3).await;
    let calls = (0..90).map(|call| {
        let mut client = client(&cluster, call % 3);
        let request = request(&[("user", "u"), ("open", "x"), ("none", "x")]);
        tokio::spawn(async move { client.should_rate_limit(request).await })
    });
    let mut admitted = 0;
    for call in calls.collect::<Vec<_>>() {
        let answer = call.await.unwrap().unwrap().into_inner();
        assert_ne!(answer.overall_code(), Code::Unknown);
        admitted += usize::from(answer.overall_code() == Code::Ok);
        let [user, open, none] = &answer.statuses[..] else {
            panic!("{answer:?}")
        };
        assert_eq!(requests(user), 30);
        assert_eq!(user.current_limit.as_ref().unwrap().name, "per-user");
        assert!(user.duration_until_reset.is_some());
        assert_eq!(user.code(), answer.overall_code());
        assert_eq!((open.code(), open.limit_remaining), (Code::Ok, u32::MAX));
        assert_eq!(none.code(), Code::Ok);
        let names: Vec<_> = answer
            .response_headers_to_add
            .iter()
            .map(|h| h.key.as_str())
            .collect();
        assert_eq!(
            names,
            ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]
        );
    }
    assert_eq!(admitted, 30);
    let shard = Route::of(b"shop").shard(2);
    let decided = |outcome: &str| {
        let labels = format!("shard=\"{shard}\",api=\"envoy\",outcome=\"{outcome}\"");
        figure(
            &cluster,
            &format!("quotum_counter_decisions_total{{{labels}}}"),
        )
    };
    assert_eq!((decided("admitted"), decided("denied")), (30.0, 60.0));
    let user = |name: &str| {
        let labels = "domain=\"shop\",key1=\"user\",key2=\"\"";
        figure(
            &cluster,
            &format!("ratelimit_service_rate_limit_{name}{{{labels}}}"),
        )
    };
    assert_eq!(user("total_hits"), 90.0);
    assert_eq!(user("within_limit"), 30.0);
    assert_eq!(user("near_limit"), 6.0);
    assert_eq!(user("over_limit"), 60.0);
    let method = "{grpc_method=\"ShouldRateLimit\"}";
    let asked = format!("ratelimit_service_total_requests{method}");
    assert_eq!(figure(&cluster, &asked), 90.0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_request_takes_nothing_of_its_other_limits() {
    let cluster = start(3).await;
    for (node, path) in [(0, "/pay/a"), (1, "/pay/b")] {
        let answer = ask(&cluster, node, request(&[("user", "u"), ("path", path)])).await;
        assert_eq!(answer.overall_code(), Code::Ok);
        let metadata = answer.dynamic_metadata.expect("the limit has metadata");
        assert!(format!("{metadata:?}").contains("gold"));
    }
    let answer = ask(&cluster, 2, request(&[("user", "u"), ("path", "/pay/c")])).await;
    assert_eq!(answer.overall_code(), Code::OverLimit);
    let codes: Vec<_> = answer.statuses.iter().map(DescriptorStatus::code).collect();
    assert_eq!(codes, [Code::Ok, Code::OverLimit]);
    let left: Vec<_> = answer
        .statuses
        .iter()
        .map(|status| status.limit_remaining)
        .collect();
    assert_eq!(left, [28, 0]);
    assert_eq!(
        answer.response_headers_to_add[0].value, "2",
        "of the limit that is over"
    );
    assert_eq!(answer.dynamic_metadata, None);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hits_and_limits_of_a_request_count_in_place_of_the_usual() {
    let cluster = start(1).await;
    let mut five = request(&[("user", "u"), ("user", "v")]);
    five.hits_addend = 5;
    five.descriptors[1].hits_addend = Some(7);
    let left = |answer: &RateLimitResponse| {
        let statuses = answer.statuses.iter();
        statuses
            .map(|status| status.limit_remaining)
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&ask(&cluster, 0, five).await), [25, 23]);
    let mut look = request(&[("user", "u")]);
    look.descriptors[0].hits_addend = Some(0);
    assert_eq!(left(&ask(&cluster, 0, look.clone()).await), [25]);
    look.descriptors[0].hits_addend = Some(3);
    look.descriptors[0].is_negative_hits = true;
    assert_eq!(
        left(&ask(&cluster, 0, look).await),
        [25],
        "nothing is given back"
    );
    let mut own = request(&[("user", "u")]);
    own.descriptors[0].limit = Some(RateLimitOverride {
        requests_per_unit: 1,
        unit: 4,
    });
    assert_eq!(ask(&cluster, 0, own.clone()).await.overall_code(), Code::Ok);
    let over = ask(&cluster, 0, own).await;
    assert_eq!(over.overall_code(), Code::OverLimit);
    assert_eq!(requests(&over.statuses[0]), 1);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_decided_is_an_error_and_never_unknown() {
    let cluster = start(1).await;
    let mut client = client(&cluster, 0);
    let mut nowhere = request(&[("user", "u")]);
    nowhere.domain = String::new();
    let mut unit = request(&[("user", "u")]);
    unit.descriptors[0].limit = Some(RateLimitOverride {
        requests_per_unit: 1,
        unit: 0,
    });
    for (request, place) in [
        (nowhere, "domain"),
        (request(&[]), "descriptors"),
        (request(&[("", "u")]), "descriptors[0].entries[0].key"),
        (unit, "descriptors[0].limit.unit"),
    ] {
        let status = client.should_rate_limit(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status}");
        assert!(status.message().contains(place), "{place}: {status}");
    }
    let mut elsewhere = request(&[("user", "u")]);
    elsewhere.domain = "elsewhere".into();
    let answer = ask(&cluster, 0, elsewhere).await;
    assert_eq!(answer.overall_code(), Code::Ok);
    assert_eq!(answer.statuses[0].code(), Code::Ok);
    let not_found = "ratelimit_service_rate_limit_domain_not_found";
    assert_eq!(figure(&cluster, not_found), 1.0);
    let error = "ratelimit_service_should_rate_limit_error{err_type=\"service_error\"}";
    assert_eq!(figure(&cluster, error), 4.0);
    cluster.stop().await;
    let unconfigured = Cluster::start_limited(1, |exposition| {
        Some(Envoy {
            config: watch::Sender::new(None).subscribe(),
            ..envoy(exposition)
        })
    });
    let cluster = unconfigured.await;
    let mut client = RateLimitServiceClient::new(cluster.channel(0));
    let status = client
        .should_rate_limit(request(&[("user", "u")]))
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kuadrant_looks_and_reports_apart() {
    let cluster = start(3).await;
    let asking = |node: usize, hits| {
        let client = kuadrant::RateLimitServiceClient::new(cluster.channel(node));
        let mut request = request(&[("tokens", "t"), ("user", "u")]);
        request.hits_addend = hits;
        (client, request)
    };
    for _ in 0..3 {
        let (mut client, request) = asking(0, 1);
        let answer = client.check_rate_limit(request).await.unwrap().into_inner();
        assert_eq!(answer.overall_code(), Code::Ok);
        assert_eq!(
            answer.statuses[0].limit_remaining, 100,
            "looking takes nothing"
        );
    }
    for (hits, tokens, user) in [(20, 80, 10), (90, 80, 10)] {
        let (mut client, request) = asking(1, hits);
        let answer = client.report(request).await.unwrap().into_inner();
        assert_eq!(answer.overall_code(), Code::Ok);
        let left: Vec<_> = answer.statuses.iter().map(|s| s.limit_remaining).collect();
        assert_eq!(
            left,
            [tokens, user],
            "as the report found them where it did not fit"
        );
    }
    let (mut client, request) = asking(2, 1);
    let answer = client.check_rate_limit(request).await.unwrap().into_inner();
    assert_eq!(answer.overall_code(), Code::OverLimit);
    let left: Vec<_> = answer.statuses.iter().map(|s| s.limit_remaining).collect();
    assert_eq!(left, [0, 0], "what did not fit has used up the rest");
    let shard = Route::of(b"shop").shard(2);
    let denied = format!("shard=\"{shard}\",api=\"kuadrant\",outcome=\"denied\"");
    assert_eq!(
        figure(
            &cluster,
            &format!("quotum_counter_decisions_total{{{denied}}}")
        ),
        1.0
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hits_that_have_happened_use_up_the_rest() {
    let cluster = start(1).await;
    let spent = |hits| {
        let mut request = request(&[("spent", "tokens")]);
        request.descriptors[0].hits_addend = Some(hits);
        request
    };
    for (hits, expected) in [
        (0, Code::Ok),
        (70, Code::Ok),
        (0, Code::Ok),
        (70, Code::OverLimit),
        (0, Code::OverLimit),
    ] {
        let answer = ask(&cluster, 0, spent(hits)).await;
        assert_eq!(answer.overall_code(), expected, "{hits}: {answer:?}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_waits_for_is_given_back() {
    let cluster = start(3).await;
    let build = quotum_telemetry::BuildInfo {
        version: "t".into(),
        revision: "t".into(),
    };
    let exposition = Exposition::new(&build);
    let metrics = CounterMetrics::new(&exposition, 2);
    let leaders = Arc::new(Channels::new(dialer()));
    let refunding = TaskTracker::new();
    let stop = CancellationToken::new();
    let shard = Route::of(b"shop").shard(2);
    let config = config();
    let asked = Request {
        domain: "shop",
        descriptors: vec![Asked {
            entries: vec![Named {
                key: "user",
                value: "u",
            }],
            limit: None,
            hits: 3,
        }],
    };
    let items = Plan::new(&config, &asked).unwrap().items;
    // Of three nodes one leads the shard, and two pass on.
    for server in &cluster.servers {
        let decider = Decider::new(server.node().clone(), leaders.clone(), metrics.clone());
        let counter = CounterService::new(decider);
        let refund = counter.clone().refund_abandoned();
        refunding.spawn(stop.clone().run_until_cancelled_owned(refund));
        let asker = Asker::new(counter);
        asker.take(shard, &items, Api::Envoy).await.unwrap().keep();
        drop(asker.take(shard, &items, Api::Envoy).await.unwrap());
        {
            let mut taking = Box::pin(asker.take(shard, &items, Api::Envoy));
            assert!(poll!(&mut taking).is_pending());
        }
    }
    let given_back = format!("quotum_refunds_total{{shard=\"{shard}\",reason=\"abandoned\"}} 6");
    let refunded = async {
        while !exposition.render().contains(&given_back) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refunded)
        .await
        .expect("all are given back");
    stop.cancel();
    refunding.close();
    refunding.wait().await;
    let answer = ask(&cluster, 0, request(&[("user", "u")])).await;
    assert_eq!(answer.statuses[0].limit_remaining, 30 - 9 - 1);
    cluster.stop().await;
}
