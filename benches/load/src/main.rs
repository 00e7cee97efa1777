//! A load generator: decisions of the counter service by stream or one at a time, by Envoy's
//! rate-limit API, MCP calls over HTTP, and, for comparison, decisions of servers that speak Redis'
//! protocol. It measures from when a request was due, so that a system that stalls cannot hide it.
//!
//! # Layout
//! * [`arguments`]: the command line. [`run`]: one run, from the first connection to the report.
//! * [`lane`]: one client, without IO: what it sends when, by a [`pace`], and its [`tally`].
//! * [`stream`], [`unary`], [`mcp`], [`redis`]: what moves a lane's requests. [`wire`]: their
//!   bytes. [`pool`]: connections with one request each. [`keys`]: which counters they ask for.
//! * [`leader`]: where the leader is. [`tls`]: connections to an MCP endpoint over https. [`cpu`]: what processes use. [`timer`]: exact waiting.
//! * [`report`]: the result. [`failure`]: what can go wrong. [`limits`]: every named maximum.

mod arguments;
mod carrier;
mod cpu;
mod failure;
mod keys;
mod lane;
mod leader;
mod limits;
mod mcp;
mod pace;
mod pool;
mod redis;
mod report;
mod run;
mod stream;
mod tally;
mod timer;
mod tls;
mod unary;
mod wire;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::arguments::Arguments;
use crate::report::Report;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code of a bad command line, as in `sysexits.h`.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse().and_then(Arguments::check) {
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
    // One thread: the cores belong to what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let report = match runtime {
        Ok(runtime) => runtime.block_on(run::run(&arguments, token_of_environment())),
        Err(error) => Report::failed(&error),
    };
    let written = match serde_json::to_string(&report) {
        Ok(line) => writeln!(std::io::stdout(), "{line}"),
        Err(error) => Err(error.into()),
    };
    for complaint in &report.complaints {
        // Nobody is left to tell if this fails.
        let _ = writeln!(std::io::stderr(), "error: {complaint}");
    }
    match written.is_ok() && report.errors == 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, and the only place in it: a token is no argument"
)]
fn token_of_environment() -> Option<String> {
    std::env::var("QUOTUM_TOKEN").ok()
}
