//! Networks that lose, hold and reorder what nodes send each other.

use std::time::Duration;

use quotum_e2e::bench::Bench;
use quotum_e2e::ensure;
use quotum_e2e::failure::Result;

use crate::course::Course;
use crate::delay::Delay;
use crate::limits::HEAL_MAX;

/// How long a fault is on.
const FAULT: Duration = Duration::from_secs(8);
/// The part of the packets that every node loses. TCP repeats them 200 ms later at best, which is
/// an election.
const LOSS: f64 = 0.1;
/// How long packets are held at least: each way, and twice as long at most.
const HELD: Duration = Duration::from_millis(20);

pub(super) async fn lost_packets_cost_time_and_nothing_else(bench: &Bench) -> Result {
    let mut course = Course::start(bench, "packets lost", 3).await?;
    let all = course.cluster.numbers();
    let fault = course.begin("lose packets", &all);
    for node in &course.cluster.nodes {
        node.host.lose(LOSS)?;
    }
    course.pass(FAULT).await;
    // It limps, but it goes on.
    course
        .decided_after(course.recorder.now_us(), HEAL_MAX)
        .await?;
    let mut dropped = 0;
    for node in &course.cluster.nodes {
        dropped += node.host.dropped()?;
        node.host.heal()?;
    }
    course.end(&fault);
    ensure!(dropped > 100, "only {dropped} packets were lost");
    bench.note(&format!("{dropped} packets were lost"));
    course.cluster.agreed(HEAL_MAX).await?;
    course.finish().await
}

pub(super) async fn late_packets_cost_time_and_nothing_else(bench: &Bench) -> Result {
    let mut course = Course::start(bench, "packets late", 3).await?;
    let all = course.cluster.numbers();
    let fault = course.begin("hold and reorder packets", &all);
    let delays: Vec<Delay> = course
        .cluster
        .nodes
        .iter()
        .map(|node| Delay::start(&node.host, HELD))
        .collect::<Result<_>>()?;
    course.pass(FAULT).await;
    course
        .decided_after(course.recorder.now_us(), HEAL_MAX)
        .await?;
    let mut held = 0;
    for (delay, node) in delays.into_iter().zip(&course.cluster.nodes) {
        held += delay.end(&node.host)?;
    }
    course.end(&fault);
    ensure!(held > 1_000, "only {held} packets were held");
    bench.note(&format!("{held} packets were held"));
    course.cluster.agreed(HEAL_MAX).await?;
    course.finish().await
}
