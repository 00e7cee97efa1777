//! Disks that are full, slow or failing, and racks that lose their power.

use std::time::Duration;

use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;
use quotum_e2e::metrics::Figures;
use quotum_e2e::poll;

use crate::cluster::Cluster;
use crate::course::Course;
use crate::disk::{Power, SmallDisk, Sync};
use crate::limits::{BRIEF_SEGMENT_BYTES, EXIT_MAX, HEAL_MAX};

/// How long a fault is on.
const FAULT: Duration = Duration::from_secs(6);
/// A sync that takes a hundred times as long as usual.
const SLOW: Duration = Duration::from_millis(300);

/// Whose disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Follower,
    Leader,
}

const BOTH: [Whose; 2] = [Whose::Follower, Whose::Leader];

pub(super) async fn a_full_disk_stops_one_node_until_there_is_space(bench: &Bench) -> Result {
    let mut cluster = Cluster::prepare(bench, 3)?;
    let mut disks = Vec::new();
    for node in &mut cluster.nodes {
        node.segment_bytes = BRIEF_SEGMENT_BYTES;
        disks.push(SmallDisk::of(node)?);
    }
    cluster.start_all().await?;
    let mut course = Course::of(bench, "full disk", cluster).await?;
    for whose in BOTH {
        let victim = victim(&course, whose).await?;
        let fault = course.begin("full disk", &[victim]);
        disks[usize::from(victim) - 1].fill()?;
        ended(&mut course, victim, "No space left on device").await?;
        // The others serve.
        let since_us = course.recorder.now_us();
        course.decided_after(since_us, HEAL_MAX).await?;
        course.pass(FAULT / 2).await;
        disks[usize::from(victim) - 1].clear()?;
        course.cluster.node(victim).start()?;
        course.end(&fault);
        course.cluster.agreed(HEAL_MAX).await?;
    }
    course.finish().await
}

pub(super) async fn a_failed_sync_ends_the_node(bench: &Bench) -> Result {
    let (mut course, syncs) = with_syncs(bench, "failed sync").await?;
    for whose in BOTH {
        let victim = victim(&course, whose).await?;
        let sync = &syncs[usize::from(victim) - 1];
        let fault = course.begin("a sync fails", &[victim]);
        sync.fails_once()?;
        // All later syncs would succeed: a node that tried again would go on, without its data.
        ended(&mut course, victim, "Input/output error").await?;
        ensure!(sync.has_failed(), "no sync has failed");
        let since_us = course.recorder.now_us();
        course.decided_after(since_us, HEAL_MAX).await?;
        course.cluster.node(victim).start()?;
        course.end(&fault);
        course.cluster.agreed(HEAL_MAX).await?;
        course.pass(FAULT / 2).await;
    }
    course.finish().await
}

pub(super) async fn a_slow_disk_slows_nothing_but_its_leader(bench: &Bench) -> Result {
    let (mut course, syncs) = with_syncs(bench, "slow disk").await?;
    for whose in BOTH {
        let victim = victim(&course, whose).await?;
        let sync = &syncs[usize::from(victim) - 1];
        let fault = course.begin("slow disk", &[victim]);
        let before = time_of_syncs(&course, victim).await?;
        sync.is_late_by(SLOW)?;
        course.pass(FAULT).await;
        let after = time_of_syncs(&course, victim).await?;
        let mean_s = (after.0 - before.0) / (after.1 - before.1).max(1.0);
        bench.note(&format!(
            "the {whose:?}'s disk took {mean_s:.3} s for a sync"
        ));
        ensure!(
            mean_s >= SLOW.as_secs_f64() / 2.0,
            "the disk is not slow: {mean_s} s for a sync"
        );
        let since_us = course.recorder.now_us();
        course.decided_after(since_us, HEAL_MAX).await?;
        let unknown = course.recorder.unknown_since(fault.since_us);
        ensure!(
            unknown == 0,
            "{unknown} requests were not decided while the {whose:?}'s disk was slow"
        );
        sync.is_well()?;
        course.end(&fault);
        course.cluster.agreed(HEAL_MAX).await?;
    }
    course.finish().await
}

pub(super) async fn what_was_decided_outlives_a_loss_of_power(bench: &Bench) -> Result {
    let mut power = Power::new(bench)?;
    let cluster = Cluster::start(bench, 3).await?;
    let mut course = Course::of(bench, "power lost", cluster).await?;
    lose_power(&mut course, &mut power, 3).await?;
    course.finish().await
}

pub(super) async fn without_syncs_a_loss_of_power_is_seen_to_lose(bench: &Bench) -> Result {
    let mut power = Power::new(bench)?;
    let mut cluster = Cluster::prepare(bench, 3)?;
    for node in &mut cluster.nodes {
        node.set_durability("os");
    }
    cluster.start_all().await?;
    let mut course = Course::of(bench, "power lost without syncs", cluster).await?;
    lose_power(&mut course, &mut power, 1).await?;
    let report = course.end_all().await?.report()?;
    let lost = report.violations.iter().find(|one| one.invariant == "I2");
    ensure!(
        lost.is_some(),
        "nothing was synced, and yet the checker found nothing lost: {report:#?}"
    );
    Ok(())
}

/// All nodes lose their power at once, so many times.
async fn lose_power(course: &mut Course<'_>, power: &mut Power, times: usize) -> Result {
    let all = course.cluster.numbers();
    for _ in 0..times {
        let fault = course.begin("power lost", &all);
        power.cut()?;
        for node in &mut course.cluster.nodes {
            node.kill();
        }
        power.restore()?;
        for node in &mut course.cluster.nodes {
            node.start()?;
        }
        course.end(&fault);
        course.cluster.agreed(HEAL_MAX).await?;
        course.pass(FAULT / 2).await;
    }
    Ok(())
}

/// A cluster whose syncs can be made to fail.
async fn with_syncs<'a>(bench: &'a Bench, name: &str) -> Result<(Course<'a>, Vec<Sync>)> {
    let mut cluster = Cluster::prepare(bench, 3)?;
    let syncs: Vec<Sync> = cluster
        .nodes
        .iter_mut()
        .map(|node| Sync::of(node, bench))
        .collect::<Result<_>>()?;
    cluster.start_all().await?;
    Ok((Course::of(bench, name, cluster).await?, syncs))
}

async fn victim(course: &Course<'_>, whose: Whose) -> Result<u8> {
    let leader = course.cluster.leader().await?;
    Ok(match whose {
        Whose::Leader => leader,
        Whose::Follower => course.cluster.others(leader)[0],
    })
}

/// Waits until a node has ended by itself, and has said why.
async fn ended(course: &mut Course<'_>, victim: u8, why: &str) -> Result {
    let node = course.cluster.node(victim);
    poll::until(&format!("{} to end", node.name()), EXIT_MAX, async || {
        Ok((!node.is_running()).then_some(()))
    })
    .await?;
    let log = node.log()?;
    ensure!(log.contains(why), "{} does not say {why:?}", node.name());
    node.kill();
    Ok(())
}

/// Seconds that a node spent on syncing its log, and how often it did.
async fn time_of_syncs(course: &Course<'_>, node: u8) -> Result<(f64, f64)> {
    let url = course.cluster.metrics_url(node);
    let figures = Figures::read(&course.bench.http, &url).await?;
    let sum = |name: &str| figures.sum(name, &[]).unwrap_or(0.0);
    Ok((
        sum("quotum_raft_sync_seconds_sum"),
        sum("quotum_raft_sync_seconds_count"),
    ))
}
