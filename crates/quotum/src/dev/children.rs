//! The processes of a cluster: started, watched, ended. None is started again.

use std::fs::{File, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::process::{ChildStdin, Command};
use tokio::time::Instant;

use super::config::Start;
use super::data::Data;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::limits::{DEV_END_MAX, LOG_BYTES_SHOWN_MAX, LOG_LINES_SHOWN_MAX, LOOK_EVERY};

#[cfg(test)]
mod tests;

/// All processes; what is dropped is killed.
#[derive(Debug, Default)]
pub(crate) struct Children {
    pub(crate) counters: Vec<Child>,
    pub(crate) gateways: Vec<Child>,
}

/// One process.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) start: Start,
    pub(crate) pid: u32,
    /// Where it tells whether it is ready.
    pub(crate) admin: std::net::SocketAddr,
    log: PathBuf,
    process: tokio::process::Child,
    /// It ends when this closes, which the system does for us however we end.
    stdin: Option<ChildStdin>,
    ended: Option<ExitStatus>,
}

// === impl Children ===

impl Children {
    /// Tells of the processes that have ended since this was last asked.
    pub(crate) fn ended(&mut self) -> Vec<String> {
        let all = self.counters.iter_mut().chain(&mut self.gateways);
        all.filter_map(|child| {
            let was_running = child.ended.is_none();
            let status = child.look().filter(|_| was_running)?;
            let (name, pid) = (&child.start.name, child.pid);
            Some(format!(
                "{name} (pid {pid}) has ended: {status}; it is not started again"
            ))
        })
        .collect()
    }

    /// Ends all processes: the gateways first, so that the last calls find counters.
    pub(crate) async fn end(mut self) {
        let deadline = Instant::now() + DEV_END_MAX;
        for group in [&mut self.gateways, &mut self.counters] {
            group.iter_mut().for_each(|child| drop(child.stdin.take()));
            for child in group {
                let ended = tokio::time::timeout_at(deadline, child.process.wait()).await;
                if ended.is_err() {
                    // Already gone: just as well.
                    let _ = child.process.kill().await;
                }
            }
        }
    }
}

// === impl Child ===

impl Child {
    pub(crate) fn start(
        data: &Data,
        start: Start,
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let log = data.log(&format!("{}.log", start.name));
        let records = data.log(&format!("{}.decisions.jsonl", start.name));
        let failed = |error: io::Error| {
            Failure::failed(format!("{} cannot be started", start.name)).because(&error)
        };
        let mut command = Command::new(&start.program);
        command
            .args(&start.arguments)
            .arg("--exit-with-stdin")
            .stdin(Stdio::piped())
            .stdout(open(&records).map_err(failed)?)
            .stderr(open(&log).map_err(failed)?)
            .kill_on_drop(true);
        // What is meant for us would replace its settings.
        for name in environment.own() {
            command.env_remove(name);
        }
        let mut process = command.spawn().map_err(failed)?;
        Ok(Self {
            pid: process.id().expect("it was not waited for yet"),
            admin: data.address(&start.admin_port),
            stdin: process.stdin.take(),
            start,
            log,
            process,
            ended: None,
        })
    }

    /// How it has ended, if it has.
    fn look(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().ok().flatten();
        }
        self.ended
    }

    fn failure(&self, what: &str) -> Failure {
        let tail = tail(&self.log).unwrap_or_default();
        Failure::failed(format!("{} {what}: {}", self.start.name, tail.join(" | ")))
            .next(format!("see {}", self.log.display()))
    }
}

/// A log that only its owner can read, also where it is from a start before.
fn open(path: &Path) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Waits until all of them are ready.
pub(crate) async fn until_ready(children: &mut [Child], deadline: Instant) -> Result<(), Failure> {
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    for child in children {
        let uri: Uri = format!("http://{}/readyz", child.admin)
            .parse()
            .expect("an address makes a URI");
        while !is_ready(&client, uri.clone(), deadline).await {
            if let Some(status) = child.look() {
                return Err(child.failure(&format!("has ended, {status}")));
            }
            if Instant::now() >= deadline {
                return Err(child.failure("is not ready in time"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

async fn is_ready(
    client: &Client<HttpConnector, Empty<Bytes>>,
    uri: Uri,
    deadline: Instant,
) -> bool {
    let answer = tokio::time::timeout_at(deadline, client.get(uri)).await;
    matches!(answer, Ok(Ok(answer)) if answer.status() == StatusCode::OK)
}

/// The last lines of a log.
fn tail(path: &Path) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(LOG_BYTES_SHOWN_MAX)))?;
    let mut end = Vec::new();
    file.take(LOG_BYTES_SHOWN_MAX).read_to_end(&mut end)?;
    let text = String::from_utf8_lossy(&end);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(LOG_LINES_SHOWN_MAX);
    Ok(lines[first..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect())
}
