//! The configurations of the processes: written into the data directory at each start.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::data::{self, Data};
use crate::failure::Failure;
use crate::files;
use crate::limits::DEV_DRAIN_MS;

/// A loopback cluster writes little: small segments start faster.
const SEGMENT_BYTES: i64 = 8 << 20;

/// The rate limit that `quotum-load envoy` asks for.
const BENCH_LIMITS: &str = include_str!("bench-limits.yaml");

/// A process that is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) name: String,
    /// The name of its admin port.
    pub(crate) admin_port: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

/// Configures a counter node, of so many.
pub(crate) fn counter(data: &Data, node: u8, counters: u8) -> Result<Start, Failure> {
    let name = format!("counter-{node}");
    let address = |port| data.address(&data::counter(node, port)).to_string();
    let peers = (1..=counters).map(|peer| data.address(&data::counter(peer, "peer")).to_string());
    let mut table = Table::new();
    let mut put = |key: &str, value: Value| drop(table.insert(key.to_owned(), value));
    put("data_dir", path(data.path(&name)));
    put("listen", address("client").into());
    put("peer_listen", address("peer").into());
    put("admin_listen", address("admin").into());
    put("node_id", i64::from(node).into());
    put("peers", peers.collect::<Vec<_>>().into());
    put("bootstrap_expect", i64::from(counters).into());
    put("secret_key_file", path(data.secret_key_file()));
    put("admin_token_file", path(data.admin_token_file()));
    put("ratelimit_dir", path(rate_limits(data)?));
    put("segment_bytes", SEGMENT_BYTES.into());
    put("log_format", "text".into());
    start(data, "counter", name, data::counter(node, "admin"), &table)
}

/// The folder of the rate limits of Envoy's API, with one for measuring: others can be put there.
fn rate_limits(data: &Data) -> Result<PathBuf, Failure> {
    let folder = data.path("ratelimit");
    let file = folder.join("bench.yaml");
    let made = files::make_folder(&folder).and_then(|()| match file.exists() {
        true => Ok(()),
        false => files::replace(&file, BENCH_LIMITS.as_bytes()),
    });
    made.map_err(|error| Failure::failed(file.display().to_string()).because(&error))?;
    Ok(folder)
}

/// Configures a gateway before so many counter nodes.
pub(crate) fn gateway(
    data: &Data,
    number: u8,
    counters: u8,
    upstream_ca_file: Option<&Path>,
) -> Result<Start, Failure> {
    let name = format!("gateway-{number}");
    let address = |port| data.address(&data::gateway(number, port)).to_string();
    let nodes = (1..=counters).map(|node| data.address(&data::counter(node, "client")).to_string());
    let drain_ms = i64::try_from(DEV_DRAIN_MS).expect("it is small");
    let mut table = Table::new();
    let mut put = |key: &str, value: Value| drop(table.insert(key.to_owned(), value));
    put("listen", address("mcp").into());
    put("admin_listen", address("admin").into());
    put("counters", nodes.collect::<Vec<_>>().into());
    put("secret_key_file", path(data.secret_key_file()));
    put("name", name.clone().into());
    put(
        "registry_cache",
        path(data.path(&format!("{name}.registry"))),
    );
    if let Some(file) = upstream_ca_file {
        put("upstream_ca_file", path(file.to_owned()));
    }
    put("drain_timeout_ms", drain_ms.into());
    put("log_format", "text".into());
    start(
        data,
        "gateway",
        name,
        data::gateway(number, "admin"),
        &table,
    )
}

fn start(
    data: &Data,
    command: &str,
    name: String,
    admin_port: String,
    table: &Table,
) -> Result<Start, Failure> {
    let file = data.path(&format!("{name}.toml"));
    files::replace(&file, table.to_string().as_bytes())
        .map_err(|error| Failure::failed(file.display().to_string()).because(&error))?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::failed("this program is not found").because(&error))?;
    Ok(Start {
        name,
        admin_port,
        program,
        arguments: vec![command.into(), "--config".into(), file.into()],
    })
}

/// A path as a setting. The data directory's own path must be text for that.
fn path(path: PathBuf) -> Value {
    path.to_string_lossy().into_owned().into()
}
