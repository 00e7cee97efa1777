//! The settings of a gateway.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quotum_client::limits::DEADLINE_MAX;
use quotum_gateway::Hosts;
use quotum_gateway::limits::BUFFERED_BYTES_MIN;
use quotum_gateway::session::SessionKeys;
use quotum_registry::MasterKey;
use rustls::pki_types::CertificateDer;

use super::key::Key;
use super::tls::TlsFiles;
use super::{Settings, SettingsError};
use crate::environment::Environment;
use crate::limits::SETTING_MS_MAX;
use crate::process::Logging;
use crate::secrets;

/// Every key of `gateway.toml`.
pub(crate) const KEYS: &[Key] = &[
    Key::text("listen"),
    Key::text("admin_listen"),
    Key::list("counters"),
    Key::text("secret_key_file"),
    Key::text("secret_key").secret(),
    Key::list("session_key_files"),
    Key::text("tls_cert_file"),
    Key::text("tls_key_file"),
    Key::text("counters_tls_ca_file"),
    Key::text("counters_tls_cert_file"),
    Key::text("counters_tls_key_file"),
    Key::list("insecure"),
    Key::text("name"),
    Key::list("hosts"),
    Key::list("origins"),
    Key::text("upstream_ca_file"),
    Key::text("registry_cache"),
    Key::integer("registry_staleness_max_s").or("3600"),
    Key::integer("decision_deadline_ms").or("2000"),
    Key::integer("upstream_head_timeout_ms").or("300000"),
    Key::integer("open_requests_per_grant_max").or("256"),
    Key::integer("buffered_bytes_max").or("134217728"),
    Key::integer("connections_max").or("10000"),
    Key::integer("connections_per_ip_max").or("10000"),
    Key::integer("leave_delay_ms").or("3000"),
    Key::integer("drain_timeout_ms").or("20000"),
    Key::text("log").or("info"),
    Key::text("log_format").or("json"),
];

/// The most of anything that a gateway counts.
const OPEN_MAX: u64 = 1_000_000;
/// The most bytes of bodies that make sense on one machine.
const BUFFERED_BYTES_LIMIT: usize = 64 << 30;
/// The longest name of a gateway.
const NAME_BYTES_MAX: usize = 128;

/// What a gateway is made of.
#[derive(Debug)]
pub(crate) struct GatewaySettings {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) counters: Vec<String>,
    pub(crate) master_key: Arc<MasterKey>,
    /// What seals sessions and tasks, and what opens them.
    pub(crate) session_keys: SessionKeys,
    /// How agents are served, if not in plaintext.
    pub(crate) tls: Option<TlsFiles>,
    /// How counter nodes are reached, if not in plaintext.
    pub(crate) counters_tls: Option<TlsFiles>,
    /// Unique among the live ones.
    pub(crate) name: String,
    pub(crate) hosts: Hosts,
    pub(crate) origins: Vec<String>,
    /// Authorities that may vouch for upstreams, beside the public ones.
    pub(crate) upstream_authorities: Vec<CertificateDer<'static>>,
    pub(crate) registry_cache: Option<PathBuf>,
    pub(crate) registry_staleness_max: Duration,
    pub(crate) decision_deadline: Duration,
    pub(crate) upstream_head_timeout: Duration,
    pub(crate) open_requests_per_grant_max: usize,
    pub(crate) buffered_bytes_max: usize,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_ip_max: usize,
    /// How long it goes on to accept after it said that it is leaving.
    pub(crate) leave_delay: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) logging: Logging,
    pub(crate) settings: Settings,
}

// === impl GatewaySettings ===

impl GatewaySettings {
    pub(crate) fn load(path: &Path, environment: &Environment) -> Result<Self, SettingsError> {
        Self::of(Settings::load(path, KEYS, environment)?, environment)
    }

