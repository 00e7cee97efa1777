//! Clusters in one process, simulated: the same seed, the same run.
//!
//! The real replicas, counter service, client and decision path of the gateway run on turmoil's
//! hosts, with simulated disks and clocks, and everything that clients are told goes into a
//! history that `quotum-checker` judges. Each seed has a process of its own, because the order in
//! which tokio drops tasks depends on how many a process has had.
//!
//! # What goes wrong
//! * Processes: killed one or all, restarted in peace; stopped for seconds, and going on with what they
//!   knew.
//! * Power: unsynced blocks are lost, kept and reordered at will, and so are names.
//! * Disks: a sync that fails or is slow; no space; a bit that flips where it was synced.
//! * Network: cuts both ways, one way, of one pair, of gateways; held back, delayed; messages of nodes
//!   and of clients that arrive twice, up to seconds apart.
//! * Clocks: apart and drifting always, off by up to a day on one machine, also where a term starts;
//!   those of a majority, each by another time.
//! * Members: one is added, others are removed and put back.
//! * Clients: requests sent twice, to two nodes, after their refund, for less than nothing; clients and
//!   gateways that end.
//!
//! A node whose code panics ends as it would in earnest, and is started again: the run goes on, and the
//! panic is a violation of its own.
//!
//! # What it leaves out
//! * Segments that are delivered twice: a stream hides them. Its messages are delivered twice instead.
//! * An operator's command that arrives twice: it is said to be given once.
//! * TLS and the bounds of connections: they are tests of real processes.
//!
//! # Layout
//! * [`run`]: one run. [`world`]: what its hosts share. [`chaos`]: what goes wrong.
//! * [`machine`], [`process`]: the host of a node and the runtime of its process. [`node`]: what runs
//!   there.
//! * [`gateway`], [`caller`], [`bulk`], [`operator`]: the other hosts. [`fleet`]: what agents may do.
//! * [`disk`], [`clock`], [`wire`], [`rng`]: the simulated seams, and [`real_time`], which is none.
//!   [`twice`]: what arrives twice.
//! * [`record`]: the history.
//! * [`many`]: many seeds. [`arguments`]: the command line. What can be broken on purpose is in
//!   `quotum_limit::bugs`, and what must catch it in [`expected`].

#[cfg(not(tokio_unstable))]
compile_error!(
    "the simulator is built with --cfg tokio_unstable: run `cargo run -p quotum-sim`, or cargo in \
     tests/sim with RUSTFLAGS unset"
);

mod arguments;
mod bulk;
mod caller;
mod chaos;
mod clock;
mod disk;
mod expected;
mod fleet;
mod gateway;
mod machine;
mod many;
mod node;
mod operator;
mod process;
mod real_time;
mod record;
mod rng;
mod run;
mod twice;
mod wire;
mod world;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::arguments::Arguments;

/// The exit code of a bad command line, as in `sysexits.h`.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let shown = error.print();
            let is_answer = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            return match is_answer && shown.is_ok() {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(USAGE),
            };
        }
    };
    let done = arguments.check().and_then(|()| match &arguments {
        arguments if arguments.list_bugs => list_bugs(),
        arguments if arguments.one => one(arguments),
        arguments => many::run(arguments),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

fn list_bugs() -> std::io::Result<bool> {
    for (_, name, _) in quotum_limit::bugs::ALL {
        writeln!(std::io::stdout(), "{name}")?;
    }
    Ok(true)
}

/// Runs one seed in this process, and prints its outcome.
fn one(arguments: &Arguments) -> std::io::Result<bool> {
    let most = Rlimit {
        current: Some(many::CPU_SECONDS_MAX),
        maximum: Some(many::CPU_SECONDS_MAX),
    };
    setrlimit(Resource::Cpu, most)?;
    if arguments.log {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_max_level(tracing::Level::DEBUG)
            .init();
    }
    if let Some(name) = &arguments.bug {
        quotum_limit::bugs::select(name);
    }
    let run = run::run(arguments.seed);
    if let Some(path) = &arguments.history {
        let file = std::io::BufWriter::new(std::fs::File::create(path)?);
        quotum_checker::history::write(&run.events, file)?;
        std::fs::write(path.with_extension("trace"), run.trace.join("\n"))?;
    }
    let line = serde_json::to_string(&run.outcome)?;
    writeln!(std::io::stdout(), "{line}")?;
    Ok(run.outcome.violations.is_empty())
}
