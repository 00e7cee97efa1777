//! The clients that people really use: the SDKs, each in a process of its own.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::ensure;
use crate::failure::{Failure, Result};
use crate::limits::SDK_JOB_MAX;
use crate::mcp::{DECISION, DENIED, Era, LEGACY, MODERN, Outcome, Session};

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    /// Python's SDK, which asks for the newest version and falls back.
    PythonAuto,
    /// Python's SDK with sessions.
    PythonLegacy,
    /// Version 1 of TypeScript's SDK, which knows sessions only.
    TypeScript1,
    /// Version 2 of TypeScript's SDK, which asks for the newest version and falls back.
    TypeScript2,
    /// Our own, without an SDK.
    Plain,
}

/// What a client saw.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    /// The protocol version that both sides agreed on.
    pub negotiated: String,
    pub tools: Vec<String>,
    pub calls: Vec<Call>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Call {
    pub name: String,
    pub is_error: bool,
    pub text: String,
    pub meta: Value,
    /// What the server said while the tool ran: its progress, and what it logged. Our own client
    /// does not listen.
    pub said: Vec<String>,
}

// === impl Sdk ===

impl Sdk {
    pub const ALL: [Self; 5] = [
        Self::PythonAuto,
        Self::PythonLegacy,
        Self::TypeScript1,
        Self::TypeScript2,
        Self::Plain,
    ];

    /// The version that it agrees on with a server that speaks both eras.
    pub fn preferred(self) -> &'static str {
        match self {
            Self::PythonAuto | Self::TypeScript2 | Self::Plain => MODERN,
            Self::PythonLegacy | Self::TypeScript1 => LEGACY,
        }
    }

    /// Connects, lists the tools, and makes the calls one after the other.
    pub async fn work(
        self,
        bench: &Bench,
        url: &str,
        token: &str,
        calls: &[(&str, Value)],
    ) -> Result<Report> {
        let report = match self.program(bench) {
            None => plain(bench, url, token, calls).await,
            Some((command, mode)) => run(command, url, token, mode, calls).await,
        };
        report.map_err(|failure| failure.during(format!("{self:?}")))
    }

    /// The same by an SDK that believes an authority, as people make it do that.
    pub async fn work_trusting(
        self,
        authority: &Path,
        bench: &Bench,
        url: &str,
        token: &str,
        calls: &[(&str, Value)],
    ) -> Result<Report> {
        let program = self.program(bench);
        let (mut command, mode) = program.ok_or_else(|| Failure::new("it knows no TLS"))?;
        command.env("SSL_CERT_FILE", authority);
        command.env("NODE_EXTRA_CA_CERTS", authority);
        let report = run(command, url, token, mode, calls).await;
        report.map_err(|failure| failure.during(format!("{self:?}")))
    }

    /// What runs it, and the mode that it is told; none: it is our own.
    fn program(self, bench: &Bench) -> Option<(Command, &'static str)> {
        Some(match self {
            Self::Plain => return None,
            Self::PythonAuto => (python(bench), "auto"),
            Self::PythonLegacy => (python(bench), "legacy"),
            Self::TypeScript1 => (node(bench, "ts_v1.mjs"), "legacy"),
            Self::TypeScript2 => (node(bench, "ts_v2.mjs"), "auto"),
        })
    }
}

// === impl Call ===

impl Call {
    /// The text of a denial by the gateway; `None`: it was not denied.
    pub fn denial(&self) -> Option<&str> {
        let denied = self.is_error && self.meta[DECISION].is_object();
        self.text.strip_prefix(DENIED).filter(|_| denied)
    }
}

async fn plain(bench: &Bench, url: &str, token: &str, calls: &[(&str, Value)]) -> Result<Report> {
    let session = Session::open(&bench.http, url, token).await?;
    let tools = session.tools().await?;
    let mut made = Vec::new();
    for (name, arguments) in calls {
        let answer = session.call(name, arguments.clone()).await;
        let (is_error, text, meta) = match answer.outcome {
            Outcome::Allowed { text } => (false, text, Value::Null),
            Outcome::Denied { text, decision } => (
                true,
                format!("{DENIED}{text}"),
                json!({ DECISION: decision }),
            ),
            other => return Err(Failure::new(format!("{name}: {other:?}"))),
        };
        made.push(Call {
            name: (*name).to_owned(),
            is_error,
            text,
            meta,
            said: Vec::new(),
        });
    }
    let negotiated = match session.era() {
        Era::Modern => MODERN,
        Era::Legacy { .. } => LEGACY,
    };
    Ok(Report {
        negotiated: negotiated.to_owned(),
        tools,
        calls: made,
    })
}

async fn run(
    mut command: Command,
    url: &str,
    token: &str,
    mode: &str,
    calls: &[(&str, Value)],
) -> Result<Report> {
    let calls = calls
        .iter()
        .map(|(name, args)| json!({ "name": name, "arguments": args }));
    let calls: Vec<Value> = calls.collect();
    let job = json!({ "url": url, "token": token, "mode": mode, "calls": calls }).to_string();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child
            .stdin
            .take()
            .expect("it was piped")
            .write_all(job.as_bytes())?;
        child.wait_with_output()
    })
    .await??;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {complaint}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Coreutils' `timeout` holds the deadline of a job.
fn within_deadline() -> Command {
    let mut command = Command::new("timeout");
    command.arg(SDK_JOB_MAX.as_secs().to_string());
    command
}

fn python(bench: &Bench) -> Command {
    let mut command = within_deadline();
    command
        .arg(bench.tools.python())
        .arg(bench.tools.own("clients/client.py"));
    command
}

fn node(bench: &Bench, client: &str) -> Command {
    let mut command = within_deadline();
    command
        .arg(bench.tools.node())
        .arg(bench.tools.own("clients").join(client));
    command.env("NODE_PATH", bench.tools.node_modules());
    command
}
