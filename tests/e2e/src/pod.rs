//! A pod without Kubernetes: the container's own arguments, files, variables and probes, with its
//! address and its paths mapped to this machine by the documented `QUOTUM_...` variables.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use http::StatusCode;
use tokio::time::{Instant, interval, timeout};
use toml::{Table, Value};

use crate::bench::Bench;
use crate::ensure;
use crate::failure::{Failure, Result};
use crate::loopback::Loopback;
use crate::manifests::{Content, EnvValue, Mount, Probe, Workload};
use crate::process::Process;
use crate::secret;

/// Where every pod of a cluster is: each has the address of its number in its workload.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub net: Loopback,
    /// The name of the StatefulSet, whose pods have names in the network.
    pub counters: String,
    pub counters_count: u64,
    /// By the names of the secrets: `secret-key` and so on, with their values.
    pub secrets: Vec<(String, Vec<(String, String)>)>,
}

/// A running container.
#[derive(Debug)]
pub struct Pod {
    pub name: String,
    pub host: Ipv4Addr,
    process: Process,
    workload: Workload,
}

/// The first host number of pods that have no names in the network.
const UNNAMED: u64 = 101;

// === impl Cluster ===

impl Cluster {
    /// The address of a pod of the StatefulSet.
    pub fn counter(&self, number: u64) -> Ipv4Addr {
        self.net.host(u8::try_from(number + 1).unwrap_or(u8::MAX))
    }

    /// The text with every name of a pod, domain included, replaced by its address.
    fn resolve(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for number in 0..self.counters_count {
            let name = format!("{}-{number}.", self.counters);
            while let Some(start) = text.find(&name) {
                let is_outside = |c: char| !(c.is_ascii_alphanumeric() || "-.".contains(c));
                let length = text[start..].find(is_outside).unwrap_or(text.len() - start);
                let host = self.counter(number).to_string();
                text.replace_range(start..start + length, &host);
            }
        }
        text
    }
}

// === impl Pod ===

impl Pod {
    /// Starts pod `number` of a workload.
    pub fn start(
        bench: &Bench,
        cluster: &Cluster,
        workload: &Workload,
        number: u64,
    ) -> Result<Self> {
        let name = format!("{}-{number}", workload.name);
        let host = match workload.name == cluster.counters {
            true => cluster.counter(number),
            false => cluster.net.host(u8::try_from(UNNAMED + number)?),
        };
        let root = bench.path(&name);
        for mount in &workload.mounts {
            fill(&root, mount, &cluster.secrets)?;
        }
        let map = Map {
            root: &root,
            mounts: &workload.mounts,
            host,
            cluster,
        };
        let mut command = Command::new(bench.tools.quotum());
        command.args(workload.args.iter().map(|argument| map.paths(argument)));
        for mount in &workload.mounts {
            let Content::Config(files) = &mount.content else {
                continue;
            };
            for (_, text) in files {
                command.envs(map.overrides(text)?);
            }
        }
        for (variable, value) in map.environment(&workload.env, &name) {
            command.env(variable, cluster.resolve(&value));
        }
        Ok(Self {
            process: Process::start(&name, &mut command, &bench.logs())?,
            name,
            host,
            workload: workload.clone(),
        })
    }

    /// Probes it as a kubelet does: first whether it has started, then whether it is ready.
    pub async fn ready(&self, bench: &Bench) -> Result {
        self.passes(bench, &self.workload.startup).await?;
        // Not ready is no failure, however often: the pod just gets no traffic. It has as long as
        // it had for its start.
        let Probe {
            period,
            failures_max,
            ..
        } = self.workload.startup;
        let patience = period * u32::try_from(failures_max)?;
        let deadline = Instant::now() + patience;
        let mut looks = interval(self.workload.readiness.period);
        loop {
            looks.tick().await;
            if self.probe(bench, &self.workload.readiness).await {
                break;
            }
            ensure!(
                Instant::now() < deadline,
                "{} is not ready after {patience:?}",
                self.name
            );
        }
        let lives = self.probe(bench, &self.workload.liveness).await;
        ensure!(lives, "{} is ready and not alive", self.name);
        Ok(())
    }

    /// Whether the readiness probe passes now.
    pub async fn is_ready(&self, bench: &Bench) -> bool {
        self.probe(bench, &self.workload.readiness).await
    }

