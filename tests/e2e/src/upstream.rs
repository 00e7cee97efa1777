//! Real MCP servers behind the gateways, on loopback, on ports that the system chose.

use std::process::Command;
use std::time::Duration;

use crate::authority::Authority;
use crate::bench::Bench;
use crate::failure::{Failure, Result};
use crate::process::Process;

/// A server on this machine has started within this.
const START_MAX: Duration = Duration::from_secs(20);

/// A running MCP server.
#[derive(Debug)]
pub struct Upstream {
    /// Ends with this.
    _process: Process,
    /// Where the gateways go.
    pub url: String,
    /// Where it counts what it did, if it does.
    executions: Option<String>,
}

// === impl Upstream ===

impl Upstream {
    /// Our own server on the Python SDK: one tool of each kind, both eras.
    pub fn python(bench: &Bench) -> Result<Self> {
        let mut command = Command::new(bench.tools.python());
        Self::start(
            "python",
            command.arg(bench.tools.own("upstreams/everything.py")),
            bench,
        )
    }

    /// The same over https, with a certificate of `authority` for `localhost`.
    pub fn python_over_tls(bench: &Bench, authority: &Authority) -> Result<Self> {
        let files = authority.vouch(bench, "localhost")?;
        let mut command = Command::new(bench.tools.python());
        command
            .arg(bench.tools.own("upstreams/everything.py"))
            .args([files.certificate, files.key]);
        Self::start("python-tls", &mut command, bench)
    }

    /// The reference server of the TypeScript SDK: sessions only, answers as event streams.
    pub fn everything(bench: &Bench) -> Result<Self> {
        let package = "@modelcontextprotocol/server-everything/dist/index.js";
        let mut command = node(bench, "upstreams/loopback.cjs", package);
        Self::start("everything", command.arg("streamableHttp"), bench)
    }

    /// A server that sends messages to people; here they are counted instead.
    pub fn whatsapp(bench: &Bench) -> Result<Self> {
        let package = "@codespar/mcp-whatsapp-cloud/dist/index.js";
        let mut command = node(bench, "upstreams/whatsapp.cjs", package);
        Self::start("whatsapp", command.arg("--http"), bench)
    }

    /// One of the server's own counts.
    pub async fn executions(&self, bench: &Bench, of: &str) -> Result<u64> {
        let url = self.executions.as_deref();
        let url = url.ok_or_else(|| Failure::new(format!("{} counts nothing", self.url)))?;
        Ok(bench.http.get_json(url).await?[of]
            .as_u64()
            .unwrap_or_default())
    }

    fn start(name: &str, command: &mut Command, bench: &Bench) -> Result<Self> {
        let process = Process::start(name, command, &bench.logs())?;
        let line = process.json_line(START_MAX)?;
        let address = |key: &str| line[key].as_str().map(str::to_owned);
        let url = address("url").ok_or_else(|| Failure::new(format!("{name} said {line}")))?;
        Ok(Self {
            _process: process,
            url,
            executions: address("executions"),
        })
    }
}

fn node(bench: &Bench, preload: &str, package: &str) -> Command {
    let mut command = Command::new(bench.tools.node());
    command
        .arg("-r")
        .arg(bench.tools.own(preload))
        .arg(bench.tools.node_modules().join(package));
    command
}
