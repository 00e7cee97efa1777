//! The settings of a counter node.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quotum_counter::envoy::HeaderNames;
use quotum_limit::Caps;
use quotum_registry::MasterKey;
use quotum_registry::secret::token::Token;
use quotum_replica::limits::{FEATURE_LEVEL, SEGMENT_BYTES_MIN, SHARDS_MAX};
use quotum_replica::node::Timings;
use quotum_replica::{Durability, LogConfig, Member, NodeConfig};

use super::key::Key;
use super::tls::TlsFiles;
use super::{Settings, SettingsError, addresses};
use crate::environment::Environment;
use crate::process::Logging;

/// Every key of `counter.toml`.
pub(crate) const KEYS: &[Key] = &[
    Key::text("data_dir").option("--data"),
    Key::text("listen").option("--listen"),
    Key::text("peer_listen").option("--peer-listen"),
    Key::text("admin_listen").option("--admin-listen"),
    Key::text("advertise").option("--advertise"),
    Key::text("advertise_client"),
    Key::text("advertise_peer"),
    Key::integer("node_id"),
    Key::list("peers").option("--peers"),
    Key::integer("bootstrap_expect").option("--bootstrap-expect"),
    Key::text("secret_key_file"),
    Key::text("secret_key").secret(),
    Key::text("admin_token_file"),
    Key::text("admin_token").secret(),
    Key::text("tls_cert_file"),
    Key::text("tls_key_file"),
    Key::text("tls_client_ca_file"),
    Key::text("peer_tls_cert_file"),
    Key::text("peer_tls_key_file"),
    Key::text("peer_tls_ca_file"),
    Key::list("insecure"),
    Key::integer("connections_max").or("20000"),
    Key::integer("connections_per_ip_max").or("2048"),
    Key::integer("shards").or("1"),
    Key::integer("threads"),
    Key::text("durability").or("fsync"),
    Key::integer("segment_bytes").or("67108864"),
    Key::integer("counters_max").or("1000000"),
    Key::integer("tenant_counters_max").or("100000"),
    Key::text("ratelimit_dir"),
    Key::list("ratelimit_headers"),
    Key::integer("heartbeat_ms").or("50"),
    Key::integer("election_min_ms").or("150"),
    Key::integer("election_max_ms").or("200"),
    Key::integer("feature_level_max").or("2"),
    Key::text("log").or("info,openraft=warn"),
    Key::text("log_format").or("json"),
];

/// The largest segment: it is read whole at a start, and its offsets have 32 bits.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// The most counters that make sense on one machine.
const COUNTERS_MAX: u64 = 1_000_000_000;
/// The most connections of a port.
const CONNECTIONS_MAX: u64 = 1_000_000;
/// The most nodes of a cluster.
const NODES_MAX: u64 = 15;
/// The most threads that serve.
const THREADS_MAX: u64 = 256;
/// The longest timing of the consensus.
const TIMING_MS_MAX: u64 = 60_000;

/// What a counter node is made of.
#[derive(Debug)]
pub(crate) struct CounterSettings {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) peer_listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) node: NodeConfig,
    pub(crate) bootstrap: Option<quotum_counter::Bootstrap>,
    pub(crate) master_key: MasterKey,
    pub(crate) admin_token: Token,
    /// Where the rate limits of Envoy's API are, if it is served.
    pub(crate) ratelimit_dir: Option<PathBuf>,
    pub(crate) ratelimit_headers: Option<HeaderNames>,
    /// How clients are served, if not in plaintext.
    pub(crate) tls: Option<TlsFiles>,
    /// How nodes talk to each other, if not in plaintext.
    pub(crate) peer_tls: Option<TlsFiles>,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_ip_max: usize,
    /// How many threads serve, if that is said.
    pub(crate) threads: Option<usize>,
    pub(crate) logging: Logging,
    pub(crate) settings: Settings,
}

// === impl CounterSettings ===

