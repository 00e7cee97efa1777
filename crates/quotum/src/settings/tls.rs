//! Files of certificates in settings, and what may do without them.
//!
//! Promises: a port that others than this machine reach has TLS, unless somebody asked for
//! plaintext by its name.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::{Settings, SettingsError, addresses};

/// The files of one end of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate that is shown, and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// Who vouches for the other end.
    pub(crate) authorities: Option<PathBuf>,
}

// === impl Settings ===

impl Settings {
    fn path(&self, key: &'static str) -> Result<Option<PathBuf>, SettingsError> {
        match self.text(key) {
            Some("") => Err(self.invalid(key, "this is no path")),
            path => Ok(path.map(PathBuf::from)),
        }
    }

    /// A certificate and its key: both or neither.
    pub(crate) fn identity(
        &self,
        cert: &'static str,
        key: &'static str,
    ) -> Result<Option<(PathBuf, PathBuf)>, SettingsError> {
        match (self.path(cert)?, self.path(key)?) {
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.missing(key)),
            (None, Some(_)) => Err(self.missing(cert)),
        }
    }

    /// A port with TLS, that asks for certificates of clients if there are authorities for them.
    pub(crate) fn tls(
        &self,
        cert: &'static str,
        key: &'static str,
        authorities: &'static str,
    ) -> Result<Option<TlsFiles>, SettingsError> {
        match (self.identity(cert, key)?, self.path(authorities)?) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(self.missing(cert)),
            (identity, authorities) => Ok(Some(TlsFiles {
                identity,
                authorities,
            })),
        }
    }

    /// TLS between counter nodes: all three files or none.
    pub(crate) fn mutual_tls(&self) -> Result<Option<TlsFiles>, SettingsError> {
        let authorities = "peer_tls_ca_file";
        let files = self.tls("peer_tls_cert_file", "peer_tls_key_file", authorities)?;
        match files {
            Some(files) if files.authorities.is_none() => Err(self.missing(authorities)),
            files => Ok(files),
        }
    }

    /// TLS from a gateway to counter nodes, with a certificate of its own or not.
    pub(crate) fn counters_tls(&self) -> Result<Option<TlsFiles>, SettingsError> {
        let key = "counters_tls_ca_file";
        let identity = self.identity("counters_tls_cert_file", "counters_tls_key_file")?;
        match self.path(key)? {
            None if identity.is_some() => Err(self.missing(key)),
            None => Ok(None),
            authorities => Ok(Some(TlsFiles {
                identity,
                authorities,
            })),
        }
    }

    /// What may talk in plaintext to other machines: some of the `known`.
    pub(crate) fn insecure(
        &self,
        known: &'static [&'static str],
    ) -> Result<Vec<String>, SettingsError> {
        let named = self.list("insecure").unwrap_or_default();
        match named.iter().find(|name| !known.contains(&name.as_str())) {
            None => Ok(named.to_vec()),
            Some(name) => {
                let message = format!("{name:?} is none of {}", known.join(", "));
                Err(self.invalid("insecure", message))
            }
        }
    }

    /// Refuses a port in plaintext that other machines reach, unless that was asked for.
    pub(crate) fn secured(
        &self,
        key: &'static str,
        listen: SocketAddr,
        has_tls: bool,
        insecure: &[String],
    ) -> Result<(), SettingsError> {
        let is_local = listen.ip().to_canonical().is_loopback();
        self.allow(key, &listen.to_string(), has_tls || is_local, insecure)
    }

    /// The same for nodes that are connected to.
    pub(crate) fn secured_nodes(
        &self,
        key: &'static str,
        nodes: &[String],
        has_tls: bool,
        insecure: &[String],
    ) -> Result<(), SettingsError> {
        let remote = nodes.iter().find(|node| !is_local(node));
        match remote {
            Some(node) => self.allow(key, node, has_tls, insecure),
            None => Ok(()),
        }
    }

    fn allow(
        &self,
        key: &'static str,
        address: &str,
        is_secured: bool,
        insecure: &[String],
    ) -> Result<(), SettingsError> {
        if is_secured || insecure.iter().any(|name| name == key) {
            return Ok(());
        }
        let message = format!(
            "{address} is not this machine alone, and without TLS whoever is on the way reads and \
             changes everything: set the files of TLS (docs/tls.md), or `insecure = [\"{key}\"]` \
             where the network itself is trusted"
        );
        Err(self.invalid(key, message))
    }
}

/// Whether `HOST:PORT` is on this machine.
pub(crate) fn is_local(node: &str) -> bool {
    let Some((host, _)) = addresses::split(node) else {
        return false;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}
