//! `quotum dev`: a whole cluster on loopback, each counter node and gateway a process of its own.
//!
//! Promises: what was counted is there after the next start on the same data; two of these on
//! different data do not meet; no process outlives this one, however it ends.
//!
//! # Layout
//! * [`data`]: the data directory: what was drawn, and who uses it. [`config`]: of the processes.
//! * [`children`]: the processes. [`bootstrap`]: what the registry must hold.
//! * [`report`]: what is printed when all are ready.

use std::path::{Path, PathBuf};
use std::time::Duration;

use quotum_registry::upstream::Upstream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::{reach::Cluster, wait};
use crate::arguments::Dev;
use crate::demo;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::limits::DEV_READY_MAX;
use crate::output::{self, Format};
use crate::policy;
use crate::process::{self, Endings};
use crate::secrets;
use crate::settings::authorities;

mod bootstrap;
mod children;
mod config;
mod data;
mod report;
#[cfg(test)]
mod tests;

use children::{Child, Children};
use data::Data;

/// The server behind the gateways, and its policy.
const SERVER: &str = "demo";
/// The grants that are made.
const GRANTS: [&str; 2] = ["agent-1", "agent-2"];

/// The policy before the demo server.
const DEMO_POLICY: &str = include_str!("dev/demo-policy.json");
/// The policy before another server, where none is named.
const UPSTREAM_POLICY: &str = include_str!("dev/upstream-policy.json");

/// How often it is looked whether all processes still run.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// What is run, as far as it is known before anything starts.
struct Plan<'a> {
    options: &'a Dev,
    policy: String,
    /// `None`: the demo server.
    upstream: Option<Upstream>,
    /// A file of authorities, by a path that holds in any folder.
    upstream_ca_file: Option<PathBuf>,
}

pub(crate) fn run(options: &Dev, environment: &Environment, format: Format) -> Result<(), Failure> {
    let plan = Plan::of(options)?;
    let data = Data::open(&options.data, options.counters, options.gateways)?;
    process::runtime()?.block_on(serve(&plan, data, environment, format))
}

// === impl Plan ===

impl<'a> Plan<'a> {
    fn of(options: &'a Dev) -> Result<Self, Failure> {
        let upstream = options.upstream.as_deref().map(Upstream::new).transpose();
        let upstream = upstream.map_err(|error| Failure::usage("--upstream").because(&error))?;
        let policy = match &options.policy {
            Some(path) => policy::load(path).map_err(Failure::into_usage)?.0,
            None if upstream.is_some() => UPSTREAM_POLICY.to_owned(),
            None => DEMO_POLICY.to_owned(),
        };
        let upstream_ca_file = options.upstream_ca_file.as_deref().map(authorities);
        Ok(Self {
            options,
            policy,
            upstream,
            upstream_ca_file: upstream_ca_file.transpose()?,
        })
    }
}

/// The whole path of a file that holds authorities.
fn authorities(path: &Path) -> Result<PathBuf, Failure> {
    let place = || format!("--upstream-ca-file: {}", path.display());
    authorities::read(path).map_err(|wrong| Failure::usage(format!("{}: {wrong}", place())))?;
    path.canonicalize()
        .map_err(|error| Failure::usage(place()).because(&error))
}

async fn serve(
    plan: &Plan<'_>,
    mut data: Data,
    environment: &Environment,
    format: Format,
) -> Result<(), Failure> {
    let mut endings = Endings::listen(false)?;
    let stop = CancellationToken::new();
    let (upstream, demo_server) = match &plan.upstream {
        Some(upstream) => (upstream.to_string(), None),
        None => {
            let address = data.address(data::DEMO);
            let listener = process::listen("the demo server", address).await?;
            let serving = tokio::spawn(demo::serve(listener, stop.clone()));
            (format!("http://{address}/mcp"), Some(serving))
        }
    };
    let mut children = Children::default();
    let result = tokio::select! {
        biased;
        _ = endings.next() => Ok(()),
        result = work(plan, &mut data, &upstream, &mut children, environment, format) => result,
    };
    children.end().await;
    stop.cancel();
    if let Some(serving) = demo_server {
        // It ends at once, and has nothing to say.
        let _ = serving.await;
    }
    result
}

/// What `working` gives if it is there by the deadline; else that `what` is so.
async fn in_time<T>(
    deadline: Instant,
    what: &str,
    working: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let worked = tokio::time::timeout_at(deadline, working).await;
    worked.unwrap_or_else(|_| {
        let seconds = DEV_READY_MAX.as_secs();
        let failure = Failure::failed(format!("after {seconds} s {what}"));
        Err(failure.next("see the logs of the counter nodes in the data directory"))
    })
}

/// Starts everything, tells where it is, and then watches the processes for ever.
async fn work(
    plan: &Plan<'_>,
    data: &mut Data,
    upstream: &str,
    children: &mut Children,
    environment: &Environment,
    format: Format,
) -> Result<(), Failure> {
    let deadline = Instant::now() + DEV_READY_MAX;
    let (counters, gateways) = (plan.options.counters, plan.options.gateways);
    data.wait_for_ports().await?;
    for node in 1..=counters {
        let command = config::counter(data, node, counters)?;
        children
            .counters
            .push(Child::start(data, command, environment)?);
    }
    for number in 1..=gateways {
        let upstream_ca_file = plan.upstream_ca_file.as_deref();
        let command = config::gateway(data, number, counters, upstream_ca_file)?;
        children
            .gateways
            .push(Child::start(data, command, environment)?);
    }
    children::until_ready(&mut children.counters, deadline).await?;
    let nodes = (1..=counters).map(|node| data.address(&data::counter(node, "client")).to_string());
    let token = secrets::admin_token(data.admin_token())
        .map_err(|error| Failure::failed("the admin token").because(&error))?;
    let cluster = Cluster::new(nodes.collect(), None, &token)?;
    let working = bootstrap::run(&cluster, data, upstream, &plan.policy);
    let what = "the registry has no server, policy and grants yet";
    let revision = in_time(deadline, what, working).await?;
    children::until_ready(&mut children.gateways, deadline).await?;
    wait::until_served_by(&cluster, revision, deadline).await?;
    report::show(plan, data, upstream, children, format)?;
    loop {
        for ended in children.ended() {
            output::note(&ended);
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}
