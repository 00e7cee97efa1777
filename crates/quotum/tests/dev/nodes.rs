//! Counter nodes that nothing but their command lines configures.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::cluster::until;

const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NODES: usize = 3;
/// Unoptimized, on a busy machine.
pub(crate) const START_MAX: Duration = Duration::from_secs(45);

/// A node, killed when this is dropped.
pub(crate) struct Node(Child);

impl Node {
    /// Starts one of as many as `peers` are, with more settings in its environment.
    pub(crate) fn start(
        folder: &Path,
        ports: &[u16; 3],
        peers: &str,
        settings: &[(&str, String)],
    ) -> Self {
        let [client, peer, admin] = ports.map(|port| format!("127.0.0.1:{port}"));
        let expect = peers.split(',').count().to_string();
        let log = folder.join(format!("{}.log", ports[0]));
        let child = quotum()
            .args(["counter", "--bootstrap-expect", &expect, "--peers", peers])
            .args(["--advertise", "localhost", "--exit-with-stdin", "--data"])
            .arg(folder.join(ports[0].to_string()))
            .args(["--listen", &client, "--peer-listen", &peer])
            .args(["--admin-listen", &admin])
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(log).unwrap())
            .spawn();
        Self(child.unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn quotum() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotum"));
    command
        .env("QUOTUM_SECRET_KEY", SECRET)
        .env("QUOTUM_ADMIN_TOKEN", SECRET);
    command
}

/// Ports that nobody listens on: all are held until the last is drawn.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

#[test]
fn nodes_start_a_cluster_by_their_command_lines_alone() {
    let folder = tempfile::tempdir().unwrap();
    let drawn: [u16; 3 * NODES] = free_ports();
    let (ports, []) = drawn.as_chunks::<3>() else {
        panic!("three for each")
    };
    let peers: Vec<String> = ports
        .iter()
        .map(|ports| format!("localhost:{}", ports[1]))
        .collect();
    let peers = peers.join(",");
    let _nodes: Vec<Node> = ports
        .iter()
        .map(|ports| Node::start(folder.path(), ports, &peers, &[]))
        .collect();
    let address = format!("127.0.0.1:{}", ports[0][0]);
    let mut told = Value::Null;
    until("the nodes to be one cluster", START_MAX, || {
        let output = quotum()
            .args([
                "cluster",
                "status",
                "--output",
                "json",
                "--address",
                &address,
            ])
            .output()
            .unwrap();
        told = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let voters = told["shards"][0]["voters"].as_array();
        voters.is_some_and(|voters| voters.len() == NODES)
    });
    let nodes = told["nodes"].as_array().unwrap();
    let at: Vec<&str> = nodes
        .iter()
        .filter_map(|node| node["peer_address"].as_str())
        .collect();
    assert_eq!(at.len(), NODES, "{told}");
    assert!(peers.split(',').all(|peer| at.contains(&peer)), "{told}");
}
