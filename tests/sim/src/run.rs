//! One run: a cluster, its clients, faults, then peace, and the verdict.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use quotum_checker::history::Phase;
use quotum_checker::{Event, Report, What, check};
use quotum_telemetry::{BuildInfo, Exposition};
use serde::{Deserialize, Serialize};
use turmoil::Sim;

use crate::chaos::Chaos;
use crate::world::{DRIFT_PPM, HEAL, MORE_FAULTS, PEACE, SETTLE, Stage, World, gateway_host, host};
use crate::{bulk, caller, gateway, machine, operator};

/// What one run showed: the line of its process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    /// Whether enough happened in it.
    pub(crate) counted: bool,
    pub(crate) missing: Vec<String>,
    pub(crate) violations: Vec<String>,
    /// The invariants that are violated, each once: not all that is wrong is one.
    pub(crate) invariants: Vec<String>,
    pub(crate) faults: usize,
    pub(crate) decisions: usize,
    /// A checksum of everything that happened, in order.
    pub(crate) digest: u32,
}

/// A run's outcome, and what led to it.
pub(crate) struct Run {
    pub(crate) outcome: Outcome,
    pub(crate) events: Vec<Event>,
    pub(crate) trace: Vec<String>,
}

/// How often the supervisor looks for nodes that have ended.
const SUPERVISE: Duration = Duration::from_millis(200);

/// Hosts and processes run in turn, each for so long.
const TICK: Duration = Duration::from_millis(1);

/// How long nodes have to tell their final state.
const LAST: Duration = Duration::from_millis(300);

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Runs one seed. Once for each process: see the meta-test.
pub(crate) fn run(seed: u64) -> Run {
    std::panic::set_hook(Box::new(|info| {
        // Seen by whoever runs one seed; a process of many is asked for its errors if it breaks.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{info}\n").as_bytes());
        let mut panics = PANICS.lock().expect("pushing does not panic");
        panics.push(info.to_string());
    }));
    // The first one measures the clocks of the operating system, which stand still from here on.
    drop(Exposition::new(&build_info()));
    crate::real_time::set(Duration::ZERO);
    let world = World::new(seed);
    let recorder = world.recorder().clone();
    let at_us = |sim: &Sim<'_>| u64::try_from(sim.elapsed().as_micros()).unwrap_or(u64::MAX);
    recorder.note_at(
        0,
        What::Run {
            source: "simulation".to_owned(),
            seed: Some(seed),
            commit: String::new(),
            drift_ppm: DRIFT_PPM,
        },
    );
    let mut sim = build(&world);
    let mut trouble = Vec::new();
    let mut chaos = Chaos::new(world.clone());
    let mut supervised = Duration::ZERO;
    // When there is enough of faults, as soon as that is known.
    let faults = world.faults();
    let mut healed = faults + MORE_FAULTS;
    while sim.elapsed() < healed + HEAL + PEACE + SETTLE {
        let now = sim.elapsed();
        let ends = healed + HEAL + PEACE + SETTLE;
        if now < faults || (now < healed && !recorder.seen().is_enough()) {
            chaos.step(&mut sim);
        } else if world.stage() == Stage::Faults {
            healed = now;
            chaos.end_all(&mut sim);
            world.set_stage(Stage::Healed);
            let phase = What::Phase {
                phase: Phase::Healed,
                within_us: u64::try_from(HEAL.as_micros()).unwrap_or(u64::MAX),
                nodes: Vec::new(),
                shards: Vec::new(),
            };
            recorder.note_at(at_us(&sim), phase);
        } else if now >= healed + HEAL + PEACE && world.stage() == Stage::Healed {
            world.set_stage(Stage::Settled);
            let phase = What::Phase {
                phase: Phase::Settled,
                within_us: 0,
                // Whoever was taken away was put back.
                nodes: (1..=world.machines()).collect(),
                shards: world.all_shards().map(|shard| shard.0).collect(),
            };
            recorder.note_at(at_us(&sim), phase);
        }
        if now >= ends - LAST && world.stage() == Stage::Settled {
            world.set_stage(Stage::Final);
        }
        if now >= supervised {
            supervised = now + SUPERVISE;
            supervise(&mut sim, &world, &chaos);
        }
        crate::real_time::set(now);
        if let Err(error) = sim.step() {
            trouble.push(format!("the simulation has ended: {error}"));
            break;
        }
        for machine in world.tick(now, TICK) {
            world.end(machine);
            sim.crash(host(machine));
        }
    }
    (1..=world.machines()).for_each(|machine| world.end(machine));
    drop(sim);
    trouble.append(&mut recorder.troubles());
    trouble.append(&mut PANICS.lock().expect("pushing does not panic"));
    let (events, trace) = recorder.finish();
    let outcome = judge(seed, &events, &trace, trouble);
    Run {
        outcome,
        events,
        trace,
    }
}