impl CounterSettings {
    /// Reads `path` if there is one, and what replaces it: `options` of the command line, each with
    /// its name, go before the environment.
    pub(crate) fn load(
        path: Option<&Path>,
        options: &[(&'static str, &str)],
        environment: &Environment,
    ) -> Result<Self, SettingsError> {
        let mut settings = match path {
            Some(path) => Settings::load(path, KEYS, environment)?,
            None => Settings::without_file(KEYS, environment)?,
        };
        settings.take_options(options)?;
        Self::of(settings)
    }

    pub(crate) fn of(settings: Settings) -> Result<Self, SettingsError> {
        let text = |key| settings.text(key).ok_or_else(|| settings.missing(key));
        let listen = settings.socket("listen")?;
        let peer_listen = settings.socket("peer_listen")?;
        let tls = settings.tls("tls_cert_file", "tls_key_file", "tls_client_ca_file")?;
        let peer_tls = settings.mutual_tls()?;
        let insecure = settings.insecure(&["listen", "peer_listen"])?;
        settings.secured("listen", listen, tls.is_some(), &insecure)?;
        settings.secured("peer_listen", peer_listen, peer_tls.is_some(), &insecure)?;
        let connections_max = settings.count("connections_max", CONNECTIONS_MAX)?;
        Ok(Self {
            data_dir: text("data_dir")?.into(),
            listen,
            peer_listen,
            admin_listen: settings.socket("admin_listen")?,
            node: node(&settings, listen, peer_listen)?,
            bootstrap: bootstrap(&settings)?,
            master_key: settings.master_key()?,
            admin_token: settings.admin_token()?,
            tls,
            peer_tls,
            connections_max,
            connections_per_ip_max: settings.count("connections_per_ip_max", CONNECTIONS_MAX)?,
            threads: match settings.get("threads") {
                None => None,
                Some(_) => Some(settings.count("threads", THREADS_MAX)?),
            },
            ratelimit_dir: settings.text("ratelimit_dir").map(PathBuf::from),
            ratelimit_headers: headers(&settings)?,
            logging: settings.logging()?,
            settings,
        })
    }
}

fn node(
    settings: &Settings,
    listen: SocketAddr,
    peer_listen: SocketAddr,
) -> Result<NodeConfig, SettingsError> {
    let durability = match settings.text("durability") {
        Some("fsync") => Durability::Fsync,
        Some("os") => Durability::Os,
        _ => return Err(settings.invalid("durability", "use \"fsync\" or \"os\"")),
    };
    let id = match settings.get("node_id") {
        None => None,
        // Small enough for every language that may read it from JSON.
        Some(_) => Some(settings.between("node_id", 1, (1 << 53) - 1)?),
    };
    let shards = settings.between("shards", 1, u64::from(SHARDS_MAX))?;
    let feature_level = settings.between("feature_level_max", 1, u64::from(FEATURE_LEVEL))?;
    let counters_max = settings.between("counters_max", 1, COUNTERS_MAX)?;
    let tenant_counters_max = settings.between("tenant_counters_max", 1, COUNTERS_MAX)?;
    let segment_bytes = settings.between("segment_bytes", SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)?;
    Ok(NodeConfig {
        id,
        member: Member {
            client_address: advertised(settings, "advertise_client", "listen", listen)?,
            peer_address: advertised(settings, "advertise_peer", "peer_listen", peer_listen)?,
            ..Member::default()
        },
        shards: u32::try_from(shards).expect("it is at most SHARDS_MAX"),
        caps: Caps {
            counters_max: usize::try_from(counters_max).expect("a machine has 64 bits"),
            tenant_counters_max: usize::try_from(tenant_counters_max.min(counters_max))
                .expect("a machine has 64 bits"),
        },
        log: LogConfig {
            durability,
            segment_bytes,
        },
        timings: timings(settings)?,
        feature_level: u32::try_from(feature_level).expect("it is at most FEATURE_LEVEL"),
    })
}

/// Where others reach a port of this node: `advertise_*` as it is, `advertise` with the port that
/// it listens on, or the socket itself if it names one address of this machine.
fn advertised(
    settings: &Settings,
    key: &'static str,
    listen_key: &'static str,
    listen: SocketAddr,
) -> Result<String, SettingsError> {
    if let Some(text) = settings.text(key) {
        return match addresses::split(text) {
            Some(_) => Ok(text.to_owned()),
            None => Err(settings.invalid(key, format!("{text:?} is no address: use HOST:PORT"))),
        };
    }
    if listen.port() == 0 {
        let message = "port 0 tells nobody where this node is: choose a port";
        return Err(settings.invalid(listen_key, message));
    }
    match settings.text("advertise") {
        Some(host) if addresses::is_host(host) => Ok(format!("{host}:{}", listen.port())),
        Some(host) => {
            let message = format!("{host:?} is no host: use a name or an address, without a port");
            Err(settings.invalid("advertise", message))
        }
        None if listen.ip().is_unspecified() => {
            let message = "this address tells nobody where this node is: set `advertise` too";
            Err(settings.invalid(listen_key, message))
        }
        None => Ok(listen.to_string()),
    }
}

fn headers(settings: &Settings) -> Result<Option<HeaderNames>, SettingsError> {
    const KEY: &str = "ratelimit_headers";
    match settings.list(KEY) {
        None | Some([]) => Ok(None),
        Some([limit, remaining, reset]) => HeaderNames::new([limit, remaining, reset])
            .map(Some)
            .map_err(|error| settings.invalid(KEY, error.to_string())),
        Some(_) => {
            let message = "use three names, of the limit, of what remains, and of the seconds until it is whole again";
            Err(settings.invalid(KEY, message))
        }
    }
}

fn timings(settings: &Settings) -> Result<Timings, SettingsError> {
    let heartbeat_ms = settings.between("heartbeat_ms", 1, TIMING_MS_MAX)?;
    let election_min_ms = settings.between("election_min_ms", 1, TIMING_MS_MAX)?;
    let election_max_ms = settings.between("election_max_ms", 1, TIMING_MS_MAX)?;
    if election_min_ms < 2 * heartbeat_ms {
        let message = format!(
            "{election_min_ms} must be at least twice `heartbeat_ms`, which is {heartbeat_ms}"
        );
        return Err(settings.invalid("election_min_ms", message));
    }
    if election_max_ms <= election_min_ms {
        let message = format!(
            "{election_max_ms} must be more than `election_min_ms`, which is {election_min_ms}"
        );
        return Err(settings.invalid("election_max_ms", message));
    }
    Ok(Timings {
        heartbeat: Duration::from_millis(heartbeat_ms),
        election_min: Duration::from_millis(election_min_ms),
        election_max: Duration::from_millis(election_max_ms),
    })
}

fn bootstrap(settings: &Settings) -> Result<Option<quotum_counter::Bootstrap>, SettingsError> {
    let peers = settings.nodes("peers")?;
    if settings.get("bootstrap_expect").is_none() {
        return match peers.is_empty() {
            true => Ok(None),
            false => Err(settings.missing("bootstrap_expect")),
        };
    }
    let expect = settings.between("bootstrap_expect", 1, NODES_MAX)?;
    let expect = usize::try_from(expect).expect("it is small");
    if peers.len() > expect || peers.len() + 1 < expect {
        let message = format!(
            "{expect} nodes are expected, and `peers` names {}: name all of them, with or without this one",
            peers.len()
        );
        return Err(settings.invalid("bootstrap_expect", message));
    }
    Ok(Some(quotum_counter::Bootstrap { peers, expect }))
}
