//! Tokens: the text that a caller shows, and the keyed hash that the registry keeps of it.
//!
//! A token is `qtm_` (grant) or `qta_` (admin), 43 characters of base64url for 32 random bytes, and
//! 4 characters that check the others: a truncated or mistyped token is told from an unknown one
//! without the registry, and programs that look for leaked secrets can recognise it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{from_hex, to_hex};

/// What a token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// One grant, at a gateway.
    Grant,
    /// The administration of the cluster.
    Admin,
}

/// A well-formed token. Shown once, when it is made; `Debug` redacts it.
#[derive(Clone)]
pub struct Token {
    kind: TokenKind,
    text: Zeroizing<String>,
}

/// Why a text is no token. The text itself is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("a token starts with qtm_ or qta_")]
    Prefix,
    #[error("a token has {} characters", Token::CHARS)]
    Length,
    #[error("the token was mistyped: its check does not fit")]
    Check,
}

/// The keyed hash of a token. Useless without the master key, so it may be stored and replicated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash([u8; 32]);

/// Why a text is no hash of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token hash is 64 hexadecimal digits")]
pub struct TokenHashError;

const BODY_CHARS: usize = 43;
const CHECK_CHARS: usize = 4;
const CHECK_BYTES: usize = 3;

// === impl TokenKind ===

impl TokenKind {
    /// What tokens of this kind start with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Grant => "qtm_",
            Self::Admin => "qta_",
        }
    }
}

// === impl Token ===

impl Token {
    /// The characters of every token.
    pub const CHARS: usize = 4 + BODY_CHARS + CHECK_CHARS;

    /// The token that 32 random `bytes` make.
    pub fn from_random(kind: TokenKind, bytes: &[u8; 32]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(Self::CHARS));
        text.push_str(kind.prefix());
        text.push_str(&Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes)));
        let check = check_of(&text);
        text.push_str(&check);
        Self { kind, text }
    }

    /// Reads a token as it was shown.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let kind = [TokenKind::Grant, TokenKind::Admin]
            .into_iter()
            .find(|kind| text.starts_with(kind.prefix()))
            .ok_or(TokenError::Prefix)?;
        if text.len() != Self::CHARS {
            return Err(TokenError::Length);
        }
        let (content, check) = text
            .split_at_checked(Self::CHARS - CHECK_CHARS)
            .ok_or(TokenError::Check)?;
        let body = &content.as_bytes()[kind.prefix().len()..];
        let is_base64 = URL_SAFE_NO_PAD.decode(body).map(Zeroizing::new).is_ok();
        match is_base64 && check == check_of(content) {
            true => Ok(Self {
                kind,
                text: Zeroizing::new(text.to_owned()),
            }),
            false => Err(TokenError::Check),
        }
    }

    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The text to show, once.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}redacted)", self.kind.prefix())
    }
}

// === impl TokenHash ===

impl TokenHash {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares in a time that does not depend on the bytes.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}..)", to_hex(&self.0[..4]))
    }
}

impl TryFrom<String> for TokenHash {
    type Error = TokenHashError;

    fn try_from(text: String) -> Result<Self, TokenHashError> {
        let bytes = from_hex(&text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(TokenHashError)
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        to_hex(&hash.0)
    }
}

fn check_of(content: &str) -> String {
    let sum = digest::digest(&digest::SHA256, content.as_bytes());
    URL_SAFE_NO_PAD.encode(&sum.as_ref()[..CHECK_BYTES])
}
