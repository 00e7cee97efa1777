//! Credentials: the headers that a gateway adds for an upstream, sealed while they are stored.
//!
//! Promises: a sealed credential opens for the server it was sealed for and for no other; header
//! names and values that could change the meaning of a request are refused when sealing.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::sealing::{SealError, SealNonce};
use super::{MasterKey, from_hex, to_hex};
use crate::limits::{CREDENTIAL_BYTES_MAX, CREDENTIAL_HEADERS_MAX, SEALED_BYTES_MAX};
use crate::name::Name;

/// The headers of a credential: lower-case names to values. `Debug` redacts the values.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(BTreeMap<String, Zeroizing<String>>);

/// A sealed credential, as the registry stores it. The digest is keyed: it tells whether two seals
/// hold the same headers, and nothing else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct SealedCredential {
    sealed: Vec<u8>,
    digest: [u8; 32],
}

/// Why headers are no credential, or a sealed one does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error("a credential has 1 to {CREDENTIAL_HEADERS_MAX} headers")]
    HeaderCount,
    #[error("a credential has at most {CREDENTIAL_BYTES_MAX} bytes")]
    TooLong,
    #[error("{0:?} is no header name")]
    HeaderName(String),
    #[error("the header {0} appears twice")]
    Twice(String),
    #[error("the header {0} belongs to the gateway: a credential cannot set it")]
    Reserved(String),
    #[error("the value of the header {0} is empty or has characters that no header may have")]
    HeaderValue(String),
    #[error("the sealed credential is malformed")]
    Malformed,
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// How a sealed credential is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    sealed: String,
    digest: String,
}

/// What the gateway writes itself, and what speaks of one connection only.
const RESERVED: [&str; 18] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "last-event-id",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

const RESERVED_PREFIXES: [&str; 3] = ["mcp-", "x-forwarded-", "sec-"];

// === impl Headers ===

impl Headers {
    /// Checks names and values. Names are taken in any case and kept in lower case.
    pub fn new<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, CredentialError> {
        let mut checked = BTreeMap::new();
        let mut bytes = 0;
        for (name, value) in headers {
            let name = check_name(name)?;
            check_value(&name, value)?;
            bytes += name.len() + value.len();
            if bytes > CREDENTIAL_BYTES_MAX {
                return Err(CredentialError::TooLong);
            }
            if checked.contains_key(&name) {
                return Err(CredentialError::Twice(name));
            }
            checked.insert(name, Zeroizing::new(value.to_owned()));
            if checked.len() > CREDENTIAL_HEADERS_MAX {
                return Err(CredentialError::HeaderCount);
            }
        }
        match checked.is_empty() {
            true => Err(CredentialError::HeaderCount),
            false => Ok(Self(checked)),
        }
    }

    /// The headers in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One line each: neither names nor values can hold a line feed.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(CREDENTIAL_BYTES_MAX));
        for (name, value) in self.iter() {
            for part in [name, ":", value, "\n"] {
                bytes.extend_from_slice(part.as_bytes());
            }
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, CredentialError> {
        let text = std::str::from_utf8(bytes).map_err(|_| CredentialError::Malformed)?;
        let headers: Option<Vec<_>> = text.lines().map(|line| line.split_once(':')).collect();
        Self::new(headers.ok_or(CredentialError::Malformed)?)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.keys().map(|name| (name, "redacted")))
            .finish()
    }
}

// === impl SealedCredential ===

impl SealedCredential {
    /// Seals `headers` for the server called `server`.
    pub fn seal(
        key: &MasterKey,
        nonce: SealNonce,
        server: &Name,
        headers: &Headers,
    ) -> Result<Self, CredentialError> {
        let plain = headers.encode();
        let sealed = key
            .credentials()
            .seal(nonce, server.as_str().as_bytes(), &plain)?;
        Ok(Self {
            sealed,
            digest: key.credential_digest(&plain),
        })
    }

    /// Opens what was sealed under `key` for `server`.
    pub fn open(&self, key: &MasterKey, server: &Name) -> Result<Headers, CredentialError> {
        let plain = key
            .credentials()
            .open(server.as_str().as_bytes(), &self.sealed)?;
        Headers::decode(&plain)
    }

    /// Whether both hold the same headers, sealed under the same master key.
    pub fn holds_the_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// The bytes of the seal: a stored one from elsewhere is bounded by whoever takes it in.
    pub(crate) fn is_within_bounds(&self) -> bool {
        self.sealed.len() <= SEALED_BYTES_MAX
    }
}

impl fmt::Debug for SealedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedCredential({}..)", to_hex(&self.digest[..4]))
    }
}

impl TryFrom<Stored> for SealedCredential {
    type Error = CredentialError;

    fn try_from(stored: Stored) -> Result<Self, CredentialError> {
        let sealed = STANDARD
            .decode(&stored.sealed)
            .map_err(|_| CredentialError::Malformed)?;
        let digest = from_hex(&stored.digest)
            .and_then(|digest| digest.try_into().ok())
            .ok_or(CredentialError::Malformed)?;
        Ok(Self { sealed, digest })
    }
}

impl From<SealedCredential> for Stored {
    fn from(credential: SealedCredential) -> Self {
        Self {
            sealed: STANDARD.encode(credential.sealed),
            digest: to_hex(&credential.digest),
        }
    }
}

/// A header name in lower case, if a credential may set it.
pub(crate) fn check_name(name: &str) -> Result<String, CredentialError> {
    let is_token = (1..=128).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    if !is_token {
        return Err(CredentialError::HeaderName(
            name.chars().take(128).collect(),
        ));
    }
    let name = name.to_ascii_lowercase();
    let is_reserved = RESERVED.contains(&name.as_str())
        || RESERVED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix));
    match is_reserved {
        true => Err(CredentialError::Reserved(name)),
        false => Ok(name),
    }
}

fn check_value(name: &str, value: &str) -> Result<(), CredentialError> {
    let fits = !value.is_empty()
        && value.trim() == value
        && value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~'));
    match fits {
        true => Ok(()),
        false => Err(CredentialError::HeaderValue(name.to_owned())),
    }
}
