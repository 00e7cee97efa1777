//! A cluster of real processes wholly over TLS with certificates both ways: three counter nodes, each
//! at an address of its own, and two gateways. Every file of a certificate can be replaced while
//! they run.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use quotum_authority::{Authority, Identity};
use serde_json::Value;

use crate::authority::Files;
use crate::bench::Bench;
use crate::ensure;
use crate::failure::{Failure, Result};
use crate::limits::{COMMAND_MAX, READY_MAX, SETTLE_MAX};
use crate::metrics::Figures;
use crate::poll;
use crate::process::Process;
use crate::secret::put;

const SECRET_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const ADMIN_TOKEN: &str = "1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100";
const COUNTERS: u8 = 3;
const GATEWAYS: u8 = 2;

/// Who vouches for whom.
pub struct Authorities {
    pub clients: Authority,
    pub peers: Authority,
}

/// A running cluster.
pub struct Secured {
    pub counters: Vec<Member>,
    pub gateways: Vec<Member>,
    folder: PathBuf,
}

/// One process of it.
pub struct Member {
    pub name: String,
    /// Where it serves clients or agents.
    pub address: String,
    /// Where it serves other nodes, if it is one.
    pub peer_address: String,
    pub metrics: String,
    process: Process,
    config: PathBuf,
    folder: PathBuf,
}

/// What a command shows and believes.
#[derive(Debug, Clone)]
pub struct Shown {
    pub ca: PathBuf,
    pub identity: Option<(PathBuf, PathBuf)>,
}

// === impl Authorities ===

impl Authorities {
    pub fn new(name: &str) -> Self {
        Self {
            clients: Authority::new(&format!("{name} clients")),
            peers: Authority::new(&format!("{name} peers")),
        }
    }

    /// Issues the certificates of a counter node: what it shows to clients, and to its peers.
    pub fn issue_counter(&self, folder: &Path, name: &str, host: &str) -> Result {
        let role = format!("peer/{name}");
        put_identity(folder, "clients", &self.clients.issue(&[host], None))?;
        put_identity(folder, "peers", &self.peers.issue(&[host], Some(&role)))
    }

    /// Issues the certificate that somebody shows to counter nodes, such as `gateway/g1`.
    pub fn issue_client(&self, folder: &Path, role: &str) -> Result {
        put_identity(folder, "clients", &self.clients.issue(&[], Some(role)))
    }

    fn issue(&self, folder: &Path, name: &str, host: &str) -> Result {
        if name.starts_with("counter") {
            self.issue_counter(folder, name, host)
        } else {
            self.issue_client(folder, &format!("gateway/{name}"))
        }
    }
}

/// Writes the files of a process that believes these.
pub fn believe(folder: &Path, authorities: &[&Authorities]) -> Result {
    let bundle = |of: fn(&Authorities) -> &Authority| -> String {
        authorities.iter().map(|one| of(one).pem()).collect()
    };
    put(&folder.join("clients-ca.crt"), &bundle(|one| &one.clients))?;
    put(&folder.join("peers-ca.crt"), &bundle(|one| &one.peers))
}

// === impl Secured ===

impl Secured {
    /// Starts everything, and returns when every counter node is ready. Gateways are when the
    /// registry holds anything.
    pub async fn start(bench: &Bench, authorities: &Authorities) -> Result<Self> {
        let folder = bench.path("secured");
        fs::create_dir_all(&folder)?;
        put(&folder.join("secret-key"), SECRET_KEY)?;
        put(&folder.join("admin-token"), ADMIN_TOKEN)?;
        let hosts: Vec<String> = (1..=COUNTERS)
            .map(|node| format!("127.0.7.{node}"))
            .collect();
        let ports: Vec<[u16; 3]> = hosts.iter().map(|host| free(host)).collect::<Result<_>>()?;
        let peers: Vec<String> = hosts
            .iter()
            .zip(&ports)
            .map(|(host, p)| at(host, p[1]))
            .collect();
        let clients: Vec<String> = hosts
            .iter()
            .zip(&ports)
            .map(|(host, p)| at(host, p[0]))
            .collect();
        let mut cluster = Self {
            counters: Vec::new(),
            gateways: Vec::new(),
            folder,
        };
        for ((host, ports), node) in hosts.iter().zip(&ports).zip(1..) {
            let name = format!("counter-{node}");
            let text = format!(
                "listen = {:?}\npeer_listen = {:?}\nadmin_listen = {:?}\nnode_id = {node}\n\
                 peers = {peers:?}\nbootstrap_expect = {COUNTERS}\nsegment_bytes = 8388608\n\
                 admin_token_file = \"../admin-token\"\ndata_dir = \"data\"\n\
                 tls_cert_file = \"clients.crt\"\ntls_key_file = \"clients.key\"\n\
                 tls_client_ca_file = \"clients-ca.crt\"\npeer_tls_cert_file = \"peers.crt\"\n\
                 peer_tls_key_file = \"peers.key\"\npeer_tls_ca_file = \"peers-ca.crt\"\n",
                at(host, ports[0]),
                at(host, ports[1]),
                at(host, ports[2]),
            );
            let member = cluster.member(bench, authorities, &name, (host, *ports), &text)?;
            cluster.counters.push(member);
        }
        for number in 1..=GATEWAYS {
            let name = format!("gateway-{number}");
            let member = cluster.gateway(bench, authorities, &name, &clients, "")?;
            cluster.gateways.push(member);
        }
        for counter in &cluster.counters {
            counter.until_ready(bench).await?;
        }
        Ok(cluster)
    }

