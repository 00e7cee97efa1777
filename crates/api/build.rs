//! Generates the types from `proto/`, with a protobuf compiler in Rust: no protoc is needed.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let files = ["counter", "registry", "cluster", "peer"]
        .map(|name| root.join(format!("quotum/{name}/v1/{name}.proto")));
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let descriptors = protox::compile(&files, [&root])?;
    let mut prost = tonic_prost_build::Config::new();
    // Payloads are shared between the wire, the log and the state machine.
    prost.bytes(["."]);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, prost)?;
    Ok(())
}
