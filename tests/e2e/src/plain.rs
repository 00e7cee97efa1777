//! Counter nodes and gateways started one by one from configurations of their own, as an operator
//! does who has no `dev` and no Kubernetes.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use http::StatusCode;

use crate::bench::Bench;
use crate::failure::Result;
use crate::limits::READY_MAX;
use crate::named::Names;
use crate::poll;
use crate::process::Process;
use crate::secret;

/// Secrets of a cluster, in base64, and the files that hold them.
#[derive(Debug, Clone)]
pub struct Secrets {
    pub admin_token: String,
    pub key_file: PathBuf,
    pub token_file: PathBuf,
}

/// A process with an address of its own.
#[derive(Debug)]
pub struct Server {
    name: String,
    command: &'static str,
    config: PathBuf,
    process: Process,
    host: Ipv4Addr,
    /// How it resolves names, if not as the machine does.
    names: Option<Names>,
}

/// The ports of a node at its address.
const CLIENT_PORT: u16 = 7601;
const PEER_PORT: u16 = 7602;
const ADMIN_PORT: u16 = 7603;
/// Where a gateway serves MCP clients.
const MCP_PORT: u16 = 8080;

// === impl Secrets ===

impl Secrets {
    /// Any 32 bytes will do here.
    pub fn write(bench: &Bench) -> Result<Self> {
        let secrets = Self {
            admin_token: "IB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgE=".to_owned(),
            key_file: bench.path("secret-key"),
            token_file: bench.path("admin-token"),
        };
        secret::put(
            &secrets.key_file,
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        )?;
        secret::put(&secrets.token_file, &secrets.admin_token)?;
        Ok(secrets)
    }
}

// === impl Server ===

impl Server {
    /// A counter node that belongs to no cluster yet.
    pub fn counter(bench: &Bench, secrets: &Secrets, name: &str, host: Ipv4Addr) -> Result<Self> {
        let text = counter(bench, secrets, name, host);
        Self::start(bench, "counter", name, host, &text, None)
    }

    /// A counter node under its name and the address that this name has now: one of `nodes`, which
    /// start together.
    pub fn named_counter(
        bench: &Bench,
        secrets: &Secrets,
        name: &str,
        nodes: &[String],
        names: &Names,
    ) -> Result<Self> {
        let host = names.address(name)?;
        let peers: Vec<String> = nodes.iter().map(|node| at(node, PEER_PORT)).collect();
        let text = format!(
            "{}advertise = {name:?}\npeers = {peers:?}\nbootstrap_expect = {}\n\
             insecure = [\"listen\", \"peer_listen\"]\n",
            counter(bench, secrets, name, host),
            nodes.len(),
        );
        Self::start(bench, "counter", name, host, &text, Some(names.clone()))
    }

    /// A gateway that asks counter nodes by their names.
    pub fn named_gateway(
        bench: &Bench,
        secrets: &Secrets,
        host: Ipv4Addr,
        nodes: &[String],
        names: &Names,
    ) -> Result<Self> {
        let counters: Vec<String> = nodes.iter().map(|node| at(node, CLIENT_PORT)).collect();
        let text = gateway(secrets, host, &counters) + "insecure = [\"counters\"]\n";
        Self::start(
            bench,
            "gateway",
            "gateway",
            host,
            &text,
            Some(names.clone()),
        )
    }

    /// A gateway that asks the nodes at these addresses.
    pub fn gateway(
        bench: &Bench,
        secrets: &Secrets,
        name: &str,
        host: Ipv4Addr,
        counters: &[String],
    ) -> Result<Self> {
        let text = gateway(secrets, host, counters);
        Self::start(bench, "gateway", name, host, &text, None)
    }

    /// Where clients go: of a counter node, or of a gateway for the server of that name.
    pub fn client_address(&self) -> String {
        format!("{}:{CLIENT_PORT}", self.host)
    }

    pub fn peer_address(&self) -> String {
        format!("{}:{PEER_PORT}", self.host)
    }

    /// Where its figures are.
    pub fn figures(&self) -> String {
        format!("http://{}:{ADMIN_PORT}/metrics", self.host)
    }

    pub fn mcp_url(&self, server: &str) -> String {
        format!("http://{}:{MCP_PORT}/mcp/{server}", self.host)
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self, bench: &Bench) -> Result {
        let url = format!("http://{}:{ADMIN_PORT}/readyz", self.host);
        poll::until(
            &format!("{} to be ready", self.name),
            READY_MAX,
            async || {
                let reply = bench.http.get(&url).await?;
                Ok((reply.status == StatusCode::OK).then_some(()))
            },
        )
        .await
    }

    /// Kills it and starts it again on its data.
    pub fn kill_and_start_again(&mut self, bench: &Bench) -> Result {
        self.process.kill();
        let names = self.names.as_ref();
        self.process = launch(bench, self.command, &self.name, &self.config, names)?;
        Ok(())
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to end; tells whether it did.
    pub fn end(&mut self) -> Result<bool> {
        self.process.end()
    }

    fn start(
        bench: &Bench,
        command: &'static str,
        name: &str,
        host: Ipv4Addr,
        text: &str,
        names: Option<Names>,
    ) -> Result<Self> {
        let config = bench.path(&format!("{name}.toml"));
        fs::write(&config, text)?;
        Ok(Self {
            name: name.to_owned(),
            command,
            process: launch(bench, command, name, &config, names.as_ref())?,
            config,
            host,
            names,
        })
    }
}

fn counter(bench: &Bench, secrets: &Secrets, name: &str, host: Ipv4Addr) -> String {
    format!(
        "data_dir = {:?}\nlisten = \"{host}:{CLIENT_PORT}\"\npeer_listen = \"{host}:{PEER_PORT}\"\n\
         admin_listen = \"{host}:{ADMIN_PORT}\"\nsegment_bytes = 1048576\n\
         secret_key_file = {:?}\nadmin_token_file = {:?}\n",
        bench.path(name),
        secrets.key_file,
        secrets.token_file,
    )
}

fn gateway(secrets: &Secrets, host: Ipv4Addr, counters: &[String]) -> String {
    format!(
        "listen = \"{host}:{MCP_PORT}\"\nadmin_listen = \"{host}:{ADMIN_PORT}\"\n\
         counters = {counters:?}\nsecret_key_file = {:?}\n",
        secrets.key_file,
    )
}

fn at(name: &str, port: u16) -> String {
    format!("{name}:{port}")
}

fn launch(
    bench: &Bench,
    command: &str,
    name: &str,
    config: &Path,
    names: Option<&Names>,
) -> Result<Process> {
    let mut process = match names {
        None => Command::new(bench.tools.quotum()),
        Some(names) => names.command(bench.tools.quotum()),
    };
    process.arg(command).arg("--config").arg(config);
    Process::start(name, &mut process, &bench.logs())
}
