//! The course of a scenario: a cluster under load and under watch, faults, healing, and a verdict
//! on the whole history.

use std::path::Path;
use std::time::Duration;

use quotum_api::cluster::StatusResponse;
use quotum_checker::history::{Edge, Phase, What};
use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::metrics::Figures;
use quotum_e2e::poll;

use crate::cluster::{self, Cluster};
use crate::front::Front;
use crate::limits::{FAILOVER_MAX, HEAL_MAX, READY_MAX, SMALL_SEGMENT_BYTES};
use crate::load::{Demand, Load};
use crate::recorder::Recorder;
use crate::tls::{Certificates, Wire};
use crate::verdict::Evidence;
use crate::watch::{self, Sight, Watch};

/// Before the first fault, and after the last: long enough for whole windows of most counters.
pub const CALM: Duration = Duration::from_secs(6);

/// A scenario in progress.
#[derive(Debug)]
pub struct Course<'a> {
    pub bench: &'a Bench,
    pub recorder: Recorder,
    watch: Watch,
    load: Load,
    /// From when to when nothing was broken.
    calm_us: Vec<(u64, u64)>,
    pub cluster: Cluster,
}

/// A fault that is on.
#[derive(Debug)]
pub struct Fault {
    name: &'static str,
    nodes: Vec<u8>,
    pub since_us: u64,
}

// === impl Course ===

impl<'a> Course<'a> {
    /// A cluster of so many nodes, which has served in peace for a while.
    pub async fn start(bench: &'a Bench, name: &str, nodes: u8) -> Result<Self> {
        let cluster = Cluster::start(bench, nodes).await?;
        Self::of(bench, name, cluster).await
    }

    /// The same with nodes and clients that speak in this way.
    pub async fn start_over(bench: &'a Bench, name: &str, nodes: u8, wire: Wire) -> Result<Self> {
        let mut cluster = Cluster::prepare_over(bench, nodes, wire)?;
        cluster.start_all().await?;
        Self::of(bench, name, cluster).await
    }

    /// The same with a cluster that was started with something about it.
    pub async fn of(bench: &'a Bench, name: &str, cluster: Cluster) -> Result<Self> {
        Self::under(bench, name, cluster, Demand::USUAL).await
    }

    /// The same under another load.
    pub async fn under(
        bench: &'a Bench,
        name: &str,
        cluster: Cluster,
        demand: Demand,
    ) -> Result<Self> {
        let recorder = Recorder::start(name);
        let nodes: Vec<_> = cluster
            .nodes
            .iter()
            .map(|node| node.client_address())
            .collect();
        let mut course = Self {
            bench,
            watch: Watch::start(cluster.asked().to_vec(), &recorder),
            load: Load::start(&nodes, cluster.reach(), cluster.shards(), demand, &recorder)?,
            recorder,
            calm_us: Vec::new(),
            cluster,
        };
        course.decided_after(0, READY_MAX).await?;
        course.calm().await;
        course.recorder.phase(Phase::Faults);
        Ok(course)
    }

    /// Lets time pass under load.
    pub async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Lets time pass in which nothing is broken.
    async fn calm(&mut self) {
        let from_us = self.recorder.now_us();
        self.pass(CALM).await;
        self.calm_us.push((from_us, self.recorder.now_us()));
    }

    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Where log time was, as the watch saw it so far.
    pub fn sights(&self) -> Vec<Sight> {
        self.watch.sights()
    }

    /// A fault begins.
    pub fn begin(&self, name: &'static str, nodes: &[u8]) -> Fault {
        Fault {
            name,
            nodes: nodes.to_vec(),
            since_us: self.recorder.fault(name, nodes, Edge::Begin),
        }
    }

    /// A fault is over.
    pub fn end(&self, fault: &Fault) -> u64 {
        self.recorder.fault(fault.name, &fault.nodes, Edge::End)
    }

