//! Nodes that come and go on purpose: a rolling restart, and a cluster that grows and shrinks.

use std::path::Path;
use std::time::Duration;

use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;
use quotum_e2e::metrics::Figures;
use quotum_e2e::poll;
use quotum_replica::limits::{FEATURE_LEVEL, PEER_PROTOCOL};

use crate::cluster::Cluster;
use crate::course::{CALM, Course};
use crate::front::{Availability, Front};
use crate::limits::{EXIT_MAX, HEAL_MAX, SMALL_SEGMENT_BYTES};
use crate::load::Demand;
use crate::needs;
use crate::node::Node;

use crate::status::{self, GROUP, group};
use crate::tls::{Certificates, FORMER, Wire};

/// Between two steps of an operator.
const STEP: Duration = Duration::from_secs(2);
/// The load fills enough segments within this.
const PURGE_MAX: Duration = Duration::from_secs(60);

pub(super) async fn a_rolling_restart_refuses_nothing(bench: &Bench) -> Result {
    rolling_restart(bench, "rolling restart", Wire::Plaintext).await
}

pub(super) async fn a_rolling_restart_over_tls_refuses_nothing(bench: &Bench) -> Result {
    rolling_restart(bench, "rolling restart, TLS", Wire::Tls).await
}

/// Over TLS the authorities are replaced meanwhile, in the three steps of `docs/tls.md`.
async fn rolling_restart(bench: &Bench, name: &str, wire: Wire) -> Result {
    let mut course = Course::start_over(bench, name, 3, wire).await?;
    let front = Front::start(bench, &mut course.cluster, 2).await?;
    course.pass(CALM).await;
    let begun_us = course.recorder.now_us();
    let steps = [
        Certificates::introduce,
        Certificates::adopt,
        Certificates::retire,
    ];
    for (number, step) in course.cluster.numbers().into_iter().zip(steps) {
        course.replace(Some(&front), step).await?;
        let fault = course.begin("restart", &[number]);
        let node = course.cluster.node(number);
        ensure!(node.end()?, "{} did not end by itself", node.name());
        node.start()?;
        course.end(&fault);
        course.cluster.agreed(HEAL_MAX).await?;
        course.pass(STEP).await;
    }
    if wire == Wire::Tls {
        the_old_authority_is_gone(&course).await?;
    }
    let unknown = course.recorder.unknown_since(begun_us);
    ensure!(unknown == 0, "{unknown} requests were not decided");
    front.settle(bench, Availability::Always).await?;
    course.finish().await
}

/// A node refuses whoever shows a certificate of the authority that was taken out.
async fn the_old_authority_is_gone(course: &Course<'_>) -> Result {
    let status = ["cluster", "status"];
    course.cluster.command(&status).await?;
    let before = refused_connections(course).await?;
    let former = course.cluster.command_as(FORMER, &status).await;
    ensure!(former.is_err(), "the old authority is still believed");
    let after = refused_connections(course).await?;
    ensure!(
        after > before,
        "{after} connections were refused, as before"
    );
    Ok(())
}

/// How many connections the nodes refused for what the other end showed.
async fn refused_connections(course: &Course<'_>) -> Result<f64> {
    let mut refused = 0.0;
    for number in course.cluster.numbers() {
        let url = course.cluster.metrics_url(number);
        let figures = Figures::read(&course.bench.http, &url).await?;
        let labels = [("reason", "handshake")];
        let sum = figures.sum("quotum_connections_refused_total", &labels);
        refused += sum.unwrap_or(0.0);
    }
    Ok(refused)
}

/// The feature level of the build before, which knows no calls whose limits live in two shards, and
/// of this one.
const BEFORE: u32 = 1;
const NOW: u32 = 2;

