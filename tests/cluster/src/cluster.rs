//! A cluster of counter nodes, each on a host of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use quotum_api::cluster::StatusResponse;
use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::poll;

use crate::limits::{HEAL_MAX, MEMBERS_MAX, READY_MAX};
use crate::network::{Host, Network};
use crate::node::Node;
use crate::secrets::Secrets;
use crate::shell;
use crate::status::{Asked, GROUP, group, leads};
use crate::tls::{Certificates, OPERATOR, Reach, Wire};

/// Nodes that form a cluster, or will.
#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<Node>,
    asked: Vec<Asked>,
    pub secrets: Secrets,
    /// `None`: everybody speaks plaintext.
    pub certificates: Option<Certificates>,
    program: PathBuf,
    /// Dropped last: hosts stand on it.
    pub network: Network,
}

// === impl Cluster ===

impl Cluster {
    /// So many nodes that do not run yet, and will speak plaintext.
    pub fn prepare(bench: &Bench, nodes: u8) -> Result<Self> {
        Self::prepare_over(bench, nodes, Wire::Plaintext)
    }

    pub fn prepare_over(bench: &Bench, nodes: u8, wire: Wire) -> Result<Self> {
        let certificates = match wire {
            Wire::Plaintext => None,
            Wire::Tls => Some(Certificates::new(bench.path("tls"))?),
        };
        let mut cluster = Self {
            nodes: Vec::new(),
            asked: Vec::new(),
            secrets: Secrets::write(&bench.path(""))?,
            certificates,
            program: bench.tools.quotum().to_owned(),
            network: Network::new()?,
        };
        for number in 1..=nodes {
            cluster.prepare_node(bench, number, Some(nodes))?;
        }
        Ok(cluster)
    }

    /// So many nodes that serve as one cluster.
    pub async fn start(bench: &Bench, nodes: u8) -> Result<Self> {
        let mut cluster = Self::prepare(bench, nodes)?;
        cluster.start_all().await?;
        Ok(cluster)
    }

    /// Starts every node, and returns when they serve.
    pub async fn start_all(&mut self) -> Result {
        for node in &mut self.nodes {
            node.start()?;
        }
        self.agreed(READY_MAX).await
    }

    /// Prepares a node that is no member yet.
    pub fn prepare_node(&mut self, bench: &Bench, number: u8, founders: Option<u8>) -> Result {
        let host = self.network.host(number)?;
        let mut node = Node::new(host, number, founders, &self.program, &self.secrets, bench)?;
        let mut reach = Reach::plaintext();
        if let Some(certificates) = &mut self.certificates {
            node.certificates = Some(certificates.add_node(&node.name(), &node.host)?);
            reach = certificates.operator();
        }
        let address = node.client_address();
        self.asked
            .push(Asked::new(number, address, &reach, &self.secrets)?);
        self.nodes.push(node);
        Ok(())
    }

    pub fn node(&mut self, number: u8) -> &mut Node {
        let found = self.nodes.iter_mut().find(|node| node.number == number);
        found.expect("scenarios name nodes that they made")
    }

    pub fn host(&self, number: u8) -> &Host {
        let found = self.nodes.iter().find(|node| node.number == number);
        &found.expect("scenarios name nodes that they made").host
    }

    pub fn metrics_url(&self, number: u8) -> String {
        let found = self.nodes.iter().find(|node| node.number == number);
        found
            .expect("scenarios name nodes that they made")
            .metrics_url()
    }

    pub fn peer_address(&self, number: u8) -> SocketAddr {
        let found = self.nodes.iter().find(|node| node.number == number);
        found
            .expect("scenarios name nodes that they made")
            .peer_address()
    }

    /// How many shards all nodes have.
    pub fn shards(&self) -> u32 {
        self.nodes.first().map_or(1, |node| node.shards)
    }

    /// All nodes.
    pub fn numbers(&self) -> Vec<u8> {
        self.nodes.iter().map(|node| node.number).collect()
    }

    /// All nodes but one.
    pub fn others(&self, number: u8) -> Vec<u8> {
        let mut numbers = self.numbers();
        numbers.retain(|other| *other != number);
        numbers
    }