    /// Waits for the first decision on a request that was sent after an instant, and tells how long
    /// after that instant it came.
    pub async fn decided_after(&self, at_us: u64, time_max: Duration) -> Result<Duration> {
        let recorder = &self.recorder;
        poll::until("a decision", time_max, async || {
            Ok(recorder.first_decision_after(at_us))
        })
        .await
    }

    /// Waits for a decision after a leader was just lost, which must come soon.
    pub async fn failed_over(&self, fault: &Fault) -> Result {
        let after = self.decided_after(self.recorder.now_us(), HEAL_MAX).await?;
        self.bench
            .note(&format!("first decision {after:?} after: {}", fault.name));
        ensure!(
            after <= FAILOVER_MAX,
            "the first decision came {after:?} after: {}",
            fault.name
        );
        Ok(())
    }

    /// Replaces files of certificates, if there are any, of all processes, and returns when each node
    /// that runs and each gateway has taken all that it has.
    pub async fn replace(
        &mut self,
        front: Option<&Front>,
        replace: impl FnOnce(&mut Certificates) -> Result,
    ) -> Result {
        let Some(certificates) = &mut self.cluster.certificates else {
            return Ok(());
        };
        let nodes = self.cluster.nodes.iter_mut();
        let nodes = nodes.filter_map(|node| node.is_running().then(|| node.metrics_url()));
        // A node shows one certificate to clients and one to peers.
        let mut awaited: Vec<(String, f64)> = nodes.map(|url| (url, 2.0)).collect();
        let gateways = front.map_or(Vec::new(), Front::metrics_urls);
        awaited.extend(gateways.into_iter().map(|url| (url, 1.0)));
        for (url, wanted) in &mut awaited {
            *wanted += reloads(self.bench, url, "loaded").await?;
        }
        replace(certificates)?;
        for (url, wanted) in &awaited {
            let what = format!("{url} to count {wanted} files of certificates as loaded");
            poll::until(&what, HEAL_MAX, async || {
                let loaded = reloads(self.bench, url, "loaded").await?;
                Ok((loaded >= *wanted).then_some(()))
            })
            .await?;
            let refused = reloads(self.bench, url, "refused").await?;
            ensure!(refused == 0.0, "{url}: {refused} files were refused");
        }
        self.bench.note(&format!(
            "{} processes took new files of certificates",
            awaited.len()
        ));
        Ok(())
    }

    /// Starts another node, and adds it to the cluster as an operator does.
    pub async fn add_node(&mut self, number: u8) -> Result {
        self.cluster.prepare_node(self.bench, number, None)?;
        let node = self.cluster.node(number);
        node.segment_bytes = SMALL_SEGMENT_BYTES;
        node.start()?;
        let address = node.peer_address().to_string();
        let asked = self.cluster.asked().last().cloned();
        self.watch.add(asked.expect("it was just prepared"));
        self.add(&address).await
    }

    /// A node that was added and votes has said before that it installed a snapshot of the counters:
    /// records it.
    pub fn was_fed_by_snapshot(&mut self, number: u8) -> Result {
        let node = self.cluster.node(number);
        let said = "a snapshot is installed shard=0 index=";
        let log = node.log()?;
        let rest = log.split_once(said).map(|(_, rest)| rest);
        let index = rest.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        let silent = || Failure::new(format!("{} votes without a snapshot", node.name()));
        let index = index.ok_or_else(silent)?;
        self.recorder.note(What::Snapshot {
            node: number.into(),
            shard: 0,
            index,
        });
        Ok(())
    }

    /// Lets a node in that came back with an empty disk: under its id there is another now.
    pub async fn readmit(&mut self, number: u8) -> Result {
        let (id, address) = (number.to_string(), self.cluster.node(number).peer_address());
        self.cluster.command(&["cluster", "remove", &id]).await?;
        self.add(&address.to_string()).await
    }

    async fn add(&self, address: &str) -> Result {
        // It must serve peers before it can be added.
        poll::until("the node to be added", HEAL_MAX, async || {
            self.cluster.command(&["cluster", "add", address]).await?;
            Ok(Some(()))
        })
        .await
    }

