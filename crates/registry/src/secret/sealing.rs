//! Sealing: ChaCha20-Poly1305 under a derived key. A seal opens only for the context in which it
//! was made, and only whole.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::limits::SEALED_BYTES_MAX;

/// A key that seals and opens. Cheap to use from many threads.
pub struct SealingKey(LessSafeKey);

/// The nonce of one seal: 12 random bytes, never used twice under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealNonce(pub [u8; SealNonce::BYTES]);

/// Why something was not sealed or not opened. One variant for all that can be wrong with a seal:
/// the difference would help only who forges one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("at most {SEALED_BYTES_MAX} bytes can be sealed at once")]
    TooLong,
    #[error("the seal does not open: another key, another context, or changed bytes")]
    Broken,
}

const TAG_BYTES: usize = 16;

// === impl SealNonce ===

impl SealNonce {
    pub const BYTES: usize = 12;
}

// === impl SealingKey ===

impl SealingKey {
    pub(super) fn new(bytes: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, bytes).expect("the algorithm takes 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts `plain` for `context`: nonce, ciphertext and tag, in one.
    pub fn seal(
        &self,
        nonce: SealNonce,
        context: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        if plain.len() > SEALED_BYTES_MAX {
            return Err(SealError::TooLong);
        }
        let mut sealed = Vec::with_capacity(SealNonce::BYTES + plain.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce.0);
        sealed.extend_from_slice(plain);
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce.0),
                Aad::from(context),
                &mut sealed[SealNonce::BYTES..],
            )
            .map_err(|_| SealError::TooLong)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Decrypts what [`Self::seal`] gave for the same `context`.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if sealed.len() > SealNonce::BYTES + SEALED_BYTES_MAX + TAG_BYTES {
            return Err(SealError::Broken);
        }
        let (nonce, rest) = sealed.split_first_chunk().ok_or(SealError::Broken)?;
        let mut plain = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .0
            .open_in_place(nonce, Aad::from(context), &mut plain)
            .map_err(|_| SealError::Broken)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(redacted)")
    }
}
