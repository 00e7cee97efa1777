//! Secrets: the master key, what is derived from it, tokens, sealed credentials.
//!
//! Promises: no secret is shown by `Debug`; keys for different purposes never coincide; every
//! comparison of secrets takes the same time. Draws no randomness: nonces and token bytes arrive.
//!
//! # Layout
//! * [`token`]: the text of grant and admin tokens, and their keyed hash.
//! * [`sealing`]: bytes encrypted under a derived key.
//! * [`credential`]: the headers that an upstream wants, sealed for the registry.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

pub mod credential;
pub mod sealing;
pub mod token;

#[cfg(test)]
mod tests;

use sealing::SealingKey;
use token::{Token, TokenHash};

/// The secret that all nodes and gateways of a cluster share: 32 bytes, and the keys derived from
/// them by HKDF-SHA-256.
pub struct MasterKey {
    tokens: hmac::Key,
    credential_digests: hmac::Key,
    gateways: hmac::Key,
    credentials: SealingKey,
    sessions: SealingKey,
    session_key_id: String,
}

/// As many bytes of the name of a key as tell the keys of one cluster apart.
const SESSION_KEY_ID_BYTES: usize = 8;

/// Why a text is no master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    #[error("a key is 32 bytes, written as 64 hexadecimal digits or in base64")]
    Malformed,
    #[error("a key of one repeated byte protects nothing: draw it at random")]
    Trivial,
}

// === impl MasterKey ===

impl MasterKey {
    pub const BYTES: usize = 32;

    /// Reads a key from 64 hexadecimal digits or from base64 (either alphabet), with white space
    /// around it allowed, as files end in newlines.
    pub fn from_text(text: &str) -> Result<Self, MasterKeyError> {
        let text = text.trim();
        let bytes = Zeroizing::new(decode(text).ok_or(MasterKeyError::Malformed)?);
        let bytes: &[u8; Self::BYTES] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| MasterKeyError::Malformed)?;
        Self::from_bytes(bytes)
    }

    /// Derives the keys of the 32 random `bytes`.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, MasterKeyError> {
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(MasterKeyError::Trivial);
        }
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"quotum master key 1").extract(bytes);
        let id = derive(&root, b"quotum session key id 1");
        let hashing = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &*derive(&root, purpose));
        Ok(Self {
            tokens: hashing(b"quotum token hash 1"),
            credential_digests: hashing(b"quotum credential digest 1"),
            gateways: hashing(b"quotum gateway token 1"),
            credentials: SealingKey::new(&derive(&root, b"quotum credential seal 1")),
            sessions: SealingKey::new(&derive(&root, b"quotum session seal 1")),
            session_key_id: to_hex(&id[..SESSION_KEY_ID_BYTES]),
        })
    }

    /// The keyed hash under which a token is known: HMAC-SHA-256 of its text.
    pub fn token_hash(&self, token: &Token) -> TokenHash {
        let tag = hmac::sign(&self.tokens, token.as_str().as_bytes());
        TokenHash::from_bytes(tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes"))
    }

    /// What gateways show to counter nodes: whoever has the master key is one of them.
    pub fn gateway_token(&self) -> Zeroizing<String> {
        let tag = hmac::sign(&self.gateways, b"gateway");
        Zeroizing::new(format!("qtw_{}", to_hex(tag.as_ref())))
    }

    /// The key that seals what a gateway hands to clients, such as session ids.
    pub fn sessions(&self) -> &SealingKey {
        &self.sessions
    }

    /// A name of [`Self::sessions`] that tells nothing of the key: the same wherever the key is.
    pub fn session_key_id(&self) -> &str {
        &self.session_key_id
    }

    fn credentials(&self) -> &SealingKey {
        &self.credentials
    }

    fn credential_digest(&self, content: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.credential_digests, content);
        tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(redacted)")
    }
}

fn derive(root: &hkdf::Prk, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    root.expand(&[purpose], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut *key))
        .expect("32 bytes are within what HKDF-SHA-256 gives");
    key
}

fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() == 2 * MasterKey::BYTES {
        return from_hex(text);
    }
    [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]
        .iter()
        .find_map(|alphabet| alphabet.decode(text).ok())
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).expect("a nibble");
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// The bytes of hexadecimal digits, of either case.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = Zeroizing::new(digits?);
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}
