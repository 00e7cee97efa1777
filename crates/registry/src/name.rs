//! Names: what servers, policies and grants are called.
//!
//! Promises: a name that exists is well-formed, so that it can stand in a path, in a metric label
//! and in a log line as it is. Knows nothing of what exists under a name.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{GRANT_NAME_BYTES_MAX, NAME_BYTES_MAX};

#[cfg(test)]
mod tests;

/// The name of a server or a policy: 1 to 63 of `a-z`, `0-9` and `-`, with no `-` at either end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// The name of a grant, unique in the registry: 1 to 64 of `A-Z`, `a-z`, `0-9` and `-_.@`, starting
/// with a letter or a digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GrantName(Arc<str>);

/// The id of a grant: 1 to 64 of `A-Z`, `a-z`, `0-9` and `-_`. It names the grant's counters, so an
/// id is never given a second time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GrantId(Arc<str>);

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error(
        "{0:?} is no name: use 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -, with no - at either end"
    )]
    Name(String),
    #[error(
        "{0:?} is no name of a grant: use 1 to {GRANT_NAME_BYTES_MAX} of A-Z, a-z, 0-9, - _ . @, \
         starting with a letter or a digit"
    )]
    GrantName(String),
    #[error("{0:?} is no id of a grant: use 1 to {GRANT_NAME_BYTES_MAX} of A-Z, a-z, 0-9, - _")]
    GrantId(String),
}

/// What every kind of name does: built from text that is checked, read as text.
macro_rules! checked_text {
    ($kind:ident, $check:path) => {
        impl $kind {
            /// Takes `text` as it is, or says what is wrong with it.
            pub fn new(text: &str) -> Result<Self, NameError> {
                match $check(text) {
                    true => Ok(Self(Arc::from(text))),
                    false => Err(NameError::$kind(shortened(text))),
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $kind {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $kind {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $kind {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$kind> for String {
            fn from(name: $kind) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

// === impl Name ===

checked_text!(Name, is_name);

// === impl GrantName ===

checked_text!(GrantName, is_grant_name);

// === impl GrantId ===

checked_text!(GrantId, is_grant_id);

impl GrantId {
    /// The id that 16 random bytes make: 26 digits of Crockford's base 32, in lower case.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let number = u128::from_be_bytes(bytes);
        let text: String = (0..26)
            .rev()
            .map(|place| char::from(DIGITS[((number >> (place * 5)) & 31) as usize]))
            .collect();
        Self(Arc::from(text))
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn is_grant_name(text: &str) -> bool {
    (1..=GRANT_NAME_BYTES_MAX).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.@".contains(&b))
}

fn is_grant_id(text: &str) -> bool {
    (1..=GRANT_NAME_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// As much of a refused text as an error shows.
fn shortened(text: &str) -> String {
    let shown: String = text.chars().take(GRANT_NAME_BYTES_MAX).collect();
    match shown.len() < text.len() {
        true => format!("{shown}..."),
        false => shown,
    }
}
