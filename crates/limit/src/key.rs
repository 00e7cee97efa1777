//! Keys: the name of a counter. Opaque bytes here; `policy` and the Envoy API encode them.

use std::sync::Arc;

use crate::limits::KEY_BYTES_MAX;

/// The name of a counter, 1 to [`KEY_BYTES_MAX`] bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<[u8]>);

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
    /// Takes `bytes` as a key, or says what is wrong with their number.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.len() {
            0 => Err(KeyError::Empty),
            n if n > KEY_BYTES_MAX => Err(KeyError::TooLong(n)),
            _ => Ok(Self(Arc::from(bytes))),
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
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
