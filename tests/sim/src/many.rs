//! Many seeds: a process for each, some at a time.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde::Serialize;

use crate::arguments::{Arguments, Output};
use crate::expected::is_caught;
use crate::run::Outcome;

/// The most CPU time of a run, a hundred times what one takes. A task that turns while no time passes
/// would be waited for in vain.
pub(crate) const CPU_SECONDS_MAX: u64 = 120;

/// The last line.
#[derive(Debug, Default, Serialize)]
struct Summary {
    seeds: u64,
    /// Runs in which enough happened.
    counted: u64,
    violations: u64,
    faults: u64,
    decisions: u64,
    /// With a bug: the seeds in which an invariant that it breaks has caught it.
    #[serde(skip_serializing_if = "Option::is_none")]
    caught: Option<u64>,
    /// The seeds that show a violation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<u64>,
}

/// Runs the seeds, and says whether all was well.
pub(crate) fn run(arguments: &Arguments) -> io::Result<bool> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.unwrap_or(cores).max(1);
    let mut summary = Summary {
        caught: arguments.bug.as_ref().map(|_| 0),
        ..Summary::default()
    };
    let mut next = arguments.seed;
    let end = arguments.seed.saturating_add(arguments.seeds);
    let mut running: std::collections::VecDeque<(u64, Child)> = Default::default();
    let mut is_found = false;
    loop {
        while running.len() < jobs && next < end && !(is_found && arguments.first) {
            running.push_back((next, start(arguments, next)?));
            next += 1;
        }
        let Some((seed, child)) = running.pop_front() else {
            break;
        };
        let outcome = finish(seed, child)?;
        let is_wrong = !outcome.violations.is_empty();
        is_found |= match &arguments.bug {
            Some(bug) => {
                let is_caught = is_caught(bug, &outcome.invariants);
                summary.caught = summary.caught.map(|seeds| seeds + u64::from(is_caught));
                is_caught
            }
            None => is_wrong,
        };
        tell(arguments, &outcome)?;
        summary.add(&outcome);
        if arguments.output == Output::Text && summary.seeds.is_multiple_of(50) {
            let Summary {
                seeds,
                counted,
                failed,
                ..
            } = &summary;
            let failed = failed.len();
            writeln!(
                io::stderr(),
                "{seeds} seeds, {counted} counted, {failed} failed"
            )?;
        }
    }
    writeln!(io::stdout(), "{}", serde_json::to_string(&summary)?)?;
    Ok(summary.violations == 0)
}

fn start(arguments: &Arguments, seed: u64) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(seed.to_string()).arg("--one");
    if let Some(bug) = &arguments.bug {
        command.args(["--bug", bug]);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// What a process printed; one that broke is a violation of its own.
fn finish(seed: u64, child: Child) -> io::Result<Outcome> {
    let output = child.wait_with_output()?;
    let why = match output.status.signal() == Some(Signal::XCPU.as_raw()) {
        true => format!("it has not ended after {CPU_SECONDS_MAX} s of CPU time"),
        false => format!(
            "the process ended without an outcome: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
    };
    let broken = || Outcome {
        seed,
        counted: false,
        missing: Vec::new(),
        violations: vec![why],
        invariants: Vec::new(),
        faults: 0,
        decisions: 0,
        digest: 0,
    };
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_else(|_| broken()))
}

fn tell(arguments: &Arguments, outcome: &Outcome) -> io::Result<()> {
    if arguments.output == Output::Json {
        return Ok(());
    }
    let mut out = io::stdout();
    let seed = outcome.seed;
    for violation in &outcome.violations {
        writeln!(out, "seed {seed}: {violation}")?;
    }
    if !outcome.violations.is_empty() {
        let bug = arguments.bug.as_ref();
        let bug = bug.map_or(String::new(), |bug| format!(" --bug {bug}"));
        let invariants = outcome.invariants.join(" ");
        writeln!(out, "replay: just sim {seed}{bug}  # {invariants}")?;
    } else if !outcome.counted {
        writeln!(
            out,
            "seed {seed} does not count: no {}",
            outcome.missing.join(", no ")
        )?;
    }
    Ok(())
}

// === impl Summary ===

impl Summary {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.counted += u64::from(outcome.counted);
        self.violations += outcome.violations.len() as u64;
        self.faults += outcome.faults as u64;
        self.decisions += outcome.decisions as u64;
        if !outcome.violations.is_empty() {
            self.failed.push(outcome.seed);
        }
    }
}
