//! The shipped Kubernetes manifests, as a kubelet reads them: what a container is given, what it is
//! asked, and how it is ended.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::bench::Bench;
use crate::failure::{Failure, Result};

/// Every object of some manifests.
#[derive(Debug, Clone)]
pub struct Manifests(Vec<Value>);

/// A StatefulSet or a Deployment with one container.
#[derive(Debug, Clone)]
pub struct Workload {
    pub name: String,
    pub replicas: u64,
    pub args: Vec<String>,
    /// Plain variables, in their order, and those that hold the name of the pod.
    pub env: Vec<(String, EnvValue)>,
    pub mounts: Vec<Mount>,
    pub startup: Probe,
    pub readiness: Probe,
    pub liveness: Probe,
    /// The pause before SIGTERM.
    pub pre_stop: Duration,
    /// From then on to SIGKILL.
    pub grace: Duration,
    pub ports: Vec<(String, u64)>,
}

#[derive(Debug, Clone)]
pub enum EnvValue {
    Text(String),
    PodName,
}

/// What a container finds under a path.
#[derive(Debug, Clone)]
pub struct Mount {
    pub path: String,
    pub content: Content,
}

#[derive(Debug, Clone)]
pub enum Content {
    /// Files by their names.
    Config(Vec<(String, String)>),
    /// A secret, and which of its keys; none: all.
    Secret { name: String, keys: Vec<String> },
    /// An empty folder.
    Folder,
}

/// An HTTP probe.
#[derive(Debug, Clone)]
pub struct Probe {
    pub path: String,
    pub port: u64,
    pub period: Duration,
    pub timeout: Duration,
    pub failures_max: u64,
}

// === impl Manifests ===

impl Manifests {
    /// Reads these files of `deploy/kubernetes`.
    pub fn read(bench: &Bench, names: &[&str]) -> Result<Self> {
        let mut objects = Vec::new();
        for name in names {
            let text = std::fs::read_to_string(bench.tools.shipped(&format!("kubernetes/{name}")))?;
            for document in serde_yaml_ng::Deserializer::from_str(&text) {
                objects.push(Value::deserialize(document)?);
            }
        }
        Ok(Self(objects))
    }

    fn object(&self, kind: &str, name: &str) -> Result<&Value> {
        let is_meant =
            |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        let found = self.0.iter().find(is_meant);
        found.ok_or_else(|| Failure::new(format!("the manifests have no {kind} {name}")))
    }

    pub fn workload(&self, kind: &str, name: &str) -> Result<Workload> {
        let object = self.object(kind, name)?;
        let pod = &object["spec"]["template"]["spec"];
        let [container] = list(&pod["containers"]) else {
            return Err(Failure::new(format!("{name} has not one container")));
        };
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let ports: Vec<(String, u64)> = list(&container["ports"])
            .iter()
            .map(|port| (text(&port["name"]), number(&port["containerPort"])))
            .collect();
        let probe = |kind: &str| probe(&container[kind], &ports);
        Ok(Workload {
            name: name.to_owned(),
            replicas: number(&object["spec"]["replicas"]),
            args: list(&container["args"]).iter().map(text).collect(),
            env: list(&container["env"]).iter().map(variable).collect(),
            mounts: self.mounts(object, pod, container)?,
            startup: probe("startupProbe")?,
            readiness: probe("readinessProbe")?,
            liveness: probe("livenessProbe")?,
            pre_stop: seconds(&container["lifecycle"]["preStop"]["sleep"]["seconds"]),
            grace: seconds(&pod["terminationGracePeriodSeconds"]),
            ports,
        })
    }

    fn mounts(&self, object: &Value, pod: &Value, container: &Value) -> Result<Vec<Mount>> {
        let claims = list(&object["spec"]["volumeClaimTemplates"]);
        let mount = |mount: &Value| {
            let name = &mount["name"];
            let volume = list(&pod["volumes"])
                .iter()
                .find(|one| one["name"] == *name);
            let content = match volume {
                Some(volume) if !volume["configMap"].is_null() => {
                    let map = self.object("ConfigMap", &text(&volume["configMap"]["name"]))?;
                    let files = map["data"].as_object().into_iter().flatten();
                    Content::Config(
                        files
                            .map(|(file, data)| (file.clone(), text(data)))
                            .collect(),
                    )
                }
                Some(volume) if !volume["secret"].is_null() => {
                    let items = list(&volume["secret"]["items"]).iter();
                    Content::Secret {
                        name: text(&volume["secret"]["secretName"]),
                        keys: items.map(|item| text(&item["key"])).collect(),
                    }
                }
                Some(_) => Content::Folder,
                None if claims
                    .iter()
                    .any(|claim| claim["metadata"]["name"] == *name) =>
                {
                    Content::Folder
                }
                None => return Err(Failure::new(format!("{name} is mounted and is no volume"))),
            };
            let path = text(&mount["mountPath"]);
            Ok(Mount { path, content })
        };
        list(&container["volumeMounts"]).iter().map(mount).collect()
    }
}

fn variable(variable: &Value) -> (String, EnvValue) {
    let from = &variable["valueFrom"]["fieldRef"]["fieldPath"];
    let value = match from == "metadata.name" {
        true => EnvValue::PodName,
        false => EnvValue::Text(text(&variable["value"])),
    };
    (text(&variable["name"]), value)
}

fn probe(probe: &Value, ports: &[(String, u64)]) -> Result<Probe> {
    let named = text(&probe["httpGet"]["port"]);
    let port = ports.iter().find(|(name, _)| *name == named);
    let port = port.ok_or_else(|| Failure::new(format!("a probe of the unknown port {named}")))?;
    // What Kubernetes takes where nothing is said.
    let or = |value: &Value, default: u64| value.as_u64().unwrap_or(default);
    Ok(Probe {
        path: text(&probe["httpGet"]["path"]),
        port: port.1,
        period: Duration::from_secs(or(&probe["periodSeconds"], 10)),
        timeout: Duration::from_secs(or(&probe["timeoutSeconds"], 1)),
        failures_max: or(&probe["failureThreshold"], 3),
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn seconds(value: &Value) -> Duration {
    Duration::from_secs(value.as_u64().unwrap_or_default())
}
