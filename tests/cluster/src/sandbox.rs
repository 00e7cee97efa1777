//! The sandbox: namespaces of its own for network, mounts and processes, in which a run may break
//! what it likes.
//!
//! Promises: however a run ends, the kernel takes its processes, interfaces, firewall rules, mounts
//! and loop devices with it; two runs never meet. Only the run's folder can be left behind, and the
//! next run removes those of dead ones. Without root a user namespace gives what it can.
//!
//! Inside it each scenario has one more of its own, which ends with the scenario.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use quotum_e2e::failure::{Failure, Result};

use crate::shell;

/// The first argument of a run that is inside already.
pub const INSIDE: &str = "--inside";
/// The first argument of a process that runs one scenario, in its own sandbox.
pub const ALONE: &str = "--alone";
/// What the folders of runs are called before the process id.
const FOLDER: &str = "quotum-cluster-";

const NAMESPACES: [&str; 7] = [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation=private",
];
/// Root of the namespaces alone: it may not attach loop devices.
const WITHOUT_ROOT: [&str; 2] = ["--user", "--map-root-user"];

/// Runs this program again inside a sandbox, in place of this process. Returns only with the
/// reason why there is none.
pub fn enter(arguments: &[String]) -> Failure {
    match try_enter(arguments) {
        Err(failure) => failure,
    }
}

fn try_enter(arguments: &[String]) -> Result<Infallible> {
    sweep(&std::env::temp_dir());
    let flags = [&[][..], &WITHOUT_ROOT[..]]
        .into_iter()
        .find(|more| {
            let mut command = Command::new("unshare");
            let command = command.args(*more).args(NAMESPACES);
            shell::run(command.args(["--", "true"])).is_ok()
        })
        .ok_or_else(|| Failure::new("no namespaces: run as root, or allow user namespaces"))?;
    let folder = std::env::temp_dir().join(format!("{FOLDER}{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let mut command = Command::new("unshare");
    let failed = command
        .args(flags)
        .args(NAMESPACES)
        .arg("--")
        .arg(std::env::current_exe()?)
        .arg(INSIDE)
        .args(arguments.iter().skip(1))
        .env("TMPDIR", &folder)
        .exec();
    Err(failed.into())
}

/// Has a command, which runs what its arguments say, run this program in a sandbox inside this one.
pub fn nested(command: &mut Command, arguments: &[&str]) -> Result {
    command
        .arg("unshare")
        .args(NAMESPACES)
        .arg("--")
        .arg(std::env::current_exe()?)
        .args(arguments);
    Ok(())
}

/// Makes the inside habitable.
pub fn furnish() -> Result {
    shell::run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    // Names of namespaces and the firewall's lock: none of our business outside.
    shell::run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]))?;
    Ok(std::fs::create_dir("/run/netns")?)
}

/// Removes the run's folder, the last that a run does.
pub fn clear() {
    // The next run does it otherwise.
    let _gone = std::fs::remove_dir_all(std::env::temp_dir());
}

/// Whether root here is root of the machine.
pub fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// Removes the folders of runs whose process is gone.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(FOLDER));
        if process.is_some_and(|process| !is_alive(process.as_ref())) {
            // A folder of another user stays.
            let _left = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn is_alive(process: &OsStr) -> bool {
    Path::new("/proc").join(process).exists()
}
