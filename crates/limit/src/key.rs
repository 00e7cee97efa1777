//! Keys: the name of a counter. `policy` and the Envoy API encode them; here only the tenant is
//! read of them.

use bytes::Bytes;

use crate::limits::KEY_BYTES_MAX;

#[cfg(test)]
mod tests;

/// The first byte of a key says how to read the rest: texts, each behind its length (seven bits a
/// byte, low ones first). Of the first three kinds the first texts name the tenant.
pub mod tag {
    /// A server, a grant, and more.
    pub const GRANT: u8 = 1;
    /// A server, a grant, a session, and more.
    pub const SESSION: u8 = 2;
    /// A server, and more.
    pub const SERVER: u8 = 3;
    /// Nobody's: the whole cluster's.
    pub const GLOBAL: u8 = 4;
    /// Of the Envoy API: a domain, and more.
    pub const DESCRIPTOR: u8 = 5;
    /// The same, with the limit in the request.
    pub const OVERRIDE: u8 = 6;
    /// What is longer than a key: a digest of the tenant (8 bytes) and of the whole.
    pub const HASHED: u8 = 0xff;
}

/// The name of a counter, 1 to [`KEY_BYTES_MAX`] bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

/// Whose counters are bounded together: one of 65,535 slots, which tenants share if their digests
/// are alike. 0: nobody's, bounded with all others only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tenant(pub u16);

/// Why bytes are not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a counter key must not be empty")]
    Empty,
    #[error("a counter key has at most {KEY_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
}

// === impl Key ===

impl Key {
    /// Takes a copy of `bytes` as a key, or says what is wrong with their number.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        check(bytes)?;
        Ok(Self(Bytes::copy_from_slice(bytes)))
    }

    /// As [`Key::new`], without a copy: it keeps the buffer that `bytes` are a part of, so it is
    /// for keys that do not outlive a message or an entry by much.
    pub fn sharing(bytes: Bytes) -> Result<Self, KeyError> {
        check(&bytes)?;
        Ok(Self(bytes))
    }

    /// The same key in a buffer of its own, to be kept.
    pub(crate) fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// The key of an encoding that is longer than a key, by its SHA-256. It has the same tenant.
    pub fn hashed(encoding: &[u8], sha256: &[u8; 32]) -> Self {
        let mut bytes = [0; 41];
        bytes[0] = tag::HASHED;
        let tenant = tenant_text(encoding).map_or(0, digest);
        bytes[1..9].copy_from_slice(&tenant.to_be_bytes());
        bytes[9..].copy_from_slice(sha256);
        Self(Bytes::copy_from_slice(&bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whose counter it is: a grant's of one server, a server's, an Envoy domain's, or nobody's.
    pub fn tenant(&self) -> Tenant {
        let digest = match &*self.0 {
            [tag::HASHED, rest @ ..] if rest.len() == 40 => {
                let tenant = rest.first_chunk().expect("40 bytes hold 8");
                u64::from_be_bytes(*tenant)
            }
            _ => tenant_text(&self.0).map_or(0, digest),
        };
        if digest == 0 {
            return Tenant::default();
        }
        let slot = 1 + digest % u64::from(u16::MAX);
        Tenant(u16::try_from(slot).expect("at most 65,535"))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.0.escape_ascii())
    }
}

impl TryFrom<&[u8]> for Key {
    type Error = KeyError;

    fn try_from(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::new(bytes)
    }
}

fn check(bytes: &[u8]) -> Result<(), KeyError> {
    match bytes.len() {
        0 => Err(KeyError::Empty),
        n if n > KEY_BYTES_MAX => Err(KeyError::TooLong(n)),
        _ => Ok(()),
    }
}

/// The part of an encoding that names its tenant, with what kind of tenant it is.
fn tenant_text(encoding: &[u8]) -> Option<(u8, &[u8])> {
    let (kind, texts) = match *encoding.first()? {
        tag::GRANT | tag::SESSION => (tag::GRANT, 2),
        tag::SERVER => (tag::SERVER, 1),
        tag::DESCRIPTOR | tag::OVERRIDE => (tag::DESCRIPTOR, 1),
        _ => return None,
    };
    let mut rest = &encoding[1..];
    for _ in 0..texts {
        rest = skip_text(rest)?;
    }
    Some((kind, &encoding[1..encoding.len() - rest.len()]))
}

/// What follows the text that `bytes` begin with.
fn skip_text(bytes: &[u8]) -> Option<&[u8]> {
    let mut length = 0_usize;
    for (at, byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes.get(at + 1..)?.get(length..);
        }
    }
    None
}

/// FNV-1a, mixed at the end; never 0. Fixed for ever, since it decides what is refused.
fn digest((kind, text): (u8, &[u8])) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = step(0xcbf2_9ce4_8422_2325, kind);
    let hash = text.iter().fold(hash, |hash, byte| step(hash, *byte));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ (hash >> 31)).max(1)
}
