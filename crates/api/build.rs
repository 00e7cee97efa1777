//! Generates the types from `proto/`, with a protobuf compiler in Rust: no protoc is needed.

use std::path::Path;

use prost::Message;

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
    reflect(descriptors.clone())?;
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

/// Writes what the services tell of themselves: all but the comments.
#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script by its environment where to write"
)]
fn reflect(
    mut descriptors: prost_types::FileDescriptorSet,
) -> Result<(), Box<dyn std::error::Error>> {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    let folder = std::env::var("OUT_DIR")?;
    std::fs::write(
        Path::new(&folder).join("descriptors.bin"),
        descriptors.encode_to_vec(),
    )?;
    Ok(())
}