pub(super) async fn an_upgrade_is_rolled_out_and_taken_back_under_load(bench: &Bench) -> Result {
    let mut cluster = Cluster::prepare(bench, 3)?;
    for node in &mut cluster.nodes {
        node.shards = 2;
        node.feature_level = Some(BEFORE);
    }
    cluster.start_all().await?;
    let demand = Demand {
        pairs: false,
        ..Demand::USUAL
    };
    let mut course = Course::under(bench, "rolling upgrade", cluster, demand).await?;
    let begun_us = course.recorder.now_us();
    // Two of three are new, then one goes back: the cluster stays what the last one knows.
    for (number, level) in [(1, NOW), (2, NOW), (1, BEFORE)] {
        course.rebuild(number, level).await?;
        course.pass(STEP / 2).await;
        course.reaches_level(BEFORE).await?;
        ensure!(
            course.load().is_pair_refused().await?,
            "a pair was decided though a node knows none"
        );
    }
    for number in [3, 1] {
        course.rebuild(number, NOW).await?;
    }
    course.reaches_level(NOW).await?;
    course.load().ask_for_pairs();
    course.pass(STEP).await;
    // Now it is too late to go back: the node says so, and the others go on.
    let fault = course.begin("a build that is too old", &[2]);
    let node = course.cluster.node(2);
    ensure!(node.end()?, "{} did not end by itself", node.name());
    node.feature_level = Some(BEFORE);
    node.start()?;
    poll::until("the old build to end", EXIT_MAX, async || {
        Ok((!node.is_running()).then_some(()))
    })
    .await?;
    let why = "the cluster is above feature level 1";
    ensure!(
        node.log()?.contains(why),
        "{} did not say why it ended",
        node.name()
    );
    node.feature_level = Some(NOW);
    node.start()?;
    course.end(&fault);
    course.cluster.agreed(HEAL_MAX).await?;
    let unknown = course.recorder.unknown_since(begun_us);
    ensure!(unknown == 0, "{unknown} requests were not decided");
    let evidence = course.end_all().await?;
    ensure!(
        evidence.confirmed() > 0,
        "no pair was decided after the upgrade"
    );
    evidence.is_sound()
}

/// The protocol that the next build speaks to its like, and its feature level: `--cfg quotum_next`.
const NEXT_PROTOCOL: u32 = PEER_PROTOCOL + 1;
const NEXT: u32 = FEATURE_LEVEL + 1;

pub(super) async fn the_next_build_with_another_protocol_is_rolled_out(bench: &Bench) -> Result {
    let mut course = Course::start(bench, "next build", 3).await?;
    let front = Front::start(bench, &mut course.cluster, 2).await?;
    let (old, new) = (course.cluster.program().to_owned(), needs::next_build());
    let begun_us = course.recorder.now_us();
    // Two of three are new, then one goes back: all speak as the old ones do.
    for (number, is_next) in [(1, true), (2, true), (1, false), (1, true)] {
        let (program, level) = match is_next {
            true => (&new, NEXT),
            false => (&old, FEATURE_LEVEL),
        };
        course.rebuild_as(number, program, level).await?;
        understands(&course, number, is_next).await?;
        course.pass(STEP / 2).await;
        course.reaches_level(FEATURE_LEVEL).await?;
    }
    let unknown = course.recorder.unknown_since(begun_us);
    ensure!(unknown == 0, "{unknown} requests were not decided");
    // Both builds lead, and follow the other one.
    for _ in 0..2 {
        let leader = course.cluster.leader().await?;
        let fault = course.begin("kill leader of two builds", &[leader]);
        course.cluster.node(leader).kill();
        course.failed_over(&fault).await?;
        course.cluster.node(leader).start()?;
        course.end(&fault);
        course.cluster.agreed(HEAL_MAX).await?;
    }
    let upgraded_us = course.recorder.now_us();
    course.rebuild_as(3, &new, NEXT).await?;
    course.reaches_level(NEXT).await?;
    for number in course.cluster.numbers() {
        understands(&course, number, true).await?;
        let node = course.cluster.node(number);
        let said = format!("peers are spoken to in another protocol protocol={NEXT_PROTOCOL}");
        poll::until("the next protocol to be spoken", HEAL_MAX, async || {
            Ok(node.log()?.contains(&said).then_some(()))
        })
        .await?;
    }
    course.pass(STEP).await;
    is_too_old(&mut course, &old, &new).await?;
    let unknown = course.recorder.unknown_since(upgraded_us);
    ensure!(unknown == 0, "{unknown} requests were not decided");
    front.settle(bench, Availability::MayLack).await?;
    course.finish().await
}

