//! The data directory: what was drawn once for it, and the lock that keeps it for one process.
//!
//! Promises: secrets and ports are drawn at the first start and kept; files with secrets are for
//! their owner only; nobody else uses the directory meanwhile.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quotum_registry::secret::token::{Token, TokenKind};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::files;
use crate::limits::SETTINGS_BYTES_MAX;
use crate::process::{self, Claim};
use crate::secrets;

#[cfg(test)]
mod tests;

/// The name of the demo server's port.
pub(crate) const DEMO: &str = "demo";

/// The file with all that was drawn.
const FILE: &str = "dev.json";
const SECRET_KEY: &str = "secret-key";
const ADMIN_TOKEN: &str = "admin-token";

/// The data directory of a cluster, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Data {
    folder: PathBuf,
    drawn: Drawn,
    _claim: Claim,
}

/// What was drawn for it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drawn {
    /// How many counter nodes it has: fixed when they found their cluster.
    counters: u8,
    secret_key: String,
    admin_token: String,
    ports: BTreeMap<String, u16>,
    /// Tokens by the names of their grants.
    grants: BTreeMap<String, String>,
}

/// The name of a counter node's port.
pub(crate) fn counter(node: u8, port: &str) -> String {
    format!("counter-{node}.{port}")
}

/// The name of a gateway's port.
pub(crate) fn gateway(number: u8, port: &str) -> String {
    format!("gateway-{number}.{port}")
}

// === impl Data ===

impl Data {
    /// Takes `folder`, makes it where it is missing, and draws what was not drawn before.
    pub(crate) fn open(folder: &Path, counters: u8, gateways: u8) -> Result<Self, Failure> {
        let failed = |error: &dyn std::error::Error| {
            Failure::failed(folder.display().to_string()).because(error)
        };
        files::make_folder(folder).map_err(|error| failed(&error))?;
        // Children run elsewhere, and an operator may start them again from anywhere.
        let folder = folder.canonicalize().map_err(|error| failed(&error))?;
        let claim = process::claim(&folder, Duration::ZERO)?;
        let mut drawn = match Drawn::load(&folder.join(FILE))? {
            Some(drawn) => drawn,
            None => Drawn::new(counters),
        };
        if drawn.counters != counters {
            let text = format!(
                "{}: this cluster has {} counter nodes, not {counters}",
                folder.display(),
                drawn.counters
            );
            let advice = format!("use --counters {}, or another --data", drawn.counters);
            return Err(Failure::usage(text).next(advice));
        }
        drawn
            .draw_ports(counters, gateways)
            .map_err(|error| failed(&error))?;
        let data = Self {
            folder,
            drawn,
            _claim: claim,
        };
        data.save()?;
        let logs = data.path("logs");
        files::make_folder(&logs)
            .and_then(|()| {
                files::replace(&data.secret_key_file(), data.drawn.secret_key.as_bytes())
            })
            .and_then(|()| {
                files::replace(&data.admin_token_file(), data.drawn.admin_token.as_bytes())
            })
            .map_err(|error| Failure::failed(data.folder.display().to_string()).because(&error))?;
        Ok(data)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A process's log, or its decision records.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path("logs").join(name)
    }

    pub(crate) fn secret_key_file(&self) -> PathBuf {
        self.path(SECRET_KEY)
    }

    pub(crate) fn admin_token_file(&self) -> PathBuf {
        self.path(ADMIN_TOKEN)
    }

    pub(crate) fn admin_token(&self) -> &str {
        &self.drawn.admin_token
    }

    /// Where a port that was drawn is.
    pub(crate) fn address(&self, port: &str) -> SocketAddr {
        let number = self.drawn.ports[port];
        SocketAddr::from((Ipv4Addr::LOCALHOST, number))
    }

    /// The token of a grant, if it is known.
    pub(crate) fn token(&self, grant: &str) -> Option<&str> {
        self.drawn.grants.get(grant).map(String::as_str)
    }

    /// Keeps the token of a grant.
    pub(crate) fn keep_token(&mut self, grant: &str, token: &str) -> Result<(), Failure> {
        self.drawn.grants.insert(grant.to_owned(), token.to_owned());
        self.save()
    }

    /// Waits until the ports can be listened on: processes from before may still be ending.
    pub(crate) async fn wait_for_ports(&self) -> Result<(), Failure> {
        for name in self.drawn.ports.keys().filter(|name| *name != DEMO) {
            let what = format!("port {name} of {}", self.folder.display());
            let listening = process::listen(&what, self.address(name)).await;
            drop(listening.map_err(|failure| {
                failure.next("end the program that uses it, or use another --data")
            })?);
        }
        Ok(())
    }

    fn save(&self) -> Result<(), Failure> {
        let path = self.path(FILE);
        let text = serde_json::to_vec_pretty(&self.drawn).expect("texts and numbers");
        files::replace(&path, &text)
            .map_err(|error| Failure::failed(path.display().to_string()).because(&error))
    }
}

// === impl Drawn ===

impl Drawn {
    fn new(counters: u8) -> Self {
        let admin = Token::from_random(TokenKind::Admin, &secrets::draw());
        Self {
            counters,
            secret_key: STANDARD.encode(secrets::draw::<32>()),
            admin_token: admin.as_str().to_owned(),
            ports: BTreeMap::new(),
            grants: BTreeMap::new(),
        }
    }

    fn load(path: &Path) -> Result<Option<Self>, Failure> {
        let failed = |error: &dyn std::error::Error| {
            Failure::failed(path.display().to_string())
                .because(error)
                .next("use another --data, or remove this one with all that was counted")
        };
        match files::read(path, SETTINGS_BYTES_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| failed(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Draws the ports that are missing. All are held until the last is drawn, so that no two are
    /// the same.
    fn draw_ports(&mut self, counters: u8, gateways: u8) -> io::Result<()> {
        let of_counters = (1..=counters)
            .flat_map(|node| ["client", "peer", "admin"].map(|port| counter(node, port)));
        let of_gateways =
            (1..=gateways).flat_map(|number| ["mcp", "admin"].map(|port| gateway(number, port)));
        let names = of_counters.chain(of_gateways).chain([DEMO.to_owned()]);
        let mut held = Vec::new();
        for name in names {
            if self.ports.contains_key(&name) {
                continue;
            }
            // A port that is free now may have been drawn before for a process that does not run.
            loop {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                let port = listener.local_addr()?.port();
                held.push(listener);
                if !self.ports.values().any(|taken| *taken == port) {
                    self.ports.insert(name, port);
                    break;
                }
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Drawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drawn")
            .field("counters", &self.counters)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}
