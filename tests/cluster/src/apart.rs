//! Each scenario in a sandbox and a process of its own, a few at a time.
//!
//! Promises: scenarios that run beside each other share the machine's processors and its disk, and
//! nothing else; one that hangs is ended; what one has to say is printed in one piece.

use std::io::Write;
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use quotum_e2e::bench::Bench;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::settings::Settings;
use quotum_e2e::tools::Tools;
use serde_json::{Value, json};

use crate::limits::{END_MAX, SCENARIO_MAX, SLOTS_MAX};
use crate::sandbox::{self, ALONE};
use crate::scenarios;
use crate::verdict::TOTALS;

/// How many scenarios run at a time: they wait more than they work.
pub fn slots() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors + 1).min(SLOTS_MAX)
}

/// Runs one scenario, and adds to [`TOTALS`] what it came to.
pub fn run(name: &str) -> std::result::Result<(), Failed> {
    let begun = Instant::now();
    let output = command(name).and_then(|mut command| Ok(command.output()?));
    let output = output.map_err(|failure| failure.to_string())?;
    let took = begun.elapsed();
    // In one piece: others print as well.
    let notes = String::from_utf8_lossy(&output.stderr);
    let text = format!("{name}, {:.1} s\n{notes}", took.as_secs_f64());
    let _unheard = std::io::stderr().lock().write_all(text.as_bytes());
    Ok(judged(&output, took)?)
}

/// Under a program that ends it: the scenario itself is ended before.
fn command(name: &str) -> Result<Command> {
    let mut command = Command::new("timeout");
    command
        .arg("--signal=KILL")
        .arg((SCENARIO_MAX + END_MAX).as_secs().to_string());
    sandbox::nested(&mut command, &[ALONE, name])?;
    Ok(command)
}

fn judged(output: &Output, took: Duration) -> std::result::Result<(), String> {
    let said = String::from_utf8_lossy(&output.stdout);
    let said: Option<Value> = said
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok());
    let Some(said) = said else {
        let status = output.status;
        return Err(format!(
            "it ended without a word after {took:?} ({status}); its last words are above"
        ));
    };
    TOTALS.take(&said["totals"]);
    match said["failure"].as_str() {
        Some(failure) => Err(failure.to_owned()),
        None if output.status.success() => Ok(()),
        None => Err(format!("it ended with {}", output.status)),
    }
}

/// The other end: the scenario of this name runs here. The last line of the output says how it went.
pub fn alone(name: &str) -> ExitCode {
    let failure = play(name).err();
    let said = json!({ "failure": failure, "totals": TOTALS.to_json() });
    let told = writeln!(std::io::stdout(), "{said}");
    match failure.is_none() && told.is_ok() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn play(name: &str) -> std::result::Result<(), String> {
    let bench = bench().map_err(|failure| failure.to_string())?;
    let scenario = scenarios::all().into_iter().find(|one| one.name == name);
    let scenario = scenario.ok_or_else(|| format!("there is no scenario {name}"))?;
    let played = (scenario.run)(&bench);
    played.map_err(|failure| bench.explain(&failure))
}

fn bench() -> Result<Bench> {
    sandbox::furnish()?;
    let settings = Settings::from_environment();
    let tools = Tools::find(&settings);
    Bench::new(settings, tools)
}

/// Ends a scenario that hangs, while its logs can still be shown.
pub async fn in_time(scenario: impl Future<Output = Result>) -> Result {
    let ended = tokio::time::timeout(SCENARIO_MAX, scenario).await;
    ended.unwrap_or_else(|_| {
        Err(Failure::new(format!(
            "it was not over after {SCENARIO_MAX:?}"
        )))
    })
}