    pub fn asked(&self) -> &[Asked] {
        &self.asked
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The statuses of those that answer.
    pub async fn statuses(&self) -> Vec<StatusResponse> {
        let mut statuses = Vec::new();
        for asked in &self.asked {
            statuses.extend(asked.status().await.ok());
        }
        statuses
    }

    /// The node that leads, by its own word and that of a majority of the voters.
    pub async fn leader(&self) -> Result<u8> {
        self.leader_but(&[]).await
    }

    /// The same of another group.
    pub async fn leader_of(&self, shard: &str) -> Result<u8> {
        self.leader_of_but(shard, &[]).await
    }

    /// The same, once it is none of `old`.
    pub async fn leader_but(&self, old: &[u8]) -> Result<u8> {
        self.leader_of_but(GROUP, old).await
    }

    async fn leader_of_but(&self, name: &str, old: &[u8]) -> Result<u8> {
        poll::until("a leader", HEAL_MAX, async || {
            let statuses = self.statuses().await;
            let leader = statuses.iter().find(|status| {
                let Some(shard) = group(status, name) else {
                    return false;
                };
                let follows = |other: &&StatusResponse| {
                    group(other, name).is_some_and(|group| {
                        (group.leader, group.term) == (status.node, shard.term)
                    })
                };
                let followers = statuses.iter().filter(follows).count();
                leads(status, name) && followers > shard.voters.len() / 2
            });
            let leader = leader.and_then(|status| u8::try_from(status.node).ok());
            Ok(leader.filter(|leader| !old.contains(leader)))
        })
        .await
    }

    /// Returns when every node that runs serves, and follows the same leader in every group.
    pub async fn agreed(&mut self, time_max: Duration) -> Result {
        let running = self.running()?;
        poll::until(
            "all nodes to agree on their leaders",
            time_max,
            async || {
                let statuses = self.statuses().await;
                let all = statuses.len() == running.len();
                let leaders = |status: &StatusResponse| -> Vec<(u64, u64)> {
                    let groups = status.shards.iter();
                    groups.map(|shard| (shard.leader, shard.term)).collect()
                };
                let first = statuses.first().map(leaders).unwrap_or_default();
                let has_all = !first.is_empty() && first.iter().all(|(leader, _)| *leader != 0);
                let agrees =
                    all && has_all && statuses.iter().all(|status| leaders(status) == first);
                Ok(agrees.then_some(()))
            },
        )
        .await
        .map_err(|failure| failure.during(format!("nodes {running:?}")))
    }

    /// Returns the final statuses when every node that runs has applied the same log. Nothing may
    /// be asked of the cluster meanwhile.
    pub async fn settled(&mut self) -> Result<Vec<StatusResponse>> {
        let running = self.running()?;
        poll::until("all nodes to apply the same log", HEAL_MAX, async || {
            let statuses = self.statuses().await;
            let ends = |status: &StatusResponse| -> Vec<u64> {
                let groups = status.shards.iter();
                groups.map(|shard| shard.applied_index).collect()
            };
            let first = statuses.first().map(ends).unwrap_or_default();
            let is_settled = statuses.len() == running.len()
                && statuses.iter().all(|status| {
                    let mut groups = status.shards.iter();
                    ends(status) == first
                        && groups.all(|shard| shard.applied_index == shard.last_log_index)
                });
            Ok(is_settled.then_some(statuses))
        })
        .await
        .map_err(|failure| failure.during(format!("nodes {running:?}")))
    }

    /// How those who ask for decisions connect.
    pub fn reach(&self) -> Reach {
        let certificates = self.certificates.as_ref();
        certificates.map_or(Reach::plaintext(), Certificates::caller)
    }

    /// Runs `quotum cluster ...` as an operator would.
    pub async fn command(&self, arguments: &[&str]) -> Result<String> {
        self.command_as(OPERATOR, arguments).await
    }

    /// The same as another operator, where there are certificates.
    pub async fn command_as(&self, operator: &str, arguments: &[&str]) -> Result<String> {
        let options = match &self.certificates {
            None => vec!["--insecure".into()],
            Some(certificates) => certificates.options(operator),
        };
        let addresses = self.asked.iter().map(|asked| asked.node);
        let addresses = addresses.map(|node| {
            let node = self.nodes.iter().find(|one| one.number == node);
            node.map_or(String::new(), |node| node.client_address().to_string())
        });
        let mut command = Command::new("timeout");
        command
            .arg(MEMBERS_MAX.as_secs().to_string())
            .arg(&self.program)
            .args(arguments)
            .args(["--address", &addresses.collect::<Vec<_>>().join(",")])
            .args(options)
            .arg("--admin-token-file")
            .arg(&self.secrets.token_file);
        tokio::task::spawn_blocking(move || shell::run(&mut command)).await?
    }

    /// Ends a node that is a member no more.
    pub fn discard(&mut self, number: u8) -> Result {
        self.asked.retain(|asked| asked.node != number);
        let ended = self.node(number).end()?;
        self.nodes.retain(|node| node.number != number);
        ensure!(ended, "node {number} did not end when it was asked to");
        Ok(())
    }

    /// Ends every node, as an operator would, and tells where their data is.
    pub fn end(&mut self) -> Result<Vec<PathBuf>> {
        for node in &mut self.nodes {
            ensure!(
                node.end()?,
                "{} did not end when it was asked to",
                node.name()
            );
        }
        Ok(self.nodes.iter().map(Node::data).collect())
    }

    fn running(&mut self) -> Result<Vec<u8>> {
        let running = self.nodes.iter_mut().filter_map(|node| {
            let runs = node.is_running();
            runs.then_some(node.number)
        });
        let running: Vec<u8> = running.collect();
        ensure!(!running.is_empty(), "no node runs");
        Ok(running)
    }
}

/// Fails if a process is gone that should be there.
pub fn all_run(cluster: &mut Cluster) -> Result {
    for node in &mut cluster.nodes {
        if !node.is_running() {
            return Err(Failure::new(format!("{} has ended", node.name())));
        }
    }
    Ok(())
}
