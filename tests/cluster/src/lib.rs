//! Real counter nodes and gateways, broken on purpose: what must hold of processes, kernels, disks
//! and networks that no simulator has.
//!
//! Each scenario starts a cluster of `quotum counter` processes, every one in a network namespace of
//! its own on one bridge, and real clients that never stop asking. Everything that is asked and
//! answered becomes a history, and so does what the nodes say of themselves. Something is broken,
//! then everything is healed, and `quotum-checker` judges the whole history: no limit was exceeded
//! in any window, no request was charged twice, every denial was due, nothing that was acknowledged
//! was lost, and all nodes ended with the same state.
//!
//! `just cluster` runs all of it in about ten minutes, `just cluster disk` what has `disk` in its
//! name. What a machine lacks is said, and the scenarios that need it are ignored; with
//! `QUOTUM_REQUIRE_ALL=1` they fail. A history that fails is kept in `target/cluster`.
//!
//! # Layout
//! * [`scenarios`]: what is broken, and what must hold. [`course`]: what all of them have in common.
//! * [`sandbox`], [`network`], [`needs`]: the surroundings. [`cluster`], [`node`], [`status`]: the
//!   nodes.
//! * [`delay`], [`wall`], [`disk`]: what is broken beside processes and firewalls.
//! * [`load`], [`watch`], [`recorder`], [`logged`], [`verdict`]: the history and what is thought of
//!   it.

pub mod cluster;
pub mod course;
pub mod delay;
pub mod disk;
pub mod limits;
pub mod load;
pub mod logged;
pub mod needs;
pub mod network;
pub mod node;
pub mod recorder;
pub mod sandbox;
pub mod scenarios;
pub mod secrets;
pub mod shell;
pub mod status;
pub mod verdict;
pub mod wall;
pub mod watch;

use std::io::Write;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use quotum_e2e::bench::Bench;
use quotum_e2e::failure::Result;
use quotum_e2e::settings::Settings;
use quotum_e2e::tools::Tools;

use needs::Machine;
use scenarios::Scenario;

/// Runs the scenarios that the arguments name: the whole of the test program.
pub fn run(mut arguments: Vec<String>) -> ExitCode {
    let is_inside = arguments
        .get(1)
        .is_some_and(|first| first == sandbox::INSIDE);
    if is_inside {
        arguments.remove(1);
    }
    let mut parsed = Arguments::from_iter(&arguments);
    // Each scenario loads the machine on its own, and measures time.
    parsed.test_threads = Some(1);
    let sandbox = match is_inside {
        true => sandbox::furnish(),
        false if parsed.list => Ok(()),
        false => Err(sandbox::enter(&arguments)),
    };
    let settings = Settings::from_environment();
    let tools = Tools::find(&settings);
    let machine = Machine::look(sandbox, &tools);
    let trials = scenarios::all()
        .into_iter()
        .map(|scenario| trial(scenario, &settings, &tools, &machine));
    let conclusion = libtest_mimic::run(&parsed, trials.collect());
    if is_inside {
        sandbox::clear();
    }
    conclusion.exit_code()
}

fn trial(scenario: Scenario, settings: &Settings, tools: &Tools, machine: &Machine) -> Trial {
    let Scenario { name, needs, run } = scenario;
    let missing = machine.missing(needs);
    let is_ignored = !missing.is_empty() && !settings.requires_all;
    if is_ignored {
        let _unheard = writeln!(
            std::io::stderr(),
            "{name} is ignored: {}",
            missing.join("; ")
        );
    }
    let (settings, tools) = (settings.clone(), tools.clone());
    let trial = move || match missing.is_empty() {
        true => play(run, settings, tools),
        false => Err(Failed::from(format!("missing: {}", missing.join("; ")))),
    };
    Trial::test(name, trial).with_ignored_flag(is_ignored)
}

fn play(run: scenarios::Run, settings: Settings, tools: Tools) -> std::result::Result<(), Failed> {
    let bench = Bench::new(settings, tools).map_err(|failure| failure.to_string())?;
    run(&bench).map_err(|failure| Failed::from(format!("{failure}{}", bench.tails())))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}
