//! One counter node: a process on a host of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use quotum_e2e::bench::Bench;
use quotum_e2e::failure::{Failure, Result};
use quotum_e2e::process::{self, Process};
use rustix::process::Signal;
use toml::{Table, Value};

use crate::limits::SEGMENT_BYTES;
use crate::network::Host;
use crate::secrets::Secrets;

/// Where nodes serve clients and each other, on their host.
const CLIENT_PORT: u16 = 7601;
const PEER_PORT: u16 = 7602;
const ADMIN_PORT: u16 = 7603;

/// The settings of certificates, and their files.
const TLS_FILES: [(&str, &str); 6] = [
    ("tls_cert_file", "clients.crt"),
    ("tls_key_file", "clients.key"),
    ("tls_client_ca_file", "clients-ca.crt"),
    ("peer_tls_cert_file", "peers.crt"),
    ("peer_tls_key_file", "peers.key"),
    ("peer_tls_ca_file", "peers-ca.crt"),
];

/// A node, whether it runs or not.
#[derive(Debug)]
pub struct Node {
    pub number: u8,
    pub host: Host,
    /// The program; scenarios may change it between two starts.
    pub program: PathBuf,
    /// Variables of its environment, such as a library to load before all others.
    pub environment: Vec<(String, String)>,
    /// The size of the segments of its log: small ones make it take snapshots, and forget.
    pub segment_bytes: i64,
    /// How many groups the counters are divided into.
    pub shards: u32,
    /// The highest feature level that it takes part in; `None`: that of its build.
    pub feature_level: Option<u32>,
    /// Where its certificates are; `None`: it speaks plaintext.
    pub certificates: Option<PathBuf>,
    durability: &'static str,
    founders: Option<u8>,
    secrets: Secrets,
    data: PathBuf,
    logs: PathBuf,
    process: Option<Process>,
}

// === impl Node ===

impl Node {
    /// A node that does not run yet, of so many that start a cluster together; `None`: it will be
    /// added to one.
    pub fn new(
        host: Host,
        number: u8,
        founders: Option<u8>,
        program: &Path,
        secrets: &Secrets,
        bench: &Bench,
    ) -> Result<Self> {
        let data = Self::folder(bench).join(format!("node-{number}"));
        std::fs::create_dir_all(&data)?;
        Ok(Self {
            number,
            host,
            program: program.to_owned(),
            environment: Vec::new(),
            segment_bytes: SEGMENT_BYTES,
            shards: 1,
            feature_level: None,
            certificates: None,
            durability: "fsync",
            founders,
            secrets: secrets.clone(),
            data,
            logs: bench.logs(),
            process: None,
        })
    }

    fn settings(&self) -> Table {
        let mut table = Table::new();
        let mut put = |key: &str, value: Value| drop(table.insert(key.to_owned(), value));
        let path = |path: &Path| Value::from(path.to_string_lossy().into_owned());
        put("data_dir", path(&self.data));
        put("listen", self.client_address().to_string().into());
        put("peer_listen", self.peer_address().to_string().into());
        put("admin_listen", self.address(ADMIN_PORT).to_string().into());
        put("node_id", i64::from(self.number).into());
        put("secret_key_file", path(&self.secrets.key_file));
        put("admin_token_file", path(&self.secrets.token_file));
        match &self.certificates {
            // The network is a namespace of its own.
            None => put("insecure", vec!["listen", "peer_listen"].into()),
            Some(folder) => {
                for (key, file) in TLS_FILES {
                    put(key, path(&folder.join(file)));
                }
            }
        }
        put("segment_bytes", self.segment_bytes.into());
        put("durability", self.durability.into());
        put("log_format", "text".into());
        put("shards", i64::from(self.shards).into());
        if let Some(level) = self.feature_level {
            put("feature_level_max", i64::from(level).into());
        }
        if let Some(founders) = self.founders {
            let peers = (1..=founders).map(|peer| {
                let ip = std::net::Ipv4Addr::new(10, 77, 0, peer);
                format!("{ip}:{PEER_PORT}")
            });
            put("peers", peers.collect::<Vec<_>>().into());
            put("bootstrap_expect", i64::from(founders).into());
        }
        table
    }

    /// Starts the process; it is not ready yet.
    pub fn start(&mut self) -> Result {
        std::fs::write(self.config(), self.settings().to_string())?;
        let mut command = self.host.command("env");
        command
            .arg("-i")
            .arg("PATH=/usr/sbin:/usr/bin:/sbin:/bin")
            .args(
                self.environment
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            )
            .arg(&self.program)
            .arg("counter")
            .arg("--config")
            .arg(self.config());
        self.process = Some(Process::start(&self.name(), &mut command, &self.logs)?);
        Ok(())
    }

    pub fn name(&self) -> String {
        format!("node-{}", self.number)
    }

    /// The folder of all data: a scenario may mount a disk there before it prepares a node.
    pub fn folder(bench: &Bench) -> PathBuf {
        bench.path("nodes")
    }

    /// Where this node keeps its log: a scenario may mount a disk there before it starts the node.
    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// A file of this node's that is not on its disk.
    pub fn beside(&self, what: &str) -> PathBuf {
        self.logs.with_file_name(format!("{}.{what}", self.name()))
    }

    pub fn client_address(&self) -> SocketAddr {
        self.address(CLIENT_PORT)
    }

    pub fn peer_address(&self) -> SocketAddr {
        self.address(PEER_PORT)
    }

    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.address(ADMIN_PORT))
    }

    /// The settings of durability: `fsync` or `os`.
    pub fn set_durability(&mut self, durability: &'static str) {
        self.durability = durability;
    }

    /// Puts an empty disk in place of its own. It must not run.
    pub fn lose_disk(&self) -> Result {
        std::fs::remove_dir_all(&self.data)?;
        Ok(std::fs::create_dir(&self.data)?)
    }

    /// Whether its log has forgotten its beginning: the first segment holds something else now.
    pub fn has_purged(&self) -> bool {
        !self.data.join("log-0000000000000001.seg").exists()
    }

    /// Everything that it logged so far.
    pub fn log(&self) -> Result<String> {
        let log = self.logs.join(format!("{}.log", self.name()));
        Ok(String::from_utf8_lossy(&std::fs::read(log)?).into_owned())
    }

    /// Whether the process is there; a paused one is.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        drop(self.process.take());
    }

    /// Asks it to end. Tells whether it did so by itself.
    pub fn end(&mut self) -> Result<bool> {
        match self.process.take() {
            Some(mut process) => process.end(),
            None => Ok(true),
        }
    }

    /// Stops the process in its tracks.
    pub fn pause(&self) -> Result {
        process::send(self.pid()?, Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result {
        process::send(self.pid()?, Signal::CONT)
    }

    fn pid(&self) -> Result<u32> {
        let process = self.process.as_ref();
        let process = process.ok_or_else(|| Failure::new(format!("{} is down", self.name())))?;
        Ok(process.pid())
    }

    fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.host.ip, port))
    }

    fn config(&self) -> PathBuf {
        self.beside("toml")
    }
}