    pub(crate) fn of(settings: Settings, environment: &Environment) -> Result<Self, SettingsError> {
        let counters = settings.nodes("counters")?;
        if counters.is_empty() {
            return Err(settings.missing("counters"));
        }
        let millis = |key, least, most| {
            settings
                .between(key, least, most)
                .map(Duration::from_millis)
        };
        let count = |key| settings.count(key, OPEN_MAX);
        let listen = settings.socket("listen")?;
        let tls = settings.identity("tls_cert_file", "tls_key_file")?;
        let tls = tls.map(|identity| TlsFiles {
            identity: Some(identity),
            authorities: None,
        });
        let counters_tls = settings.counters_tls()?;
        let insecure = settings.insecure(&["listen", "counters"])?;
        settings.secured("listen", listen, tls.is_some(), &insecure)?;
        settings.secured_nodes("counters", &counters, counters_tls.is_some(), &insecure)?;
        let deadline_max = u64::try_from(DEADLINE_MAX.as_millis()).unwrap_or(u64::MAX);
        let staleness_max = settings.between("registry_staleness_max_s", 1, SETTING_MS_MAX)?;
        let registry_cache = match settings.text("registry_cache") {
            Some("") => return Err(settings.invalid("registry_cache", "this is no path")),
            path => path.map(PathBuf::from),
        };
        let master_key = Arc::new(settings.master_key()?);
        Ok(Self {
            listen,
            admin_listen: settings.socket("admin_listen")?,
            counters,
            session_keys: settings.session_keys(&master_key)?,
            master_key,
            tls,
            counters_tls,
            name: name(&settings, environment)?,
            hosts: hosts(&settings),
            origins: origins(&settings)?,
            upstream_authorities: settings.authorities("upstream_ca_file")?,
            registry_cache,
            registry_staleness_max: Duration::from_secs(staleness_max),
            decision_deadline: millis("decision_deadline_ms", 1, deadline_max)?,
            upstream_head_timeout: millis("upstream_head_timeout_ms", 1, SETTING_MS_MAX)?,
            open_requests_per_grant_max: count("open_requests_per_grant_max")?,
            buffered_bytes_max: settings.size(
                "buffered_bytes_max",
                BUFFERED_BYTES_MIN,
                BUFFERED_BYTES_LIMIT,
            )?,
            connections_max: count("connections_max")?,
            connections_per_ip_max: count("connections_per_ip_max")?,
            leave_delay: millis("leave_delay_ms", 0, SETTING_MS_MAX)?,
            drain_timeout: millis("drain_timeout_ms", 0, SETTING_MS_MAX)?,
            logging: settings.logging()?,
            settings,
        })
    }
}

/// The name that was set; else the host's, made unique.
fn name(settings: &Settings, environment: &Environment) -> Result<String, SettingsError> {
    if let Some(name) = settings.text("name") {
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        return match fits {
            true => Ok(name.to_owned()),
            false => {
                let message = format!("use 1 to {NAME_BYTES_MAX} visible ASCII characters");
                Err(settings.invalid("name", message))
            }
        };
    }
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-._".contains(*c);
    let host = environment.get("HOSTNAME").unwrap_or("gateway");
    let host: String = host.chars().filter(is_plain).take(64).collect();
    let [a, b, c, d] = secrets::draw();
    Ok(format!("{host}-{a:02x}{b:02x}{c:02x}{d:02x}"))
}

fn hosts(settings: &Settings) -> Hosts {
    match settings.list("hosts") {
        None | Some([]) => Hosts::Any,
        Some(hosts) => Hosts::Only(hosts.to_vec()),
    }
}

/// Origins as browsers write them: a scheme and a host, nothing after it.
fn origins(settings: &Settings) -> Result<Vec<String>, SettingsError> {
    let origins = settings.list("origins").unwrap_or_default();
    let is_origin = |text: &str| {
        text.split_once("://").is_some_and(|(scheme, host)| {
            ["http", "https"].contains(&scheme) && !host.is_empty() && !host.contains('/')
        })
    };
    match origins.iter().find(|origin| !is_origin(origin)) {
        Some(origin) => {
            let message =
                format!("{origin:?} is no origin: write https://HOST or https://HOST:PORT");
            Err(settings.invalid("origins", message))
        }
        None => Ok(origins.to_vec()),
    }
}