    fn gateway(
        &self,
        bench: &Bench,
        authorities: &Authorities,
        name: &str,
        counters: &[String],
        more: &str,
    ) -> Result<Member> {
        let host = "127.0.0.1";
        let ports = free(host)?;
        let text = format!(
            "listen = {:?}\nadmin_listen = {:?}\ncounters = {counters:?}\nname = {name:?}\n\
             counters_tls_ca_file = \"clients-ca.crt\"\ncounters_tls_cert_file = \"clients.crt\"\n\
             counters_tls_key_file = \"clients.key\"\n{more}",
            at(host, ports[0]),
            at(host, ports[2]),
        );
        self.member(bench, authorities, name, (host, ports), &text)
    }

    fn member(
        &self,
        bench: &Bench,
        authorities: &Authorities,
        name: &str,
        (host, ports): (&str, [u16; 3]),
        text: &str,
    ) -> Result<Member> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        authorities.issue(&folder, name, host)?;
        believe(&folder, &[authorities])?;
        let config = folder.join("config.toml");
        let secret = "secret_key_file = \"../secret-key\"\nlog_format = \"text\"\n";
        put(&config, &format!("{text}{secret}"))?;
        Ok(Member {
            name: name.to_owned(),
            address: at(host, ports[0]),
            peer_address: at(host, ports[1]),
            metrics: format!("http://{}/metrics", at(host, ports[2])),
            process: launch(bench, name, &config)?,
            config,
            folder,
        })
    }

    /// One more gateway, which agents reach over TLS, with a certificate for `127.0.0.1`.
    pub fn gateway_for_agents(
        &self,
        bench: &Bench,
        authorities: &Authorities,
        shown: &Files,
    ) -> Result<Member> {
        let text = format!(
            "tls_cert_file = {:?}\ntls_key_file = {:?}\n",
            shown.certificate, shown.key
        );
        self.gateway(
            bench,
            authorities,
            "gateway-tls",
            &self.client_addresses(),
            &text,
        )
    }

    /// A gateway that shows another certificate than it should.
    pub fn impostor(&self, bench: &Bench, authorities: &Authorities, role: &str) -> Result<Member> {
        let counters = self.client_addresses();
        let mut member = self.gateway(bench, authorities, "impostor", &counters, "")?;
        member.process.kill();
        let identity = authorities.clients.issue(&[], Some(role));
        put_identity(&member.folder, "clients", &identity)?;
        member.process = launch(bench, "impostor", &member.config)?;
        Ok(member)
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.counters.iter().chain(&self.gateways)
    }

    /// Has everybody believe `authorities`, and returns when they all do.
    pub async fn trust(&self, bench: &Bench, authorities: &[&Authorities]) -> Result {
        self.replace(bench, |member| believe(&member.folder, authorities))
            .await
    }

    /// Gives everybody certificates of `authorities`, and returns when they all show them.
    pub async fn reissue(&self, bench: &Bench, authorities: &Authorities) -> Result {
        self.replace(bench, |member| {
            let host = member.address.rsplit_once(':').map_or("", |(host, _)| host);
            authorities.issue(&member.folder, &member.name, host)
        })
        .await
    }

    async fn replace(&self, bench: &Bench, put: impl Fn(&Member) -> Result) -> Result {
        for member in self.members() {
            let before = member.reloads(bench, "loaded").await?;
            let wanted = before
                + if member.name.starts_with("counter") {
                    2.0
                } else {
                    1.0
                };
            put(member)?;
            let what = format!("{} to take new files", member.name);
            poll::until(&what, SETTLE_MAX, async || {
                let loaded = member.reloads(bench, "loaded").await?;
                Ok((loaded >= wanted).then_some(()))
            })
            .await?;
            let refused = member.reloads(bench, "refused").await?;
            ensure!(refused == 0.0, "{} refused {refused} files", member.name);
        }
        Ok(())
    }

    /// Files of a command that shows a certificate, or none, and believes `authority`.
    pub fn shown(
        &self,
        name: &str,
        identity: Option<&Identity>,
        authority: &Authority,
    ) -> Result<Shown> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let ca = folder.join("ca.crt");
        put(&ca, &authority.pem())?;
        if let Some(identity) = identity {
            put_identity(&folder, "own", identity)?;
        }
        let files = (folder.join("own.crt"), folder.join("own.key"));
        Ok(Shown {
            ca,
            identity: identity.map(|_| files),
        })
    }

    /// The client ports of all nodes.
    fn client_addresses(&self) -> Vec<String> {
        let addresses = self.counters.iter().map(|one| one.address.clone());
        addresses.collect()
    }

    /// The same, as commands take them.
    pub fn addresses(&self) -> String {
        self.client_addresses().join(",")
    }

    /// Runs an operator's command against the nodes' client ports.
    pub fn run(&self, bench: &Bench, shown: Option<&Shown>, arguments: &[&str]) -> Result<Output> {
        Self::run_at(bench, &self.addresses(), shown, arguments)
    }

    pub fn run_at(
        bench: &Bench,
        address: &str,
        shown: Option<&Shown>,
        arguments: &[&str],
    ) -> Result<Output> {
        let mut command = Command::new("timeout");
        command
            .arg(COMMAND_MAX.as_secs().to_string())
            .arg(bench.tools.quotum())
            .args(arguments)
            .args(["--output", "json", "--address", address])
            .env("QUOTUM_ADMIN_TOKEN", ADMIN_TOKEN);
        if let Some(shown) = shown {
            command.arg("--ca").arg(&shown.ca);
            if let Some((cert, key)) = &shown.identity {
                command.arg("--cert").arg(cert).arg("--key").arg(key);
            }
        }
        Ok(command.output()?)
    }

    /// Runs a command that must succeed and print one JSON document.
    pub fn json(&self, bench: &Bench, shown: &Shown, arguments: &[&str]) -> Result<Value> {
        let output = self.run(bench, Some(shown), arguments)?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "quotum {arguments:?}: {complaint}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

// === impl Member ===

impl Member {
    pub async fn until_ready(&self, bench: &Bench) -> Result {
        let url = self.metrics.replace("/metrics", "/readyz");
        poll::until(
            &format!("{} to be ready", self.name),
            READY_MAX,
            async || {
                let reply = bench.http.get(&url).await?;
                Ok(reply.status.is_success().then_some(()))
            },
        )
        .await
    }

    /// Ends the process as an operator would, and starts it again.
    pub fn restart(&mut self, bench: &Bench) -> Result {
        ensure!(self.process.end()?, "{} did not end by itself", self.name);
        let name = format!("{}-again", self.name);
        self.process = launch(bench, &name, &self.config)?;
        Ok(())
    }

    /// How many changed files it took, or refused.
    pub async fn reloads(&self, bench: &Bench, outcome: &str) -> Result<f64> {
        let figures = Figures::read(&bench.http, &self.metrics).await?;
        let sum = figures.sum("quotum_tls_reloads_total", &[("outcome", outcome)]);
        sum.ok_or_else(|| Failure::new(format!("{} counts no reloads", self.name)))
    }

    /// Puts a certificate that has expired in the place of the one that it shows to clients.
    pub fn put_expired(&self, identity: &Identity) -> Result {
        put_identity(&self.folder, "clients", identity)
    }
}

fn launch(bench: &Bench, name: &str, config: &Path) -> Result<Process> {
    let kind = if config.to_string_lossy().contains("/counter-") {
        "counter"
    } else {
        "gateway"
    };
    let mut command = Command::new(bench.tools.quotum());
    command.arg(kind).arg("--config").arg(config);
    command.current_dir(config.parent().unwrap_or(config));
    Process::start(name, &mut command, &bench.logs())
}

fn at(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// Three ports of a host that were free a moment ago.
fn free(host: &str) -> Result<[u16; 3]> {
    let held = [(); 3].map(|()| TcpListener::bind((host, 0)));
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&held) {
        let listener = listener
            .as_ref()
            .map_err(|error| Failure::new(error.to_string()))?;
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn put_identity(folder: &Path, name: &str, identity: &Identity) -> Result {
    put(&folder.join(format!("{name}.crt")), &identity.certificate)?;
    put(&folder.join(format!("{name}.key")), &identity.key)
}
