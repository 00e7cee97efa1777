//! What a scenario cannot run without, and whether this machine has it.

use std::path::{Path, PathBuf};
use std::process::Command;

use quotum_e2e::failure::Result;
use quotum_e2e::tools::{Tool, Tools};

use crate::sandbox;
use crate::shell;

/// Where Debian's `faketime` has its library.
pub const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The build that comes after this one, by `tests/cluster/next`.
pub fn next_build() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/next/quotum")
}

/// Something that a machine may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Iptables,
    /// Packets can be held back by a program.
    Queue,
    Faketime,
    /// A C compiler, for the library that stands between a node and its disk.
    Gcc,
    /// The build that comes after this one.
    Next,
    /// Disks that can lose their power: loop devices need root of the machine itself.
    Xfs,
}

/// What this machine has.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What every scenario lacks here.
    missing: Vec<String>,
}

// === impl Machine ===

impl Machine {
    pub fn look(sandbox: Result, tools: &Tools) -> Self {
        let mut missing = tools.missing(&[Tool::Quotum]);
        if tools.is_bare() {
            missing.push("a machine to break: QUOTUM_BARE is set".to_owned());
        }
        missing.extend(sandbox.err().map(|failure| failure.to_string()));
        Self { missing }
    }

    /// What is missing of `needs`, in words; empty: nothing.
    pub fn missing(&self, needs: &[Need]) -> Vec<String> {
        let lacking = needs.iter().filter(|need| !need.is_there());
        let lacking = lacking.map(|need| need.advice().to_owned());
        self.missing.iter().cloned().chain(lacking).collect()
    }
}

// === impl Need ===

impl Need {
    fn is_there(self) -> bool {
        let starts =
            |program: &str, argument: &str| shell::run(Command::new(program).arg(argument)).is_ok();
        match self {
            Self::Iptables => starts("iptables", "-S"),
            Self::Queue => {
                starts("iptables", "-S") && std::path::Path::new("/proc/net/netfilter").exists()
            }
            Self::Faketime => std::path::Path::new(FAKETIME).exists(),
            Self::Gcc => starts("gcc", "--version"),
            Self::Next => next_build().exists(),
            Self::Xfs => starts("mkfs.xfs", "-V") && starts("xfs_io", "-V") && sandbox::is_root(),
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Iptables => "iptables: tests/cluster/setup",
            Self::Queue => "packet queues of iptables: tests/cluster/setup, or another kernel",
            Self::Faketime => "libfaketime: tests/cluster/setup",
            Self::Gcc => "gcc: tests/cluster/setup",
            Self::Next => "the next build of quotum: tests/cluster/next",
            Self::Xfs => "XFS on loop devices: tests/cluster/setup, as root",
        }
    }
}