/// The old build cannot come back: it understands nobody, takes no part, and says why.
async fn is_too_old(course: &mut Course<'_>, old: &Path, new: &Path) -> Result {
    let fault = course.begin("a build that is too old", &[2]);
    let node = course.cluster.node(2);
    ensure!(node.end()?, "{} did not end by itself", node.name());
    old.clone_into(&mut node.program);
    node.feature_level = Some(FEATURE_LEVEL);
    node.start()?;
    poll::until("the old build to say that it is", EXIT_MAX, async || {
        let why = "this build is too old for its cluster, and takes no part";
        Ok(node.log()?.contains(why).then_some(()))
    })
    .await?;
    course.pass(STEP).await;
    let ready = course.cluster.metrics_url(2).replace("/metrics", "/readyz");
    let ready = course.bench.http.get(&ready).await?;
    ensure!(!ready.status.is_success(), "it is ready: {ready:?}");
    let leader = course.cluster.leader().await?;
    ensure!(leader != 2, "a build that is too old leads");
    let node = course.cluster.node(2);
    ensure!(node.end()?, "{} did not end by itself", node.name());
    new.clone_into(&mut node.program);
    node.feature_level = Some(NEXT);
    node.start()?;
    course.end(&fault);
    course.cluster.agreed(HEAL_MAX).await
}

/// The newest protocol that a node understands, by its own word.
async fn understands(course: &Course<'_>, number: u8, is_next: bool) -> Result {
    let address = course.cluster.peer_address(number);
    let spoken = status::hello(address).await?.protocol;
    let expected = if is_next {
        NEXT_PROTOCOL
    } else {
        PEER_PROTOCOL
    };
    ensure!(
        spoken == expected,
        "node {number} understands protocol {spoken} instead of {expected}"
    );
    Ok(())
}

pub(super) async fn a_cluster_grows_and_shrinks_under_load(bench: &Bench) -> Result {
    let mut cluster = Cluster::prepare(bench, 3)?;
    for node in &mut cluster.nodes {
        node.segment_bytes = SMALL_SEGMENT_BYTES;
    }
    cluster.start_all().await?;
    let mut course = Course::of(bench, "3 to 5 to 3", cluster).await?;
    let begun_us = course.recorder.now_us();
    // Whoever comes now needs a snapshot.
    let nodes = &course.cluster.nodes;
    poll::until(
        "all logs to forget their beginning",
        PURGE_MAX,
        async || Ok(nodes.iter().all(Node::has_purged).then_some(())),
    )
    .await?;
    for number in [4, 5] {
        let fault = course.begin("add node", &[number]);
        course.add_node(number).await?;
        course.end(&fault);
        course.was_fed_by_snapshot(number)?;
        course.pass(STEP).await;
    }
    course.voters(&[1, 2, 3, 4, 5]).await?;
    // The leader is among those that leave.
    let leader = course.cluster.leader().await?;
    let other = course.cluster.others(leader)[0];
    for number in [other, leader] {
        let fault = course.begin("remove node", &[number]);
        course.remove_node(number).await?;
        course.end(&fault);
        course.pass(STEP).await;
    }
    let rest = course.cluster.numbers();
    course.voters(&rest).await?;
    let unknown = course.recorder.unknown_since(begun_us);
    ensure!(unknown == 0, "{unknown} requests were not decided");
    course.finish().await
}

pub(super) async fn a_node_that_lost_its_disk_comes_back_as_another(bench: &Bench) -> Result {
    let mut course = Course::start(bench, "disk lost", 3).await?;
    let victim = course.cluster.leader().await?;
    let fault = course.begin("disk lost", &[victim]);
    let node = course.cluster.node(victim);
    node.kill();
    node.lose_disk()?;
    node.start()?;
    course.failed_over(&fault).await?;
    course.pass(CALM).await;
    // It has forgotten its votes and its log: under its old id it must not count.
    let asked = course.cluster.asked().iter();
    let asked = asked.filter(|asked| asked.node == victim);
    for asked in asked {
        let status = asked.status().await?;
        let applied = group(&status, GROUP).map_or(0, |group| group.applied_index);
        ensure!(applied == 0, "the empty disk was filled up to {applied}");
    }
    course.readmit(victim).await?;
    course.end(&fault);
    course.voters(&[1, 2, 3]).await?;
    course.finish().await
}