    /// Removes a node from the cluster as an operator does, and ends it.
    pub async fn remove_node(&mut self, number: u8) -> Result {
        let id = number.to_string();
        self.cluster.command(&["cluster", "remove", &id]).await?;
        self.cluster.discard(number)
    }

    /// Ends a node as an operator does, and starts this build again, as one that takes part in
    /// feature levels up to this one.
    pub async fn rebuild(&mut self, number: u8, feature_level: u32) -> Result {
        let program = self.cluster.program().to_owned();
        self.rebuild_as(number, &program, feature_level).await
    }

    /// The same, and starts another program.
    pub async fn rebuild_as(&mut self, number: u8, program: &Path, level: u32) -> Result {
        let fault = self.begin("another build", &[number]);
        let node = self.cluster.node(number);
        ensure!(node.end()?, "{} did not end by itself", node.name());
        program.clone_into(&mut node.program);
        node.feature_level = Some(level);
        node.start()?;
        self.end(&fault);
        self.cluster.agreed(HEAL_MAX).await
    }

    /// Waits until every node is at a feature level.
    pub async fn reaches_level(&self, level: u32) -> Result {
        let what = format!("all nodes to be at feature level {level}");
        poll::until(&what, HEAL_MAX, async || {
            let statuses = self.cluster.statuses().await;
            let all = statuses.len() == self.cluster.nodes.len()
                && statuses.iter().all(|status| status.feature_level == level);
            Ok(all.then_some(()))
        })
        .await
    }

    /// Waits until these nodes vote, and no others.
    pub async fn voters(&self, expected: &[u8]) -> Result {
        let expected: Vec<u64> = expected.iter().copied().map(u64::from).collect();
        poll::until(
            &format!("the voters to be {expected:?}"),
            HEAL_MAX,
            async || {
                let statuses = self.cluster.statuses().await;
                let are = |status: &StatusResponse| {
                    status.shards.iter().all(|shard| {
                        let mut voters = shard.voters.clone();
                        voters.sort_unstable();
                        voters == expected
                    })
                };
                let all = statuses.len() == self.cluster.nodes.len() && statuses.iter().all(are);
                Ok(all.then_some(()))
            },
        )
        .await
    }

    /// Ends in peace: it serves again, and everything that was decided is sound.
    pub async fn finish(self) -> Result {
        self.end_all().await?.is_sound()
    }

    /// All faults are over and all nodes that shall be up are started: it must serve again, and
    /// then end. Gives all that is known of it.
    pub async fn end_all(mut self) -> Result<Evidence<'a>> {
        cluster::all_run(&mut self.cluster)?;
        let healed_us = self.recorder.now_us();
        self.cluster.agreed(HEAL_MAX).await?;
        self.decided_after(healed_us, HEAL_MAX).await?;
        // From here on everything is answered.
        self.recorder.healed(healed_us);
        self.calm().await;
        let Self {
            bench,
            recorder,
            watch,
            load,
            calm_us,
            mut cluster,
        } = self;
        load.settle().await?;
        drop(watch);
        let mut applied = Vec::new();
        for status in cluster.settled().await? {
            watch::note(&recorder, &status);
            // The registry's group is named otherwise.
            let shards = status.shards.iter();
            let shards = shards.filter_map(|one| Some((one.name.parse().ok()?, one.applied_index)));
            applied = shards.collect();
        }
        let disks = cluster.end()?;
        Evidence::gather(bench, &recorder, calm_us, disks, &applied)
    }
}

/// How many changed files of certificates a process took, or refused.
async fn reloads(bench: &Bench, metrics_url: &str, outcome: &str) -> Result<f64> {
    let figures = Figures::read(&bench.http, metrics_url).await?;
    let sum = figures.sum("quotum_tls_reloads_total", &[("outcome", outcome)]);
    sum.ok_or_else(|| Failure::new(format!("{metrics_url} counts no reloads")))
}
