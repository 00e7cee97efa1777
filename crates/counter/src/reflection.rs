//! `grpc.reflection.v1`: what a node serves its clients, for tools such as grpcurl.
//!
//! Promises: names what the port of the clients serves and nothing else; the services of other nodes
//! are not named.

use quotum_api::FILE_DESCRIPTOR_SET;
use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use crate::limits::REFLECTION_BYTES_MAX;
use crate::roles::{CLUSTER, COUNTER, ENVOY, HEALTH, KUADRANT, REFLECTION, REGISTRY};

/// Tells of the services; of the rate-limit API where it is served.
pub(crate) fn service(has_rate_limits: bool) -> ServerReflectionServer<impl ServerReflection> {
    let always: &[&str] = &[HEALTH, REFLECTION, COUNTER, REGISTRY, CLUSTER];
    let rate_limits: &[&str] = match has_rate_limits {
        true => &[ENVOY, KUADRANT],
        false => &[],
    };
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    let names = always.iter().chain(rate_limits);
    let builder = names.fold(builder, |builder, name| builder.with_service_name(*name));
    let service = builder.build_v1().expect("the build made the descriptors");
    service.max_decoding_message_size(REFLECTION_BYTES_MAX)
}