pub(crate) fn build_info() -> BuildInfo {
    BuildInfo {
        version: "sim".into(),
        revision: "sim".into(),
    }
}

fn build<'a>(world: &World) -> Sim<'a> {
    let mut builder = turmoil::Builder::new();
    builder
        .rng_seed(world.seed())
        .tick_duration(TICK)
        .min_message_latency(Duration::from_micros(200))
        .max_message_latency(Duration::from_millis(4))
        .simulation_duration(Duration::from_secs(3_600))
        .tcp_capacity(65_536)
        .enable_random_order();
    let mut sim = builder.build();
    for machine in 1..=world.machines() {
        let world = world.clone();
        sim.host(host(machine), move || machine::run(world.clone(), machine));
    }
    for number in 0..world.gateways() {
        let world = world.clone();
        let lives = std::cell::Cell::new(0);
        sim.host(gateway_host(number), move || {
            lives.set(lives.get() + 1);
            gateway::run(world.clone(), number, lives.get())
        });
    }
    let callers = world.clone();
    sim.host("raw", move || caller::run(callers.clone(), 0));
    if world.machines() > world.founders() {
        let operated = world.clone();
        sim.host("operator", move || operator::run(operated.clone()));
    }
    let filler = world.clone();
    sim.host("bulk", move || bulk::run(filler.clone()));
    sim
}

/// Starts processes that have ended by themselves, as whoever runs them would.
fn supervise(sim: &mut Sim<'_>, world: &World, chaos: &Chaos) {
    for machine in 1..=world.machines() {
        if chaos.is_down(machine) || sim.is_host_running(host(machine)) {
            continue;
        }
        world.change_machine(machine, |machine| {
            machine.disk = machine.disk.next_life();
        });
        sim.bounce(host(machine));
    }
}

fn judge(seed: u64, events: &[Event], trace: &[String], mut trouble: Vec<String>) -> Outcome {
    let mut bytes = Vec::new();
    quotum_checker::history::write(events, &mut bytes).expect("a vector grows");
    bytes.extend(trace.iter().flat_map(|line| line.bytes()));
    let digest = crc32fast::hash(&bytes);
    let report: Option<Report> = match check(events) {
        Ok(report) => Some(report),
        Err(error) => {
            trouble.push(format!("the history is none: {error}"));
            None
        }
    };
    let mut outcome = Outcome {
        seed,
        counted: false,
        missing: Vec::new(),
        violations: Vec::new(),
        invariants: Vec::new(),
        faults: 0,
        decisions: 0,
        digest,
    };
    if let Some(report) = report {
        let shown = report.violations.iter().map(|one| {
            let at_ms = one.at_us / 1_000;
            format!("{} at {at_ms} ms: {}", one.invariant, one.what)
        });
        outcome.violations.extend(shown);
        let names: BTreeSet<_> = report.violations.iter().map(|one| one.invariant).collect();
        outcome
            .invariants
            .extend(names.into_iter().map(ToOwned::to_owned));
        outcome.counted = report.coverage.is_enough();
        outcome.missing = report
            .coverage
            .missing()
            .into_iter()
            .map(ToOwned::to_owned)
            .collect();
        outcome.faults = report.faults;
        outcome.decisions = report.decisions;
    }
    // Last, what the history itself does not show.
    outcome.violations.append(&mut trouble);
    outcome
}
