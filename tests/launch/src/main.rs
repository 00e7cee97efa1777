//! Builds the simulator and becomes it: the same arguments, signals and exit code.
//!
//! The simulator has flags of the compiler that the rest of the workspace must not have, so it is a
//! workspace of its own in `tests/sim`, and `cargo run -p quotum-sim` finds this in its place. What
//! the build says goes to standard error; one that has nothing to do says nothing.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Each of these would take the place of the flags in `tests/sim/.cargo/config.toml`, or of the place
/// that the simulator is built to.
const FOREIGN: [&str; 4] = [
    "RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
];

/// What `cargo run` tells this process of its own package: build scripts that look at one of these
/// would be run again, and all that depends on them be compiled again, whenever it is not the same.
const TOLD: [&str; 19] = [
    "CARGO",
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_AUTHORS",
    "CARGO_PKG_DESCRIPTION",
    "CARGO_PKG_HOMEPAGE",
    "CARGO_PKG_LICENSE",
    "CARGO_PKG_LICENSE_FILE",
    "CARGO_PKG_NAME",
    "CARGO_PKG_README",
    "CARGO_PKG_REPOSITORY",
    "CARGO_PKG_RUST_VERSION",
    "CARGO_PKG_VERSION",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// The exit code of what cannot be started, as a shell has it.
const NOT_STARTED: u8 = 126;

fn main() -> ExitCode {
    let why = match built() {
        Ok(simulator) => Command::new(simulator)
            .args(std::env::args_os().skip(1))
            .exec(),
        Err(error) => error,
    };
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "error: the simulator does not run: {why}");
    ExitCode::from(NOT_STARTED)
}

/// Where the simulator is, once it is built.
fn built() -> io::Result<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = tests.join("../target/sim");
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(&target)
        .current_dir(tests.join("sim"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    for variable in FOREIGN.iter().chain(&TOLD) {
        cargo.env_remove(variable);
    }
    let mut cargo = cargo.spawn()?;
    if let Some(said) = cargo.stderr.take() {
        for line in BufReader::new(said).lines() {
            let line = line?;
            if !line.trim_start().starts_with("Finished ") {
                writeln!(io::stderr(), "{line}")?;
            }
        }
    }
    match cargo.wait()? {
        status if status.success() => Ok(target.join("release/quotum-simulator")),
        status => Err(io::Error::other(format!("its build failed: {status}"))),
    }
}