    /// Ends it as a kubelet does: the pause, SIGTERM, and SIGKILL when the grace period is over. Fails
    /// if it came to that.
    pub async fn terminate(&mut self) -> Result {
        let begun = Instant::now();
        tokio::time::sleep(self.workload.pre_stop).await;
        let left = self.workload.grace.saturating_sub(begun.elapsed());
        let code = self.process.terminate(left).await?;
        ensure!(code == Some(0), "{} ended with {code:?}", self.name);
        Ok(())
    }

    pub fn url(&self, port: &str, path: &str) -> Result<String> {
        let found = self.workload.ports.iter().find(|(name, _)| name == port);
        let number = found.map(|(_, number)| number);
        let number =
            number.ok_or_else(|| Failure::new(format!("{} has no port {port}", self.name)))?;
        Ok(format!("http://{}:{number}{path}", self.host))
    }

    async fn passes(&self, bench: &Bench, probe: &Probe) -> Result {
        let mut looks = interval(probe.period);
        for _ in 0..probe.failures_max {
            looks.tick().await;
            if self.probe(bench, probe).await {
                return Ok(());
            }
        }
        let (path, failures) = (&probe.path, probe.failures_max);
        Err(Failure::new(format!(
            "{}: {path} failed {failures} times",
            self.name
        )))
    }

    async fn probe(&self, bench: &Bench, probe: &Probe) -> bool {
        let url = format!("http://{}:{}{}", self.host, probe.port, probe.path);
        let reply = timeout(probe.timeout, bench.http.get(&url)).await;
        matches!(reply, Ok(Ok(reply)) if reply.status == StatusCode::OK)
    }
}

/// What stands in the manifests, and what it is here.
struct Map<'a> {
    root: &'a Path,
    mounts: &'a [Mount],
    host: Ipv4Addr,
    cluster: &'a Cluster,
}

// === impl Map ===

impl Map<'_> {
    /// A text whose path, if it is one inside a mount, is under the pod's own root.
    fn paths(&self, text: &str) -> String {
        let is_inside = |mount: &Mount| Path::new(text).starts_with(&mount.path);
        match self.mounts.iter().any(is_inside) {
            true => format!("{}{text}", self.root.display()),
            false => text.to_owned(),
        }
    }

    fn value(&self, text: &str) -> String {
        let text = match text.strip_prefix("0.0.0.0:") {
            Some(port) => format!("{}:{port}", self.host),
            None => text.to_owned(),
        };
        self.paths(&self.cluster.resolve(&text))
    }

    /// The variables that replace those keys of a configuration which must be something else here.
    fn overrides(&self, config: &str) -> Result<Vec<(String, String)>> {
        let table: Table = config.parse()?;
        let mut variables = Vec::new();
        for (key, value) in table {
            let (before, after) = match value {
                Value::String(text) => (text.clone(), self.value(&text)),
                Value::Array(elements) => {
                    let texts: Vec<&str> = elements.iter().filter_map(Value::as_str).collect();
                    let mapped: Vec<String> = texts.iter().map(|text| self.value(text)).collect();
                    (texts.join(","), mapped.join(","))
                }
                _ => continue,
            };
            if before != after {
                variables.push((format!("QUOTUM_{}", key.to_ascii_uppercase()), after));
            }
        }
        Ok(variables)
    }

    /// The container's variables, with `$(NAME)` of those before them put in.
    fn environment(&self, env: &[(String, EnvValue)], pod: &str) -> Vec<(String, String)> {
        let mut known: Vec<(String, String)> = Vec::new();
        for (name, value) in env {
            let mut text = match value {
                EnvValue::PodName => pod.to_owned(),
                EnvValue::Text(text) => text.clone(),
            };
            for (before, value) in &known {
                text = text.replace(&format!("$({before})"), value);
            }
            known.push((name.clone(), text));
        }
        known
    }
}

/// Puts what is mounted where the container finds it.
fn fill(root: &Path, mount: &Mount, secrets: &[(String, Vec<(String, String)>)]) -> Result {
    let folder = PathBuf::from(format!("{}{}", root.display(), mount.path));
    fs::create_dir_all(&folder)?;
    match &mount.content {
        Content::Folder => {}
        Content::Config(files) => {
            for (name, text) in files {
                fs::write(folder.join(name), text)?;
            }
        }
        Content::Secret { name, keys } => {
            let found = secrets.iter().find(|(known, _)| known == name);
            let (_, values) = found.ok_or_else(|| Failure::new(format!("no secret {name}")))?;
            let is_wanted = |key: &String| keys.is_empty() || keys.contains(key);
            for (key, value) in values.iter().filter(|(key, _)| is_wanted(key)) {
                secret::put(&folder.join(key), value)?;
            }
        }
    }
    Ok(())
}
