//! Addresses in settings: sockets to listen on, and `HOST:PORT` to connect to.

use std::net::SocketAddr;

use super::{Settings, SettingsError};

/// The longest `HOST:PORT`: a DNS name, a colon and a port.
const ADDRESS_BYTES_MAX: usize = 259;

/// Splits `HOST:PORT` with a DNS name, an IPv4 address or an IPv6 one in brackets.
pub(crate) fn split(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port
        .parse::<u16>()
        .ok()
        .filter(|port| is_number && *port > 0)?;
    (text.len() <= ADDRESS_BYTES_MAX && is_host(host)).then_some((host, port))
}

/// Whether this is a DNS name, an IPv4 address or an IPv6 one in brackets.
pub(crate) fn is_host(host: &str) -> bool {
    match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(is_allowed)
        }
    }
}

/// `HOST:PORT`, with a scheme before it or not: whether there is TLS is said by its files.
pub(crate) fn node(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("http://").unwrap_or(text);
    let address = address.strip_prefix("https://").unwrap_or(address);
    let address = address.strip_suffix('/').unwrap_or(address);
    match split(address) {
        Some(_) => Ok(address.to_owned()),
        None => Err(format!("{text:?} is no address: use HOST:PORT")),
    }
}

// === impl Settings ===

impl Settings {
    /// A socket to listen on.
    pub(crate) fn socket(&self, key: &'static str) -> Result<SocketAddr, SettingsError> {
        let text = self.text(key).ok_or_else(|| self.missing(key))?;
        text.parse().map_err(|_| {
            let message = format!(
                "{text:?} is no socket: use IP:PORT, such as 127.0.0.1:8080 or 0.0.0.0:8080"
            );
            self.invalid(key, message)
        })
    }

    /// Addresses of nodes, each once.
    pub(crate) fn nodes(&self, key: &'static str) -> Result<Vec<String>, SettingsError> {
        let mut nodes: Vec<String> = Vec::new();
        for text in self.list(key).unwrap_or_default() {
            let node = node(text).map_err(|message| self.invalid(key, message))?;
            if nodes.contains(&node) {
                return Err(self.invalid(key, format!("{node:?} is there twice")));
            }
            nodes.push(node);
        }
        Ok(nodes)
    }
}
