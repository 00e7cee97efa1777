//! The program as a person runs it.

use serde_json::Value;
use tokio::process::Command;

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) report: Value,
    pub(crate) complaints: String,
}

/// Runs the program with the words of `line`.
pub(crate) async fn load(line: &str) -> Run {
    load_with(line, &[]).await
}

/// The same with a variable of the environment.
pub(crate) async fn load_with(line: &str, environment: &[(&str, &str)]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotum-load"));
    command.args(line.split_whitespace()).kill_on_drop(true);
    command
        .env_remove("QUOTUM_TOKEN")
        .envs(environment.iter().copied());
    let output = command.output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report = text.lines().last().map(serde_json::from_str);
    Run {
        code: output.status.code(),
        report: report.transpose().unwrap().unwrap_or_default(),
        complaints: String::from_utf8(output.stderr).unwrap(),
    }
}

/// An address of loopback where nobody listens.
pub(crate) async fn unused_address() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

// === impl Run ===

impl Run {
    pub(crate) fn count(&self, member: &str) -> u64 {
        let count = self.report[member].as_u64();
        count.unwrap_or_else(|| panic!("{member}: {self:?}"))
    }

    pub(crate) fn figure(&self, member: &str) -> f64 {
        let figure = self.report[member].as_f64();
        figure.unwrap_or_else(|| panic!("{member}: {self:?}"))
    }
}
