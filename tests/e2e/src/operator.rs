//! An operator at the command line of `quotum`.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::dev::{Grant, Ready};
use crate::ensure;
use crate::failure::{Failure, Result};
use crate::limits::COMMAND_MAX;

/// The server that `dev` puts its grants on.
pub const SERVER: &str = "demo";

/// Commands for one cluster, with the rights of its administrator.
#[derive(Debug, Clone)]
pub struct Operator {
    quotum: PathBuf,
    folder: PathBuf,
    admin: String,
    token: String,
    /// The files of TLS: an authority, a certificate and its key.
    tls: Option<[PathBuf; 3]>,
}

// === impl Operator ===

impl Operator {
    pub fn new(bench: &Bench, ready: &Ready) -> Self {
        let admin = ready
            .counters
            .iter()
            .map(|counter| format!("http://{}", counter.grpc));
        Self::of(bench, admin, &ready.admin_token)
    }

    /// An operator who knows these nodes.
    pub fn of(bench: &Bench, nodes: impl IntoIterator<Item = String>, token: &str) -> Self {
        Self {
            quotum: bench.tools.quotum().to_owned(),
            folder: bench.logs(),
            admin: nodes.into_iter().collect::<Vec<_>>().join(","),
            token: token.to_owned(),
            tls: None,
        }
    }

    /// The same operator, who believes an authority and shows a certificate.
    #[must_use]
    pub fn with_tls(self, ca: PathBuf, cert: PathBuf, key: PathBuf) -> Self {
        Self {
            tls: Some([ca, cert, key]),
            ..self
        }
    }

    /// The same operator, who asks one node only.
    #[must_use]
    pub fn only(&self, node: &str) -> Self {
        Self {
            admin: node.to_owned(),
            ..self.clone()
        }
    }

    /// Applies documents, and returns when every live gateway goes by them.
    pub fn apply(&self, documents: &[Value]) -> Result<Value> {
        let file = self.folder.join("apply.yaml");
        // JSON is YAML; `---` parts the documents.
        let text: Vec<String> = documents.iter().map(Value::to_string).collect();
        std::fs::write(&file, text.join("\n---\n"))?;
        self.json(&["apply", "-f", &file.to_string_lossy(), "--wait"])
    }

    pub fn get(&self, what: &str) -> Result<Value> {
        self.json(&["get", what])
    }

    /// Creates a grant on the server of `dev`; every live gateway knows it when this returns.
    pub fn create_grant(&self, name: &str, policy: &str) -> Result<Grant> {
        Ok(Grant {
            name: name.to_owned(),
            token: self.create_grant_on(SERVER, name, policy)?,
        })
    }

    /// The same on any server; gives the token.
    pub fn create_grant_on(&self, server: &str, name: &str, policy: &str) -> Result<String> {
        let made = self.json(&[
            "grant", "create", name, "--server", server, "--policy", policy, "--wait",
        ])?;
        let token = made["token"].as_str().map(str::to_owned);
        token.ok_or_else(|| Failure::new(format!("no token in {made}")))
    }

    /// Revokes a grant; no live gateway takes it any more when this returns.
    pub fn revoke_grant(&self, name: &str) -> Result<Value> {
        self.json(&["grant", "revoke", name, "--server", SERVER, "--wait"])
    }

    pub fn cluster_status(&self) -> Result<Value> {
        self.json(&["cluster", "status"])
    }

    /// Runs a command that must succeed and print one JSON document.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.run(arguments)?;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "quotum {arguments:?}: {}: {complaint}",
            output.status
        );
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(text.trim())
            .map_err(|error| Failure::from(error).during(format!("quotum {arguments:?}: {text:?}")))
    }

    /// Runs a command: the one place that knows how the cluster and its administrator are named.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        // Coreutils' `timeout` holds the deadline, and ends the command with us.
        let mut command = Command::new("timeout");
        let variables = ["QUOTUM_CA", "QUOTUM_CERT", "QUOTUM_KEY"];
        command.envs(variables.into_iter().zip(self.tls.iter().flatten()));
        Ok(command
            .arg(COMMAND_MAX.as_secs().to_string())
            .arg(&self.quotum)
            .args(arguments)
            .args(["--output", "json", "--admin", &self.admin])
            .env("QUOTUM_ADMIN_TOKEN", &self.token)
            .current_dir(&self.folder)
            .output()?)
    }
}

/// The document of a policy, as `apply` takes it.
pub fn policy_document(name: &str, policy: &Value) -> Value {
    json!({ "kind": "Policy", "name": name, "document": policy })
}

/// A policy that lets one tool be called `max` times a minute, and `list_customers` freely.
pub fn minute_policy(tool: &str, max: u64) -> Value {
    let limit = json!({
        "counter": format!("{tool}_rate"), "window": "minute", "max": max, "scope": "grant",
    });
    json!({
        "version": "1",
        "default": "deny",
        "hide": ["delete_account"],
        "tools": { tool: { "limits": [limit] }, "list_customers": {} },
    })
}
