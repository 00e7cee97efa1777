//! Generates the types from `proto/`, with a protobuf compiler in Rust: no protoc is needed.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Relative to this package: an absolute path would stay that of the checkout in which this script
    // was compiled, wherever its target directory is copied to.
    let root = Path::new("../../proto");
    let files = ["counter", "registry", "cluster", "peer"]
        .map(|name| root.join(format!("quotum/{name}/v1/{name}.proto")));
    let others = [
        "envoy/service/ratelimit/v3/rls.proto",
        "envoy/extensions/common/ratelimit/v3/ratelimit.proto",
        "envoy/type/v3/ratelimit_unit.proto",
        "envoy/config/core/v3/base.proto",
        "kuadrant/service/ratelimit/v1/ratelimit.proto",
    ]
    .map(|path| root.join(path));
    let files = [&files[..], &others[..]].concat();
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let descriptors = protox::compile(&files, [root])?;
    let mut prost = tonic_prost_build::Config::new();
    // Payloads are shared between the wire, the log and the state machine.
    prost.bytes(["."]);
    // Written by hand: see `src/decided.rs` and `src/request.rs`.
    prost.extern_path(".quotum.counter.v1.Decided", "crate::decided::Decided");
    prost.extern_path(
        ".quotum.counter.v1.DecideRequest",
        "crate::request::DecideRequest",
    );
    tonic_prost_build::configure().compile_fds_with_config(descriptors, prost)?;
    Ok(())
}
