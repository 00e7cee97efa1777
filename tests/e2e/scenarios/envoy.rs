//! Envoy asks three counter nodes, as it is shipped: with its own 20 ms for an answer, and nothing
//! let through without one.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use quotum_e2e::bench::Bench;
use quotum_e2e::dev::{Dev, Plan};
use quotum_e2e::ensure;
use quotum_e2e::envoy::{Envoy, Tally};
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::limits::SETTLE_MAX;
use quotum_e2e::metrics::Figures;
use quotum_e2e::poll;
use quotum_e2e::process;
use rustix::process::Signal;
use tokio::task::JoinSet;

const MAX: u64 = 100;
const REQUESTS: usize = 200;
const CLIENTS: usize = 16;
/// So many requests are passed on before a node dies.
const BEFORE_DEATH: usize = 30;
/// Enough to outlast a leader's death, each of which takes Envoy's 20 ms at least.
const REQUESTS_AFTER_DEATH: usize = 2_000;

const LOADED: &str = "ratelimit_service_config_load_success";
const REFUSED: &str = "ratelimit_service_config_load_error";

/// Requests of one grant.
#[derive(Debug, Clone)]
struct Burst {
    grant: String,
    /// What it may have in all.
    max: u64,
    requests: usize,
    /// So many are made at a time.
    clients: usize,
    /// Killed after [`BEFORE_DEATH`] were passed on.
    dies: Option<u32>,
}

/// Envoy before a cluster.
struct World {
    dev: Dev,
    envoy: Envoy,
    file: PathBuf,
}

pub(crate) async fn it_admits_exactly_what_a_unit_has(bench: &Bench) -> Result {
    let world = World::start(bench).await?;
    let nobody = world.envoy.door.ask(&bench.http, None).await?;
    ensure!(
        nobody.status == StatusCode::UNAUTHORIZED,
        "without a grant: {}",
        nobody.status
    );
    let (mut all, mut exact, mut clients, mut rounds) = (Tally::default(), 0, CLIENTS, 0);
    // On a busy machine some answers take longer than Envoy waits: then fewer ask at once, until a
    // round was answered as a whole. What must hold otherwise holds in every round.
    while rounds < bench.settings.rounds || (exact == 0 && clients > 1) {
        let burst = Burst {
            grant: format!("grant-{rounds}"),
            clients,
            ..Burst::of(MAX)
        };
        let tally = world.burst(bench, burst).await?;
        tally.holds(MAX)?;
        match tally.failed {
            0 => {
                tally.is_exact(MAX)?;
                exact += 1;
            }
            _ if exact == 0 => clients = (clients / 2).max(1),
            _ => {}
        }
        rounds += 1;
        all.add(tally);
    }
    bench.note(&format!(
        "{}; {exact} of {rounds} rounds exact",
        all.summary()
    ));
    ensure!(
        exact > 0,
        "20 ms were too short in each of {rounds} rounds: {}",
        all.summary()
    );
    // Envoy's own figures say the same.
    for (name, counted) in [
        ("ok", all.passed()),
        ("over_limit", all.denied),
        ("error", all.failed),
        ("failure_mode_allowed", 0),
    ] {
        let figure = world.envoy.figure(&bench.http, name).await?;
        ensure!(
            figure == counted as f64,
            "Envoy counts {figure} as {name}, not {counted}"
        );
    }
    world.dev.stop().await
}

pub(crate) async fn descriptor_files_change_while_it_runs(bench: &Bench) -> Result {
    let world = World::start(bench).await?;
    let before = world.burst(bench, Burst::of(MAX)).await?;
    before.holds(MAX)?;

    // A file with a problem changes nothing.
    world.put(&descriptors(MAX).replace("unit", "units"))?;
    world.every_node(bench, REFUSED, 1.0).await?;
    let still = world.answered(bench, &Burst::of(MAX).grant).await?;

    // Twice as much from now on: what was used stays used.
    world.put(&descriptors(2 * MAX))?;
    world.every_node(bench, LOADED, 3.0).await?;
    let after = world.burst(bench, Burst::of(2 * MAX)).await?;
    let mut all = before;
    all.add(still);
    all.add(after);
    bench.note(&all.summary());
    all.holds(2 * MAX)?;
    world.dev.stop().await
}

