//! Names of this test alone: a file in the place of the machine's `/etc/hosts`, for the processes
//! that are started with it. Addresses change under them while they run.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::Bench;
use crate::failure::{Failure, Result};

/// What puts the file in its place, in a mount namespace that ends with the process.
const MOUNT: &str = r#"mount --bind "$0" /etc/hosts && exec "$@""#;

/// The names, shared by all who were started with them.
#[derive(Debug, Clone)]
pub struct Names {
    file: PathBuf,
}

// === impl Names ===

impl Names {
    pub fn write(bench: &Bench, names: &[(String, Ipv4Addr)]) -> Result<Self> {
        let file = bench.path("hosts");
        let lines = names.iter().map(|(name, host)| format!("{host} {name}\n"));
        fs::write(&file, lines.collect::<String>())?;
        Ok(Self { file })
    }

    /// The address that a name has now.
    pub fn address(&self, name: &str) -> Result<Ipv4Addr> {
        let text = fs::read_to_string(&self.file)?;
        let found = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(_, known)| *known == name);
        let (host, _) = found.ok_or_else(|| Failure::new(format!("{name} is no name here")))?;
        Ok(host.parse()?)
    }

    /// Gives a name another address, for all who look it up from here on. The file stays the same
    /// one: it is what is mounted.
    pub fn change(&self, name: &str, host: Ipv4Addr) -> Result {
        let before = self.address(name)?;
        let text = fs::read_to_string(&self.file)?;
        let (old, new) = (format!("{before} {name}\n"), format!("{host} {name}\n"));
        Ok(fs::write(&self.file, text.replace(&old, &new))?)
    }

    /// A program that goes by these names.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "bash", "-c", MOUNT]);
        command.arg(&self.file).arg(program);
        command
    }
}
