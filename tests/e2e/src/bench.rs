//! What one scenario has around it: the tools, a folder of its own, an HTTP client, and the logs of
//! everything that it started.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::http::Http;
use crate::limits::LOG_LINES_SHOWN_MAX;
use crate::settings::Settings;
use crate::tools::Tools;

/// One scenario's surroundings; the folder goes with it.
#[derive(Debug)]
pub struct Bench {
    pub settings: Settings,
    pub tools: Tools,
    pub http: Http,
    folder: tempfile::TempDir,
}

// === impl Bench ===

impl Bench {
    pub fn new(settings: Settings, tools: Tools) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("quotum-e2e-").tempdir()?;
        std::fs::create_dir(folder.path().join("logs"))?;
        Ok(Self {
            settings,
            tools,
            http: Http::default(),
            folder,
        })
    }

    /// A path in the scenario's own folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// Tells the person who watches a figure that was measured.
    pub fn note(&self, text: &str) {
        let _unheard = writeln!(std::io::stderr(), "    {text}");
    }

    /// The last lines of every log, and then the failure: where only the end of a long output is
    /// shown, it is there.
    pub fn explain(&self, failure: &Failure) -> String {
        let mut text = String::new();
        let mut logs: Vec<_> = std::fs::read_dir(self.logs())
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        logs.sort_by_key(std::fs::DirEntry::file_name);
        for log in logs {
            let _infallible = writeln!(text, "--- {}\n{}", name(&log.path()), tail(&log.path()));
        }
        let _infallible = write!(text, "--- what failed\n{failure}");
        text
    }
}

/// A port of loopback that was free a moment ago: for programs that cannot choose one themselves.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn tail(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN_MAX)..].join("\n")
}