pub(crate) async fn a_dead_node_lets_nothing_through(bench: &Bench) -> Result {
    let mut world = World::start(bench).await?;
    for leads in [true, false] {
        let leader = world.dev.leader(bench).await?;
        let mut counters = world.dev.ready.counters.iter();
        let victim = counters.find(|one| (one.node == leader.node) == leads);
        let victim = victim
            .cloned()
            .ok_or_else(|| Failure::new("no such node"))?;
        let grant = format!("leader-{leads}");
        let burst = Burst {
            grant: grant.clone(),
            requests: REQUESTS_AFTER_DEATH,
            dies: Some(victim.pid),
            ..Burst::of(MAX)
        };
        let tally = world.burst(bench, burst).await?;
        let what = if leads { "the leader" } else { "a follower" };
        bench.note(&format!("{what} died: {}", tally.summary()));
        tally.holds(MAX)?;
        // The two that are left decide.
        let burst = Burst {
            grant: format!("{grant}-after"),
            ..Burst::of(MAX)
        };
        world.burst(bench, burst).await?.holds(MAX)?;
        world.dev.start_counter(bench, victim.node)?;
        let nodes = world.dev.ready.counters.len();
        ensure!(world.envoy.sees(bench, nodes).await?, "Envoy ended");
    }
    world.dev.stop().await
}

// === impl Burst ===

impl Burst {
    fn of(max: u64) -> Self {
        Self {
            grant: "grant".to_owned(),
            max,
            requests: REQUESTS,
            clients: CLIENTS,
            dies: None,
        }
    }
}

// === impl World ===

impl World {
    async fn start(bench: &Bench) -> Result<Self> {
        let plan = Plan {
            gateways: 1,
            ..Plan::of_three()
        };
        let dev = Dev::start(bench, plan)?;
        let file = dev.file("ratelimit/gateway.yaml");
        let envoy = Envoy::start(bench, &dev.ready).await?;
        let world = Self { dev, envoy, file };
        world.put(&descriptors(MAX))?;
        // The one that `dev` made was there before. A node that does not know the domain yet lets
        // everything pass.
        world.every_node(bench, LOADED, 2.0).await?;
        Ok(world)
    }

    /// Puts a file into the folder of all nodes at once, as a whole.
    fn put(&self, descriptors: &str) -> Result {
        let hidden = self.file.with_file_name(".new");
        fs::write(&hidden, descriptors)?;
        Ok(fs::rename(hidden, &self.file)?)
    }

    /// Asks until one answer has come in time.
    async fn answered(&self, bench: &Bench, grant: &str) -> Result<Tally> {
        let mut tally = Tally::default();
        poll::until("an answer in time", SETTLE_MAX, async || {
            let reply = self.envoy.door.ask(&bench.http, Some(grant)).await?;
            tally.count(&reply, MAX)?;
            Ok((reply.status != StatusCode::SERVICE_UNAVAILABLE).then_some(()))
        })
        .await?;
        Ok(tally)
    }

    /// Waits until a figure of every node has come to `least`.
    async fn every_node(&self, bench: &Bench, figure: &str, least: f64) -> Result {
        let what = format!("{figure} to be {least} on every node");
        poll::until(&what, SETTLE_MAX, async || {
            for counter in &self.dev.ready.counters {
                let figures = Figures::read(&bench.http, &counter.metrics).await?;
                if figures.sum(figure, &[]).is_none_or(|count| count < least) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// Makes the requests; in their midst a process may die.
    async fn burst(&self, bench: &Bench, burst: Burst) -> Result<Tally> {
        let taken = Arc::new(AtomicUsize::new(0));
        let passed = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..burst.clients {
            let (taken, passed) = (taken.clone(), passed.clone());
            let (door, http) = (self.envoy.door.clone(), bench.http.clone());
            let burst = burst.clone();
            clients.spawn(async move {
                let mut tally = Tally::default();
                while taken.fetch_add(1, Ordering::Relaxed) < burst.requests {
                    let reply = door.ask(&http, Some(&burst.grant)).await?;
                    tally.count(&reply, burst.max)?;
                    if reply.status == StatusCode::OK
                        && passed.fetch_add(1, Ordering::Relaxed) + 1 == BEFORE_DEATH
                        && let Some(victim) = burst.dies
                    {
                        process::send(victim, Signal::KILL)?;
                    }
                }
                Ok::<_, Failure>(tally)
            });
        }
        let mut all = Tally::default();
        while let Some(ended) = clients.join_next().await {
            all.add(ended??);
        }
        Ok(all)
    }
}

/// A file of envoyproxy/ratelimit. A year ends in no run of the tests but one in a lifetime.
fn descriptors(max: u64) -> String {
    format!(
        "domain: gateway\n\
         descriptors:\n\
         \x20 - key: grant_id\n\
         \x20   rate_limit:\n\
         \x20     unit: year\n\
         \x20     requests_per_unit: {max}\n"
    )
}
