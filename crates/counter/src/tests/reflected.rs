//! What a reflection client sees.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::FileDescriptorProto;
use quotum_telemetry::EnvoyMetrics;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::*;

const ALWAYS: [&str; 5] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "quotum.cluster.v1.Cluster",
    "quotum.counter.v1.Counter",
    "quotum.registry.v1.Registry",
];
const RATE_LIMITS: [&str; 2] = [
    "envoy.service.ratelimit.v3.RateLimitService",
    "kuadrant.service.ratelimit.v1.RateLimitService",
];

async fn ask(cluster: &Cluster, question: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut client = ServerReflectionClient::new(cluster.channel(0));
    let answers = client.server_reflection_info(tokio_stream::iter([request]));
    let mut answers = answers.await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    answer.message_response.unwrap()
}

async fn services(cluster: &Cluster) -> BTreeSet<String> {
    let question = MessageRequest::ListServices(String::new());
    let MessageResponse::ListServicesResponse(list) = ask(cluster, question).await else {
        panic!("no list");
    };
    list.service
        .into_iter()
        .map(|service| service.name)
        .collect()
}

/// The methods of a service, by the file that it is described in.
async fn methods(cluster: &Cluster, service: &str) -> Vec<String> {
    let question = MessageRequest::FileContainingSymbol(service.to_owned());
    let MessageResponse::FileDescriptorResponse(files) = ask(cluster, question).await else {
        panic!("{service} is not described");
    };
    let name = service.rsplit('.').next().unwrap();
    let file = FileDescriptorProto::decode(&files.file_descriptor_proto[0][..]).unwrap();
    let found = file.service.into_iter().find(|found| found.name() == name);
    let methods = found.unwrap().method;
    methods
        .iter()
        .map(|method| method.name().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reflection_client_sees_what_is_served() {
    let plain = Cluster::start(1).await;
    let always = BTreeSet::from(ALWAYS.map(str::to_owned));
    assert_eq!(services(&plain).await, always);
    assert!(
        methods(&plain, ALWAYS[3])
            .await
            .contains(&"Acquire".to_owned())
    );
    let unknown = MessageRequest::FileContainingSymbol("no.such.Service".to_owned());
    let mut client = ServerReflectionClient::new(plain.channel(0));
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(unknown),
    };
    let answers = client.server_reflection_info(tokio_stream::iter([request]));
    let refused = answers.await.unwrap().into_inner().message().await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    // A question is a name: what is longer is refused unread.
    let question = MessageRequest::FileContainingSymbol("x".repeat(64 << 10));
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let answers = client.server_reflection_info(tokio_stream::iter([request]));
    let refused = async { answers.await?.into_inner().message().await };
    assert!(!matches!(refused.await, Ok(Some(_))));
    plain.stop().await;

    let limited = Cluster::start_limited(1, |exposition| {
        Some(Envoy {
            config: tokio::sync::watch::Sender::new(None).subscribe(),
            headers: None,
            metrics: EnvoyMetrics::new(exposition),
        })
    });
    let limited = limited.await;
    let mut all = always;
    all.extend(RATE_LIMITS.map(str::to_owned));
    assert_eq!(services(&limited).await, all);
    let methods = methods(&limited, RATE_LIMITS[0]).await;
    assert_eq!(methods, ["ShouldRateLimit"]);
    limited.stop().await;
}
