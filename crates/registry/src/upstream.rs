//! Upstreams: the address of an MCP server, as a gateway may use it.
//!
//! Promises: an upstream that exists is `http` or `https` with a host, and has no user, query,
//! fragment or dot segment, so that two programs cannot read it in two ways. Resolves no names.

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{HOST_BYTES_MAX, URL_BYTES_MAX};

#[cfg(test)]
mod tests;

/// The address of an MCP server: `http[s]://host[:port][/path]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Upstream(Arc<str>);

/// Why a text is no upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    #[error("an upstream address has at most {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("an upstream address starts with http:// or https://")]
    Scheme,
    #[error("an upstream address names no user: put credentials into the server's credential")]
    User,
    #[error("an upstream address has no query and no fragment")]
    Query,
    #[error("an upstream address names a host: letters, digits, - . _, or [IPv6]")]
    Host,
    #[error("the port of an upstream address is from 1 to 65535")]
    Port,
    #[error(
        "the path of an upstream address is written in plain or %-encoded ASCII, without . or .."
    )]
    Path,
}

// === impl Upstream ===

impl Upstream {
    /// Takes `text` as it is, or says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, UpstreamError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UpstreamError::TooLong);
        }
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or(UpstreamError::Scheme)?;
        if rest.contains(['?', '#']) {
            return Err(UpstreamError::Query);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(UpstreamError::User);
        }
        check_authority(authority)?;
        match is_path(path) {
            true => Ok(Self(Arc::from(text))),
            false => Err(UpstreamError::Path),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Upstream {
    type Error = UpstreamError;

    fn try_from(text: String) -> Result<Self, UpstreamError> {
        Self::new(&text)
    }
}

impl From<Upstream> for String {
    fn from(upstream: Upstream) -> Self {
        upstream.0.as_ref().to_owned()
    }
}

fn check_authority(authority: &str) -> Result<(), UpstreamError> {
    let (host_fits, after) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or(UpstreamError::Host)?;
            (address.parse::<Ipv6Addr>().is_ok(), after)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, after) = authority.split_at(end);
            (is_host(host), after)
        }
    };
    if !host_fits {
        return Err(UpstreamError::Host);
    }
    if after.is_empty() {
        return Ok(());
    }
    let port = after.strip_prefix(':').ok_or(UpstreamError::Host)?;
    let is_number = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    match is_number && port.parse::<u16>().is_ok_and(|port| port > 0) {
        true => Ok(()),
        false => Err(UpstreamError::Port),
    }
}

fn is_host(host: &str) -> bool {
    (1..=HOST_BYTES_MAX).contains(&host.len())
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        })
}

fn is_path(path: &str) -> bool {
    path.split('/')
        .all(|segment| is_segment(segment.as_bytes()))
}

/// The characters of RFC 3986's `pchar`. Encoded dots and slashes are refused with the dot
/// segments: programs differ in when they decode them.
fn is_segment(mut segment: &[u8]) -> bool {
    if segment == b"." || segment == b".." {
        return false;
    }
    while let Some((first, rest)) = segment.split_first() {
        segment = match first {
            b'%' => {
                let Some((code, rest)) = rest.split_at_checked(2) else {
                    return false;
                };
                let is_hex = code.iter().all(u8::is_ascii_hexdigit);
                let is_ambiguous = [b"2e", b"2f", b"5c", b"00"]
                    .iter()
                    .any(|hidden| code.eq_ignore_ascii_case(&hidden[..]));
                if !is_hex || is_ambiguous {
                    return false;
                }
                rest
            }
            b if b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(b) => rest,
            _ => return false,
        };
    }
    true
}
