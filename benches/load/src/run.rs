//! One run: connect, warm up, measure, wait for the last answers, report.

use std::time::Instant;

use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};

use crate::arguments::{Arguments, Envoy, Load, NativeStream, NativeUnary, Target};
use crate::cpu::{Usage, usages};
use crate::failure::{Failure, line};
use crate::lane::{Lane, Phases};
use crate::limits::{DRAIN_MAX, UNARY_CONNECTIONS_MAX, UNARY_PER_CONNECTION};
use crate::pace::{Pace, Schedule};
use crate::report::{Report, Used};
use crate::tally::Tally;
use crate::wire::BENCH_DOMAIN;
use crate::{leader, mcp, redis, stream, unary};

/// What moves the requests of one lane.
#[derive(Debug)]
enum Link {
    Stream(stream::Link),
    Unary(unary::Link),
    Http(mcp::Link),
    Redis(redis::Link),
}

/// The lanes of a run, before it starts.
#[derive(Debug)]
struct Lanes {
    links: Vec<Link>,
    in_flight: usize,
    batch: u32,
    /// The node that is asked, if it is one.
    leader: Option<String>,
}

/// Runs, and reports in any case.
pub(crate) async fn run(arguments: &Arguments, token: Option<String>) -> Report {
    match measure(arguments, token).await {
        Ok(report) => report,
        Err(failure) => Report::failed(&failure),
    }
}

async fn measure(arguments: &Arguments, token: Option<String>) -> Result<Report, Failure> {
    let load = arguments.target.load();
    // A process that does not exist is told before the load starts.
    usages(&load.pids)?;
    let mut lanes = match &arguments.target {
        Target::NativeStream(of) => streams(of).await?,
        Target::NativeUnary(of) => connections(of).await?,
        Target::Envoy(of) => envoys(of).await?,
        Target::Http(of) => {
            let token = mcp::token(of.token_file.as_deref(), token)?;
            Lanes {
                links: vec![Link::Http(mcp::open(of, token.as_deref()).await?)],
                in_flight: of.load.in_flight as usize,
                batch: 1,
                leader: None,
            }
        }
        Target::Redis(of) => Lanes {
            links: vec![Link::Redis(redis::open(of).await?)],
            in_flight: of.load.in_flight as usize,
            batch: of.batch,
            leader: None,
        },
    };
    let leader = lanes.leader.take();
    let phases = Phases::new(Instant::now(), load.warmup_secs, load.secs);
    let mut running = lanes.start(load, phases);
    let used = watch(load, phases).await;
    let mut tally = Tally::new();
    while let Some(ended) = running.join_next().await {
        tally.add(ended?);
    }
    let used = used.unwrap_or_else(|failure| {
        tally.failed(1, Some(line(&failure)));
        Used::default()
    });
    Ok(Report {
        leader,
        ..Report::new(tally, load.secs, &used)
    })
}

async fn streams(of: &NativeStream) -> Result<Lanes, Failure> {
    let leader = leader::find(&of.nodes).await?;
    let in_flight = of.load.in_flight as usize;
    let count = of.streams();
    let mut links = Vec::new();
    for seed in 0..count {
        let room = (of.batch, share(in_flight, seed, count));
        let link = stream::Link::open(&of.nodes, &leader, room, seed as u64).await?;
        links.push(Link::Stream(link));
    }
    Ok(Lanes {
        links,
        in_flight,
        batch: of.batch,
        leader: Some(leader),
    })
}

async fn connections(of: &NativeUnary) -> Result<Lanes, Failure> {
    let leader = leader::find(&of.nodes).await?;
    let in_flight = of.load.in_flight as usize;
    let mut links = Vec::new();
    for seed in 0..connection_count(in_flight) {
        let link = unary::Link::open(&of.nodes, &leader, seed as u64).await?;
        links.push(Link::Unary(link));
    }
    Ok(Lanes {
        links,
        in_flight,
        batch: 1,
        leader: Some(leader),
    })
}

async fn envoys(of: &Envoy) -> Result<Lanes, Failure> {
    let address = leader::of_domain(&of.nodes, BENCH_DOMAIN).await?;
    let in_flight = of.load.in_flight as usize;
    let mut links = Vec::new();
    for seed in 0..connection_count(in_flight) {
        let link = unary::Link::open_envoy(of, &address, seed as u64).await?;
        links.push(Link::Unary(link));
    }
    Ok(Lanes {
        links,
        in_flight,
        batch: 1,
        leader: Some(address),
    })
}

/// Over how many connections so many requests go.
fn connection_count(in_flight: usize) -> usize {
    in_flight
        .div_ceil(UNARY_PER_CONNECTION)
        .min(UNARY_CONNECTIONS_MAX)
}

/// What the processes use in the measured interval.
async fn watch(load: &Load, phases: Phases) -> Result<Used, Failure> {
    sleep_until(phases.measured_from.into()).await;
    let (before, own_before) = (usages(&load.pids)?, Usage::own()?);
    sleep_until(phases.end.into()).await;
    let (after, own_after) = (usages(&load.pids)?, Usage::own()?);
    let since = |(pid, usage): (u32, Usage)| {
        let before = before.get(&pid).copied().unwrap_or_default();
        (pid, usage.since(before))
    };
    Ok(Used {
        processes: after.into_iter().map(since).collect(),
        own: own_after.since(own_before),
    })
}

/// The part of `whole` that falls to one of `count`.
fn share(whole: usize, at: usize, count: usize) -> usize {
    whole / count + usize::from(at < whole % count)
}

// === impl Lanes ===

impl Lanes {
    fn start(self, load: &Load, phases: Phases) -> JoinSet<Tally> {
        let count = self.links.len();
        let mut running = JoinSet::new();
        for (at, link) in self.links.into_iter().enumerate() {
            let pace = match load.rate {
                None => Pace::Closed,
                Some(rate) => {
                    let requests_per_s = rate / f64::from(self.batch);
                    let (at, count) = (at as u64, count as u64);
                    Pace::Open(Schedule::new(phases.start, requests_per_s, at, count))
                }
            };
            let in_flight = share(self.in_flight, at, count);
            let lane = Lane::new(phases, pace, in_flight, self.batch.into());
            running.spawn(link.run(lane, phases));
        }
        running
    }
}

// === impl Link ===

impl Link {
    /// Runs a lane to its end. Answers that take too long after that are given up.
    async fn run(mut self, mut lane: Lane, phases: Phases) -> Tally {
        let deadline = phases.end + DRAIN_MAX;
        let driven = timeout_at(deadline.into(), async {
            match &mut self {
                Self::Stream(link) => link.drive(&mut lane).await,
                Self::Unary(link) => link.drive(&mut lane).await,
                Self::Http(link) => link.drive(&mut lane).await,
                Self::Redis(link) => link.drive(&mut lane).await,
            }
        });
        match driven.await {
            Ok(Ok(())) | Err(_) => lane.close(),
            Ok(Err(failure)) => lane.break_off(line(&failure)),
        }
    }
}
