//! The `quotum` program: one for every process of a cluster, and for its operators.
//!
//! A library only so that its settings can be fuzzed; `main.rs` runs [`main`] and does nothing else.
//!
//! Promises: nothing else in this workspace reads the environment, reads files of configuration or
//! ends a process; bad usage and bad configuration end with 64 before any socket opens; no secret
//! is printed but those that an operator asked for.
//!
//! # Layout
//! * [`arguments`]: the commands. [`environment`], [`files`], [`settings`]: what they read.
//! * [`counter`], [`gateway`]: the two kinds of processes. [`process`]: what both have around them.
//! * [`tls`]: their certificates.
//! * [`dev`]: a cluster on loopback. [`demo`]: the MCP server that it shows.
//! * [`admin`]: the commands of an operator, over gRPC. [`policy`]: those on files alone.
//! * [`descriptors`]: the files of the rate-limit API, followed and checked.
//! * [`failure`]: how a command ends. [`output`]: what it prints. [`limits`]: every maximum.

mod admin;
mod arguments;
mod counter;
mod demo;
mod descriptors;
mod dev;
mod duration;
mod environment;
mod failure;
mod files;
mod gateway;
mod limits;
mod output;
mod policy;
mod process;
mod secrets;
mod settings;
mod tls;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::environment::Environment;
use crate::failure::{Exit, Failure};

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    match run(arguments) {
        Ok(()) => Exit::Success.into(),
        Err(failure) => {
            output::complain(&failure.to_string());
            failure.exit.into()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let environment = Environment::read();
    let format = arguments.output;
    match arguments.command {
        Command::Dev(options) => dev::run(&options, &environment, format),
        Command::Counter(options) => counter::run(&options, &environment),
        Command::Gateway(options) => gateway::run(&options, &environment),
        Command::Policy(command) => policy::run(&command, format),
        Command::Descriptors(arguments::Descriptors::Check(options)) => {
            descriptors::check(&options, format)
        }
        Command::Apply(options) => admin::apply::run(&options, &environment, format),
        Command::Get(options) => admin::get::run(&options, &environment, format),
        Command::Grant(command) => admin::grant::run(&command, &environment, format),
        Command::Administrator(command) => {
            admin::administrator::run(&command, &environment, format)
        }
        Command::Cluster(command) => admin::cluster::run(&command, &environment, format),
    }
}

/// Tries any text as the settings of both kinds of processes.
#[cfg(fuzzing)]
pub fn try_settings(text: &str) {
    settings::trial::both(text);
}

/// Help and versions go to standard output and are no failure; all else is bad usage.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe is no reason to say more.
    let _ = error.print();
    match error.use_stderr() {
        true => Exit::Usage.into(),
        false => Exit::Success.into(),
    }
}
